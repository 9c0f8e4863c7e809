// The limits of one cluster and priority. Counts are of all workers.

import type { Thresholds } from './cluster-config.ts';
import type { CircuitBreakerStats, RemainingStats } from './cluster-stats.ts';
import { type ClusterUsage, Resource } from './cluster-usage.ts';

/** `LiveThresholds` */
export interface Limits {
  readonly now: Thresholds;
}

export class CircuitBreaker {
  readonly #limits: Limits;
  readonly #stats: CircuitBreakerStats;
  readonly #usage: ClusterUsage;

  constructor(limits: Limits, stats: CircuitBreakerStats, usage: ClusterUsage) {
    this.#limits = limits;
    this.#stats = stats;
    this.#usage = usage;
  }

  /** `ofHost`: how many the host has. */
  allowsConnection(ofHost: number): boolean {
    return (
      ofHost < this.#limits.now.maxConnectionsPerHost &&
      this.#usage.of(Resource.Connections) < this.#limits.now.maxConnections
    );
  }

  get allowsPending(): boolean {
    return this.#usage.of(Resource.Pending) < this.#limits.now.maxPendingRequests;
  }

  get allowsRequest(): boolean {
    return this.#usage.of(Resource.Requests) < this.#limits.now.maxRequests;
  }

  get allowsRetry(): boolean {
    return this.#usage.of(Resource.Retries) < maxRetries(this.#limits.now, this.#usage);
  }

  get allowsPool(): boolean {
    return this.#usage.of(Resource.Pools) < this.#limits.now.maxConnectionPools;
  }

  addConnections(by: number): void {
    if (by > 0) this.#usage.noteTraffic();
    const count = this.#usage.add(Resource.Connections, by);
    this.#stats.cxOpen.value = count >= this.#limits.now.maxConnections ? 1 : 0;
  }

  addPending(by: number): void {
    const count = this.#usage.add(Resource.Pending, by);
    this.#stats.rqPendingOpen.value = count >= this.#limits.now.maxPendingRequests ? 1 : 0;
  }

  addRequests(by: number): void {
    const count = this.#usage.add(Resource.Requests, by);
    this.#stats.rqOpen.value = count >= this.#limits.now.maxRequests ? 1 : 0;
  }

  addRetries(by: number): void {
    const count = this.#usage.add(Resource.Retries, by);
    if (by > 0) this.#usage.add(Resource.AllRetries, by);
    // Not of the budget, where there is one.
    this.#stats.rqRetryOpen.value = count >= this.#limits.now.maxRetries ? 1 : 0;
  }

  addPools(by: number): void {
    const count = this.#usage.add(Resource.Pools, by);
    this.#stats.cxPoolOpen.value = count >= this.#limits.now.maxConnectionPools ? 1 : 0;
  }

  /** Other workers may have changed what this one saw last. */
  refreshStats(): void {
    const { cxOpen, cxPoolOpen, rqPendingOpen, rqOpen, rqRetryOpen } = this.#stats;
    if (cxOpen.used) this.addConnections(0);
    if (cxPoolOpen.used) this.addPools(0);
    if (rqPendingOpen.used) this.addPending(0);
    if (rqOpen.used) this.addRequests(0);
    if (rqRetryOpen.used) this.addRetries(0);
  }
}

/** At the moment. */
export function maxRetries({ maxRetries, retryBudget }: Thresholds, usage: ClusterUsage): number {
  if (retryBudget === undefined) return maxRetries;
  const active = usage.of(Resource.Requests) + usage.of(Resource.Pending);
  const allowed = Math.floor((active * retryBudget.percent) / 100);
  return allowed > retryBudget.minConcurrency ? allowed : retryBudget.minConcurrency;
}

/** `track_remaining`: what the limits still allow, as the main thread sees it. */
export class RemainingResources {
  readonly #limits: Limits;
  readonly #usage: ClusterUsage;
  readonly #stats: RemainingStats;

  constructor(limits: Limits, usage: ClusterUsage, stats: RemainingStats) {
    this.#limits = limits;
    this.#usage = usage;
    this.#stats = stats;
    this.refresh();
  }

  /** Envoy does not keep this of a budget: it shows `max_retries` until something is tried again, and zero after that. */
  #remainingRetries(): number {
    const { maxRetries: limit, retryBudget } = this.#limits.now;
    if (retryBudget === undefined) return Math.max(0, limit - this.#usage.of(Resource.Retries));
    return this.#usage.of(Resource.AllRetries) > 0 ? 0 : limit;
  }

  refresh(): void {
    const limits = this.#limits.now;
    const left = (limit: number, resource: Resource) => Math.max(0, limit - this.#usage.of(resource));
    const stats = this.#stats;
    stats.remainingCx.value = left(limits.maxConnections, Resource.Connections);
    stats.remainingPending.value = left(limits.maxPendingRequests, Resource.Pending);
    stats.remainingRq.value = left(limits.maxRequests, Resource.Requests);
    stats.remainingRetries.value = this.#remainingRetries();
    // Without a limit of its own it is that of 64 bits, which a negative gauge is printed as.
    stats.remainingCxPools.value = Number.isFinite(limits.maxConnectionPools)
      ? left(limits.maxConnectionPools, Resource.Pools)
      : -1 - this.#usage.of(Resource.Pools);
  }
}
