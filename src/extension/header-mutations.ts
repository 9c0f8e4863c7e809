// Headers that configuration adds to or removes from a message, compiled: routes, mirrors and the header_mutation filter run it.
import { HeaderField } from '#http/header-field.ts';
import type { HeaderMap } from '#http/header-map.ts';
import { harmlessHeaderValue, isHeaderValue } from '#http/header-validity.ts';
import type { FormatContext, Formatter } from './formatter.ts';

export const AppendAction = {
  AppendIfExistsOrAdd: 0,
  AddIfAbsent: 1,
  OverwriteIfExistsOrAdd: 2,
  OverwriteIfExists: 3,
} as const;
export type AppendAction = (typeof AppendAction)[keyof typeof AppendAction];

export interface HeaderMutations {
  apply(headers: HeaderMap, context: FormatContext): void;
}

/** One header that is written. `formatter` is null when `value` has no operators. */
export interface HeaderWrite {
  /** Lower-case. */
  readonly name: string;
  readonly field: HeaderField;
  readonly action: AppendAction;
  readonly value: string;
  readonly formatter: Formatter | null;
  readonly keepEmptyValue: boolean;
  /** Kept as one entry: a further value is joined to it. */
  readonly joinsInRequests: boolean;
  readonly joinsInResponses: boolean;
}

/** `..._headers_to_add` and `..._headers_to_remove` of one level of a route configuration. */
export class LevelHeaderMutations implements HeaderMutations {
  readonly #removed: readonly string[];
  readonly #written: readonly HeaderWrite[];
  /** Scratch: what this call will write, undefined for nothing. */
  readonly #values: (string | undefined)[];

  constructor(removed: readonly string[], written: readonly HeaderWrite[]) {
    this.#removed = removed;
    this.#written = written;
    this.#values = written.map(() => undefined);
  }

  /** Envoy's order: removals; then all values and conditions are computed; then what overwrites; then what adds. */
  apply(headers: HeaderMap, context: FormatContext): void {
    const removed = this.#removed;
    const written = this.#written;
    const values = this.#values;
    for (let i = 0; i < removed.length; i++) headers.remove(removed[i]!);
    for (let i = 0; i < written.length; i++) {
      const write = written[i]!;
      const value = write.formatter === null ? write.value : formatted(write.formatter, headers, context);
      values[i] = (value !== '' || write.keepEmptyValue) && applies(headers, write) ? value : undefined;
    }
    for (let i = 0; i < written.length; i++) {
      const write = written[i]!;
      if (values[i] === undefined || write.action < AppendAction.OverwriteIfExistsOrAdd) continue;
      // What is overwritten moves to the end, as in Envoy.
      headers.remove(write.name);
      headers.add(write.name, values[i]!);
    }
    for (let i = 0; i < written.length; i++) {
      const write = written[i]!;
      if (values[i] !== undefined && write.action < AppendAction.OverwriteIfExistsOrAdd)
        addValue(headers, write, values[i]!);
      values[i] = undefined;
    }
  }
}

/** Several levels, one after the other. */
export class HeaderMutationLevels implements HeaderMutations {
  readonly #levels: readonly HeaderMutations[];

  constructor(levels: readonly HeaderMutations[]) {
    this.#levels = levels;
  }

  apply(headers: HeaderMap, context: FormatContext): void {
    for (let i = 0; i < this.#levels.length; i++) this.#levels[i]!.apply(headers, context);
  }
}

/** A step of a list that is applied strictly one after the other (`config.common.mutation_rules`). */
export interface HeaderStep {
  /** Lower-case name of the header to remove; empty for a step that writes. */
  readonly removed: string;
  /** Removes every header whose name matches; null otherwise. */
  readonly removedIf: { matches(name: string): boolean } | null;
  readonly write: HeaderWrite | null;
}

export class HeaderStepList implements HeaderMutations {
  readonly #steps: readonly HeaderStep[];

  constructor(steps: readonly HeaderStep[]) {
    this.#steps = steps;
  }

  apply(headers: HeaderMap, context: FormatContext): void {
    for (let i = 0; i < this.#steps.length; i++) {
      const step = this.#steps[i]!;
      if (step.write !== null) writeHeader(headers, step.write, context);
      else if (step.removedIf !== null) removeMatching(headers, step.removedIf);
      else headers.remove(step.removed);
    }
  }
}

export function writeHeader(headers: HeaderMap, write: HeaderWrite, context: FormatContext): void {
  const value = write.formatter === null ? write.value : formatted(write.formatter, headers, context);
  if ((value === '' && !write.keepEmptyValue) || !applies(headers, write)) return;
  if (write.field !== HeaderField.Listed) writePseudo(headers, write.field, value);
  else if (write.action >= AppendAction.OverwriteIfExistsOrAdd) {
    // What is overwritten moves to the end, as in Envoy.
    headers.remove(write.name);
    headers.add(write.name, value);
  } else addValue(headers, write, value);
}

/** Operators undo escapes of the client: what they make is as good as unread input. */
function formatted(formatter: Formatter, headers: HeaderMap, context: FormatContext): string {
  const value = formatter.format(context);
  if (headers.method === '') return harmlessHeaderValue(value);
  if (!isHeaderValue(value)) headers.isUnchecked = true;
  return value;
}

function addValue(headers: HeaderMap, write: HeaderWrite, value: string): void {
  const joins = headers.status === 0 ? write.joinsInRequests : write.joinsInResponses;
  const before = joins ? headers.get(write.name) : undefined;
  if (before === undefined) headers.add(write.name, value);
  else if (value !== '') headers.set(write.name, before === '' ? value : `${before},${value}`);
}

function applies(headers: HeaderMap, write: HeaderWrite): boolean {
  if (write.field !== HeaderField.Listed) return true;
  if (write.action === AppendAction.AddIfAbsent) return !headers.has(write.name);
  if (write.action === AppendAction.OverwriteIfExists) return headers.has(write.name);
  return true;
}

/** Pseudo-headers exist once: whatever the action, the value is replaced. Where Envoy refuses them, parsing has refused them. */
function writePseudo(headers: HeaderMap, field: HeaderField, value: string): void {
  if (field === HeaderField.Authority) headers.authority = value;
  else if (field === HeaderField.Path) headers.path = value;
  else if (field === HeaderField.Method) headers.method = value;
  else if (field === HeaderField.Scheme) headers.scheme = value;
}

function removeMatching(headers: HeaderMap, names: { matches(name: string): boolean }): void {
  const list = headers.list;
  let kept = 0;
  for (let i = 0; i < list.length; i += 2) {
    if (names.matches(list[i]!)) continue;
    list[kept] = list[i]!;
    list[kept + 1] = list[i + 1]!;
    kept += 2;
  }
  list.length = kept;
}
