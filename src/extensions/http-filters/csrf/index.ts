import { defineHttpFilter } from '#extension/http-filter.ts';
import { compileStringMatcher } from '#extension/matchers/compile.ts';
import { type CsrfConfig, parseCsrf } from './config.ts';
import { CsrfFilter, type CsrfPolicy, CsrfStats } from './filter.ts';

export const csrf = defineHttpFilter({
  kind: 'http_filter',
  name: 'envoy.filters.http.csrf',
  type: 'envoy.extensions.filters.http.csrf.v3.CsrfPolicy',
  parse: parseCsrf,
  parseRoute: parseCsrf,
  prepare(config, { name, runtime, stats, statPrefix }) {
    const filter = new CsrfFilter(
      compile(config),
      name,
      runtime,
      new CsrfStats(stats.scope(`${statPrefix}csrf`)),
    );
    return () => filter;
  },
  prepareRoute: compile,
});

function compile(config: CsrfConfig): CsrfPolicy {
  return {
    enabled: config.enabled,
    shadow: config.shadow,
    additionalOrigins: config.additionalOrigins.map(compileStringMatcher),
  };
}
