import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Host } from '#extension/load-balancer.ts';
import { PreviousPriorities } from './previous-priorities.ts';

const inPriority = (priority: number) => ({ priority }) as Host;
const none = [0, 0, 0];

test('priorities that were tried get nothing, until all were', () => {
  const it = new PreviousPriorities(1);
  const availability = { healthy: [100, 100, 70], degraded: none };
  assert.equal(it.shares(availability), undefined);
  it.onHostTried(inPriority(0));
  assert.deepEqual(it.shares(availability), { healthy: [0, 100, 0], degraded: none });
  it.onHostTried(inPriority(1));
  assert.deepEqual(it.shares(availability), { healthy: [0, 0, 100], degraded: none });
  it.onHostTried(inPriority(2));
  assert.deepEqual(it.shares(availability), { healthy: [100, 0, 0], degraded: none });
});

test('shares change only after so many attempts', () => {
  const it = new PreviousPriorities(2);
  const availability = { healthy: [100, 30, 30], degraded: [0, 0, 10] };
  it.onHostTried(inPriority(0));
  assert.equal(it.shares(availability), undefined);
  it.onHostTried(inPriority(0));
  // 30 of 70 is 42 of a hundred, 10 of 70 is 14: the first gets what is left.
  const shares = { healthy: [0, 44, 42], degraded: [0, 0, 14] };
  assert.deepEqual(it.shares(availability), shares);
  it.onHostTried(inPriority(1));
  assert.deepEqual(it.shares(availability), shares);
});

test('nothing changes where no host is usable', () => {
  const it = new PreviousPriorities(1);
  it.onHostTried(inPriority(0));
  assert.equal(it.shares({ healthy: none, degraded: none }), undefined);
});
