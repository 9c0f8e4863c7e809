// Headers that configuration adds to or removes from a message, compiled: routes, the header_mutation filter and mirrors run it.
import { HeaderField } from '#http/header-field.ts';
import type { HeaderMap } from '#http/header-map.ts';
import type { FormatContext, Formatter } from './formatter.ts';

export const AppendAction = {
  AppendIfExistsOrAdd: 0,
  AddIfAbsent: 1,
  OverwriteIfExistsOrAdd: 2,
  OverwriteIfExists: 3,
} as const;
export type AppendAction = (typeof AppendAction)[keyof typeof AppendAction];

/** One step. A null `formatter` with an undefined `value` removes the header. */
export interface HeaderMutation {
  /** Lower-case. */
  readonly name: string;
  readonly field: HeaderField;
  readonly action: AppendAction;
  /** The value when it has no operators. */
  readonly value: string | undefined;
  readonly formatter: Formatter | null;
  readonly keepEmptyValue: boolean;
}

export class HeaderMutations {
  readonly #steps: readonly HeaderMutation[];

  constructor(steps: readonly HeaderMutation[]) {
    this.#steps = steps;
  }

  apply(headers: HeaderMap, context: FormatContext): void {
    const steps = this.#steps;
    for (let i = 0; i < steps.length; i++) {
      const step = steps[i]!;
      const value = step.formatter === null ? step.value : step.formatter.format(context);
      if (value === undefined) headers.remove(step.name);
      else if (value !== '' || step.keepEmptyValue) put(headers, step, value);
    }
  }
}

function put(headers: HeaderMap, step: HeaderMutation, value: string): void {
  if (step.field !== HeaderField.Listed) {
    putPseudo(headers, step, value);
    return;
  }
  switch (step.action) {
    case AppendAction.AppendIfExistsOrAdd:
      headers.add(step.name, value);
      return;
    case AppendAction.AddIfAbsent:
      if (!headers.has(step.name)) headers.add(step.name, value);
      return;
    case AppendAction.OverwriteIfExistsOrAdd:
      headers.set(step.name, value);
      return;
    case AppendAction.OverwriteIfExists:
      if (headers.has(step.name)) headers.set(step.name, value);
  }
}

/** Pseudo-headers exist once: whatever the action, the value is replaced. Refused where Envoy refuses them, when parsed. */
function putPseudo(headers: HeaderMap, step: HeaderMutation, value: string): void {
  switch (step.field) {
    case HeaderField.Authority:
      headers.authority = value;
      return;
    case HeaderField.Path:
      headers.path = value;
      return;
    case HeaderField.Method:
      headers.method = value;
      return;
    case HeaderField.Scheme:
      headers.scheme = value;
  }
}
