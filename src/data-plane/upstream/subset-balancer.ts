// Subsets of a cluster by the metadata of its hosts: each has a balancer of its own, and a request the one that its route asks for.
import type { Host, HostSet, LoadBalancer, PickContext } from '#extension/load-balancer.ts';
import type { ClusterStats } from './cluster-stats.ts';
import type { SubsetConfig, SubsetSelector } from './subset-config.ts';
import type { UpstreamHost } from './host.ts';
import { type Criteria, hasAll, subsetName, subsetsOf } from './subsets.ts';

/** Where a request goes whose route asks for something. */
interface Plan {
  readonly subset: string;
  /** When there is no such subset; undefined: the cluster's own. */
  readonly fallback: SubsetSelector['fallback'];
  /** Of the fallback `keys`. */
  readonly reduced: Plan | undefined;
}

export class SubsetBalancer implements LoadBalancer {
  readonly #config: SubsetConfig;
  readonly #create: () => LoadBalancer;
  readonly #stats: ClusterStats;
  readonly #any: LoadBalancer | undefined;
  readonly #default: LoadBalancer | undefined;
  /** By the keys that a route asks for, those of selectors whose fallback counts. */
  readonly #selectors: ReadonlyMap<string, SubsetSelector>;
  #subsets = new Map<string, LoadBalancer>();
  /** Of each object that routes ask with, the ways to try in turn. */
  readonly #plans = new WeakMap<Criteria, readonly Plan[]>();

  constructor(config: SubsetConfig, create: () => LoadBalancer, stats: ClusterStats) {
    this.#config = config;
    this.#create = create;
    this.#stats = stats;
    const fallbacks = [config.fallback, ...config.selectors.map(({ fallback }) => fallback)];
    this.#any = config.panicsToAny || fallbacks.includes('any') ? create() : undefined;
    this.#default = fallbacks.includes('default') ? create() : undefined;
    this.#selectors = selectorsByKeys(config.selectors);
  }

  update(sets: readonly HostSet[]): void {
    const config = this.#config;
    this.#any?.update(sets.map((set) => this.#part(set, set.hosts)));
    this.#default?.update(
      sets.map((set) =>
        this.#part(
          set,
          set.hosts.filter((host) => hasAll(host, config.defaultSubset, config.listAsAny)),
        ),
      ),
    );
    const members = membersOf(sets, config);
    const subsets = new Map<string, LoadBalancer>();
    for (const [name, { isOfSingleHosts, hosts }] of members) {
      const balancer = this.#subsets.get(name) ?? (isOfSingleHosts ? new OnlyHost() : this.#create());
      balancer.update(sets.map((set, i) => this.#part(set, hosts[i] ?? [])));
      subsets.set(name, balancer);
    }
    this.#subsets = subsets;
  }

  pick(context: PickContext): Host | undefined {
    const { metadataMatch } = context;
    if (metadataMatch === undefined) return this.#fallBack(context);
    const plans = this.#plans.get(metadataMatch) ?? this.#planFor(metadataMatch);
    for (let i = 0; i < plans.length; i++) {
      const host = this.#follow(plans[i]!, context);
      if (host !== undefined) return host;
    }
    return undefined;
  }

  #follow(plan: Plan, context: PickContext): Host | undefined {
    const subset = this.#subsets.get(plan.subset);
    if (subset !== undefined) {
      this.#stats.lbSubsetsSelected.value++;
      return subset.pick(context);
    }
    if (plan.reduced !== undefined) return this.#follow(plan.reduced, context);
    if (plan.fallback === undefined) return this.#fallBack(context);
    if (plan.fallback === 'any') return this.#any!.pick(context);
    return plan.fallback === 'default' ? this.#default!.pick(context) : undefined;
  }

  #fallBack(context: PickContext): Host | undefined {
    const { fallback, panicsToAny } = this.#config;
    if (fallback === 'none') return undefined;
    const host = (fallback === 'any' ? this.#any! : this.#default!).pick(context);
    if (host !== undefined) {
      this.#stats.lbSubsetsFallback.value++;
      return host;
    }
    const last = panicsToAny ? this.#any!.pick(context) : undefined;
    if (last !== undefined) this.#stats.lbSubsetsFallbackPanic.value++;
    return last;
  }

  #planFor(criteria: Criteria): readonly Plan[] {
    const plans = this.#alternatives(criteria).map((it) => this.#plan(this.#withoutRedundant(it)));
    this.#plans.set(criteria, plans);
    return plans;
  }

  /** `fallback_list`: one after the other what is asked for, too. */
  #alternatives(criteria: Criteria): readonly Criteria[] {
    const list = criteria.fallback_list;
    if (!this.#config.triesFallbackList || list === undefined) return [criteria];
    const { fallback_list: _, ...rest } = criteria;
    if (!Array.isArray(list) || list.length === 0) return [rest];
    return list.map((it) => ({ ...rest, ...it }));
  }

  #withoutRedundant(criteria: Criteria): Criteria {
    if (!this.#config.allowsRedundantKeys) return criteria;
    let most: readonly string[] = [];
    for (const { keys } of this.#config.selectors)
      if (keys.length > most.length && keys.every((key) => key in criteria)) most = keys;
    return most.length === 0 ? criteria : reducedTo(criteria, most);
  }

  #plan(criteria: Criteria): Plan {
    const selector = this.#selectors.get(Object.keys(criteria).sort().join('\n'));
    const fallback = selector?.fallback;
    return {
      subset: subsetName(criteria),
      fallback,
      reduced:
        fallback === 'keys'
          ? this.#plan(this.#withoutRedundant(reducedTo(criteria, selector!.fallbackKeys)))
          : undefined,
    };
  }

  /** Some hosts of a priority, with their localities. */
  #part(set: HostSet, hosts: readonly Host[]): HostSet {
    const { weighsLocalities, scalesLocalityWeights } = this.#config;
    const own = new Set(hosts);
    const within = (all: readonly Host[]) => all.filter((it) => own.has(it));
    return {
      ...set,
      hosts: within(set.hosts),
      healthy: within(set.healthy),
      degraded: within(set.degraded),
      excluded: excludedOf(hosts),
      localities: !weighsLocalities
        ? []
        : set.localities.map((it) => {
            const left = within(it.hosts);
            const scale = scalesLocalityWeights ? left.length / it.hosts.length : 1;
            return {
              weight: Math.round(it.weight * scale),
              hosts: left,
              excluded: excludedOf(left),
            };
          }),
    };
  }
}

function excludedOf(hosts: readonly Host[]): number {
  return hosts.filter((it) => (it as UpstreamHost).isExcluded).length;
}

/** Of `single_host_per_subset`: whatever its health. */
class OnlyHost implements LoadBalancer {
  #host: Host | undefined = undefined;

  update(sets: readonly HostSet[]): void {
    this.#host = sets.find(({ hosts }) => hosts.length > 0)?.hosts[0];
  }

  pick(): Host | undefined {
    return this.#host;
  }
}

export interface SubsetMembers {
  readonly isOfSingleHosts: boolean;
  /** By priority. */
  readonly hosts: Host[][];
  /** Hosts of a subset that may have only one, by priority. */
  readonly surplus: number[];
}

/** The subsets that have hosts, by name. */
export function membersOf(
  sets: readonly Pick<HostSet, 'hosts'>[],
  config: SubsetConfig,
): Map<string, SubsetMembers> {
  const members = new Map<string, SubsetMembers>();
  for (const [priority, set] of sets.entries()) {
    for (const host of set.hosts) {
      for (const [name, isOfSingleHosts] of subsetsOf(host, config)) {
        let subset = members.get(name);
        if (subset === undefined) {
          subset = { isOfSingleHosts, hosts: [], surplus: [] };
          members.set(name, subset);
        }
        const own = (subset.hosts[priority] ??= []);
        if (subset.isOfSingleHosts && own.length > 0)
          subset.surplus[priority] = (subset.surplus[priority] ?? 0) + 1;
        else if (!own.includes(host)) own.push(host);
      }
    }
  }
  return members;
}

/** A selector whose keys begin those of an earlier one has no fallback of its own, as in Envoy. */
function selectorsByKeys(selectors: readonly SubsetSelector[]): Map<string, SubsetSelector> {
  const known = new Set<string>();
  const found = new Map<string, SubsetSelector>();
  for (const it of selectors) {
    for (let i = 1; i <= it.keys.length; i++) {
      const keys = it.keys.slice(0, i).join('\n');
      if (known.has(keys)) continue;
      known.add(keys);
      if (i === it.keys.length) found.set(keys, it);
    }
  }
  return found;
}

function reducedTo(criteria: Criteria, keys: readonly string[]): Criteria {
  return Object.fromEntries(keys.flatMap((key) => (key in criteria ? [[key, criteria[key]]] : [])));
}
