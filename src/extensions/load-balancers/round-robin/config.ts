import type { ParseContext } from '#config/parse-context.ts';
import { onlyFields } from '#extension/message-fields.ts';

/** Nothing of the message is supported yet beside its presence: slow start and locality settings are refused by name. */
export function parseRoundRobin(message: object, at: ParseContext): Record<string, never> {
  onlyFields(message, at, []);
  return {};
}
