import type { ParseContext } from '#config/parse-context.ts';
import { onlyFields } from '#extension/message-fields.ts';
import type { LeastRequest } from '#schema/messages/envoy/extensions/load_balancing_policies/least_request/v3.ts';

export interface LeastRequestConfig {
  /** How many random hosts are compared. */
  readonly choiceCount: number;
  /** All hosts are compared. */
  readonly scansAll: boolean;
}

export function parseLeastRequest(
  message: Partial<Pick<LeastRequest, 'choice_count' | 'enable_full_scan' | 'selection_method'>>,
  at: ParseContext,
): LeastRequestConfig {
  onlyFields(message, at, ['choice_count', 'enable_full_scan', 'selection_method']);
  return {
    choiceCount: message.choice_count ?? 2,
    scansAll: message.enable_full_scan === true || message.selection_method === 'FULL_SCAN',
  };
}
