// `HttpConnectionManager` -> plain data, on the main thread.
import type { ParseContext } from '#config/parse-context.ts';
import { parseAccessLogs } from '#extension/access-logger.ts';
import type { HttpFilterExtension } from '#extension/http-filter.ts';
import { parseStringMatcher } from '#extension/matchers/parse.ts';
import { durationMs, onlyFields } from '#extension/message-fields.ts';
import { type Configured, type Registry, typeOf } from '#extension/registry.ts';
import type { RequestIdConfig } from '#extension/request-id.ts';
import type { Router } from '#schema/messages/envoy/extensions/filters/http/router/v3.ts';
import type {
  HttpConnectionManager,
  HttpFilter,
  Rds,
} from '#schema/messages/envoy/extensions/filters/network/http_connection_manager/v3.ts';
import { parseConfigSource } from '../dynamic-resources.ts';
import { parseHttp1Options, parseHttp2Options } from './codec-options.ts';
import { parseClientCert, parseClientCertMatcher } from './forwarded-client-cert-config.ts';
import { parseLocalReply } from './local-reply-mapper.ts';
import {
  CodecType,
  type ConnectionManagerConfig,
  type RdsConfig,
  type RouterConfig,
  ServerHeader,
} from './manager-config.ts';
import { parsePathSettings } from './path-options.ts';
import { parseProxyStatus } from './proxy-status.ts';
import { parseRouteConfiguration } from './route-parse.ts';
import { parseScopedRoutes } from './scoped-routes-config.ts';
import { parseUpstreamFilters } from './upstream-filters.ts';

const supported = [
  'codec_type',
  'stat_prefix',
  'route_config',
  'rds',
  'scoped_routes',
  'http_filters',
  'add_user_agent',
  'common_http_protocol_options',
  'http_protocol_options',
  'http2_protocol_options',
  'stream_error_on_invalid_http_message',
  'server_name',
  'server_header_transformation',
  'scheme_header_transformation',
  'max_request_headers_kb',
  'stream_idle_timeout',
  'stream_flush_timeout',
  'request_timeout',
  'request_headers_timeout',
  'drain_timeout',
  'delayed_close_timeout',
  'access_log',
  'access_log_options',
  'drain_timeout_jitter',
  'http1_safe_max_connection_duration',
  'forward_client_cert_matcher',
  'forward_proto_config',
  'proxy_status_config',
  'record_route_resolution_stats',
  'access_log_flush_interval',
  'flush_access_log_on_new_request',
  'use_remote_address',
  'xff_num_trusted_hops',
  'internal_address_config',
  'skip_xff_append',
  'via',
  'generate_request_id',
  'preserve_external_request_id',
  'request_id_extension',
  'early_header_mutation_extensions',
  'original_ip_detection_extensions',
  'always_set_request_id_in_response',
  'forward_client_cert_details',
  'set_current_client_cert_details',
  'proxy_100_continue',
  'upgrade_configs',
  'normalize_path',
  'merge_slashes',
  'path_with_escaped_slashes_action',
  'local_reply_config',
  'strip_matching_host_port',
  'strip_any_host_port',
  'strip_trailing_host_dot',
  'append_x_forwarded_port',
];

/** Nobody has implemented them; the last is about HTTP/3. */
const withoutEffect = [
  'path_normalization_options',
  'represent_ipv4_remote_address_as_ipv4_mapped_ipv6',
  'http3_protocol_options',
] as const;

function parseRds({ route_config_name, config_source }: Rds, at: ParseContext): RdsConfig | undefined {
  if (route_config_name.startsWith('xdstp:')) at.field('route_config_name').unsupported();
  if (config_source === undefined) return undefined;
  const source = parseConfigSource(config_source, at.field('config_source'));
  return (
    source && { key: JSON.stringify([route_config_name, source]), routeConfigName: route_config_name, source }
  );
}

export function parseConnectionManager(
  message: HttpConnectionManager,
  at: ParseContext,
  registry: Registry,
): ConnectionManagerConfig {
  onlyFields(message, at, [...supported, ...withoutEffect, 'append_local_overload', 'tracing']);
  for (const name of withoutEffect) if (message[name]) at.field(name).warn('has no effect, in Envoy neither');
  if (message.tracing !== undefined)
    at.field('tracing').warn('is not supported by chancery: requests are not traced', {
      rule: 'unsupported',
    });
  if (message.add_proxy_protocol_connection_state === false)
    at.field('add_proxy_protocol_connection_state').warn('is not acted on by chancery yet', {
      rule: 'unsupported',
    });
  if (message.append_local_overload)
    at.field('append_local_overload').warn('is not acted on by chancery yet', { rule: 'unsupported' });
  const common = message.common_http_protocol_options;
  if (common !== undefined)
    onlyFields(common, at.field('common_http_protocol_options'), [
      'idle_timeout',
      'max_connection_duration',
      'max_connection_duration_jitter',
      'max_headers_count',
      'max_stream_duration',
      'headers_with_underscores_action',
      'max_requests_per_connection',
    ]);
  return {
    statPrefix: message.stat_prefix,
    codecType:
      message.codec_type === 'HTTP1'
        ? CodecType.Http1
        : message.codec_type === 'HTTP2'
          ? CodecType.Http2
          : CodecType.Auto,
    routeConfig:
      message.route_config === undefined
        ? undefined
        : parseRouteConfiguration(message.route_config, at.field('route_config'), registry),
    rds: message.rds && parseRds(message.rds, at.field('rds')),
    scopedRoutes:
      message.scoped_routes === undefined
        ? undefined
        : parseScopedRoutes(message.scoped_routes, at.field('scoped_routes'), registry),
    ...parseFilters(message.http_filters, at, 'http_filters', registry),
    accessLogs: parseAccessLogs(message.access_log, at.field('access_log'), registry),
    accessLogMoments: {
      start:
        message.access_log_options?.flush_access_log_on_new_request ??
        message.flush_access_log_on_new_request,
      tunnel: message.access_log_options?.flush_log_on_tunnel_successfully_established ?? false,
      intervalMs: durationMs(
        message.access_log_options?.access_log_flush_interval ?? message.access_log_flush_interval,
        0,
      ),
    },
    serverName: message.server_name === '' ? 'envoy' : message.server_name,
    serverHeader:
      message.server_header_transformation === 'APPEND_IF_ABSENT'
        ? ServerHeader.AppendIfAbsent
        : message.server_header_transformation === 'PASS_THROUGH'
          ? ServerHeader.PassThrough
          : ServerHeader.Overwrite,
    schemeOverwrite: message.scheme_header_transformation?.scheme_to_overwrite ?? '',
    schemeMatchesUpstream:
      message.scheme_header_transformation?.match_upstream === true &&
      (message.scheme_header_transformation.scheme_to_overwrite ?? '') === '',
    via: message.via,
    useRemoteAddress: message.use_remote_address ?? false,
    skipXffAppend: message.skip_xff_append,
    xffNumTrustedHops: message.xff_num_trusted_hops,
    appendXForwardedPort: message.append_x_forwarded_port,
    addsUserAgent: message.add_user_agent ?? false,
    internalCidrs: message.internal_address_config?.cidr_ranges.map(
      (it) => `${it.address_prefix}/${it.prefix_len ?? 0}`,
    ),
    internalUnixSockets: message.internal_address_config?.unix_sockets ?? false,
    generateRequestId: message.generate_request_id ?? true,
    preserveExternalRequestId: message.preserve_external_request_id,
    packTraceReason: parseRequestId(message, at, registry),
    earlyMutations: message.early_header_mutation_extensions.flatMap(
      (it, i) =>
        registry.parse('early_header_mutation', it, at.field('early_header_mutation_extensions', i)) ?? [],
    ),
    ipDetections: message.original_ip_detection_extensions.flatMap(
      (it, i) =>
        registry.parse('original_ip_detection', it, at.field('original_ip_detection_extensions', i)) ?? [],
    ),
    ignoredUpgrades: (message.http_protocol_options?.ignore_http_11_upgrade ?? []).map((it, i) =>
      parseStringMatcher(it, at.field('http_protocol_options').field('ignore_http_11_upgrade', i)),
    ),
    alwaysSetRequestIdInResponse: message.always_set_request_id_in_response,
    clientCert: parseClientCert(message),
    clientCertMatcher:
      message.forward_client_cert_matcher === undefined
        ? undefined
        : parseClientCertMatcher(
            message.forward_client_cert_matcher,
            at.field('forward_client_cert_matcher'),
          ),
    forwardedProto: message.forward_proto_config && {
      httpsPorts: message.forward_proto_config.https_destination_ports,
      httpPorts: message.forward_proto_config.http_destination_ports,
    },
    proxyStatus: message.proxy_status_config && parseProxyStatus(message.proxy_status_config),
    recordsRouteResolution: message.record_route_resolution_stats,
    path: parsePathSettings(message),
    stripPort: message.strip_any_host_port ? 2 : message.strip_matching_host_port ? 1 : 0,
    stripTrailingHostDot: message.strip_trailing_host_dot,
    proxy100Continue: message.proxy_100_continue,
    upgrades: message.upgrade_configs.map((it, i) => {
      const here = at.field('upgrade_configs', i);
      return {
        type: it.upgrade_type.toLowerCase(),
        enabled: it.enabled ?? true,
        filters:
          it.filters.length === 0 ? undefined : parseFilters(it.filters, here, 'filters', registry).filters,
      };
    }),
    streamIdleTimeoutMs: durationMs(message.stream_idle_timeout, 300_000),
    streamFlushTimeoutMs: durationMs(message.stream_flush_timeout, -1),
    requestTimeoutMs: durationMs(message.request_timeout, 0),
    requestHeadersTimeoutMs: durationMs(message.request_headers_timeout, 0),
    maxStreamDurationMs: durationMs(common?.max_stream_duration, 0),
    idleTimeoutMs: durationMs(common?.idle_timeout, 3_600_000),
    maxConnectionDurationMs: durationMs(common?.max_connection_duration, 0),
    maxConnectionDurationJitter: common?.max_connection_duration_jitter?.value ?? 0,
    http1SafeMaxConnectionDuration: message.http1_safe_max_connection_duration,
    maxRequestsPerConnection: common?.max_requests_per_connection ?? 0,
    delayedCloseMs: durationMs(message.delayed_close_timeout, 1000),
    drainTimeoutMs: durationMs(message.drain_timeout, 5000),
    drainTimeoutJitter: message.drain_timeout_jitter?.value ?? 0,
    http1StreamErrors:
      message.http_protocol_options?.override_stream_error_on_invalid_http_message ??
      message.stream_error_on_invalid_http_message ??
      false,
    http1: parseHttp1Options(
      message.http_protocol_options,
      common,
      (message.max_request_headers_kb ?? 60) * 1024,
      at.field('http_protocol_options'),
    ),
    http2: parseHttp2Options(
      message.http2_protocol_options,
      common,
      (message.max_request_headers_kb ?? 60) * 1024,
      message.stream_error_on_invalid_http_message,
      at.field('http2_protocol_options'),
    ),
    localReply:
      message.local_reply_config === undefined
        ? undefined
        : parseLocalReply(message.local_reply_config, at.field('local_reply_config')),
  };
}

function parseRequestId(message: HttpConnectionManager, at: ParseContext, registry: Registry): boolean {
  const extension = message.request_id_extension;
  if (extension?.typed_config === undefined) return true;
  const parsed = registry.parse(
    'request_id',
    { name: '', typed_config: extension.typed_config },
    at.field('request_id_extension'),
  );
  return (parsed?.config as RequestIdConfig | undefined)?.packTraceReason ?? true;
}

const routerType = 'envoy.extensions.filters.http.router.v3.Router';

function parseFilters(
  messages: readonly HttpFilter[],
  at: ParseContext,
  field: string,
  registry: Registry,
): Pick<ConnectionManagerConfig, 'filters' | 'routerConfig'> {
  const filters: (Configured & { disabled: boolean })[] = [];
  let routerConfig: RouterConfig | undefined;
  messages.forEach((filter, i) => {
    const here = at.field(field, i);
    onlyFields(filter, here, ['name', 'typed_config', 'is_optional', 'disabled']);
    const isLast = i === messages.length - 1;
    const type = typeOf(filter.typed_config);
    if (type === routerType || (type === '' && filter.name === 'envoy.filters.http.router')) {
      if (!isLast) here.fail('envoy.filters.http.router must be the last filter of the chain');
      routerConfig = parseRouter(
        filter.typed_config as unknown as Router,
        here.field('typed_config'),
        registry,
      );
      return;
    }
    if (filter.is_optional && registry.byType<HttpFilterExtension>('http_filter', type) === undefined) return;
    const configured = registry.parse('http_filter', filter, here);
    if (configured === undefined) return;
    const extension = registry.byName<HttpFilterExtension>('http_filter', configured.extension);
    if (isLast && extension?.terminal !== true) {
      here.fail(
        `Error: non-terminal filter named ${filter.name} of type ${configured.extension} is the last filter in a http filter chain.`,
      );
    }
    filters.push({ ...configured, disabled: filter.disabled });
  });
  if (messages.length === 0)
    at.field(field).fail(
      'Error: http filter chain needs a terminal filter such as envoy.filters.http.router',
    );
  return {
    filters,
    routerConfig: routerConfig ?? parseRouter(undefined, at, registry),
  };
}

function parseRouter(message: Router | undefined, at: ParseContext, registry: Registry): RouterConfig {
  const options = message?.upstream_log_options;
  if (message !== undefined)
    onlyFields(message, at, [
      'dynamic_stats',
      'start_child_span',
      'suppress_envoy_headers',
      'respect_expected_rq_timeout',
      'strict_check_headers',
      'suppress_grpc_request_failure_code_stats',
      'upstream_log',
      'upstream_log_options',
      'upstream_http_filters',
    ]);
  return {
    dynamicStats: message?.dynamic_stats ?? true,
    suppressEnvoyHeaders: message?.suppress_envoy_headers ?? false,
    respectExpectedRqTimeout: message?.respect_expected_rq_timeout ?? false,
    strictCheckHeaders: (message?.strict_check_headers ?? []).map((it) => it.toLowerCase()),
    suppressGrpcRequestFailureCodeStats: message?.suppress_grpc_request_failure_code_stats ?? false,
    upstreamLog: {
      logs: parseAccessLogs(message?.upstream_log ?? [], at.field('upstream_log'), registry),
      poolReady: options?.flush_upstream_log_on_upstream_stream ?? false,
      intervalMs: durationMs(options?.upstream_log_flush_interval, 0),
    },
    upstreamFilters: parseUpstreamFilters(
      message?.upstream_http_filters ?? [],
      at,
      'upstream_http_filters',
      registry,
    ),
  };
}
