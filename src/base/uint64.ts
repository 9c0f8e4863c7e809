// Arithmetic of 64 bits in two halves of 32, for hashes on the request path: BigInt allocates with every step.

/** One number that every method changes. Both halves are signed, as JavaScript's bitwise operators leave them. */
export class Uint64 {
  high: number;
  low: number;

  constructor(high = 0, low = 0) {
    this.high = high;
    this.low = low;
  }

  set(high: number, low: number): void {
    this.high = high | 0;
    this.low = low | 0;
  }

  add(high: number, low: number): void {
    const sum = (this.low + low) | 0;
    const carry = sum >>> 0 < low >>> 0 ? 1 : 0;
    this.high = (this.high + high + carry) | 0;
    this.low = sum;
  }

  multiply(high: number, low: number): void {
    const own = this.low;
    const a0 = own & 0xffff;
    const a1 = own >>> 16;
    const b0 = low & 0xffff;
    const b1 = low >>> 16;
    const middle = (Math.imul(a1, b0) + (Math.imul(a0, b0) >>> 16)) | 0;
    const rest = (Math.imul(a0, b1) + (middle & 0xffff)) | 0;
    const carried = Math.imul(a1, b1) + (middle >>> 16) + (rest >>> 16);
    this.high = (carried + Math.imul(this.high, low) + Math.imul(own, high)) | 0;
    this.low = Math.imul(own, low);
  }

  xor(high: number, low: number): void {
    this.high ^= high;
    this.low ^= low;
  }

  /** By 1 to 31 bits. */
  rotateLeft(bits: number): void {
    const { high, low } = this;
    this.high = (high << bits) | (low >>> (32 - bits));
    this.low = (low << bits) | (high >>> (32 - bits));
  }

  /** With itself shifted to the right, by 1 to 63 bits. */
  xorShifted(bits: number): void {
    const { high, low } = this;
    if (bits < 32) {
      this.low = low ^ ((low >>> bits) | (high << (32 - bits)));
      this.high = high ^ (high >>> bits);
    } else this.low = low ^ (high >>> (bits - 32));
  }

  /** `divisor`: at most 2^32. */
  modulo(divisor: number): number {
    let rest = (this.high >>> 0) % divisor;
    rest = (rest * 0x10000 + (this.low >>> 16)) % divisor;
    return (rest * 0x10000 + (this.low & 0xffff)) % divisor;
  }

  toBigInt(): bigint {
    return (BigInt(this.high >>> 0) << 32n) | BigInt(this.low >>> 0);
  }

  /** 16 digits. */
  toHex(): string {
    return half(this.high) + half(this.low);
  }
}

function half(bits: number): string {
  return (bits >>> 0).toString(16).padStart(8, '0');
}
