import { compileSteps } from '#extension/header-mutation-config.ts';
import { defineHttpFilter } from '#extension/http-filter.ts';
import { type HeaderMutationConfig, parseHeaderMutation, parseHeaderMutationPerRoute } from './config.ts';
import { HeaderMutationFilter, type MutationLevel } from './filter.ts';
import { QueryMutations } from './query-mutations.ts';

export const headerMutation = defineHttpFilter({
  kind: 'http_filter',
  name: 'envoy.filters.http.header_mutation',
  type: 'envoy.extensions.filters.http.header_mutation.v3.HeaderMutation',
  routeType: 'envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute',
  parse: parseHeaderMutation,
  parseRoute: parseHeaderMutationPerRoute,
  prepare(config, { name }) {
    const filter = new HeaderMutationFilter(compile(config), name, config.mostSpecificWins);
    return () => filter;
  },
  prepareUpstream: (config, { name }) =>
    new HeaderMutationFilter(compile(config), name, config.mostSpecificWins),
  prepareRoute: compile,
});

function compile(config: HeaderMutationConfig): MutationLevel {
  return {
    request: compileSteps(config.request),
    query: config.query.length === 0 ? null : new QueryMutations(config.query),
    requestTrailers: compileSteps(config.requestTrailers),
    response: compileSteps(config.response),
    responseTrailers: compileSteps(config.responseTrailers),
  };
}
