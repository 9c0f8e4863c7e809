// A route configuration as plain data: what `parseRouteConfiguration` makes on the main thread, the workers get by message and
// `compileRoutes` turns into a table. Everything here can be cloned, compared and printed. Names are lower-case where HTTP folds
// them, durations are milliseconds, and what Envoy fills in by default is filled in.

import type { FormatData } from '#extension/format-config.ts';
import type { HashPolicyData } from '#extension/hash-policy-config.ts';
import type { HeaderMutationData } from '#extension/header-mutation-config.ts';
import type {
  FilterStateMatcherData,
  HeaderMatcherData,
  MetadataMatcherData,
  NamedStringMatcherData,
} from '#extension/matchers/matcher-config.ts';
import type { MatcherData } from '#extension/matchers/matcher-tree-config.ts';
import type { StreamInputData } from '#extension/matchers/stream-input-config.ts';
import type { RegexRewriteData } from '#extension/matchers/substitute.ts';
import type { RateLimitData } from '#extension/rate-limit-policy.ts';
import type { Configured } from '#extension/registry.ts';
import type { RuntimeFraction } from '#extension/runtime.ts';
import type {
  Decorator,
  InternalRedirectPolicy,
  Metadata,
  RequireTls,
  RouteTracing,
  UpgradePolicy,
} from './route-entry.ts';

export interface RouteConfigData {
  readonly name: string;
  readonly virtualHosts: readonly VirtualHostData[];
  readonly internalOnlyHeaders: readonly string[];
  readonly mutations: LevelMutations;
  readonly mostSpecificHeaderMutationsWins: boolean;
  readonly ignorePortInHostMatching: boolean;
  readonly ignorePathParameters: boolean;
  /** Lower-case name of the header that chooses the virtual host instead of the authority; empty: the authority. */
  readonly vhostHeader: string;
  readonly mirrorPolicies: readonly MirrorPolicyData[];
  readonly perFilter: PerFilterData;
  readonly metadata: Metadata | undefined;
}

/** Before a configuration arrived: every request gets 404. */
export const noRoutes: RouteConfigData = {
  name: '',
  virtualHosts: [],
  internalOnlyHeaders: [],
  mutations: { request: [], response: [] },
  mostSpecificHeaderMutationsWins: false,
  ignorePortInHostMatching: false,
  ignorePathParameters: false,
  vhostHeader: '',
  mirrorPolicies: [],
  perFilter: {},
  metadata: undefined,
};

/** `request_headers_to_add`, `..._to_remove` and their response sisters of one level. */
export interface LevelMutations {
  readonly request: readonly HeaderMutationData[];
  readonly response: readonly HeaderMutationData[];
}

/** `typed_per_filter_config` of one level. */
export type PerFilterData = Readonly<Record<string, PerFilterLevel>>;

export interface PerFilterLevel {
  /** Undefined: this level does not say. */
  readonly disabled: boolean | undefined;
  /** Name of the extension that made `config`; empty when the level only says whether the filter runs. */
  readonly extension: string;
  readonly config: unknown;
}

export interface VirtualHostData {
  readonly name: string;
  /** Lower-case. */
  readonly domains: readonly string[];
  readonly routes: readonly RouteData[];
  /** Instead of `routes`. */
  readonly matcher: MatcherData<StreamInputData, RouteActionData> | undefined;
  readonly requireTls: RequireTls;
  readonly virtualClusters: readonly {
    readonly name: string;
    readonly headers: readonly HeaderMatcherData[];
  }[];
  readonly rateLimits: readonly RateLimitData[];
  readonly mutations: LevelMutations;
  readonly perFilter: PerFilterData;
  readonly includeRequestAttemptCount: boolean;
  readonly includeAttemptCountInResponse: boolean;
  readonly includeIsTimeoutRetryHeader: boolean;
  readonly retryPolicy: RetryPolicyData | undefined;
  readonly hedgePolicy: HedgePolicyData | undefined;
  readonly requestBodyBufferLimit: number;
  readonly mirrorPolicies: readonly MirrorPolicyData[];
  readonly metadata: Metadata | undefined;
}

/** A route alone, or a list of routes of which the first that matches is taken. */
export type RouteActionData = readonly RouteData[];

export interface RouteData {
  readonly name: string;
  readonly match: RouteMatchData;
  readonly action: ForwardData | RedirectData | DirectResponseData | { readonly kind: 'non_forwarding' };
  readonly metadata: Metadata | undefined;
  readonly decorator: Decorator | undefined;
  readonly tracing: RouteTracing | undefined;
  readonly perFilter: PerFilterData;
  readonly mutations: LevelMutations;
  readonly statPrefix: string;
  readonly requestBodyBufferLimit: number;
}

export const PathMatchKind = {
  Prefix: 0,
  Path: 1,
  SeparatedPrefix: 2,
  Regex: 3,
  Connect: 4,
  Template: 5,
} as const;
export type PathMatchKind = (typeof PathMatchKind)[keyof typeof PathMatchKind];

export interface RouteMatchData {
  readonly kind: PathMatchKind;
  /** The prefix, path, regular expression or template; empty for connect_matcher. */
  readonly path: string;
  readonly ignoreCase: boolean;
  readonly runtimeFraction: RuntimeFraction | undefined;
  readonly headers: readonly HeaderMatcherData[];
  readonly queryParameters: readonly NamedStringMatcherData[];
  readonly cookies: readonly (NamedStringMatcherData & { readonly invert: boolean })[];
  readonly grpc: boolean;
  readonly tls:
    | { readonly presented: boolean | undefined; readonly validated: boolean | undefined }
    | undefined;
  readonly dynamicMetadata: readonly MetadataMatcherData[];
  readonly filterState: readonly FilterStateMatcherData[];
}

export interface ForwardData {
  readonly kind: 'forward';
  readonly cluster: string;
  readonly clusterHeader: string;
  readonly weighted: WeightedClustersData | undefined;
  readonly clusterNotFoundStatus: number;
  readonly metadataMatch: Readonly<Record<string, unknown>> | undefined;
  readonly prefixRewrite: string;
  readonly regexRewrite: RegexRewriteData | undefined;
  /** URI template of `path_rewrite_policy`; empty for none. */
  readonly templateRewrite: string;
  readonly formatRewrite: string;
  readonly hostRewrite: string;
  readonly hostRewriteFormat: string;
  readonly hostRewriteHeader: string;
  readonly hostRewritePathRegex: RegexRewriteData | undefined;
  readonly autoHostRewrite: boolean;
  readonly appendXForwardedHost: boolean;
  readonly timeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly flushTimeoutMs: number;
  readonly maxStreamDurationMs: number;
  readonly grpcTimeoutHeaderMaxMs: number;
  readonly grpcTimeoutHeaderOffsetMs: number;
  readonly maxGrpcTimeoutMs: number;
  readonly grpcTimeoutOffsetMs: number;
  readonly retryPolicy: RetryPolicyData | undefined;
  readonly hedgePolicy: HedgePolicyData | undefined;
  readonly mirrorPolicies: readonly MirrorPolicyData[];
  readonly priority: 'default' | 'high';
  readonly rateLimits: readonly RateLimitData[];
  readonly includeVirtualHostRateLimits: boolean;
  readonly hashPolicies: readonly HashPolicyData[];
  readonly upgrades: Readonly<Record<string, UpgradePolicy>>;
  readonly internalRedirectPolicy: InternalRedirectData | undefined;
}

/** As compiled, with its predicates by name. */
export type InternalRedirectData = Omit<InternalRedirectPolicy, 'predicates'> & {
  readonly predicates: readonly Configured[];
};

export interface WeightedClustersData {
  readonly clusters: readonly ClusterWeightData[];
  readonly runtimeKeyPrefix: string;
  /** Lower-case name of the header that has the random value; empty: the request's own. */
  readonly headerName: string;
  readonly usesHashPolicy: boolean;
}

export interface ClusterWeightData {
  readonly name: string;
  readonly clusterHeader: string;
  readonly weight: number;
  readonly metadataMatch: Readonly<Record<string, unknown>> | undefined;
  readonly mutations: LevelMutations;
  readonly perFilter: PerFilterData;
  readonly hostRewrite: string;
}

export interface RedirectData {
  readonly kind: 'redirect';
  /** Empty: as the request. */
  readonly scheme: string;
  readonly host: string;
  /** 0: none. */
  readonly port: number;
  readonly path: string;
  readonly prefixRewrite: string;
  readonly regexRewrite: RegexRewriteData | undefined;
  readonly formatRewrite: string;
  readonly status: number;
  readonly stripQuery: boolean;
}

export interface DirectResponseData {
  readonly kind: 'direct_response';
  readonly status: number;
  readonly body: string | undefined;
  readonly bodyFormat: FormatData | undefined;
}

export interface RetryPolicyData {
  readonly retryOn: number;
  readonly numRetries: number;
  readonly perTryTimeoutMs: number;
  readonly perTryIdleTimeoutMs: number;
  readonly retriableStatusCodes: readonly number[];
  readonly retriableHeaders: readonly HeaderMatcherData[];
  readonly retriableRequestHeaders: readonly HeaderMatcherData[];
  readonly baseIntervalMs: number;
  readonly maxIntervalMs: number;
  readonly resetHeaders: readonly { readonly name: string; readonly format: 'SECONDS' | 'UNIX_TIMESTAMP' }[];
  readonly resetMaxIntervalMs: number;
  readonly hostSelectionMaxAttempts: number;
  readonly hostPredicates: readonly Configured[];
  readonly retryPriority: Configured | undefined;
  readonly refreshClusterOnRetry: boolean;
}

export interface HedgePolicyData {
  readonly initialRequests: number;
  readonly additionalRequestChance: RuntimeFraction;
  readonly hedgeOnPerTryTimeout: boolean;
}

export interface MirrorPolicyData {
  readonly cluster: string;
  readonly clusterHeader: string;
  readonly fraction: RuntimeFraction;
  readonly traceSampled: boolean | undefined;
  readonly disableHostSuffix: boolean;
  readonly mutations: readonly HeaderMutationData[];
  readonly hostRewrite: string;
}
