import type { ParseContext } from '#config/parse-context.ts';
import {
  type FilterStateValueData,
  FilterStateValues,
  parseFilterStateValues,
} from '#extension/filter-state.ts';
import { defineHttpFilter, FilterStatus, type HttpFilter, type HttpStream } from '#extension/http-filter.ts';
import { onlyFields } from '#extension/message-fields.ts';
import type { Config } from '#schema/messages/envoy/extensions/filters/http/set_filter_state/v3.ts';

interface SetFilterStateConfig {
  readonly values: readonly FilterStateValueData[];
  readonly clearsRoute: boolean;
}

function parse(message: Config, at: ParseContext): SetFilterStateConfig {
  onlyFields(message, at, ['on_request_headers', 'clear_route_cache']);
  return {
    values: parseFilterStateValues(message.on_request_headers, at.field('on_request_headers')),
    clearsRoute: message.clear_route_cache,
  };
}

/** Leaves objects for the filters behind it and for the router. */
export const httpSetFilterState = defineHttpFilter({
  kind: 'http_filter',
  name: 'envoy.filters.http.set_filter_state',
  type: 'envoy.extensions.filters.http.set_filter_state.v3.Config',
  parse,
  parseRoute: parse,
  prepare({ values, clearsRoute }, { name }) {
    const filter = new SetFilterState(new FilterStateValues(values), clearsRoute, name);
    return () => filter;
  },
  prepareRoute: ({ values }) => new FilterStateValues(values),
});

class SetFilterState implements HttpFilter {
  readonly #values: FilterStateValues;
  readonly #clearsRoute: boolean;
  readonly #name: string;

  constructor(values: FilterStateValues, clearsRoute: boolean, name: string) {
    this.#values = values;
    this.#clearsRoute = clearsRoute;
    this.#name = name;
  }

  /** The filter's own list, then that of the virtual host, then that of the route. */
  decodeHeaders(stream: HttpStream): FilterStatus {
    const { info } = stream;
    info.filterState ??= new Map();
    this.#values.update(info.filterState, stream);
    const levels = stream.routeConfigs(this.#name) as readonly FilterStateValues[];
    for (let i = 0; i < levels.length; i++) levels[i]!.update(info.filterState, stream);
    if (this.#clearsRoute) stream.clearRouteCache();
    return FilterStatus.Continue;
  }
}
