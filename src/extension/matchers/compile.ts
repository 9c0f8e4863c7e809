// From matchers as plain data to matchers that run.
import { Cidr, CidrList } from '#base/cidr.ts';
import { compileRegex, type Regex } from '#base/regex.ts';
import { headerField } from '#http/header-field.ts';
import {
  FilterStateAddressMatcher,
  type FilterStateMatcher,
  FilterStateTextMatcher,
} from './filter-state-matcher.ts';
import { type HeaderMatcher, HeaderPresenceMatcher, HeaderValueMatcher } from './header-matcher.ts';
import type {
  FilterStateMatcherData,
  HeaderMatcherData,
  MetadataMatcherData,
  StringMatcherData,
  ValueMatcherData,
} from './matcher-config.ts';
import {
  ContainsMatcher,
  ExactMatcher,
  IgnoringCase,
  IntegerRangeMatcher,
  PrefixMatcher,
  RegexMatcher,
  type StringMatcher,
  SuffixMatcher,
} from './string-matcher.ts';
import {
  AnyElementMatcher,
  BooleanMatcher,
  MetadataMatcher,
  NullMatcher,
  NumberRangeMatcher,
  OrMatcher,
  PresentMatcher,
  StringValueMatcher,
  type ValueMatcher,
} from './value-matcher.ts';

export function compileStringMatcher(data: StringMatcherData): StringMatcher {
  if (data.kind === 'regex') return new RegexMatcher(sharedRegex(data.value));
  const matcher =
    data.kind === 'exact'
      ? new ExactMatcher(data.value)
      : data.kind === 'prefix'
        ? new PrefixMatcher(data.value)
        : data.kind === 'suffix'
          ? new SuffixMatcher(data.value)
          : new ContainsMatcher(data.value);
  return data.ignoreCase ? new IgnoringCase(matcher) : matcher;
}

export function compileHeaderMatcher(data: HeaderMatcherData): HeaderMatcher {
  const { name, value, invert } = data;
  const field = headerField(name);
  if (value.kind === 'present') {
    // A header that counts as empty when missing is always there.
    if (data.missingIsEmpty) return value.present !== invert ? anyHeaders : noHeaders;
    return new HeaderPresenceMatcher(name, field, value.present !== invert);
  }
  const matcher =
    value.kind === 'range' ? new IntegerRangeMatcher(value.start, value.end) : compileStringMatcher(value);
  return new HeaderValueMatcher(name, field, matcher, invert, data.missingIsEmpty);
}

export function compileMetadataMatcher(data: MetadataMatcherData): MetadataMatcher {
  return new MetadataMatcher(data.filter, data.path, compileValueMatcher(data.value), data.invert);
}

export function compileValueMatcher(data: ValueMatcherData): ValueMatcher {
  switch (data.kind) {
    case 'null':
      return new NullMatcher();
    case 'number':
      return new NumberRangeMatcher(data.value, data.value);
    case 'number_range':
      return new NumberRangeMatcher(data.start, data.end);
    case 'string':
      return new StringValueMatcher(compileStringMatcher(data.value));
    case 'bool':
      return new BooleanMatcher(data.value);
    case 'present':
      return new PresentMatcher(data.present);
    case 'list':
      return new AnyElementMatcher(compileValueMatcher(data.oneOf));
    case 'or':
      return new OrMatcher(data.values.map(compileValueMatcher));
  }
}

export function compileFilterStateMatcher({ key, value }: FilterStateMatcherData): FilterStateMatcher {
  return value.kind === 'address'
    ? new FilterStateAddressMatcher(key, new CidrList(value.ranges.map((it) => Cidr.parse(it)!)))
    : new FilterStateTextMatcher(key, compileStringMatcher(value));
}

const anyHeaders: HeaderMatcher = { matches: () => true };
const noHeaders: HeaderMatcher = { matches: () => false };

const regexes = new Map<string, WeakRef<Regex>>();

/** Thousands of routes often share a few patterns: one compiled object each, for as long as somebody holds it. */
export function sharedRegex(pattern: string): Regex {
  let regex = regexes.get(pattern)?.deref();
  if (regex === undefined) {
    regex = compileRegex(pattern);
    regexes.set(pattern, new WeakRef(regex));
  }
  return regex;
}
