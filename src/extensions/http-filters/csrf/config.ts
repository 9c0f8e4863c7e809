// Plain configuration of the csrf filter.
import type { ParseContext } from '#config/parse-context.ts';
import type { StringMatcherData } from '#extension/matchers/matcher-config.ts';
import { parseStringMatcher } from '#extension/matchers/parse.ts';
import type { RuntimeFraction } from '#extension/runtime.ts';
import { runtimeFraction } from '#extension/runtime-config.ts';
import type { CsrfPolicy } from '#schema/messages/envoy/extensions/filters/http/csrf/v3.ts';

export interface CsrfConfig {
  readonly enabled: RuntimeFraction;
  /** Only counts. */
  readonly shadow: RuntimeFraction | undefined;
  readonly additionalOrigins: readonly StringMatcherData[];
}

export function parseCsrf(message: CsrfPolicy, at: ParseContext): CsrfConfig {
  return {
    enabled: runtimeFraction(message.filter_enabled!),
    shadow: message.shadow_enabled && runtimeFraction(message.shadow_enabled),
    additionalOrigins: message.additional_origins.map((origin, i) =>
      parseStringMatcher(origin, at.field('additional_origins', i)),
    ),
  };
}
