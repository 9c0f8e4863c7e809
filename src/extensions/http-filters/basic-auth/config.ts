// Plain configuration of the basic_auth filter.
import type { ParseContext } from '#config/parse-context.ts';
import { readDataSource } from '#extension/data-source.ts';
import type { DataSource } from '#schema/messages/envoy/config/core/v3.ts';
import type {
  BasicAuth,
  BasicAuthPerRoute,
} from '#schema/messages/envoy/extensions/filters/http/basic_auth/v3.ts';

export interface BasicAuthRouteConfig {
  /** SHA-1 of the password, in base64, by user. */
  readonly users: ReadonlyMap<string, string>;
  /** Empty: the URL that was asked for, or what the filter says. */
  readonly realm: string;
}

export interface BasicAuthConfig extends BasicAuthRouteConfig {
  /** Lower-case; empty: the user's name is not forwarded. */
  readonly forwardHeader: string;
  /** Lower-case. */
  readonly authenticationHeader: string;
  readonly allowsMissing: boolean;
  readonly emitsMetadata: boolean;
}

export function parseBasicAuth(message: BasicAuth, at: ParseContext): BasicAuthConfig {
  return {
    users: parseUsers(message.users, at.field('users')),
    realm: message.realm,
    forwardHeader: message.forward_username_header.toLowerCase(),
    authenticationHeader:
      message.authentication_header === '' ? 'authorization' : message.authentication_header.toLowerCase(),
    allowsMissing: message.allow_missing,
    emitsMetadata: message.emit_dynamic_metadata,
  };
}

export function parseBasicAuthRoute(message: BasicAuthPerRoute, at: ParseContext): BasicAuthRouteConfig {
  return { users: parseUsers(message.users, at.field('users')), realm: message.realm };
}

const prefix = '{SHA}';
/** Base64 of the 20 bytes of SHA-1. */
const hashLength = 28;

/** Lines as `htpasswd -s` writes them. */
function parseUsers(source: DataSource | undefined, at: ParseContext): Map<string, string> {
  const users = new Map<string, string>();
  const refuse = (problem: string) => at.fail(problem, { envoy: problem });
  if (source === undefined) {
    refuse('Unexpected DataSource::specifier_case(): 0');
    return users;
  }
  const text = readDataSource(source, at)?.toString('latin1');
  if (text === '') refuse('DataSource cannot be empty');
  for (const line of (text ?? '').split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const colon = line.indexOf(':');
    const name = line.slice(0, colon);
    const hash = line.slice(colon + 1);
    if (colon < 0) refuse('basic auth: invalid htpasswd format, username:password is expected');
    else if (name === '' || hash === '') refuse('basic auth: empty user name or password');
    else if (users.has(name)) refuse('basic auth: duplicate users');
    else if (!hash.startsWith(prefix)) refuse('basic auth: unsupported htpasswd format: please use {SHA}');
    else if (hash.length !== prefix.length + hashLength)
      refuse('basic auth: invalid htpasswd format, invalid SHA hash length');
    else users.set(name, hash.slice(prefix.length));
  }
  return users;
}
