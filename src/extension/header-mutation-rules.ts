// `HeaderMutationRules`: what a service that a filter asks may do to the headers of a message.
import type { Regex } from '#base/regex.ts';
import type { ParseContext } from '#config/parse-context.ts';
import { isHeaderValue } from '#http/header-validity.ts';
import { isAuthorityValid } from '#http/url.ts';
import type { HeaderMutationRules } from '#schema/messages/envoy/config/common/mutation_rules/v3.ts';
import { sharedRegex } from './matchers/compile.ts';
import { parseRegex } from './matchers/parse.ts';

export interface HeaderRulesData {
  readonly allowAllRouting: boolean;
  readonly allowEnvoy: boolean;
  readonly disallowSystem: boolean;
  readonly disallowAll: boolean;
  readonly allow: string | undefined;
  readonly disallow: string | undefined;
  readonly disallowIsError: boolean;
}

export function parseHeaderRules(message: HeaderMutationRules, at: ParseContext): HeaderRulesData {
  const { allow_expression: allow, disallow_expression: disallow } = message;
  return {
    allowAllRouting: message.allow_all_routing ?? false,
    allowEnvoy: message.allow_envoy ?? false,
    disallowSystem: message.disallow_system ?? false,
    disallowAll: message.disallow_all ?? false,
    allow: allow && parseRegex(allow, at.field('allow_expression')),
    disallow: disallow && parseRegex(disallow, at.field('disallow_expression')),
    disallowIsError: message.disallow_is_error ?? false,
  };
}

/** `Append`: a further value of a header that may be there. */
export const HeaderOperation = { Set: 0, Append: 1, Remove: 2 } as const;
export type HeaderOperation = (typeof HeaderOperation)[keyof typeof HeaderOperation];

export class HeaderRules {
  /** What is not allowed spoils the whole answer; otherwise it is left out. */
  readonly disallowIsError: boolean;
  readonly #data: HeaderRulesData;
  readonly #allow: Regex | undefined;
  readonly #disallow: Regex | undefined;

  constructor(data: HeaderRulesData) {
    this.disallowIsError = data.disallowIsError;
    this.#data = data;
    this.#allow = data.allow === undefined ? undefined : sharedRegex(data.allow);
    this.#disallow = data.disallow === undefined ? undefined : sharedRegex(data.disallow);
  }

  /** `name` is lower-case. */
  allows(operation: HeaderOperation, name: string, value: string): boolean {
    return (
      this.#allowsName(operation, name) && (operation === HeaderOperation.Remove || isValid(name, value))
    );
  }

  #allowsName(operation: HeaderOperation, name: string): boolean {
    const { allowAllRouting, allowEnvoy, disallowAll, disallowSystem } = this.#data;
    const isPseudo = name.startsWith(':');
    if (operation === HeaderOperation.Remove && (isPseudo || name === 'host')) return false;
    if (this.#disallow?.fullMatch(name)) return false;
    if (this.#allow?.fullMatch(name)) return true;
    if (disallowAll || (!allowAllRouting && routing.has(name))) return false;
    if (isPseudo && (disallowSystem || operation === HeaderOperation.Append)) return false;
    return allowEnvoy || !name.startsWith('x-envoy');
  }
}

const routing: ReadonlySet<string> = new Set(['host', ':authority', ':method', ':scheme']);

function isValid(name: string, value: string): boolean {
  if (name === 'host' || name === ':authority') return isHeaderValue(value) && isAuthorityValid(value);
  if (name === ':scheme') return /^https?$/i.test(value);
  if (name === ':status') return /^\d+$/.test(value) && Number(value) >= 200;
  return name.startsWith(':') || isHeaderValue(value);
}
