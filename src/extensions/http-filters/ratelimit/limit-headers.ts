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

/** Index of the status with the least left, which the headers speak of; -1 when no limit is known. */
export function tightest(statuses: readonly RateLimitResponse_DescriptorStatus[]): number {
  let found = -1;
  for (let i = 0; i < statuses.length; i++) {
    if (statuses[i]!.current_limit === undefined) continue;
    if (found < 0 || statuses[i]!.limit_remaining < statuses[found]!.limit_remaining) found = i;
  }
  return found;
}

/** [name, value, ...]; empty when no limit is known. `isSaid`: whether the headers speak of a descriptor. */
export function limitHeaders(
  statuses: readonly RateLimitResponse_DescriptorStatus[],
  isSaid: (index: number) => boolean,
): string[] {
  const index = tightest(statuses);
  if (index < 0 || !isSaid(index)) return [];
  const least = statuses[index]!;
  let policies = '';
  for (let i = 0; i < statuses.length; i++) {
    const limit = statuses[i]!.current_limit;
    if (limit === undefined || !isSaid(i)) continue;
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
