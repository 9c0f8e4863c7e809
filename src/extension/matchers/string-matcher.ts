// Conditions on a text (`StringMatcher`), compiled: one small class per kind, so that a call is a comparison.

import type { Regex } from '#base/regex.ts';

export interface StringMatcher {
  matches(text: string): boolean;
}

export class ExactMatcher implements StringMatcher {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  matches(text: string): boolean {
    return text === this.#value;
  }
}

export class PrefixMatcher implements StringMatcher {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  matches(text: string): boolean {
    return text.startsWith(this.#value);
  }
}

export class SuffixMatcher implements StringMatcher {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  matches(text: string): boolean {
    return text.endsWith(this.#value);
  }
}

export class ContainsMatcher implements StringMatcher {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  matches(text: string): boolean {
    return text.includes(this.#value);
  }
}

/** `ignore_case`: `inner` has its value in lower case. ASCII letters only, as Envoy folds them. */
export class IgnoringCase implements StringMatcher {
  readonly #inner: StringMatcher;

  constructor(inner: StringMatcher) {
    this.#inner = inner;
  }

  matches(text: string): boolean {
    return this.#inner.matches(asciiLowerCase(text));
  }
}

const upperCase = /[A-Z]+/g;
const lower = (letters: string) => letters.toLowerCase();

export function asciiLowerCase(text: string): string {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 65 && code <= 90) return text.replace(upperCase, lower);
  }
  return text;
}

/** `range_match`: a decimal integer in [start, end). */
export class IntegerRangeMatcher implements StringMatcher {
  readonly #start: bigint;
  readonly #end: bigint;

  constructor(start: bigint, end: bigint) {
    this.#start = start;
    this.#end = end;
  }

  matches(text: string): boolean {
    if (!integer.test(text)) return false;
    const value = BigInt(text.startsWith('+') ? text.slice(1) : text);
    return value >= this.#start && value < this.#end && value >= minInt64 && value <= maxInt64;
  }
}

const integer = /^[+-]?[0-9]{1,20}$/;
const minInt64 = -(2n ** 63n);
const maxInt64 = 2n ** 63n - 1n;

/** `safe_regex`: the whole text, RE2's meaning. */
export class RegexMatcher implements StringMatcher {
  readonly #regex: Regex;

  constructor(regex: Regex) {
    this.#regex = regex;
  }

  matches(text: string): boolean {
    return this.#regex.fullMatch(text);
  }
}
