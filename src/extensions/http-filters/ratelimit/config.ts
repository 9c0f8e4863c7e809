// Plain configuration of the ratelimit filter, of the chain and per route.
import type { ParseContext } from '#config/parse-context.ts';
import type { GrpcServiceData } from '#extension/grpc-service.ts';
import { type HeaderMutationData, parseHeaderValueOption } from '#extension/header-mutation-config.ts';
import { parseRateLimits, type RateLimitData } from '#extension/rate-limit-policy.ts';
import type { RuntimeFraction } from '#extension/runtime.ts';
import { runtimeFraction } from '#extension/runtime-config.ts';
import type {
  RateLimit,
  RateLimitPerRoute,
} from '#schema/messages/envoy/extensions/filters/http/ratelimit/v3.ts';
import { enumType } from '#schema/registry.ts';
import { parseRateLimitService } from '../../ratelimit/should-rate-limit.ts';

export interface RateLimitConfig {
  readonly domain: string;
  readonly stage: number;
  readonly requestType: 'internal' | 'external' | 'both';
  readonly service: GrpcServiceData | undefined;
  readonly failureModeDeny: boolean;
  /** Instead of `failureModeDeny`. */
  readonly failureModeDenyShare: RuntimeFraction | undefined;
  readonly asResourceExhausted: boolean;
  readonly xRateLimitHeaders: boolean;
  readonly envoyRateLimitedHeader: boolean;
  readonly retryAfterHeader: boolean;
  readonly status: number;
  readonly statusOnError: number;
  readonly responseHeadersToAdd: readonly HeaderMutationData[];
  readonly statPrefix: string;
  readonly enabled: RuntimeFraction;
  readonly enforced: RuntimeFraction;
  /** The filter's own policies; empty: those of the route. */
  readonly policies: readonly RateLimitData[];
  /** Where dynamic metadata of the answer goes. */
  readonly metadataNamespace: string;
}

export interface RateLimitRouteConfig {
  readonly virtualHostLimits: 'override' | 'include' | 'ignore';
  /** Instead of everybody else's; empty: theirs hold. */
  readonly policies: readonly RateLimitData[];
  /** Empty: the filter's. */
  readonly domain: string;
}

export function parseRateLimit(message: RateLimit, at: ParseContext): RateLimitConfig {
  return {
    domain: message.domain,
    stage: message.stage,
    requestType: requestTypeOf(message.request_type),
    service: parseRateLimitService(message.rate_limit_service, message.timeout, at),
    failureModeDeny: message.failure_mode_deny,
    failureModeDenyShare:
      message.failure_mode_deny_percent && runtimeFraction(message.failure_mode_deny_percent),
    asResourceExhausted: message.rate_limited_as_resource_exhausted,
    xRateLimitHeaders: message.enable_x_ratelimit_headers === 'DRAFT_VERSION_03',
    envoyRateLimitedHeader: !message.disable_x_envoy_ratelimited_header,
    retryAfterHeader: message.enable_retry_after_header,
    status: errorStatus(message.rate_limited_status?.code, 429),
    statusOnError: errorStatus(message.status_on_error?.code, 500),
    responseHeadersToAdd: message.response_headers_to_add.map((it, i) =>
      parseHeaderValueOption(it, at.field('response_headers_to_add', i)),
    ),
    statPrefix: message.stat_prefix,
    enabled:
      message.filter_enabled === undefined
        ? always('ratelimit.http_filter_enabled')
        : runtimeFraction(message.filter_enabled),
    enforced:
      message.filter_enforced === undefined
        ? always('ratelimit.http_filter_enforcing')
        : runtimeFraction(message.filter_enforced),
    policies: parseRateLimits(message.rate_limits, at, 'rate_limits'),
    metadataNamespace: message.metadata_namespace || 'envoy.filters.http.ratelimit',
  };
}

export function parseRateLimitPerRoute(message: RateLimitPerRoute, at: ParseContext): RateLimitRouteConfig {
  if (message.override_option !== 'DEFAULT') at.field('override_option').warn('has no effect');
  return {
    virtualHostLimits:
      message.vh_rate_limits === 'INCLUDE'
        ? 'include'
        : message.vh_rate_limits === 'IGNORE'
          ? 'ignore'
          : 'override',
    policies: parseRateLimits(message.rate_limits, at, 'rate_limits'),
    domain: message.domain,
  };
}

function requestTypeOf(text: string): RateLimitConfig['requestType'] {
  return text === 'internal' || text === 'external' ? text : 'both';
}

function always(runtimeKey: string): RuntimeFraction {
  return { numerator: 100, denominator: 100, runtimeKey };
}

/** Only an error may be answered: anything below 400 counts as not set. */
function errorStatus(code: string | number | undefined, fallback: number): number {
  const number = code === undefined ? 0 : (enumType('envoy.type.v3.StatusCode')!.numberOf(code) ?? 0);
  return number >= 400 ? number : fallback;
}
