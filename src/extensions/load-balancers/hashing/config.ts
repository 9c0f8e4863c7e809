// `consistent_hashing_lb_config`, which the policies of consistent hashing have in common.
import type { ParseContext } from '#config/parse-context.ts';
import { type HashPolicyData, parseHashPolicies } from '#extension/hash-policy-config.ts';
import type { ConsistentHashingLbConfig } from '#schema/messages/envoy/extensions/load_balancing_policies/common/v3.ts';

export interface HashingData {
  readonly usesHostname: boolean;
  /** In percent of a host's fair share of the requests under way; 0: no bound. */
  readonly balanceFactor: number;
  /** Instead of the route's; empty: none of its own. */
  readonly hashPolicies: readonly HashPolicyData[];
  readonly weighsLocalities: boolean;
}

/** `at` stands on the message that has the field `consistent_hashing_lb_config`. */
export function parseHashing(
  message: {
    readonly consistent_hashing_lb_config?: Partial<ConsistentHashingLbConfig>;
    readonly locality_weighted_lb_config?: object;
  },
  at: ParseContext,
): HashingData {
  const own = message.consistent_hashing_lb_config;
  return {
    usesHostname: own?.use_hostname_for_hashing ?? false,
    balanceFactor: own?.hash_balance_factor ?? 0,
    hashPolicies: parseHashPolicies(own?.hash_policy ?? [], at.field('consistent_hashing_lb_config')),
    weighsLocalities: message.locality_weighted_lb_config !== undefined,
  };
}
