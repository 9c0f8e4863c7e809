// From a request to its route: virtual host by host, then the first route that matches. The result is that of a scan in the order
// of the configuration; the way there does not depend on how many hosts and routes there are. No lookup allocates for plain paths.

import { Uint64 } from '#base/uint64.ts';
import type { CookieSetter, HashPolicies } from '#extension/hash-policy.ts';
import type { FilterStateMatcher } from '#extension/matchers/filter-state-matcher.ts';
import type { HeaderMatcher } from '#extension/matchers/header-matcher.ts';
import { allHeadersMatch } from '#extension/matchers/header-matcher.ts';
import type { MatcherTree } from '#extension/matchers/matcher-tree.ts';
import type { StreamSubject } from '#extension/matchers/stream-input.ts';
import type { StringMatcher } from '#extension/matchers/string-matcher.ts';
import { asciiLowerCase } from '#extension/matchers/string-matcher.ts';
import type { MetadataMatcher } from '#extension/matchers/value-matcher.ts';
import type { Runtime, RuntimeFraction } from '#extension/runtime.ts';
import type { StreamInfo } from '#extension/stream-info.ts';
import type { HeaderMap } from '#http/header-map.ts';
import { cookieValue, queryParameter } from '#http/request-parameters.ts';
import type { DomainIndex } from './domain-index.ts';
import type { Candidate, PathIndex } from './path-index.ts';
import {
  RequireTls,
  type RouteContext,
  type RouteEntry,
  type RouteTable,
  type VirtualHost,
} from './route-entry.ts';

export class CompiledRouteTable implements RouteTable {
  readonly name: string;
  readonly virtualHosts: readonly VirtualHost[];
  readonly clusterNames: readonly string[];
  readonly internalOnlyHeaders: readonly string[];
  readonly #domains: DomainIndex<VirtualHostTable>;
  readonly #ignoresPort: boolean;
  /** Empty: the authority. */
  readonly #vhostHeader: string;
  /** Clients ask for the same host again and again. */
  #lastHost: string | undefined = undefined;
  #lastTable: VirtualHostTable | undefined = undefined;

  constructor(
    name: string,
    virtualHosts: readonly VirtualHost[],
    clusterNames: readonly string[],
    internalOnlyHeaders: readonly string[],
    domains: DomainIndex<VirtualHostTable>,
    ignoresPort: boolean,
    vhostHeader: string,
  ) {
    this.name = name;
    this.virtualHosts = virtualHosts;
    this.clusterNames = clusterNames;
    this.internalOnlyHeaders = internalOnlyHeaders;
    this.#domains = domains;
    this.#ignoresPort = ignoresPort;
    this.#vhostHeader = vhostHeader;
  }

  route(headers: HeaderMap, context: RouteContext): RouteEntry | undefined {
    const table = this.#find(headers);
    if (table === undefined) return undefined;
    if (
      table.virtualHost.requireTls !== RequireTls.None &&
      redirectsToTls(table.virtualHost.requireTls, headers)
    )
      return table.tlsRedirect;
    return table.find(headers, context);
  }

  get takesAnyHost(): boolean {
    return this.#domains.hasOnlyAny;
  }

  virtualHost(headers: HeaderMap): VirtualHost | undefined {
    return this.#find(headers)?.virtualHost;
  }

  #find(headers: HeaderMap): VirtualHostTable | undefined {
    let host = this.#vhostHeader === '' ? headers.authority : headers.get(this.#vhostHeader);
    if (host === undefined) {
      if (!this.#domains.hasOnlyAny) return undefined;
      host = '';
    }
    if (host === this.#lastHost) return this.#lastTable;
    this.#lastHost = host;
    this.#lastTable = this.#domains.find(asciiLowerCase(this.#ignoresPort ? hostWithoutPort(host) : host));
    return this.#lastTable;
  }
}

function redirectsToTls(required: RequireTls, headers: HeaderMap): boolean {
  if (headers.get('x-forwarded-proto') === 'https') return false;
  return required === RequireTls.All || headers.get('x-envoy-internal') !== 'true';
}

/** Cuts `:port` where it is one: digits behind the last colon, outside the brackets of IPv6. */
function hostWithoutPort(host: string): string {
  const colon = host.lastIndexOf(':');
  if (colon < 0 || host.indexOf(']', colon) >= 0) return host;
  if (host.charCodeAt(0) !== 91 && host.indexOf(':') !== colon) return host;
  for (let i = colon + 1; i < host.length; i++) {
    const code = host.charCodeAt(i);
    if (code < 48 || code > 57) return host;
  }
  return colon + 1 === host.length ? host : host.slice(0, colon);
}

/** Routes of one virtual host. */
export class VirtualHostTable {
  readonly virtualHost: VirtualHost;
  readonly tlsRedirect: RouteEntry;
  readonly #routes: RouteList | undefined;
  readonly #matcher: MatcherTree<StreamSubject, RouteList> | undefined;

  constructor(
    virtualHost: VirtualHost,
    tlsRedirect: RouteEntry,
    routes: RouteList | undefined,
    matcher: MatcherTree<StreamSubject, RouteList> | undefined,
  ) {
    this.virtualHost = virtualHost;
    this.tlsRedirect = tlsRedirect;
    this.#routes = routes;
    this.#matcher = matcher;
  }

  find(headers: HeaderMap, context: RouteContext): RouteEntry | undefined {
    if (this.#routes !== undefined) return this.#routes.find(headers, context);
    return this.#matcher?.find({ info: context.info, headers })?.find(headers, context);
  }
}

/** Routes in their order, with the indexes over them. */
export class RouteList {
  readonly #routes: readonly CompiledRoute[];
  readonly #byPath: PathIndex;
  readonly #byFoldedPath: PathIndex | undefined;
  /** Routes that also match without a path: CONNECT. */
  readonly #connect: readonly CompiledRoute[];
  readonly #ignoresParameters: boolean;

  constructor(
    routes: readonly CompiledRoute[],
    byPath: PathIndex,
    byFoldedPath: PathIndex | undefined,
    connect: readonly CompiledRoute[],
    ignoresParameters: boolean,
  ) {
    this.#routes = routes;
    this.#byPath = byPath;
    this.#byFoldedPath = byFoldedPath;
    this.#connect = connect;
    this.#ignoresParameters = ignoresParameters;
  }

  find(headers: HeaderMap, context: RouteContext): RouteEntry | undefined {
    let best = Number.POSITIVE_INFINITY;
    let path = headers.path;
    if (path !== '') {
      if (this.#ignoresParameters && path.includes(';')) path = withoutParameters(path);
      const end = endOfPath(path);
      best = this.#byPath.find(headers, path, end, context, best);
      if (this.#byFoldedPath !== undefined) best = this.#byFoldedPath.find(headers, path, end, context, best);
    }
    const connect = this.#connect;
    for (let i = 0; i < connect.length; i++) {
      const route = connect[i]!;
      if (route.order >= best) break;
      if (isConnect(headers) && route.matches(headers, '', 0, context)) {
        best = route.order;
        break;
      }
    }
    return best === Number.POSITIVE_INFINITY ? undefined : this.#routes[best]!.entryFor(headers, context);
  }
}

/** CONNECT, or the extended one for UDP. */
function isConnect(headers: HeaderMap): boolean {
  return (
    headers.method === 'CONNECT' ||
    (headers.get('upgrade') === 'connect-udp' && headers.get('connection') !== undefined)
  );
}

/** `;...` of every segment goes; the query stays as it is. */
function withoutParameters(path: string): string {
  const end = endOfPath(path);
  return path.slice(0, end).replace(/;[^/]*/g, '') + path.slice(end);
}

function endOfPath(path: string): number {
  let end = path.length;
  const query = path.indexOf('?');
  if (query >= 0) end = query;
  const fragment = path.indexOf('#');
  return fragment >= 0 && fragment < end ? fragment : end;
}

/** What a route asks beside the literal part of its path. */
export interface RouteConditions {
  /** Of the whole path: a regular expression. */
  readonly path: StringMatcher | null;
  /** Of the whole path with its parameters, whether they are ignored or not. */
  readonly template: StringMatcher | null;
  readonly runtimeFraction: RuntimeFraction | null;
  readonly headers: readonly HeaderMatcher[];
  readonly queryParameters: readonly NamedCondition[];
  readonly cookies: readonly NamedCondition[];
  readonly grpc: boolean;
  readonly tlsPresented: boolean | undefined;
  readonly tlsValidated: boolean | undefined;
  readonly dynamicMetadata: readonly MetadataMatcher[];
  readonly filterState: readonly FilterStateMatcher[];
}

/** A query parameter or a cookie. A null `value` asks for presence. */
export interface NamedCondition {
  readonly name: string;
  readonly value: StringMatcher | null;
  readonly inverted: boolean;
}

export class CompiledRoute implements Candidate {
  readonly order: number;
  readonly #entry: RouteEntry;
  readonly #weighted: WeightedChoice | null;
  readonly #conditions: RouteConditions;
  /** Most routes have none: then the path alone decides. */
  readonly #isConditional: boolean;
  readonly #runtime: Runtime;

  constructor(
    order: number,
    entry: RouteEntry,
    weighted: WeightedChoice | null,
    conditions: RouteConditions,
    runtime: Runtime,
  ) {
    this.order = order;
    this.#entry = entry;
    this.#weighted = weighted;
    this.#conditions = conditions;
    this.#runtime = runtime;
    this.#isConditional =
      weighted?.followsRuntime === true ||
      conditions.path !== null ||
      conditions.template !== null ||
      conditions.runtimeFraction !== null ||
      conditions.headers.length > 0 ||
      conditions.queryParameters.length > 0 ||
      conditions.cookies.length > 0 ||
      conditions.grpc ||
      conditions.tlsPresented !== undefined ||
      conditions.tlsValidated !== undefined ||
      conditions.dynamicMetadata.length > 0 ||
      conditions.filterState.length > 0;
  }

  matches(headers: HeaderMap, path: string, end: number, context: RouteContext): boolean {
    if (!this.#isConditional) return true;
    if (this.#weighted !== null && !this.#weighted.hasWeight()) return false;
    const it = this.#conditions;
    if (it.path !== null && !it.path.matches(end === path.length ? path : path.slice(0, end))) return false;
    if (it.template !== null && !it.template.matches(headers.path.slice(0, endOfPath(headers.path))))
      return false;
    if (it.runtimeFraction !== null && !this.#runtime.enabled(it.runtimeFraction, context.random))
      return false;
    if (!allHeadersMatch(it.headers, headers)) return false;
    if (it.queryParameters.length > 0 && !queryMatches(it.queryParameters, headers.path)) return false;
    if (it.cookies.length > 0 && !cookiesMatch(it.cookies, headers)) return false;
    if (it.grpc && !isGrpcRequest(headers)) return false;
    const tls = context.info.connection.tls;
    if (it.tlsPresented !== undefined && it.tlsPresented !== (tls?.peerPresented === true)) return false;
    if (it.tlsValidated !== undefined && it.tlsValidated !== (tls?.peerValidated === true)) return false;
    for (let i = 0; i < it.dynamicMetadata.length; i++)
      if (!it.dynamicMetadata[i]!.matches(context.info.dynamicMetadata)) return false;
    for (let i = 0; i < it.filterState.length; i++)
      if (!it.filterState[i]!.matches(context.info.filterState)) return false;
    return true;
  }

  entryFor(headers: HeaderMap, context: RouteContext): RouteEntry {
    return this.#weighted === null ? this.#entry : this.#weighted.choose(headers, context);
  }
}

function queryMatches(conditions: readonly NamedCondition[], path: string): boolean {
  for (let i = 0; i < conditions.length; i++)
    if (!holds(conditions[i]!, queryParameter(path, conditions[i]!.name))) return false;
  return true;
}

function cookiesMatch(conditions: readonly NamedCondition[], headers: HeaderMap): boolean {
  for (let i = 0; i < conditions.length; i++)
    if (!holds(conditions[i]!, cookieValue(headers, conditions[i]!.name))) return false;
  return true;
}

function holds(condition: NamedCondition, found: string | undefined): boolean {
  const { value, inverted } = condition;
  return (found !== undefined && (value === null || value.matches(found))) !== inverted;
}

const grpc = 'application/grpc';

export function isGrpcRequest(headers: HeaderMap): boolean {
  const type = headers.get('content-type');
  if (type === undefined || !type.startsWith(grpc)) return false;
  return type.length === grpc.length || type.charCodeAt(grpc.length) === 43;
}

/** The clusters of a weighted route. */
export class WeightedChoice {
  readonly #entries: readonly RouteEntry[];
  readonly #weights: readonly number[];
  readonly #total: number;
  readonly #headerName: string;
  /** `use_hash_policy`: undefined without. */
  readonly #hashPolicies: HashPolicies | undefined;
  /** Keys of the runtime values that replace the weights; empty for none. */
  readonly #runtimeKeys: readonly string[];
  readonly #runtime: Runtime;

  constructor(
    entries: readonly RouteEntry[],
    weights: readonly number[],
    headerName: string,
    hashPolicies: HashPolicies | undefined,
    runtimeKeys: readonly string[],
    runtime: Runtime,
  ) {
    this.#entries = entries;
    this.#weights = weights;
    this.#total = weights.reduce((sum, weight) => sum + weight, 0);
    this.#headerName = headerName;
    this.#hashPolicies = hashPolicies;
    this.#runtimeKeys = runtimeKeys;
    this.#runtime = runtime;
  }

  get followsRuntime(): boolean {
    return this.#runtimeKeys.length > 0;
  }

  /** The runtime may have taken all of it: then the route does not match. */
  hasWeight(): boolean {
    for (let i = 0; i < this.#weights.length; i++) if (this.#weight(i) > 0) return true;
    return false;
  }

  choose(headers: HeaderMap, context: RouteContext): RouteEntry {
    const entries = this.#entries;
    let total = this.#total;
    if (this.#runtimeKeys.length > 0) {
      total = 0;
      for (let i = 0; i < entries.length; i++) total += this.#weight(i);
    }
    let point = total === 0 ? 0 : this.#point(headers, context, total);
    for (let i = 0; i < entries.length; i++) {
      point -= this.#weight(i);
      if (point < 0) return entries[i]!;
    }
    return entries[entries.length - 1]!;
  }

  #weight(i: number): number {
    const weight = this.#weights[i]!;
    return this.#runtimeKeys.length === 0 ? weight : this.#runtime.integer(this.#runtimeKeys[i]!, weight);
  }

  #point(headers: HeaderMap, context: RouteContext, total: number): number {
    if (this.#headerName !== '') {
      const given = headers.get(this.#headerName);
      if (given !== undefined && /^\d{1,20}$/.test(given)) return Number(BigInt(given) % BigInt(total));
    }
    if (this.#hashPolicies !== undefined) {
      hashed.requestHeaders = headers;
      hashed.streamInfo = context.info;
      if (this.#hashPolicies.hash(hashed, noCookies, hash)) return hash.modulo(total);
    }
    return context.random % total;
  }
}

const hash = new Uint64();
const hashed = {
  requestHeaders: undefined as HeaderMap | undefined,
  streamInfo: undefined as StreamInfo | undefined,
};
const noCookies: CookieSetter = { addresses: '', setCookie: () => {} };
