// What a route says about a request, flat: everything the stream and the router need, as plain fields, merged from route, virtual
// host, route configuration and weighted cluster when the table was compiled. Nothing here changes while it is in use.

import type { FormatContext, Formatter } from '#extension/formatter.ts';
import type { HashPolicies } from '#extension/hash-policy.ts';
import type { HeaderMutations } from '#extension/header-mutations.ts';
import type { InternalRedirectPredicate } from '#extension/internal-redirect-predicate.ts';
import type { HeaderMatcher } from '#extension/matchers/header-matcher.ts';
import type { ProxyHeaderWriter, ProxyProtocolData } from '#extension/proxy-protocol-config.ts';
import type { RateLimitPolicy } from '#extension/rate-limit-descriptors.ts';
import type { RetryHostPredicate } from '#extension/retry-host-predicate.ts';
import type { RetryPriority } from '#extension/retry-priority.ts';
import type { RuntimeFraction } from '#extension/runtime.ts';
import type { StreamInfo } from '#extension/stream-info.ts';
import type { HeaderMap } from '#http/header-map.ts';
import type { RouteStats } from './route-stats.ts';

/** Filter name -> plain data: `filter_metadata` of a message. */
export type Metadata = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

export const RouteActionKind = { Forward: 0, Redirect: 1, DirectResponse: 2, NonForwarding: 3 } as const;
export type RouteActionKind = (typeof RouteActionKind)[keyof typeof RouteActionKind];

/** Who asks for a route, beside its headers: implemented by the stream. */
export interface RouteContext {
  /** Non-negative integer, the same for every question of one request: weighted clusters and runtime fractions count on it. */
  readonly random: number;
  /** What the conditions on TLS, metadata and filter state look at. */
  readonly info: StreamInfo;
}

/** The result of a lookup. `route()` returns undefined when the request has no route (404, flag NR). */
export interface RouteTable {
  /** `name` of the route configuration. */
  readonly name: string;
  readonly virtualHosts: readonly VirtualHost[];
  /**
   * The first route that matches; a weighted route answers with the entry of the chosen cluster. Hot: no allocation.
   * `headers` must have a path unless the request is CONNECT, and an authority.
   */
  route(headers: HeaderMap, context: RouteContext): RouteEntry | undefined;
  /** As `route`, but asks the filters' way: for a request whose host has no virtual host `undefined`, for `/clusters`-like tools too. */
  virtualHost(headers: HeaderMap): VirtualHost | undefined;
  /** Its only domain is `*`: a request without a host has a route as well. */
  readonly takesAnyHost: boolean;
  /** Every cluster named by some route, without repetition: for validate_clusters and warming. */
  readonly clusterNames: readonly string[];
  /** Request headers removed from requests of external clients (`internal_only_headers`), lower-case. */
  readonly internalOnlyHeaders: readonly string[];
}

export const RequireTls = { None: 0, ExternalOnly: 1, All: 2 } as const;
export type RequireTls = (typeof RequireTls)[keyof typeof RequireTls];

export interface VirtualHost {
  readonly name: string;
  readonly routeConfigName: string;
  readonly requireTls: RequireTls;
  readonly metadata: Metadata | undefined;
  readonly includeRequestAttemptCount: boolean;
  readonly includeAttemptCountInResponse: boolean;
  readonly includeIsTimeoutRetryHeader: boolean;
  /** In order; the first whose headers all match counts the request. Empty: no vcluster stats at all (else `other` is the rest). */
  readonly virtualClusters: readonly VirtualCluster[];
  /** `other`: counts what no virtual cluster matches; null without virtual clusters. */
  readonly otherCluster: VirtualCluster | null;
  readonly rateLimits: readonly RateLimitPolicy[];
}

export interface VirtualCluster {
  readonly name: string;
  readonly stats: RouteStats;
  readonly headers: readonly HeaderMatcher[];
}

/** Configuration of one filter for one route, by the name of the filter in the chain. */
export interface PerFilterConfig {
  /** `disabled: true` in a FilterConfig, of the most specific level that has a say. `false` enables a filter that is off by default. */
  readonly disabled: boolean | undefined;
  /** Most specific level, prepared by the extension; undefined when all levels only said `disabled`. */
  readonly config: unknown;
  /** Every level from route configuration (least specific) to weighted cluster, for filters that add them up. */
  readonly all: readonly unknown[];
}

export interface RouteEntry {
  readonly action: RouteActionKind;
  readonly name: string;
  readonly virtualHost: VirtualHost;
  readonly metadata: Metadata | undefined;
  /** Filter name -> its config here; null when no level has any. */
  readonly perFilterConfigs: ReadonlyMap<string, PerFilterConfig> | null;
  /** `stat_prefix` of the route: `vhost.<vhost>.route.<prefix>.`; empty for none. */
  readonly statPrefix: string;
  /** Counts under `statPrefix`; null without one. */
  readonly stats: RouteStats | null;
  /** In Envoy's order of evaluation, least or most specific first as the configuration says; null when there is nothing to do. */
  readonly requestHeaderMutations: HeaderMutations | null;
  readonly responseHeaderMutations: HeaderMutations | null;
  /** Body bytes that may be buffered for this request; -1: the listener's limit holds. */
  readonly requestBodyBufferLimit: number;
  readonly decorator: Decorator | null;
  readonly tracing: RouteTracing | null;

  // Forward -------------------------------------------------------------------------------------------------------------
  /** Empty when `clusterHeader` names the header that has it: use `clusterOf(entry, headers)`. */
  readonly clusterName: string;
  /** Lower-case name; empty when the cluster is fixed. */
  readonly clusterHeader: string;
  /** Status when the cluster does not exist: 503, 404 or 500. */
  readonly clusterNotFoundStatus: number;
  /** Subset selection (`envoy.lb` of metadata_match, route and weighted cluster merged). */
  readonly metadataMatch: Readonly<Record<string, unknown>> | undefined;
  readonly priority: 'default' | 'high';
  /** Whole route; 15,000 unless set; 0 is none. */
  readonly timeoutMs: number;
  /** -1: not set, the connection manager's stream_idle_timeout holds; 0 is none. */
  readonly idleTimeoutMs: number;
  /** `flush_timeout`; -1: not set. */
  readonly flushTimeoutMs: number;
  /** `max_stream_duration.max_stream_duration`; -1: not set, the connection manager's holds; 0 is none. */
  readonly maxStreamDurationMs: number;
  /** `grpc_timeout_header_max`: -1 ignores the grpc-timeout header, 0 takes it unlimited. */
  readonly grpcTimeoutHeaderMaxMs: number;
  readonly grpcTimeoutHeaderOffsetMs: number;
  /** Any of the idle timeout and the stream durations above is set. */
  readonly hasStreamLimits: boolean;
  /** True when the legacy `max_grpc_timeout` asks for it: the route timeout is then taken from the grpc-timeout header. */
  readonly maxGrpcTimeoutMs: number;
  readonly grpcTimeoutOffsetMs: number;
  /** Null: nothing is retried unless the request's headers say so. */
  readonly retryPolicy: RetryPolicy | null;
  readonly hedgePolicy: HedgePolicy | null;
  readonly mirrorPolicies: readonly MirrorPolicy[];
  readonly hashPolicies: HashPolicies | undefined;
  readonly internalRedirectPolicy: InternalRedirectPolicy | null;
  /** By upgrade type in lower case (`websocket`, `connect`); null: as the connection manager says. */
  readonly upgrades: ReadonlyMap<string, RouteUpgrade> | null;
  readonly rateLimits: readonly RateLimitPolicy[];
  /** `include_vh_rate_limits`: the virtual host's rate limits hold beside the route's. */
  readonly includeVirtualHostRateLimits: boolean;
  /** `early_data_policy` is not offered by TLS here: always the default (safe methods). */
  readonly appendXForwardedHost: boolean;
  /** The host is set from the chosen upstream host's hostname. */
  readonly autoHostRewrite: boolean;
  /** `host_rewrite_literal` of the weighted cluster, set before anything else; empty for none. */
  readonly clusterHostRewrite: string;
  /** What else happens to host and path: `finalizeRequestHeaders` does it; null when nothing does. */
  readonly rewrite: RouteRewrite | null;

  // Redirect, direct response ---------------------------------------------------------------------------------------------
  readonly redirect: RedirectPolicy | null;
  /** Status of a redirect or direct response, else 0. */
  readonly responseStatus: number;
  /** Of a direct response. `undefined` when it has no body. */
  readonly directBody: string | undefined;
  /** `body_format` of a direct response: makes the body from the request. */
  readonly directBodyFormat: Formatter | null;
  /** `content_type` of `body_format`; empty: text/plain. */
  readonly directContentType: string;
}

export interface RouteRewrite {
  /** The path with its query after the rewrite; undefined when it stays. */
  path(path: string, context: FormatContext): string | undefined;
  /** The new authority, or empty to leave it. */
  host(headers: HeaderMap, context: FormatContext): string;
}

export interface RedirectPolicy {
  /** The value of `location`. A path rewrite changes the request's own path, too: what is formatted afterwards sees that. */
  location(headers: HeaderMap, context: FormatContext, keepOriginals: boolean): string;
}

export interface RetryPolicy {
  /** Bits of `RetryOn` (retry-on.ts). */
  readonly retryOn: number;
  readonly numRetries: number;
  /** 0: none beside the route's timeout. */
  readonly perTryTimeoutMs: number;
  readonly perTryIdleTimeoutMs: number;
  readonly retriableStatusCodes: readonly number[];
  readonly retriableHeaders: readonly HeaderMatcher[];
  /** When not empty, only requests that match one of them are retried. */
  readonly retriableRequestHeaders: readonly HeaderMatcher[];
  readonly baseIntervalMs: number;
  readonly maxIntervalMs: number;
  readonly resetHeaders: readonly { readonly name: string; readonly format: 'SECONDS' | 'UNIX_TIMESTAMP' }[];
  readonly resetMaxIntervalMs: number;
  readonly hostSelectionMaxAttempts: number;
  readonly hostPredicates: readonly RetryHostPredicate[];
  /** Null: retries go to the same priorities. */
  readonly retryPriority: (() => RetryPriority) | null;
  readonly refreshClusterOnRetry: boolean;
}

export interface HedgePolicy {
  readonly initialRequests: number;
  readonly additionalRequestChance: RuntimeFraction;
  readonly hedgeOnPerTryTimeout: boolean;
}

export interface MirrorPolicy {
  readonly cluster: string;
  readonly clusterHeader: string;
  readonly fraction: RuntimeFraction;
  /** Undefined: as the request itself. */
  readonly traceSampled: boolean | undefined;
  /** False: `-shadow` is appended to the host. */
  readonly disableHostSuffix: boolean;
  readonly headerMutations: HeaderMutations | null;
  /** Empty: the host stays. */
  readonly hostRewrite: string;
}

export interface InternalRedirectPolicy {
  readonly maxInternalRedirects: number;
  readonly responseCodes: readonly number[];
  readonly predicates: readonly InternalRedirectPredicate[];
  readonly allowCrossScheme: boolean;
  /** Lower-case. */
  readonly responseHeadersToCopy: readonly string[];
}

export interface UpgradePolicy {
  readonly enabled: boolean;
  /** CONNECT is ended here and its payload sent upstream as TCP. */
  readonly connect: boolean;
  /** So is a POST. */
  readonly allowsPost: boolean;
  /** Before the payload; undefined: no PROXY header. */
  readonly proxy: ProxyProtocolData | undefined;
}

/** Prepared. */
export interface RouteUpgrade extends UpgradePolicy {
  readonly proxyHeader: ProxyHeaderWriter | undefined;
}

export interface Decorator {
  readonly operation: string;
  readonly propagate: boolean;
}

export interface RouteTracing {
  /** Undefined: as the connection manager says. */
  readonly clientSampling: RuntimeFraction | undefined;
  readonly randomSampling: RuntimeFraction | undefined;
  readonly overallSampling: RuntimeFraction | undefined;
  /** `custom_tags` as plain data for the tracer room. */
  readonly customTags: readonly Readonly<Record<string, unknown>>[];
  readonly operation: string;
  readonly upstreamOperation: string;
}
