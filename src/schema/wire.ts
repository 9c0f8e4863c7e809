// The grain of protobuf's binary form: varints, fixed numbers, lengths. Own code rather than @bufbuild/protobuf/wire, which does the same
// but takes 10 ms to load, a tenth of the whole start; that library is the judge in the tests.

export const WireType = { Varint: 0, Bit64: 1, Bytes: 2, StartGroup: 3, EndGroup: 4, Bit32: 5 } as const;
export type WireType = (typeof WireType)[keyof typeof WireType];

/** Bytes that end or go on where they should not. */
export class WireError extends Error {
  override readonly name = 'WireError';
}

/** Groups inside each other, in fields that nobody knows. */
const maxGroups = 100;

export class WireReader {
  pos = 0;
  readonly end: number;
  readonly #bytes: Buffer;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.isBuffer(bytes)
      ? bytes
      : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.end = bytes.length;
  }

  /** Field number and wire type in one: `tag >>> 3`, `tag & 7`. */
  tag(): number {
    const tag = this.uint32();
    if (tag >>> 3 === 0) throw new WireError('field number 0');
    return tag;
  }

  /** A varint of which the low 32 bits count. */
  uint32(): number {
    let result = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.#byte();
      if (shift < 32) result |= (byte & 0x7f) << shift;
      if (byte < 0x80) return result >>> 0;
    }
    throw new WireError('a number of more than 10 bytes');
  }

  int32(): number {
    return this.uint32() | 0;
  }

  sint32(): number {
    const value = this.uint32();
    return (value >>> 1) ^ -(value & 1);
  }

  uint64(): bigint {
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.#byte();
      const bits = byte & 0x7f;
      if (shift < 28) low |= bits << shift;
      else if (shift === 28) {
        low |= bits << 28;
        high = bits >>> 4;
      } else high |= bits << (shift - 32);
      if (byte < 0x80) return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
    }
    throw new WireError('a number of more than 10 bytes');
  }

  int64(): bigint {
    return BigInt.asIntN(64, this.uint64());
  }

  sint64(): bigint {
    const value = this.uint64();
    return (value >> 1n) ^ -(value & 1n);
  }

  bool(): boolean {
    return this.uint64() !== 0n;
  }

  fixed32(): number {
    return this.#bytes.readUInt32LE(this.#advance(4));
  }

  sfixed32(): number {
    return this.#bytes.readInt32LE(this.#advance(4));
  }

  fixed64(): bigint {
    return this.#bytes.readBigUInt64LE(this.#advance(8));
  }

  sfixed64(): bigint {
    return this.#bytes.readBigInt64LE(this.#advance(8));
  }

  float(): number {
    return this.#bytes.readFloatLE(this.#advance(4));
  }

  double(): number {
    return this.#bytes.readDoubleLE(this.#advance(8));
  }

  /** A length; answers where what it announces ends. */
  length(): number {
    const length = this.uint32();
    if (length > this.end - this.pos)
      throw new WireError(`${length} bytes announced, ${this.end - this.pos} left`);
    return this.pos + length;
  }

  /** A view of the input, not a copy. */
  bytes(): Buffer {
    const end = this.length();
    const bytes = this.#bytes.subarray(this.pos, end);
    this.pos = end;
    return bytes;
  }

  text(): string {
    const start = this.length();
    const from = this.pos;
    this.pos = start;
    const text = this.#bytes.toString('utf8', from, start);
    // What is not UTF-8 becomes U+FFFD, which may also be there by right.
    if (text.includes('\ufffd') && !Buffer.from(text).equals(this.#bytes.subarray(from, start)))
      throw new WireError('text that is not UTF-8');
    return text;
  }

  /** The bytes between two places, as a copy. */
  copy(start: number, end: number): Uint8Array {
    return new Uint8Array(this.#bytes.subarray(start, end));
  }

  /** Passes over the value of a field. */
  skip(tag: number, groups = 0): void {
    switch (tag & 7) {
      case WireType.Varint:
        this.uint64();
        break;
      case WireType.Bit64:
        this.#advance(8);
        break;
      case WireType.Bytes:
        this.pos = this.length();
        break;
      case WireType.Bit32:
        this.#advance(4);
        break;
      case WireType.StartGroup:
        this.#skipGroup(tag >>> 3, groups + 1);
        break;
      default:
        throw new WireError(`wire type ${tag & 7}`);
    }
  }

  #skipGroup(number: number, groups: number): void {
    if (groups > maxGroups) throw new WireError(`more than ${maxGroups} groups inside each other`);
    for (;;) {
      const tag = this.tag();
      if ((tag & 7) === WireType.EndGroup) {
        if (tag >>> 3 !== number) throw new WireError('the end of a group that did not begin');
        return;
      }
      this.skip(tag, groups);
    }
  }

  #byte(): number {
    if (this.pos >= this.end) throw new WireError('the bytes end in the middle of a field');
    return this.#bytes[this.pos++]!;
  }

  #advance(count: number): number {
    const start = this.pos;
    if (count > this.end - start) throw new WireError('the bytes end in the middle of a field');
    this.pos = start + count;
    return start;
  }
}

export class WireWriter {
  #bytes = Buffer.allocUnsafe(256);
  #pos = 0;

  finish(): Uint8Array {
    return new Uint8Array(this.#bytes.subarray(0, this.#pos));
  }

  tag(number: number, wireType: WireType): void {
    this.uint32(((number << 3) | wireType) >>> 0);
  }

  uint32(value: number): void {
    if (!Number.isInteger(value) || value < 0 || value > 0xffffffff)
      throw new RangeError(`${value} is not a uint32`);
    this.#reserve(5);
    let rest = value;
    while (rest > 0x7f) {
      this.#bytes[this.#pos++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#bytes[this.#pos++] = rest;
  }

  int32(value: number): void {
    checkInt32(value);
    if (value >= 0) this.uint32(value);
    else this.#varint64(BigInt.asUintN(64, BigInt(value)));
  }

  sint32(value: number): void {
    checkInt32(value);
    this.uint32(((value << 1) ^ (value >> 31)) >>> 0);
  }

  uint64(value: bigint): void {
    if (value !== BigInt.asUintN(64, value)) throw new RangeError(`${value} is not a uint64`);
    this.#varint64(value);
  }

  int64(value: bigint): void {
    checkInt64(value);
    this.#varint64(BigInt.asUintN(64, value));
  }

  sint64(value: bigint): void {
    checkInt64(value);
    this.#varint64(BigInt.asUintN(64, (value << 1n) ^ (value >> 63n)));
  }

  bool(value: boolean): void {
    this.uint32(value ? 1 : 0);
  }

  fixed32(value: number): void {
    this.#pos = this.#reserve(4).writeUInt32LE(value, this.#pos);
  }

  sfixed32(value: number): void {
    this.#pos = this.#reserve(4).writeInt32LE(value, this.#pos);
  }

  fixed64(value: bigint): void {
    this.#pos = this.#reserve(8).writeBigUInt64LE(value, this.#pos);
  }

  sfixed64(value: bigint): void {
    this.#pos = this.#reserve(8).writeBigInt64LE(value, this.#pos);
  }

  float(value: number): void {
    this.#pos = this.#reserve(4).writeFloatLE(value, this.#pos);
  }

  double(value: number): void {
    this.#pos = this.#reserve(8).writeDoubleLE(value, this.#pos);
  }

  bytes(value: Uint8Array): void {
    this.uint32(value.length);
    this.#reserve(value.length).set(value, this.#pos);
    this.#pos += value.length;
  }

  text(value: string): void {
    const length = Buffer.byteLength(value);
    this.uint32(length);
    this.#reserve(length).write(value, this.#pos);
    this.#pos += length;
  }

  /** Begins something with its length before it. `join` with the answer ends it. */
  fork(): number {
    this.#reserve(1);
    return this.#pos++;
  }

  join(start: number): void {
    const length = this.#pos - start - 1;
    let size = 1;
    for (let rest = length; rest > 0x7f; rest >>>= 7) size++;
    // Most are short; the others move to make room for their length.
    if (size > 1) this.#reserve(size).copyWithin(start + size, start + 1, this.#pos);
    let rest = length;
    for (let i = 0; i < size; i++, rest >>>= 7)
      this.#bytes[start + i] = (rest & 0x7f) | (i < size - 1 ? 0x80 : 0);
    this.#pos = start + size + length;
  }

  #varint64(value: bigint): void {
    this.#reserve(10);
    let rest = value;
    while (rest > 0x7fn) {
      this.#bytes[this.#pos++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    this.#bytes[this.#pos++] = Number(rest);
  }

  #reserve(count: number): Buffer {
    if (this.#pos + count > this.#bytes.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#pos + count));
      this.#bytes.copy(grown, 0, 0, this.#pos);
      this.#bytes = grown;
    }
    return this.#bytes;
  }
}

function checkInt32(value: number): void {
  if (value !== (value | 0)) throw new RangeError(`${value} is not an int32`);
}

function checkInt64(value: bigint): void {
  if (value !== BigInt.asIntN(64, value)) throw new RangeError(`${value} is not an int64`);
}
