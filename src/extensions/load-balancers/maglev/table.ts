// Maglev's table: hosts take places in turn, each in the order of its own permutation, as often as its weight says.
import { Uint64 } from '#base/uint64.ts';
import { xxHash64 } from '#base/xxhash64.ts';
import type { HashTable } from '#extension/load-balancer.ts';

/** Whose turn it is, until `size` places are taken: calls back with an index of the weights. */
export function takeTurns(weights: readonly number[], size: number, take: (index: number) => void): void {
  const most = weights.reduce((a, b) => Math.max(a, b), 0);
  const targets = new Float64Array(weights.length);
  let taken = 0;
  for (let round = 1; taken < size; round++) {
    for (let i = 0; i < weights.length && taken < size; i++) {
      if (round * weights[i]! < targets[i]!) continue;
      targets[i]! += most;
      take(i);
      taken++;
    }
  }
}

/** By their keys, so that the order in which hosts are told makes no difference. */
export function orderOf(keys: readonly string[]): number[] {
  return keys.map((_, i) => i).sort((a, b) => compare(keys[a]!, keys[b]!));
}

export class MaglevTable implements HashTable {
  /** Which host has the place. */
  readonly #places: Int32Array;

  constructor(keys: readonly string[], weights: readonly number[], size: number) {
    const places = new Int32Array(keys.length === 0 ? 0 : size).fill(-1);
    this.#places = places;
    if (keys.length === 0) return;
    const hash = new Uint64();
    const order = orderOf(keys);
    const next = order.map((i) => remainder(keys[i]!, 0, size, hash));
    const skips = order.map((i) => remainder(keys[i]!, 1, size - 1, hash) + 1);
    const take = (i: number) => {
      let at = next[i]!;
      while (places[at]! >= 0) at = (at + skips[i]!) % size;
      places[at] = order[i]!;
      next[i] = (at + skips[i]!) % size;
    };
    takeTurns(
      order.map((i) => weights[i]!),
      size,
      take,
    );
  }

  choose(hash: Uint64, refusals: number): number {
    const { length } = this.#places;
    if (length === 0) return -1;
    if (refusals > 0) hash.xor(-1, -refusals);
    const place = hash.modulo(length);
    if (refusals > 0) hash.xor(-1, -refusals);
    return this.#places[place]!;
  }
}

function remainder(key: string, seed: number, divisor: number, hash: Uint64): number {
  xxHash64(key, hash, seed);
  return hash.modulo(divisor);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
