import assert from 'node:assert/strict';
import { test } from 'node:test';
import { collectTakings, onRelease } from './takings.ts';

test('what a preparation took is given back once, and what another inside it took is not', () => {
  const released: string[] = [];
  let inner: ReturnType<typeof collectTakings<number>> | undefined;
  const outer = collectTakings(() => {
    onRelease(() => released.push('a'));
    inner = collectTakings(() => {
      onRelease(() => released.push('inner'));
      return 1;
    });
    onRelease(() => released.push('b'));
    return 2;
  });
  onRelease(() => released.push('nobody'));
  outer.release();
  outer.release();
  assert.deepEqual([outer.value, inner!.value, released], [2, 1, ['a', 'b']]);
  inner!.release();
  assert.deepEqual(released, ['a', 'b', 'inner']);
});
