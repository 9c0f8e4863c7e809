// The limits of one cluster and priority as they hold now: what the runtime says goes before the configuration
// (`circuit_breakers.<cluster>.<priority>.max_requests` and its like).
import type { Runtime } from '#extension/runtime.ts';
import type { ClusterConfig, Thresholds } from './cluster-config.ts';

export const priorityNames = ['default', 'high'] as const;

/** Of a budget that only the runtime asks for. */
const usualBudget = { percent: 20, minConcurrency: 3 };

export class LiveThresholds {
  readonly #configured: Thresholds;
  readonly #runtime: Runtime;
  readonly #prefix: string;
  #readFrom: Runtime['values'];
  #now: Thresholds;

  constructor({ name, thresholds }: ClusterConfig, priority: 0 | 1, runtime: Runtime) {
    this.#configured = thresholds[priority];
    this.#runtime = runtime;
    this.#prefix = `circuit_breakers.${name}.${priorityNames[priority]}.`;
    this.#readFrom = runtime.values;
    this.#now = this.#read();
  }

  get now(): Thresholds {
    const { values } = this.#runtime;
    if (values !== this.#readFrom) {
      this.#readFrom = values;
      this.#now = this.#read();
    }
    return this.#now;
  }

  #read(): Thresholds {
    const limits = this.#configured;
    const limit = (name: string, configured: number) =>
      this.#runtime.integer(this.#prefix + name, configured);
    return {
      ...limits,
      maxConnections: limit('max_connections', limits.maxConnections),
      maxPendingRequests: limit('max_pending_requests', limits.maxPendingRequests),
      maxRequests: limit('max_requests', limits.maxRequests),
      maxRetries: limit('max_retries', limits.maxRetries),
      maxConnectionPools: limit('max_connection_pools', limits.maxConnectionPools),
      retryBudget: this.#budget(),
    };
  }

  #budget(): Thresholds['retryBudget'] {
    const runtime = this.#runtime;
    const percentKey = `${this.#prefix}retry_budget.budget_percent`;
    const minKey = `${this.#prefix}retry_budget.min_retry_concurrency`;
    const isAsked = runtime.values.has(percentKey) || runtime.values.has(minKey);
    const budget = this.#configured.retryBudget ?? (isAsked ? usualBudget : undefined);
    return (
      budget && {
        percent: runtime.double(percentKey, budget.percent),
        minConcurrency: runtime.integer(minKey, budget.minConcurrency),
      }
    );
  }
}
