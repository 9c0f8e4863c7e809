// HPACK from the wire (RFC 7541): one decoder per connection, fed whole header blocks. Fields that repeat are table look-ups;
// literals that other connections sent before are found by their bytes, without decoding them again.

import {
  invalidValue,
  isValidFieldValue,
  type NameInfo,
  nameInfo,
  staticCount,
  staticInfos,
  staticValues,
} from './hpack-fields.ts';
import { decodeHuffman } from './hpack-huffman.ts';

export interface FieldReceiver {
  /** `kind`: a `FieldName` and the flags beside it. `name` is interned. */
  onField(name: string, value: string, kind: number): void;
}

/** RFC 7541 4.1. */
const entryOverhead = 32;
/** RFC 9113 6.5.2. */
const initialTableSize = 4096;
const maxInteger = 2 ** 28;

// 1,024 slots of 48 bytes: more is seldom repeated.
const slots = 1024;
const slotBytes = 48;

/** Room for decoding one string; grows to the longest seen, given back when it was unusual. */
let scratch = Buffer.allocUnsafeSlow(4096);

/**
 * Strings by their bytes on the wire, direct-mapped: a new one takes the place of whatever had its slot. Shared by the
 * connections of a thread.
 */
class WireStrings<T> {
  readonly #bytes = new Uint8Array(slots * slotBytes);
  readonly #keys = new Int32Array(slots);
  readonly #values: (T | undefined)[] = new Array(slots).fill(undefined);

  #slot = 0;
  #key = 0;

  /** What these bytes stand for; where they would go is kept for `set`. */
  get(source: Uint8Array, start: number, length: number, huffman: number): T | undefined {
    let hash = length;
    for (let i = start; i < start + length; i++) hash = (Math.imul(hash, 31) + source[i]!) | 0;
    hash ^= hash >>> 15;
    const slot = hash & (slots - 1);
    const key = (hash & ~0x7f) | (length << 1) | huffman;
    this.#slot = slot;
    this.#key = key;
    if (this.#keys[slot] !== key) return undefined;
    const value = this.#values[slot];
    if (value === undefined) return undefined;
    const bytes = this.#bytes;
    for (let i = 0, at = slot * slotBytes; i < length; i++) {
      if (bytes[at + i] !== source[start + i]) return undefined;
    }
    return value;
  }

  /** Remembers `value` for the bytes that `get` was just asked for. */
  set(source: Uint8Array, start: number, length: number, value: T): void {
    const slot = this.#slot;
    this.#keys[slot] = this.#key;
    this.#values[slot] = value;
    const bytes = this.#bytes;
    for (let i = 0, at = slot * slotBytes; i < length; i++) bytes[at + i] = source[start + i]!;
  }
}
const wireNames = new WireStrings<NameInfo>();
const wireValues = new WireStrings<string>();

export class HpackDecoder {
  readonly #longestString: number;
  /** What our SETTINGS_HEADER_TABLE_SIZE allows; the peer may use the initial size until it has acknowledged them. */
  #limit = initialTableSize;
  /** What the peer's encoder uses of it. */
  #capacity = initialTableSize;
  #size = 0;

  // The dynamic table, a ring: entry i (0 is the newest) is at (#newest - i) & (length - 1).
  #infos: NameInfo[] = [];
  #values: string[] = [];
  #kinds: number[] = [];
  #newest = -1;
  #count = 0;

  // Where reading stands, and what the last string was.
  #at = 0;
  #isValid = true;

  /** `longestString`: what a name or a value may have, encoded and decoded; longer ones end the connection. nghttp2's limit. */
  constructor(longestString = 65536) {
    this.#longestString = longestString;
  }

  get tableSize(): number {
    return this.#size;
  }

  /** Our SETTINGS_HEADER_TABLE_SIZE is known to the peer now. */
  setLimit(limit: number): void {
    this.#limit = limit;
    if (this.#capacity <= limit) return;
    this.#capacity = limit;
    this.#evict(0);
  }

  /** Decodes one whole header block. False: it is not HPACK, and the connection cannot go on. */
  decode(source: Buffer, start: number, end: number, receiver: FieldReceiver): boolean {
    this.#at = start;
    let sizeUpdateAllowed = true;
    while (this.#at < end) {
      const first = source[this.#at]!;
      if (first >= 0x80) {
        let index = first & 0x7f;
        if (index === 0x7f) {
          index = this.#integer(source, end, 0x7f);
        } else this.#at++;
        if (index <= 0) return false;
        if (index <= staticCount) {
          const info = staticInfos[index]!;
          receiver.onField(info.name, staticValues[index]!, info.kind);
        } else {
          index -= staticCount + 1;
          if (index >= this.#count) return false;
          const at = (this.#newest - index) & (this.#infos.length - 1);
          receiver.onField(this.#infos[at]!.name, this.#values[at]!, this.#kinds[at]!);
        }
        sizeUpdateAllowed = false;
        continue;
      }
      if (first >= 0x20 && first < 0x40) {
        // RFC 7541 4.2: only at the start of a block.
        const capacity = this.#integer(source, end, 0x1f);
        if (!sizeUpdateAllowed || capacity < 0 || capacity > this.#limit) return false;
        this.#capacity = capacity;
        this.#evict(0);
        continue;
      }
      sizeUpdateAllowed = false;
      const indexed = first >= 0x40;
      const index = this.#integer(source, end, indexed ? 0x3f : 0x0f);
      let info: NameInfo | undefined;
      if (index < 0) return false;
      if (index === 0) info = this.#name(source, end);
      else if (index <= staticCount) info = staticInfos[index]!;
      else if (index - staticCount <= this.#count) {
        info = this.#infos[(this.#newest - (index - staticCount - 1)) & (this.#infos.length - 1)]!;
      }
      if (info === undefined) return false;
      const value = this.#value(source, end);
      if (value === undefined) return false;
      const kind = this.#isValid ? info.kind : info.kind | invalidValue;
      if (indexed) this.#add(info, value, kind);
      receiver.onField(info.name, value, kind);
    }
    return true;
  }

  /** RFC 7541 5.1: the integer whose prefix fills `mask` of the byte at hand. -1: cut short, or larger than anything sensible. */
  #integer(source: Buffer, end: number, mask: number): number {
    let value = source[this.#at++]! & mask;
    if (value < mask) return value;
    for (let shift = 0; this.#at < end && shift <= 28; shift += 7) {
      const byte = source[this.#at++]!;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value > maxInteger ? -1 : value;
    }
    return -1;
  }

  #name(source: Buffer, end: number): NameInfo | undefined {
    if (this.#at >= end) return undefined;
    const huffman = source[this.#at]! >> 7;
    const length = this.#integer(source, end, 0x7f);
    const start = this.#at;
    if (length < 0 || length > this.#longestString || start + length > end) return undefined;
    this.#at = start + length;
    if (length > slotBytes) {
      const text = this.#text(source, start, length, huffman);
      return text === undefined ? undefined : nameInfo(text);
    }
    const found = wireNames.get(source, start, length, huffman);
    if (found !== undefined) return found;
    const text = this.#text(source, start, length, huffman);
    if (text === undefined) return undefined;
    const info = nameInfo(text);
    wireNames.set(source, start, length, info);
    return info;
  }

  /** Sets `#isValid` beside. */
  #value(source: Buffer, end: number): string | undefined {
    if (this.#at >= end) return undefined;
    const huffman = source[this.#at]! >> 7;
    const length = this.#integer(source, end, 0x7f);
    const start = this.#at;
    if (length < 0 || length > this.#longestString || start + length > end) return undefined;
    this.#at = start + length;
    this.#isValid = true;
    if (length === 0) return '';
    if (length > slotBytes) return this.#text(source, start, length, huffman);
    const found = wireValues.get(source, start, length, huffman);
    if (found !== undefined) return found;
    const text = this.#text(source, start, length, huffman);
    if (text !== undefined && this.#isValid) wireValues.set(source, start, length, text);
    return text;
  }

  #text(source: Buffer, start: number, length: number, huffman: number): string | undefined {
    if (huffman === 0) {
      this.#isValid = isValidFieldValue(source, start, start + length);
      return source.toString('latin1', start, start + length);
    }
    const room = length * 2;
    if (scratch.length < room) scratch = Buffer.allocUnsafeSlow(room);
    const decoded = decodeHuffman(source, start, start + length, scratch);
    if (decoded < 0 || decoded > this.#longestString) return undefined;
    this.#isValid = isValidFieldValue(scratch, 0, decoded);
    const text = scratch.toString('latin1', 0, decoded);
    if (scratch.length > 65536) scratch = Buffer.allocUnsafeSlow(4096);
    return text;
  }

  #add(info: NameInfo, value: string, kind: number): void {
    const size = info.name.length + value.length + entryOverhead;
    this.#evict(size);
    if (size > this.#capacity) return;
    if (this.#count === this.#infos.length) this.#grow();
    this.#newest = (this.#newest + 1) & (this.#infos.length - 1);
    this.#infos[this.#newest] = info;
    this.#values[this.#newest] = value;
    this.#kinds[this.#newest] = kind;
    this.#count++;
    this.#size += size;
  }

  /** Makes room for `size` more. Evicted strings stay referenced until their place is taken: the ring is small. */
  #evict(size: number): void {
    while (this.#count > 0 && this.#size + size > this.#capacity) {
      const oldest = (this.#newest - this.#count + 1) & (this.#infos.length - 1);
      this.#size -= this.#infos[oldest]!.name.length + this.#values[oldest]!.length + entryOverhead;
      this.#count--;
    }
  }

  #grow(): void {
    const length = Math.max(16, this.#infos.length * 2);
    const infos: NameInfo[] = [];
    const values: string[] = [];
    const kinds: number[] = [];
    for (let i = this.#count - 1; i >= 0; i--) {
      const at = (this.#newest - i) & (this.#infos.length - 1);
      infos.push(this.#infos[at]!);
      values.push(this.#values[at]!);
      kinds.push(this.#kinds[at]!);
    }
    this.#newest = this.#count - 1;
    while (infos.length < length) {
      infos.push(staticInfos[0]!);
      values.push('');
      kinds.push(0);
    }
    this.#infos = infos;
    this.#values = values;
    this.#kinds = kinds;
  }
}
