import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TokenBucket, tokenBucketData } from './token-bucket.ts';

function bucket(max: number, perFill: number, fillMs: number) {
  const clock = { ns: 10n ** 15n };
  const data = tokenBucketData(max, perFill, fillMs);
  const of = () => new TokenBucket(data, () => clock.ns);
  return { clock, one: of(), other: of() };
}

test('starts full and refuses when empty', () => {
  const { one } = bucket(2, 1, 60_000);
  assert.deepEqual([one.take(), one.take(), one.take()], [true, true, false]);
  assert.equal(one.remaining, 0);
  assert.equal(one.msUntilNext, 60_000);
});

test('is full from the beginning even when the clock has just begun', () => {
  const one = new TokenBucket(tokenBucketData(1000, 1, 3_600_000), () => 5n);
  for (let i = 0; i < 1000; i++) assert.ok(one.take());
  assert.equal(one.take(), false);
});

test('grows continuously, up to its size', () => {
  const { one, clock } = bucket(4, 2, 1000);
  for (let i = 0; i < 4; i++) one.take();
  clock.ns += 499_000_000n;
  assert.equal(one.take(), false);
  clock.ns += 1_000_000n;
  assert.equal(one.take(), true);
  clock.ns += 3600n * 10n ** 9n;
  assert.equal(one.remaining, 4);
});

test('is one bucket for all who share its data', () => {
  const { one, other } = bucket(3, 1, 1000);
  assert.deepEqual([one.take(), other.take(), one.take(), other.take()], [true, true, true, false]);
});

test('gives several at once or none, and takes back as many as there is room for', () => {
  const { one } = bucket(5, 1, 60_000);
  assert.deepEqual([one.take(4), one.take(2), one.remaining], [true, false, 1]);
  one.give(2);
  assert.equal(one.remaining, 3);
  one.give(100);
  assert.equal(one.remaining, 5);
  assert.deepEqual([one.take(6), one.take(5), one.take()], [false, true, false]);
});
