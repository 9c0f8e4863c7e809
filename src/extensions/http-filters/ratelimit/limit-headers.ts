// `x-ratelimit-*` of what the service said (draft-polli-ratelimit-headers-03).
import { latin1OfUtf8 } from '#base/utf8.ts';
import type {
  RateLimitResponse_DescriptorStatus,
  RateLimitResponse_RateLimit_Unit,
} from '#schema/messages/envoy/service/ratelimit/v3.ts';

const windowSeconds: Readonly<Record<RateLimitResponse_RateLimit_Unit, number>> = {
  UNKNOWN: 0,
  SECOND: 1,
  MINUTE: 60,
  HOUR: 3600,
  DAY: 86_400,
  WEEK: 604_800,
  MONTH: 2_592_000,
  YEAR: 31_536_000,
};

/** The status with the least left, which the headers speak of. */
export function tightest(
  statuses: readonly RateLimitResponse_DescriptorStatus[],
): RateLimitResponse_DescriptorStatus | undefined {
  let found: RateLimitResponse_DescriptorStatus | undefined;
  for (const status of statuses) {
    if (status.current_limit === undefined) continue;
    if (found === undefined || status.limit_remaining < found.limit_remaining) found = status;
  }
  return found;
}

/** [name, value, ...]; empty when no limit is known. */
export function limitHeaders(statuses: readonly RateLimitResponse_DescriptorStatus[]): string[] {
  const least = tightest(statuses);
  if (least === undefined) return [];
  let policies = '';
  for (const { current_limit: limit } of statuses) {
    if (limit === undefined) continue;
    const window = (windowSeconds[limit.unit] ?? 0) * (limit.unit_multiplier ?? 1);
    if (window === 0) continue;
    policies += `, ${limit.requests_per_unit};w=${window}`;
    if (limit.name !== '') policies += `;name="${latin1OfUtf8(limit.name)}"`;
  }
  return [
    'x-ratelimit-limit',
    `${least.current_limit!.requests_per_unit}${policies}`,
    'x-ratelimit-remaining',
    String(least.limit_remaining),
    'x-ratelimit-reset',
    String(least.duration_until_reset?.seconds ?? 0),
  ];
}
