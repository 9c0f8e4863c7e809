// `TokenBucket` as plain data.
import { type TokenBucketData, tokenBucketData } from '#base/token-bucket.ts';
import type { TokenBucket } from '#schema/messages/envoy/type/v3.ts';
import { durationMs } from './message-fields.ts';

export function parseTokenBucket(message: TokenBucket): TokenBucketData {
  const fillMs = durationMs(message.fill_interval, 0);
  return tokenBucketData(message.max_tokens, message.tokens_per_fill ?? 1, Math.max(fillMs, 1));
}
