import type { ParseContext } from '#config/parse-context.ts';
import { defineLoadBalancer } from '#extension/load-balancer.ts';
import type { RingHash } from '#schema/messages/envoy/extensions/load_balancing_policies/ring_hash/v3.ts';
import { type HashingData, parseHashing } from '../hashing/config.ts';
import { hashingPolicy } from '../hashing/policy.ts';
import { hashesPerHost, hashesPerWeight, Ring, type RingSize } from './ring.ts';

export interface RingHashData extends HashingData {
  readonly size: RingSize;
  readonly isMurmur: boolean;
}

export const ringHash = defineLoadBalancer({
  kind: 'load_balancer',
  name: 'envoy.load_balancing_policies.ring_hash',
  type: 'envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash',
  parse: parseRingHash,
  prepare: (data, _services, load) =>
    hashingPolicy(data, load, (hosts, keys) => {
      const weights = hosts.map(({ weight }) => weight);
      return new Ring(keys, hashesPerHost(weights, data.size), data.isMurmur);
    }),
  gauges: {
    weighsLocalities: ({ weighsLocalities }) => weighsLocalities,
    names: ['ring_hash_lb.size', 'ring_hash_lb.min_hashes_per_host', 'ring_hash_lb.max_hashes_per_host'],
    values({ size }, hosts) {
      const weights = hosts.map(({ weight }) => weight);
      const counts = hashesPerHost(weights, size);
      const whole = Math.ceil(hashesPerWeight(weights, size));
      return [whole, counts.reduce((a, b) => Math.min(a, b), whole), counts.reduce((a, b) => Math.max(a, b))];
    },
  },
});

export function parseRingHash(message: Partial<RingHash>, at: ParseContext): RingHashData {
  const own = parseHashing(message, at);
  const old = message.consistent_hashing_lb_config === undefined ? message : {};
  return {
    ...own,
    usesHostname: old.use_hostname_for_hashing ?? own.usesHostname,
    balanceFactor: old.hash_balance_factor ?? own.balanceFactor,
    size: {
      minimum: Number(message.minimum_ring_size ?? 1024n),
      maximum: Number(message.maximum_ring_size ?? 8388608n),
    },
    isMurmur: message.hash_function === 'MURMUR_HASH_2',
  };
}
