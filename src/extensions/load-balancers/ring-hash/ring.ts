// A ring of hashes: each host has as many as its weight says, and a key belongs to the host of the next one.
import { murmurHash2 } from '#base/murmur-hash2.ts';
import { Uint64 } from '#base/uint64.ts';
import { xxHash64 } from '#base/xxhash64.ts';
import type { HashTable } from '#extension/load-balancer.ts';

export interface RingSize {
  readonly minimum: number;
  readonly maximum: number;
}

/** How many hashes each host has. */
export function hashesPerHost(weights: readonly number[], size: RingSize): number[] {
  const hashes = hashesPerWeight(weights, size);
  let target = 0;
  let reached = 0;
  return weights.map((weight) => {
    const before = reached;
    target += hashes * weight;
    reached = Math.max(reached, Math.ceil(target));
    return reached - before;
  });
}

/** The host of the least weight has a whole number of hashes, as far as the maximum allows. */
export function hashesPerWeight(weights: readonly number[], { minimum, maximum }: RingSize): number {
  const least = weights.reduce((a, b) => Math.min(a, b), 1);
  return Math.min(Math.ceil(least * minimum) / least, maximum);
}

export class Ring implements HashTable {
  readonly #highs: Uint32Array;
  readonly #lows: Uint32Array;
  readonly #hosts: Uint32Array;

  /** `counts`: how many hashes the host of each key has. */
  constructor(keys: readonly string[], counts: readonly number[], isMurmur: boolean) {
    const size = counts.reduce((sum, it) => sum + it, 0);
    const highs = new Uint32Array(size);
    const lows = new Uint32Array(size);
    const hosts = new Uint32Array(size);
    const hash = new Uint64();
    const word = new Uint64();
    let at = 0;
    keys.forEach((key, host) => {
      for (let i = 0; i < counts[host]!; i++) {
        if (isMurmur) murmurHash2(`${key}_${i}`, hash, word);
        else xxHash64(`${key}_${i}`, hash);
        highs[at] = hash.high;
        lows[at] = hash.low;
        hosts[at++] = host;
      }
    });
    const order = new Uint32Array(size)
      .map((_, i) => i)
      .sort((a, b) => highs[a]! - highs[b]! || lows[a]! - lows[b]!);
    this.#highs = order.map((i) => highs[i]!);
    this.#lows = order.map((i) => lows[i]!);
    this.#hosts = order.map((i) => hosts[i]!);
  }

  choose(hash: Uint64, refusals: number): number {
    const size = this.#highs.length;
    if (size === 0) return -1;
    return this.#hosts[(this.#next(hash.high >>> 0, hash.low >>> 0) + refusals) % size]!;
  }

  /** The first hash that is not below; behind the last one the ring begins again. */
  #next(high: number, low: number): number {
    const highs = this.#highs;
    const lows = this.#lows;
    let from = 0;
    let to = highs.length;
    while (from < to) {
      const at = (from + to) >>> 1;
      const found = highs[at]!;
      if (found < high || (found === high && lows[at]! < low)) from = at + 1;
      else to = at;
    }
    return from === highs.length ? 0 : from;
  }
}
