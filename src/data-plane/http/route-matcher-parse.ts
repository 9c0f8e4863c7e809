// What the matcher tree of a virtual host may contain: headers and filter state as inputs, routes as actions.
import type { ParseContext } from '#config/parse-context.ts';
import type { MatcherTreeReader } from '#extension/matchers/matcher-tree-parse.ts';
import { parseStreamInput, type StreamInputData } from '#extension/matchers/stream-input-config.ts';
import type { Route, RouteList } from '#schema/messages/envoy/config/route/v3.ts';
import type { RouteActionData, RouteData } from './route-config.ts';

const routeType = 'envoy.config.route.v3.Route';
const routeListType = 'envoy.config.route.v3.RouteList';
const inputs: readonly string[] = [
  'envoy.type.matcher.v3.HttpRequestHeaderMatchInput',
  'envoy.extensions.matching.common_inputs.network.v3.FilterStateInput',
];

export function routeMatcherReader(
  route: (route: Route, at: ParseContext) => RouteData,
): MatcherTreeReader<StreamInputData, RouteActionData> {
  return {
    input(type, config, at) {
      if (inputs.includes(type)) return parseStreamInput(type, config, at, true);
      const problem = `requirement violation while creating route match tree: INVALID_ARGUMENT: Route table can only match on request headers, saw type.googleapis.com/${type}`;
      at.fail(problem, { envoy: problem, expected: inputs.join(' or ') });
      return { kind: 'constant', value: undefined };
    },
    action(type, config, at) {
      if (type === routeType) return [route(config as Route, at)];
      if (type === routeListType)
        return (config as RouteList).routes.map((it, i) => route(it, at.field('routes', i)));
      at.unsupported(`action ${type} is not supported here`, {
        expected: `${routeType} or ${routeListType}`,
      });
      return undefined;
    },
  };
}
