// From a request and its policies to the descriptors that the service is asked about.
import { utf8OfLatin1 } from '#base/utf8.ts';
import type { FormatContext } from '#extension/formatter.ts';
import { valueAt } from '#extension/matchers/value-matcher.ts';
import type { RateLimitPolicy } from '#extension/rate-limit-descriptors.ts';
import type {
  RateLimitDescriptor_RateLimitOverrideInit,
  RateLimitDescriptorInit,
} from '#schema/messages/envoy/extensions/common/ratelimit/v3.ts';
import { enumType } from '#schema/registry.ts';

/** Undefined: the request does not count under this policy. `takesHits`: policies of a route do not say how many hits it counts for. */
export function descriptorMessage(
  policy: RateLimitPolicy,
  context: FormatContext,
  takesHits: boolean,
): RateLimitDescriptorInit | undefined {
  const parts = policy.descriptor(context);
  if (parts === undefined) return undefined;
  const entries: { key: string; value: string }[] = [];
  for (let i = 0; i < parts.length; i += 2)
    entries.push({ key: parts[i]!, value: utf8OfLatin1(parts[i + 1]!) });
  const limit = limitOf(policy, context);
  if (policy.hits === undefined || !takesHits) return { entries, limit };
  const hits = policy.hitCount(context);
  return hits < 0
    ? undefined
    : { entries, limit, hits_addend: hits, is_negative_hits: policy.hits.isNegative };
}

function limitOf(
  policy: RateLimitPolicy,
  context: FormatContext,
): RateLimitDescriptor_RateLimitOverrideInit | undefined {
  if (policy.limit !== undefined)
    return { requests_per_unit: policy.limit.requestsPerUnit, unit: policy.limit.unit as 'SECOND' };
  if (policy.limitMetadata === undefined) return undefined;
  const found = valueAt(context.info.dynamicMetadata, policy.limitMetadata);
  const requests = valueAt(found, ['requests_per_unit']);
  const unit = valueAt(found, ['unit']);
  if (typeof requests !== 'number' || requests < 0 || requests > 0xffffffff) return undefined;
  if (typeof unit !== 'string') return undefined;
  if (enumType('envoy.type.v3.RateLimitUnit')!.numberOf(unit) === undefined) return undefined;
  return { requests_per_unit: Math.floor(requests), unit: unit as 'SECOND' };
}
