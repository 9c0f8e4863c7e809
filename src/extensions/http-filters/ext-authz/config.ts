// Plain configuration of the ext_authz filter, of the chain and per route.
import { latin1OfUtf8 } from '#base/utf8.ts';
import type { ParseContext } from '#config/parse-context.ts';
import {
  type GrpcServiceData,
  parseAsyncRetryPolicy,
  parseGrpcService,
  parseHeadersToSet,
} from '#extension/grpc-service.ts';
import type { HeaderMutationData } from '#extension/header-mutation-config.ts';
import { type HeaderRulesData, parseHeaderRules } from '#extension/header-mutation-rules.ts';
import type { MetadataMatcherData, StringMatcherData } from '#extension/matchers/matcher-config.ts';
import { parseMetadataMatcher, parseStringMatcher } from '#extension/matchers/parse.ts';
import { durationMs, onlyFields } from '#extension/message-fields.ts';
import type { RuntimeFraction } from '#extension/runtime.ts';
import { runtimeFraction } from '#extension/runtime-config.ts';
import type { AsyncOptions } from '#http/async-client.ts';
import type {
  BufferSettings,
  ExtAuthz,
  ExtAuthzPerRoute,
  HttpService,
} from '#schema/messages/envoy/extensions/filters/http/ext_authz/v3.ts';
import type { ListStringMatcher } from '#schema/messages/envoy/type/matcher/v3.ts';
import { enumType } from '#schema/registry.ts';

export interface ExtAuthzConfig {
  readonly statPrefix: string;
  readonly service: ServiceData | undefined;
  readonly failureModeAllow: boolean;
  readonly failureModeAllowHeaderAdd: boolean;
  readonly body: BodyConfig | undefined;
  readonly clearRouteCache: boolean;
  /** Lower-case; only these headers' change clears it. Empty: any. */
  readonly clearRouteCacheHeaders: readonly string[];
  readonly statusOnError: number;
  readonly validateMutations: boolean;
  readonly requestHeaderRules: HeaderRulesData | undefined;
  readonly metadataNamespaces: readonly string[];
  readonly routeMetadataNamespaces: readonly string[];
  /** Undefined: every request is checked. */
  readonly enabled: RuntimeFraction | undefined;
  readonly enabledMetadata: MetadataMatcherData | undefined;
  readonly denyAtDisable: { readonly runtimeKey: string; readonly fallback: boolean };
  readonly includePeerCertificate: boolean;
  readonly includeTlsSession: boolean;
  readonly labelsKey: string;
  /** Undefined: all headers. */
  readonly allowedHeaders: readonly StringMatcherData[] | undefined;
  readonly disallowedHeaders: readonly StringMatcherData[];
  readonly chargeClusterResponseStats: boolean;
  readonly encodeRawHeaders: boolean;
  readonly ingestsMetadata: boolean;
  /** 0: no limit. */
  readonly maxDeniedBodyBytes: number;
}

export interface BodyConfig {
  readonly maxBytes: number;
  readonly allowPartial: boolean;
  readonly packAsBytes: boolean;
}

export type ServiceData =
  | { readonly kind: 'grpc'; readonly grpc: GrpcServiceData }
  | { readonly kind: 'http'; readonly http: HttpServiceData };

export interface HttpServiceData {
  readonly cluster: string;
  readonly options: AsyncOptions;
  readonly pathPrefix: string;
  /** Instead of the request's path; empty for none. */
  readonly pathOverride: string;
  readonly headersToAdd: readonly HeaderMutationData[];
  /** Of the answer: what goes on with the request, what is appended to it, what the client gets (refused, allowed), what becomes metadata. */
  readonly upstreamHeaders: readonly StringMatcherData[];
  readonly upstreamHeadersToAppend: readonly StringMatcherData[];
  readonly clientHeaders: readonly StringMatcherData[];
  readonly clientHeadersOnSuccess: readonly StringMatcherData[];
  readonly metadataHeaders: readonly StringMatcherData[];
}

export interface ExtAuthzRouteConfig {
  readonly disabled: boolean;
  readonly contextExtensions: Readonly<Record<string, string>>;
  readonly disableBodyBuffering: boolean;
  readonly body: BodyConfig | undefined;
  /** Instead of the filter's own. */
  readonly service: ServiceData | undefined;
}

const supported = [
  'grpc_service',
  'http_service',
  'transport_api_version',
  'failure_mode_allow',
  'failure_mode_allow_header_add',
  'with_request_body',
  'clear_route_cache',
  'clear_route_cache_headers',
  'status_on_error',
  'validate_mutations',
  'metadata_context_namespaces',
  'route_metadata_context_namespaces',
  'filter_enabled',
  'filter_enabled_metadata',
  'deny_at_disable',
  'include_peer_certificate',
  'stat_prefix',
  'bootstrap_metadata_labels_key',
  'allowed_headers',
  'disallowed_headers',
  'include_tls_session',
  'charge_cluster_response_stats',
  'encode_raw_headers',
  'decoder_header_mutation_rules',
  'enable_dynamic_metadata_ingestion',
  'max_denied_response_body_bytes',
];

export function parseExtAuthz(message: ExtAuthz, at: ParseContext): ExtAuthzConfig {
  onlyFields(message, at, supported);
  const { http_service: http } = message;
  const service = parseService(message, at);
  if (message.grpc_service === undefined && http === undefined)
    at.fail('needs one of: grpc_service, http_service');
  const ownList = http?.authorization_request?.allowed_headers;
  const allowed =
    ownList === undefined
      ? parseList(message.allowed_headers, at.field('allowed_headers'))
      : parseList(ownList, at.field('http_service').field('authorization_request').field('allowed_headers'));
  return {
    statPrefix: message.stat_prefix,
    service,
    failureModeAllow: message.failure_mode_allow,
    failureModeAllowHeaderAdd: message.failure_mode_allow_header_add,
    body: message.with_request_body && parseBody(message.with_request_body),
    clearRouteCache: message.clear_route_cache,
    clearRouteCacheHeaders: message.clear_route_cache_headers.map((it) => latin1OfUtf8(it).toLowerCase()),
    statusOnError: statusNumber(message.status_on_error?.code),
    validateMutations: message.validate_mutations,
    requestHeaderRules:
      message.decoder_header_mutation_rules &&
      parseHeaderRules(message.decoder_header_mutation_rules, at.field('decoder_header_mutation_rules')),
    metadataNamespaces: message.metadata_context_namespaces,
    routeMetadataNamespaces: message.route_metadata_context_namespaces,
    enabled: message.filter_enabled && runtimeFraction(message.filter_enabled),
    enabledMetadata:
      message.filter_enabled_metadata &&
      parseMetadataMatcher(message.filter_enabled_metadata, at.field('filter_enabled_metadata')),
    denyAtDisable: {
      runtimeKey: message.deny_at_disable?.runtime_key ?? '',
      fallback: message.deny_at_disable?.default_value ?? false,
    },
    includePeerCertificate: message.include_peer_certificate,
    includeTlsSession: message.include_tls_session,
    labelsKey: message.bootstrap_metadata_labels_key,
    allowedHeaders:
      http !== undefined
        ? [...allowed, ...alwaysSent]
        : message.allowed_headers === undefined
          ? undefined
          : allowed,
    disallowedHeaders: parseList(message.disallowed_headers, at.field('disallowed_headers')),
    chargeClusterResponseStats: message.charge_cluster_response_stats ?? true,
    encodeRawHeaders: message.encode_raw_headers,
    ingestsMetadata: message.enable_dynamic_metadata_ingestion ?? true,
    maxDeniedBodyBytes: message.max_denied_response_body_bytes,
  };
}

export function parseExtAuthzPerRoute(message: ExtAuthzPerRoute, at: ParseContext): ExtAuthzRouteConfig {
  const { check_settings: settings } = message;
  const here = at.field('check_settings');
  if (settings !== undefined) onlyFields(settings, here, routeSettings);
  return {
    disabled: message.disabled ?? false,
    contextExtensions: settings?.context_extensions ?? {},
    disableBodyBuffering: settings?.disable_request_body_buffering ?? false,
    body: settings?.with_request_body && parseBody(settings.with_request_body),
    service: settings && parseService(settings, here),
  };
}

const routeSettings = [
  'context_extensions',
  'disable_request_body_buffering',
  'with_request_body',
  'grpc_service',
  'http_service',
];

function parseService(
  message: Pick<ExtAuthz, 'grpc_service' | 'http_service'>,
  at: ParseContext,
): ServiceData | undefined {
  const { grpc_service: grpc, http_service: http } = message;
  if (grpc !== undefined) {
    const data = parseGrpcService(grpc, at.field('grpc_service'), durationMs(grpc.timeout, 200));
    return data && { kind: 'grpc', grpc: data };
  }
  return http && { kind: 'http', http: parseHttpService(http, at.field('http_service')) };
}

function parseHttpService(message: HttpService, at: ParseContext): HttpServiceData {
  const { server_uri: server, authorization_request: request, authorization_response: response } = message;
  const { path_prefix: pathPrefix, path_override: pathOverride } = message;
  if (server?.cluster === undefined) at.field('server_uri').fail('needs "cluster"');
  const answer = at.field('authorization_response');
  return {
    cluster: server?.cluster ?? '',
    options: {
      timeoutMs: durationMs(server?.timeout, 200),
      retryPolicy:
        message.retry_policy && parseAsyncRetryPolicy(message.retry_policy, at.field('retry_policy')),
      addsInternal: true,
      addsForwardedFor: false,
    },
    pathPrefix,
    pathOverride,
    headersToAdd: parseHeadersToSet(
      request?.headers_to_add ?? [],
      at.field('authorization_request'),
      'headers_to_add',
    ),
    upstreamHeaders: parseList(response?.allowed_upstream_headers, answer.field('allowed_upstream_headers')),
    upstreamHeadersToAppend: parseList(
      response?.allowed_upstream_headers_to_append,
      answer.field('allowed_upstream_headers_to_append'),
    ),
    clientHeaders: parseList(response?.allowed_client_headers, answer.field('allowed_client_headers')),
    clientHeadersOnSuccess: parseList(
      response?.allowed_client_headers_on_success,
      answer.field('allowed_client_headers_on_success'),
    ),
    metadataHeaders: parseList(
      response?.dynamic_metadata_from_headers,
      answer.field('dynamic_metadata_from_headers'),
    ),
  };
}

function parseList(list: ListStringMatcher | undefined, at: ParseContext): StringMatcherData[] {
  return (list?.patterns ?? []).map((it, i) => parseStringMatcher(it, at.field('patterns', i)));
}

function parseBody(message: BufferSettings): BodyConfig {
  return {
    maxBytes: message.max_request_bytes,
    allowPartial: message.allow_partial_message,
    packAsBytes: message.pack_as_bytes,
  };
}

/** What a service over HTTP gets whatever is configured. */
const alwaysSent: readonly StringMatcherData[] = ['authorization', ':method', ':path', ':authority'].map(
  (value) => ({ kind: 'exact', value, ignoreCase: false }),
);

/** 403 unless an error is named. */
function statusNumber(code: string | number | undefined): number {
  const number = code === undefined ? 0 : (enumType('envoy.type.v3.StatusCode')!.numberOf(code) ?? 0);
  return number >= 400 ? number : 403;
}
