import { compileSteps } from '#extension/header-mutation-config.ts';
import { defineHttpFilter } from '#extension/http-filter.ts';
import { compileRateLimit } from '#extension/rate-limit-policy.ts';
import type { WorkerServices } from '#extension/worker-services.ts';
import { type LocalRateLimitConfig, parseLocalRateLimit } from './config.ts';
import { type LocalRateLimit, LocalRateLimitFilter, LocalRateLimitStats, newBuckets } from './filter.ts';

export const localRateLimit = defineHttpFilter({
  kind: 'http_filter',
  name: 'envoy.filters.http.local_ratelimit',
  type: 'envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit',
  parse: parseLocalRateLimit,
  parseRoute: parseLocalRateLimit,
  prepare(config, context) {
    const own = compile(config, context);
    return () => new LocalRateLimitFilter(own, context.name, context.runtime);
  },
  prepareRoute: compile,
});

function compile(
  config: LocalRateLimitConfig,
  { stats, localCluster, runtime }: WorkerServices,
): LocalRateLimit {
  return {
    config,
    stats: new LocalRateLimitStats(stats.scope(`${config.statPrefix}.http_local_rate_limit`)),
    buckets: newBuckets(config, false),
    bucketsOf: config.perConnection ? new WeakMap() : undefined,
    policies: config.policies.map((it) => compileRateLimit(it, localCluster, runtime)),
    requestHeaders: compileSteps(config.requestHeadersToAdd),
    responseHeaders: compileSteps(config.responseHeadersToAdd),
  };
}
