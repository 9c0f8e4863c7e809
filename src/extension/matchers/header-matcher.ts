// Conditions on headers (`HeaderMatcher`), shared by routes, retry policies, access-log filters, RBAC and rate limits.
import { firstValue, HeaderField } from '#http/header-field.ts';
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

/**
 * One value of the header has to match: several are not joined (as of Envoy 1.40). A missing header never matches, inverted or not,
 * unless it counts as empty.
 */
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
    if (this.#field !== HeaderField.Listed) return this.#answer(firstValue(headers, this.#field, this.#name));
    const list = headers.list;
    const name = this.#name;
    let isMissing = true;
    for (let i = 0; i < list.length; i += 2) {
      if (list[i] !== name) continue;
      isMissing = false;
      if (this.#value.matches(list[i + 1]!)) return !this.#inverted;
    }
    return isMissing ? this.#answer(undefined) : this.#inverted;
  }

  #answer(value: string | undefined): boolean {
    if (value === undefined && !this.#missingIsEmpty) return false;
    return this.#value.matches(value ?? '') !== this.#inverted;
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
        : firstValue(headers, this.#field, this.#name) !== undefined;
    return there === this.#present;
  }
}
