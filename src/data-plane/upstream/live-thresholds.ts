// The limits of one cluster and priority as they hold now: what the runtime says goes before the configuration
// (`circuit_breakers.<cluster>.<priority>.max_requests` and its like).
import type { Runtime } from '#extension/runtime.ts';
import type { ClusterConfig, Thresholds } from './cluster-config.ts';

export const priorityNames = ['default', 'high'] as const;

/** Of a budget that only the runtime asks for. */
const usualBudget = { percent: 20, minConcurrency: 3 };

export class LiveThresholds {
  readonly #config: ClusterConfig;
  readonly #priority: 0 | 1;
  readonly #runtime: Runtime;
  #readFrom: Runtime['values'];
  #now: Thresholds;

  constructor(config: ClusterConfig, priority: 0 | 1, runtime: Runtime) {
    this.#config = config;
    this.#priority = priority;
    this.#runtime = runtime;
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
    const limits = this.#config.thresholds[this.#priority];
    // Nobody sets them: the same object for all clusters.
    if (this.#readFrom.size === 0) return limits;
    const prefix = `circuit_breakers.${this.#config.name}.${priorityNames[this.#priority]}.`;
    const limit = (name: string, configured: number) => this.#runtime.integer(prefix + name, configured);
    return {
      ...limits,
      maxConnections: limit('max_connections', limits.maxConnections),
      maxPendingRequests: limit('max_pending_requests', limits.maxPendingRequests),
      maxRequests: limit('max_requests', limits.maxRequests),
      maxRetries: limit('max_retries', limits.maxRetries),
      maxConnectionPools: limit('max_connection_pools', limits.maxConnectionPools),
      retryBudget: this.#budget(limits, prefix),
    };
  }

  #budget(limits: Thresholds, prefix: string): Thresholds['retryBudget'] {
    const runtime = this.#runtime;
    const percentKey = `${prefix}retry_budget.budget_percent`;
    const minKey = `${prefix}retry_budget.min_retry_concurrency`;
    const isAsked = runtime.values.has(percentKey) || runtime.values.has(minKey);
    const budget = limits.retryBudget ?? (isAsked ? usualBudget : undefined);
    return (
      budget && {
        percent: runtime.double(percentKey, budget.percent),
        minConcurrency: runtime.integer(minKey, budget.minConcurrency),
      }
    );
  }
}
