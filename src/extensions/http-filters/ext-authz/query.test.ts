import assert from 'node:assert/strict';
import { test } from 'node:test';
import { changedQuery } from './query.ts';

const cases: readonly [path: string, set: Record<string, string>, remove: string[], result: string][] = [
  ['/p', { a: '1' }, [], '/p?a=1'],
  ['/p?b=2&a=1', { c: '3' }, [], '/p?a=1&b=2&c=3'],
  ['/p?a=1&a=2', { a: '3' }, [], '/p?a=3'],
  ['/p?a=1&b=2&a=3', { c: '4' }, [], '/p?a=1&a=3&b=2&c=4'],
  ['/p?a=1', {}, ['a'], '/p'],
  ['/p?a=1&b', {}, ['a', 'x'], '/p?b='],
];

for (const [path, set, remove, result] of cases)
  test(`${path} becomes ${result}`, () => {
    const pairs = Object.entries(set).map(([key, value]) => ({ key, value }));
    assert.equal(changedQuery(path, pairs, remove), result);
  });
