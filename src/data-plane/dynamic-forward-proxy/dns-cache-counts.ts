// How many hosts a cache has and how many requests wait for it, in memory that all threads see.
//
//     | hosts | waiting in worker 0 | in worker 1 | ...

export function sharedDnsCacheCounts(workers: number): SharedArrayBuffer {
  return new SharedArrayBuffer((1 + workers) * Int32Array.BYTES_PER_ELEMENT);
}

export class DnsCacheCounts {
  readonly #counts: Int32Array;

  constructor(shared: SharedArrayBuffer) {
    this.#counts = new Int32Array(shared);
  }

  get hosts(): number {
    return Atomics.load(this.#counts, 0);
  }

  set hosts(hosts: number) {
    Atomics.store(this.#counts, 0, hosts);
  }

  /** Of all workers. */
  get waiting(): number {
    let all = 0;
    for (let i = 1; i < this.#counts.length; i++) all += Atomics.load(this.#counts, i);
    return all;
  }

  setWaiting(worker: number, requests: number): void {
    Atomics.store(this.#counts, 1 + worker, requests);
  }
}
