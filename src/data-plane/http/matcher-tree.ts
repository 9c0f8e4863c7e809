// The matcher tree of a virtual host (`xds.type.matcher.v3.Matcher`), compiled: predicates and maps over headers and query
// parameters that lead to lists of routes.
import type { StringMatcher } from '#extension/matchers/string-matcher.ts';
import { type HeaderField, joinedValue } from '#http/header-field.ts';
import type { HeaderMap } from '#http/header-map.ts';
import { queryParameter } from '#http/request-parameters.ts';
import type { RouteContext, RouteEntry } from './route-entry.ts';
import type { RouteList, RouteMatcherTree } from './route-table.ts';

export interface MatchInput {
  /** Undefined: the request does not have it. */
  read(headers: HeaderMap): string | undefined;
}

export class HeaderInput implements MatchInput {
  readonly #name: string;
  readonly #field: HeaderField;

  constructor(name: string, field: HeaderField) {
    this.#name = name;
    this.#field = field;
  }

  read(headers: HeaderMap): string | undefined {
    return joinedValue(headers, this.#field, this.#name);
  }
}

export class QueryInput implements MatchInput {
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
  }

  read(headers: HeaderMap): string | undefined {
    return queryParameter(headers.path, this.#name);
  }
}

export interface Predicate {
  holds(headers: HeaderMap): boolean;
}

export class InputPredicate implements Predicate {
  readonly #input: MatchInput;
  readonly #value: StringMatcher;

  constructor(input: MatchInput, value: StringMatcher) {
    this.#input = input;
    this.#value = value;
  }

  holds(headers: HeaderMap): boolean {
    const value = this.#input.read(headers);
    return value !== undefined && this.#value.matches(value);
  }
}

/** `and_matcher` and `or_matcher`. */
export class PredicateList implements Predicate {
  readonly #predicates: readonly Predicate[];
  /** The answer of one predicate that decides: false for and, true for or. */
  readonly #decisive: boolean;

  constructor(predicates: readonly Predicate[], decisive: boolean) {
    this.#predicates = predicates;
    this.#decisive = decisive;
  }

  holds(headers: HeaderMap): boolean {
    for (let i = 0; i < this.#predicates.length; i++)
      if (this.#predicates[i]!.holds(headers) === this.#decisive) return this.#decisive;
    return !this.#decisive;
  }
}

export class NotPredicate implements Predicate {
  readonly #predicate: Predicate;

  constructor(predicate: Predicate) {
    this.#predicate = predicate;
  }

  holds(headers: HeaderMap): boolean {
    return !this.#predicate.holds(headers);
  }
}

/** Where a match leads: routes, or another matcher. */
export interface OnMatch {
  readonly routes: RouteList | undefined;
  readonly matcher: MatcherTree | undefined;
}

export class MatcherTree implements RouteMatcherTree {
  readonly #list: readonly { readonly predicate: Predicate; readonly onMatch: OnMatch }[];
  readonly #input: MatchInput | undefined;
  readonly #map: ReadonlyMap<string, OnMatch>;
  readonly #isPrefixMap: boolean;
  readonly #onNoMatch: OnMatch | undefined;

  constructor(
    list: readonly { readonly predicate: Predicate; readonly onMatch: OnMatch }[],
    input: MatchInput | undefined,
    map: ReadonlyMap<string, OnMatch>,
    isPrefixMap: boolean,
    onNoMatch: OnMatch | undefined,
  ) {
    this.#list = list;
    this.#input = input;
    this.#map = map;
    this.#isPrefixMap = isPrefixMap;
    this.#onNoMatch = onNoMatch;
  }

  find(headers: HeaderMap, context: RouteContext): RouteEntry | undefined {
    return this.#resolve(headers)?.find(headers, context);
  }

  /** The routes this request leads to. A nested matcher without an answer lets the search go on. */
  #resolve(headers: HeaderMap): RouteList | undefined {
    for (let i = 0; i < this.#list.length; i++) {
      const { predicate, onMatch } = this.#list[i]!;
      const routes = predicate.holds(headers) ? this.#follow(onMatch, headers) : undefined;
      if (routes !== undefined) return routes;
    }
    const routes = this.#input === undefined ? undefined : this.#lookUp(this.#input.read(headers), headers);
    if (routes !== undefined) return routes;
    return this.#onNoMatch === undefined ? undefined : this.#follow(this.#onNoMatch, headers);
  }

  #lookUp(value: string | undefined, headers: HeaderMap): RouteList | undefined {
    if (value === undefined) return undefined;
    if (!this.#isPrefixMap) {
      const onMatch = this.#map.get(value);
      return onMatch === undefined ? undefined : this.#follow(onMatch, headers);
    }
    for (let length = value.length; length >= 0; length--) {
      const onMatch = this.#map.get(value.slice(0, length));
      const routes = onMatch === undefined ? undefined : this.#follow(onMatch, headers);
      if (routes !== undefined) return routes;
    }
    return undefined;
  }

  #follow(onMatch: OnMatch, headers: HeaderMap): RouteList | undefined {
    return onMatch.matcher === undefined ? onMatch.routes : onMatch.matcher.#resolve(headers);
  }
}
