// Conditions on an object of filter state.
import { type CidrList, ipOfAddress } from '#base/cidr.ts';
import type { FilterStateObject } from '../stream-info.ts';
import type { StringMatcher } from './string-matcher.ts';

type FilterState = ReadonlyMap<string, FilterStateObject>;

export interface FilterStateMatcher {
  /** Never when there is no such object. */
  matches(state: FilterState | undefined): boolean;
}

export class FilterStateTextMatcher implements FilterStateMatcher {
  readonly #key: string;
  readonly #text: StringMatcher;

  constructor(key: string, text: StringMatcher) {
    this.#key = key;
    this.#text = text;
  }

  matches(state: FilterState | undefined): boolean {
    const object = state?.get(this.#key);
    return object !== undefined && this.#text.matches(object.text);
  }
}

/** Only of objects that are addresses. */
export class FilterStateAddressMatcher implements FilterStateMatcher {
  readonly #key: string;
  readonly #ranges: CidrList;

  constructor(key: string, ranges: CidrList) {
    this.#key = key;
    this.#ranges = ranges;
  }

  matches(state: FilterState | undefined): boolean {
    const object = state?.get(this.#key);
    return object?.isAddress === true && this.#ranges.contains(ipOfAddress(object.text));
  }
}
