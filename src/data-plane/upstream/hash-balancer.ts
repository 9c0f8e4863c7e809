// Consistent hashing over the hosts of a cluster: the hash says which priority and which host of it, out of one table for each
// priority. As in Envoy degraded hosts are in no table, localities share one, and a host that is refused has another after it.
import { Uint64 } from '#base/uint64.ts';
import type {
  HashingPolicy,
  HashTable,
  Host,
  HostSet,
  LoadBalancer,
  PickContext,
  WeightedHost,
} from '#extension/load-balancer.ts';
import type { Runtime } from '#extension/runtime.ts';
import type { ClusterConfig } from './cluster-config.ts';
import type { ClusterStats } from './cluster-stats.ts';
import { distribute, type PriorityLoad } from './priority-loads.ts';

interface Priority extends PriorityLoad {
  hosts: readonly WeightedHost[];
  table: HashTable;
}

const hash = new Uint64();

export class HashBalancer implements LoadBalancer {
  readonly #policy: HashingPolicy;
  readonly #panicPercent: number;
  readonly #stats: Pick<ClusterStats, 'lbHealthyPanic'>;
  readonly #runtime: Runtime;
  #priorities: readonly Priority[] = [];

  constructor(
    policy: HashingPolicy,
    { healthyPanicPercent }: Pick<ClusterConfig, 'healthyPanicPercent'>,
    stats: Pick<ClusterStats, 'lbHealthyPanic'>,
    runtime: Runtime,
  ) {
    this.#policy = policy;
    this.#panicPercent = healthyPanicPercent;
    this.#stats = stats;
    this.#runtime = runtime;
  }

  update(sets: readonly HostSet[]): void {
    const threshold = this.#runtime.integer('upstream.healthy_panic_threshold', this.#panicPercent);
    this.#priorities = loadsOf(sets, threshold).map((load) => {
      const hosts = weightedHosts(load, this.#policy.weighsLocalities);
      return { ...load, hosts, table: this.#policy.tableOf(hosts) };
    });
  }

  pick(context: PickContext): Host | undefined {
    const policy = this.#policy;
    const isHashed =
      policy.computeHash === undefined
        ? (context.computeHash?.(hash) ?? false)
        : policy.computeHash(context, hash);
    if (!isHashed) hash.set(Math.random() * 0x100000000, Math.random() * 0x100000000);
    const priority = this.#priority(hash.modulo(100) + 1);
    if (priority === undefined) return undefined;
    if (priority.isPanicking) this.#stats.lbHealthyPanic.value++;
    const index = priority.table.choose(hash, context.refusals ?? 0);
    return index < 0 ? undefined : priority.hosts[index]!.host;
  }

  #priority(share: number): Priority | undefined {
    const priorities = this.#priorities;
    let left = share;
    for (let i = 0; i < priorities.length; i++) {
      left -= priorities[i]!.healthyLoad;
      if (left <= 0) return priorities[i];
    }
    for (let i = 0; i < priorities.length; i++) {
      left -= priorities[i]!.degradedLoad;
      if (left <= 0) return priorities[i];
    }
    return undefined;
  }
}

export function loadsOf(sets: readonly HostSet[], panicThreshold: number): PriorityLoad[] {
  const loads = sets.map((set) => ({ set, healthyLoad: 0, degradedLoad: 0, isPanicking: false }));
  distribute(loads, panicThreshold);
  return loads;
}

/** The hosts that a priority's table is made of. A locality without weight has none. */
export function weightedHosts({ set, isPanicking }: PriorityLoad, weighsLocalities: boolean): WeightedHost[] {
  const hosts = isPanicking ? set.hosts : set.healthy;
  const weighted: WeightedHost[] = [];
  if (!weighsLocalities || set.localities.length === 0) {
    addWeighted(hosts, 1, weighted);
    return weighted;
  }
  const total = set.localities.reduce((sum, { weight }) => sum + weight, 0);
  const usable = new Set(hosts);
  for (const it of set.localities) {
    if (it.weight === 0) continue;
    const own = it.hosts.filter((host) => usable.has(host));
    addWeighted(own, it.weight / total, weighted);
  }
  return weighted;
}

function addWeighted(hosts: readonly Host[], share: number, to: WeightedHost[]): void {
  const sum = hosts.reduce((all, { weight }) => all + weight, 0);
  for (const host of hosts) to.push({ host, weight: (host.weight * share) / sum });
}
