// `health_checks` of a cluster as plain data. It stays on the main thread, where the checks are made.
import type { ParseContext } from '#config/parse-context.ts';
import { type HeaderMutationData, parseHeaderValueOption } from '#extension/header-mutation-config.ts';
import { parseHeadersToAddAndRemove } from '#extension/header-mutation-config.ts';
import type { StringMatcherData } from '#extension/matchers/matcher-config.ts';
import { parseStringMatcher } from '#extension/matchers/parse.ts';
import { durationMs, onlyFields } from '#extension/message-fields.ts';
import { typeOf } from '#extension/registry.ts';
import type { Cluster } from '#schema/messages/envoy/config/cluster/v3.ts';
import type {
  HealthCheck,
  HealthCheck_GrpcHealthCheck,
  HealthCheck_HttpHealthCheck,
  HealthCheck_Payload,
  HealthCheck_TcpHealthCheck,
} from '#schema/messages/envoy/config/core/v3.ts';
import type { HealthCheckEventFileSink } from '#schema/messages/envoy/extensions/health_check/event_sinks/file/v3.ts';
import type { Int64Range } from '#schema/messages/envoy/type/v3.ts';

export interface HealthCheckConfig {
  /** In the names of its statistics; may be empty where a cluster has no other check. */
  readonly name: string;
  readonly timeoutMs: number;
  readonly unhealthyThreshold: number;
  readonly healthyThreshold: number;
  readonly intervals: CheckIntervals;
  readonly reusesConnections: boolean;
  /** Files that events go to. */
  readonly eventLogs: readonly string[];
  readonly logsEveryFailure: boolean;
  readonly logsEverySuccess: boolean;
  /** `tls_options`; undefined: as the transport socket says. */
  readonly alpnProtocols: readonly string[] | undefined;
  /** `transport_socket_match_criteria`: in the place of the host's metadata. */
  readonly transportSocketMatch: Readonly<Record<string, unknown>> | undefined;
  readonly probe: ProbeConfig;
}

export interface CheckIntervals {
  readonly intervalMs: number;
  readonly initialJitterMs: number;
  readonly jitterMs: number;
  readonly jitterPercent: number;
  readonly noTrafficMs: number;
  readonly noTrafficHealthyMs: number;
  readonly unhealthyMs: number;
  readonly unhealthyEdgeMs: number;
  readonly healthyEdgeMs: number;
}

export type ProbeConfig = HttpProbeConfig | TcpProbeConfig | GrpcProbeConfig;

/** From, and below. */
export type StatusRange = readonly [start: number, end: number];

export interface HttpProbeConfig {
  readonly kind: 'HTTP';
  /** Empty: the name of the cluster. */
  readonly host: string;
  readonly path: string;
  readonly method: string;
  readonly send: Buffer | undefined;
  readonly receive: readonly Buffer[];
  /** How much of a body is looked at; 0: all of it. */
  readonly bufferBytes: number;
  readonly headers: readonly HeaderMutationData[];
  readonly expected: readonly StatusRange[];
  readonly retriable: readonly StatusRange[];
  readonly isHttp2: boolean;
  /** `use_alpn_protocol` */
  readonly usesAlpn: boolean;
  readonly serviceName: StringMatcherData | undefined;
}

export interface TcpProbeConfig {
  readonly kind: 'TCP';
  readonly send: Buffer | undefined;
  /** Empty: a connection is enough. */
  readonly receive: readonly Buffer[];
  readonly proxyProtocol: 1 | 2 | undefined;
}

export interface GrpcProbeConfig {
  readonly kind: 'GRPC';
  readonly serviceName: string;
  /** Empty: the name of the cluster. */
  readonly authority: string;
  readonly metadata: readonly HeaderMutationData[];
}

export function parseHealthChecks(message: Cluster, at: ParseContext): HealthCheckConfig[] {
  const { health_checks: checks } = message;
  if (checks.length === 0) return [];
  if (message.type === 'ORIGINAL_DST' || (message.cluster_type !== undefined && !isDns(message))) {
    at.field('health_checks').unsupported(
      'chancery has no health checks for hosts that requests or connections name',
    );
    return [];
  }
  return checks.flatMap((it, i) => parseHealthCheck(it, at.field('health_checks', i)) ?? []);
}

function isDns({ cluster_type: custom }: Cluster): boolean {
  return typeOf(custom?.typed_config) === 'envoy.extensions.clusters.dns.v3.DnsCluster';
}

function parseHealthCheck(message: HealthCheck, at: ParseContext): HealthCheckConfig | undefined {
  const withoutEffect = ['alt_port', 'event_service'] as const;
  for (const field of withoutEffect)
    if (message[field] !== undefined) at.field(field).warn('has no effect, in Envoy neither', {});
  onlyFields(message, at, [...known, ...withoutEffect]);
  const probe = parseProbe(message, at);
  if (probe === undefined) return undefined;
  const intervalMs = durationMs(message.interval, 0);
  const noTrafficMs = durationMs(message.no_traffic_interval, 60_000);
  const unhealthyMs = durationMs(message.unhealthy_interval, intervalMs);
  return {
    name: message.name,
    timeoutMs: durationMs(message.timeout, 0),
    unhealthyThreshold: message.unhealthy_threshold ?? 1,
    healthyThreshold: message.healthy_threshold ?? 1,
    intervals: {
      intervalMs,
      initialJitterMs: durationMs(message.initial_jitter, 0),
      jitterMs: durationMs(message.interval_jitter, 0),
      jitterPercent: message.interval_jitter_percent,
      noTrafficMs,
      noTrafficHealthyMs: durationMs(message.no_traffic_healthy_interval, noTrafficMs),
      unhealthyMs,
      unhealthyEdgeMs: durationMs(message.unhealthy_edge_interval, unhealthyMs),
      healthyEdgeMs: durationMs(message.healthy_edge_interval, intervalMs),
    },
    reusesConnections: message.reuse_connection ?? true,
    eventLogs: parseEventLogs(message, at),
    logsEveryFailure: message.always_log_health_check_failures,
    logsEverySuccess: message.always_log_health_check_success,
    alpnProtocols: message.tls_options?.alpn_protocols,
    transportSocketMatch: message.transport_socket_match_criteria,
    probe,
  };
}

const known = [
  'name',
  'timeout',
  'interval',
  'initial_jitter',
  'interval_jitter',
  'interval_jitter_percent',
  'unhealthy_threshold',
  'healthy_threshold',
  'reuse_connection',
  'http_health_check',
  'tcp_health_check',
  'grpc_health_check',
  'custom_health_check',
  'no_traffic_interval',
  'no_traffic_healthy_interval',
  'unhealthy_interval',
  'unhealthy_edge_interval',
  'healthy_edge_interval',
  'event_log_path',
  'event_logger',
  'always_log_health_check_failures',
  'always_log_health_check_success',
  'tls_options',
  'transport_socket_match_criteria',
];

function parseEventLogs(message: HealthCheck, at: ParseContext): string[] {
  const paths = message.event_logger.flatMap((sink, i) => {
    if (
      typeOf(sink.typed_config) ===
      'envoy.extensions.health_check.event_sinks.file.v3.HealthCheckEventFileSink'
    )
      return (sink.typed_config as unknown as HealthCheckEventFileSink).event_log_path;
    at.field('event_logger', i).field('typed_config').unsupported();
    return [];
  });
  return message.event_log_path === '' ? paths : [...paths, message.event_log_path];
}

function parseProbe(message: HealthCheck, at: ParseContext): ProbeConfig | undefined {
  if (message.http_health_check !== undefined)
    return parseHttpProbe(message.http_health_check, at.field('http_health_check'));
  if (message.tcp_health_check !== undefined)
    return parseTcpProbe(message.tcp_health_check, at.field('tcp_health_check'));
  if (message.grpc_health_check !== undefined)
    return parseGrpcProbe(message.grpc_health_check, at.field('grpc_health_check'));
  const custom = message.custom_health_check;
  if (custom !== undefined)
    at.field('custom_health_check').unsupported(
      `${custom.name} is not supported by chancery: there are health checks over HTTP, gRPC and TCP`,
    );
  return undefined;
}

function parseHttpProbe(message: HealthCheck_HttpHealthCheck, at: ParseContext): HttpProbeConfig {
  if (message.codec_client_type === 'HTTP3') at.field('codec_client_type').unsupported();
  return {
    kind: 'HTTP',
    host: message.host,
    path: message.path,
    method: message.method === 'METHOD_UNSPECIFIED' ? 'GET' : message.method,
    send: message.send && bytesOf(message.send),
    receive: message.receive.map(bytesOf),
    bufferBytes: Number(message.response_buffer_size ?? 1024n),
    headers: parseHeadersToAddAndRemove(
      'request',
      message.request_headers_to_add,
      message.request_headers_to_remove,
      at,
    ),
    expected: message.expected_statuses.length === 0 ? [[200, 201]] : message.expected_statuses.map(rangeOf),
    retriable: message.retriable_statuses.map(rangeOf),
    isHttp2: message.codec_client_type === 'HTTP2',
    usesAlpn: message.use_alpn_protocol,
    serviceName:
      message.service_name_matcher &&
      parseStringMatcher(message.service_name_matcher, at.field('service_name_matcher')),
  };
}

function rangeOf({ start, end }: Int64Range): StatusRange {
  return [Number(start), Number(end)];
}

function parseTcpProbe(message: HealthCheck_TcpHealthCheck, at: ParseContext): TcpProbeConfig {
  const { proxy_protocol_config: proxy, send } = message;
  if (proxy !== undefined) onlyFields(proxy, at.field('proxy_protocol_config'), ['version']);
  return {
    kind: 'TCP',
    // Envoy sends nothing of a payload in binary form.
    send: send?.text === undefined ? undefined : bytesOf(send),
    receive: message.receive.map(bytesOf),
    proxyProtocol: proxy && (proxy.version === 'V2' ? 2 : 1),
  };
}

function parseGrpcProbe(message: HealthCheck_GrpcHealthCheck, at: ParseContext): GrpcProbeConfig {
  return {
    kind: 'GRPC',
    serviceName: message.service_name,
    authority: message.authority,
    metadata: message.initial_metadata.map((it, i) =>
      parseHeaderValueOption(it, at.field('initial_metadata', i)),
    ),
  };
}

function bytesOf({ text, binary }: HealthCheck_Payload): Buffer {
  return text === undefined ? Buffer.from(binary ?? []) : Buffer.from(text, 'hex');
}
