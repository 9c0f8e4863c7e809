// Small readers for `parse` functions: durations, percents, and the guard against fields that nobody implements.
import type { ParseContext } from '#config/parse-context.ts';

/** A Duration in ms, or `fallback` when it is not set. */
export function durationMs(
  duration: { readonly seconds: number; readonly nanos: number } | undefined,
  fallback: number,
): number {
  return duration === undefined ? fallback : duration.seconds * 1000 + duration.nanos / 1e6;
}

/** Refuses every field that is set, has an effect, and is not in `known`: nothing is ignored silently. */
export function onlyFields(message: object, at: ParseContext, known: readonly string[]): void {
  for (const [name, value] of Object.entries(message)) {
    if (name === '@type' || known.includes(name) || hasNoEffect(value)) continue;
    at.field(name).unsupported();
  }
}

/** Says so for every field that is set and not in `known`: what is missing only weakens, it does not change what is proxied. */
export function warnOthers(message: object | undefined, at: ParseContext, known: readonly string[]): void {
  if (message === undefined) return;
  for (const [name, value] of Object.entries(message)) {
    if (name === '@type' || known.includes(name) || hasNoEffect(value)) continue;
    at.field(name).warn('is not acted on by chancery yet', { rule: 'unsupported' });
  }
}

/** What an unset field would read as. */
function hasNoEffect(value: unknown): boolean {
  return (
    value === undefined ||
    value === false ||
    value === 0 ||
    value === '' ||
    (Array.isArray(value) && value.length === 0)
  );
}
