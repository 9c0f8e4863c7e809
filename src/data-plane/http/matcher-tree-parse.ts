// From `xds.type.matcher.v3.Matcher` of a virtual host to plain data.
import { latin1OfUtf8 } from '#base/utf8.ts';
import type { ParseContext } from '#config/parse-context.ts';
import { parseStringMatcher } from '#extension/matchers/parse.ts';
import { typeOf } from '#extension/registry.ts';
import type { Route, RouteList } from '#schema/messages/envoy/config/route/v3.ts';
import type {
  HttpRequestHeaderMatchInput,
  HttpRequestQueryParamMatchInput,
} from '#schema/messages/envoy/type/matcher/v3.ts';
import type { TypedExtensionConfig } from '#schema/messages/xds/core/v3.ts';
import type {
  Matcher,
  Matcher_MatcherList_Predicate,
  Matcher_MatcherTree,
  Matcher_OnMatch,
} from '#schema/messages/xds/type/matcher/v3.ts';
import type {
  MatcherData,
  MatcherInput,
  OnMatchData,
  PredicateData,
  RouteActionData,
  RouteData,
} from './route-config.ts';

type ParseRoute = (route: Route, at: ParseContext) => RouteData;
type Data = MatcherData<RouteActionData>;
type OnMatch = OnMatchData<RouteActionData>;

export function parseMatcherTree(message: Matcher, at: ParseContext, route: ParseRoute): Data {
  const { matcher_list: list, matcher_tree: tree, on_no_match: onNoMatch } = message;
  const matchers = at.field('matcher_list');
  return {
    list: (list?.matchers ?? []).map((it, i) => {
      const here = matchers.field('matchers', i);
      return {
        predicate: predicate(it.predicate, here.field('predicate')),
        onMatch: onMatch(it.on_match, here.field('on_match'), route),
      };
    }),
    tree: tree === undefined ? undefined : matcherTree(tree, at.field('matcher_tree'), route),
    onNoMatch: onNoMatch === undefined ? undefined : onMatch(onNoMatch, at.field('on_no_match'), route),
  };
}

function matcherTree(message: Matcher_MatcherTree, at: ParseContext, route: ParseRoute): Data['tree'] {
  const kind = message.prefix_match_map === undefined ? 'exact' : 'prefix';
  const map = message.prefix_match_map ?? message.exact_match_map;
  if (map === undefined) {
    if (message.custom_match !== undefined) at.field('custom_match').unsupported();
    else at.fail('needs one of: exact_match_map, prefix_match_map, custom_match');
    return undefined;
  }
  const here = at.field(`${kind}_match_map`).field('map');
  return {
    kind,
    input: input(message.input, at.field('input')),
    map: Object.fromEntries(
      Object.entries(map.map).map(([key, it]) => [latin1OfUtf8(key), onMatch(it, here.key(key), route)]),
    ),
  };
}

const routeType = 'envoy.config.route.v3.Route';
const routeListType = 'envoy.config.route.v3.RouteList';

function onMatch(message: Matcher_OnMatch | undefined, at: ParseContext, route: ParseRoute): OnMatch {
  if (message?.keep_matching) at.field('keep_matching').unsupported();
  if (message?.matcher !== undefined)
    return { matcher: parseMatcherTree(message.matcher, at.field('matcher'), route), action: undefined };
  const config = message?.action?.typed_config;
  const here = at.field('action').field('typed_config');
  const type = typeOf(config);
  if (type === routeType) return { matcher: undefined, action: [route(config as unknown as Route, here)] };
  if (type === routeListType) {
    const { routes } = config as unknown as RouteList;
    return { matcher: undefined, action: routes.map((it, i) => route(it, here.field('routes', i))) };
  }
  if (type === '') at.fail('needs one of: matcher, action');
  else
    here.unsupported(`action ${type} is not supported here`, {
      expected: `${routeType} or ${routeListType}`,
    });
  return { matcher: undefined, action: undefined };
}

const nothing: PredicateData = { kind: 'or', predicates: [] };

function predicate(message: Matcher_MatcherList_Predicate | undefined, at: ParseContext): PredicateData {
  if (message?.single_predicate !== undefined) {
    const here = at.field('single_predicate');
    const { input: of, value_match: value, custom_match: custom } = message.single_predicate;
    if (custom !== undefined) here.field('custom_match').unsupported();
    if (value === undefined) {
      if (custom === undefined) here.fail('needs one of: value_match, custom_match');
      return nothing;
    }
    return {
      kind: 'single',
      input: input(of, here.field('input')),
      value: parseStringMatcher(value, here.field('value_match')),
    };
  }
  if (message?.not_matcher !== undefined)
    return { kind: 'not', predicate: predicate(message.not_matcher, at.field('not_matcher')) };
  for (const kind of ['or', 'and'] as const) {
    const list = message?.[`${kind}_matcher`];
    if (list === undefined) continue;
    const here = at.field(`${kind}_matcher`);
    return { kind, predicates: list.predicate.map((it, i) => predicate(it, here.field('predicate', i))) };
  }
  at.fail('needs one of: single_predicate, or_matcher, and_matcher, not_matcher');
  return nothing;
}

const headerInput = 'envoy.type.matcher.v3.HttpRequestHeaderMatchInput';
const queryInput = 'envoy.type.matcher.v3.HttpRequestQueryParamMatchInput';

function input(message: TypedExtensionConfig | undefined, at: ParseContext): MatcherInput {
  const config: unknown = message?.typed_config;
  const type = typeOf(message?.typed_config);
  if (type === headerInput) {
    const { header_name: name } = config as HttpRequestHeaderMatchInput;
    return { kind: 'request_header', name: name.toLowerCase() };
  }
  if (type === queryInput) {
    const { query_param: name } = config as HttpRequestQueryParamMatchInput;
    return { kind: 'query_parameter', name: latin1OfUtf8(name) };
  }
  at.unsupported(`matching input ${type} is not supported by chancery`, {
    expected: `${headerInput} or ${queryInput}`,
  });
  return { kind: 'request_header', name: '' };
}
