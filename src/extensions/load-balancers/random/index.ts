import type { ParseContext } from '#config/parse-context.ts';
import { defineLoadBalancer } from '#extension/load-balancer.ts';
import { onlyFields } from '#extension/message-fields.ts';
import { RandomBalancer } from './random.ts';

export const random = defineLoadBalancer({
  kind: 'load_balancer',
  name: 'envoy.load_balancing_policies.random',
  type: 'envoy.extensions.load_balancing_policies.random.v3.Random',
  parse(message: object, at: ParseContext) {
    onlyFields(message, at, []);
    return {};
  },
  prepare: () => new RandomBalancer(),
});
