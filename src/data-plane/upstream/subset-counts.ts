// On the main thread: how many subsets a cluster has. As in Envoy every thread counts its own, and the main thread has them, too.
import type { Counter, Gauge } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';
import type { LocalityConfig } from './cluster-config.ts';
import { membersOf } from './subset-balancer.ts';
import type { SubsetConfig } from './subset-config.ts';
import { hostOf } from './table-sizes.ts';

export class SubsetCounts {
  readonly #config: SubsetConfig;
  readonly #threads: number;
  readonly #active: Gauge;
  readonly #created: Counter;
  readonly #removed: Counter;
  readonly #duplicate: Gauge;
  #names: ReadonlySet<string> = new Set();

  constructor(config: SubsetConfig, threads: number, scope: Scope) {
    this.#config = config;
    this.#threads = threads;
    this.#active = scope.gauge('lb_subsets_active');
    this.#created = scope.counter('lb_subsets_created');
    this.#removed = scope.counter('lb_subsets_removed');
    this.#duplicate = scope.gauge('lb_subsets_single_host_per_subset_duplicate');
  }

  update(localities: readonly LocalityConfig[]): void {
    const sets: { hosts: ReturnType<typeof hostOf>[] }[] = [{ hosts: [] }];
    for (const it of localities) {
      while (sets.length <= it.priority) sets.push({ hosts: [] });
      sets[it.priority]!.hosts.push(...it.hosts.map((host) => hostOf(host, it)));
    }
    const members = membersOf(sets, this.#config);
    const names = new Set(members.keys());
    for (const it of names) if (!this.#names.has(it)) this.#created.value += this.#threads;
    for (const it of this.#names) if (!names.has(it)) this.#removed.value += this.#threads;
    this.#names = names;
    if (this.#created.value > 0) this.#active.value = names.size * this.#threads;
    // The last priority is the one that is seen.
    let surplus = 0;
    for (const it of members.values()) surplus += it.surplus[sets.length - 1] ?? 0;
    this.#duplicate.value = surplus;
  }
}
