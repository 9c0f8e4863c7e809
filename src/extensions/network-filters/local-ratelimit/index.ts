import { TokenBucket, type TokenBucketData } from '#base/token-bucket.ts';
import type { ParseContext } from '#config/parse-context.ts';
import { defineNetworkFilter, NetworkFilterStatus } from '#extension/network-filter.ts';
import type { Registry } from '#extension/registry.ts';
import { ResponseFlag } from '#extension/response-flag.ts';
import type { RuntimeFlag } from '#extension/runtime.ts';
import { runtimeFlag } from '#extension/runtime-config.ts';
import { parseTokenBucket } from '#extension/token-bucket-config.ts';
import { CloseType } from '#net/connection.ts';
import type { LocalRateLimit } from '#schema/messages/envoy/extensions/filters/network/local_ratelimit/v3.ts';
import type { Counter } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';

interface LocalRateLimitConfig {
  readonly statPrefix: string;
  readonly bucket: TokenBucketData;
  readonly enabled: RuntimeFlag;
}

class LocalRateLimitStats {
  readonly rateLimited: Counter;

  constructor(scope: Scope) {
    this.rateLimited = scope.counter('rate_limited');
  }
}

/** The buckets with a `share_key`, by that key and the bucket's own numbers. */
const sharedBuckets = new WeakMap<Registry, Map<string, TokenBucketData>>();

/** Closes connections that come when a token bucket is empty. */
export const networkLocalRateLimit = defineNetworkFilter({
  kind: 'network_filter',
  name: 'envoy.filters.network.local_ratelimit',
  type: 'envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit',
  parse(message: LocalRateLimit, _at: ParseContext, registry: Registry): LocalRateLimitConfig {
    const own = parseTokenBucket(message.token_bucket!);
    return {
      statPrefix: message.stat_prefix,
      bucket: message.share_key === '' ? own : sharedBucket(registry, message.share_key, own),
      enabled: runtimeFlag(message.runtime_enabled),
    };
  },
  prepare(config, { stats, runtime }) {
    const { rateLimited } = stats.scope(`local_rate_limit.${config.statPrefix}`).stats(LocalRateLimitStats);
    const bucket = new TokenBucket(config.bucket);
    return (downstream) => ({
      onNewConnection() {
        if (!runtime.flag(config.enabled) || bucket.take()) return NetworkFilterStatus.Continue;
        rateLimited.value++;
        downstream.streamInfo.flags |= 1 << ResponseFlag.UpstreamRetryLimitExceeded;
        downstream.close(CloseType.NoFlush, 'local_ratelimit_close_over_limit');
        return NetworkFilterStatus.StopIteration;
      },
    });
  },
});

function sharedBucket(registry: Registry, shareKey: string, own: TokenBucketData): TokenBucketData {
  let buckets = sharedBuckets.get(registry);
  if (buckets === undefined) {
    buckets = new Map();
    sharedBuckets.set(registry, buckets);
  }
  const key = `${own.maxTokens} ${own.nsPerToken} ${shareKey}`;
  const known = buckets.get(key);
  if (known !== undefined) return known;
  buckets.set(key, own);
  return own;
}
