// `lb_subset_config`, or the extension of the same meaning, as plain data.
import { latin1OfUtf8 } from '#base/utf8.ts';
import type { ParseContext } from '#config/parse-context.ts';
import type { Cluster_LbSubsetConfig } from '#schema/messages/envoy/config/cluster/v3.ts';
import type { Subset } from '#schema/messages/envoy/extensions/load_balancing_policies/subset/v3.ts';

export type SubsetFallback = 'none' | 'any' | 'default';

export interface SubsetConfig {
  readonly fallback: SubsetFallback;
  readonly defaultSubset: Readonly<Record<string, unknown>>;
  readonly selectors: readonly SubsetSelector[];
  readonly allowsRedundantKeys: boolean;
  readonly weighsLocalities: boolean;
  readonly scalesLocalityWeights: boolean;
  /** `panic_mode_any`: where the fallback has no host. */
  readonly panicsToAny: boolean;
  readonly listAsAny: boolean;
  /** `FALLBACK_LIST` */
  readonly triesFallbackList: boolean;
}

export interface SubsetSelector {
  /** In order. */
  readonly keys: readonly string[];
  readonly isOfSingleHosts: boolean;
  /** Undefined: the cluster's. */
  readonly fallback: SubsetFallback | 'keys' | undefined;
  /** For `keys`. */
  readonly fallbackKeys: readonly string[];
}

const fallbacks = { NO_FALLBACK: 'none', ANY_ENDPOINT: 'any', DEFAULT_SUBSET: 'default' } as const;

export function parseSubset(
  message: Cluster_LbSubsetConfig & Partial<Pick<Subset, 'allow_redundant_keys'>>,
  at: ParseContext,
): SubsetConfig {
  return {
    fallback: fallbacks[message.fallback_policy],
    defaultSubset: message.default_subset ?? {},
    selectors: message.subset_selectors.map((it, i) => {
      const here = at.field('subset_selectors', i);
      const keys = sorted(it.keys);
      const fallbackKeys = sorted(it.fallback_keys_subset);
      if (it.single_host_per_subset && keys.length !== 1)
        refuse(here, 'subset_lb: single_host_per_subset selectors must have exactly one key');
      if (it.fallback_policy === 'KEYS_SUBSET') {
        if (fallbackKeys.length === 0) refuse(here, 'fallback_keys_subset cannot be empty');
        else if (!fallbackKeys.every((key) => keys.includes(key)))
          refuse(here, 'fallback_keys_subset must be a subset of selector keys');
        else if (fallbackKeys.length === keys.length)
          refuse(here, 'fallback_keys_subset cannot be equal to keys');
      } else if (fallbackKeys.length > 0)
        refuse(here, 'fallback_keys_subset can be set only for KEYS_SUBSET fallback_policy');
      return {
        keys,
        isOfSingleHosts: it.single_host_per_subset,
        fallback:
          it.fallback_policy === 'NOT_DEFINED'
            ? undefined
            : it.fallback_policy === 'KEYS_SUBSET'
              ? 'keys'
              : fallbacks[it.fallback_policy],
        fallbackKeys,
      };
    }),
    allowsRedundantKeys: message.allow_redundant_keys ?? false,
    weighsLocalities: message.locality_weight_aware,
    scalesLocalityWeights: message.scale_locality_weight,
    panicsToAny: message.panic_mode_any,
    listAsAny: message.list_as_any,
    triesFallbackList: message.metadata_fallback_policy === 'FALLBACK_LIST',
  };
}

function sorted(keys: readonly string[]): string[] {
  return [...new Set(keys)].sort((a, b) => (latin1OfUtf8(a) < latin1OfUtf8(b) ? -1 : 1));
}

function refuse(at: ParseContext, problem: string): void {
  at.fail(problem, { envoy: problem });
}
