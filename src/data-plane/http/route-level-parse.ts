// What every level of a route configuration has (route configuration, virtual host, route, weighted cluster), from messages to plain
// data: header mutations, metadata, per-filter configuration.
import type { ParseContext } from '#config/parse-context.ts';
import { parseHeadersToAddAndRemove } from '#extension/header-mutation-config.ts';
import type { HttpFilterExtension } from '#extension/http-filter.ts';
import { type Registry, typeOf } from '#extension/registry.ts';
import type {
  HeaderValueOption,
  Metadata as MetadataMessage,
} from '#schema/messages/envoy/config/core/v3.ts';
import type { CorsPolicy, FilterConfig } from '#schema/messages/envoy/config/route/v3.ts';
import type { LevelMutations, PerFilterData, PerFilterLevel } from './route-config.ts';
import type { Metadata } from './route-entry.ts';

interface Level {
  readonly request_headers_to_add: readonly HeaderValueOption[];
  readonly request_headers_to_remove: readonly string[];
  readonly response_headers_to_add: readonly HeaderValueOption[];
  readonly response_headers_to_remove: readonly string[];
}

/** The four lists that every level has. */
export function levelMutations(level: Level, at: ParseContext): LevelMutations {
  return {
    request: parseHeadersToAddAndRemove(
      'request',
      level.request_headers_to_add,
      level.request_headers_to_remove,
      at,
    ),
    response: parseHeadersToAddAndRemove(
      'response',
      level.response_headers_to_add,
      level.response_headers_to_remove,
      at,
    ),
  };
}

export function metadata(message: MetadataMessage | undefined, at: ParseContext): Metadata | undefined {
  if (message === undefined) return undefined;
  if (Object.keys(message.typed_filter_metadata).length > 0)
    at.field('metadata').field('typed_filter_metadata').warn('is read by no extension of chancery');
  const all = message.filter_metadata;
  return Object.keys(all).length === 0 ? undefined : (all as Metadata);
}

const corsFilter = 'envoy.filters.http.cors';

/** `cors` is the field that typed_per_filter_config replaced: it counts where the filter has no configuration of its own. */
export function perFilter(
  messages: { readonly [name: string]: object },
  cors: CorsPolicy | undefined,
  at: ParseContext,
  registry: Registry,
): PerFilterData {
  const levels: Record<string, PerFilterLevel> = {};
  for (const [name, message] of Object.entries(messages)) {
    const level = perFilterLevel(name, message, at.field('typed_per_filter_config').key(name), registry);
    if (level !== undefined) levels[name] = level;
  }
  if (cors !== undefined && levels[corsFilter] === undefined) {
    const extension = registry.byName<HttpFilterExtension>('http_filter', corsFilter);
    if (extension?.parseRoute === undefined) at.field('cors').unsupported();
    else
      levels[corsFilter] = {
        disabled: undefined,
        extension: extension.name,
        config: extension.parseRoute(cors as never, at.field('cors'), registry),
      };
  }
  return levels;
}

const filterConfigType = 'envoy.config.route.v3.FilterConfig';

function perFilterLevel(
  name: string,
  message: object,
  at: ParseContext,
  registry: Registry,
): PerFilterLevel | undefined {
  if (typeOf(message) !== filterConfigType) return routeConfig(name, message, at, false, false, registry);
  const { config, disabled, is_optional: isOptional } = message as FilterConfig;
  // `disabled: true` needs no config; without it an empty one says that the filter runs here.
  if (config === undefined || typeOf(config) === '') return { disabled, extension: '', config: undefined };
  return routeConfig(name, config, at.field('config'), disabled, isOptional, registry);
}

function routeConfig(
  name: string,
  message: object,
  at: ParseContext,
  disabled: boolean | undefined,
  isOptional: boolean,
  registry: Registry,
): PerFilterLevel | undefined {
  const type = typeOf(message);
  const extension = filterOfRouteType(type, registry);
  if (extension?.parseRoute !== undefined)
    return {
      disabled,
      extension: extension.name,
      config: extension.parseRoute(message as never, at, registry),
    };
  if (isOptional) return undefined;
  const problem =
    extension === undefined
      ? `Didn't find a registered implementation for '${name}' with type URL: '${type}'`
      : `The filter ${extension.name} doesn't support virtual host or route specific configurations`;
  at.unsupported(problem, { envoy: problem, got: type });
  return undefined;
}

function filterOfRouteType(type: string, registry: Registry): HttpFilterExtension | undefined {
  for (const it of registry.all) {
    const filter = it as HttpFilterExtension;
    if (it.kind === 'http_filter' && filter.routeType === type) return filter;
  }
  return registry.byType<HttpFilterExtension>('http_filter', type);
}
