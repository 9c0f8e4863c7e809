// How many connections are open, over all workers: one number per worker in memory that all of them see. Listeners refuse above their
// limits by it.
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

export function sharedCounts(workers: number): SharedArrayBuffer {
  return new SharedArrayBuffer(workers * Int32Array.BYTES_PER_ELEMENT);
}

/** A worker has died, and its connections with it. */
export function forgetWorker(shared: SharedArrayBuffer, worker: number): void {
  Atomics.store(new Int32Array(shared), worker, 0);
}
