// A token bucket that all threads of the process draw from: its state is one 64-bit integer in shared memory, the time at which
// the bucket was last (or would have been) empty. Tokens grow continuously from there.

/** Plain data; `state` is shared, not copied, when it is posted to a worker. */
export interface TokenBucketData {
  readonly maxTokens: number;
  /** Nanoseconds until one token has grown. */
  readonly nsPerToken: number;
  readonly state: SharedArrayBuffer;
}

/** Before any clock's beginning: whatever the bucket's size, it has filled up since. */
const longAgo = -(2n ** 62n);

/** A full bucket. `tokensPerFill` tokens grow in each `fillIntervalMs`. */
export function tokenBucketData(
  maxTokens: number,
  tokensPerFill: number,
  fillIntervalMs: number,
): TokenBucketData {
  const nsPerToken = Math.max(1, Math.round((fillIntervalMs * 1e6) / tokensPerFill));
  const state = new SharedArrayBuffer(8);
  new BigInt64Array(state)[0] = longAgo;
  return { maxTokens, nsPerToken, state };
}

export class TokenBucket {
  readonly maxTokens: number;
  readonly #nsPerToken: bigint;
  readonly #nsOfAll: bigint;
  readonly #emptySince: BigInt64Array;
  readonly #at: number;
  readonly #now: () => bigint;

  /** `now`: nanoseconds of a clock that all threads share. `at`: which integer of the shared memory is its state. */
  constructor(data: TokenBucketData, now: () => bigint = process.hrtime.bigint, at = 0) {
    this.maxTokens = data.maxTokens;
    this.#nsPerToken = BigInt(data.nsPerToken);
    this.#nsOfAll = this.#nsPerToken * BigInt(data.maxTokens);
    this.#emptySince = new BigInt64Array(data.state);
    this.#at = at;
    this.#now = now;
  }

  /** Nanoseconds until one token has grown. */
  get nsPerToken(): number {
    return Number(this.#nsPerToken);
  }

  /** Nobody has taken anything. */
  fill(): void {
    Atomics.store(this.#emptySince, this.#at, longAgo);
  }

  /** Takes that many tokens if they are there. */
  take(tokens = 1): boolean {
    const now = this.#now();
    const cost = tokens === 1 ? this.#nsPerToken : this.#nsPerToken * BigInt(tokens);
    while (true) {
      const seen = Atomics.load(this.#emptySince, this.#at);
      const full = now - this.#nsOfAll;
      const next = (seen > full ? seen : full) + cost;
      if (next > now) return false;
      if (Atomics.compareExchange(this.#emptySince, this.#at, seen, next) === seen) return true;
    }
  }

  /** Puts tokens back, as many as there is room for. */
  give(tokens: number): void {
    const full = this.#now() - this.#nsOfAll;
    while (true) {
      const seen = Atomics.load(this.#emptySince, this.#at);
      if (seen <= full) return;
      const next = seen - this.#nsPerToken * BigInt(tokens);
      if (Atomics.compareExchange(this.#emptySince, this.#at, seen, next > full ? next : full) === seen)
        return;
    }
  }

  get remaining(): number {
    const grown = (this.#now() - Atomics.load(this.#emptySince, this.#at)) / this.#nsPerToken;
    return Math.min(Math.max(Number(grown), 0), this.maxTokens);
  }

  /** 0 while a token is there. */
  get msUntilNext(): number {
    const missing = Atomics.load(this.#emptySince, this.#at) + this.#nsPerToken - this.#now();
    return missing > 0n ? Number(missing) / 1e6 : 0;
  }
}
