// The clusters on the main thread: those that are active, and those that wait for their first members. Workers learn of a cluster when it is
// active.
import { collectTakings } from '#base/takings.ts';
import type { ConfigError } from '#config/config-error.ts';
import { ParseContext } from '#config/parse-context.ts';
import type { LoadBalancerExtension } from '#extension/load-balancer.ts';
import type { Registry } from '#extension/registry.ts';
import type { UpstreamTransportExtension } from '#extension/transport-socket.ts';
import type { Cluster } from '#schema/messages/envoy/config/cluster/v3.ts';
import type { Gauge } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';
import type { DnsCaches } from '../dynamic-forward-proxy/dns-caches.ts';
import { ClusterManagerStats } from '../observe/server-stats.ts';
import type { ClusterConfig, HostConfig } from './cluster-config.ts';
import { ClusterSlots, type ClusterSlot } from './cluster-slots.ts';
import {
  type ClusterSource,
  ManagedCluster,
  type ManagedClusterServices,
  type MemberCounts,
} from './managed-cluster.ts';
import { parseClusterSource } from './parse-cluster-source.ts';
import type { AskedResolvers } from './parse-resolvers.ts';
import { SubsetCounts } from './subset-counts.ts';
import { TableSizes } from './table-sizes.ts';

export interface ClusterManagerOptions extends Omit<ManagedClusterServices, 'stats' | 'registry' | 'tables'> {
  readonly workers: number;
  /** Of the bootstrap. */
  readonly resolvers: AskedResolvers;
  readonly dnsCaches: DnsCaches;
  /** What a cluster has to wait for beside its members. What is taken for it is given back when it goes. */
  needs(message: Cluster): readonly Promise<unknown>[];
}

/** What became of a cluster that was sent. */
export type ClusterOutcome = 'applied' | 'unchanged' | { readonly refused: string };

export class ClusterManager {
  readonly #registry: Registry;
  readonly #root: Scope;
  readonly #options: ClusterManagerOptions;
  readonly #slots: ClusterSlots;
  readonly #active = new Map<string, ManagedCluster>();
  readonly #warming = new Map<string, ManagedCluster>();
  readonly #slotOf = new WeakMap<ManagedCluster, ClusterSlot>();
  readonly #stats: ClusterManagerStats;
  readonly #inflated: Gauge;
  readonly #begun = new WeakMap<ManagedCluster, Promise<void>>();
  #isInitialized = false;

  constructor(
    sources: readonly ClusterSource[],
    registry: Registry,
    root: Scope,
    options: ClusterManagerOptions,
  ) {
    this.#registry = registry;
    this.#root = root;
    this.#options = options;
    this.#stats = root.scope('cluster_manager').stats(ClusterManagerStats);
    this.#inflated = root.scope('thread_local_cluster_manager.main_thread').gauge('clusters_inflated');
    this.#slots = new ClusterSlots(options.workers, (chunk) => options.post({ type: 'usage', chunk }));
    for (const it of sources) {
      this.#active.set(it.config.name, this.#create(it, true, '', this.#slots.take()));
      this.#stats.clusterAdded.value++;
    }
    this.#count();
  }

  /** Those that workers know. */
  get clusters(): readonly ManagedCluster[] {
    return [...this.#active.values()];
  }

  get warming(): readonly ManagedCluster[] {
    return [...this.#warming.values()];
  }

  /** What the workers count together, by the clusters' slots. */
  get usage(): readonly SharedArrayBuffer[] {
    return this.#slots.chunks;
  }

  /** Of the start. Resolves when all that there are have members, or were tried for. */
  async warm(): Promise<void> {
    await Promise.all([...this.#active.values()].map((it) => this.#begin(it)));
  }

  /** From now on a cluster that is added has to warm. */
  initialized(): void {
    this.#isInitialized = true;
  }

  /** `problems`: what is known to be wrong with it. What else is wrong is added to those of `at`. */
  addOrUpdate(
    message: Cluster,
    version: string,
    problems: readonly ConfigError[],
    at: ParseContext,
  ): ClusterOutcome {
    const { name } = message;
    const active = this.#active.get(name);
    const warming = this.#warming.get(name);
    if ([active, warming].some((it) => it?.isStatic || it?.isMadeFrom(message))) return 'unchanged';
    const current = warming ?? active;
    // Envoy counts before it looks.
    if (current === undefined) this.#stats.clusterAdded.value++;
    else this.#stats.clusterModified.value++;
    const known = problems.find((it) => it.severity === 'error');
    if (known !== undefined) return { refused: known.envoy ?? known.message };
    const found: ConfigError[] = [];
    const here = new ParseContext(at.path, found);
    const source = parseClusterSource(message, here, this.#registry, this.#options.resolvers);
    at.problems.push(...found);
    const problem = found.find((it) => it.severity === 'error');
    if (problem !== undefined) return { refused: problem.envoy ?? problem.message };

    const slot = current === undefined ? this.#slots.take() : this.#slotOf.get(current)!;
    const cluster = this.#create(source, false, version, slot);
    if (warming !== undefined) end(warming);
    if (this.#isInitialized) this.#warming.set(name, cluster);
    else {
      this.#active.set(name, cluster);
      if (active !== undefined) end(active);
    }
    void this.#begin(cluster);
    this.#count();
    return 'applied';
  }

  /** False: there is none that may be removed. */
  remove(name: string): boolean {
    const active = this.#active.get(name);
    const warming = this.#warming.get(name);
    const current = warming ?? active;
    if (current === undefined || active?.isStatic === true || warming?.isStatic === true) return false;
    this.#warming.delete(name);
    this.#active.delete(name);
    if (active !== undefined) this.#options.post({ type: 'remove_cluster', cluster: name });
    for (const it of [active, warming]) if (it !== undefined) end(it);
    this.#slots.giveBack(this.#slotOf.get(current)!);
    this.#stats.clusterRemoved.value++;
    this.#count();
    return true;
  }

  failPassively(name: string, key: string): void {
    this.#active.get(name)?.failPassively(key);
  }

  setOwnHosts(worker: number, name: string, hosts: readonly HostConfig[]): void {
    this.#active.get(name)?.setOwnHosts(worker, hosts);
  }

  forgetWorker(worker: number): void {
    this.#slots.forgetWorker(worker);
    for (const it of this.#active.values())
      if (it.config.originalDst !== undefined) it.setOwnHosts(worker, []);
  }

  /** What is counted in the workers and shown by the main thread. */
  refreshStats(): void {
    for (const it of this.#active.values()) it.refreshStats();
  }

  close(): void {
    for (const it of [...this.#active.values(), ...this.#warming.values()]) it.close();
  }

  #create(source: ClusterSource, isStatic: boolean, version: string, slot: ClusterSlot): ManagedCluster {
    const { config } = source;
    this.#options.dnsCaches.need(source.message);
    const { value, release } = collectTakings(() => {
      const scope = this.#root.scope(`cluster.${config.statName}`);
      const cluster = new ManagedCluster(source, isStatic, version, slot, scope, {
        clock: this.#options.clock,
        files: this.#options.files,
        registry: this.#registry,
        services: this.#options.services,
        runtime: this.#options.runtime,
        post: (message) => this.#options.post(message),
        stats: this.#stats,
        tables: this.#tablesOf(config, scope),
      });
      const { transportSocket, dnsCache } = config;
      this.#registry
        .byName<UpstreamTransportExtension>('upstream_transport_socket', transportSocket.extension)
        ?.declare?.(scope);
      if (dnsCache !== undefined)
        this.#options.dnsCaches.get(dnsCache)!.listen((name, host) => cluster.setDnsHost(name, host));
      return cluster;
    });
    value.release = release;
    this.#slotOf.set(value, slot);
    return value;
  }

  #tablesOf(config: ClusterConfig, scope: Scope): MemberCounts | undefined {
    if (config.subset !== undefined) return new SubsetCounts(config.subset, this.#options.workers + 1, scope);
    const { gauges } =
      this.#registry.byName<LoadBalancerExtension<never, unknown>>(
        'load_balancer',
        config.lbPolicy.extension,
      ) ?? {};
    return gauges && new TableSizes(config, gauges, scope, this.#options.runtime);
  }

  #begin(cluster: ManagedCluster): Promise<void> {
    let begun = this.#begun.get(cluster);
    if (begun === undefined) {
      begun = this.#warm(cluster);
      this.#begun.set(cluster, begun);
    }
    return begun;
  }

  async #warm(cluster: ManagedCluster): Promise<void> {
    const { value, release } = collectTakings(() => this.#options.needs(cluster.source.message));
    const rest = cluster.release;
    cluster.release = () => {
      rest();
      release();
    };
    const needs = [...value, cluster.warm()].filter((it) => it !== undefined);
    if (needs.length > 0) await Promise.all(needs);
    const checked = this.#isCurrent(cluster) ? cluster.checkHealth() : undefined;
    if (checked !== undefined) await checked;
    if (!this.#isCurrent(cluster)) return;
    const before = this.#active.get(cluster.name);
    this.#warming.delete(cluster.name);
    this.#active.set(cluster.name, cluster);
    cluster.isActive = true;
    this.#options.post({ type: 'clusters', clusters: [cluster.data] });
    if (before !== undefined && before !== cluster) end(before);
    this.#count();
  }

  #isCurrent(cluster: ManagedCluster): boolean {
    return this.#active.get(cluster.name) === cluster || this.#warming.get(cluster.name) === cluster;
  }

  #count(): void {
    this.#stats.activeClusters.value = this.#active.size;
    this.#stats.warmingClusters.value = this.#warming.size;
    this.#inflated.value = this.#active.size;
  }
}

function end(cluster: ManagedCluster): void {
  cluster.isActive = false;
  cluster.close();
  cluster.release();
}
