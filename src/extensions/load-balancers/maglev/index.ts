import type { ParseContext } from '#config/parse-context.ts';
import { defineLoadBalancer } from '#extension/load-balancer.ts';
import type { Maglev } from '#schema/messages/envoy/extensions/load_balancing_policies/maglev/v3.ts';
import { type HashingData, parseHashing } from '../hashing/config.ts';
import { hashingPolicy, hostKey } from '../hashing/policy.ts';
import { MaglevTable, orderOf, takeTurns } from './table.ts';

export interface MaglevData extends HashingData {
  readonly tableSize: number;
}

export const maglev = defineLoadBalancer({
  kind: 'load_balancer',
  name: 'envoy.load_balancing_policies.maglev',
  type: 'envoy.extensions.load_balancing_policies.maglev.v3.Maglev',
  parse: parseMaglev,
  prepare: (data, _services, load) =>
    hashingPolicy(data, load, (hosts, keys) => {
      const weights = hosts.map(({ weight }) => weight);
      return new MaglevTable(keys, weights, data.tableSize);
    }),
  gauges: {
    weighsLocalities: ({ weighsLocalities }) => weighsLocalities,
    names: ['maglev_lb.min_entries_per_host', 'maglev_lb.max_entries_per_host'],
    values({ tableSize, usesHostname }, hosts) {
      // Envoy makes no table of one host.
      if (hosts.length === 1) return [1, 1];
      const keys = hosts.map(({ host }) => hostKey(host, usesHostname));
      const counts = new Uint32Array(hosts.length);
      const weights = orderOf(keys).map((i) => hosts[i]!.weight);
      takeTurns(weights, tableSize, (i) => {
        counts[i]!++;
      });
      return [counts.reduce((a, b) => Math.min(a, b)), counts.reduce((a, b) => Math.max(a, b))];
    },
  },
});

export function parseMaglev(message: Partial<Maglev>, at: ParseContext): MaglevData {
  return { ...parseHashing(message, at), tableSize: Number(message.table_size ?? 65537n) };
}
