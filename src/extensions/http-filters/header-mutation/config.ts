// Plain configuration of the header_mutation filter.
import { latin1OfUtf8 } from '#base/utf8.ts';
import type { ParseContext } from '#config/parse-context.ts';
import { checkFormat, parseFormatters } from '#extension/format-config.ts';
import { type HeaderMutationData, parseHeaderMutations } from '#extension/header-mutation-config.ts';
import type { KeyValueAppend, KeyValueMutation } from '#schema/messages/envoy/config/core/v3.ts';
import type {
  HeaderMutation,
  HeaderMutationPerRoute,
  Mutations,
} from '#schema/messages/envoy/extensions/filters/http/header_mutation/v3.ts';

export type QueryMutationData =
  | { readonly kind: 'remove'; readonly key: string }
  | {
      readonly kind: 'write';
      readonly key: string;
      /** A substitution format string. */
      readonly value: string;
      readonly commands: readonly string[];
      readonly action: KeyValueAppend['action'];
    };

export interface HeaderMutationConfig {
  readonly request: readonly HeaderMutationData[];
  /** After those of the request. */
  readonly query: readonly QueryMutationData[];
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
  const commands = parseFormatters(message?.formatters ?? [], at.field('formatters'));
  return {
    request: parseHeaderMutations(message?.request_mutations ?? [], at, 'request_mutations', commands),
    query: (message?.query_parameter_mutations ?? []).flatMap((it, i) =>
      parseQueryMutation(it, at.field('query_parameter_mutations', i), commands),
    ),
    requestTrailers: parseHeaderMutations(
      message?.request_trailers_mutations ?? [],
      at,
      'request_trailers_mutations',
      commands,
    ),
    response: parseHeaderMutations(message?.response_mutations ?? [], at, 'response_mutations', commands),
    responseTrailers: parseHeaderMutations(
      message?.response_trailers_mutations ?? [],
      at,
      'response_trailers_mutations',
      commands,
    ),
  };
}

function parseQueryMutation(
  message: KeyValueMutation,
  at: ParseContext,
  commands: readonly string[],
): QueryMutationData[] {
  const { append, remove } = message;
  const refuse = (problem: string, here = at) => {
    here.fail(problem, { envoy: problem });
    return [];
  };
  if (append === undefined)
    return remove === ''
      ? refuse("One of 'append'/'remove' must be specified.")
      : [{ kind: 'remove', key: latin1OfUtf8(remove) }];
  if (remove !== '') return refuse("Only one of 'append'/'remove can be specified.");
  if (append.record === undefined)
    return refuse('No record specified for append mutation.', at.field('append'));
  const value: unknown = append.record.value;
  const here = at.field('append').field('record').field('value');
  if (typeof value !== 'string') return refuse('Only string value is allowed for record value.', here);
  checkFormat(value, here, commands);
  return [{ kind: 'write', key: latin1OfUtf8(append.record.key), value, commands, action: append.action }];
}
