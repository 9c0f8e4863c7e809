// `track_cluster_stats.per_endpoint_stats`: the counts of hosts, as metrics. They are read from the hosts when a page wants them and
// stand behind all other numbers.
import { sanitizeStatName } from './store.ts';
import type { Tag } from './tags.ts';

export interface EndpointStat {
  readonly name: string;
  readonly isCounter: boolean;
  readonly value: number;
  /** The name without what is in `tags`. */
  readonly taggedName: string;
  readonly tags: readonly Tag[];
}

export interface EndpointNumbers {
  /** The stat name of the cluster. */
  readonly cluster: string;
  readonly address: string;
  readonly hostname: string;
  readonly counters: Readonly<Record<string, number>>;
  readonly gauges: Readonly<Record<string, number>>;
}

export function endpointStats(numbers: EndpointNumbers): EndpointStat[] {
  const { cluster, address, hostname, counters, gauges } = numbers;
  const prefix = `cluster.${sanitizeStatName(cluster)}.endpoint.${sanitizeStatName(address)}.`;
  const tags: Tag[] = [
    { name: 'envoy.cluster_name', value: cluster },
    { name: 'envoy.endpoint_address', value: address },
  ];
  if (hostname !== '') tags.push({ name: 'envoy.endpoint_hostname', value: hostname });
  const statsOf = (values: Readonly<Record<string, number>>, isCounter: boolean) =>
    Object.entries(values).map(([name, value]) => ({
      name: prefix + name,
      isCounter,
      value,
      taggedName: `cluster.endpoint.${name}`,
      tags,
    }));
  return [...statsOf(counters, true), ...statsOf(gauges, false)];
}
