// Counts requests against token buckets of this process and answers those that come when a bucket is empty.
import { TokenBucket, type TokenBucketData, tokenBucketData } from '#base/token-bucket.ts';
import { TokenBuckets, type TokenBucketsData, tokenBucketsData } from '#base/token-buckets.ts';
import type { HeaderMutations } from '#extension/header-mutations.ts';
import { FilterStatus, type HttpFilter, type HttpStream } from '#extension/http-filter.ts';
import type { RateLimitPolicy } from '#extension/rate-limit-descriptors.ts';
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
  readonly shadowMode: Counter;

  constructor(scope: Scope) {
    this.enabled = scope.counter('enabled');
    this.enforced = scope.counter('enforced');
    this.rateLimited = scope.counter('rate_limited');
    this.ok = scope.counter('ok');
    this.shadowMode = scope.counter('shadow_mode');
  }
}

/** The buckets of the process, or of one connection. */
export interface Buckets {
  readonly default: TokenBucket | undefined;
  readonly descriptors: readonly (TokenBucket | TokenBuckets)[];
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
  /** Undefined: as configured. */
  #saysHeaders: boolean | undefined = undefined;
  #saysRetryAfter = false;
  /** The bucket that refused only counts. */
  #isShadow = false;

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
    if (this.#isShadow) {
      stats.shadowMode.value++;
      return FilterStatus.Continue;
    }
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
    if (this.#saysHeaders ?? here.config.xRateLimitHeaders) {
      headers.set('x-ratelimit-limit', String(bucket.maxTokens));
      headers.set('x-ratelimit-remaining', String(bucket.remaining));
      headers.set('x-ratelimit-reset', String(resetSeconds));
    }
    if (this.#saysRetryAfter) headers.set('retry-after', String(resetSeconds));
    return FilterStatus.Continue;
  }

  /** Every bucket that concerns the request has to have its tokens. The headers speak of the one that refused, or of the first. */
  #takes(here: LocalRateLimit, stream: HttpStream): boolean {
    const { config } = here;
    const buckets =
      here.bucketsOf === undefined
        ? here.buckets
        : bucketsOfConnection(here, here.bucketsOf, stream.info.connection);
    const matches = config.descriptors.length === 0 ? noMatches : this.#matches(here, buckets, stream);
    for (const it of matches) {
      const { bucket, hits, policy, shadow } = it;
      if (policy.hits?.isNegative) bucket.give(hits);
      // To take nothing is to get nothing, as in Envoy.
      else if (!(hits > 0 && bucket.take(hits))) {
        this.#speakOf(bucket, policy);
        this.#isShadow = shadow;
        return false;
      }
    }
    const last = matches.length === 0 || config.alwaysConsumeDefault ? buckets.default : undefined;
    if (last !== undefined && !last.take()) {
      this.#speakOf(last, undefined);
      return false;
    }
    const first = matches[0];
    this.#speakOf(first?.bucket ?? last, first?.policy);
    return true;
  }

  #speakOf(bucket: TokenBucket | undefined, policy: RateLimitPolicy | undefined): void {
    this.#bucket = bucket;
    this.#saysHeaders = policy?.saysHeaders;
  }

  /** The slowest bucket comes first. */
  #matches(here: LocalRateLimit, buckets: Buckets, stream: HttpStream): Match[] {
    const { config, policies } = here;
    const found: Match[] = [];
    if (policies.length > 0) this.#add(found, here, buckets, stream, policies, true);
    else if (stream.route !== undefined) {
      const { includeVirtualHostRateLimits, rateLimits, virtualHost } = stream.route;
      const option = includeVirtualHostRateLimits ? 'include' : config.virtualHostLimits;
      this.#add(found, here, buckets, stream, rateLimits, false);
      if (option === 'include' || (option === 'override' && rateLimits.length === 0))
        this.#add(found, here, buckets, stream, virtualHost.rateLimits, false);
    }
    return found.sort((a, b) => b.bucket.nsPerToken - a.bucket.nsPerToken);
  }

  /** `isOwn`: they stand in the filter's configuration, where there are no stages; those of a route do not say how many hits it is. */
  #add(
    to: Match[],
    here: LocalRateLimit,
    buckets: Buckets,
    stream: HttpStream,
    policies: readonly RateLimitPolicy[],
    isOwn: boolean,
  ): void {
    const { descriptors, stage } = here.config;
    for (const policy of policies) {
      if (isOwn ? policy.applyOnStreamDone : policy.stage !== stage || policy.disableKey !== '') continue;
      const descriptor = policy.descriptor(stream);
      if (descriptor === undefined) continue;
      let index = descriptors.findIndex((it) => isSame(descriptor, it.entries));
      if (index < 0) index = descriptors.findIndex((it) => isOneOf(descriptor, it.entries));
      const hits = isOwn ? policy.hitCount(stream) : 1;
      if (index < 0 || hits < 0) continue;
      const of = buckets.descriptors[index]!;
      const bucket = of instanceof TokenBucket ? of : of.of(descriptor.join('\0'));
      to.push({ bucket, shadow: descriptors[index]!.shadow, policy, hits });
    }
  }
}

/** A configured descriptor that the request has. */
interface Match {
  readonly bucket: TokenBucket;
  readonly shadow: boolean;
  readonly policy: RateLimitPolicy;
  readonly hits: number;
}

const noMatches: readonly Match[] = [];

function bucketsOfConnection(
  here: LocalRateLimit,
  known: WeakMap<ConnectionInfo, Buckets>,
  connection: ConnectionInfo,
): Buckets {
  let buckets = known.get(connection);
  if (buckets === undefined) {
    buckets = newBuckets(here.config, true);
    known.set(connection, buckets);
  }
  return buckets;
}

/** `isFresh`: they are not those of the process. */
export function newBuckets(config: LocalRateLimitConfig, isFresh: boolean): Buckets {
  const bucketOf = (data: TokenBucketData) => (isFresh ? fresh(data) : data);
  const bucketsOf = (data: TokenBucketsData) => (isFresh ? tokenBucketsData(data.each, data.count) : data);
  return {
    default: config.bucket && new TokenBucket(bucketOf(config.bucket)),
    descriptors: config.descriptors.map(({ bucket }) =>
      'each' in bucket ? new TokenBuckets(bucketsOf(bucket)) : new TokenBucket(bucketOf(bucket)),
    ),
  };
}

/** As configured, for a connection of its own. */
function fresh(data: TokenBucketData): TokenBucketData {
  return tokenBucketData(data.maxTokens, 1, data.nsPerToken / 1e6);
}

/** The list is one that `entries`, where an empty value stands for any, describe. */
function isOneOf(a: readonly string[], entries: readonly string[]): boolean {
  if (a.length !== entries.length) return false;
  for (let i = 0; i < a.length; i += 2)
    if (a[i] !== entries[i] || (entries[i + 1] !== '' && a[i + 1] !== entries[i + 1])) return false;
  return true;
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
