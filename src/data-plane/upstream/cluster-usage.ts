// How much of each cluster is in use, in memory that all workers see: circuit breakers count over all of them.
//
//     a cluster:  | sums | of worker 0 | of worker 1 | ...
//
// Each part is a cache line and has a count of each resource for either priority. Limits are compared with the sums. What a worker has added to them
// it keeps beside, so that it can be taken back when the worker dies.

/** Clusters of one piece of memory. Pages that nobody touches cost nothing. */
export const clustersPerChunk = 1024;
const lineLength = 16;
const perPriority = lineLength / 2;

/** All but the last two go down again. */
export const Resource = {
  Connections: 0,
  Pending: 1,
  Requests: 2,
  Retries: 3,
  Pools: 4,
  AllRetries: 5,
  /** 1 from the first connection on. */
  Traffic: 6,
} as const;
export type Resource = (typeof Resource)[keyof typeof Resource];

export function usageChunk(workers: number): SharedArrayBuffer {
  return new SharedArrayBuffer(clustersPerChunk * (1 + workers) * lineLength * Int32Array.BYTES_PER_ELEMENT);
}

/** A worker has died, and what it was doing with it. */
export function forgetUsage(chunk: SharedArrayBuffer, worker: number): void {
  const counts = new Int32Array(chunk);
  const stride = counts.length / clustersPerChunk;
  for (let sums = 0; sums < counts.length; sums += stride) {
    const own = sums + (1 + worker) * lineLength;
    for (let i = 0; i < lineLength; i++) {
      if (counts[own + i] === 0) continue;
      Atomics.sub(counts, sums + i, counts[own + i]!);
      counts[own + i] = 0;
    }
  }
}

/** Of a slot that nobody uses. */
export function clearLasting(counts: Int32Array, slot: number): void {
  const stride = counts.length / clustersPerChunk;
  for (let line = slot * stride; line < (slot + 1) * stride; line += perPriority)
    counts[line + Resource.AllRetries] = counts[line + Resource.Traffic] = 0;
}

/** Of one cluster and priority, as one worker sees it. */
export class ClusterUsage {
  readonly #counts: Int32Array;
  readonly #sums: number;
  readonly #own: number;

  /** `slot`: which of the chunk's clusters. */
  constructor(counts: Int32Array, slot: number, worker: number, priority: 0 | 1) {
    this.#counts = counts;
    this.#sums = (counts.length / clustersPerChunk) * slot + priority * perPriority;
    this.#own = this.#sums + (1 + worker) * lineLength;
  }

  /** Of all workers. */
  of(resource: Resource): number {
    return this.#counts[this.#sums + resource]!;
  }

  /** It was connected to, at some time. */
  get hasTraffic(): boolean {
    return this.#counts[this.#sums + Resource.Traffic] !== 0;
  }

  noteTraffic(): void {
    this.#counts[this.#sums + Resource.Traffic] = 1;
  }

  /** Returns how much there is now. */
  add(resource: Resource, by: number): number {
    this.#counts[this.#own + resource]! += by;
    return Atomics.add(this.#counts, this.#sums + resource, by) + by;
  }
}
