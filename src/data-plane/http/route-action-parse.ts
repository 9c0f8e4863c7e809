// The actions of a route, from messages to plain data: forward, redirect, direct response, and the policies they carry.
import { latin1OfUtf8 } from '#base/utf8.ts';
import type { ParseContext } from '#config/parse-context.ts';
import { readDataSource } from '#extension/data-source.ts';
import { checkFormat, parseFormatString } from '#extension/format-config.ts';
import { parseHashPolicies } from '#extension/hash-policy-config.ts';
import { parseHeaderMutations } from '#extension/header-mutation-config.ts';
import { parseHeaderMatchers } from '#extension/matchers/parse.ts';
import { parseSubstitute } from '#extension/matchers/substitute.ts';
import { parseProxyProtocol } from '#extension/proxy-protocol-config.ts';
import { parseRateLimits } from '#extension/rate-limit-policy.ts';
import { type Configured, type Registry, typeOf } from '#extension/registry.ts';
import { fraction, runtimeFraction } from '#extension/runtime-config.ts';
import { parseRewriteTemplate, parseUriTemplate } from '#http/uri-template.ts';
import type { TypedExtensionConfig } from '#schema/messages/envoy/config/core/v3.ts';
import type {
  DirectResponseAction,
  HedgePolicy,
  InternalRedirectPolicy as InternalRedirectPolicyMessage,
  RedirectAction,
  RetryPolicy,
  Route,
  RouteAction,
  RouteAction_RequestMirrorPolicy,
  RouteAction_UpgradeConfig,
  RouteMatch,
  WeightedCluster,
} from '#schema/messages/envoy/config/route/v3.ts';
import type { UriTemplateMatchConfig } from '#schema/messages/envoy/extensions/path/match/uri_template/v3.ts';
import type { UriTemplateRewriteConfig } from '#schema/messages/envoy/extensions/path/rewrite/uri_template/v3.ts';
import type { Duration } from '#schema/values.ts';
import { parseRetryOn, unknownRetryOn } from './retry-on.ts';
import type {
  DirectResponseData,
  ForwardData,
  HedgePolicyData,
  InternalRedirectData,
  MirrorPolicyData,
  RedirectData,
  RetryPolicyData,
  RouteData,
  WeightedClustersData,
} from './route-config.ts';
import type { UpgradePolicy } from './route-entry.ts';
import { levelMutations, perFilter } from './route-level-parse.ts';

/** `at` stands on the route. */
export function parseAction(
  route: Route,
  at: ParseContext,
  registry: Registry,
  maxDirectBody: number,
): RouteData['action'] {
  if (route.route !== undefined) return parseForward(route.route, route.match, at.field('route'), registry);
  if (route.redirect !== undefined) return parseRedirect(route.redirect, route.match, at.field('redirect'));
  if (route.direct_response !== undefined)
    return parseDirectResponse(route.direct_response, at.field('direct_response'), maxDirectBody);
  if (route.filter_action !== undefined) at.field('filter_action').unsupported();
  else if (route.non_forwarding_action === undefined)
    at.fail('needs one of: route, redirect, direct_response, filter_action, non_forwarding_action');
  return { kind: 'non_forwarding' };
}

function ms(duration: Duration | undefined, fallback: number): number {
  return duration === undefined ? fallback : duration.seconds * 1000 + duration.nanos / 1e6;
}

/** Read, checked, and waiting for the part of the proxy that will use it. */
const noEffect = 'has no effect yet in chancery';

const notFoundStatus = { SERVICE_UNAVAILABLE: 503, NOT_FOUND: 404, INTERNAL_SERVER_ERROR: 500 } as const;

function parseForward(
  message: RouteAction,
  match: RouteMatch | undefined,
  at: ParseContext,
  registry: Registry,
): ForwardData {
  for (const name of [
    'cluster_specifier_plugin',
    'inline_cluster_specifier_plugin',
    'retry_policy_typed_config',
  ] as const)
    if (message[name] !== undefined) at.field(name).unsupported();
  if (message.early_data_policy !== undefined)
    at.field('early_data_policy').warn('is about HTTP/3 and has no effect', { rule: 'unsupported' });
  const { weighted_clusters: weighted, max_stream_duration: duration } = message;
  const { retry_policy: retry, hedge_policy: hedge } = message;
  checkOneRewrite(message, match, at);
  return {
    kind: 'forward',
    cluster: message.cluster ?? '',
    clusterHeader: message.cluster_header?.toLowerCase() ?? '',
    weighted:
      weighted === undefined ? undefined : parseWeighted(weighted, at.field('weighted_clusters'), registry),
    clusterNotFoundStatus: notFoundStatus[message.cluster_not_found_response_code],
    metadataMatch: subset(message.metadata_match),
    prefixRewrite: latin1OfUtf8(message.prefix_rewrite),
    regexRewrite: parseSubstitute(message.regex_rewrite, at.field('regex_rewrite')),
    templateRewrite: parseTemplateRewrite(
      message.path_rewrite_policy,
      match,
      at.field('path_rewrite_policy'),
    ),
    formatRewrite: parseFormatRewrite(message.path_rewrite, at.field('path_rewrite')),
    hostRewrite: latin1OfUtf8(message.host_rewrite_literal ?? ''),
    hostRewriteFormat: parseFormatRewrite(message.host_rewrite, at.field('host_rewrite')),
    hostRewriteHeader: message.host_rewrite_header?.toLowerCase() ?? '',
    hostRewritePathRegex: parseSubstitute(
      message.host_rewrite_path_regex,
      at.field('host_rewrite_path_regex'),
    ),
    autoHostRewrite: message.auto_host_rewrite === true,
    appendXForwardedHost: message.append_x_forwarded_host,
    // With `max_stream_duration` the older limits are not looked at.
    timeoutMs: duration === undefined ? ms(message.timeout, 15_000) : 0,
    idleTimeoutMs: ms(message.idle_timeout, -1),
    flushTimeoutMs: ms(message.flush_timeout, -1),
    maxStreamDurationMs: ms(duration?.max_stream_duration, -1),
    grpcTimeoutHeaderMaxMs: ms(duration?.grpc_timeout_header_max, -1),
    grpcTimeoutHeaderOffsetMs: ms(duration?.grpc_timeout_header_offset, 0),
    maxGrpcTimeoutMs: duration === undefined ? ms(message.max_grpc_timeout, -1) : -1,
    grpcTimeoutOffsetMs: ms(message.grpc_timeout_offset, 0),
    retryPolicy:
      retry === undefined ? undefined : parseRetryPolicy(retry, at.field('retry_policy'), registry),
    hedgePolicy: hedge === undefined ? undefined : parseHedgePolicy(hedge, at.field('hedge_policy')),
    mirrorPolicies: parseMirrorPolicies(message.request_mirror_policies, at),
    priority: message.priority === 'HIGH' ? 'high' : 'default',
    rateLimits: parseRateLimits(message.rate_limits, at, 'rate_limits'),
    includeVirtualHostRateLimits: message.include_vh_rate_limits ?? false,
    hashPolicies: parseHashPolicies(message.hash_policy, at),
    upgrades: parseUpgrades(message.upgrade_configs, at),
    internalRedirectPolicy: parseInternalRedirect(message, at, registry),
  };
}

function checkOneRewrite(message: RouteAction, match: RouteMatch | undefined, at: ParseContext): void {
  const set = [
    message.prefix_rewrite !== '' && 'prefix_rewrite',
    message.regex_rewrite !== undefined && 'regex_rewrite',
    message.path_rewrite_policy !== undefined && 'path_rewrite_policy',
    message.path_rewrite !== '' && 'path_rewrite',
  ].filter((it) => it !== false);
  if (set.length > 1)
    refuse(at.field(set[1]!), 'Specify only one of prefix_rewrite, regex_rewrite or path_rewrite_policy');
  if (message.prefix_rewrite !== '' && match?.path_match_policy !== undefined)
    refuse(at.field('prefix_rewrite'), 'Cannot use prefix_rewrite with matcher extension');
}

type MetadataMatch = RouteAction['metadata_match'];

function subset(message: MetadataMatch): ForwardData['metadataMatch'] {
  return message?.filter_metadata['envoy.lb'];
}

function parseWeighted(message: WeightedCluster, at: ParseContext, registry: Registry): WeightedClustersData {
  const clusters = message.clusters.map((it, i) => {
    const here = at.field('clusters', i);
    if (it.name !== '' && it.cluster_header !== '')
      refuse(here, 'Only one of name or cluster_header can be specified');
    else if (it.name === '' && it.cluster_header === '')
      refuse(here, 'At least one of name or cluster_header need to be specified');
    if (it.weight === undefined) refuse(here, "Field 'weight' is missing");
    return {
      name: it.name,
      clusterHeader: it.cluster_header.toLowerCase(),
      weight: it.weight ?? 0,
      metadataMatch: subset(it.metadata_match),
      mutations: levelMutations(it, here),
      perFilter: perFilter(it.typed_per_filter_config, undefined, here, registry),
      hostRewrite: latin1OfUtf8(it.host_rewrite_literal ?? ''),
    };
  });
  const total = clusters.reduce((sum, it) => sum + it.weight, 0);
  if (total === 0) refuse(at, 'Sum of weights in the weighted_cluster must be greater than 0.');
  if (total > 0xffff_ffff)
    refuse(at, 'The sum of weights of all weighted clusters of route exceeds 4294967295');
  return {
    clusters,
    runtimeKeyPrefix: message.runtime_key_prefix,
    headerName: message.header_name?.toLowerCase() ?? '',
    usesHashPolicy: message.use_hash_policy ?? false,
  };
}

function refuse(at: ParseContext, problem: string): void {
  at.fail(problem, { envoy: problem });
}

function parseFormatRewrite(format: string | undefined, at: ParseContext): string {
  if (format === undefined || format === '') return '';
  checkFormat(format, at);
  return format;
}

const rewriteType = 'envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig';

function parseTemplateRewrite(
  policy: TypedExtensionConfig | undefined,
  match: RouteMatch | undefined,
  at: ParseContext,
): string {
  if (policy === undefined) return '';
  const here = at.field('typed_config');
  if (typeOf(policy.typed_config) !== rewriteType) {
    here.unsupported(`path rewrite policy ${typeOf(policy.typed_config)} is not supported by chancery`);
    return '';
  }
  const rewrite = (policy.typed_config as unknown as UriTemplateRewriteConfig).path_template_rewrite;
  const of = match?.path_match_policy?.typed_config as UriTemplateMatchConfig | undefined;
  if (of === undefined) {
    refuse(
      at,
      'unable to use envoy.path.rewrite.uri_template.uri_template_rewriter extension without ' +
        'envoy.path.match.uri_template.uri_template_matcher extension',
    );
    return '';
  }
  const template = parseUriTemplate(of.path_template);
  if ('problem' in template) return ''; // reported with the match
  const parts = parseRewriteTemplate(rewrite, template);
  if (typeof parts !== 'string') return rewrite;
  refuse(
    here.field('path_template_rewrite'),
    parts === 'invalid'
      ? `path_rewrite_policy.path_template_rewrite ${rewrite} is invalid`
      : `mismatch between variables in path_match_policy ${of.path_template} and path_rewrite_policy ${rewrite}`,
  );
  return '';
}

function parseUpgrades(
  messages: readonly RouteAction_UpgradeConfig[],
  at: ParseContext,
): Readonly<Record<string, UpgradePolicy>> {
  const upgrades: Record<string, UpgradePolicy> = {};
  messages.forEach((message, i) => {
    const here = at.field('upgrade_configs', i);
    const type = message.upgrade_type.toLowerCase();
    const { connect_config: connect } = message;
    if (upgrades[type] !== undefined) refuse(here, `Duplicate upgrade ${message.upgrade_type}`);
    if (connect !== undefined && type !== 'connect')
      refuse(
        here.field('connect_config'),
        `Non-CONNECT upgrade type ${message.upgrade_type} has ConnectConfig`,
      );
    const proxy = connect?.proxy_protocol_config;
    if (proxy !== undefined && (proxy.added_tlvs.length > 0 || proxy.pass_through_tlvs !== undefined))
      here
        .field('connect_config')
        .field('proxy_protocol_config')
        .warn('TLVs are not sent, by Envoy neither', {});
    upgrades[type] = {
      enabled: message.enabled ?? true,
      connect: connect !== undefined,
      allowsPost: connect?.allow_post ?? false,
      proxy:
        proxy &&
        parseProxyProtocol(
          { ...proxy, added_tlvs: [] },
          here.field('connect_config').field('proxy_protocol_config'),
        ),
    };
  });
  return upgrades;
}

function parseInternalRedirect(
  message: RouteAction,
  at: ParseContext,
  registry: Registry,
): InternalRedirectData | undefined {
  const policy = message.internal_redirect_policy;
  if (policy === undefined) {
    if (message.internal_redirect_action !== 'HANDLE_INTERNAL_REDIRECT') return undefined;
    return {
      maxInternalRedirects: message.max_internal_redirects ?? 1,
      responseCodes: [302],
      predicates: [],
      allowCrossScheme: false,
      responseHeadersToCopy: [],
    };
  }
  return internalRedirect(policy, at.field('internal_redirect_policy'), registry);
}

const redirectCodes = [301, 302, 303, 307, 308];

function internalRedirect(
  message: InternalRedirectPolicyMessage,
  at: ParseContext,
  registry: Registry,
): InternalRedirectData {
  const codes = message.redirect_response_codes.filter((it) => redirectCodes.includes(it));
  message.response_headers_to_copy.forEach((name, i) => {
    if (name.startsWith(':') || name.toLowerCase() === 'host')
      refuse(
        at.field('response_headers_to_copy', i),
        ':-prefixed headers or Hosts may not be specified here.',
      );
  });
  return {
    maxInternalRedirects: message.max_internal_redirects ?? 1,
    responseCodes: message.redirect_response_codes.length === 0 ? [302] : codes,
    predicates: extensions('internal_redirect_predicate', message.predicates, at, 'predicates', registry),
    allowCrossScheme: message.allow_cross_scheme_redirect,
    responseHeadersToCopy: message.response_headers_to_copy.map((it) => it.toLowerCase()),
  };
}

function extensions(
  kind: string,
  messages: readonly { readonly name: string; readonly typed_config?: object | undefined }[],
  at: ParseContext,
  field: string,
  registry: Registry,
): Configured[] {
  return messages.flatMap((it, i) => registry.parse(kind, it, at.field(field, i)) ?? []);
}

/** `at` stands on the message that has the field `request_mirror_policies`. */
export function parseMirrorPolicies(
  messages: readonly RouteAction_RequestMirrorPolicy[],
  at: ParseContext,
): MirrorPolicyData[] {
  return messages.map((message, i) => {
    const here = at.field('request_mirror_policies', i);
    if (message.cluster !== '' && message.cluster_header !== '')
      refuse(
        here,
        `Only one of cluster '${message.cluster}' or cluster_header '${message.cluster_header}' in request mirror policy can be specified`,
      );
    else if (message.cluster === '' && message.cluster_header === '')
      refuse(here, 'Exactly one of cluster or cluster_header in request mirror policy need to be specified');
    const share = message.runtime_fraction;
    if (message.trace_sampled !== undefined) here.field('trace_sampled').warn(noEffect);
    return {
      cluster: message.cluster,
      clusterHeader: message.cluster_header.toLowerCase(),
      fraction:
        share === undefined ? { numerator: 100, denominator: 100, runtimeKey: '' } : runtimeFraction(share),
      traceSampled: message.trace_sampled,
      disableHostSuffix: message.disable_shadow_host_suffix_append,
      mutations: parseHeaderMutations(message.request_headers_mutations, here, 'request_headers_mutations'),
      hostRewrite: latin1OfUtf8(message.host_rewrite_literal),
    };
  });
}

export function parseHedgePolicy(message: HedgePolicy, at: ParseContext): HedgePolicyData {
  // Envoy has these two fields and does nothing with them either.
  if (message.initial_requests !== undefined && message.initial_requests !== 1)
    at.field('initial_requests').warn('has no effect');
  if (message.additional_request_chance !== undefined)
    at.field('additional_request_chance').warn('has no effect');
  return {
    initialRequests: message.initial_requests ?? 1,
    additionalRequestChance: fraction(message.additional_request_chance),
    hedgeOnPerTryTimeout: message.hedge_on_per_try_timeout,
  };
}

export function parseRetryPolicy(
  message: RetryPolicy,
  at: ParseContext,
  registry: Registry,
): RetryPolicyData {
  for (const word of unknownRetryOn(message.retry_on))
    at.field('retry_on').warn(`"${word}" is no retry condition and has no effect`, { got: word });
  // Neither has Envoy any.
  extensions(
    'retry_options_predicate',
    message.retry_options_predicates,
    at,
    'retry_options_predicates',
    registry,
  );
  if (message.refresh_cluster_on_retry) at.field('refresh_cluster_on_retry').warn(noEffect);
  const { retry_back_off: backOff, rate_limited_retry_back_off: limited } = message;
  const baseIntervalMs = Math.max(1, ms(backOff?.base_interval, 25));
  const maxIntervalMs = ms(backOff?.max_interval, baseIntervalMs * 10);
  if (maxIntervalMs < baseIntervalMs)
    refuse(
      at.field('retry_back_off'),
      'retry_policy.max_interval must greater than or equal to the base_interval',
    );
  return {
    retryOn: parseRetryOn(message.retry_on),
    numRetries: message.num_retries ?? 1,
    perTryTimeoutMs: ms(message.per_try_timeout, 0),
    perTryIdleTimeoutMs: ms(message.per_try_idle_timeout, 0),
    retriableStatusCodes: message.retriable_status_codes,
    retriableHeaders: parseHeaderMatchers(message.retriable_headers, at, 'retriable_headers'),
    retriableRequestHeaders: parseHeaderMatchers(
      message.retriable_request_headers,
      at,
      'retriable_request_headers',
    ),
    baseIntervalMs,
    maxIntervalMs,
    resetHeaders: (limited?.reset_headers ?? []).map((it) => ({
      name: it.name.toLowerCase(),
      format: it.format,
    })),
    resetMaxIntervalMs: ms(limited?.max_interval, 300_000),
    hostSelectionMaxAttempts: Number(message.host_selection_retry_max_attempts) || 1,
    hostPredicates: extensions(
      'retry_host_predicate',
      message.retry_host_predicate,
      at,
      'retry_host_predicate',
      registry,
    ),
    retryPriority:
      message.retry_priority &&
      registry.parse('retry_priority', message.retry_priority, at.field('retry_priority')),
    refreshClusterOnRetry: message.refresh_cluster_on_retry,
  };
}

const redirectStatus = {
  MOVED_PERMANENTLY: 301,
  FOUND: 302,
  SEE_OTHER: 303,
  TEMPORARY_REDIRECT: 307,
  PERMANENT_REDIRECT: 308,
} as const;

function parseRedirect(
  message: RedirectAction,
  match: RouteMatch | undefined,
  at: ParseContext,
): RedirectData {
  if ((message.prefix_rewrite ?? '') !== '' && match?.path_match_policy !== undefined)
    refuse(at.field('prefix_rewrite'), 'Cannot use redirect.prefix_rewrite with path_match_policy');
  return {
    kind: 'redirect',
    scheme: message.https_redirect === true ? 'https' : (message.scheme_redirect ?? ''),
    host: latin1OfUtf8(message.host_redirect),
    port: message.port_redirect,
    path: latin1OfUtf8(message.path_redirect ?? ''),
    prefixRewrite: latin1OfUtf8(message.prefix_rewrite ?? ''),
    regexRewrite: parseSubstitute(message.regex_rewrite, at.field('regex_rewrite')),
    formatRewrite: parseFormatRewrite(message.path_rewrite, at.field('path_rewrite')),
    status: redirectStatus[message.response_code],
    stripQuery: message.strip_query,
  };
}

function parseDirectResponse(
  message: DirectResponseAction,
  at: ParseContext,
  maxBytes: number,
): DirectResponseData {
  const { body, body_format: format } = message;
  const bytes = body === undefined ? undefined : readDataSource(body, at.field('body'));
  if (bytes !== undefined && bytes.length > maxBytes) {
    const problem = `response body size is ${bytes.length} bytes; maximum is ${maxBytes}`;
    at.field('body').fail(problem, { envoy: problem });
  }
  return {
    kind: 'direct_response',
    status: message.status,
    body: bytes?.toString('latin1'),
    bodyFormat: format === undefined ? undefined : parseFormatString(format, at.field('body_format')),
  };
}
