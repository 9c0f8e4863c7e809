// Scoped routes: headers of a request make a key, the key names the route table. For one connection manager that serves many tenants.
import type { HeaderMap } from '#http/header-map.ts';
import type { RouteContext, RouteEntry, RouteTable, VirtualHost } from './route-entry.ts';

/** One part of the key: an element of a header's value. */
export interface KeyFragment {
  /** Lower-case. */
  readonly header: string;
  /** Empty: the value is one element. */
  readonly elementSeparator: string;
  /** -1: the element is found by `key`. */
  readonly index: number;
  readonly keySeparator: string;
  readonly key: string;
}

/** Fragments of a key, joined: no header value has a NUL in it. */
export const fragmentSeparator = '\0';

export class ScopedRouteTable implements RouteTable {
  readonly name: string;
  readonly virtualHosts: readonly VirtualHost[];
  readonly clusterNames: readonly string[];
  readonly internalOnlyHeaders: readonly string[];
  readonly #fragments: readonly KeyFragment[];
  readonly #tables: ReadonlyMap<string, RouteTable>;

  constructor(name: string, fragments: readonly KeyFragment[], tables: ReadonlyMap<string, RouteTable>) {
    const all = [...tables.values()];
    this.name = name;
    this.virtualHosts = all.flatMap((it) => it.virtualHosts);
    this.clusterNames = [...new Set(all.flatMap((it) => it.clusterNames))];
    this.internalOnlyHeaders = [...new Set(all.flatMap((it) => it.internalOnlyHeaders))];
    this.#fragments = fragments;
    this.#tables = tables;
  }

  route(headers: HeaderMap, context: RouteContext): RouteEntry | undefined {
    return this.#table(headers)?.route(headers, context);
  }

  get takesAnyHost(): boolean {
    return false;
  }

  virtualHost(headers: HeaderMap): VirtualHost | undefined {
    return this.#table(headers)?.virtualHost(headers);
  }

  #table(headers: HeaderMap): RouteTable | undefined {
    let key = '';
    for (let i = 0; i < this.#fragments.length; i++) {
      const fragment = this.#fragments[i]!;
      const value = headers.get(fragment.header);
      const part = value === undefined ? undefined : element(value, fragment);
      if (part === undefined) return undefined;
      key = i === 0 ? part : key + fragmentSeparator + part;
    }
    return this.#tables.get(key);
  }
}

function element(
  value: string,
  { elementSeparator, index, keySeparator, key }: KeyFragment,
): string | undefined {
  let at = 0;
  for (let i = 0; at <= value.length; i++) {
    const found = elementSeparator === '' ? -1 : value.indexOf(elementSeparator, at);
    const end = found < 0 ? value.length : found;
    if (index < 0) {
      const text = value.slice(at, end);
      const split = text.indexOf(keySeparator);
      if ((split < 0 ? text : text.slice(0, split)) === key)
        return split < 0 ? '' : text.slice(split + keySeparator.length);
    } else if (i === index) return value.slice(at, end);
    if (found < 0) return undefined;
    at = end + elementSeparator.length;
  }
  return undefined;
}
