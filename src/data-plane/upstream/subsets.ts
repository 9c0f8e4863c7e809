// Which subsets a host belongs to, by what its `envoy.lb` metadata has for the keys of the selectors, and which one a route asks for.
import type { Host } from '#extension/load-balancer.ts';
import type { SubsetConfig } from './subset-config.ts';

export type Criteria = Readonly<Record<string, unknown>>;

/** The subsets of one host: their names, and whether only one host may be in each. */
export function* subsetsOf(host: Host, { selectors, listAsAny }: SubsetConfig): Iterable<[string, boolean]> {
  const metadata = host.metadata?.['envoy.lb'];
  if (metadata === undefined) return;
  for (const { keys, isOfSingleHosts } of selectors) {
    if (keys.length === 0 || !keys.every((key) => metadata[key] !== undefined)) continue;
    let names = [''];
    for (const key of keys) {
      const value = metadata[key];
      const values = listAsAny && Array.isArray(value) ? value : [value];
      names = names.flatMap((name) => values.map((it) => name + part(key, it)));
    }
    for (const name of names) yield [name, isOfSingleHosts];
  }
}

/** The subset that has all of it; empty when nothing is asked for. */
export function subsetName(criteria: Criteria): string {
  return Object.keys(criteria)
    .sort()
    .map((key) => part(key, criteria[key]))
    .join('');
}

/** Whether a host has all of it. */
export function hasAll(host: Host, wanted: Criteria, listAsAny: boolean): boolean {
  const metadata = host.metadata?.['envoy.lb'] ?? {};
  return Object.entries(wanted).every(([key, value]) => {
    const own = metadata[key];
    const values = listAsAny && Array.isArray(own) ? own : [own];
    return own !== undefined && values.some((it) => canonical(it) === canonical(value));
  });
}

function part(key: string, value: unknown): string {
  return `${JSON.stringify(key)}=${canonical(value)};`;
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, it) =>
    typeof it === 'object' && it !== null && !Array.isArray(it)
      ? Object.fromEntries(Object.entries(it).sort(([a], [b]) => (a < b ? -1 : 1)))
      : it,
  );
}
