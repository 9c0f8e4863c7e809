// What one worker has: services for extensions, and what belongs to the data plane alone.
import type { TimerWheel } from '#base/timer-wheel.ts';
import type { FilterContext } from '#extension/http-filter.ts';
import type { NetworkFilterContext } from '#extension/network-filter.ts';
import type { Registry } from '#extension/registry.ts';
import type { Runtime } from '#extension/runtime.ts';
import type { WorkerServices } from '#extension/worker-services.ts';
import type { StatsStore } from '#stats/store.ts';
import type { WorkerDnsCache } from './dynamic-forward-proxy/worker-dns-cache.ts';
import type { ClusterAsyncClient } from './http/async-client.ts';
import type { WorkerRoutes } from './http/worker-routes.ts';
import type { ActiveListener } from './listener/active-listener.ts';
import type { ConnectionCounts, ConnectionLimit } from './listener/connection-counts.ts';
import type { ClusterLookup } from './upstream/cluster.ts';
import type { HostConfig } from './upstream/cluster-config.ts';

export interface WorkerContext {
  readonly index: number;
  /** What extensions get of this worker. */
  readonly services: WorkerServices;
  readonly store: StatsStore;
  readonly timers: TimerWheel;
  readonly runtime: Runtime;
  readonly registry: Registry;
  readonly clusters: ClusterLookup;
  readonly routes: WorkerRoutes;
  /** By name. */
  readonly dnsCaches: ReadonlyMap<string, WorkerDnsCache>;
  readonly asyncClient: ClusterAsyncClient;
  /** Of all listeners and all workers. */
  readonly connectionCounts: ConnectionCounts;
  readonly connectionLimit: ConnectionLimit | undefined;
  /** The listener of an address, else one of all addresses with its port. */
  listenerOf(address: string): ActiveListener | undefined;
  /** The hosts that a cluster of this worker has made by itself, whenever they change. */
  reportHosts(cluster: string, hosts: readonly HostConfig[]): void;
  /** A response of that host of a cluster with health checks said that it fails them. */
  reportImmediateFail(cluster: string, key: string): void;
  readonly isHealthCheckFailed: boolean;
  readonly nodeId: string;
  readonly nodeCluster: string;
  /** The machine's first address that is not loopback. */
  readonly localAddress: string;
}

/** What network filters of the data plane itself prepare with: the connection manager, tcp_proxy. */
export interface DataPlaneFilterContext extends NetworkFilterContext {
  readonly worker: WorkerContext;
  /** `listener.<address>.` */
  readonly listenerStatPrefix: string;
}

/** The same for HTTP filters of the data plane. */
export interface DataPlaneHttpFilterContext extends FilterContext {
  readonly worker: WorkerContext;
}
