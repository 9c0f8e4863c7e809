// What the matcher tree of a virtual host may contain: inputs of a request, routes as actions.
import { latin1OfUtf8 } from '#base/utf8.ts';
import type { ParseContext } from '#config/parse-context.ts';
import type { MatcherTreeReader } from '#extension/matchers/matcher-tree-parse.ts';
import type { Route, RouteList } from '#schema/messages/envoy/config/route/v3.ts';
import type {
  HttpRequestHeaderMatchInput,
  HttpRequestQueryParamMatchInput,
} from '#schema/messages/envoy/type/matcher/v3.ts';
import type { RouteActionData, RouteData, RouteMatcherInput } from './route-config.ts';

const routeType = 'envoy.config.route.v3.Route';
const routeListType = 'envoy.config.route.v3.RouteList';
const headerInput = 'envoy.type.matcher.v3.HttpRequestHeaderMatchInput';
const queryInput = 'envoy.type.matcher.v3.HttpRequestQueryParamMatchInput';

export function routeMatcherReader(
  route: (route: Route, at: ParseContext) => RouteData,
): MatcherTreeReader<RouteMatcherInput, RouteActionData> {
  return {
    input(type, config, at) {
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
