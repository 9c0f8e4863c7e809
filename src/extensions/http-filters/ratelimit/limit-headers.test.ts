import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RateLimitResponse_DescriptorStatus } from '#schema/messages/envoy/service/ratelimit/v3.ts';
import { limitHeaders } from './limit-headers.ts';

function status(
  requests: number | undefined,
  unit: 'SECOND' | 'HOUR' | 'UNKNOWN',
  remaining: number,
  seconds: number,
  name = '',
): RateLimitResponse_DescriptorStatus {
  const limit = requests === undefined ? {} : { current_limit: { name, requests_per_unit: requests, unit } };
  return { code: 'OK', ...limit, limit_remaining: remaining, duration_until_reset: { seconds, nanos: 0 } };
}

const cases: readonly [string, RateLimitResponse_DescriptorStatus[], string[], number?][] = [
  ['no status', [], []],
  ['a status without a limit', [status(undefined, 'HOUR', 1, 1)], []],
  ['one', [status(10, 'HOUR', 4, 60)], ['10, 10;w=3600', '4', '60']],
  ['an unknown unit', [status(10, 'UNKNOWN', 4, 60)], ['10', '4', '60']],
  [
    'several: the tightest counts, the first of equals',
    [status(5, 'SECOND', 3, 1, 'a "b"'), status(10, 'HOUR', 2, 60), status(20, 'HOUR', 2, 90)],
    ['10, 5;w=1;name="a "b"", 10;w=3600, 20;w=3600', '2', '60'],
  ],
  [
    'one that is not said',
    [status(5, 'SECOND', 3, 1), status(10, 'HOUR', 2, 60)],
    ['10, 10;w=3600', '2', '60'],
    0,
  ],
  ['the tightest, which is not said', [status(5, 'SECOND', 3, 1), status(10, 'HOUR', 2, 60)], [], 1],
];

for (const [name, statuses, values, unsaid] of cases)
  test(`x-ratelimit-* of ${name}`, () => {
    const headers = limitHeaders(statuses, (i) => i !== unsaid);
    assert.deepEqual(
      headers.filter((_, i) => i % 2 === 1),
      values,
    );
  });
