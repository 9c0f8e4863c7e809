// From hosts in the localities of a configuration to what balancers get: one set for each priority.
import { type Host, HostHealth, type HostSet } from '#extension/load-balancer.ts';
import type { LocalityConfig } from './cluster-config.ts';

export interface LocalityOf<H extends Host> {
  readonly config: LocalityConfig;
  readonly hosts: readonly H[];
}

interface Locality<H extends Host> {
  readonly key: string;
  weight: number;
  readonly hosts: H[];
}

export function hostSets<H extends Host>(
  all: readonly LocalityOf<H>[],
  overprovisioningFactor: number,
  isExcluded: (host: H) => boolean,
): HostSet[] {
  const excludedOf = (hosts: readonly H[]) => hosts.filter(isExcluded).length;
  const priorities: { readonly hosts: H[]; readonly localities: Map<string, Locality<H>> }[] = [
    { hosts: [], localities: new Map() },
  ];
  for (const { config, hosts } of all) {
    while (priorities.length <= config.priority) priorities.push({ hosts: [], localities: new Map() });
    const priority = priorities[config.priority]!;
    for (const it of hosts) priority.hosts.push(it);
    const key = `${config.region}\n${config.zone}\n${config.subZone}`;
    const known = priority.localities.get(key);
    if (known === undefined) priority.localities.set(key, { key, weight: config.weight, hosts: [...hosts] });
    else {
      known.weight = config.weight;
      known.hosts.push(...hosts);
    }
  }
  return priorities.map(({ hosts, localities }, priority) => ({
    priority,
    hosts,
    healthy: hosts.filter((it) => it.health === HostHealth.Healthy),
    degraded: hosts.filter((it) => it.health === HostHealth.Degraded),
    excluded: excludedOf(hosts),
    localities: [...localities.values()]
      .sort((a, b) => (a.key < b.key ? -1 : 1))
      .map((it) => ({ weight: it.weight, hosts: it.hosts, excluded: excludedOf(it.hosts) })),
    overprovisioningFactor,
  }));
}
