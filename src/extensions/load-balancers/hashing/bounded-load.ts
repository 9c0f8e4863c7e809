// `hash_balance_factor`: a host that has more than its bound of the requests under way passes the next ones on, to hosts in an order
// that depends on the hash alone. Counts are those of this thread.
import { MersenneTwister } from '#base/mersenne-twister.ts';
import type { Uint64 } from '#base/uint64.ts';
import type { ClusterLoad, HashTable, WeightedHost } from '#extension/load-balancer.ts';

const twister = new MersenneTwister();

export class BoundedLoad implements HashTable {
  readonly #table: HashTable;
  readonly #hosts: readonly WeightedHost[];
  readonly #factor: number;
  readonly #load: ClusterLoad;
  readonly #order: Uint32Array;

  constructor(table: HashTable, hosts: readonly WeightedHost[], factor: number, load: ClusterLoad) {
    this.#table = table;
    this.#hosts = hosts;
    this.#factor = factor;
    this.#load = load;
    this.#order = new Uint32Array(hosts.length);
  }

  choose(hash: Uint64, refusals: number): number {
    const first = this.#table.choose(hash, refusals);
    const fill = this.#fill(first);
    if (fill <= 1) return first;
    const order = this.#order;
    const { length } = order;
    for (let i = 0; i < length; i++) order[i] = i;
    twister.seed(hash.low);
    let least = first;
    let leastFill = fill;
    for (let i = 0; i < length; i++) {
      const chosen = i + below(length - i);
      const next = order[chosen]!;
      order[chosen] = order[i]!;
      order[i] = next;
      if (next === first) continue;
      const nextFill = this.#fill(next);
      if (nextFill <= 1) return next;
      if (nextFill < leastFill) {
        least = next;
        leastFill = nextFill;
      }
    }
    return least;
  }

  /** Above 1: it has more than its bound. */
  #fill(index: number): number {
    const { host, weight } = this.#hosts[index]!;
    const slots = Math.floor(((this.#load.activeRequests + 1) * this.#factor + 99) / 100);
    return host.activeRequests / Math.max(1, Math.ceil(slots * weight));
  }
}

/** Each number below `count` is as likely. */
function below(count: number): number {
  const width = Math.floor(0x100000000 / count);
  let number = count;
  while (number >= count) number = Math.floor(twister.next() / width);
  return number;
}
