import { defineHttpFilter } from '#extension/http-filter.ts';
import { compileHeaderMatcher } from '#extension/matchers/compile.ts';
import { parseHealthCheck } from './config.ts';
import { HealthCheckCache, HealthCheckFilter, HealthCheckStats } from './filter.ts';

export const healthCheck = defineHttpFilter({
  kind: 'http_filter',
  name: 'envoy.filters.http.health_check',
  type: 'envoy.extensions.filters.http.health_check.v3.HealthCheck',
  parse: parseHealthCheck,
  prepare(config, { clock, lifecycle, localCluster, stats, statPrefix }) {
    const shared = {
      config,
      headers: config.headers.map(compileHeaderMatcher),
      cache:
        config.passThrough && config.cacheMs > 0 ? new HealthCheckCache(config.cacheMs, clock) : undefined,
      lifecycle,
      localCluster,
      stats: new HealthCheckStats(stats.scope(`${statPrefix}health_check`)),
    };
    return () => new HealthCheckFilter(shared);
  },
});
