// Headers of a verdict, put into a message one after the other.
import { AppendAction, writeHeader } from '#extension/header-mutations.ts';
import type { HttpStream } from '#extension/http-filter.ts';
import { firstValue, HeaderField, headerField } from '#http/header-field.ts';
import type { HeaderMap } from '#http/header-map.ts';
import { isJoinedInRequests, isJoinedInResponses } from '#http/header-names.ts';
import { isHeaderName, isHeaderValue } from '#http/header-validity.ts';
import type { HeaderChange } from './verdict.ts';

/** False when there was nothing to do. */
export function applyChanges(
  headers: HeaderMap,
  changes: readonly HeaderChange[],
  stream: HttpStream,
): boolean {
  let hasChanged = false;
  for (const { name, value, action, joins } of changes) {
    const field = headerField(name);
    const common = {
      name,
      field,
      formatter: null,
      keepEmptyValue: true,
      joinsInRequests: isJoinedInRequests(name),
      joinsInResponses: isJoinedInResponses(name),
    };
    const before = joins ? firstValue(headers, field, name) : undefined;
    if (joins && before === undefined) continue;
    hasChanged = true;
    if (joins)
      writeHeader(
        headers,
        { ...common, action: AppendAction.OverwriteIfExistsOrAdd, value: `${before},${value}` },
        stream,
      );
    else writeHeader(headers, { ...common, action, value }, stream);
  }
  return hasChanged;
}

/** What the message has of these names is replaced; a name that is named twice comes twice. */
export function replaceHeaders(headers: HeaderMap, changes: readonly HeaderChange[]): void {
  for (const { name } of changes) headers.remove(name);
  for (const { name, value, joins } of changes) {
    if (headerField(name) !== HeaderField.Listed) continue;
    const before = joins ? headers.get(name) : undefined;
    if (before !== undefined) headers.set(name, `${before},${value}`);
    else if (!joins) headers.add(name, value);
  }
}

/** False when none of the names may be removed. */
export function removeHeaders(headers: HeaderMap, names: readonly string[]): boolean {
  const removable = names.filter((it) => headerField(it) === HeaderField.Listed);
  for (const name of removable) headers.remove(name);
  return removable.length > 0;
}

/** `validate_mutations` */
export function areValid(changes: readonly HeaderChange[]): boolean {
  return changes.every(
    ({ name, value }) => isHeaderName(name.startsWith(':') ? name.slice(1) : name) && isHeaderValue(value),
  );
}
