// A connection manager as plain data: what `HttpConnectionManager` says, times in ms, sizes in bytes, defaults filled in.
import type { AccessLogData } from '#extension/access-logger.ts';
import type { StringMatcherData } from '#extension/matchers/matcher-config.ts';
import type { Configured } from '#extension/registry.ts';
import type { H2Options } from '#http/h2-options.ts';
import type { FileSourceConfig } from '#xds/file-source.ts';
import type { Http1OptionsData } from './codec-options.ts';
import type { ClientCertData, ClientCertMatcherData } from './forwarded-client-cert-config.ts';
import type { LocalReplyData } from './local-reply-mapper.ts';
import type { PathSettings } from './path-options.ts';
import type { ProxyStatusData } from './proxy-status.ts';
import type { RouteConfigData } from './route-config.ts';
import type { ScopedRoutesData } from './scoped-routes-config.ts';
import type { UpstreamFilterData } from './upstream-filters.ts';

export const CodecType = { Auto: 0, Http1: 1, Http2: 2 } as const;
export type CodecType = (typeof CodecType)[keyof typeof CodecType];

export const ServerHeader = { Overwrite: 0, AppendIfAbsent: 1, PassThrough: 2 } as const;
export type ServerHeader = (typeof ServerHeader)[keyof typeof ServerHeader];

export const ForwardClientCert = {
  Sanitize: 0,
  ForwardOnly: 1,
  AppendForward: 2,
  SanitizeSet: 3,
  AlwaysForwardOnly: 4,
} as const;
export type ForwardClientCert = (typeof ForwardClientCert)[keyof typeof ForwardClientCert];

export interface ConnectionManagerConfig {
  readonly statPrefix: string;
  readonly codecType: CodecType;
  /** Undefined when the routes come by RDS. */
  readonly routeConfig: RouteConfigData | undefined;
  readonly rds: RdsConfig | undefined;
  readonly scopedRoutes: ScopedRoutesData | undefined;
  readonly filters: readonly (Configured & { readonly disabled: boolean })[];
  readonly routerConfig: RouterConfig;
  readonly accessLogs: readonly AccessLogData[];
  readonly accessLogMoments: AccessLogMoments;
  readonly serverName: string;
  readonly serverHeader: ServerHeader;
  readonly schemeOverwrite: string;
  /** The scheme of a request becomes that of the connection to the host. */
  readonly schemeMatchesUpstream: boolean;
  readonly via: string;
  readonly useRemoteAddress: boolean;
  readonly skipXffAppend: boolean;
  readonly xffNumTrustedHops: number;
  readonly appendXForwardedPort: boolean;
  readonly addsUserAgent: boolean;
  /** CIDR texts of `internal_address_config`, and whether Unix sockets count. Undefined: nobody is internal. */
  readonly internalCidrs: readonly string[] | undefined;
  readonly internalUnixSockets: boolean;
  readonly generateRequestId: boolean;
  readonly preserveExternalRequestId: boolean;
  readonly packTraceReason: boolean;
  readonly earlyMutations: readonly Configured[];
  readonly ipDetections: readonly Configured[];
  /** `ignore_http_11_upgrade` */
  readonly ignoredUpgrades: readonly StringMatcherData[];
  readonly alwaysSetRequestIdInResponse: boolean;
  readonly clientCert: ClientCertData;
  /** `forward_client_cert_matcher`: what it finds holds instead. */
  readonly clientCertMatcher: ClientCertMatcherData | undefined;
  readonly forwardedProto: ForwardedProtoData | undefined;
  readonly proxyStatus: ProxyStatusData | undefined;
  readonly recordsRouteResolution: boolean;
  /** What is not set is said by runtime values, see `path-options.ts`. */
  readonly path: PathSettings;
  /** 0 none, 1 the port of the listener only, 2 any. */
  readonly stripPort: 0 | 1 | 2;
  readonly stripTrailingHostDot: boolean;
  readonly proxy100Continue: boolean;
  /** Upgrade types that are allowed, lower-case. */
  readonly upgrades: readonly {
    readonly type: string;
    readonly enabled: boolean;
    /** Undefined: the same as for other requests. */
    readonly filters: ConnectionManagerConfig['filters'] | undefined;
  }[];
  readonly streamIdleTimeoutMs: number;
  /** -1: as the idle timeout. */
  readonly streamFlushTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly requestHeadersTimeoutMs: number;
  readonly maxStreamDurationMs: number;
  readonly idleTimeoutMs: number;
  readonly maxConnectionDurationMs: number;
  /** Percent of the duration that may be added. */
  readonly maxConnectionDurationJitter: number;
  /** Over HTTP/1 a connection that is too old ends with its next response. */
  readonly http1SafeMaxConnectionDuration: boolean;
  readonly maxRequestsPerConnection: number;
  readonly delayedCloseMs: number;
  readonly drainTimeoutMs: number;
  /** Percent of the timeout that may be added. */
  readonly drainTimeoutJitter: number;
  /** `stream_error_on_invalid_http_message`: an answer with 400 does not end the connection. */
  readonly http1StreamErrors: boolean;
  readonly http1: Http1OptionsData;
  readonly http2: H2Options;
  readonly localReply: LocalReplyData | undefined;
}

/** `access_log_options`: when a request is logged besides at its end. */
/** Where routes come from. */
export interface RdsConfig {
  /** The same for all that are the same. */
  readonly key: string;
  readonly routeConfigName: string;
  readonly source: FileSourceConfig;
}

export interface AccessLogMoments {
  readonly start: boolean;
  readonly tunnel: boolean;
  /** Again and again while it runs; 0: not. */
  readonly intervalMs: number;
}

/** `forward_proto_config`: ports of a PROXY header's destination. */
export interface ForwardedProtoData {
  readonly httpsPorts: readonly number[];
  readonly httpPorts: readonly number[];
}

/** `upstream_log` with its options: attempts are logged at their end, and besides when they have a connection or while they run. */
export interface UpstreamLogConfig {
  readonly logs: readonly AccessLogData[];
  readonly poolReady: boolean;
  /** 0: not. */
  readonly intervalMs: number;
}

export interface RouterConfig {
  /** Status codes and times count for the cluster, virtual clusters and routes. */
  readonly dynamicStats: boolean;
  readonly suppressEnvoyHeaders: boolean;
  readonly respectExpectedRqTimeout: boolean;
  readonly strictCheckHeaders: readonly string[];
  readonly suppressGrpcRequestFailureCodeStats: boolean;
  readonly upstreamLog: UpstreamLogConfig;
  readonly upstreamFilters: readonly UpstreamFilterData[] | undefined;
}
