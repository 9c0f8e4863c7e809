// `hash_policy` of routes and load balancers: messages -> plain data -> what hashes.
import { latin1OfUtf8 } from '#base/utf8.ts';
import type { ParseContext } from '#config/parse-context.ts';
import { headerField } from '#http/header-field.ts';
import type { RouteAction_HashPolicy } from '#schema/messages/envoy/config/route/v3.ts';
import {
  CookieHash,
  FilterStateHash,
  HashPolicies,
  type HashPolicy,
  HeaderHash,
  QueryParameterHash,
  SourceIpHash,
} from './hash-policy.ts';
import { compileSubstitute, parseSubstitute, type RegexRewriteData } from './matchers/substitute.ts';

export type HashPolicyData = { readonly terminal: boolean } & (
  | { readonly kind: 'header'; readonly name: string; readonly rewrite: RegexRewriteData | undefined }
  | {
      readonly kind: 'cookie';
      readonly name: string;
      /** -1: a missing cookie is not made. 0 makes a session cookie. */
      readonly ttlSeconds: number;
      readonly path: string;
      readonly attributes: readonly { readonly name: string; readonly value: string }[];
    }
  | { readonly kind: 'source_ip' }
  | { readonly kind: 'query_parameter'; readonly name: string }
  | { readonly kind: 'filter_state'; readonly key: string }
);

/** `at` stands on the message that has the field `hash_policy`. */
export function parseHashPolicies(
  messages: readonly RouteAction_HashPolicy[],
  at: ParseContext,
): HashPolicyData[] {
  return messages.flatMap((it, i) => parseHashPolicy(it, at.field('hash_policy', i)));
}

/** Undefined: there are none. */
export function compileHashPolicies(all: readonly HashPolicyData[]): HashPolicies | undefined {
  return all.length === 0 ? undefined : new HashPolicies(all.map(compileHashPolicy));
}

function parseHashPolicy(message: RouteAction_HashPolicy, at: ParseContext): HashPolicyData[] {
  const { terminal, header, cookie, connection_properties: connection } = message;
  if (header !== undefined)
    return [
      {
        kind: 'header',
        terminal,
        name: header.header_name.toLowerCase(),
        rewrite: parseSubstitute(header.regex_rewrite, at.field('header').field('regex_rewrite')),
      },
    ];
  if (cookie !== undefined)
    return [
      {
        kind: 'cookie',
        terminal,
        name: latin1OfUtf8(cookie.name),
        ttlSeconds: cookie.ttl?.seconds ?? -1,
        path: latin1OfUtf8(cookie.path),
        attributes: cookie.attributes.map(({ name, value }) => ({
          name: latin1OfUtf8(name),
          value: latin1OfUtf8(value),
        })),
      },
    ];
  // Without source_ip the policy hashes nothing.
  if (connection !== undefined) return connection.source_ip ? [{ kind: 'source_ip', terminal }] : [];
  if (message.query_parameter !== undefined)
    return [{ kind: 'query_parameter', terminal, name: latin1OfUtf8(message.query_parameter.name) }];
  if (message.filter_state !== undefined)
    return [{ kind: 'filter_state', terminal, key: message.filter_state.key }];
  at.fail('needs one of: header, cookie, connection_properties, query_parameter, filter_state');
  return [];
}

function compileHashPolicy(data: HashPolicyData): HashPolicy {
  const { terminal } = data;
  switch (data.kind) {
    case 'header': {
      const { name, rewrite } = data;
      return new HeaderHash(name, headerField(name), rewrite && compileSubstitute(rewrite), terminal);
    }
    case 'cookie':
      return new CookieHash(data.name, data.ttlSeconds, attributesOf(data), terminal);
    case 'source_ip':
      return new SourceIpHash(terminal);
    case 'query_parameter':
      return new QueryParameterHash(data.name, terminal);
    case 'filter_state':
      return new FilterStateHash(data.key, terminal);
  }
}

/** What follows the value of a cookie. */
function attributesOf(data: Extract<HashPolicyData, { kind: 'cookie' }>): string {
  let text = '';
  if (data.ttlSeconds > 0) text += `; Max-Age=${data.ttlSeconds}`;
  if (data.path !== '') text += `; Path=${data.path}`;
  for (const { name, value } of data.attributes) text += value === '' ? `; ${name}` : `; ${name}=${value}`;
  return `${text}; HttpOnly`;
}
