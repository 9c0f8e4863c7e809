// Asks for a user name and a password (RFC 7617), which have to be among those configured.
import { createHash } from 'node:crypto';
import { addDynamicMetadata } from '#extension/dynamic-metadata.ts';
import { FilterStatus, type HttpFilter, type HttpStream } from '#extension/http-filter.ts';
import type { HeaderMap } from '#http/header-map.ts';
import type { Counter } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';
import type { BasicAuthConfig, BasicAuthRouteConfig } from './config.ts';

export class BasicAuthStats {
  readonly allowed: Counter;
  readonly denied: Counter;

  constructor(scope: Scope) {
    this.allowed = scope.counter('allowed');
    this.denied = scope.counter('denied');
  }
}

const scheme = 'Basic ';

/** Without state per request: one instance serves all. */
export class BasicAuthFilter implements HttpFilter {
  readonly #config: BasicAuthConfig;
  readonly #name: string;
  readonly #stats: BasicAuthStats;

  constructor(config: BasicAuthConfig, name: string, stats: BasicAuthStats) {
    this.#config = config;
    this.#name = name;
    this.#stats = stats;
  }

  decodeHeaders(stream: HttpStream, headers: HeaderMap): FilterStatus {
    const config = this.#config;
    const route = stream.routeConfig(this.#name) as BasicAuthRouteConfig | undefined;
    const users = route === undefined ? config.users : route.users;
    const value = headers.get(config.authenticationHeader);
    if (value === undefined || !value.startsWith(scheme)) {
      if (config.allowsMissing) return FilterStatus.Continue;
      return value === undefined
        ? this.#refuse(stream, 'Missing username and password.', 'no_credential_for_basic_auth')
        : this.#refuse(stream, "Expected 'Basic' authentication scheme.", 'invalid_scheme_for_basic_auth');
    }
    const credentials = decoded(value.slice(scheme.length));
    const colon = credentials.indexOf(':');
    if (colon < 0)
      return this.#refuse(stream, 'Invalid basic credential format.', 'invalid_format_for_basic_auth');
    const user = credentials.slice(0, colon);
    const password = Buffer.from(credentials.slice(colon + 1), 'latin1');
    if (users.get(user) !== createHash('sha1').update(password).digest('base64'))
      return this.#refuse(
        stream,
        'Invalid username/password combination.',
        'invalid_credential_for_basic_auth',
      );
    this.#stats.allowed.value++;
    if (config.forwardHeader !== '') {
      headers.remove(config.forwardHeader);
      headers.add(config.forwardHeader, user);
    }
    if (config.emitsMetadata) addDynamicMetadata(stream.info, metadataName, { username: user });
    return FilterStatus.Continue;
  }

  #refuse(stream: HttpStream, problem: string, details: string): FilterStatus {
    this.#stats.denied.value++;
    const route = stream.routeConfig(this.#name) as BasicAuthRouteConfig | undefined;
    const realm = route?.realm || this.#config.realm || urlOf(stream.requestHeaders);
    stream.sendLocalReply(401, `User authentication failed. ${problem}`, details, -1, (headers) =>
      headers.add('www-authenticate', `Basic realm="${realm.replaceAll(/["\\]/g, '\\$&')}"`),
    );
    return FilterStatus.StopIteration;
  }
}

const metadataName = 'envoy.filters.http.basic_auth';

/** Latin1; empty when it is no base64. The padding may be missing. */
function decoded(text: string): string {
  return /^[A-Za-z0-9+/]+={0,2}$/.test(text) ? Buffer.from(text, 'base64').toString('latin1') : '';
}

function urlOf(headers: HeaderMap): string {
  return `${headers.scheme}://${headers.authority}${headers.path}`;
}
