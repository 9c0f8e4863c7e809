import type { ParseContext } from '#config/parse-context.ts';
import { onlyFields } from '#extension/message-fields.ts';
import type { RoundRobin } from '#schema/messages/envoy/extensions/load_balancing_policies/round_robin/v3.ts';
import { type LocalityData, parseLocality, parseSlowStart, type SlowStartData } from '../locality-config.ts';

export interface RoundRobinConfig extends LocalityData {
  readonly slowStart: SlowStartData;
}

export function parseRoundRobin(message: Partial<RoundRobin>, at: ParseContext): RoundRobinConfig {
  onlyFields(message, at, ['slow_start_config', 'locality_lb_config']);
  return {
    slowStart: parseSlowStart(message.slow_start_config),
    ...parseLocality(message.locality_lb_config, at.field('locality_lb_config')),
  };
}
