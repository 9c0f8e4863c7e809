// Plain configuration of the rbac HTTP filter.
import type { ParseContext } from '#config/parse-context.ts';
import type { RBAC, RBACPerRoute } from '#schema/messages/envoy/extensions/filters/http/rbac/v3.ts';
import { parseJudgements, type RbacJudgement } from '../../rbac/judgement.ts';

export interface RbacConfig {
  /** Undefined: everything passes. */
  readonly rules: RbacJudgement | undefined;
  readonly shadowRules: RbacJudgement | undefined;
  readonly rulesStatPrefix: string;
  readonly shadowRulesStatPrefix: string;
  /** Also count per policy. */
  readonly trackPerRuleStats: boolean;
}

export function parseRbac(message: RBAC, at: ParseContext): RbacConfig {
  return {
    ...parseJudgements(message, at, true),
    rulesStatPrefix: message.rules_stat_prefix,
    shadowRulesStatPrefix: message.shadow_rules_stat_prefix,
    trackPerRuleStats: message.track_per_rule_stats,
  };
}

/** Without `rbac` the filter lets everything pass on that route. */
export function parseRbacPerRoute(message: RBACPerRoute, at: ParseContext): RbacConfig {
  if (message.rbac !== undefined) return parseRbac(message.rbac, at.field('rbac'));
  return {
    rules: undefined,
    shadowRules: undefined,
    rulesStatPrefix: '',
    shadowRulesStatPrefix: '',
    trackPerRuleStats: false,
  };
}
