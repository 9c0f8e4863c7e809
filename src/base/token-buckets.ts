// Token buckets by name, of which there are as many as there is room for: who was not asked for longest goes. All threads of the process
// draw from the same ones: each place of the shared memory has the hash of a name, the state of its bucket, and when it was last asked.
import { TokenBucket, type TokenBucketData } from './token-bucket.ts';
import { xxHash64Of } from './xxhash64.ts';

/** Plain data; `state` is shared, not copied, when it is posted to a worker. */
export interface TokenBucketsData {
  /** How each of them is. */
  readonly each: TokenBucketData;
  readonly count: number;
  readonly state: SharedArrayBuffer;
}

const perPlace = 3;
const Hash = 0;
const State = 1;
const Asked = 2;

export function tokenBucketsData(each: TokenBucketData, count: number): TokenBucketsData {
  return { each, count, state: new SharedArrayBuffer(count * perPlace * BigInt64Array.BYTES_PER_ELEMENT) };
}

export class TokenBuckets {
  readonly #data: TokenBucketsData;
  readonly #places: BigInt64Array;
  readonly #buckets: TokenBucket[] = [];
  /** Where a name was found last, by its hash: another thread may have given the place away. */
  readonly #lastFound = new Map<bigint, number>();
  readonly #now: () => bigint;

  /** `now`: nanoseconds of a clock that all threads share. */
  constructor(data: TokenBucketsData, now: () => bigint = process.hrtime.bigint) {
    this.#data = data;
    this.#places = new BigInt64Array(data.state);
    this.#now = now;
  }

  /** Full when nobody asked for it of late. */
  of(name: string): TokenBucket {
    const hash = hashOf(name);
    const places = this.#places;
    const now = this.#now();
    const last = this.#lastFound.get(hash);
    if (last !== undefined && Atomics.load(places, last * perPlace + Hash) === hash)
      return this.#ask(last, now);
    let oldest = 0;
    for (let i = 0; i < this.#data.count; i++) {
      const at = i * perPlace;
      if (Atomics.load(places, at + Hash) === hash) return this.#found(i, hash, now);
      if (Atomics.load(places, at + Asked) < Atomics.load(places, oldest * perPlace + Asked)) oldest = i;
    }
    const at = oldest * perPlace;
    Atomics.store(places, at + Hash, hash);
    const bucket = this.#found(oldest, hash, now);
    bucket.fill();
    return bucket;
  }

  #found(i: number, hash: bigint, now: bigint): TokenBucket {
    if (this.#lastFound.size >= this.#data.count) this.#lastFound.clear();
    this.#lastFound.set(hash, i);
    return this.#ask(i, now);
  }

  #ask(i: number, now: bigint): TokenBucket {
    Atomics.store(this.#places, i * perPlace + Asked, now);
    const { each, state } = this.#data;
    return (this.#buckets[i] ??= new TokenBucket({ ...each, state }, this.#now, i * perPlace + State));
  }
}

/** Never 0, which is a place that nobody has. */
function hashOf(name: string): bigint {
  const { low, high } = xxHash64Of(name);
  return BigInt.asIntN(64, (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)) || 1n;
}
