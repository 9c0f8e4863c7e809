import { defineHttpFilter } from '#extension/http-filter.ts';
import { compileHeaderMatcher } from '#extension/matchers/compile.ts';
import { type FaultConfig, parseFault } from './config.ts';
import { FaultFilter, type FaultPolicy, FaultStats } from './filter.ts';

export const fault = defineHttpFilter({
  kind: 'http_filter',
  name: 'envoy.filters.http.fault',
  type: 'envoy.extensions.filters.http.fault.v3.HTTPFault',
  parse: parseFault,
  parseRoute: parseFault,
  prepare(config, { name, runtime, stats, statPrefix, timers }) {
    const policy = compile(config);
    const counters = new FaultStats(stats.scope(`${statPrefix}fault`));
    return () => new FaultFilter(name, policy, runtime, counters, timers);
  },
  prepareRoute: compile,
});

function compile(config: FaultConfig): FaultPolicy {
  return { config, headers: config.headers.map(compileHeaderMatcher) };
}
