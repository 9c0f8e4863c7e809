// Changes the headers and trailers of requests and responses, by the filter's own configuration and by that of each level of the
// route. Without state per request: one instance serves all.

import type { HeaderMutations } from '#extension/header-mutations.ts';
import {
  type AttemptStream,
  FilterStatus,
  type HttpFilter,
  type UpstreamHttpFilter,
} from '#extension/http-filter.ts';
import type { HeaderMap } from '#http/header-map.ts';
import type { QueryMutations } from './query-mutations.ts';

/** One level of configuration, compiled; null: nothing to do. */
export interface MutationLevel {
  readonly request: HeaderMutations | null;
  readonly query: QueryMutations | null;
  readonly requestTrailers: HeaderMutations | null;
  readonly response: HeaderMutations | null;
  readonly responseTrailers: HeaderMutations | null;
}

type Part = Exclude<keyof MutationLevel, 'query'>;

export class HeaderMutationFilter implements HttpFilter, UpstreamHttpFilter {
  readonly #own: MutationLevel;
  readonly #name: string;
  readonly #mostSpecificWins: boolean;

  constructor(own: MutationLevel, name: string, mostSpecificWins: boolean) {
    this.#own = own;
    this.#name = name;
    this.#mostSpecificWins = mostSpecificWins;
  }

  decodeHeaders(stream: AttemptStream, headers: HeaderMap): FilterStatus {
    return this.#apply('request', stream, headers);
  }

  decodeTrailers(stream: AttemptStream, trailers: HeaderMap): FilterStatus {
    return this.#apply('requestTrailers', stream, trailers);
  }

  encodeHeaders(stream: AttemptStream, headers: HeaderMap): FilterStatus {
    return this.#apply('response', stream, headers);
  }

  encodeTrailers(stream: AttemptStream, trailers: HeaderMap): FilterStatus {
    return this.#apply('responseTrailers', stream, trailers);
  }

  #apply(part: Part, stream: AttemptStream, headers: HeaderMap): FilterStatus {
    apply(this.#own, part, stream, headers);
    const levels = stream.routeConfigs(this.#name) as readonly MutationLevel[];
    const count = levels.length;
    for (let i = 0; i < count; i++) {
      apply(levels[this.#mostSpecificWins ? i : count - 1 - i]!, part, stream, headers);
    }
    return FilterStatus.Continue;
  }
}

function apply(level: MutationLevel, part: Part, stream: AttemptStream, headers: HeaderMap): void {
  level[part]?.apply(headers, stream);
  if (part === 'request') level.query?.apply(headers, stream);
}
