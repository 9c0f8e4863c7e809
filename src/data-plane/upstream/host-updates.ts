// When the workers learn that hosts of a cluster have changed: at once, when discovery says so. Only what health checks have found waits
// for more of the kind, when there was an update within the last `update_merge_window`.
import type { Clock } from '#base/clock.ts';
import type { ClusterManagerStats } from '../observe/server-stats.ts';

type UpdateStats = Pick<
  ClusterManagerStats,
  'clusterUpdated' | 'clusterUpdatedViaMerge' | 'updateMergeCancelled' | 'updateOutOfMergeWindow'
>;

export class HostUpdates {
  readonly #windowMs: number;
  readonly #clock: Clock;
  readonly #stats: UpdateStats;
  readonly #post: () => void;
  #lastMs = Number.NEGATIVE_INFINITY;
  #cancel: (() => void) | undefined = undefined;

  /** `windowMs`: 0 for none. */
  constructor(windowMs: number, clock: Clock, stats: UpdateStats, post: () => void) {
    this.#windowMs = windowMs;
    this.#clock = clock;
    this.#stats = stats;
    this.#post = post;
  }

  /** `priorities`: how many of them, as each is counted. False: it waits. */
  update(isMergeable: boolean, priorities: number): boolean {
    const stats = this.#stats;
    if (this.#windowMs > 0) {
      const nowMs = this.#clock.monotonicMs();
      if (isMergeable && nowMs - this.#lastMs <= this.#windowMs) {
        this.#cancel ??= this.#clock.wakeIn(this.#windowMs, () => {
          this.#cancel = undefined;
          this.#lastMs = this.#clock.monotonicMs();
          stats.clusterUpdatedViaMerge.value += priorities;
          this.#post();
        });
        return false;
      }
      if (isMergeable) stats.updateOutOfMergeWindow.value += priorities;
      if (this.#cancel !== undefined) stats.updateMergeCancelled.value += priorities;
      this.close();
      this.#lastMs = nowMs;
    }
    stats.clusterUpdated.value += priorities;
    this.#post();
    return true;
  }

  close(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }
}
