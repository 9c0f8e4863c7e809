// `scoped_routes` with its configurations inline: from the message to plain data.
import type { ParseContext } from '#config/parse-context.ts';
import type { Registry } from '#extension/registry.ts';
import type {
  ScopedRoutes_ScopeKeyBuilder_FragmentBuilder as FragmentBuilder,
  ScopedRoutes,
} from '#schema/messages/envoy/extensions/filters/network/http_connection_manager/v3.ts';
import type { RouteConfigData } from './route-config.ts';
import { parseRouteConfiguration } from './route-parse.ts';
import { fragmentSeparator, type KeyFragment } from './scoped-routes.ts';

export interface ScopedRoutesData {
  readonly name: string;
  readonly fragments: readonly KeyFragment[];
  readonly scopes: readonly { readonly key: readonly string[]; readonly routes: RouteConfigData }[];
}

export function parseScopedRoutes(
  message: ScopedRoutes,
  at: ParseContext,
  registry: Registry,
): ScopedRoutesData {
  if (message.scoped_rds !== undefined) at.field('scoped_rds').unsupported();
  const builder = at.field('scope_key_builder');
  const list = at.field('scoped_route_configurations_list');
  const seen = new Set<string>();
  return {
    name: message.name,
    fragments: (message.scope_key_builder?.fragments ?? []).flatMap((it, i) =>
      parseFragment(it, builder.field('fragments', i)),
    ),
    scopes: (message.scoped_route_configurations_list?.scoped_route_configurations ?? []).flatMap(
      (scope, i) => {
        const here = list.field('scoped_route_configurations', i);
        const key = (scope.key?.fragments ?? []).map((it) => it.string_key ?? '');
        const joined = key.join(fragmentSeparator);
        if (seen.has(joined)) here.field('key').fail(`scope key "${key.join(', ')}" is used twice`);
        seen.add(joined);
        if (scope.route_configuration === undefined) {
          here.field('route_configuration_name').unsupported();
          return [];
        }
        const routes = here.field('route_configuration');
        return [{ key, routes: parseRouteConfiguration(scope.route_configuration, routes, registry) }];
      },
    ),
  };
}

function parseFragment(message: FragmentBuilder, at: ParseContext): KeyFragment[] {
  const here = at.field('header_value_extractor');
  const extractor = message.header_value_extractor;
  if (extractor === undefined) {
    at.fail('needs a header_value_extractor');
    return [];
  }
  const { element, index, element_separator: elementSeparator } = extractor;
  if (element === undefined && index === undefined) here.fail('needs one of: index, element');
  if (elementSeparator === '' && index !== undefined && index > 0) {
    const problem = 'Index > 0 for empty string element separator.';
    here.field('index').fail(problem, { got: index, envoy: problem });
  }
  return [
    {
      header: extractor.name.toLowerCase(),
      elementSeparator,
      index: element === undefined ? (index ?? 0) : -1,
      keySeparator: element?.separator ?? '',
      key: element?.key ?? '',
    },
  ];
}
