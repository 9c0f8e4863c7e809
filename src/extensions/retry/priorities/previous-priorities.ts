// Every `updateFrequency` attempts, the priorities of those before get nothing and the others all, until none is left.
import type { Host, PriorityShares } from '#extension/load-balancer.ts';
import type { RetryPriority } from '#extension/retry-priority.ts';

export class PreviousPriorities implements RetryPriority {
  readonly #updateFrequency: number;
  #tried: number[] = [];
  #excluded: boolean[] = [];
  #shares: PriorityShares | undefined = undefined;

  constructor(updateFrequency: number) {
    this.#updateFrequency = updateFrequency;
  }

  onHostTried(host: Host): void {
    this.#tried.push(host.priority);
  }

  shares(availability: PriorityShares): PriorityShares | undefined {
    const tried = this.#tried;
    if (tried.length < this.#updateFrequency) return undefined;
    if (tried.length % this.#updateFrequency === 0) {
      for (let i = 0; i < tried.length; i++) this.#excluded[tried[i]!] = true;
      this.#shares = this.#withoutExcluded(availability);
    }
    return this.#shares;
  }

  #withoutExcluded({ healthy, degraded }: PriorityShares): PriorityShares | undefined {
    let total = this.#total(healthy, degraded);
    if (total === 0) {
      // All have been tried: from the beginning.
      this.#excluded = [];
      this.#tried = [];
      total = this.#total(healthy, degraded);
    }
    if (total === 0) return undefined;
    const shares = { healthy: healthy.map(() => 0), degraded: degraded.map(() => 0) };
    // What rounding leaves goes to the first that has some.
    for (let left = 100; left > 0; ) {
      left = this.#share(healthy, total, left, shares.healthy);
      left = this.#share(degraded, total, left, shares.degraded);
    }
    return shares;
  }

  #share(availability: readonly number[], total: number, left: number, to: number[]): number {
    let rest = left;
    for (let i = 0; i < availability.length; i++) {
      if (this.#excluded[i] === true) continue;
      const share = Math.min(rest, Math.floor((availability[i]! * 100) / total));
      to[i]! += share;
      rest -= share;
    }
    return rest;
  }

  #total(healthy: readonly number[], degraded: readonly number[]): number {
    let total = 0;
    for (let i = 0; i < healthy.length; i++)
      if (this.#excluded[i] !== true) total += healthy[i]! + degraded[i]!;
    return Math.min(100, total);
  }
}
