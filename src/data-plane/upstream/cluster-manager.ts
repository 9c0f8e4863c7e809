// The clusters on the main thread: their accepted messages, their members, what is told to the workers about them.

import { addressText } from '#base/address-text.ts';
import type { Clock } from '#base/clock.ts';
import { HostHealth } from '#extension/load-balancer.ts';
import type { Scope } from '#stats/store.ts';
import type { DnsCache, DnsHost } from '../dynamic-forward-proxy/dns-cache.ts';
import { ClusterManagerStats, MembershipStats } from '../observe/server-stats.ts';
import type { ToWorker } from '../worker-protocol.ts';
import { RemainingResources } from './circuit-breaker.ts';
import { type ClusterConfig, type HostConfig, hostKey, type LocalityConfig } from './cluster-config.ts';
import {
  CircuitBreakerStats,
  ClusterStats,
  RemainingStats,
  SizeStats,
  TimeoutBudgetStats,
} from './cluster-stats.ts';
import { ClusterUsage, clustersPerChunk, forgetUsage, usageChunk } from './cluster-usage.ts';
import type { DiscoveryConfig } from './discovery-config.ts';
import { DnsDiscovery } from './dns-discovery.ts';
import { hostConfigOf } from './dynamic-forward-proxy.ts';
import { TransportMatchCounts } from './transport-matches.ts';

export interface StaticCluster {
  readonly config: ClusterConfig;
  readonly discovery: DiscoveryConfig;
}

export class ManagedCluster {
  readonly source: StaticCluster;
  /** Its place among what the workers count. */
  readonly slot: number;
  readonly config: ClusterConfig;
  hosts: readonly LocalityConfig[] = [];
  readonly #stats: MembershipStats;
  readonly #matches: TransportMatchCounts;
  readonly #discovery: DnsDiscovery | undefined;
  readonly #post: (message: ToWorker) => void;
  /** The priorities of the present hosts. */
  #known: ReadonlyMap<string, number> = new Map();
  readonly #ownHosts = new Map<number, readonly HostConfig[]>();
  readonly #dnsHosts = new Map<string, HostConfig>();

  constructor(
    source: StaticCluster,
    slot: number,
    scope: Scope,
    clock: Clock,
    post: (message: ToWorker) => void,
  ) {
    this.source = source;
    this.slot = slot;
    this.config = source.config;
    this.#post = post;
    this.#stats = scope.stats(MembershipStats);
    this.#matches = new TransportMatchCounts(source.config.transportSocketMatches, scope);
    scope.declare(ClusterStats);
    scope.scope('circuit_breakers.default').declare(CircuitBreakerStats);
    scope.scope('circuit_breakers.high').declare(CircuitBreakerStats);
    const { sizes, timeoutBudgets } = source.config.tracked;
    if (sizes) scope.declare(SizeStats);
    if (timeoutBudgets) scope.declare(TimeoutBudgetStats);
    const { dns } = source.discovery;
    if (dns === undefined) {
      this.#discovery = undefined;
      this.#set(source.discovery.assignment);
    } else {
      this.#discovery = new DnsDiscovery(
        source.discovery,
        dns,
        {
          updateAttempt: scope.counter('update_attempt'),
          updateSuccess: scope.counter('update_success'),
          updateFailure: scope.counter('update_failure'),
          updateNoRebuild: scope.counter('update_no_rebuild'),
          maxHostWeight: this.#stats.maxHostWeight,
        },
        this.#matches,
        clock,
        (hosts) => {
          this.#set(hosts);
          this.#post({ type: 'hosts', cluster: source.config.name, hosts });
        },
      );
    }
  }

  /** Resolves when the first hosts are known, or were tried for. */
  async warm(): Promise<void> {
    const first = this.#discovery?.start();
    if (this.source.discovery.waitsForWarm) await first;
  }

  close(): void {
    this.#discovery?.close();
  }

  /** ORIGINAL_DST: what a worker has now. The members are those of all workers. */
  setOwnHosts(worker: number, hosts: readonly HostConfig[]): void {
    if (hosts.length === 0) this.#ownHosts.delete(worker);
    else this.#ownHosts.set(worker, hosts);
    const all = new Map<string, HostConfig>();
    for (const own of this.#ownHosts.values())
      for (const it of own) all.set(addressText(it.address, it.port), it);
    this.#set([{ ...oneLocality, hosts: [...all.values()] }]);
  }

  /** Of a DNS cache: a host that keeps its name stays the same, whatever its address. */
  setDnsHost(name: string, host: DnsHost | undefined): void {
    if (host === undefined || host.ip === '') this.#dnsHosts.delete(name);
    else this.#dnsHosts.set(name, hostConfigOf(host));
    this.#set([{ ...oneLocality, hosts: [...this.#dnsHosts.values()] }]);
  }

  #set(localities: readonly LocalityConfig[]): void {
    this.hosts = localities;
    const hosts = new Map<string, HostConfig>();
    for (const it of localities) for (const host of it.hosts) hosts.set(hostKey(this.config, host), host);
    const stats = this.#stats;
    const priorities = new Map<string, number>();
    for (const it of localities)
      for (const host of it.hosts) priorities.set(hostKey(this.config, host), it.priority);
    const added = [...hosts].filter(([key]) => !this.#known.has(key)).map(([, host]) => host);
    // Each priority is updated by itself.
    const changed = new Set<number>();
    for (const [host, priority] of priorities)
      if (this.#known.get(host) !== priority) changed.add(priority).add(this.#known.get(host) ?? priority);
    for (const [host, priority] of this.#known) if (!priorities.has(host)) changed.add(priority);
    // A logical host is another one, even where it has the same address.
    if (this.source.discovery.dns?.isLogical) for (const it of priorities.values()) changed.add(it);
    // A cluster that never had members shows none of this.
    if (changed.size === 0 && hosts.size === 0) return;
    stats.change.value += changed.size;
    if (this.#discovery === undefined) for (const host of added) this.#matches.add(host, 1);
    this.#known = priorities;
    const count = (health: number) => [...hosts.values()].filter((it) => it.health === health).length;
    stats.total.value = hosts.size;
    stats.healthy.value = count(HostHealth.Healthy);
    stats.degraded.value = count(HostHealth.Degraded);
    stats.excluded.value = [...hosts.values()].filter((it) => it.healthStatus === 'DRAINING').length;
  }
}

const oneLocality = { region: '', zone: '', subZone: '', weight: 0, priority: 0 };

export class ClusterManager {
  readonly clusters: readonly ManagedCluster[];
  /** What the workers count together, by the clusters' slots. */
  readonly usage: readonly SharedArrayBuffer[];
  readonly #remaining: readonly RemainingResources[];

  constructor(
    sources: readonly StaticCluster[],
    workers: number,
    root: Scope,
    clock: Clock,
    post: (message: ToWorker) => void,
    dnsCaches: ReadonlyMap<string, DnsCache>,
  ) {
    const stats = root.scope('cluster_manager').stats(ClusterManagerStats);
    this.clusters = sources.map(
      (it, slot) => new ManagedCluster(it, slot, root.scope(`cluster.${it.config.statName}`), clock, post),
    );
    for (const it of this.clusters) {
      const { dnsCache } = it.config;
      if (dnsCache !== undefined) dnsCaches.get(dnsCache)!.listen((name, host) => it.setDnsHost(name, host));
    }
    this.usage = Array.from({ length: Math.ceil(sources.length / clustersPerChunk) }, () =>
      usageChunk(workers),
    );
    this.#remaining = this.clusters.flatMap(({ config, slot }) =>
      ([0, 1] as const)
        .filter((priority) => config.thresholds[priority].tracksRemaining)
        .map((priority) => {
          const counts = new Int32Array(this.usage[Math.floor(slot / clustersPerChunk)]!);
          const breakers = `cluster.${config.statName}.circuit_breakers.${priorityNames[priority]}`;
          return new RemainingResources(
            config.thresholds[priority],
            new ClusterUsage(counts, slot % clustersPerChunk, 0, priority),
            root.scope(breakers).stats(RemainingStats),
          );
        }),
    );
    stats.clusterAdded.value += sources.length;
    stats.activeClusters.value = sources.length;
    root.scope('thread_local_cluster_manager.main_thread').gauge('clusters_inflated').value = sources.length;
  }

  setOwnHosts(worker: number, name: string, hosts: readonly HostConfig[]): void {
    this.clusters.find(({ config }) => config.name === name)?.setOwnHosts(worker, hosts);
  }

  forgetWorker(worker: number): void {
    for (const chunk of this.usage) forgetUsage(chunk, worker);
    for (const it of this.clusters) if (it.config.originalDst !== undefined) it.setOwnHosts(worker, []);
  }

  /** What is counted in the workers and shown by the main thread. */
  refreshStats(): void {
    for (const it of this.#remaining) it.refresh();
  }

  async warm(): Promise<void> {
    await Promise.all(this.clusters.map((it) => it.warm()));
  }

  close(): void {
    for (const it of this.clusters) it.close();
  }
}

const priorityNames = ['default', 'high'] as const;
