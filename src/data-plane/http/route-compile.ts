// From route configuration as plain data to a table, in the worker, when the configuration arrives. Levels are merged here, so that
// a request finds everything on one flat entry.

import { parseSubstitution } from '#base/regex.ts';
import { compileFormatData, type FormatData } from '#extension/format-config.ts';
import { compileHashPolicies } from '#extension/hash-policy-config.ts';
import { compileLevel, compileSteps } from '#extension/header-mutation-config.ts';
import { HeaderMutationLevels, type HeaderMutations } from '#extension/header-mutations.ts';
import type { InternalRedirectPredicateExtension } from '#extension/internal-redirect-predicate.ts';
import {
  compileFilterStateMatcher,
  compileHeaderMatcher,
  compileMetadataMatcher,
  compileStringMatcher,
  sharedRegex,
} from '#extension/matchers/compile.ts';
import { compileMatcherTree } from '#extension/matchers/matcher-tree-compile.ts';
import { compileStreamInput } from '#extension/matchers/stream-input.ts';
import { RegexMatcher, type StringMatcher } from '#extension/matchers/string-matcher.ts';
import type { RegexRewriteData } from '#extension/matchers/substitute.ts';
import { ProxyHeaderWriter } from '#extension/proxy-protocol-config.ts';
import type { RateLimitPolicy } from '#extension/rate-limit-descriptors.ts';
import { compileRateLimit, type RateLimitData } from '#extension/rate-limit-policy.ts';
import type { Registry } from '#extension/registry.ts';
import type { RetryHostPredicateExtension } from '#extension/retry-host-predicate.ts';
import type { RetryPriorityExtension } from '#extension/retry-priority.ts';
import type { Runtime } from '#extension/runtime.ts';
import { compileFormat } from '#extension/substitution/compile.ts';
import { parseRewriteTemplate, parseUriTemplate } from '#http/uri-template.ts';
import type { Scope } from '#stats/store.ts';
import { DomainIndex } from './domain-index.ts';
import { PathIndex, Rest } from './path-index.ts';
import {
  type ForwardData,
  type InternalRedirectData,
  type LevelMutations,
  type MirrorPolicyData,
  PathMatchKind,
  type PerFilterData,
  type RedirectData,
  type RetryPolicyData,
  type RouteConfigData,
  type RouteData,
  type RouteMatchData,
  type VirtualHostData,
} from './route-config.ts';
import {
  type InternalRedirectPolicy,
  type MirrorPolicy,
  type PerFilterConfig,
  type RetryPolicy,
  RouteActionKind,
  type RouteEntry,
  type RouteTable,
  type VirtualHost,
} from './route-entry.ts';
import {
  CompiledRedirect,
  CompiledRewrite,
  FormatHostRewrite,
  FormatPathRewrite,
  HeaderHostRewrite,
  type HostRewrite,
  LiteralHostRewrite,
  PathHostRewrite,
  type PathRewrite,
  PrefixRewrite,
  RegexPathRewrite,
  TlsRedirect,
} from './route-rewrite.ts';
import { RouteStats } from './route-stats.ts';
import {
  CompiledRoute,
  CompiledRouteTable,
  RouteList,
  VirtualHostTable,
  WeightedChoice,
} from './route-table.ts';

export interface CompileServices {
  readonly runtime: Runtime;
  /** The scope without a prefix. */
  readonly stats: Scope;
  /** `node.cluster`. */
  readonly localCluster: string;
  /** Turns what a filter's `parseRoute` made into what the filter reads per request. Without it the config stays as it is. */
  prepareRoute?(extension: string, config: unknown): unknown;
  /** For the extensions inside routes. */
  readonly registry: Registry;
}

export function compileRoutes(data: RouteConfigData, services: CompileServices): RouteTable {
  const domains = new DomainIndex<VirtualHostTable>();
  const virtualHosts: VirtualHost[] = [];
  const clusterNames = new Set<string>();
  for (const host of data.virtualHosts) {
    const table = new HostCompiler(data, host, services, clusterNames).compile();
    virtualHosts.push(table.virtualHost);
    for (const domain of host.domains) domains.add(domain, table);
  }
  return new CompiledRouteTable(
    data.name,
    virtualHosts,
    [...clusterNames],
    data.internalOnlyHeaders,
    domains,
    data.ignorePortInHostMatching,
    data.vhostHeader,
  );
}

const noConditions = {
  path: null,
  template: null,
  runtimeFraction: null,
  headers: [],
  queryParameters: [],
  cookies: [],
  grpc: false,
  tlsPresented: undefined,
  tlsValidated: undefined,
  dynamicMetadata: [],
  filterState: [],
} as const;

class HostCompiler {
  readonly #config: RouteConfigData;
  readonly #data: VirtualHostData;
  readonly #services: CompileServices;
  readonly #clusterNames: Set<string>;
  readonly #host: VirtualHost;
  /** Routes without anything of their own share what the levels above say. */
  readonly #sharedPerFilter: ReadonlyMap<string, PerFilterConfig> | null;
  readonly #sharedMutations: { request: HeaderMutations | null; response: HeaderMutations | null };

  constructor(
    config: RouteConfigData,
    data: VirtualHostData,
    services: CompileServices,
    clusterNames: Set<string>,
  ) {
    this.#config = config;
    this.#data = data;
    this.#services = services;
    this.#clusterNames = clusterNames;
    this.#host = {
      name: data.name,
      routeConfigName: config.name,
      requireTls: data.requireTls,
      metadata: data.metadata,
      includeRequestAttemptCount: data.includeRequestAttemptCount,
      includeAttemptCountInResponse: data.includeAttemptCountInResponse,
      includeIsTimeoutRetryHeader: data.includeIsTimeoutRetryHeader,
      virtualClusters: data.virtualClusters.map((it) => ({
        name: it.name,
        headers: it.headers.map(compileHeaderMatcher),
        stats: this.#stats(`vcluster.${it.name}`),
      })),
      otherCluster:
        data.virtualClusters.length === 0
          ? null
          : { name: 'other', headers: [], stats: this.#stats('vcluster.other') },
      rateLimits: data.rateLimits.map((it) => this.#rateLimit(it)),
    };
    this.#sharedPerFilter = this.#perFilter([config.perFilter, data.perFilter]);
    this.#sharedMutations = this.#mutations([]);
  }

  #rateLimit(data: RateLimitData): RateLimitPolicy {
    return compileRateLimit(data, this.#services.localCluster, this.#services.runtime);
  }

  #stats(name: string): RouteStats {
    return this.#services.stats.scope(`vhost.${this.#data.name}.${name}`).stats(RouteStats);
  }

  compile(): VirtualHostTable {
    const { matcher, routes } = this.#data;
    return new VirtualHostTable(
      this.#host,
      this.#tlsRedirect(),
      matcher === undefined ? this.#list(routes) : undefined,
      matcher === undefined
        ? undefined
        : compileMatcherTree(matcher, {
            runtime: this.#services.runtime,
            input: compileStreamInput,
            action: (it) => this.#list(it),
          }),
    );
  }

  #list(routes: readonly RouteData[]): RouteList {
    const byPath = new PathIndex(false);
    const byFoldedPath = new PathIndex(true);
    const connect: CompiledRoute[] = [];
    const compiled = routes.map((route, order) => {
      const candidate = this.#route(route, order);
      const { kind, path, ignoreCase } = route.match;
      const index = ignoreCase ? byFoldedPath : byPath;
      const literal = ignoreCase ? path.toLowerCase() : path;
      if (kind === PathMatchKind.Prefix) index.add(literal, Rest.Any, candidate);
      else if (kind === PathMatchKind.Path) index.add(literal, Rest.None, candidate);
      else if (kind === PathMatchKind.SeparatedPrefix) index.add(literal, Rest.Slash, candidate);
      else if (kind === PathMatchKind.Regex) byPath.add(literalBeginning(path), Rest.Any, candidate);
      else if (kind === PathMatchKind.Template) byPath.add(/^[^{*]*/.exec(path)![0], Rest.Any, candidate);
      else connect.push(candidate);
      return candidate;
    });
    return new RouteList(
      compiled,
      byPath,
      byFoldedPath.isEmpty ? undefined : byFoldedPath,
      connect,
      this.#config.ignorePathParameters,
    );
  }

  #route(route: RouteData, order: number): CompiledRoute {
    const { match, action } = route;
    const entry = this.#entry(route);
    const weighted =
      action.kind === 'forward' && action.weighted !== undefined
        ? this.#weighted(route, action, entry)
        : null;
    const { runtime } = this.#services;
    return new CompiledRoute(order, entry, weighted, conditions(match), runtime);
  }

  #entry(route: RouteData): RouteEntry {
    const { action } = route;
    const config = this.#config;
    const hasMutations = route.mutations.request.length + route.mutations.response.length > 0;
    const mutations = hasMutations ? this.#mutations([route.mutations]) : this.#sharedMutations;
    const perFilter =
      Object.keys(route.perFilter).length === 0
        ? this.#sharedPerFilter
        : this.#perFilter([config.perFilter, this.#data.perFilter, route.perFilter]);
    const common: RouteEntry = {
      ...forwardNothing,
      name: route.name,
      virtualHost: this.#host,
      metadata: route.metadata,
      perFilterConfigs: perFilter,
      statPrefix: route.statPrefix,
      stats: route.statPrefix === '' ? null : this.#stats(`route.${route.statPrefix}`),
      requestHeaderMutations: mutations.request,
      responseHeaderMutations: mutations.response,
      requestBodyBufferLimit:
        route.requestBodyBufferLimit >= 0 ? route.requestBodyBufferLimit : this.#data.requestBodyBufferLimit,
      decorator: route.decorator ?? null,
      tracing: route.tracing ?? null,
    };
    switch (action.kind) {
      case 'redirect':
        return {
          ...common,
          action: RouteActionKind.Redirect,
          redirect: compileRedirect(action, route.match),
          responseStatus: action.status,
        };
      case 'direct_response':
        return {
          ...common,
          action: RouteActionKind.DirectResponse,
          responseStatus: action.status,
          directBody: action.body,
          directBodyFormat: action.bodyFormat === undefined ? null : compileFormatData(action.bodyFormat),
          directContentType: directContentType(action.bodyFormat),
        };
      case 'non_forwarding':
        return { ...common, action: RouteActionKind.NonForwarding };
      case 'forward':
        return this.#forward(route, action, common);
    }
  }

  #forward(route: RouteData, action: ForwardData, common: RouteEntry): RouteEntry {
    if (action.cluster !== '') this.#clusterNames.add(action.cluster);
    const mirrors =
      action.mirrorPolicies.length > 0
        ? action.mirrorPolicies
        : this.#data.mirrorPolicies.length > 0
          ? this.#data.mirrorPolicies
          : this.#config.mirrorPolicies;
    for (const { cluster } of mirrors) if (cluster !== '') this.#clusterNames.add(cluster);
    const retryPolicy = action.retryPolicy ?? this.#data.retryPolicy;
    return {
      ...common,
      action: RouteActionKind.Forward,
      clusterName: action.cluster,
      clusterHeader: action.clusterHeader,
      clusterNotFoundStatus: action.clusterNotFoundStatus,
      metadataMatch: action.metadataMatch,
      priority: action.priority,
      timeoutMs: action.timeoutMs,
      idleTimeoutMs: action.idleTimeoutMs,
      flushTimeoutMs: action.flushTimeoutMs,
      maxStreamDurationMs: action.maxStreamDurationMs,
      grpcTimeoutHeaderMaxMs: action.grpcTimeoutHeaderMaxMs,
      grpcTimeoutHeaderOffsetMs: action.grpcTimeoutHeaderOffsetMs,
      hasStreamLimits:
        action.idleTimeoutMs >= 0 || action.maxStreamDurationMs >= 0 || action.grpcTimeoutHeaderMaxMs >= 0,
      maxGrpcTimeoutMs: action.maxGrpcTimeoutMs,
      grpcTimeoutOffsetMs: action.grpcTimeoutOffsetMs,
      retryPolicy:
        retryPolicy === undefined ? null : compileRetryPolicy(retryPolicy, this.#services.registry),
      hedgePolicy: action.hedgePolicy ?? this.#data.hedgePolicy ?? null,
      mirrorPolicies: mirrors.map(compileMirrorPolicy),
      hashPolicies: compileHashPolicies(action.hashPolicies),
      internalRedirectPolicy: compileInternalRedirect(action.internalRedirectPolicy, this.#services.registry),
      upgrades:
        Object.keys(action.upgrades).length === 0
          ? null
          : new Map(
              Object.entries(action.upgrades).map(([type, it]) => [
                type,
                { ...it, proxyHeader: it.proxy && new ProxyHeaderWriter(it.proxy, () => {}) },
              ]),
            ),
      rateLimits: action.rateLimits.map((it) => this.#rateLimit(it)),
      includeVirtualHostRateLimits: action.includeVirtualHostRateLimits,
      appendXForwardedHost: action.appendXForwardedHost,
      autoHostRewrite: action.autoHostRewrite,
      rewrite: compileRewrite(action, route.match),
    };
  }

  #weighted(route: RouteData, action: ForwardData, base: RouteEntry): WeightedChoice {
    const { clusters, headerName, usesHashPolicy, runtimeKeyPrefix } = action.weighted!;
    const entries = clusters.map((cluster) => {
      if (cluster.name !== '') this.#clusterNames.add(cluster.name);
      const own = cluster.mutations;
      const mutations =
        own.request.length + own.response.length > 0
          ? this.#mutations([route.mutations], own)
          : { request: base.requestHeaderMutations, response: base.responseHeaderMutations };
      return {
        ...base,
        clusterName: cluster.name,
        clusterHeader: cluster.clusterHeader,
        metadataMatch:
          cluster.metadataMatch === undefined
            ? base.metadataMatch
            : { ...base.metadataMatch, ...cluster.metadataMatch },
        requestHeaderMutations: mutations.request,
        responseHeaderMutations: mutations.response,
        perFilterConfigs:
          Object.keys(cluster.perFilter).length === 0
            ? base.perFilterConfigs
            : this.#perFilter([
                this.#config.perFilter,
                this.#data.perFilter,
                route.perFilter,
                cluster.perFilter,
              ]),
        clusterHostRewrite: cluster.hostRewrite,
      };
    });
    return new WeightedChoice(
      entries,
      clusters.map((it) => it.weight),
      headerName,
      usesHashPolicy ? base.hashPolicies : undefined,
      runtimeKeyPrefix === '' ? [] : clusters.map((it) => `${runtimeKeyPrefix}.${it.name}`),
      this.#services.runtime,
    );
  }

  /** The most specific level comes first, unless it is to have the last word. The weighted cluster's is always before all others. */
  #mutations(
    ofRoute: readonly LevelMutations[],
    ofCluster?: LevelMutations,
  ): { request: HeaderMutations | null; response: HeaderMutations | null } {
    const levels = [...ofRoute, this.#data.mutations, this.#config.mutations];
    if (this.#config.mostSpecificHeaderMutationsWins) levels.reverse();
    if (ofCluster !== undefined) levels.unshift(ofCluster);
    return {
      request: joined(levels.map((it) => compileLevel(it.request))),
      response: joined(levels.map((it) => compileLevel(it.response))),
    };
  }

  #perFilter(levels: readonly PerFilterData[]): ReadonlyMap<string, PerFilterConfig> | null {
    const merged = new Map<string, PerFilterConfig>();
    for (const level of levels) {
      for (const [name, it] of Object.entries(level)) {
        const before = merged.get(name);
        const config =
          it.extension === ''
            ? undefined
            : this.#services.prepareRoute === undefined
              ? it.config
              : this.#services.prepareRoute(it.extension, it.config);
        merged.set(name, {
          disabled: it.disabled ?? before?.disabled,
          config: config ?? before?.config,
          all: config === undefined ? (before?.all ?? []) : [...(before?.all ?? []), config],
        });
      }
    }
    return merged.size === 0 ? null : merged;
  }

  #tlsRedirect(): RouteEntry {
    return {
      ...forwardNothing,
      action: RouteActionKind.Redirect,
      virtualHost: this.#host,
      redirect: new TlsRedirect(),
      responseStatus: 301,
    };
  }
}

/** What an entry says when nobody said anything; the order of its fields is that of every entry. */
const forwardNothing: Omit<RouteEntry, 'virtualHost'> & { virtualHost: VirtualHost } = {
  action: RouteActionKind.Forward,
  name: '',
  virtualHost: undefined as unknown as VirtualHost,
  metadata: undefined,
  perFilterConfigs: null,
  statPrefix: '',
  stats: null,
  requestHeaderMutations: null,
  responseHeaderMutations: null,
  requestBodyBufferLimit: -1,
  decorator: null,
  tracing: null,
  clusterName: '',
  clusterHeader: '',
  clusterNotFoundStatus: 503,
  metadataMatch: undefined,
  priority: 'default',
  timeoutMs: 15_000,
  idleTimeoutMs: -1,
  flushTimeoutMs: -1,
  maxStreamDurationMs: -1,
  grpcTimeoutHeaderMaxMs: -1,
  grpcTimeoutHeaderOffsetMs: 0,
  hasStreamLimits: false,
  maxGrpcTimeoutMs: -1,
  grpcTimeoutOffsetMs: 0,
  retryPolicy: null,
  hedgePolicy: null,
  mirrorPolicies: [],
  hashPolicies: undefined,
  internalRedirectPolicy: null,
  upgrades: null,
  rateLimits: [],
  includeVirtualHostRateLimits: false,
  appendXForwardedHost: false,
  autoHostRewrite: false,
  clusterHostRewrite: '',
  rewrite: null,
  redirect: null,
  responseStatus: 0,
  directBody: undefined,
  directBodyFormat: null,
  directContentType: '',
};

function joined(levels: readonly (HeaderMutations | null)[]): HeaderMutations | null {
  const some = levels.filter((it) => it !== null);
  return some.length === 0 ? null : some.length === 1 ? some[0]! : new HeaderMutationLevels(some);
}

function conditions(match: RouteMatchData) {
  let path: StringMatcher | null = null;
  let template: StringMatcher | null = null;
  if (match.kind === PathMatchKind.Regex) path = new RegexMatcher(sharedRegex(match.path));
  else if (match.kind === PathMatchKind.Template)
    template = new RegexMatcher(sharedRegex(checkedTemplate(match.path).regex));
  if (path === null && template === null && isUnconditional(match)) return noConditions;
  return {
    path,
    template,
    runtimeFraction: match.runtimeFraction ?? null,
    headers: match.headers.map(compileHeaderMatcher),
    queryParameters: match.queryParameters.map((it) => named(it, false)),
    cookies: match.cookies.map((it) => named(it, it.invert)),
    grpc: match.grpc,
    tlsPresented: match.tls?.presented,
    tlsValidated: match.tls?.validated,
    dynamicMetadata: match.dynamicMetadata.map(compileMetadataMatcher),
    filterState: match.filterState.map(compileFilterStateMatcher),
  };
}

function isUnconditional(match: RouteMatchData): boolean {
  const lists = [
    match.headers,
    match.queryParameters,
    match.cookies,
    match.dynamicMetadata,
    match.filterState,
  ];
  return (
    lists.every((it) => it.length === 0) &&
    match.runtimeFraction === undefined &&
    match.tls === undefined &&
    !match.grpc
  );
}

function named(it: RouteMatchData['queryParameters'][number], invert: boolean) {
  const { name, value } = it;
  return value.kind === 'present'
    ? { name, value: null, inverted: value.present === invert }
    : { name, value: compileStringMatcher(value), inverted: invert };
}

/** What every match of a regular expression begins with: harmless characters up to the first that means something. */
function literalBeginning(pattern: string): string {
  const from = pattern.startsWith('^') ? pattern.slice(1) : pattern;
  if (from.includes('|') || from.startsWith('(?')) return '';
  const literal = /^[A-Za-z0-9/_\-~%!&,;:@=]*/.exec(from)![0];
  // A quantifier binds the last character.
  return /^[*+?{]/.test(from.slice(literal.length)) ? literal.slice(0, -1) : literal;
}

/** '' leaves what a local reply has by itself: text/plain. */
function directContentType(format: FormatData | undefined): string {
  if (format === undefined) return '';
  return format.contentType === '' && format.json !== undefined ? 'application/json' : format.contentType;
}

function checkedTemplate(template: string) {
  const parsed = parseUriTemplate(template);
  if ('problem' in parsed) throw new Error(`a template that was not checked: ${parsed.problem}`);
  return parsed;
}

function regexRewrite(data: RegexRewriteData) {
  return new RegexPathRewrite(sharedRegex(data.regex), parseSubstitution(data.substitution));
}

function prefixRewrite(match: RouteMatchData, replacement: string): PrefixRewrite {
  const isLiteral = match.kind <= PathMatchKind.SeparatedPrefix;
  return new PrefixRewrite(isLiteral ? match.path : '', match.ignoreCase, replacement);
}

function compileRewrite(action: ForwardData, match: RouteMatchData): CompiledRewrite | null {
  let path: PathRewrite | null = null;
  if (action.prefixRewrite !== '') path = prefixRewrite(match, action.prefixRewrite);
  else if (action.regexRewrite !== undefined) path = regexRewrite(action.regexRewrite);
  else if (action.templateRewrite !== '') {
    const template = checkedTemplate(match.path);
    const parts = parseRewriteTemplate(action.templateRewrite, template);
    if (typeof parts === 'string')
      throw new Error(`a template that was not checked: ${action.templateRewrite}`);
    path = new RegexPathRewrite(sharedRegex(`^${template.regex}$`), parts);
  } else if (action.formatRewrite !== '')
    path = new FormatPathRewrite(compileFormat(action.formatRewrite, { omitEmptyValues: true }));
  const host = compileHostRewrite(action);
  return path === null && host === null ? null : new CompiledRewrite(path, host);
}

function compileHostRewrite(action: ForwardData): HostRewrite | null {
  if (action.hostRewrite !== '') return new LiteralHostRewrite(action.hostRewrite);
  if (action.hostRewriteFormat !== '') return new FormatHostRewrite(compileFormat(action.hostRewriteFormat));
  if (action.hostRewriteHeader !== '') return new HeaderHostRewrite(action.hostRewriteHeader);
  const { hostRewritePathRegex: ofPath } = action;
  if (ofPath === undefined) return null;
  return new PathHostRewrite(sharedRegex(ofPath.regex), parseSubstitution(ofPath.substitution));
}

function compileRedirect(data: RedirectData, match: RouteMatchData): CompiledRedirect {
  const rewrite =
    data.prefixRewrite !== ''
      ? prefixRewrite(match, data.prefixRewrite)
      : data.regexRewrite !== undefined
        ? regexRewrite(data.regexRewrite)
        : null;
  return new CompiledRedirect({
    scheme: data.scheme,
    host: data.host,
    port: data.port === 0 ? '' : `:${data.port}`,
    path: data.path,
    pathFormat:
      data.formatRewrite === '' ? null : compileFormat(data.formatRewrite, { omitEmptyValues: true }),
    rewrite,
    stripQuery: data.stripQuery,
  });
}

export function compileRetryPolicy(data: RetryPolicyData, registry: Registry): RetryPolicy {
  return {
    ...data,
    retriableHeaders: data.retriableHeaders.map(compileHeaderMatcher),
    retriableRequestHeaders: data.retriableRequestHeaders.map(compileHeaderMatcher),
    hostPredicates: data.hostPredicates.map((it) =>
      registry
        .byName<RetryHostPredicateExtension>('retry_host_predicate', it.extension)!
        .prepare(it.config as never),
    ),
    retryPriority:
      data.retryPriority === undefined
        ? null
        : registry
            .byName<RetryPriorityExtension>('retry_priority', data.retryPriority.extension)!
            .prepare(data.retryPriority.config as never),
  };
}

function compileInternalRedirect(
  data: InternalRedirectData | undefined,
  registry: Registry,
): InternalRedirectPolicy | null {
  if (data === undefined) return null;
  return {
    ...data,
    predicates: data.predicates.map((it) =>
      registry
        .byName<InternalRedirectPredicateExtension>('internal_redirect_predicate', it.extension)!
        .prepare(it.config as never),
    ),
  };
}

export function compileMirrorPolicy(data: MirrorPolicyData): MirrorPolicy {
  const { mutations, ...rest } = data;
  return { ...rest, headerMutations: compileSteps(mutations) };
}
