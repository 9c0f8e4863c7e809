// Conditions on metadata values (`ValueMatcher`) and the way to them (`MetadataMatcher`).
import type { StringMatcher } from './string-matcher.ts';

type Metadata = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

export interface ValueMatcher {
  /** `undefined`: there is no such value. */
  matches(value: unknown): boolean;
}

export class MetadataMatcher {
  readonly #filter: string;
  readonly #path: readonly string[];
  readonly #value: ValueMatcher;
  readonly #inverted: boolean;

  constructor(filter: string, path: readonly string[], value: ValueMatcher, inverted: boolean) {
    this.#filter = filter;
    this.#path = path;
    this.#value = value;
    this.#inverted = inverted;
  }

  matches(metadata: Metadata | undefined): boolean {
    return this.#value.matches(this.#find(metadata)) !== this.#inverted;
  }

  /** Also of use to those who ask whether there is a value at all. */
  has(metadata: Metadata | undefined): boolean {
    return this.#find(metadata) !== undefined;
  }

  #find(metadata: Metadata | undefined): unknown {
    return metadata === undefined ? undefined : valueAt(metadata[this.#filter], this.#path);
  }
}

/** Walks plain objects by key; undefined when the way ends early. */
export function valueAt(from: unknown, path: readonly string[]): unknown {
  let value = from;
  for (let i = 0; i < path.length; i++) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    if (!Object.hasOwn(value, path[i]!)) return undefined;
    value = (value as Record<string, unknown>)[path[i]!];
  }
  return value;
}

export class NullMatcher implements ValueMatcher {
  matches(value: unknown): boolean {
    return value === null;
  }
}

export class NumberRangeMatcher implements ValueMatcher {
  readonly #start: number;
  readonly #end: number;

  /** [start, end), or exactly `start` when `end` equals it. */
  constructor(start: number, end: number) {
    this.#start = start;
    this.#end = end;
  }

  matches(value: unknown): boolean {
    if (typeof value !== 'number') return false;
    return value === this.#start || (value > this.#start && value < this.#end);
  }
}

export class StringValueMatcher implements ValueMatcher {
  readonly #text: StringMatcher;

  constructor(text: StringMatcher) {
    this.#text = text;
  }

  matches(value: unknown): boolean {
    return typeof value === 'string' && this.#text.matches(value);
  }
}

export class BooleanMatcher implements ValueMatcher {
  readonly #value: boolean;

  constructor(value: boolean) {
    this.#value = value;
  }

  matches(value: unknown): boolean {
    return value === this.#value;
  }
}

export class PresentMatcher implements ValueMatcher {
  readonly #present: boolean;

  constructor(present: boolean) {
    this.#present = present;
  }

  matches(value: unknown): boolean {
    return (value !== undefined) === this.#present;
  }
}

export class AnyElementMatcher implements ValueMatcher {
  readonly #element: ValueMatcher;

  constructor(element: ValueMatcher) {
    this.#element = element;
  }

  matches(value: unknown): boolean {
    if (!Array.isArray(value)) return false;
    for (let i = 0; i < value.length; i++) if (this.#element.matches(value[i])) return true;
    return false;
  }
}

export class OrMatcher implements ValueMatcher {
  readonly #matchers: readonly ValueMatcher[];

  constructor(matchers: readonly ValueMatcher[]) {
    this.#matchers = matchers;
  }

  matches(value: unknown): boolean {
    for (let i = 0; i < this.#matchers.length; i++) if (this.#matchers[i]!.matches(value)) return true;
    return false;
  }
}
