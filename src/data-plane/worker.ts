// A worker: receives what the main thread posts, prepares it, owns listeners and clusters. The same class runs in the main thread
// for `workers: 'inline'`.

import { ipOfAddress, portOfAddress } from '#base/cidr.ts';
import { turnClock } from '#base/clock.ts';
import { logs } from '#base/logger.ts';
import { collectTakings, type Taken } from '#base/takings.ts';
import { TimerWheel } from '#base/timer-wheel.ts';
import { AccessLogFiles } from '#extension/access-log-files.ts';
import { celNode } from '#extension/cel/cel-node.ts';
import { type Extension, Registry } from '#extension/registry.ts';
import { Runtime } from '#extension/runtime.ts';
import type { Lifecycle, WorkerServices } from '#extension/worker-services.ts';
import { shareConnectionIds } from '#net/dial.ts';
import { SocketOptionError } from '#net/native-sockets.ts';
import type { Gauge } from '#stats/metric.ts';
import { SnapshotWriter, transferOf } from '#stats/snapshot.ts';
import { StatsStore } from '#stats/store.ts';
import { WorkerDnsCache } from './dynamic-forward-proxy/worker-dns-cache.ts';
import { ClusterAsyncClient } from './http/async-client.ts';
import { WorkerRoutes } from './http/worker-routes.ts';
import { ActiveListener } from './listener/active-listener.ts';
import {
  ConnectionCounts,
  type ConnectionLimit,
  ConnectionLimitStats,
} from './listener/connection-counts.ts';
import { statsFilter } from './observe/stats-config.ts';
import { preparedCoreExtensions } from './prepare-core-extensions.ts';
import { WorkerSecrets } from './secrets/worker-secrets.ts';
import { ActiveUdpListener } from './udp/active-udp-listener.ts';
import type { HostConfig } from './upstream/cluster-config.ts';
import { WorkerClusters } from './upstream/worker-clusters.ts';
import type { WorkerContext } from './worker-context.ts';
import type { FromWorker, HostCounters, ToWorker, WorkerData } from './worker-protocol.ts';

export class Worker implements WorkerContext, Lifecycle {
  readonly index: number;
  readonly store: StatsStore;
  readonly timers = new TimerWheel(turnClock);
  readonly runtime = new Runtime();
  readonly services: WorkerServices;
  readonly registry: Registry;
  isHealthCheckFailed = false;
  readonly connectionCounts: ConnectionCounts;
  readonly connectionLimit: ConnectionLimit | undefined;
  readonly clusters: WorkerClusters;
  readonly routes = new WorkerRoutes();
  readonly dnsCaches = new Map<string, WorkerDnsCache>();
  readonly asyncClient: ClusterAsyncClient;
  readonly nodeId: string;
  readonly nodeCluster: string;
  readonly localAddress: string;
  readonly accessLogFiles: AccessLogFiles;
  readonly #secrets = new WorkerSecrets();
  readonly #listeners = new Map<number, Taken<ActiveListener | ActiveUdpListener>>();
  readonly #post: (message: FromWorker, transfer?: ArrayBuffer[]) => void;
  readonly #snapshots: SnapshotWriter;
  readonly #inflated: Gauge;

  constructor(
    data: WorkerData,
    extensions: readonly Extension[],
    post: (message: FromWorker, transfer?: ArrayBuffer[]) => void,
  ) {
    this.index = data.index;
    this.store = new StatsStore(statsFilter(data.statsMatcher));
    this.#snapshots = new SnapshotWriter(this.store);
    this.nodeId = data.nodeId;
    this.nodeCluster = data.nodeCluster;
    celNode.id = data.nodeId;
    celNode.cluster = data.nodeCluster;
    this.localAddress = data.localAddress;
    this.connectionCounts = new ConnectionCounts(data.connections, data.index);
    shareConnectionIds(data.index, data.connections.byteLength / Int32Array.BYTES_PER_ELEMENT);
    this.connectionLimit =
      data.maxConnections < 0
        ? undefined
        : {
            max: data.maxConnections,
            stats: this.store.root
              .scope('overload.envoy.resource_monitors.global_downstream_max_connections')
              .stats(ConnectionLimitStats),
          };
    this.clusters = new WorkerClusters(this);
    this.asyncClient = new ClusterAsyncClient(this.clusters, this.timers, this.store.root, data.localAddress);
    this.registry = new Registry([...preparedCoreExtensions, ...extensions]);
    this.accessLogFiles = new AccessLogFiles(this.store, data.logFlush);
    this.services = {
      stats: this.store.root,
      accessLogFiles: this.accessLogFiles,
      runtime: this.runtime,
      secrets: this.#secrets,
      timers: this.timers,
      clock: turnClock,
      lifecycle: this,
      asyncClient: this.asyncClient,
      localCluster: data.nodeCluster,
      node: data.node,
    };
    this.#post = post;
    this.#inflated = this.store
      .scope(`thread_local_cluster_manager.worker_${data.index}`)
      .gauge('clusters_inflated');
  }

  receive(message: ToWorker): void {
    switch (message.type) {
      case 'secret':
        this.#secrets.set(message.key, message.secret);
        break;
      case 'usage':
        this.clusters.addUsage(message.chunk);
        break;
      case 'clusters':
        for (const { config, hosts, slot } of message.clusters) this.clusters.set(config, hosts, slot);
        this.#inflated.value = this.clusters.size;
        break;
      case 'hosts':
        this.clusters.updateHosts(message.cluster, message.hosts);
        break;
      case 'membership':
        this.clusters.setMembership(message.cluster, message);
        break;
      case 'host_failed':
        this.clusters.failHost(message.cluster, message.key);
        break;
      case 'routes':
        this.routes.set(message.key, message.config);
        break;
      case 'remove_cluster':
        this.clusters.delete(message.cluster);
        this.#inflated.value = this.clusters.size;
        break;
      case 'dns_cache':
        this.#addDnsCache(message);
        break;
      case 'dns_host':
        this.dnsCaches.get(message.cache)!.set(message.name, message.host);
        break;
      case 'listener':
        this.#addListener(message);
        break;
      case 'update_chains': {
        const listener = this.#listeners.get(message.tag)?.value;
        if (listener instanceof ActiveListener) listener.updateChains(message.config, message.update);
        break;
      }
      case 'remove_chains': {
        const listener = this.#listeners.get(message.tag)?.value;
        if (listener instanceof ActiveListener) listener.removeChains(message.update);
        break;
      }
      case 'stop_listener':
        this.#listeners.get(message.tag)?.value.stopListening();
        break;
      case 'remove_listener': {
        const listener = this.#listeners.get(message.tag);
        this.#listeners.delete(message.tag);
        listener?.value.close();
        listener?.release();
        break;
      }
      case 'drain':
        for (const tag of message.listeners) this.#listeners.get(tag)?.value.drain(message.drainMs);
        break;
      case 'health_check':
        this.isHealthCheckFailed = message.failed;
        break;
      case 'runtime':
        this.runtime.values = new Map(Object.entries(message.values));
        break;
      case 'scrape': {
        for (const { value } of this.#listeners.values())
          if (value instanceof ActiveUdpListener) value.countDrops();
        for (const { breakers } of this.clusters.prepared()) for (const it of breakers) it.refreshStats();
        for (const it of this.dnsCaches.values()) it.refreshStats();
        const snapshot = this.#snapshots.take();
        this.#post({ type: 'stats', id: message.id, snapshot }, transferOf(snapshot));
        break;
      }
      case 'reset_counters':
        this.store.resetCounters();
        this.#post({ type: 'done', id: message.id });
        break;
      case 'hosts_stats':
        this.#post({ type: 'hosts_stats', id: message.id, clusters: this.#hostCounters() });
        break;
      case 'log_levels':
        logs.setLevels(message.levels);
        break;
      case 'reopen_logs':
        this.accessLogFiles.reopen();
        logs.reopen();
        break;
      case 'shutdown':
        for (const { value } of this.#listeners.values()) value.close();
        for (const cluster of this.clusters.prepared()) cluster.close();
        this.timers.close();
        this.accessLogFiles.close(() => this.#post({ type: 'closed' }));
        break;
    }
  }

  reportHosts(cluster: string, hosts: readonly HostConfig[]): void {
    this.#post({ type: 'own_hosts', cluster, hosts });
  }

  reportImmediateFail(cluster: string, key: string): void {
    this.#post({ type: 'immediate_fail', cluster, key });
  }

  listenerOf(address: string): ActiveListener | undefined {
    const ip = ipOfAddress(address);
    const port = portOfAddress(address);
    let wildcard: ActiveListener | undefined;
    for (const { value: listener } of this.#listeners.values()) {
      if (!(listener instanceof ActiveListener) || listener.isStopped) continue;
      for (const it of listener.addresses) {
        if (it.port !== port) continue;
        if (it.address === ip) return listener;
        const isIpv6 = ip.includes(':');
        if (it.address === (isIpv6 ? '::' : '0.0.0.0') || (it.address === '::' && it.ipv4Compat))
          wildcard ??= listener;
      }
    }
    return wildcard;
  }

  membership(cluster: string): { readonly total: number; readonly usable: number } | undefined {
    return this.clusters.membership(cluster);
  }

  #addDnsCache({ config, counts }: ToWorker & { readonly type: 'dns_cache' }): void {
    const cache = config.name;
    this.dnsCaches.set(
      cache,
      new WorkerDnsCache(
        config,
        counts,
        this.index,
        this.store.root,
        (name) => this.#post({ type: 'dns_load', cache, name }),
        (name) => this.#post({ type: 'dns_use', cache, name }),
      ),
    );
  }

  #addListener({
    tag,
    config,
    addresses,
    descriptors,
    connections,
    takesOver,
  }: ToWorker & { readonly type: 'listener' }): void {
    const taken = collectTakings(() =>
      config.udp === undefined
        ? new ActiveListener(config, this, new ConnectionCounts(connections, this.index))
        : new ActiveUdpListener(config, config.udp, this),
    );
    this.#listeners.set(tag, taken);
    const { value: listener } = taken;
    const before = this.#listeners.get(takesOver)?.value;
    if (before instanceof ActiveListener && !before.isStopped && listener instanceof ActiveListener) {
      listener.takeSockets(before);
      this.#post({ type: 'listening', tag, ports: listener.ports, descriptors: listener.descriptors });
      return;
    }
    listener.listen(
      addresses,
      descriptors,
      (ports, bound) => this.#post({ type: 'listening', tag, ports, descriptors: bound }),
      (error, address) =>
        this.#post({
          type: 'listen_failed',
          tag,
          address,
          code: error.code ?? '',
          message: error.message,
          socketOption:
            error instanceof SocketOptionError
              ? { label: error.option.label, isBound: error.isBound }
              : undefined,
        }),
    );
  }

  #hostCounters(): Record<string, HostCounters[]> {
    const clusters: Record<string, HostCounters[]> = {};
    for (const cluster of this.clusters.prepared()) {
      clusters[cluster.config.name] = [...cluster.hosts].map(([key, host]) => ({
        key,
        cxActive: host.cxActive.value,
        cxConnectFail: host.cxConnectFail.value,
        cxTotal: host.cxTotal.value,
        rqActive: host.activeRequests,
        rqError: host.rqError.value,
        rqPendingActive: host.pendingRequests,
        rqSuccess: host.rqSuccess.value,
        rqTimeout: host.rqTimeout.value,
        rqTotal: host.rqTotal.value,
      }));
    }
    return clusters;
  }
}
