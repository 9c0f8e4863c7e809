import type { Host } from '#extension/load-balancer.ts';
import { defineRetryHostPredicate } from '#extension/retry-host-predicate.ts';
import type { OmitHostMetadataConfig } from '#schema/messages/envoy/extensions/retry/host/omit_host_metadata/v3.ts';

export const previousHosts = defineRetryHostPredicate({
  kind: 'retry_host_predicate',
  name: 'envoy.retry_host_predicates.previous_hosts',
  type: 'envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate',
  parse: () => ({}),
  prepare: () => ({ rejects: (host, tried) => tried.some((it) => it.address === host.address) }),
});

export const omitCanaryHosts = defineRetryHostPredicate({
  kind: 'retry_host_predicate',
  name: 'envoy.retry_host_predicates.omit_canary_hosts',
  type: 'envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate',
  parse: () => ({}),
  prepare: () => ({ rejects: (host) => host.metadata?.['envoy.lb']?.canary === true }),
});

type LbMetadata = Readonly<Record<string, unknown>>;

export const omitHostMetadata = defineRetryHostPredicate({
  kind: 'retry_host_predicate',
  name: 'envoy.retry_host_predicates.omit_host_metadata',
  type: 'envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig',
  parse: (message: OmitHostMetadataConfig): LbMetadata =>
    message.metadata_match?.filter_metadata['envoy.lb'] ?? {},
  prepare(unwanted) {
    const keys = Object.keys(unwanted);
    const values = keys.map((key) => JSON.stringify(unwanted[key]));
    return {
      rejects({ metadata }: Host) {
        const has = metadata?.['envoy.lb'];
        // Nothing to look for matches nothing.
        if (has === undefined || keys.length === 0) return false;
        for (let i = 0; i < keys.length; i++) if (JSON.stringify(has[keys[i]!]) !== values[i]) return false;
        return true;
      },
    };
  },
});
