import { defineHttpFilter } from '#extension/http-filter.ts';
import type { WorkerServices } from '#extension/worker-services.ts';
import { compileJudgement } from '../../rbac/judgement.ts';
import { parseRbac, parseRbacPerRoute, type RbacConfig } from './config.ts';
import { RbacFilter, type RbacPolicy, RbacStats } from './filter.ts';

export const rbac = defineHttpFilter({
  kind: 'http_filter',
  name: 'envoy.filters.http.rbac',
  type: 'envoy.extensions.filters.http.rbac.v3.RBAC',
  routeType: 'envoy.extensions.filters.http.rbac.v3.RBACPerRoute',
  parse: parseRbac,
  parseRoute: parseRbacPerRoute,
  prepare(config, { name, stats, statPrefix, runtime }) {
    const counters = new RbacStats(
      stats.scope(`${statPrefix}rbac`),
      config.rulesStatPrefix,
      config.shadowRulesStatPrefix,
    );
    const filter = new RbacFilter(compile(config, { runtime }), name, counters);
    return () => filter;
  },
  prepareRoute: compile,
});

function compile(config: RbacConfig, { runtime }: Pick<WorkerServices, 'runtime'>): RbacPolicy {
  return {
    engine: compileJudgement(config.rules, runtime),
    shadowEngine: compileJudgement(config.shadowRules, runtime),
    rulesPrefix: config.rulesStatPrefix,
    shadowPrefix: config.shadowRulesStatPrefix,
    trackPerRuleStats: config.trackPerRuleStats,
  };
}
