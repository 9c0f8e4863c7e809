// Requests of the proxy's own over the clusters of a worker.
import type { TimerWheel } from '#base/timer-wheel.ts';
import type {
  AsyncCallbacks,
  AsyncClient,
  AsyncOptions,
  AsyncRetryPolicy,
  AsyncStream,
} from '#http/async-client.ts';
import type { Scope } from '#stats/store.ts';
import type { ClusterLookup } from '../upstream/cluster.ts';
import { AsyncRequest, type AsyncShared } from './async-request.ts';
import { RouterStats } from './http-stats.ts';
import { parseRetryOn } from './retry-on.ts';
import type { RetryPolicy } from './route-entry.ts';

export class ClusterAsyncClient implements AsyncClient, AsyncShared {
  readonly timers: TimerWheel;
  readonly stats: RouterStats;
  readonly localAddress: string;
  readonly #clusters: ClusterLookup;
  readonly #policies = new WeakMap<AsyncRetryPolicy, RetryPolicy>();

  /** `stats`: the scope without a prefix. */
  constructor(clusters: ClusterLookup, timers: TimerWheel, stats: Scope, localAddress: string) {
    this.#clusters = clusters;
    this.timers = timers;
    this.stats = stats.scope('http.async-client').stats(RouterStats);
    this.localAddress = localAddress;
  }

  start(name: string, options: AsyncOptions, callbacks: AsyncCallbacks): AsyncStream | undefined {
    const cluster = this.#clusters.get(name);
    if (cluster === undefined) return undefined;
    const { retryPolicy } = options;
    const policy = retryPolicy === undefined ? null : this.#policy(retryPolicy);
    return new AsyncRequest(this, cluster, callbacks, options, policy);
  }

  #policy(data: AsyncRetryPolicy): RetryPolicy {
    let policy = this.#policies.get(data);
    if (policy === undefined) {
      policy = compile(data);
      this.#policies.set(data, policy);
    }
    return policy;
  }
}

function compile(data: AsyncRetryPolicy): RetryPolicy {
  return {
    retryOn: parseRetryOn(data.retryOn),
    numRetries: data.numRetries,
    perTryTimeoutMs: data.perTryTimeoutMs,
    perTryIdleTimeoutMs: 0,
    retriableStatusCodes: [],
    retriableHeaders: [],
    retriableRequestHeaders: [],
    baseIntervalMs: data.baseIntervalMs,
    maxIntervalMs: data.maxIntervalMs,
    resetHeaders: [],
    resetMaxIntervalMs: 0,
    hostSelectionMaxAttempts: 1,
    hostPredicates: [],
    retryPriority: null,
    refreshClusterOnRetry: false,
  };
}
