// Percentages of messages as plain data for `Runtime.enabled`.
import type { RuntimeFeatureFlag, RuntimeFractionalPercent } from '#schema/messages/envoy/config/core/v3.ts';
import type { FractionalPercent } from '#schema/messages/envoy/type/v3.ts';
import type { RuntimeFlag, RuntimeFraction } from './runtime.ts';

export const denominators = { HUNDRED: 100, TEN_THOUSAND: 10_000, MILLION: 1_000_000 } as const;

export function fraction(percent: FractionalPercent | undefined, runtimeKey = ''): RuntimeFraction {
  return {
    numerator: percent?.numerator ?? 0,
    denominator: denominators[percent?.denominator ?? 'HUNDRED'],
    runtimeKey,
  };
}

export function runtimeFraction(message: RuntimeFractionalPercent): RuntimeFraction {
  return fraction(message.default_value, message.runtime_key);
}

/** On when nothing is said. */
export function runtimeFlag(message: RuntimeFeatureFlag | undefined): RuntimeFlag {
  return { default: message?.default_value ?? true, runtimeKey: message?.runtime_key ?? '' };
}
