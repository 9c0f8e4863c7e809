import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newRequestId, withoutTraceReason } from './request-id.ts';

test('request ids are version 4 UUIDs, and none is like another', () => {
  const ids = Array.from({ length: 3000 }, newRequestId);
  for (const it of ids)
    assert.match(it, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(new Set(ids).size, ids.length);
  // No bit is stuck: every digit but the two fixed ones takes all values.
  for (const at of [0, 7, 9, 12, 15, 17, 20, 22, 24, 35])
    assert.equal(new Set(ids.map((it) => it[at])).size, 16);
});

test('a reason to trace is taken out of a UUID, other ids stay', () => {
  assert.equal(
    withoutTraceReason('01234567-89ab-9def-8123-456789abcdef'),
    '01234567-89ab-4def-8123-456789abcdef',
  );
  assert.equal(withoutTraceReason('mine'), 'mine');
});
