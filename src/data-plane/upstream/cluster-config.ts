// A cluster as plain data: what the main thread makes of the message and posts to the workers. Hosts come apart from it, as they
// change more often.

import { addressText } from '#base/address-text.ts';
import type { HashPolicyData } from '#extension/hash-policy-config.ts';
import type { TlvData } from '#extension/proxy-protocol-config.ts';
import type { Configured } from '#extension/registry.ts';
import type { H2Options } from '#http/h2-options.ts';
import type { HealthStatus } from '#schema/messages/envoy/config/core/v3.ts';
import type { Http1OptionsData } from '../http/codec-options.ts';
import type { MirrorPolicyData, RetryPolicyData } from '../http/route-config.ts';
import type { UpstreamFilterData } from '../http/upstream-filters.ts';
import type { OverrideHostConfig } from './override-host.ts';
import type { SubsetConfig } from './subset-config.ts';

export type Metadata = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

export interface ClusterConfig {
  readonly name: string;
  /** `alt_stat_name` or the name. */
  readonly statName: string;
  readonly connectTimeoutMs: number;
  readonly bufferLimitBytes: number;
  readonly lbPolicy: Configured;
  /** The policy chooses within subsets. */
  readonly subset: SubsetConfig | undefined;
  /** The policy is the fallback of override_host. */
  readonly override: OverrideHostConfig | undefined;
  /** Priority default, then high. */
  readonly thresholds: readonly [Thresholds, Thresholds];
  readonly http: ClusterHttpOptions;
  /** `raw_buffer` unless set. */
  readonly transportSocket: Configured;
  /** `transport_socket_matches`: what the metadata of a host must have for another one. */
  readonly transportSocketMatches: readonly TransportSocketMatchConfig[];
  readonly metadata: Metadata | undefined;
  /** Local address of upstream connections; empty: the system chooses. */
  readonly bindAddress: string;
  readonly keepAliveMs: number;
  /** `common_lb_config.healthy_panic_threshold`, 50 unless set. */
  readonly healthyPanicPercent: number;
  /** `common_lb_config.zone_aware_lb_config.fail_traffic_on_panic` */
  readonly failsInPanic: boolean;
  /** `connection_pool_per_downstream_connection` */
  readonly poolPerDownstream: boolean;
  /** `preconnect_policy.per_upstream_preconnect_ratio`; 1: a connection is opened when a request wants one. */
  readonly preconnectRatio: number;
  /** `track_cluster_stats` */
  readonly tracked: TrackedStats;
  /** `common_lb_config.locality_weighted_lb_config` */
  readonly weighsLocalities: boolean;
  /** `load_assignment.policy.overprovisioning_factor`, in percent. */
  readonly overprovisioningFactor: number;
  /** `common_lb_config.close_connections_on_host_set_change` */
  readonly drainsOnChange: boolean;
  /** `common_lb_config.update_merge_window`, 1,000 unless set; 0: none. */
  readonly updateMergeMs: number;
  /** `close_connections_on_host_health_failure`: those of raw TCP, when health checks fail. */
  readonly closesFailed: boolean;
  /** It has health checks: hosts may ask in responses to be taken for failed. */
  readonly checksHealth: boolean;
  /** Instead of `lbPolicy` and hosts of the configuration. */
  readonly originalDst: OriginalDstConfig | undefined;
  /** The DNS cache whose hosts it has, instead of others. */
  readonly dnsCache: string | undefined;
}

/** Its hosts come into being in workers, as they are wanted. */
export function makesItsHosts({ originalDst, dnsCache }: ClusterConfig): boolean {
  return originalDst !== undefined || dnsCache !== undefined;
}

/** What tells the hosts of a cluster apart. */
export function hostKey({ dnsCache }: ClusterConfig, { address, port, hostname }: HostConfig): string {
  return dnsCache === undefined ? addressText(address, port) : hostname;
}

/** Every host with a key: those with the same address are told apart by how many came before. */
export function* keyedHosts(
  config: ClusterConfig,
  localities: readonly LocalityConfig[],
): Iterable<readonly [key: string, host: HostConfig, locality: LocalityConfig]> {
  const counts = new Map<string, number>();
  for (const locality of localities) {
    for (const host of locality.hosts) {
      const key = hostKey(config, host);
      const before = counts.get(key) ?? 0;
      counts.set(key, before + 1);
      yield [before === 0 ? key : `${key} ${before}`, host, locality];
    }
  }
}

export interface TrackedStats {
  readonly timeoutBudgets: boolean;
  readonly sizes: boolean;
  readonly perEndpoint: boolean;
}

/** ORIGINAL_DST: where hosts come from, besides the original destination of the connection. */
export interface OriginalDstConfig {
  /** Empty: no header. */
  readonly httpHeader: string;
  readonly metadataKey: { readonly key: string; readonly path: readonly string[] } | undefined;
  /** -1: as it was. */
  readonly portOverride: number;
  readonly cleanupMs: number;
}

export interface TransportSocketMatchConfig {
  readonly name: string;
  readonly match: Readonly<Record<string, unknown>>;
  readonly socket: Configured;
}

export interface Thresholds {
  readonly maxConnections: number;
  readonly maxPendingRequests: number;
  readonly maxRequests: number;
  readonly maxRetries: number;
  /** Infinite unless set. */
  readonly maxConnectionPools: number;
  /** `per_host_thresholds`: of one worker. Infinite unless set. */
  readonly maxConnectionsPerHost: number;
  /** `track_remaining` */
  readonly tracksRemaining: boolean;
  /** Percent of active requests that may be retries and the floor below which it does not count; undefined: `maxRetries` holds. */
  readonly retryBudget: { readonly percent: number; readonly minConcurrency: number } | undefined;
}

export const UpstreamProtocol = { Http1: 0, Http2: 1, Auto: 2, Downstream: 3 } as const;
export type UpstreamProtocol = (typeof UpstreamProtocol)[keyof typeof UpstreamProtocol];

export interface ClusterHttpOptions {
  readonly protocol: UpstreamProtocol;
  /** 3,600,000 unless set; 0: none. */
  readonly idleTimeoutMs: number;
  /** 0: none. */
  readonly maxConnectionDurationMs: number;
  /** 0: none. */
  readonly maxRequestsPerConnection: number;
  readonly maxStreamDurationMs: number;
  /** Undefined: the transport socket's own name. */
  readonly autoSni: AutoSniConfig | undefined;
  readonly http1: Http1OptionsData;
  readonly http2: H2Options;
  /** Undefined: those of the router. */
  readonly filters: readonly UpstreamFilterData[] | undefined;
  /** Undefined: those of the routes. */
  readonly policies: ClusterPolicies | undefined;
}

/** What of a route's action a cluster may replace. */
export interface ClusterPolicies {
  readonly retryPolicy: RetryPolicyData | undefined;
  /** Empty: as the route says. */
  readonly mirrorPolicies: readonly MirrorPolicyData[];
  readonly hashPolicies: readonly HashPolicyData[];
}

/** `upstream_http_protocol_options` */
export interface AutoSniConfig {
  /** `auto_sni` */
  readonly setsServerName: boolean;
  /** `auto_san_validation` */
  readonly checksName: boolean;
  /** The header that is asked before Host; empty: none. */
  readonly header: string;
}

/** One endpoint. */
export interface HostConfig {
  /** IP address, or a path when `port` is -1. */
  readonly address: string;
  readonly port: number;
  readonly hostname: string;
  readonly weight: number;
  /** Bits of `HealthFlag`. */
  readonly flags: number;
  /** What the configuration or EDS says: a name of envoy.config.core.v3.HealthStatus. */
  readonly healthStatus: HealthStatus;
  readonly metadata: Metadata | undefined;
  /** `health_check_config`: where checks differ from requests. */
  readonly healthCheck?: HostHealthCheckConfig;
  /** For a PROXY header, before those of the transport socket. */
  readonly proxyTlvs?: readonly TlvData[];
}

export interface HostHealthCheckConfig {
  /** Empty: that of the host. */
  readonly address: string;
  readonly port: number;
  /** Empty: as the health check says. */
  readonly hostname: string;
  readonly isDisabled: boolean;
}

export interface LocalityConfig {
  readonly region: string;
  readonly zone: string;
  readonly subZone: string;
  readonly weight: number;
  readonly priority: number;
  readonly hosts: readonly HostConfig[];
}
