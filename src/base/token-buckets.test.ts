import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tokenBucketData } from './token-bucket.ts';
import { TokenBuckets, tokenBucketsData } from './token-buckets.ts';

function buckets(count: number) {
  const clock = { ns: 10n ** 15n };
  const data = tokenBucketsData(tokenBucketData(1, 1, 60_000), count);
  const of = () => new TokenBuckets(data, () => clock.ns++);
  return { one: of(), other: of() };
}

test('each name has its own bucket, the same for all who share the memory', () => {
  const { one, other } = buckets(3);
  assert.deepEqual([one.of('a').take(), other.of('a').take()], [true, false]);
  assert.deepEqual([other.of('b').take(), one.of('b').take()], [true, false]);
});

test('the one that was not asked for longest goes, and comes back full', () => {
  const { one } = buckets(2);
  for (const name of ['a', 'b', 'a', 'c']) one.of(name).take();
  assert.equal(one.of('a').take(), false);
  assert.equal(one.of('c').take(), false);
  assert.equal(one.of('b').take(), true);
});
