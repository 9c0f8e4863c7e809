// Plain configuration of the network filter ext_authz.
import type { ParseContext } from '#config/parse-context.ts';
import { type GrpcServiceData, parseGrpcService } from '#extension/grpc-service.ts';
import type { MetadataMatcherData } from '#extension/matchers/matcher-config.ts';
import { parseMetadataMatcher } from '#extension/matchers/parse.ts';
import { durationMs } from '#extension/message-fields.ts';
import type { ExtAuthz } from '#schema/messages/envoy/extensions/filters/network/ext_authz/v3.ts';

export interface NetworkExtAuthzConfig {
  readonly statPrefix: string;
  readonly service: GrpcServiceData | undefined;
  readonly failureModeAllow: boolean;
  /** Asks and counts, but closes nothing. */
  readonly isShadow: boolean;
  readonly includePeerCertificate: boolean;
  readonly includeTlsSession: boolean;
  /** Undefined: for every connection. */
  readonly enabledMetadata: MetadataMatcherData | undefined;
  readonly labelsKey: string;
  readonly metadataNamespaces: readonly string[];
}

export function parseNetworkExtAuthz(message: ExtAuthz, at: ParseContext): NetworkExtAuthzConfig {
  if (message.send_tls_alert_on_denial) at.field('send_tls_alert_on_denial').unsupported();
  if (message.typed_metadata_context_namespaces.length > 0)
    at.field('typed_metadata_context_namespaces').unsupported();
  const { grpc_service: service } = message;
  if (service === undefined) at.fail('needs "grpc_service"');
  return {
    statPrefix: message.stat_prefix,
    service: service && parseGrpcService(service, at.field('grpc_service'), durationMs(service.timeout, 200)),
    failureModeAllow: message.failure_mode_allow,
    isShadow: message.shadow_mode,
    includePeerCertificate: message.include_peer_certificate,
    includeTlsSession: message.include_tls_session,
    enabledMetadata:
      message.filter_enabled_metadata &&
      parseMetadataMatcher(message.filter_enabled_metadata, at.field('filter_enabled_metadata')),
    labelsKey: message.bootstrap_metadata_labels_key,
    metadataNamespaces: message.metadata_context_namespaces,
  };
}
