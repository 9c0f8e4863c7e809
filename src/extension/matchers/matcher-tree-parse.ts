// From `xds.type.matcher.v3.Matcher` to plain data. What an input and an action may be, the caller says.
import { Cidr } from '#base/cidr.ts';
import { latin1OfUtf8 } from '#base/utf8.ts';
import type { ParseContext } from '#config/parse-context.ts';
import type { ConsistentHashing } from '#schema/messages/envoy/extensions/matching/input_matchers/consistent_hashing/v3.ts';
import type { Ip } from '#schema/messages/envoy/extensions/matching/input_matchers/ip/v3.ts';
import type { RuntimeFraction } from '#schema/messages/envoy/extensions/matching/input_matchers/runtime_fraction/v3.ts';
import type { TypedExtensionConfig } from '#schema/messages/xds/core/v3.ts';
import type {
  CelMatcher,
  IPMatcher,
  Matcher,
  Matcher_MatcherList_Predicate,
  Matcher_MatcherTree,
  Matcher_OnMatch,
  ServerNameMatcher,
} from '#schema/messages/xds/type/matcher/v3.ts';
import { parseCelExpression } from '../cel/cel-config.ts';
import { typeOf } from '../registry.ts';
import { runtimeFraction } from '../runtime-config.ts';
import type { MatcherData, MatchTableData, OnMatchData, PredicateData, Seed } from './matcher-tree-config.ts';
import { parseStringMatcher } from './parse.ts';

export interface MatcherTreeReader<Input, Action> {
  /** `at` stands on the input. Always an input; what is not supported is reported. */
  input(type: string, config: unknown, at: ParseContext): Input;
  /** `at` stands on the action's `typed_config`. Undefined: reported. */
  action(type: string, config: unknown, at: ParseContext): Action | undefined;
  /** Expressions may stand beside inputs. */
  readonly takesCel?: boolean;
}

export function parseMatcherTree<Input, Action>(
  message: Matcher,
  at: ParseContext,
  reader: MatcherTreeReader<Input, Action>,
): MatcherData<Input, Action> {
  const { matcher_list: list, matcher_tree: tree, on_no_match: onNoMatch } = message;
  const matchers = at.field('matcher_list');
  return {
    list: (list?.matchers ?? []).map((it, i) => {
      const here = matchers.field('matchers', i);
      return {
        predicate: predicate(it.predicate, here.field('predicate'), reader),
        onMatch: parseOnMatch(it.on_match, here.field('on_match'), reader),
      };
    }),
    tree: tree === undefined ? undefined : matcherTree(tree, at.field('matcher_tree'), reader),
    onNoMatch: onNoMatch === undefined ? undefined : parseOnMatch(onNoMatch, at.field('on_no_match'), reader),
  };
}

const ipMatcher = 'xds.type.matcher.v3.IPMatcher';
const serverNameMatcher = 'xds.type.matcher.v3.ServerNameMatcher';

function matcherTree<Input, Action>(
  message: Matcher_MatcherTree,
  at: ParseContext,
  reader: MatcherTreeReader<Input, Action>,
): MatcherData<Input, Action>['tree'] {
  const table = matchTable(message, at, reader);
  return table && { input: input(message.input, at.field('input'), reader), table };
}

function matchTable<Input, Action>(
  message: Matcher_MatcherTree,
  at: ParseContext,
  reader: MatcherTreeReader<Input, Action>,
): MatchTableData<Input, Action> | undefined {
  const kind = message.prefix_match_map === undefined ? 'exact' : 'prefix';
  const map = message.prefix_match_map ?? message.exact_match_map;
  if (map !== undefined) {
    const here = at.field(`${kind}_match_map`).field('map');
    return {
      kind,
      map: Object.fromEntries(
        Object.entries(map.map).map(([key, it]) => [
          latin1OfUtf8(key),
          parseOnMatch(it, here.key(key), reader),
        ]),
      ),
    };
  }
  const custom = message.custom_match?.typed_config;
  if (custom === undefined) {
    at.fail('needs one of: exact_match_map, prefix_match_map, custom_match');
    return undefined;
  }
  const here = at.field('custom_match').field('typed_config');
  const type = typeOf(custom);
  if (type === serverNameMatcher) {
    const { domain_matchers } = custom as unknown as ServerNameMatcher;
    const entries = domain_matchers.flatMap((it, i) => {
      const onMatch = parseOnMatch(it.on_match, here.field('domain_matchers', i).field('on_match'), reader);
      return it.domains.map((domain) => [domain, onMatch] as const);
    });
    return { kind: 'domain', map: Object.fromEntries(entries) };
  }
  if (type !== ipMatcher) {
    const expected = `${ipMatcher} or ${serverNameMatcher}`;
    here.unsupported(`matcher ${type} is not supported by chancery`, { expected });
    return undefined;
  }
  const { range_matchers: matchers } = custom as unknown as IPMatcher;
  return {
    kind: 'ip',
    ranges: matchers.flatMap((it, i) => {
      const within = here.field('range_matchers', i);
      const onMatch = parseOnMatch(it.on_match, within.field('on_match'), reader);
      return it.ranges.flatMap(({ address_prefix: address, prefix_len: length = 0 }, k) => {
        const range = Cidr.of(address, length);
        if (range !== undefined) return { range: range.toString(), isExclusive: it.exclusive, onMatch };
        within.field('ranges', k).fail(`malformed IP address: ${address}`);
        return [];
      });
    }),
  };
}

function parseOnMatch<Input, Action>(
  message: Matcher_OnMatch | undefined,
  at: ParseContext,
  reader: MatcherTreeReader<Input, Action>,
): OnMatchData<Input, Action> {
  if (message?.keep_matching) at.field('keep_matching').unsupported();
  if (message?.matcher !== undefined)
    return { matcher: parseMatcherTree(message.matcher, at.field('matcher'), reader), action: undefined };
  const config = message?.action?.typed_config;
  if (config === undefined) {
    at.fail('needs one of: matcher, action');
    return { matcher: undefined, action: undefined };
  }
  const action = reader.action(typeOf(config), config, at.field('action').field('typed_config'));
  return { matcher: undefined, action };
}

const nothing = { kind: 'or', predicates: [] } as const;

function predicate<Input>(
  message: Matcher_MatcherList_Predicate | undefined,
  at: ParseContext,
  reader: MatcherTreeReader<Input, unknown>,
): PredicateData<Input> {
  if (message?.single_predicate !== undefined) {
    const here = at.field('single_predicate');
    const { input: of, value_match: value, custom_match: custom } = message.single_predicate;
    if (typeOf(custom?.typed_config) === celMatcher && reader.takesCel)
      return cel(custom!.typed_config!, of, here);
    if (custom?.typed_config !== undefined) {
      const read = input(of, here.field('input'), reader);
      return inputMatcher(custom.typed_config, read, here.field('custom_match').field('typed_config'));
    }
    if (value === undefined) {
      here.fail('needs one of: value_match, custom_match');
      return nothing;
    }
    return {
      kind: 'single',
      input: input(of, here.field('input'), reader),
      value: parseStringMatcher(value, here.field('value_match')),
    };
  }
  if (message?.not_matcher !== undefined)
    return { kind: 'not', predicate: predicate(message.not_matcher, at.field('not_matcher'), reader) };
  for (const kind of ['or', 'and'] as const) {
    const list = message?.[`${kind}_matcher`];
    if (list === undefined) continue;
    const here = at.field(`${kind}_matcher`);
    return {
      kind,
      predicates: list.predicate.map((it, i) => predicate(it, here.field('predicate', i), reader)),
    };
  }
  at.fail('needs one of: single_predicate, or_matcher, and_matcher, not_matcher');
  return nothing;
}

const celMatcher = 'xds.type.matcher.v3.CelMatcher';
const celInput = 'xds.type.matcher.v3.HttpAttributesCelMatchInput';

function cel(custom: object, of: TypedExtensionConfig | undefined, at: ParseContext): PredicateData<never> {
  if (typeOf(of?.typed_config) !== celInput)
    at.field('input').fail(`an expression needs the input ${celInput}`);
  const { expr_match: expression } = custom as CelMatcher;
  const here = at.field('custom_match').field('typed_config').field('expr_match');
  const data = expression && parseCelExpression(expression, here);
  return data === undefined ? nothing : { kind: 'cel', cel: data };
}

const inputMatchers = 'envoy.extensions.matching.input_matchers';

function inputMatcher<Input>(custom: object, input: Input, at: ParseContext): PredicateData<Input> {
  const type = typeOf(custom);
  switch (type) {
    case `${inputMatchers}.ip.v3.Ip`:
      return { kind: 'ip', input, ranges: ipRanges(custom as Ip, at) };
    case `${inputMatchers}.consistent_hashing.v3.ConsistentHashing`: {
      const { seed, modulo, threshold } = custom as ConsistentHashing;
      return { kind: 'hash', input, seed: halves(seed), modulo, threshold };
    }
    case `${inputMatchers}.runtime_fraction.v3.RuntimeFraction`: {
      const { seed, runtime_fraction: share } = custom as RuntimeFraction;
      return { kind: 'share', input, seed: halves(seed), share: runtimeFraction(share!) };
    }
  }
  const expected = `${inputMatchers}: ip, consistent_hashing or runtime_fraction`;
  at.unsupported(`matcher ${type} is not supported by chancery`, { expected });
  return nothing;
}

function halves(number: bigint): Seed {
  return [Number(number >> 32n), Number(number & 0xffff_ffffn)];
}

function ipRanges({ cidr_ranges: ranges }: Ip, at: ParseContext): string[] {
  return ranges.flatMap(({ address_prefix: address, prefix_len: length = 0 }, i) => {
    const range = Cidr.of(address, length);
    if (range !== undefined) return range.toString();
    at.field('cidr_ranges', i).fail(`malformed IP address: ${address}`);
    return [];
  });
}

function input<Input>(
  message: TypedExtensionConfig | undefined,
  at: ParseContext,
  reader: MatcherTreeReader<Input, unknown>,
): Input {
  return reader.input(typeOf(message?.typed_config), message?.typed_config, at);
}
