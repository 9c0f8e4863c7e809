import type { FilterStateObject } from './stream-info.ts';

/** Filter state that is a text and has no fields. `typed`: what it is as a message, undefined when it is none. */
export function filterStateText(text: string, typed: unknown = text): FilterStateObject {
  return { text, field: noField, typed };
}

/** Is no message. */
export function filterStatePlain(text: string): FilterStateObject {
  return { text, field: noField };
}

/** Not for access logs. */
export function filterStateHidden(text: string): FilterStateObject {
  return { text, field: noField, isHidden: true };
}

const noField = () => undefined;
