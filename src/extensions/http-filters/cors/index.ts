import { defineHttpFilter } from '#extension/http-filter.ts';
import { compileStringMatcher } from '#extension/matchers/compile.ts';
import { type CorsConfig, parseCorsPolicy } from './config.ts';
import { CorsFilter, type CorsPolicy, CorsStats } from './filter.ts';

export const cors = defineHttpFilter({
  kind: 'http_filter',
  name: 'envoy.filters.http.cors',
  type: 'envoy.extensions.filters.http.cors.v3.Cors',
  routeType: 'envoy.extensions.filters.http.cors.v3.CorsPolicy',
  parse: () => ({}),
  parseRoute: parseCorsPolicy,
  prepare(_config, { name, runtime, stats, statPrefix }) {
    const counters = new CorsStats(stats.scope(`${statPrefix}cors`));
    return () => new CorsFilter(name, runtime, counters);
  },
  prepareRoute(config: CorsConfig): CorsPolicy {
    return { ...config, allowOrigin: config.allowOrigin.map(compileStringMatcher) };
  },
});
