// What the policies of consistent hashing have in common: the key of a host, a bound of its load, hash policies of their own.
import { compileHashPolicies } from '#extension/hash-policy-config.ts';
import type { ClusterLoad, HashingPolicy, HashTable, Host, WeightedHost } from '#extension/load-balancer.ts';
import { BoundedLoad } from './bounded-load.ts';
import type { HashingData } from './config.ts';
import { OwnHash } from './own-hash.ts';

export function hashingPolicy(
  data: HashingData,
  load: ClusterLoad,
  tableOf: (hosts: readonly WeightedHost[], keys: readonly string[]) => HashTable,
): HashingPolicy {
  const policies = compileHashPolicies(data.hashPolicies);
  const own = policies && new OwnHash(policies);
  return {
    weighsLocalities: data.weighsLocalities,
    ...(own && { computeHash: (context, into) => own.compute(context, into) }),
    tableOf(hosts) {
      const keys = hosts.map(({ host }) => hostKey(host, data.usesHostname));
      const table = tableOf(hosts, keys);
      if (data.balanceFactor === 0 || hosts.length === 0) return table;
      return new BoundedLoad(table, hosts, data.balanceFactor, load);
    },
  };
}

/** `hash_key` of its metadata comes before its name or address. */
export function hostKey(host: Host, usesHostname: boolean): string {
  const key = host.metadata?.['envoy.lb']?.hash_key;
  if (typeof key === 'string' && key !== '') return Buffer.from(key, 'utf8').toString('latin1');
  return usesHostname ? host.hostname : host.address;
}
