// What the rbac filters judge by: rules, or a matcher in their place.
import type { ParseContext } from '#config/parse-context.ts';
import type { Runtime } from '#extension/runtime.ts';
import type { RBAC } from '#schema/messages/envoy/config/rbac/v3.ts';
import type { Matcher } from '#schema/messages/xds/type/matcher/v3.ts';
import { parseRbacRules, type RbacRules } from './config.ts';
import { type RbacDecider, RbacEngine } from './engine.ts';
import { parseRbacMatcher, type RbacMatcher } from './matcher-config.ts';
import { RbacMatcherEngine } from './matcher-engine.ts';

export type RbacJudgement =
  | { readonly kind: 'rules'; readonly rules: RbacRules }
  | { readonly kind: 'matcher'; readonly matcher: RbacMatcher };

interface Judging {
  readonly rules?: RBAC;
  readonly matcher?: Matcher;
  readonly shadow_rules?: RBAC;
  readonly shadow_matcher?: Matcher;
}

export function parseJudgements(
  message: Judging,
  at: ParseContext,
  hasHeaders: boolean,
): { rules: RbacJudgement | undefined; shadowRules: RbacJudgement | undefined } {
  const parse = (prefix: '' | 'shadow_'): RbacJudgement | undefined => {
    const { [`${prefix}rules` as const]: rules, [`${prefix}matcher` as const]: matcher } = message;
    if (matcher !== undefined) {
      if (rules !== undefined)
        at.field(`${prefix}rules`).warn('is ignored where there is a matcher, as in Envoy');
      return {
        kind: 'matcher',
        matcher: parseRbacMatcher(matcher, at.field(`${prefix}matcher`), hasHeaders),
      };
    }
    return rules && { kind: 'rules', rules: parseRbacRules(rules, at.field(`${prefix}rules`)) };
  };
  return { rules: parse(''), shadowRules: parse('shadow_') };
}

export function compileJudgement(data: RbacJudgement | undefined, runtime: Runtime): RbacDecider | undefined {
  if (data === undefined) return undefined;
  return data.kind === 'rules' ? new RbacEngine(data.rules) : new RbacMatcherEngine(data.matcher, runtime);
}
