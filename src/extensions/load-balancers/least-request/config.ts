import type { ParseContext } from '#config/parse-context.ts';
import { onlyFields } from '#extension/message-fields.ts';

export interface LeastRequestConfig {
  /** How many random hosts are compared. */
  readonly choiceCount: number;
}

export function parseLeastRequest(
  message: { readonly choice_count?: number },
  at: ParseContext,
): LeastRequestConfig {
  onlyFields(message, at, ['choice_count']);
  return { choiceCount: message.choice_count ?? 2 };
}
