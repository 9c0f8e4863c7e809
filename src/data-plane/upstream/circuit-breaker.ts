// The limits of one cluster and priority. Counts are of all workers.

import type { Thresholds } from './cluster-config.ts';
import type { CircuitBreakerStats } from './cluster-stats.ts';
import { type ClusterUsage, Resource } from './cluster-usage.ts';

export class CircuitBreaker {
  readonly #limits: Thresholds;
  readonly #stats: CircuitBreakerStats;
  readonly #usage: ClusterUsage;

  constructor(limits: Thresholds, stats: CircuitBreakerStats, usage: ClusterUsage) {
    this.#limits = limits;
    this.#stats = stats;
    this.#usage = usage;
  }

  get allowsConnection(): boolean {
    return this.#usage.of(Resource.Connections) < this.#limits.maxConnections;
  }

  get allowsPending(): boolean {
    return this.#usage.of(Resource.Pending) < this.#limits.maxPendingRequests;
  }

  get allowsRequest(): boolean {
    return this.#usage.of(Resource.Requests) < this.#limits.maxRequests;
  }

  get allowsRetry(): boolean {
    return this.#usage.of(Resource.Retries) < this.#maxRetries();
  }

  addConnections(by: number): void {
    const count = this.#usage.add(Resource.Connections, by);
    this.#stats.cxOpen.value = count >= this.#limits.maxConnections ? 1 : 0;
  }

  addPending(by: number): void {
    const count = this.#usage.add(Resource.Pending, by);
    this.#stats.rqPendingOpen.value = count >= this.#limits.maxPendingRequests ? 1 : 0;
  }

  addRequests(by: number): void {
    const count = this.#usage.add(Resource.Requests, by);
    this.#stats.rqOpen.value = count >= this.#limits.maxRequests ? 1 : 0;
  }

  addRetries(by: number): void {
    const count = this.#usage.add(Resource.Retries, by);
    this.#stats.rqRetryOpen.value = count >= this.#maxRetries() ? 1 : 0;
  }

  /** The number of pools is not limited: `max_connection_pools` is refused when parsed. */
  countPools(): void {
    this.#stats.cxPoolOpen.value = 0;
  }

  /** Other workers may have changed what this one saw last. */
  refreshStats(): void {
    const { cxOpen, rqPendingOpen, rqOpen, rqRetryOpen } = this.#stats;
    if (cxOpen.used) this.addConnections(0);
    if (rqPendingOpen.used) this.addPending(0);
    if (rqOpen.used) this.addRequests(0);
    if (rqRetryOpen.used) this.addRetries(0);
  }

  #maxRetries(): number {
    const budget = this.#limits.retryBudget;
    if (budget === undefined) return this.#limits.maxRetries;
    const active = this.#usage.of(Resource.Requests) + this.#usage.of(Resource.Pending);
    const allowed = Math.floor((active * budget.percent) / 100);
    return allowed > budget.minConcurrency ? allowed : budget.minConcurrency;
  }
}
