import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Field, MessageType, Rules } from '#schema/descriptor.ts';
import { constraintsOf } from './constraints.ts';

/** A type with one field that has these rules for durations. */
function ofDurations(duration: Rules) {
  const field = { kind: 'message', isRepeated: false, rules: { duration } } as unknown as Field;
  return constraintsOf({ isValidationDisabled: false, fields: [field] } as unknown as MessageType)[0]!.whole!;
}

test('prints limits of durations as Envoy does', () => {
  for (const [seconds, nanos, text] of [
    [0, 0, '0s'],
    [0, 20, '20ns'],
    [0, 1_500, '1.5µs'],
    [0, 1_000_000, '1ms'],
    [1, 500_000_000, '1.5s'],
    [60, 0, '1m0s'],
    [3600, 0, '1h0m0s'],
    [86_400, 0, '24h0m0s'],
    [4_294_967_296, 0, '1193046h28m16s'],
  ] as const)
    assert.equal(
      ofDurations({ gt: { seconds, nanos } })({ seconds: -1, nanos: 0 }),
      `value must be greater than ${text}`,
    );
});
