import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { systemClock } from './clock.ts';

test('what is late already wakes at once and without a warning', async (t) => {
  const warnings: Error[] = [];
  const onWarning = (warning: Error) => warnings.push(warning);
  process.on('warning', onWarning);
  t.after(() => process.off('warning', onWarning));
  const woken = new Promise<void>((resolve) => systemClock.wakeIn(-0.5, resolve));
  // The system's clock lets the process end: something has to hold it.
  const keepAlive = setTimeout(() => {}, 5000);
  await woken;
  clearTimeout(keepAlive);
  process.emitWarning('the one after it');
  await once(process, 'warning');
  assert.deepEqual(
    warnings.map((it) => it.message),
    ['the one after it'],
  );
});
