// Conditions on headers (`HeaderMatcher`), shared by routes, retry policies, access-log filters, RBAC and rate limits.
import { HeaderField, joinedValue } from '#http/header-field.ts';
import type { HeaderMap } from '#http/header-map.ts';
import type { StringMatcher } from './string-matcher.ts';

export interface HeaderMatcher {
  matches(headers: HeaderMap): boolean;
}

/** True when all match; no conditions match everything. */
export function allHeadersMatch(matchers: readonly HeaderMatcher[], headers: HeaderMap): boolean {
  for (let i = 0; i < matchers.length; i++) if (!matchers[i]!.matches(headers)) return false;
  return true;
}

/** True when at least one does. */
export function anyHeaderMatches(matchers: readonly HeaderMatcher[], headers: HeaderMap): boolean {
  for (let i = 0; i < matchers.length; i++) if (matchers[i]!.matches(headers)) return true;
  return false;
}

/** Several values of a header are one text, joined by commas. A missing header never matches, inverted or not, unless it counts as empty. */
export class HeaderValueMatcher implements HeaderMatcher {
  readonly #name: string;
  readonly #field: HeaderField;
  readonly #value: StringMatcher;
  readonly #inverted: boolean;
  readonly #missingIsEmpty: boolean;

  constructor(
    name: string,
    field: HeaderField,
    value: StringMatcher,
    inverted: boolean,
    missingIsEmpty: boolean,
  ) {
    this.#name = name;
    this.#field = field;
    this.#value = value;
    this.#inverted = inverted;
    this.#missingIsEmpty = missingIsEmpty;
  }

  matches(headers: HeaderMap): boolean {
    let value = joinedValue(headers, this.#field, this.#name);
    if (value === undefined) {
      if (!this.#missingIsEmpty) return false;
      value = '';
    }
    return this.#value.matches(value) !== this.#inverted;
  }
}

export class HeaderPresenceMatcher implements HeaderMatcher {
  readonly #name: string;
  readonly #field: HeaderField;
  /** What matches: a header that is there, or one that is not. */
  readonly #present: boolean;

  constructor(name: string, field: HeaderField, present: boolean) {
    this.#name = name;
    this.#field = field;
    this.#present = present;
  }

  matches(headers: HeaderMap): boolean {
    const there =
      this.#field === HeaderField.Listed
        ? headers.has(this.#name)
        : joinedValue(headers, this.#field, this.#name) !== undefined;
    return there === this.#present;
  }
}
