// Plain configuration of the local_ratelimit filter. Its token buckets are shared memory, so that a limit holds for the process.
import type { TokenBucketData } from '#base/token-bucket.ts';
import { type TokenBucketsData, tokenBucketsData } from '#base/token-buckets.ts';
import type { ParseContext } from '#config/parse-context.ts';
import { type HeaderMutationData, parseHeaderValueOption } from '#extension/header-mutation-config.ts';
import { parseRateLimits, type RateLimitData } from '#extension/rate-limit-policy.ts';
import type { RuntimeFraction } from '#extension/runtime.ts';
import { runtimeFraction } from '#extension/runtime-config.ts';
import { parseTokenBucket } from '#extension/token-bucket-config.ts';
import type { LocalRateLimit } from '#schema/messages/envoy/extensions/filters/http/local_ratelimit/v3.ts';
import { enumType } from '#schema/registry.ts';

export interface LocalRateLimitConfig {
  readonly statPrefix: string;
  readonly status: number;
  /** Undefined: only the descriptors limit. */
  readonly bucket: TokenBucketData | undefined;
  readonly descriptors: readonly DescriptorData[];
  /** The filter's own policies; empty: those of the route. */
  readonly policies: readonly RateLimitData[];
  /** Undefined: never. */
  readonly enabled: RuntimeFraction | undefined;
  readonly enforced: RuntimeFraction | undefined;
  readonly requestHeadersToAdd: readonly HeaderMutationData[];
  readonly responseHeadersToAdd: readonly HeaderMutationData[];
  readonly stage: number;
  readonly perConnection: boolean;
  readonly xRateLimitHeaders: boolean;
  readonly retryAfterHeader: boolean;
  readonly virtualHostLimits: 'override' | 'include' | 'ignore';
  readonly alwaysConsumeDefault: boolean;
  readonly asResourceExhausted: boolean;
}

export interface DescriptorData {
  /** [key, value, key, value, ...]; an empty value stands for any. */
  readonly entries: readonly string[];
  /** One for all requests, or one for each list of values. */
  readonly bucket: TokenBucketData | TokenBucketsData;
  readonly shadow: boolean;
}

export function parseLocalRateLimit(message: LocalRateLimit, at: ParseContext): LocalRateLimitConfig {
  if (message.local_cluster_rate_limit !== undefined) at.field('local_cluster_rate_limit').unsupported();
  const code = statusNumber(message.status?.code);
  return {
    statPrefix: message.stat_prefix,
    // Only an error may be answered: anything below 400 counts as not set.
    status: code < 400 ? 429 : code,
    bucket: message.token_bucket && parseTokenBucket(message.token_bucket),
    descriptors: message.descriptors.map((it) => {
      const bucket = parseTokenBucket(it.token_bucket!);
      const isForAny = it.entries.some((entry) => entry.value === '');
      return {
        entries: it.entries.flatMap(({ key, value }) => [key, value]),
        bucket: isForAny ? tokenBucketsData(bucket, message.max_dynamic_descriptors ?? 20) : bucket,
        shadow: it.shadow_mode,
      };
    }),
    policies: parseRateLimits(message.rate_limits, at, 'rate_limits'),
    enabled: message.filter_enabled && runtimeFraction(message.filter_enabled),
    enforced: message.filter_enforced && runtimeFraction(message.filter_enforced),
    requestHeadersToAdd: message.request_headers_to_add_when_not_enforced.map((it, i) =>
      parseHeaderValueOption(it, at.field('request_headers_to_add_when_not_enforced', i)),
    ),
    responseHeadersToAdd: message.response_headers_to_add.map((it, i) =>
      parseHeaderValueOption(it, at.field('response_headers_to_add', i)),
    ),
    stage: message.stage,
    perConnection: message.local_rate_limit_per_downstream_connection,
    xRateLimitHeaders: message.enable_x_ratelimit_headers === 'DRAFT_VERSION_03',
    retryAfterHeader: message.enable_retry_after_header,
    virtualHostLimits:
      message.vh_rate_limits === 'INCLUDE'
        ? 'include'
        : message.vh_rate_limits === 'IGNORE'
          ? 'ignore'
          : 'override',
    alwaysConsumeDefault: message.always_consume_default_token_bucket ?? true,
    asResourceExhausted: message.rate_limited_as_resource_exhausted,
  };
}

/** 429 when nothing is said. */
function statusNumber(code: string | number | undefined): number {
  if (code === undefined) return 429;
  return enumType('envoy.type.v3.StatusCode')!.numberOf(code) ?? 429;
}
