// `TokenBucket` as plain data.
import { type TokenBucketData, tokenBucketData } from '#base/token-bucket.ts';
import type { ParseContext } from '#config/parse-context.ts';
import type { TokenBucket } from '#schema/messages/envoy/type/v3.ts';
import { durationMs } from './message-fields.ts';

export function parseTokenBucket(message: TokenBucket, at: ParseContext): TokenBucketData {
  const fillMs = durationMs(message.fill_interval, 0);
  if (fillMs < 50)
    at.field('fill_interval').fail('local rate limit token bucket fill timer must be >= 50ms', {
      got: `${fillMs}ms`,
    });
  return tokenBucketData(message.max_tokens, message.tokens_per_fill ?? 1, Math.max(fillMs, 1));
}
