// What the matcher tree of a virtual host looks at: headers and query parameters.
import type { MatchInput } from '#extension/matchers/matcher-tree.ts';
import { type HeaderField, joinedValue } from '#http/header-field.ts';
import type { HeaderMap } from '#http/header-map.ts';
import { queryParameter } from '#http/request-parameters.ts';

export class HeaderInput implements MatchInput<HeaderMap> {
  readonly #name: string;
  readonly #field: HeaderField;

  constructor(name: string, field: HeaderField) {
    this.#name = name;
    this.#field = field;
  }

  read(headers: HeaderMap): string | undefined {
    return joinedValue(headers, this.#field, this.#name);
  }
}

export class QueryInput implements MatchInput<HeaderMap> {
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
  }

  read(headers: HeaderMap): string | undefined {
    return queryParameter(headers.path, this.#name);
  }
}
