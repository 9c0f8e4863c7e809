import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { atTurnEnd, scheduleTurnEnd, turnMs } from './turn.ts';

test('the time stands still within a turn and goes on with the next one', async () => {
  const first = turnMs();
  const until = performance.now() + 1;
  while (performance.now() < until);
  assert.equal(turnMs(), first);
  await nextTurn();
  assert.ok(turnMs() >= until);
});

test('the end of a turn comes once, however often it was asked for', async () => {
  let ends = 0;
  atTurnEnd(() => ends++);
  scheduleTurnEnd();
  scheduleTurnEnd();
  turnMs();
  assert.equal(ends, 0);
  await nextTurn();
  assert.equal(ends, 1);
  await nextTurn();
  assert.equal(ends, 1);
});
