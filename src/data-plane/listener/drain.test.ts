import assert from 'node:assert/strict';
import { test } from 'node:test';
import { saysGoodbye } from './drain.ts';

test('more and more responses say goodbye, in the first second none, in the last all of them', () => {
  const odds = (elapsedMs: number, drainSeconds: number) => {
    let yes = 0;
    for (let i = 0; i < 1000; i++) if (saysGoodbye(elapsedMs, drainSeconds, i / 1000)) yes++;
    return yes / 1000;
  };
  assert.equal(odds(0, 10), 0);
  assert.equal(odds(999, 10), 0);
  assert.equal(odds(1000, 10), 0.1);
  assert.equal(odds(1001, 10), 0.2);
  assert.equal(odds(5500, 10), 0.6);
  assert.equal(odds(9001, 10), 1);
  assert.equal(odds(12_000, 10), 1);
  assert.equal(odds(0, 0), 1);
  assert.equal(odds(500, 1), 0);
});
