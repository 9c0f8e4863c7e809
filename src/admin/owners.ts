// What the admin pages read and change. The data plane implements these on the main thread; whatever workers know (live
// counters of hosts, say) it asks them for before it answers. Messages are messages of the schema, as plain objects.

import type { CommandLineOptions } from '#schema/messages/envoy/admin/v3.ts';
import type { Address, HealthStatus, Node } from '#schema/messages/envoy/config/core/v3.ts';
import type { EndpointStat } from '#stats/endpoint-stats.ts';

export type Awaitable<T> = T | Promise<T>;

/** `/server_info`, `/ready`, `/healthcheck/*`, `/drain_listeners`, `/quitquitquit`, `/reopen_logs`, `/init_dump`. */
export interface ServerOwner {
  /** DRAINING after /healthcheck/fail; the initializing states until all listeners are up. */
  state(): 'LIVE' | 'DRAINING' | 'PRE_INITIALIZING' | 'INITIALIZING';
  /** `0123abc/1.40.0/Clean/RELEASE/BoringSSL`, or what we print in that place. */
  readonly version: string;
  readonly hotRestartVersion: string;
  uptimeCurrentEpochMs(): number;
  uptimeAllEpochsMs(): number;
  readonly commandLineOptions: CommandLineOptions;
  /** With our user agent and extensions filled in. */
  readonly node: Node;
  failHealthCheck(fail: boolean): void;
  drainListeners(options: DrainOptions): void;
  /** Begins an orderly shutdown. The answer is on its way when this is called. */
  quit(): void;
  /** Opens access logs and the proxy's own log anew, in every thread. */
  reopenLogs(): void;
  /** What the server still waits for before it is LIVE. */
  unreadyTargets(): readonly UnreadyTargets[];
}

export interface DrainOptions {
  /** Announce the end and wait for the drain time before listeners stop. */
  readonly graceful: boolean;
  /** Drain connections, never stop the listeners. */
  readonly skipExit: boolean;
  /** Only listeners with `traffic_direction: INBOUND`. */
  readonly inboundOnly: boolean;
}

export interface UnreadyTargets {
  readonly name: string;
  readonly targetNames: readonly string[];
}

/** `/stats*` and `/reset_counters`. */
export interface StatsOwner {
  /** Brings `MergedStats` up to date with the workers: every page of statistics waits for it. */
  scrape(): Awaitable<void>;
  /** Of the clusters that track them. */
  endpoints(): Awaitable<readonly EndpointStat[]>;
  /** After the main thread's counters were reset: tells the workers. */
  resetWorkerCounters(): Awaitable<void>;
}

/** POST `/logging`: the levels of this thread changed (`logs.levels()`); the workers follow. */
export interface LoggingOwner {
  levelsChanged(): void;
}

/** `/listeners`. */
export interface ListenersOwner {
  /** The active listeners in the order they were added. */
  listeners(): readonly ListenerStatus[];
}

export interface ListenerStatus {
  readonly name: string;
  /** As bound: a configured port 0 is the real port here. The first is `address`, others `additional_addresses`. */
  readonly addresses: readonly Address[];
}

/** `/clusters`. */
export interface ClustersOwner {
  clusters(): Awaitable<readonly ClusterStatus[]>;
}

export interface ClusterStatus {
  readonly name: string;
  /** `alt_stat_name`, or the name. */
  readonly observabilityName: string;
  readonly addedViaApi: boolean;
  readonly edsServiceName: string | undefined;
  /** Undefined without `outlier_detection`; -1 where there is no value yet. */
  readonly outlier:
    | {
        readonly successRateAverage: number;
        readonly successRateEjectionThreshold: number;
        readonly localOriginSuccessRateAverage: number;
        readonly localOriginSuccessRateEjectionThreshold: number;
      }
    | undefined;
  readonly defaultPriority: CircuitBreakerLimits;
  readonly highPriority: CircuitBreakerLimits;
  /** By priority and locality, as load balancing has them. */
  readonly hosts: readonly HostStatus[];
}

export interface CircuitBreakerLimits {
  readonly maxConnections: number;
  readonly maxPendingRequests: number;
  readonly maxRequests: number;
  readonly maxRetries: number;
}

export interface HostStatus {
  readonly address: Address;
  readonly hostname: string;
  /** Summed over the workers. */
  readonly stats: {
    readonly cxActive: number;
    readonly cxConnectFail: number;
    readonly cxTotal: number;
    readonly rqActive: number;
    readonly rqError: number;
    readonly rqPendingActive: number;
    readonly rqSuccess: number;
    readonly rqTimeout: number;
    readonly rqTotal: number;
  };
  readonly health: HostHealth;
  readonly weight: number;
  readonly locality: { readonly region: string; readonly zone: string; readonly subZone: string };
  readonly canary: boolean;
  readonly priority: number;
  /** In percent, -1 where there is none. */
  readonly successRate: number;
  readonly localOriginSuccessRate: number;
}

/** Which of Envoy's health flags a host carries, and what EDS says of it. */
export interface HostHealth {
  readonly failedActiveHealthCheck?: boolean;
  readonly failedOutlierCheck?: boolean;
  readonly failedEdsHealth?: boolean;
  readonly degradedActiveHealthCheck?: boolean;
  readonly degradedEdsHealth?: boolean;
  readonly degradedOutlierCheck?: boolean;
  readonly pendingDynamicRemoval?: boolean;
  readonly pendingActiveHealthCheck?: boolean;
  readonly excludedViaImmediateHealthCheckFail?: boolean;
  readonly activeHealthCheckTimeout?: boolean;
  readonly edsStatusDraining?: boolean;
  readonly edsHealthStatus: HealthStatus;
}

/** `/certs`. */
export interface CertificatesOwner {
  certificates(): readonly CertificatePair[];
}

/** One certificate of one TLS context, and the CA it trusts. */
export interface CertificatePair {
  readonly caCertificates: readonly CertificateDetails[];
  readonly certificateChain: readonly CertificateDetails[];
}

export interface CertificateDetails {
  /** The file, or `<inline>`. */
  readonly path: string;
  /** Lower-case hex. */
  readonly serialNumber: string;
  readonly subjectAltNames: readonly {
    readonly kind: 'uri' | 'dns' | 'ip_address';
    readonly value: string;
  }[];
  readonly validFromMs: number;
  readonly expirationMs: number;
}

/** `/runtime` and `/runtime_modify`. */
export interface RuntimeOwner {
  /** The layers by name, lowest first. */
  layers(): readonly string[];
  /** Every key with its value in each layer, empty where the layer has none. */
  entries(): readonly {
    readonly key: string;
    readonly layerValues: readonly string[];
    readonly finalValue: string;
  }[];
  /** False when there is no admin layer. An empty value takes the override away. */
  setAdminLayer(values: readonly (readonly [key: string, value: string])[]): boolean;
}

/**
 * One section of `/config_dump`, registered by whoever keeps the accepted messages. Sections are printed in the order of
 * `order`: bootstrap 0, clusters 10, ecds filters 20, endpoints 30, listeners 40, scoped routes 50, routes 60, secrets 70.
 */
export interface ConfigDumpSection {
  readonly order: number;
  /** The full name of its message: `envoy.admin.v3.ClustersConfigDump`. */
  readonly type: string;
  /** True: only with `include_eds`. */
  readonly isEndpoints?: boolean;
  /**
   * The message, with the resources whose name `matches` accepts (all of them without `name_regex`). Undefined: there is nothing to be said
   * of these.
   */
  dump(matches: (name: string) => boolean): object | undefined;
}
