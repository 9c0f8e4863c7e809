import { TokenBucket, type TokenBucketData } from '#base/token-bucket.ts';
import { defineListenerFilter, ListenerFilterStatus } from '#extension/listener-filter.ts';
import type { RuntimeFlag } from '#extension/runtime.ts';
import { runtimeFlag } from '#extension/runtime-config.ts';
import { parseTokenBucket } from '#extension/token-bucket-config.ts';
import type { LocalRateLimit } from '#schema/messages/envoy/extensions/filters/listener/local_ratelimit/v3.ts';
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

/** Closes sockets that come when a token bucket is empty, before anything is read from them. */
export const listenerLocalRateLimit = defineListenerFilter({
  kind: 'listener_filter',
  name: 'envoy.filters.listener.local_ratelimit',
  type: 'envoy.extensions.filters.listener.local_ratelimit.v3.LocalRateLimit',
  parse: (message: LocalRateLimit): LocalRateLimitConfig => ({
    statPrefix: message.stat_prefix,
    bucket: parseTokenBucket(message.token_bucket!),
    enabled: runtimeFlag(message.runtime_enabled),
  }),
  prepare(config, { stats, runtime }) {
    const { rateLimited } = stats
      .scope(`listener_local_ratelimit.${config.statPrefix}`)
      .stats(LocalRateLimitStats);
    const bucket = new TokenBucket(config.bucket);
    return {
      needsBytes: false,
      inspect() {
        if (!runtime.flag(config.enabled) || bucket.take()) return ListenerFilterStatus.Continue;
        rateLimited.value++;
        return ListenerFilterStatus.Close;
      },
    };
  },
});
