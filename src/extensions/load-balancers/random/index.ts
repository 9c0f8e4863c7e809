import type { ParseContext } from '#config/parse-context.ts';
import { defineLoadBalancer } from '#extension/load-balancer.ts';
import { onlyFields } from '#extension/message-fields.ts';
import type { Random } from '#schema/messages/envoy/extensions/load_balancing_policies/random/v3.ts';
import { parseLocality } from '../locality-config.ts';
import { RandomHost } from './random.ts';

export const random = defineLoadBalancer({
  kind: 'load_balancer',
  name: 'envoy.load_balancing_policies.random',
  type: 'envoy.extensions.load_balancing_policies.random.v3.Random',
  parse(message: Partial<Random>, at: ParseContext) {
    onlyFields(message, at, ['locality_lb_config']);
    return parseLocality(message.locality_lb_config, at.field('locality_lb_config'));
  },
  prepare: (locality) => ({ ...locality, chooserOf: (hosts) => new RandomHost(hosts) }),
});
