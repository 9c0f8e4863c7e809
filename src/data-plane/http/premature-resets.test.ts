import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Runtime } from '#extension/runtime.ts';
import { PrematureResets } from './premature-resets.ts';

const runtime = (values: Record<string, number> = {}) =>
  ({ integer: (key: string, fallback: number) => values[key] ?? fallback }) as Runtime;

test('the 250th stream in a row that is reset without an answer ends the connection', () => {
  const resets = new PrematureResets();
  for (let i = 1; i < 250; i++) assert.equal(resets.onStreamEnd(false, 10, runtime()), false);
  assert.equal(resets.onStreamEnd(false, 10, runtime()), true);
});

test('beyond the total, half of all streams do', () => {
  const resets = new PrematureResets();
  const low = runtime({ 'overload.premature_reset_total_stream_count': 10 });
  for (let i = 0; i < 20; i++) assert.equal(resets.onStreamEnd(true, 10, low), false);
  for (let i = 1; i < 20; i++) assert.equal(resets.onStreamEnd(false, 10, low), false);
  assert.equal(resets.onStreamEnd(false, 10, low), true);
});

test('streams that were answered, or lived for two seconds, are no resets', () => {
  const resets = new PrematureResets();
  for (let i = 0; i < 1000; i++) {
    assert.equal(resets.onStreamEnd(true, 0, runtime()), false);
    assert.equal(resets.onStreamEnd(false, 2000, runtime()), false);
  }
});
