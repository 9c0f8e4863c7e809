// `AccessLogCommon`: what entries of requests and of connections have in common.

import { knownAddress } from '#extension/address-message.ts';
import type { CustomTags } from '#extension/custom-tags.ts';
import { AccessLogType, type FormatContext } from '#extension/formatter.ts';
import { ResponseFlag } from '#extension/response-flag.ts';
import type { CertificateInfo, StreamInfo } from '#extension/stream-info.ts';
import { cipherSuiteIds } from '#net/cipher-suites.ts';
import type {
  AccessLogCommonInit,
  AccessLogType as AccessLogTypeName,
  ResponseFlagsInit,
  TLSProperties_CertificatePropertiesInit,
  TLSPropertiesInit,
} from '#schema/messages/envoy/data/accesslog/v3.ts';
import type { DurationInit, JsonObject } from '#schema/values.ts';

export function commonProperties(context: FormatContext, tags: CustomTags): AccessLogCommonInit {
  const { info } = context;
  const { connection, dynamicMetadata, upstream } = info;
  const since = (ms: number) => (ms === 0 ? undefined : durationOf(ms - info.startMs));
  const seconds = Math.floor(info.startTime / 1000);
  return {
    downstream_remote_address: knownAddress(info.remoteAddress),
    downstream_direct_remote_address: knownAddress(connection.directRemoteAddress),
    downstream_local_address: knownAddress(connection.localAddress),
    tls_properties: tlsProperties(info),
    start_time: { seconds, nanos: Math.floor((info.startTime - seconds * 1000) * 1e6) },
    duration: since(info.endMs),
    time_to_last_rx_byte: since(info.lastDownstreamRxMs),
    time_to_first_upstream_tx_byte: since(upstream.firstTxByteMs),
    time_to_last_upstream_tx_byte: since(upstream.lastTxByteMs),
    time_to_first_upstream_rx_byte: since(upstream.firstRxByteMs),
    time_to_last_upstream_rx_byte: since(upstream.lastRxByteMs),
    time_to_first_downstream_tx_byte: since(info.firstDownstreamTxMs),
    time_to_last_downstream_tx_byte: since(info.lastDownstreamTxMs),
    upstream_remote_address: knownAddress(upstream.hostAddress),
    upstream_local_address: knownAddress(upstream.localAddress),
    upstream_cluster: upstream.hostAddress === '' ? '' : upstream.clusterName,
    upstream_transport_failure_reason: failureReason(upstream.transportFailureReason),
    upstream_request_attempt_count: info.attemptCount,
    upstream_wire_bytes_sent: upstream.bytes.wireBytesSent,
    upstream_wire_bytes_received: upstream.bytes.wireBytesReceived,
    downstream_wire_bytes_sent: info.bytes.wireBytesSent,
    downstream_wire_bytes_received: info.bytes.wireBytesReceived,
    downstream_transport_failure_reason: connection.transportFailureReason,
    connection_termination_details: connection.terminationDetails,
    route_name: info.routeName,
    response_flags: responseFlags(info.flags),
    metadata: dynamicMetadata && { filter_metadata: dynamicMetadata as Record<string, JsonObject> },
    custom_tags: tags.values(context),
    intermediate_log_entry: info.endMs === 0,
    stream_id: info.requestId,
    access_log_type: logTypeNames[context.logType]!,
  };
}

/** Stream info has it as texts of a log show it, without spaces. */
function failureReason(text: string): string {
  if (text.startsWith('delayed_connect_error:')) return text.replaceAll('_', ' ');
  return text.replaceAll('SSL_routines', 'SSL routines');
}

/** Times are read once per turn, so that one may lie before another that came first. */
function durationOf(given: number): DurationInit {
  const ms = Math.max(given, 0);
  const seconds = Math.floor(ms / 1000);
  return { seconds, nanos: Math.floor((ms - seconds * 1000) * 1e6) };
}

const tlsVersions: Readonly<Record<string, 'TLSv1' | 'TLSv1_1' | 'TLSv1_2' | 'TLSv1_3'>> = {
  TLSv1: 'TLSv1',
  'TLSv1.1': 'TLSv1_1',
  'TLSv1.2': 'TLSv1_2',
  'TLSv1.3': 'TLSv1_3',
};

function tlsProperties({ connection }: StreamInfo): TLSPropertiesInit | undefined {
  const { ja3, requestedServerName, tls } = connection;
  if (tls === undefined && ja3 === '' && requestedServerName === '') return undefined;
  return {
    tls_sni_hostname: requestedServerName,
    ja3_fingerprint: ja3,
    ...(tls && {
      tls_version: tlsVersions[tls.version] ?? 'VERSION_UNSPECIFIED',
      tls_cipher_suite: cipherSuiteIds[tls.cipher] ?? 0xffff,
      tls_session_id: tls.sessionId,
      local_certificate_properties: subjectAndUris(tls.localCertificate()),
      peer_certificate_properties: {
        ...subjectAndUris(tls.peerCertificate()),
        issuer: tls.peerCertificate()?.issuer,
      },
    }),
  };
}

function subjectAndUris(certificate: CertificateInfo | undefined): TLSProperties_CertificatePropertiesInit {
  return {
    subject: certificate?.subject,
    subject_alt_name: certificate?.uriSans.map((uri) => ({ uri })),
  };
}

/** By bit; those that the message does not have are left out. */
const flagFields: readonly (keyof ResponseFlagsInit | undefined)[] = [
  'failed_local_healthcheck',
  'no_healthy_upstream',
  'upstream_request_timeout',
  'local_reset',
  'upstream_remote_reset',
  'upstream_connection_failure',
  'upstream_connection_termination',
  'upstream_overflow',
  'no_route_found',
  'delay_injected',
  'fault_injected',
  'rate_limited',
  'unauthorized_details',
  'rate_limit_service_error',
  'downstream_connection_termination',
  'upstream_retry_limit_exceeded',
  'stream_idle_timeout',
  'invalid_envoy_request_headers',
  'downstream_protocol_error',
  'upstream_max_stream_duration_reached',
  'response_from_cache_filter',
  'no_filter_config_found',
  'duration_timeout',
  'upstream_protocol_error',
  'no_cluster_found',
  'overload_manager',
  'dns_resolution_failure',
  undefined,
  'downstream_remote_reset',
];

function responseFlags(bits: number): ResponseFlagsInit | undefined {
  if (bits === 0) return undefined;
  const flags: Record<string, unknown> = {};
  for (let bit = 0; bit < flagFields.length; bit++) {
    const field = flagFields[bit];
    if ((bits & (1 << bit)) === 0 || field === undefined) continue;
    flags[field] = bit === ResponseFlag.UnauthorizedExternalService ? { reason: 'EXTERNAL_SERVICE' } : true;
  }
  return flags as ResponseFlagsInit;
}

const logTypeNames: readonly AccessLogTypeName[] = Object.entries(AccessLogType)
  .sort(([, a], [, b]) => a - b)
  .map(([name]) => name as AccessLogTypeName);
