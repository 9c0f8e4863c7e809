// How many connections are open, over all workers: one number per worker in memory that all of them see. Listeners refuse above their
// limits by it.
import type { Counter, Gauge } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';

export class ConnectionCounts {
  readonly #byWorker: Int32Array;
  readonly #own: number;

  /** `shared`: from `sharedCounts`. */
  constructor(shared: SharedArrayBuffer, worker: number) {
    this.#byWorker = new Int32Array(shared);
    this.#own = worker;
  }

  add(connections: 1 | -1): void {
    Atomics.add(this.#byWorker, this.#own, connections);
  }

  get total(): number {
    let total = 0;
    for (let i = 0; i < this.#byWorker.length; i++) total += Atomics.load(this.#byWorker, i);
    return total;
  }
}

/** The limit of the overload manager. Unlike that of the runtime, it does not count connections of listeners that ignore it. */
export interface ConnectionLimit {
  readonly max: number;
  readonly stats: ConnectionLimitStats;
}

export class ConnectionLimitStats {
  readonly failedUpdates: Counter;
  readonly pressure: Gauge;

  constructor(scope: Scope) {
    this.failedUpdates = scope.counter('failed_updates');
    // Envoy does not set it either for what is only asked for.
    this.pressure = scope.gauge('pressure');
  }
}

export function sharedCounts(workers: number): SharedArrayBuffer {
  return new SharedArrayBuffer(workers * Int32Array.BYTES_PER_ELEMENT);
}

/** A worker has died, and its connections with it. */
export function forgetWorker(shared: SharedArrayBuffer, worker: number): void {
  Atomics.store(new Int32Array(shared), worker, 0);
}
