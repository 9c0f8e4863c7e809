// Plain configuration of the header_mutation filter.
import type { ParseContext } from '#config/parse-context.ts';
import { type HeaderMutationData, parseHeaderMutations } from '#extension/header-mutation-config.ts';
import type {
  HeaderMutation,
  HeaderMutationPerRoute,
  Mutations,
} from '#schema/messages/envoy/extensions/filters/http/header_mutation/v3.ts';

export interface HeaderMutationConfig {
  readonly request: readonly HeaderMutationData[];
  readonly requestTrailers: readonly HeaderMutationData[];
  readonly response: readonly HeaderMutationData[];
  readonly responseTrailers: readonly HeaderMutationData[];
  /** Of several routes' mutations the most specific is applied last, so that it wins; else the least specific is. */
  readonly mostSpecificWins: boolean;
}

export function parseHeaderMutation(message: HeaderMutation, at: ParseContext): HeaderMutationConfig {
  return {
    ...parseMutations(message.mutations, at.field('mutations')),
    mostSpecificWins: message.most_specific_header_mutations_wins,
  };
}

export function parseHeaderMutationPerRoute(
  message: HeaderMutationPerRoute,
  at: ParseContext,
): HeaderMutationConfig {
  return { ...parseMutations(message.mutations, at.field('mutations')), mostSpecificWins: false };
}

function parseMutations(
  message: Mutations | undefined,
  at: ParseContext,
): Omit<HeaderMutationConfig, 'mostSpecificWins'> {
  if (message !== undefined && message.query_parameter_mutations.length > 0)
    at.field('query_parameter_mutations').unsupported();
  if (message !== undefined && message.formatters.length > 0) at.field('formatters').unsupported();
  return {
    request: parseHeaderMutations(message?.request_mutations ?? [], at, 'request_mutations'),
    requestTrailers: parseHeaderMutations(
      message?.request_trailers_mutations ?? [],
      at,
      'request_trailers_mutations',
    ),
    response: parseHeaderMutations(message?.response_mutations ?? [], at, 'response_mutations'),
    responseTrailers: parseHeaderMutations(
      message?.response_trailers_mutations ?? [],
      at,
      'response_trailers_mutations',
    ),
  };
}
