import { defineHttpFilter } from '#extension/http-filter.ts';
import { parseBasicAuth, parseBasicAuthRoute } from './config.ts';
import { BasicAuthFilter, BasicAuthStats } from './filter.ts';

export const basicAuth = defineHttpFilter({
  kind: 'http_filter',
  name: 'envoy.filters.http.basic_auth',
  type: 'envoy.extensions.filters.http.basic_auth.v3.BasicAuth',
  routeType: 'envoy.extensions.filters.http.basic_auth.v3.BasicAuthPerRoute',
  parse: parseBasicAuth,
  parseRoute: parseBasicAuthRoute,
  prepare(config, { name, stats, statPrefix }) {
    const filter = new BasicAuthFilter(
      config,
      name,
      new BasicAuthStats(stats.scope(`${statPrefix}basic_auth`)),
    );
    return () => filter;
  },
});
