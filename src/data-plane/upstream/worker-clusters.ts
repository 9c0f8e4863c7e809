// The clusters of one worker. A cluster is prepared when it is first asked for: of thousands that are configured a worker may
// never use most (5,000 clusters cost 60 MB of metrics alone).
import { collectTakings, type Taken } from '#base/takings.ts';
import { HostHealth } from '#extension/load-balancer.ts';
import type { WorkerContext } from '../worker-context.ts';
import type { Cluster } from './cluster.ts';
import type { ClusterConfig, LocalityConfig } from './cluster-config.ts';
import { ClusterUsage, clustersPerChunk } from './cluster-usage.ts';
import { healthOf } from './health-flags.ts';
import { prepareCluster, updateHosts } from './prepare-cluster.ts';

interface Membership {
  readonly total: number;
  /** Healthy or degraded. */
  readonly usable: number;
}

interface KnownCluster {
  readonly config: ClusterConfig;
  readonly slot: number;
  hosts: readonly LocalityConfig[];
  /** Undefined: that of the hosts. */
  membership: Membership | undefined;
  /** Prepared, with what was taken for that. */
  cluster: Taken<Cluster> | undefined;
}

export class WorkerClusters {
  readonly #worker: WorkerContext;
  readonly #known = new Map<string, KnownCluster>();
  readonly #usage: Int32Array[] = [];

  constructor(worker: WorkerContext) {
    this.#worker = worker;
  }

  get size(): number {
    return this.#known.size;
  }

  get(name: string): Cluster | undefined {
    const known = this.#known.get(name);
    return known === undefined ? undefined : (known.cluster ?? this.#prepare(known)).value;
  }

  /** Where clusters count their use; each piece follows the one before. */
  addUsage(chunk: SharedArrayBuffer): void {
    this.#usage.push(new Int32Array(chunk));
  }

  /** Adds the cluster, in the place of one of that name. `slot`: its place among the counts. */
  set(config: ClusterConfig, hosts: readonly LocalityConfig[], slot: number): void {
    const before = this.#known.get(config.name)?.cluster;
    const known: KnownCluster = { config, hosts, slot, membership: undefined, cluster: undefined };
    this.#known.set(config.name, known);
    if (before === undefined) return;
    // So that its statistics go on.
    this.#prepare(known);
    end(before);
  }

  updateHosts(name: string, hosts: readonly LocalityConfig[]): void {
    const known = this.#known.get(name);
    if (known === undefined) return;
    known.hosts = hosts;
    known.membership = undefined;
    if (known.cluster !== undefined) updateHosts(known.cluster.value, hosts);
  }

  /** Of a cluster with health checks. */
  failHost(name: string, key: string): void {
    const cluster = this.#known.get(name)?.cluster?.value;
    const host = cluster?.hosts.get(key);
    if (host !== undefined) cluster!.failHost(host);
  }

  delete(name: string): void {
    const before = this.#known.get(name)?.cluster;
    this.#known.delete(name);
    if (before !== undefined) end(before);
  }

  /** Until the hosts come. */
  setMembership(name: string, { total, usable }: Membership): void {
    const known = this.#known.get(name);
    if (known !== undefined) known.membership = { total, usable };
  }

  membership(name: string): Membership | undefined {
    const known = this.#known.get(name);
    if (known === undefined) return undefined;
    if (known.membership !== undefined) return known.membership;
    const health =
      known.cluster === undefined
        ? known.hosts.flatMap(({ hosts }) => hosts.map((it) => healthOf(it.flags)))
        : [...known.cluster.value.hosts.values()].map((it) => it.health);
    return { total: health.length, usable: health.filter((it) => it !== HostHealth.Unhealthy).length };
  }

  /** Those that were used. */
  prepared(): Cluster[] {
    return [...this.#known.values()].flatMap(({ cluster }) => cluster?.value ?? []);
  }

  #prepare(known: KnownCluster): Taken<Cluster> {
    const counts = this.#usage[Math.floor(known.slot / clustersPerChunk)]!;
    const slot = known.slot % clustersPerChunk;
    const { index } = this.#worker;
    const usage = [
      new ClusterUsage(counts, slot, index, 0),
      new ClusterUsage(counts, slot, index, 1),
    ] as const;
    const prepared = collectTakings((takings) => prepareCluster(known.config, usage, this.#worker, takings));
    known.cluster = prepared;
    updateHosts(prepared.value, known.hosts);
    return prepared;
  }
}

/** What it carries finishes. */
function end({ value, release }: Taken<Cluster>): void {
  value.drain();
  release();
}
