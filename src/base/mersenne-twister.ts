// MT19937 of 32 bits: for numbers that are the same wherever they are made from the same seed.

const size = 624;
const middle = 397;

export class MersenneTwister {
  readonly #state = new Int32Array(size);
  #at = size;

  seed(seed: number): void {
    const state = this.#state;
    state[0] = seed;
    for (let i = 1; i < size; i++) {
      const before = state[i - 1]!;
      state[i] = Math.imul(before ^ (before >>> 30), 1812433253) + i;
    }
    this.#at = size;
  }

  /** Not negative, 32 bits. */
  next(): number {
    if (this.#at === size) this.#twist();
    let bits = this.#state[this.#at++]!;
    bits ^= bits >>> 11;
    bits ^= (bits << 7) & 0x9d2c5680;
    bits ^= (bits << 15) & 0xefc60000;
    return (bits ^ (bits >>> 18)) >>> 0;
  }

  #twist(): void {
    const state = this.#state;
    for (let i = 0; i < size; i++) {
      const bits = (state[i]! & 0x80000000) | (state[(i + 1) % size]! & 0x7fffffff);
      state[i] = state[(i + middle) % size]! ^ (bits >>> 1) ^ (bits & 1 ? 0x9908b0df : 0);
    }
    this.#at = 0;
  }
}
