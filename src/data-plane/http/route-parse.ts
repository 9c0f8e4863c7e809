// From a RouteConfiguration to plain data, on the main thread: fields and defaults of virtual hosts and routes. Actions are in
// `route-action-parse.ts`, what a matcher tree may contain in `route-matcher-parse.ts`.
import { latin1OfUtf8 } from '#base/utf8.ts';
import type { ParseContext } from '#config/parse-context.ts';
import { parseMatcherTree } from '#extension/matchers/matcher-tree-parse.ts';
import {
  parseCookieMatcher,
  parseFilterStateMatcher,
  parseHeaderMatchers,
  parseMetadataMatcher,
  parseQueryParameterMatcher,
  parseRegex,
} from '#extension/matchers/parse.ts';
import { asciiLowerCase } from '#extension/matchers/string-matcher.ts';
import { parseRateLimits } from '#extension/rate-limit-policy.ts';
import { type Registry, typeOf } from '#extension/registry.ts';
import { fraction, runtimeFraction } from '#extension/runtime-config.ts';
import { parseUriTemplate } from '#http/uri-template.ts';
import type {
  Route,
  RouteConfiguration,
  RouteMatch,
  Tracing,
  VirtualHost,
} from '#schema/messages/envoy/config/route/v3.ts';
import type { UriTemplateMatchConfig } from '#schema/messages/envoy/extensions/path/match/uri_template/v3.ts';
import {
  parseAction,
  parseHedgePolicy,
  parseMirrorPolicies,
  parseRetryPolicy,
} from './route-action-parse.ts';
import {
  PathMatchKind,
  type RouteConfigData,
  type RouteData,
  type RouteMatchData,
  type VirtualHostData,
} from './route-config.ts';
import { RequireTls, type RouteTracing } from './route-entry.ts';
import { levelMutations, metadata, perFilter } from './route-level-parse.ts';
import { routeMatcherReader } from './route-matcher-parse.ts';

/** Plain data for `compileRoutes`; of no use when a problem was reported. */
export function parseRouteConfiguration(
  message: RouteConfiguration,
  at: ParseContext,
  registry: Registry,
): RouteConfigData {
  if (message.vhds !== undefined) at.field('vhds').unsupported();
  if (message.cluster_specifier_plugins.length > 0) at.field('cluster_specifier_plugins').unsupported();
  if (message.route_specifiers.length > 0) at.field('route_specifiers').unsupported();
  const limits = { maxDirectBody: message.max_direct_response_body_size_bytes ?? 4096 };
  const virtualHosts = message.virtual_hosts.map((host, i) =>
    parseVirtualHost(host, at.field('virtual_hosts', i), registry, limits),
  );
  checkDomains(message, at);
  return {
    name: message.name,
    virtualHosts,
    internalOnlyHeaders: message.internal_only_headers.map((it) => it.toLowerCase()),
    mutations: levelMutations(message, at),
    mostSpecificHeaderMutationsWins: message.most_specific_header_mutations_wins,
    ignorePortInHostMatching: message.ignore_port_in_host_matching,
    ignorePathParameters: message.ignore_path_parameters_in_path_matching,
    vhostHeader: message.vhost_header.toLowerCase(),
    mirrorPolicies: parseMirrorPolicies(message.request_mirror_policies, at),
    perFilter: perFilter(message.typed_per_filter_config, undefined, at, registry),
    metadata: metadata(message.metadata, at),
  };
}

interface Limits {
  readonly maxDirectBody: number;
}

function checkDomains(message: RouteConfiguration, at: ParseContext): void {
  const seen = new Set<string>();
  const names = new Set<string>();
  message.virtual_hosts.forEach((host, i) => {
    const here = at.field('virtual_hosts', i);
    if (names.has(host.name)) {
      const problem = `virtual host name must be unique: "${host.name}"`;
      here.field('name').warn(problem, { rule: 'duplicate-name', got: host.name });
    }
    names.add(host.name);
    host.domains.forEach((domain, j) => {
      const key = domain.toLowerCase();
      if (seen.has(key)) {
        const problem =
          key === '*'
            ? `Only a single wildcard domain is permitted in route ${message.name}`
            : `Only unique values for domains are permitted. Duplicate entry of domain ${key} in route ${message.name}`;
        here.field('domains', j).fail(problem, { rule: 'duplicate-domain', got: domain, envoy: problem });
      }
      seen.add(key);
    });
  });
}

const requireTls = {
  NONE: RequireTls.None,
  EXTERNAL_ONLY: RequireTls.ExternalOnly,
  ALL: RequireTls.All,
} as const;

function parseVirtualHost(
  message: VirtualHost,
  at: ParseContext,
  registry: Registry,
  limits: Limits,
): VirtualHostData {
  if (message.route_specifiers.length > 0) at.field('route_specifiers').unsupported();
  if (message.retry_policy_typed_config !== undefined) at.field('retry_policy_typed_config').unsupported();
  if (message.matcher !== undefined && message.routes.length > 0)
    at.fail('cannot set both matcher and routes on virtual host');
  const { retry_policy: retry, hedge_policy: hedge, matcher } = message;
  const route = (it: Route, here: ParseContext) => parseRoute(it, here, registry, limits);
  return {
    name: message.name,
    domains: message.domains.map((it) => asciiLowerCase(latin1OfUtf8(it))),
    routes: message.routes.map((it, i) => route(it, at.field('routes', i))),
    matcher:
      matcher === undefined
        ? undefined
        : parseMatcherTree(matcher, at.field('matcher'), routeMatcherReader(route)),
    requireTls: requireTls[message.require_tls],
    virtualClusters: message.virtual_clusters.map((it, i) => ({
      name: it.name,
      headers: parseHeaderMatchers(it.headers, at.field('virtual_clusters', i), 'headers'),
    })),
    rateLimits: parseRateLimits(message.rate_limits, at, 'rate_limits'),
    mutations: levelMutations(message, at),
    perFilter: perFilter(message.typed_per_filter_config, message.cors, at, registry),
    includeRequestAttemptCount: message.include_request_attempt_count,
    includeAttemptCountInResponse: message.include_attempt_count_in_response,
    includeIsTimeoutRetryHeader: message.include_is_timeout_retry_header,
    retryPolicy:
      retry === undefined ? undefined : parseRetryPolicy(retry, at.field('retry_policy'), registry),
    hedgePolicy: hedge === undefined ? undefined : parseHedgePolicy(hedge, at.field('hedge_policy')),
    requestBodyBufferLimit: bufferLimit(message),
    mirrorPolicies: parseMirrorPolicies(message.request_mirror_policies, at),
    metadata: metadata(message.metadata, at),
  };
}

function parseRoute(message: Route, at: ParseContext, registry: Registry, limits: Limits): RouteData {
  if (message.route_specifiers.length > 0) at.field('route_specifiers').unsupported();
  const { match, decorator, tracing } = message;
  if (tracing !== undefined) at.field('tracing').warn('has no effect yet in chancery');
  if (match === undefined)
    at.fail('needs a match', { envoy: 'RouteValidationError.Match: value is required' });
  return {
    name: message.name,
    match: match === undefined ? emptyMatch : parseMatch(match, at.field('match')),
    action: parseAction(message, at, registry, limits.maxDirectBody),
    metadata: metadata(message.metadata, at),
    decorator:
      decorator === undefined
        ? undefined
        : { operation: decorator.operation, propagate: decorator.propagate ?? true },
    tracing: tracing === undefined ? undefined : parseTracing(tracing),
    perFilter: perFilter(message.typed_per_filter_config, message.route?.cors, at, registry),
    mutations: levelMutations(message, at),
    statPrefix: message.stat_prefix,
    requestBodyBufferLimit: bufferLimit(message),
  };
}

const emptyMatch: RouteMatchData = {
  kind: PathMatchKind.Prefix,
  path: '',
  ignoreCase: false,
  runtimeFraction: undefined,
  headers: [],
  queryParameters: [],
  cookies: [],
  grpc: false,
  tls: undefined,
  dynamicMetadata: [],
  filterState: [],
};

function parseMatch(message: RouteMatch, at: ParseContext): RouteMatchData {
  const { tls_context: tls, runtime_fraction: share } = message;
  return {
    ...parsePath(message, at),
    runtimeFraction: share === undefined ? undefined : runtimeFraction(share),
    headers: parseHeaderMatchers(message.headers, at, 'headers'),
    queryParameters: message.query_parameters.map((it, i) =>
      parseQueryParameterMatcher(it, at.field('query_parameters', i)),
    ),
    cookies: message.cookies.map((it, i) => parseCookieMatcher(it, at.field('cookies', i))),
    grpc: message.grpc !== undefined,
    tls: tls === undefined ? undefined : { presented: tls.presented, validated: tls.validated },
    dynamicMetadata: message.dynamic_metadata.map((it, i) =>
      parseMetadataMatcher(it, at.field('dynamic_metadata', i)),
    ),
    filterState: message.filter_state.map((it, i) =>
      parseFilterStateMatcher(it, at.field('filter_state', i)),
    ),
  };
}

type PathMatch = Pick<RouteMatchData, 'kind' | 'path' | 'ignoreCase'>;

function parsePath(message: RouteMatch, at: ParseContext): PathMatch {
  const ignoreCase = message.case_sensitive === false;
  const literal = (kind: PathMatchKind, path: string): PathMatch => ({
    kind,
    path: ignoreCase ? asciiLowerCase(latin1OfUtf8(path)) : latin1OfUtf8(path),
    ignoreCase,
  });
  if (message.prefix !== undefined) return literal(PathMatchKind.Prefix, message.prefix);
  if (message.path !== undefined) return literal(PathMatchKind.Path, message.path);
  if (message.path_separated_prefix !== undefined)
    return literal(PathMatchKind.SeparatedPrefix, message.path_separated_prefix);
  if (message.connect_matcher !== undefined)
    return { kind: PathMatchKind.Connect, path: '', ignoreCase: false };
  if (message.safe_regex !== undefined)
    return {
      kind: PathMatchKind.Regex,
      path: parseRegex(message.safe_regex, at.field('safe_regex')),
      ignoreCase: false,
    };
  if (message.path_match_policy !== undefined) {
    const path = parseTemplate(message.path_match_policy.typed_config, at.field('path_match_policy'));
    return { kind: PathMatchKind.Template, path, ignoreCase: false };
  }
  at.fail(
    'needs one of: prefix, path, safe_regex, connect_matcher, path_separated_prefix, path_match_policy',
  );
  return emptyMatch;
}

function parseTemplate(message: object | undefined, at: ParseContext): string {
  const here = at.field('typed_config');
  if (typeOf(message) !== 'envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig') {
    here.unsupported(`path match policy ${typeOf(message)} is not supported by chancery`);
    return '/';
  }
  const template = (message as UriTemplateMatchConfig).path_template;
  const parsed = parseUriTemplate(template);
  if (!('problem' in parsed)) return template;
  const problem = `path_match_policy.path_template ${template} is invalid: ${parsed.problem}`;
  here.field('path_template').fail(problem, { got: template, envoy: problem });
  return '/';
}

function parseTracing(message: Tracing): RouteTracing {
  const sampling = (percent: Tracing['client_sampling']) =>
    percent === undefined ? undefined : fraction(percent);
  return {
    clientSampling: sampling(message.client_sampling),
    randomSampling: sampling(message.random_sampling),
    overallSampling: sampling(message.overall_sampling),
    customTags: message.custom_tags as unknown as RouteTracing['customTags'],
    operation: message.operation,
    upstreamOperation: message.upstream_operation,
  };
}

function bufferLimit(message: {
  readonly request_body_buffer_limit?: bigint;
  readonly per_request_buffer_limit_bytes?: number;
}): number {
  const limit = message.request_body_buffer_limit ?? message.per_request_buffer_limit_bytes;
  return limit === undefined ? -1 : Number(limit);
}
