// HPACK to the wire (RFC 7541): one encoder per connection, writing straight into the output buffer. What goes into the
// dynamic table follows nghttp2, with one thing of our own: a name whose value is always new stops evicting the others.
import type { HeaderMap } from './header-map.ts';
import { staticCount, staticInfos, staticValues } from './hpack-fields.ts';
import { encodeHuffman, huffmanLength } from './hpack-huffman.ts';

const entryOverhead = 32;
/** A field takes at most its text and this: an opcode, and two lengths of up to five bytes. */
const fieldOverhead = 12;
/** So many new values in a row make a name volatile: from then on a value enters the table when it is seen twice running. */
const volatileAfter = 8;
/** nghttp2: a short cookie could be guessed by watching the sizes, so it is never indexed, here or further on. */
const shortCookie = 20;

/** RFC 7541 6.2.2 and 6.2.3. */
const opcode = { Indexing: 0x40, WithoutIndexing: 0x00, NeverIndexed: 0x10 } as const;

const notIndexed = new Set([
  ':path',
  'age',
  'content-length',
  'etag',
  'if-modified-since',
  'if-none-match',
  'location',
  'set-cookie',
]);

const noStrings: string[] = [];
const noNumbers: number[] = [];

/** What the encoder knows of one name: where the static table has it, and which values the dynamic table holds under it. */
class EncodedName {
  readonly name: string;
  readonly staticIndex: number;
  /** The values that follow each other in the static table from `staticIndex` on; mostly none. */
  readonly staticValues: readonly string[];
  readonly neverIndexed: boolean;
  readonly isIndexed: boolean;
  readonly isCookie: boolean;
  /** Live entries of the dynamic table, oldest first, and their numbers of insertion. Mostly one or none: kept that small. */
  values = noStrings;
  insertions = noNumbers;
  misses = 0;
  last = '';

  constructor(name: string) {
    this.name = name;
    let index = 1;
    while (index <= staticCount && staticInfos[index]!.name !== name) index++;
    this.staticIndex = index <= staticCount ? index : 0;
    let values = noStrings;
    for (; index <= staticCount && staticInfos[index]!.name === name; index++) {
      if (staticValues[index] !== '') values = [...values, staticValues[index]!];
    }
    this.staticValues = values;
    this.neverIndexed = name === 'authorization' || name === 'proxy-authorization';
    this.isIndexed = !this.neverIndexed && !notIndexed.has(name);
    this.isCookie = name === 'cookie';
  }
}

const noName = new EncodedName('');
const statusTexts = new Array<string>(1000).fill('');

export class HpackEncoder {
  /** The most this side is willing to keep, whatever the peer allows. */
  readonly #ceiling: number;
  readonly #huffman: boolean;
  #capacity = 4096;
  /** Size updates due at the start of the next block: the smallest since the last, then the current. -1: none. */
  #smallestUpdate = -1;
  #size = 0;
  readonly #names = new Map<string, EncodedName>();

  // The dynamic table, a ring in the order of insertion: number n is at n & (length - 1).
  #entries: EncodedName[] = [];
  #sizes: number[] = [];
  #oldest = 0;
  #next = 0;

  constructor(ceiling = 4096, huffman = true) {
    this.#ceiling = ceiling;
    this.#huffman = huffman;
    if (ceiling < 4096) this.setLimit(ceiling);
  }

  get tableSize(): number {
    return this.#size;
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. */
  setLimit(limit: number): void {
    const capacity = Math.min(limit, this.#ceiling);
    if (capacity === this.#capacity) return;
    this.#capacity = capacity;
    this.#smallestUpdate = this.#smallestUpdate < 0 ? capacity : Math.min(this.#smallestUpdate, capacity);
    this.#evict(0);
  }

  /** Room that `encode` may need for `headers`. */
  bound(headers: HeaderMap): number {
    const list = headers.list;
    let bytes =
      8 * fieldOverhead +
      headers.method.length +
      headers.scheme.length +
      headers.authority.length +
      headers.path.length +
      headers.protocol.length +
      64;
    for (let i = 0; i < list.length; i += 2) bytes += list[i]!.length + list[i + 1]!.length + fieldOverhead;
    return bytes;
  }

  /** Writes the header block of `headers` into `target` from `at` on, pseudo-headers first; returns where it ends. */
  encode(headers: HeaderMap, target: Uint8Array, at: number): number {
    if (this.#smallestUpdate >= 0) at = this.#sizeUpdates(target, at);
    if (headers.status !== 0) {
      at = this.#field(':status', statusTexts[headers.status] || statusText(headers.status), target, at);
    }
    if (headers.method !== '') at = this.#field(':method', headers.method, target, at);
    if (headers.protocol !== '') at = this.#field(':protocol', headers.protocol, target, at);
    if (headers.scheme !== '') at = this.#field(':scheme', headers.scheme, target, at);
    if (headers.authority !== '') at = this.#field(':authority', headers.authority, target, at);
    if (headers.path !== '') at = this.#field(':path', headers.path, target, at);
    const list = headers.list;
    for (let i = 0; i < list.length; i += 2) at = this.#field(list[i]!, list[i + 1]!, target, at);
    return at;
  }

  #sizeUpdates(target: Uint8Array, at: number): number {
    if (this.#smallestUpdate < this.#capacity) at = integer(this.#smallestUpdate, 0x20, 0x1f, target, at);
    this.#smallestUpdate = -1;
    return integer(this.#capacity, 0x20, 0x1f, target, at);
  }

  #field(text: string, value: string, target: Uint8Array, at: number): number {
    const name = this.#names.get(text) ?? this.#newName(text);
    const fixed = name.staticValues;
    for (let i = 0; i < fixed.length; i++) {
      if (fixed[i] === value) {
        target[at] = 0x80 | (name.staticIndex + i);
        return at + 1;
      }
    }
    const values = name.values;
    // Of a name whose values are new every time, only the newest entry can be meant.
    const oldest = name.misses > volatileAfter ? Math.max(values.length - 1, 0) : 0;
    for (let i = values.length - 1; i >= oldest; i--) {
      if (isSame(values[i]!, value)) {
        name.misses = 0;
        return integer(this.#next - name.insertions[i]! + staticCount, 0x80, 0x7f, target, at);
      }
    }
    if (name.staticIndex !== 0 && value === '' && staticValues[name.staticIndex] === '') {
      target[at] = 0x80 | name.staticIndex;
      return at + 1;
    }
    let code: number = opcode.WithoutIndexing;
    if (name.neverIndexed || (name.isCookie && value.length < shortCookie)) code = opcode.NeverIndexed;
    else if (name.isIndexed) {
      // The name may be long, or the table small: an entry of more than three quarters would only push out the rest.
      const fits = (text.length + value.length + entryOverhead) * 4 <= this.#capacity * 3;
      if (fits && (++name.misses <= volatileAfter || isSame(name.last, value))) code = opcode.Indexing;
      name.last = value;
    }
    let index = name.staticIndex;
    if (index === 0 && values.length > 0) {
      index = this.#next - name.insertions[values.length - 1]! + staticCount;
    }
    at = integer(index, code, code === opcode.Indexing ? 0x3f : 0x0f, target, at);
    if (index === 0) at = string(text, this.#huffman, target, at);
    // A value that is new every time, a request id, is not worth Huffman's shifting: 12 bytes less of 36 for a third of a block's time.
    const isVolatile = name.misses > volatileAfter && code === opcode.WithoutIndexing;
    at = string(value, this.#huffman && !isVolatile, target, at);
    if (code === opcode.Indexing) this.#add(name, value);
    return at;
  }

  #newName(text: string): EncodedName {
    // Names that are in no table are forgotten when there are very many: they come from the network.
    if (this.#names.size >= 512) {
      for (const [key, name] of this.#names) if (name.values.length === 0) this.#names.delete(key);
    }
    const name = new EncodedName(text);
    this.#names.set(text, name);
    return name;
  }

  #add(name: EncodedName, value: string): void {
    const size = name.name.length + value.length + entryOverhead;
    this.#evict(size);
    if (this.#next - this.#oldest === this.#entries.length) this.#grow();
    const at = this.#next & (this.#entries.length - 1);
    this.#entries[at] = name;
    this.#sizes[at] = size;
    this.#size += size;
    if (name.values.length === 0) {
      name.values = [value];
      name.insertions = [this.#next++];
    } else {
      name.values.push(value);
      name.insertions.push(this.#next++);
    }
  }

  #evict(size: number): void {
    while (this.#oldest < this.#next && this.#size + size > this.#capacity) {
      const at = this.#oldest++ & (this.#entries.length - 1);
      const name = this.#entries[at]!;
      this.#size -= this.#sizes[at]!;
      // Entries leave in the order they came, so it is the first of its name.
      name.values.shift();
      name.insertions.shift();
    }
  }

  #grow(): void {
    const length = Math.max(16, this.#entries.length * 2);
    const entries = new Array<EncodedName>(length).fill(noName);
    const sizes = new Array<number>(length).fill(0);
    for (let n = this.#oldest; n < this.#next; n++) {
      entries[n & (length - 1)] = this.#entries[n & (this.#entries.length - 1)]!;
      sizes[n & (length - 1)] = this.#sizes[n & (this.#sizes.length - 1)]!;
    }
    this.#entries = entries;
    this.#sizes = sizes;
  }
}

/** Comparing texts of the same length that are slices of heads is a call into the engine: most are told apart by their ends. */
function isSame(a: string, b: string): boolean {
  const end = b.length - 1;
  return a.length === b.length && (end < 0 || a.charCodeAt(end) === b.charCodeAt(end)) && a === b;
}

function statusText(status: number): string {
  const text = String(status);
  if (status < 1000) statusTexts[status] = text;
  return text;
}

/** RFC 7541 5.1, under the bits of `code`. */
function integer(value: number, code: number, mask: number, target: Uint8Array, at: number): number {
  if (value < mask) {
    target[at] = code | value;
    return at + 1;
  }
  target[at++] = code | mask;
  value -= mask;
  while (value >= 0x80) {
    target[at++] = (value & 0x7f) | 0x80;
    value >>>= 7;
  }
  target[at] = value;
  return at + 1;
}

/** RFC 7541 5.2: with Huffman when that is shorter. */
function string(text: string, huffman: boolean, target: Uint8Array, at: number): number {
  const encoded = huffman ? huffmanLength(text) : text.length;
  if (encoded < text.length) {
    at = integer(encoded, 0x80, 0x7f, target, at);
    return encodeHuffman(text, target, at);
  }
  at = integer(text.length, 0, 0x7f, target, at);
  for (let i = 0; i < text.length; i++) target[at + i] = text.charCodeAt(i);
  return at + text.length;
}
