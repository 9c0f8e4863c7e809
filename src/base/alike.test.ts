import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Alike } from './alike.ts';

test('equal values are one', () => {
  const alike = new Alike();
  const first = alike.of({ limits: [1, Number.POSITIVE_INFINITY], name: undefined });
  assert.equal(alike.of({ limits: [1, Number.POSITIVE_INFINITY], name: undefined }), first);
  assert.notEqual(alike.of({ limits: [1, null], name: undefined }), first);
  assert.notEqual(alike.of({ limits: [1, Number.POSITIVE_INFINITY] }), first);
});

test('only the last ones are kept', () => {
  const alike = new Alike(2);
  const values = [1, 2, 3].map((n) => alike.of({ n }));
  assert.equal(alike.of({ n: 3 }), values[2]);
  assert.equal(alike.of({ n: 2 }), values[1]);
  assert.notEqual(alike.of({ n: 1 }), values[0]);
});
