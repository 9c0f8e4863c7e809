import type { FilterStateObject } from './stream-info.ts';

/** Filter state that is a text and has no fields. */
export function filterStateText(text: string): FilterStateObject {
  return { text, field: noField };
}

const noField = () => undefined;
