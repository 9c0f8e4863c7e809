// Plain configuration of the rbac HTTP filter.
import type { ParseContext } from '#config/parse-context.ts';
import type { RBAC, RBACPerRoute } from '#schema/messages/envoy/extensions/filters/http/rbac/v3.ts';
import { parseRbacRules, type RbacRules } from '../../rbac/config.ts';

export interface RbacConfig {
  /** Undefined: everything passes. */
  readonly rules: RbacRules | undefined;
  readonly shadowRules: RbacRules | undefined;
  readonly rulesStatPrefix: string;
  readonly shadowRulesStatPrefix: string;
  /** Also count per policy. */
  readonly trackPerRuleStats: boolean;
}

export function parseRbac(message: RBAC, at: ParseContext): RbacConfig {
  if (message.matcher !== undefined) at.field('matcher').unsupported();
  if (message.shadow_matcher !== undefined) at.field('shadow_matcher').unsupported();
  return {
    rules: message.rules && parseRbacRules(message.rules, at.field('rules')),
    shadowRules: message.shadow_rules && parseRbacRules(message.shadow_rules, at.field('shadow_rules')),
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
