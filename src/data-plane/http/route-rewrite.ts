// What a route changes in a request's host and path, and where a redirect points to.
import type { Regex, Substitution } from '#base/regex.ts';
import type { FormatContext, Formatter } from '#extension/formatter.ts';
import { asciiLowerCase } from '#extension/matchers/string-matcher.ts';
import type { HeaderMap } from '#http/header-map.ts';
import { isHeaderValue } from '#http/header-validity.ts';
import type { RedirectPolicy, RouteEntry, RouteRewrite } from './route-entry.ts';

/**
 * Everything a route does to the headers of a request on its way upstream, in Envoy's order: mutations, host, path. `keepOriginals`
 * is false with suppress_envoy_headers. Called once per attempt's headers, before they go upstream.
 */
export function finalizeRequestHeaders(
  entry: RouteEntry,
  headers: HeaderMap,
  context: FormatContext,
  keepOriginals: boolean,
  connectPort: string,
): void {
  if (entry.clusterHostRewrite !== '') headers.authority = entry.clusterHostRewrite;
  if (entry.requestHeaderMutations !== null) entry.requestHeaderMutations.apply(headers, context);
  if (connectPort !== '' && !hasPort(headers.authority)) headers.authority += connectPort;
  const rewrite = entry.rewrite;
  if (rewrite === null) return;
  const host = rewrite.host(headers, context);
  if (host !== '') setHost(headers, host, entry.appendXForwardedHost, keepOriginals);
  const path = rewrite.path(headers.path, context);
  if (path !== undefined) setPath(headers, path, keepOriginals);
}

function hasPort(authority: string): boolean {
  const colon = authority.lastIndexOf(':');
  return colon >= 0 && authority.indexOf(']', colon) < 0;
}

function setPath(headers: HeaderMap, path: string, keepOriginal: boolean): void {
  if (keepOriginal) headers.set('x-envoy-original-path', headers.path);
  headers.path = path;
  if (!isHeaderValue(path)) headers.isUnchecked = true;
}

/** For host rewrites of the route, and of auto_host_rewrite when the upstream host is known. */
export function setHost(
  headers: HeaderMap,
  host: string,
  appendXForwardedHost: boolean,
  keepOriginal: boolean,
): void {
  if (keepOriginal && headers.authority !== '') headers.set('x-envoy-original-host', headers.authority);
  if (appendXForwardedHost && headers.authority !== '') {
    const before = headers.get('x-forwarded-host');
    headers.set(
      'x-forwarded-host',
      before === undefined ? headers.authority : `${before},${headers.authority}`,
    );
  }
  headers.authority = host;
}

export function finalizeResponseHeaders(entry: RouteEntry, headers: HeaderMap, context: FormatContext): void {
  if (entry.responseHeaderMutations !== null) entry.responseHeaderMutations.apply(headers, context);
}

/** The cluster a request goes to: fixed, or named by a header. Empty when that header is missing. */
export function clusterOf(entry: RouteEntry, headers: HeaderMap): string {
  return entry.clusterHeader === '' ? entry.clusterName : (headers.get(entry.clusterHeader) ?? '');
}

export interface PathRewrite {
  /** With its query. Undefined: the path stays. */
  rewrite(path: string, context: FormatContext): string | undefined;
}

/** `prefix_rewrite`: the prefix or path that the route matches is replaced, if the path begins with it (parameters may have been ignored). */
export class PrefixRewrite implements PathRewrite {
  /** In lower case when case is ignored; empty: all of the path up to the query. */
  readonly #matched: string;
  readonly #ignoresCase: boolean;
  readonly #replacement: string;

  constructor(matched: string, ignoresCase: boolean, replacement: string) {
    this.#matched = matched;
    this.#ignoresCase = ignoresCase;
    this.#replacement = replacement;
  }

  rewrite(path: string): string | undefined {
    const { length } = this.#matched;
    if (length === 0) return this.#replacement + path.slice(pathEnd(path));
    const begins = this.#ignoresCase
      ? asciiLowerCase(path.slice(0, length)) === this.#matched
      : path.startsWith(this.#matched);
    return begins ? this.#replacement + path.slice(length) : undefined;
  }
}

/** `regex_rewrite`, on the path without its query. */
export class RegexPathRewrite implements PathRewrite {
  readonly #regex: Regex;
  readonly #substitution: Substitution;

  constructor(regex: Regex, substitution: Substitution) {
    this.#regex = regex;
    this.#substitution = substitution;
  }

  rewrite(path: string): string {
    const end = pathEnd(path);
    return this.#regex.replaceAll(path.slice(0, end), this.#substitution) + path.slice(end);
  }
}

/** `path_rewrite`: a format string makes the path, the query stays. */
export class FormatPathRewrite implements PathRewrite {
  readonly #formatter: Formatter;

  constructor(formatter: Formatter) {
    this.#formatter = formatter;
  }

  rewrite(path: string, context: FormatContext): string | undefined {
    const made = this.#formatter.format(context);
    return made === '' ? undefined : made + path.slice(pathEnd(path));
  }
}

export interface HostRewrite {
  /** Empty: leave it. */
  rewrite(headers: HeaderMap, context: FormatContext): string;
}

export class LiteralHostRewrite implements HostRewrite {
  readonly #host: string;

  constructor(host: string) {
    this.#host = host;
  }

  rewrite(): string {
    return this.#host;
  }
}

/** `host_rewrite`: a format string makes the host. */
export class FormatHostRewrite implements HostRewrite {
  readonly #formatter: Formatter;

  constructor(formatter: Formatter) {
    this.#formatter = formatter;
  }

  rewrite(_headers: HeaderMap, context: FormatContext): string {
    return this.#formatter.format(context);
  }
}

export class HeaderHostRewrite implements HostRewrite {
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
  }

  rewrite(headers: HeaderMap): string {
    return headers.get(this.#name) ?? '';
  }
}

/** `host_rewrite_path_regex`: from the path before it is rewritten. */
export class PathHostRewrite implements HostRewrite {
  readonly #regex: Regex;
  readonly #substitution: Substitution;

  constructor(regex: Regex, substitution: Substitution) {
    this.#regex = regex;
    this.#substitution = substitution;
  }

  rewrite(headers: HeaderMap): string {
    return this.#regex.replaceAll(headers.path.slice(0, pathEnd(headers.path)), this.#substitution);
  }
}

export class CompiledRewrite implements RouteRewrite {
  readonly #path: PathRewrite | null;
  readonly #host: HostRewrite | null;

  constructor(path: PathRewrite | null, host: HostRewrite | null) {
    this.#path = path;
    this.#host = host;
  }

  path(path: string, context: FormatContext): string | undefined {
    return this.#path === null ? undefined : this.#path.rewrite(path, context);
  }

  host(headers: HeaderMap, context: FormatContext): string {
    return this.#host === null ? '' : this.#host.rewrite(headers, context);
  }
}

/** Index of the query or fragment, or the length. */
function pathEnd(path: string): number {
  const query = path.indexOf('?');
  const fragment = path.indexOf('#');
  if (query < 0) return fragment < 0 ? path.length : fragment;
  return fragment < 0 || fragment > query ? query : fragment;
}

export interface RedirectTarget {
  /** Empty: that of the request. */
  readonly scheme: string;
  readonly host: string;
  /** `:8443`, or empty. */
  readonly port: string;
  readonly path: string;
  /** Makes the path anew for every request. */
  readonly pathFormat: Formatter | null;
  /** The request's own path becomes that of the rewrite. */
  readonly rewrite: PathRewrite | null;
  readonly stripQuery: boolean;
}

export class CompiledRedirect implements RedirectPolicy {
  readonly #to: RedirectTarget;

  constructor(to: RedirectTarget) {
    this.#to = to;
  }

  location(headers: HeaderMap, context: FormatContext, keepOriginals: boolean): string {
    const to = this.#to;
    let requested = headers.path;
    if (to.rewrite !== null) {
      const path = to.rewrite.rewrite(headers.path, context);
      if (path !== undefined) {
        requested = path;
        setPath(headers, path, keepOriginals);
      }
    }
    const scheme = to.scheme === '' ? headers.scheme : to.scheme;
    const host = to.host === '' ? requestHost(headers, scheme, to.port !== '') : to.host;
    const path = this.#path(requested, to.pathFormat === null ? to.path : to.pathFormat.format(context));
    return `${scheme}://${host}${to.port}${path.startsWith('/') ? '' : '/'}${path}`;
  }

  #path(requested: string, own: string): string {
    // A query of path_redirect or path_rewrite itself replaces that of the request, and strip_query does not touch it.
    if (own.includes('?')) return own;
    const query = requested.indexOf('?');
    const path = own === '' ? requested : query < 0 ? own : own + requested.slice(query);
    if (!this.#to.stripQuery) return path;
    const end = path.indexOf('?');
    return end < 0 ? path : path.slice(0, end);
  }
}

/** `require_tls`: the same place, port and all. */
export class TlsRedirect implements RedirectPolicy {
  location(headers: HeaderMap): string {
    return `https://${headers.authority}${headers.path}`;
  }
}

/** The request's host; its port goes when the redirect names one, or when it was the default of the scheme that changes. */
function requestHost(headers: HeaderMap, scheme: string, hasPort: boolean): string {
  const host = headers.authority;
  const bracket = host.startsWith('[') ? host.lastIndexOf(']:') : -2;
  const colon = bracket === -2 ? host.lastIndexOf(':') : bracket < 0 ? -1 : bracket + 1;
  if (colon < 0) return host;
  const port = host.slice(colon);
  const protocol = headers.get('x-forwarded-proto') ?? '';
  const changes = scheme !== protocol;
  const isDefault = (protocol === 'https' && port === ':443') || (protocol === 'http' && port === ':80');
  return hasPort || (changes && isDefault) ? host.slice(0, colon) : host;
}
