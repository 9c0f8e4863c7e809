// A matcher tree (`xds.type.matcher.v3.Matcher`), compiled: predicates and maps over inputs that lead to actions. What inputs read
// and what an action is belongs to whoever compiles it: headers and routes in a virtual host, addresses and clusters in udp_proxy.
import type { Cidr } from '#base/cidr.ts';
import { Uint64 } from '#base/uint64.ts';
import { xxHash64 } from '#base/xxhash64.ts';
import type { Runtime, RuntimeFraction } from '../runtime.ts';
import type { StringMatcher } from './string-matcher.ts';

export interface MatchInput<Subject> {
  /** Undefined: the subject does not have it. */
  read(subject: Subject): string | undefined;
}

export interface Predicate<Subject> {
  holds(subject: Subject): boolean;
}

export class InputPredicate<Subject> implements Predicate<Subject> {
  readonly #input: MatchInput<Subject>;
  readonly #value: StringMatcher;

  constructor(input: MatchInput<Subject>, value: StringMatcher) {
    this.#input = input;
    this.#value = value;
  }

  holds(subject: Subject): boolean {
    const value = this.#input.read(subject);
    return value !== undefined && this.#value.matches(value);
  }
}

/** The input is an address within one of the ranges. */
export class IpPredicate<Subject> implements Predicate<Subject> {
  readonly #input: MatchInput<Subject>;
  readonly #ranges: readonly Cidr[];

  constructor(input: MatchInput<Subject>, ranges: readonly Cidr[]) {
    this.#input = input;
    this.#ranges = ranges;
  }

  holds(subject: Subject): boolean {
    const value = this.#input.read(subject);
    if (value === undefined) return false;
    for (let i = 0; i < this.#ranges.length; i++) if (this.#ranges[i]!.contains(value)) return true;
    return false;
  }
}

/** The hash of the input is at least `threshold`, modulo `modulo`. */
export class HashPredicate<Subject> implements Predicate<Subject> {
  readonly #input: MatchInput<Subject>;
  readonly #seed: Uint64;
  readonly #modulo: number;
  readonly #threshold: number;

  constructor(input: MatchInput<Subject>, seed: Uint64, modulo: number, threshold: number) {
    this.#input = input;
    this.#seed = seed;
    this.#modulo = modulo;
    this.#threshold = threshold;
  }

  holds(subject: Subject): boolean {
    const value = this.#input.read(subject);
    if (value === undefined) return false;
    xxHash64(value, hash, this.#seed.low, this.#seed.high);
    return hash.modulo(this.#modulo) >= this.#threshold;
  }
}

/** The hash of the input is within a share of all hashes. */
export class SharePredicate<Subject> implements Predicate<Subject> {
  readonly #input: MatchInput<Subject>;
  readonly #seed: Uint64;
  readonly #share: RuntimeFraction;
  readonly #runtime: Runtime;

  constructor(input: MatchInput<Subject>, seed: Uint64, share: RuntimeFraction, runtime: Runtime) {
    this.#input = input;
    this.#seed = seed;
    this.#share = share;
    this.#runtime = runtime;
  }

  holds(subject: Subject): boolean {
    const value = this.#input.read(subject);
    if (value === undefined) return false;
    xxHash64(value, hash, this.#seed.low, this.#seed.high);
    // Every denominator divides it.
    return this.#runtime.enabled(this.#share, hash.modulo(1_000_000));
  }
}

const hash = new Uint64();

/** `and_matcher` and `or_matcher`. */
export class PredicateList<Subject> implements Predicate<Subject> {
  readonly #predicates: readonly Predicate<Subject>[];
  /** The answer of one predicate that decides: false for and, true for or. */
  readonly #decisive: boolean;

  constructor(predicates: readonly Predicate<Subject>[], decisive: boolean) {
    this.#predicates = predicates;
    this.#decisive = decisive;
  }

  holds(subject: Subject): boolean {
    for (let i = 0; i < this.#predicates.length; i++)
      if (this.#predicates[i]!.holds(subject) === this.#decisive) return this.#decisive;
    return !this.#decisive;
  }
}

export class NotPredicate<Subject> implements Predicate<Subject> {
  readonly #predicate: Predicate<Subject>;

  constructor(predicate: Predicate<Subject>) {
    this.#predicate = predicate;
  }

  holds(subject: Subject): boolean {
    return !this.#predicate.holds(subject);
  }
}

/** Where a match leads: an action, or another matcher. */
export interface OnMatch<Subject, Action> {
  readonly action: Action | undefined;
  readonly matcher: MatcherTree<Subject, Action> | undefined;
}

/** `matcher_tree`: one look-up decides. */
export interface MatchTable<Subject, Action> {
  find(value: string, subject: Subject): Action | undefined;
}

export class ExactTable<Subject, Action> implements MatchTable<Subject, Action> {
  readonly #map: ReadonlyMap<string, OnMatch<Subject, Action>>;

  constructor(map: ReadonlyMap<string, OnMatch<Subject, Action>>) {
    this.#map = map;
  }

  find(value: string, subject: Subject): Action | undefined {
    const onMatch = this.#map.get(value);
    return onMatch === undefined ? undefined : follow(onMatch, subject);
  }
}

/** The longest prefix that leads somewhere. */
export class PrefixTable<Subject, Action> implements MatchTable<Subject, Action> {
  readonly #map: ReadonlyMap<string, OnMatch<Subject, Action>>;

  constructor(map: ReadonlyMap<string, OnMatch<Subject, Action>>) {
    this.#map = map;
  }

  find(value: string, subject: Subject): Action | undefined {
    for (let length = value.length; length >= 0; length--) {
      const onMatch = this.#map.get(value.slice(0, length));
      const action = onMatch === undefined ? undefined : follow(onMatch, subject);
      if (action !== undefined) return action;
    }
    return undefined;
  }
}

/** The name itself, else the longest wildcard that covers it and leads somewhere. */
export class DomainTable<Subject, Action> implements MatchTable<Subject, Action> {
  readonly #map: ReadonlyMap<string, OnMatch<Subject, Action>>;

  constructor(map: ReadonlyMap<string, OnMatch<Subject, Action>>) {
    this.#map = map;
  }

  find(value: string, subject: Subject): Action | undefined {
    const name = value.toLowerCase();
    let action = this.#at(name, subject);
    for (let dot = name.indexOf('.'); action === undefined && dot >= 0; dot = name.indexOf('.', dot + 1))
      action = this.#at(`*${name.slice(dot)}`, subject);
    return action ?? this.#at('*', subject);
  }

  #at(key: string, subject: Subject): Action | undefined {
    const onMatch = this.#map.get(key);
    return onMatch === undefined ? undefined : follow(onMatch, subject);
  }
}

/** One range of an IP matcher. `isExclusive`: when it leads nowhere, wider ranges are not asked. */
export interface IpRange<Subject, Action> {
  readonly range: Cidr;
  readonly isExclusive: boolean;
  readonly onMatch: OnMatch<Subject, Action>;
}

/** The narrowest range that leads somewhere. */
export class IpTable<Subject, Action> implements MatchTable<Subject, Action> {
  readonly #ranges: readonly IpRange<Subject, Action>[];

  constructor(ranges: readonly IpRange<Subject, Action>[]) {
    this.#ranges = [...ranges].sort((a, b) => b.range.prefixLength - a.range.prefixLength);
  }

  find(value: string, subject: Subject): Action | undefined {
    for (let i = 0; i < this.#ranges.length; i++) {
      const { range, isExclusive, onMatch } = this.#ranges[i]!;
      if (!range.contains(value)) continue;
      const action = follow(onMatch, subject);
      if (action !== undefined) return action;
      if (isExclusive) return undefined;
    }
    return undefined;
  }
}

export class MatcherTree<Subject, Action> {
  readonly #list: readonly {
    readonly predicate: Predicate<Subject>;
    readonly onMatch: OnMatch<Subject, Action>;
  }[];
  readonly #input: MatchInput<Subject> | undefined;
  readonly #table: MatchTable<Subject, Action> | undefined;
  readonly #onNoMatch: OnMatch<Subject, Action> | undefined;

  /** `input` and `table` go together. */
  constructor(
    list: readonly { readonly predicate: Predicate<Subject>; readonly onMatch: OnMatch<Subject, Action> }[],
    input: MatchInput<Subject> | undefined,
    table: MatchTable<Subject, Action> | undefined,
    onNoMatch: OnMatch<Subject, Action> | undefined,
  ) {
    this.#list = list;
    this.#input = input;
    this.#table = table;
    this.#onNoMatch = onNoMatch;
  }

  /** Where the subject leads. A nested matcher without an answer lets the search go on. */
  find(subject: Subject): Action | undefined {
    for (let i = 0; i < this.#list.length; i++) {
      const { predicate, onMatch } = this.#list[i]!;
      const action = predicate.holds(subject) ? follow(onMatch, subject) : undefined;
      if (action !== undefined) return action;
    }
    if (this.#table !== undefined) {
      const value = this.#input!.read(subject);
      const action = value === undefined ? undefined : this.#table.find(value, subject);
      if (action !== undefined) return action;
    }
    return this.#onNoMatch === undefined ? undefined : follow(this.#onNoMatch, subject);
  }
}

function follow<Subject, Action>(onMatch: OnMatch<Subject, Action>, subject: Subject): Action | undefined {
  return onMatch.matcher === undefined ? onMatch.action : onMatch.matcher.find(subject);
}
