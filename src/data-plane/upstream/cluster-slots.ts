// Which place each cluster has in the memory where workers count its use; see `cluster-usage.ts`. Clusters come and go: a place is given away
// again when nothing is counted there any more.
import {
  ClusterUsage,
  clearLasting,
  clustersPerChunk,
  forgetUsage,
  Resource,
  usageChunk,
} from './cluster-usage.ts';

export interface ClusterSlot {
  readonly slot: number;
  /** By priority, to read. */
  readonly usage: readonly [ClusterUsage, ClusterUsage];
}

export class ClusterSlots {
  readonly #workers: number;
  readonly #onChunk: (chunk: SharedArrayBuffer) => void;
  readonly #chunks: SharedArrayBuffer[] = [];
  readonly #free: ClusterSlot[] = [];
  #next = 0;

  /** `onChunk`: there is one more, which workers have to know before the clusters in it. */
  constructor(workers: number, onChunk: (chunk: SharedArrayBuffer) => void) {
    this.#workers = workers;
    this.#onChunk = onChunk;
  }

  get chunks(): readonly SharedArrayBuffer[] {
    return this.#chunks;
  }

  take(): ClusterSlot {
    const free = this.#free.findIndex(isUnused);
    if (free >= 0) {
      const [slot] = this.#free.splice(free, 1);
      clearLasting(
        new Int32Array(this.#chunks[Math.floor(slot!.slot / clustersPerChunk)]!),
        slot!.slot % clustersPerChunk,
      );
      return slot!;
    }
    const slot = this.#next++;
    if (slot >= this.#chunks.length * clustersPerChunk) {
      const chunk = usageChunk(this.#workers);
      this.#chunks.push(chunk);
      this.#onChunk(chunk);
    }
    const counts = new Int32Array(this.#chunks[Math.floor(slot / clustersPerChunk)]!);
    const at = slot % clustersPerChunk;
    return { slot, usage: [new ClusterUsage(counts, at, 0, 0), new ClusterUsage(counts, at, 0, 1)] };
  }

  giveBack(slot: ClusterSlot): void {
    this.#free.push(slot);
  }

  forgetWorker(worker: number): void {
    for (const it of this.#chunks) forgetUsage(it, worker);
  }
}

function isUnused({ usage }: ClusterSlot): boolean {
  const counted = Object.values(Resource).filter(
    (it) => it !== Resource.AllRetries && it !== Resource.Traffic,
  );
  return usage.every((it) => counted.every((resource) => it.of(resource) === 0));
}
