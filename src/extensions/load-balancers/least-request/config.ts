import type { ParseContext } from '#config/parse-context.ts';
import { onlyFields } from '#extension/message-fields.ts';
import type { LeastRequest } from '#schema/messages/envoy/extensions/load_balancing_policies/least_request/v3.ts';
import {
  type LocalityData,
  parseLocality,
  parseSlowStart,
  type SlowStartData,
  type TunableNumber,
  tunable,
} from '../locality-config.ts';

export interface LeastRequestData extends LocalityData {
  readonly choiceCount: number;
  readonly scansAll: boolean;
  readonly bias: TunableNumber;
  readonly slowStart: SlowStartData;
}

export function parseLeastRequest(message: Partial<LeastRequest>, at: ParseContext): LeastRequestData {
  onlyFields(message, at, [
    'choice_count',
    'enable_full_scan',
    'selection_method',
    'active_request_bias',
    'slow_start_config',
    'locality_lb_config',
  ]);
  return {
    choiceCount: message.choice_count ?? 2,
    scansAll: message.enable_full_scan === true || message.selection_method === 'FULL_SCAN',
    bias: tunable(message.active_request_bias, 1),
    slowStart: parseSlowStart(message.slow_start_config),
    ...parseLocality(message.locality_lb_config, at.field('locality_lb_config')),
  };
}
