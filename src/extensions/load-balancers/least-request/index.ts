import { defineLoadBalancer } from '#extension/load-balancer.ts';
import { slowStartOf, tuned } from '../locality-config.ts';
import { parseLeastRequest } from './config.ts';
import { LeastRequest } from './least-request.ts';

export const leastRequest = defineLoadBalancer({
  kind: 'load_balancer',
  name: 'envoy.load_balancing_policies.least_request',
  type: 'envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest',
  parse: parseLeastRequest,
  prepare: ({ slowStart, bias, weighsLocalities, failsInPanic, ...choices }, { runtime }) => ({
    weighsLocalities,
    failsInPanic,
    chooserOf: (hosts) =>
      new LeastRequest(
        { ...choices, bias: tuned(bias, runtime), slowStart: slowStartOf(slowStart, runtime) },
        hosts,
      ),
  }),
});
