// Changes of a request's query parameters. They are written anew, decoded and sorted by name, as Envoy writes them.
import type { AttemptStream } from '#extension/http-filter.ts';
import { compileFormat } from '#extension/substitution/compile.ts';
import type { HeaderMap } from '#http/header-map.ts';
import { isHeaderValue } from '#http/header-validity.ts';
import type { QueryMutationData } from './config.ts';

type Parameters = Map<string, string[]>;
type Mutation = (parameters: Parameters, stream: AttemptStream) => void;

export class QueryMutations {
  readonly #mutations: readonly Mutation[];

  constructor(data: readonly QueryMutationData[]) {
    this.#mutations = data.map(compile);
  }

  apply(headers: HeaderMap, stream: AttemptStream): void {
    const { path } = headers;
    if (path === '') return;
    const question = path.indexOf('?');
    const parameters = question < 0 ? new Map<string, string[]>() : parse(path.slice(question + 1));
    for (const mutation of this.#mutations) mutation(parameters, stream);
    headers.path = (question < 0 ? path : path.slice(0, question)) + write(parameters);
    if (!isHeaderValue(headers.path)) headers.isUnchecked = true;
  }
}

function compile(data: QueryMutationData): Mutation {
  const { key } = data;
  if (data.kind === 'remove') return (parameters) => parameters.delete(key);
  const { action } = data;
  const formatter = compileFormat(data.value, { omitEmptyValues: true, extensions: data.commands });
  return (parameters, stream) => {
    const before = parameters.get(key);
    if (before === undefined ? action === 'OVERWRITE_IF_EXISTS' : action === 'ADD_IF_ABSENT') return;
    const value = encode(formatter.format(stream));
    if (before !== undefined && action === 'APPEND_IF_EXISTS_OR_ADD') before.push(value);
    else parameters.set(key, [value]);
  };
}

function parse(query: string): Parameters {
  const parameters: Parameters = new Map();
  for (let at = 0; at < query.length; ) {
    let end = query.indexOf('&', at);
    if (end < 0) end = query.length;
    const part = query.slice(at, end);
    const equals = part.indexOf('=');
    const key = decode(equals < 0 ? part : part.slice(0, equals));
    const value = equals < 0 ? '' : decode(part.slice(equals + 1));
    const before = parameters.get(key);
    if (before === undefined) parameters.set(key, [value]);
    else before.push(value);
    at = end + 1;
  }
  return parameters;
}

function write(parameters: Parameters): string {
  const keys = [...parameters.keys()].sort((a, b) => (a < b ? -1 : 1));
  const parts = keys.flatMap((key) => parameters.get(key)!.map((value) => `${key}=${value}`));
  return parts.length === 0 ? '' : `?${parts.join('&')}`;
}

function decode(text: string): string {
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

/** All but what RFC 3986 calls unreserved. */
function encode(text: string): string {
  return text.replace(/[^A-Za-z0-9\-._~]/g, (character) => {
    const hex = character.charCodeAt(0).toString(16).toUpperCase();
    return hex.length < 2 ? `%0${hex}` : `%${hex}`;
  });
}
