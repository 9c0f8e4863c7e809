import type { ParseContext } from '#config/parse-context.ts';
import { checkFormat } from '#extension/format-config.ts';
import type { Formatter } from '#extension/formatter.ts';
import { type GrpcServiceData, MethodClient } from '#extension/grpc-service.ts';
import { defineNetworkFilter } from '#extension/network-filter.ts';
import { compileFormat } from '#extension/substitution/compile.ts';
import type { RateLimit } from '#schema/messages/envoy/extensions/filters/network/ratelimit/v3.ts';
import { parseRateLimitService, rateLimitMethod } from '../../ratelimit/should-rate-limit.ts';
import { NetworkRateLimitFilter, NetworkRateLimitStats } from './filter.ts';

export interface NetworkRateLimitConfig {
  readonly statPrefix: string;
  readonly domain: string;
  /** Key and format of the value in turn. */
  readonly descriptors: readonly (readonly string[])[];
  readonly failureModeDeny: boolean;
  readonly service: GrpcServiceData | undefined;
}

/** Asks a rate limit service about every new connection. */
export const networkRateLimit = defineNetworkFilter({
  kind: 'network_filter',
  name: 'envoy.filters.network.ratelimit',
  type: 'envoy.extensions.filters.network.ratelimit.v3.RateLimit',
  parse(message: RateLimit, at: ParseContext): NetworkRateLimitConfig {
    return {
      statPrefix: message.stat_prefix,
      domain: message.domain,
      descriptors: message.descriptors.map((descriptor, i) => {
        const here = at.field('descriptors', i);
        if (descriptor.limit !== undefined) here.field('limit').warn('has no effect in this filter');
        if (descriptor.hits_addend !== undefined)
          here.field('hits_addend').warn('has no effect in this filter');
        return descriptor.entries.flatMap(({ key, value }, k) => {
          checkFormat(value, here.field('entries', k).field('value'));
          return [key, value];
        });
      }),
      failureModeDeny: message.failure_mode_deny,
      service: parseRateLimitService(message.rate_limit_service, message.timeout, at),
    };
  },
  prepare(config, context) {
    const shared = {
      config,
      stats: context.stats.scope(`ratelimit.${config.statPrefix}`).stats(NetworkRateLimitStats),
      client: new MethodClient(config.service!, rateLimitMethod, context),
      runtime: context.runtime,
      descriptors: config.descriptors.map((it) =>
        it.map((text, i): string | Formatter => (i % 2 === 0 ? text : compileFormat(text))),
      ),
    };
    return (connection) => new NetworkRateLimitFilter(shared, connection);
  },
});
