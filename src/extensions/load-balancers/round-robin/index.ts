import { defineLoadBalancer } from '#extension/load-balancer.ts';
import { slowStartOf } from '../locality-config.ts';
import { parseRoundRobin } from './config.ts';
import { RoundRobin } from './round-robin.ts';

export const roundRobin = defineLoadBalancer({
  kind: 'load_balancer',
  name: 'envoy.load_balancing_policies.round_robin',
  type: 'envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin',
  parse: parseRoundRobin,
  prepare: ({ slowStart, weighsLocalities, failsInPanic }, { runtime }) => ({
    weighsLocalities,
    failsInPanic,
    chooserOf: (hosts) => new RoundRobin(slowStartOf(slowStart, runtime), hosts),
  }),
});
