// The limits of one cluster and priority. Counts are of this thread: with several workers each has the whole limit.

import type { Thresholds } from './cluster-config.ts';
import type { CircuitBreakerStats } from './cluster-stats.ts';

export class CircuitBreaker {
  connections = 0;
  pending = 0;
  requests = 0;
  retries = 0;
  readonly #limits: Thresholds;
  readonly #stats: CircuitBreakerStats;

  constructor(limits: Thresholds, stats: CircuitBreakerStats) {
    this.#limits = limits;
    this.#stats = stats;
  }

  get allowsConnection(): boolean {
    return this.connections < this.#limits.maxConnections;
  }

  get allowsPending(): boolean {
    return this.pending < this.#limits.maxPendingRequests;
  }

  get allowsRequest(): boolean {
    return this.requests < this.#limits.maxRequests;
  }

  get allowsRetry(): boolean {
    return this.retries < this.#maxRetries();
  }

  addConnections(by: number): void {
    this.connections += by;
    this.#stats.cxOpen.value = this.connections >= this.#limits.maxConnections ? 1 : 0;
  }

  addPending(by: number): void {
    this.pending += by;
    this.#stats.rqPendingOpen.value = this.pending >= this.#limits.maxPendingRequests ? 1 : 0;
  }

  addRequests(by: number): void {
    this.requests += by;
    this.#stats.rqOpen.value = this.requests >= this.#limits.maxRequests ? 1 : 0;
  }

  addRetries(by: number): void {
    this.retries += by;
    this.#stats.rqRetryOpen.value = this.retries >= this.#maxRetries() ? 1 : 0;
  }

  /** The number of pools is not limited: `max_connection_pools` is refused when parsed. */
  countPools(): void {
    this.#stats.cxPoolOpen.value = 0;
  }

  #maxRetries(): number {
    const budget = this.#limits.retryBudget;
    if (budget === undefined) return this.#limits.maxRetries;
    const allowed = Math.floor(((this.requests + this.pending) * budget.percent) / 100);
    return allowed > budget.minConcurrency ? allowed : budget.minConcurrency;
  }
}
