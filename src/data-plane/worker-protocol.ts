// Every message between the main thread and a worker. Plain data only: it is cloned on its way.

import type { LogLevels, LogSettings } from '#base/logger.ts';
import type { FlushOptions } from '#extension/access-log-files.ts';
import type { RuntimeValue } from '#extension/runtime.ts';
import type { SecretData } from '#extension/secrets/secret-data.ts';
import type { Node } from '#schema/messages/envoy/config/core/v3.ts';
import type { StatsSnapshot } from '#stats/snapshot.ts';
import type { SocketAddressData } from './address.ts';
import type { DnsHost } from './dynamic-forward-proxy/dns-cache.ts';
import type { DnsCacheConfig } from './dynamic-forward-proxy/dns-cache-config.ts';
import type { RouteConfigData } from './http/route-config.ts';
import type { ChainUpdate } from './listener/chain-update.ts';
import type { ListenerAddress, ListenerConfig } from './listener/listener-config.ts';
import type { StatsMatcherData } from './observe/stats-config.ts';
import type { ClusterConfig, HostConfig, LocalityConfig } from './upstream/cluster-config.ts';

/** The first message to a worker, answered by `ready`. */
export interface WorkerData {
  readonly index: number;
  readonly nodeId: string;
  readonly nodeCluster: string;
  readonly node: Node;
  readonly localAddress: string;
  readonly logFlush: FlushOptions;
  /** `stats_config.stats_matcher` */
  readonly statsMatcher: StatsMatcherData | undefined;
  /** How the proxy's own log is written; undefined: the thread shares the main thread's. */
  readonly logs: LogSettings | undefined;
  /** Open connections; see `ConnectionCounts`. */
  readonly connections: SharedArrayBuffer;
  /** How many there may be; -1: any number. */
  readonly maxConnections: number;
}

export interface ClusterData {
  readonly config: ClusterConfig;
  readonly hosts: readonly LocalityConfig[];
  readonly slot: number;
}

export type ToWorker =
  /** Before the clusters that count there; see `cluster-usage.ts`. */
  | { readonly type: 'usage'; readonly chunk: SharedArrayBuffer }
  /** Together, so that what they have in common comes once. */
  | { readonly type: 'clusters'; readonly clusters: readonly ClusterData[] }
  /** Before the listeners and clusters that name it, and whenever it changes. */
  | { readonly type: 'secret'; readonly key: string; readonly secret: SecretData }
  | { readonly type: 'hosts'; readonly cluster: string; readonly hosts: readonly LocalityConfig[] }
  /** Of a cluster whose changed hosts come later. `usable`: healthy or degraded. */
  | {
      readonly type: 'membership';
      readonly cluster: string;
      readonly total: number;
      readonly usable: number;
    }
  /** A host fails its health checks now: its connections carry no more requests. */
  | { readonly type: 'host_failed'; readonly cluster: string; readonly key: string }
  | { readonly type: 'remove_cluster'; readonly cluster: string }
  /** Before the listeners that name them, and whenever they change; undefined: nobody names them any more. */
  | { readonly type: 'routes'; readonly key: string; readonly config: RouteConfigData | undefined }
  /** Before the clusters and listeners that use it. */
  | { readonly type: 'dns_cache'; readonly config: DnsCacheConfig; readonly counts: SharedArrayBuffer }
  /** What there is to know of a host; undefined: it is gone. */
  | {
      readonly type: 'dns_host';
      readonly cache: string;
      readonly name: string;
      readonly host: DnsHost | undefined;
    }
  /**
   * Answered by `listening` or `listen_failed`. A listener is known by its tag: an old and a new one of a name live side by side while the
   * old one drains. `addresses`: with the port that a port 0 became.
   */
  | {
      readonly type: 'listener';
      readonly tag: number;
      readonly config: ListenerConfig;
      readonly addresses: readonly ListenerAddress[];
      /** Sockets to listen on, where the first worker has bound what cannot be bound twice; else empty. */
      readonly descriptors: readonly number[];
      /** Open connections of this listener; see `ConnectionCounts`. */
      readonly connections: SharedArrayBuffer;
      /** The listener that it goes on with the sockets of; 0: it opens its own. */
      readonly takesOver: number;
    }
  | {
      readonly type: 'update_chains';
      readonly tag: number;
      readonly config: ListenerConfig;
      readonly update: ChainUpdate;
    }
  /** The drain of the chains that this update left behind is over. */
  | { readonly type: 'remove_chains'; readonly tag: number; readonly update: number }
  /** Accepts no more. */
  | { readonly type: 'stop_listener'; readonly tag: number }
  /** Closes what is left of it. */
  | { readonly type: 'remove_listener'; readonly tag: number }
  /** Connections say goodbye with their responses, more and more of them until `drainMs` have passed. */
  | { readonly type: 'drain'; readonly listeners: readonly number[]; readonly drainMs: number }
  /** POST /healthcheck/fail and /healthcheck/ok. */
  | { readonly type: 'health_check'; readonly failed: boolean }
  | { readonly type: 'runtime'; readonly values: Readonly<Record<string, RuntimeValue>> }
  | { readonly type: 'scrape'; readonly id: number }
  | { readonly type: 'reset_counters'; readonly id: number }
  | { readonly type: 'hosts_stats'; readonly id: number }
  | { readonly type: 'reopen_logs' }
  /** As `logs.levels()` gives them. */
  | { readonly type: 'log_levels'; readonly levels: LogLevels }
  /** Answered by `closed`: everything is closed, logs are flushed. */
  | { readonly type: 'shutdown' };

export interface HostCounters {
  /** See `hostKey`. */
  readonly key: string;
  readonly cxActive: number;
  readonly cxConnectFail: number;
  readonly cxTotal: number;
  readonly rqActive: number;
  readonly rqError: number;
  readonly rqPendingActive: number;
  readonly rqSuccess: number;
  readonly rqTimeout: number;
  readonly rqTotal: number;
}

export type FromWorker =
  | { readonly type: 'ready' }
  | {
      readonly type: 'listening';
      readonly tag: number;
      readonly ports: readonly number[];
      readonly descriptors: readonly number[];
    }
  | {
      readonly type: 'listen_failed';
      readonly tag: number;
      readonly address: SocketAddressData;
      readonly code: string;
      readonly message: string;
      /** When it was not the address but an option of the socket. */
      readonly socketOption: { readonly label: string; readonly isBound: boolean } | undefined;
    }
  | { readonly type: 'stats'; readonly id: number; readonly snapshot: StatsSnapshot }
  | {
      readonly type: 'hosts_stats';
      readonly id: number;
      readonly clusters: Readonly<Record<string, readonly HostCounters[]>>;
    }
  /** What a cluster of the worker has made by itself, all of it. */
  | { readonly type: 'own_hosts'; readonly cluster: string; readonly hosts: readonly HostConfig[] }
  /** A request waits for this host of a DNS cache. */
  | { readonly type: 'dns_load'; readonly cache: string; readonly name: string }
  /** Requests go to it. */
  | { readonly type: 'dns_use'; readonly cache: string; readonly name: string }
  /** A response of this host said that it fails its health checks. */
  | { readonly type: 'immediate_fail'; readonly cluster: string; readonly key: string }
  | { readonly type: 'done'; readonly id: number }
  | { readonly type: 'closed' };
