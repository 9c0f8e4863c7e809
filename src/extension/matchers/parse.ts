// From matcher messages to plain data, with every problem at its field.
import { Cidr } from '#base/cidr.ts';
import { regexProblem } from '#base/regex.ts';
import { latin1OfUtf8 } from '#base/utf8.ts';
import type { ParseContext } from '#config/parse-context.ts';
import type {
  CookieMatcher,
  HeaderMatcher,
  QueryParameterMatcher,
} from '#schema/messages/envoy/config/route/v3.ts';
import type {
  FilterStateMatcher,
  MetadataMatcher,
  StringMatcher,
  ValueMatcher,
} from '#schema/messages/envoy/type/matcher/v3.ts';
import type { CidrRange } from '#schema/messages/xds/core/v3.ts';
import type { StringMatcher as XdsStringMatcher } from '#schema/messages/xds/type/matcher/v3.ts';
import type {
  FilterStateMatcherData,
  HeaderMatcherData,
  MetadataMatcherData,
  NamedStringMatcherData,
  StringMatcherData,
  ValueMatcherData,
} from './matcher-config.ts';
import { asciiLowerCase } from './string-matcher.ts';

/** Matches nothing: stands in for what was refused, so that parsing can go on. */
const refused: StringMatcherData = { kind: 'exact', value: '', ignoreCase: false };

/** `RegexMatcher`: the pattern, checked. */
export function parseRegex(message: { readonly regex: string }, at: ParseContext): string {
  const problem = regexProblem(message.regex);
  if (problem !== undefined) at.field('regex').fail(problem, { got: message.regex, envoy: problem });
  return message.regex;
}

export function parseStringMatcher(
  message: StringMatcher | XdsStringMatcher,
  at: ParseContext,
): StringMatcherData {
  const { exact, prefix, suffix, contains, safe_regex, ignore_case: ignoreCase } = message;
  if (safe_regex !== undefined) {
    if (ignoreCase) at.field('ignore_case').warn('has no effect on safe_regex: write (?i) in the pattern');
    return { kind: 'regex', value: parseRegex(safe_regex, at.field('safe_regex')) };
  }
  if (message.custom !== undefined) {
    at.field('custom').unsupported();
    return refused;
  }
  const text = (kind: 'exact' | 'prefix' | 'suffix' | 'contains', given: string): StringMatcherData => {
    const value = latin1OfUtf8(given);
    return { kind, value: ignoreCase ? asciiLowerCase(value) : value, ignoreCase };
  };
  if (exact !== undefined) return text('exact', exact);
  if (prefix !== undefined) return text('prefix', prefix);
  if (suffix !== undefined) return text('suffix', suffix);
  if (contains !== undefined) return text('contains', contains);
  at.fail('needs one of: exact, prefix, suffix, safe_regex, contains, custom');
  return refused;
}

export function parseHeaderMatcher(message: HeaderMatcher, at: ParseContext): HeaderMatcherData {
  return {
    name: message.name.toLowerCase(),
    value: headerValue(message, at),
    invert: message.invert_match,
    missingIsEmpty: message.treat_missing_header_as_empty,
  };
}

function headerValue(message: HeaderMatcher, at: ParseContext): HeaderMatcherData['value'] {
  const exact = (kind: 'exact' | 'prefix' | 'suffix' | 'contains', value: string): StringMatcherData => ({
    kind,
    value: latin1OfUtf8(value),
    ignoreCase: false,
  });
  if (message.string_match !== undefined)
    return parseStringMatcher(message.string_match, at.field('string_match'));
  if (message.range_match !== undefined)
    return { kind: 'range', start: message.range_match.start, end: message.range_match.end };
  if (message.present_match !== undefined) return { kind: 'present', present: message.present_match };
  if (message.exact_match !== undefined) return exact('exact', message.exact_match);
  if (message.prefix_match !== undefined) return exact('prefix', message.prefix_match);
  if (message.suffix_match !== undefined) return exact('suffix', message.suffix_match);
  if (message.contains_match !== undefined) return exact('contains', message.contains_match);
  if (message.safe_regex_match !== undefined)
    return { kind: 'regex', value: parseRegex(message.safe_regex_match, at.field('safe_regex_match')) };
  return { kind: 'present', present: true };
}

/** A list of header matchers in the field `name`. */
export function parseHeaderMatchers(
  messages: readonly HeaderMatcher[],
  at: ParseContext,
  name: string,
): HeaderMatcherData[] {
  return messages.map((it, i) => parseHeaderMatcher(it, at.field(name, i)));
}

export function parseQueryParameterMatcher(
  message: QueryParameterMatcher,
  at: ParseContext,
): NamedStringMatcherData {
  const name = latin1OfUtf8(message.name);
  if (message.string_match !== undefined)
    return { name, value: parseStringMatcher(message.string_match, at.field('string_match')) };
  return { name, value: { kind: 'present', present: message.present_match ?? true } };
}

export function parseCookieMatcher(
  message: CookieMatcher,
  at: ParseContext,
): NamedStringMatcherData & { readonly invert: boolean } {
  return {
    name: latin1OfUtf8(message.name),
    value:
      message.string_match === undefined
        ? { kind: 'present', present: true }
        : parseStringMatcher(message.string_match, at.field('string_match')),
    invert: message.invert_match,
  };
}

export function parseMetadataMatcher(message: MetadataMatcher, at: ParseContext): MetadataMatcherData {
  return {
    filter: message.filter,
    path: message.path.map((segment) => segment.key ?? ''),
    value:
      message.value === undefined
        ? { kind: 'present', present: true }
        : parseValueMatcher(message.value, at.field('value')),
    invert: message.invert,
  };
}

export function parseValueMatcher(message: ValueMatcher, at: ParseContext): ValueMatcherData {
  const { double_match: double, list_match: list, or_match: or } = message;
  if (message.null_match !== undefined) return { kind: 'null' };
  if (double !== undefined)
    return double.range === undefined
      ? { kind: 'number', value: double.exact ?? 0 }
      : { kind: 'number_range', start: double.range.start, end: double.range.end };
  if (message.string_match !== undefined)
    return { kind: 'string', value: parseStringMatcher(message.string_match, at.field('string_match')) };
  if (message.bool_match !== undefined) return { kind: 'bool', value: message.bool_match };
  if (message.present_match !== undefined) return { kind: 'present', present: message.present_match };
  if (list?.one_of !== undefined)
    return { kind: 'list', oneOf: parseValueMatcher(list.one_of, at.field('list_match').field('one_of')) };
  if (or !== undefined) {
    const here = at.field('or_match');
    return {
      kind: 'or',
      values: or.value_matchers.map((it, i) => parseValueMatcher(it, here.field('value_matchers', i))),
    };
  }
  at.fail(
    'needs one of: null_match, double_match, string_match, bool_match, present_match, list_match, or_match',
  );
  return { kind: 'null' };
}

export function parseFilterStateMatcher(
  message: FilterStateMatcher,
  at: ParseContext,
): FilterStateMatcherData {
  const { key, string_match: text, address_match: address } = message;
  if (text !== undefined) return { key, value: parseStringMatcher(text, at.field('string_match')) };
  if (address?.invert_match)
    at.field('address_match').field('invert_match').warn('has no effect here, in Envoy neither');
  if (address !== undefined)
    return {
      key,
      value: { kind: 'address', ranges: parseRanges(address.ranges, at.field('address_match')) },
    };
  at.fail('needs one of: string_match, address_match');
  return { key, value: refused };
}

function parseRanges(ranges: readonly CidrRange[], at: ParseContext): string[] {
  return ranges.flatMap(({ address_prefix: address, prefix_len: length = 0 }, i) => {
    const range = Cidr.of(address, length);
    if (range !== undefined) return range.toString();
    at.field('ranges', i).fail(`malformed IP address: ${address}`);
    return [];
  });
}
