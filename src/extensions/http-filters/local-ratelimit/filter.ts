// Counts requests against token buckets of this process and answers those that come when a bucket is empty.
import { TokenBucket, type TokenBucketData, tokenBucketData } from '#base/token-bucket.ts';
import type { HeaderMutations } from '#extension/header-mutations.ts';
import { FilterStatus, type HttpFilter, type HttpStream } from '#extension/http-filter.ts';
import type { Descriptor, RateLimitPolicy } from '#extension/rate-limit-descriptors.ts';
import { ResponseFlag } from '#extension/response-flag.ts';
import type { Runtime } from '#extension/runtime.ts';
import type { ConnectionInfo } from '#extension/stream-info.ts';
import type { HeaderMap } from '#http/header-map.ts';
import type { Counter } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';
import type { LocalRateLimitConfig } from './config.ts';

export class LocalRateLimitStats {
  readonly enabled: Counter;
  readonly enforced: Counter;
  readonly rateLimited: Counter;
  readonly ok: Counter;

  constructor(scope: Scope) {
    this.enabled = scope.counter('enabled');
    this.enforced = scope.counter('enforced');
    this.rateLimited = scope.counter('rate_limited');
    this.ok = scope.counter('ok');
  }
}

/** The buckets of the process, or of one connection. */
export interface Buckets {
  readonly default: TokenBucket | undefined;
  readonly descriptors: readonly TokenBucket[];
}

/** One level of configuration, compiled. */
export interface LocalRateLimit {
  readonly config: LocalRateLimitConfig;
  readonly stats: LocalRateLimitStats;
  readonly buckets: Buckets;
  /** With `local_rate_limit_per_downstream_connection`: made with the first request of each connection. */
  readonly bucketsOf: WeakMap<ConnectionInfo, Buckets> | undefined;
  readonly policies: readonly RateLimitPolicy[];
  readonly requestHeaders: HeaderMutations | null;
  readonly responseHeaders: HeaderMutations | null;
}

/** Everything shared between requests is in the compiled level; the filter remembers what the response has to say. */
export class LocalRateLimitFilter implements HttpFilter {
  readonly #own: LocalRateLimit;
  readonly #name: string;
  readonly #runtime: Runtime;
  #bucket: TokenBucket | undefined = undefined;
  #saysRetryAfter = false;

  constructor(own: LocalRateLimit, name: string, runtime: Runtime) {
    this.#own = own;
    this.#name = name;
    this.#runtime = runtime;
  }

  decodeHeaders(stream: HttpStream, headers: HeaderMap): FilterStatus {
    const here = (stream.routeConfig(this.#name) as LocalRateLimit | undefined) ?? this.#own;
    const { config, stats } = here;
    if (config.enabled === undefined || !this.#runtime.enabled(config.enabled, stream.random))
      return FilterStatus.Continue;
    stats.enabled.value++;
    if (this.#takes(here, stream)) {
      stats.ok.value++;
      return FilterStatus.Continue;
    }
    stats.rateLimited.value++;
    if (config.enforced === undefined || !this.#runtime.enabled(config.enforced, stream.random)) {
      here.requestHeaders?.apply(headers, stream);
      return FilterStatus.Continue;
    }
    stats.enforced.value++;
    stream.info.flags |= 1 << ResponseFlag.RateLimited;
    this.#saysRetryAfter = config.retryAfterHeader;
    const grpcStatus = config.asResourceExhausted ? 8 : -1;
    stream.sendLocalReply(config.status, 'local_rate_limited', 'local_rate_limited', grpcStatus, (answer) => {
      here.responseHeaders?.apply(answer, stream);
    });
    return FilterStatus.StopIteration;
  }

  encodeHeaders(stream: HttpStream, headers: HeaderMap): FilterStatus {
    const bucket = this.#bucket;
    if (bucket === undefined) return FilterStatus.Continue;
    const here = (stream.routeConfig(this.#name) as LocalRateLimit | undefined) ?? this.#own;
    const resetSeconds = Math.ceil(bucket.msUntilNext / 1000);
    if (here.config.xRateLimitHeaders) {
      headers.set('x-ratelimit-limit', String(bucket.maxTokens));
      headers.set('x-ratelimit-remaining', String(bucket.remaining));
      headers.set('x-ratelimit-reset', String(resetSeconds));
    }
    if (this.#saysRetryAfter) headers.set('retry-after', String(resetSeconds));
    return FilterStatus.Continue;
  }

  /** Every bucket that concerns the request has to have a token. The headers speak of the one that refused, or of the default. */
  #takes(here: LocalRateLimit, stream: HttpStream): boolean {
    const { config } = here;
    const buckets =
      here.bucketsOf === undefined
        ? here.buckets
        : bucketsOfConnection(here, here.bucketsOf, stream.info.connection);
    let isMatched = false;
    if (config.descriptors.length > 0) {
      const descriptors = this.#descriptors(here, stream);
      for (let i = 0; i < config.descriptors.length; i++) {
        const configured = config.descriptors[i]!;
        if (!descriptors.some((it) => isSame(it, configured.entries))) continue;
        const bucket = buckets.descriptors[i]!;
        isMatched = true;
        this.#bucket = bucket;
        if (!bucket.take() && !configured.shadow) return false;
      }
    }
    if (buckets.default === undefined || (isMatched && !config.alwaysConsumeDefault)) return true;
    if (!isMatched) this.#bucket = buckets.default;
    return buckets.default.take();
  }

  #descriptors(here: LocalRateLimit, stream: HttpStream): Descriptor[] {
    const { config } = here;
    const found: Descriptor[] = [];
    const add = (policies: readonly RateLimitPolicy[]) => {
      for (const policy of policies) {
        const descriptor = policy.stage === config.stage ? policy.descriptor(stream) : undefined;
        if (descriptor !== undefined) found.push(descriptor);
      }
      return policies.length > 0;
    };
    if (here.policies.length > 0) {
      add(here.policies);
      return found;
    }
    const { route } = stream;
    if (route === undefined) return found;
    const hasOwn = add(route.rateLimits);
    const takesHost =
      config.virtualHostLimits === 'include' || (config.virtualHostLimits === 'override' && !hasOwn);
    if (takesHost || route.includeVirtualHostRateLimits) add(route.virtualHost.rateLimits);
    return found;
  }
}

function bucketsOfConnection(
  here: LocalRateLimit,
  known: WeakMap<ConnectionInfo, Buckets>,
  connection: ConnectionInfo,
): Buckets {
  let buckets = known.get(connection);
  if (buckets === undefined) {
    buckets = newBuckets(here.config, fresh);
    known.set(connection, buckets);
  }
  return buckets;
}

export function newBuckets(
  config: LocalRateLimitConfig,
  dataOf: (data: TokenBucketData) => TokenBucketData,
): Buckets {
  return {
    default: config.bucket && new TokenBucket(dataOf(config.bucket)),
    descriptors: config.descriptors.map((it) => new TokenBucket(dataOf(it.bucket))),
  };
}

function fresh(data: TokenBucketData): TokenBucketData {
  return tokenBucketData(data.maxTokens, 1, data.nsPerToken / 1e6);
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
