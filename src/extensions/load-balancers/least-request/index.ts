import { defineLoadBalancer } from '#extension/load-balancer.ts';
import { parseLeastRequest } from './config.ts';
import { LeastRequest } from './least-request.ts';

export const leastRequest = defineLoadBalancer({
  kind: 'load_balancer',
  name: 'envoy.load_balancing_policies.least_request',
  type: 'envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest',
  parse: parseLeastRequest,
  prepare: (config) => new LeastRequest(config),
});
