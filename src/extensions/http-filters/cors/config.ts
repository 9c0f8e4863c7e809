// Plain configuration of the cors filter: all of it is per route.
import type { ParseContext } from '#config/parse-context.ts';
import type { StringMatcherData } from '#extension/matchers/matcher-config.ts';
import { parseStringMatcher } from '#extension/matchers/parse.ts';
import type { RuntimeFraction } from '#extension/runtime.ts';
import { runtimeFraction } from '#extension/runtime-config.ts';
import type { CorsPolicy } from '#schema/messages/envoy/extensions/filters/http/cors/v3.ts';

export interface CorsConfig {
  readonly allowOrigin: readonly StringMatcherData[];
  /** Values of the answer's headers; empty leaves the header out. */
  readonly allowMethods: string;
  readonly allowHeaders: string;
  readonly exposeHeaders: string;
  readonly maxAge: string;
  readonly allowCredentials: boolean | undefined;
  readonly allowPrivateNetworkAccess: boolean | undefined;
  /** A preflight of an origin that is not allowed goes on to the upstream (Envoy's default) instead of being answered here. */
  readonly forwardNotMatchingPreflights: boolean | undefined;
  /** Undefined: always. */
  readonly enabled: RuntimeFraction | undefined;
  /** Only counts. */
  readonly shadow: RuntimeFraction | undefined;
}

export function parseCorsPolicy(message: CorsPolicy, at: ParseContext): CorsConfig {
  return {
    allowOrigin: message.allow_origin_string_match.map((it, i) =>
      parseStringMatcher(it, at.field('allow_origin_string_match', i)),
    ),
    allowMethods: message.allow_methods,
    allowHeaders: message.allow_headers,
    exposeHeaders: message.expose_headers,
    maxAge: message.max_age,
    allowCredentials: message.allow_credentials,
    allowPrivateNetworkAccess: message.allow_private_network_access,
    forwardNotMatchingPreflights: message.forward_not_matching_preflights,
    enabled: message.filter_enabled && runtimeFraction(message.filter_enabled),
    shadow: message.shadow_enabled && runtimeFraction(message.shadow_enabled),
  };
}
