// Which hosts of a cluster are chosen from: by priority, health, panic and locality, with Envoy's shares. The cluster's policy
// then chooses one of them.
import { weightedTurns } from '#base/weighted-turns.ts';
import type {
  Host,
  HostChooser,
  HostSet,
  LoadBalancer,
  LoadBalancingPolicy,
  PickContext,
  PriorityShares,
} from '#extension/load-balancer.ts';
import type { Runtime } from '#extension/runtime.ts';
import type { ClusterConfig } from './cluster-config.ts';
import type { ClusterStats } from './cluster-stats.ts';
import { availabilityOf, distribute, type PriorityLoad } from './priority-loads.ts';

type Settings = Pick<ClusterConfig, 'healthyPanicPercent' | 'weighsLocalities' | 'failsInPanic'>;

/** The hosts of a priority that are in one state. */
interface Source {
  readonly chooser: HostChooser;
  /** Undefined: localities have no weights. */
  readonly localities: readonly HostChooser[] | undefined;
  /** Which locality is next: indexes of `localities`. */
  readonly turns: readonly number[];
  next: number;
}

interface Priority extends PriorityLoad {
  readonly healthy: Source;
  readonly degraded: Source;
  /** In panic. */
  readonly all: Source;
}

export class PrioritySet implements LoadBalancer {
  readonly #policy: LoadBalancingPolicy;
  readonly #weighsLocalities: boolean;
  readonly #failsInPanic: boolean;
  readonly #settings: Settings;
  readonly #stats: Pick<ClusterStats, 'lbHealthyPanic'>;
  readonly #runtime: Runtime;
  #priorities: readonly Priority[] = [];
  #availability: PriorityShares = { healthy: [], degraded: [] };

  constructor(
    policy: LoadBalancingPolicy,
    settings: Settings,
    stats: Pick<ClusterStats, 'lbHealthyPanic'>,
    runtime: Runtime,
  ) {
    this.#policy = policy;
    this.#weighsLocalities = policy.weighsLocalities || settings.weighsLocalities;
    this.#failsInPanic = policy.failsInPanic === true || settings.failsInPanic;
    this.#settings = settings;
    this.#stats = stats;
    this.#runtime = runtime;
  }

  update(sets: readonly HostSet[]): void {
    this.#availability = availabilityOf(sets);
    this.#priorities = sets.map((set) => ({
      set,
      healthy: this.#source(set, set.healthy),
      degraded: this.#source(set, set.degraded),
      all: { chooser: this.#policy.chooserOf(set.hosts), localities: undefined, turns: [], next: 0 },
      healthyLoad: 0,
      degradedLoad: 0,
      isPanicking: false,
    }));
    distribute(
      this.#priorities,
      this.#runtime.integer('upstream.healthy_panic_threshold', this.#settings.healthyPanicPercent),
    );
  }

  pick(context: PickContext): Host | undefined {
    const priorities = this.#priorities;
    // Other bits than those by which a policy chooses.
    let share = ((context.random >>> 16) % 100) + 1;
    const { retryPriority } = context;
    const others = retryPriority === undefined ? undefined : retryPriority.shares(this.#availability);
    if (others !== undefined) return this.#pickOf(others, share, context);
    for (let i = 0; i < priorities.length; i++) {
      share -= priorities[i]!.healthyLoad;
      if (share <= 0) return this.#from(priorities[i]!, priorities[i]!.healthy, context);
    }
    for (let i = 0; i < priorities.length; i++) {
      share -= priorities[i]!.degradedLoad;
      if (share <= 0) return this.#from(priorities[i]!, priorities[i]!.degraded, context);
    }
    return undefined;
  }

  #pickOf({ healthy, degraded }: PriorityShares, share: number, context: PickContext): Host | undefined {
    const priorities = this.#priorities;
    let left = share;
    for (let i = 0; i < priorities.length; i++) {
      left -= healthy[i] ?? 0;
      if (left <= 0) return this.#from(priorities[i]!, priorities[i]!.healthy, context);
    }
    for (let i = 0; i < priorities.length; i++) {
      left -= degraded[i] ?? 0;
      if (left <= 0) return this.#from(priorities[i]!, priorities[i]!.degraded, context);
    }
    return undefined;
  }

  #from(priority: Priority, source: Source, context: PickContext): Host | undefined {
    if (priority.isPanicking) {
      this.#stats.lbHealthyPanic.value++;
      return this.#failsInPanic ? undefined : priority.all.chooser.choose(context);
    }
    const { localities, turns } = source;
    if (localities === undefined) return source.chooser.choose(context);
    if (source.next >= turns.length) source.next = 0;
    return localities[turns[source.next++]!]!.choose(context);
  }

  #source({ localities, overprovisioningFactor }: HostSet, hosts: readonly Host[]): Source {
    const chooser = this.#policy.chooserOf(hosts);
    const usable = new Set(hosts);
    const weighted: { readonly chooser: HostChooser; readonly weight: number }[] = [];
    for (const it of this.#weighsLocalities ? localities : []) {
      const own = it.hosts.filter((host) => usable.has(host));
      const share = Math.min(
        1,
        ((overprovisioningFactor / 100) * own.length) / (it.hosts.length - it.excluded),
      );
      if (own.length > 0 && it.weight > 0)
        weighted.push({ chooser: this.#policy.chooserOf(own), weight: it.weight * share });
    }
    if (weighted.length === 0) return { chooser, localities: undefined, turns: [], next: 0 };
    const turns = weightedTurns(weighted.map(({ weight }) => Math.round(weight * 1000)));
    return {
      chooser,
      localities: weighted.map((it) => it.chooser),
      turns,
      next: Math.floor(Math.random() * turns.length),
    };
  }
}
