// The words of `retry_on` and of `x-envoy-retry-on` / `x-envoy-retry-grpc-on`, as bits.

export const RetryOn = {
  '5xx': 1 << 0,
  'gateway-error': 1 << 1,
  'connect-failure': 1 << 2,
  'retriable-4xx': 1 << 3,
  'refused-stream': 1 << 4,
  cancelled: 1 << 5,
  'deadline-exceeded': 1 << 6,
  'resource-exhausted': 1 << 7,
  unavailable: 1 << 8,
  'retriable-status-codes': 1 << 9,
  reset: 1 << 10,
  'retriable-headers': 1 << 11,
  'envoy-ratelimited': 1 << 12,
  internal: 1 << 13,
  'http3-post-connect-failure': 1 << 14,
  'reset-before-request': 1 << 15,
} as const;
export type RetryOn = keyof typeof RetryOn;

export const grpcRetryOn: readonly RetryOn[] = [
  'cancelled',
  'deadline-exceeded',
  'resource-exhausted',
  'unavailable',
  'internal',
];

const httpMask = Object.entries(RetryOn)
  .filter(([name]) => !grpcRetryOn.includes(name as RetryOn))
  .reduce((mask, [, bit]) => mask | bit, 0);
const grpcMask = grpcRetryOn.reduce((mask, name) => mask | RetryOn[name], 0);

/** Of the route's policy: HTTP and gRPC words in one list. Unknown words are left out, as in Envoy. */
export function parseRetryOn(words: string): number {
  let bits = 0;
  for (const word of words.split(',')) bits |= RetryOn[word.trim() as RetryOn] ?? 0;
  return bits;
}

/** Of `x-envoy-retry-on`. */
export function parseRetryOnHeader(words: string): number {
  return parseRetryOn(words) & httpMask;
}

/** Of `x-envoy-retry-grpc-on`. */
export function parseRetryGrpcOnHeader(words: string): number {
  return parseRetryOn(words) & grpcMask;
}

/** The words that a header may have, by its name. */
export const retryOnHeaders: Readonly<Record<string, number>> = {
  'x-envoy-retry-on': httpMask,
  'x-envoy-retry-grpc-on': grpcMask,
};

/** Whether every word of a list is one of `words`. */
export function hasOnlyWords(list: string, words: number): boolean {
  return list
    .split(',')
    .map((word) => word.trim())
    .every((word) => word === '' || ((RetryOn[word as RetryOn] ?? 0) & words) !== 0);
}

/** Words of a list that mean nothing, for a warning. */
export function unknownRetryOn(words: string): string[] {
  return words
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '' && !Object.hasOwn(RetryOn, word));
}
