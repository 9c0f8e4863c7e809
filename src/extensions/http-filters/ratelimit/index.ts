import { ClusterCounters } from '#extension/cluster-counters.ts';
import { MethodClient } from '#extension/grpc-service.ts';
import { compileLevel } from '#extension/header-mutation-config.ts';
import { defineHttpFilter } from '#extension/http-filter.ts';
import { compileRateLimit } from '#extension/rate-limit-policy.ts';
import { rateLimitMethod } from '../../ratelimit/should-rate-limit.ts';
import { parseRateLimit, parseRateLimitPerRoute, type RateLimitRouteConfig } from './config.ts';
import { RateLimitFilter, type RateLimitShared } from './filter.ts';

export const rateLimit = defineHttpFilter({
  kind: 'http_filter',
  name: 'envoy.filters.http.ratelimit',
  type: 'envoy.extensions.filters.http.ratelimit.v3.RateLimit',
  routeType: 'envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute',
  parse: parseRateLimit,
  parseRoute: parseRateLimitPerRoute,
  prepare(config, context) {
    const shared: RateLimitShared = {
      name: context.name,
      config,
      client: new MethodClient(config.service!, rateLimitMethod, context),
      clusters: new ClusterCounters(context.stats),
      clusterStatPrefix: config.statPrefix === '' ? 'ratelimit.' : `ratelimit.${config.statPrefix}.`,
      runtime: context.runtime,
      policies: config.policies.map((it) => compileRateLimit(it, context.localCluster, context.runtime)),
      responseHeaders: compileLevel(config.responseHeadersToAdd),
    };
    return () => new RateLimitFilter(shared);
  },
  prepareRoute: (config: RateLimitRouteConfig, { localCluster, runtime }) => ({
    config,
    policies: config.policies.map((it) => compileRateLimit(it, localCluster, runtime)),
  }),
});
