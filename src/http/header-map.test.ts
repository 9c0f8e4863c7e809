import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HeaderMap } from './header-map.ts';

function headers(...list: string[]): HeaderMap {
  const map = new HeaderMap();
  map.list.push(...list);
  return map;
}

test('finds the first value, all values, and how many there are', () => {
  const map = headers('a', '1', 'b', '2', 'a', '3');
  assert.equal(map.get('a'), '1');
  assert.equal(map.get('c'), undefined);
  assert.equal(map.joined('a'), '1,3');
  assert.equal(map.joined('a', '; '), '1; 3');
  assert.equal(map.joined('c'), undefined);
  assert.equal(map.count('a'), 2);
  assert.equal(map.has('b'), true);
  assert.equal(map.has('2'), false, 'a value is no name');
});

test('set takes the place of the first value and removes the others', () => {
  const map = headers('a', '1', 'b', '2', 'a', '3', 'c', '4', 'a', '5');
  map.set('a', 'x');
  assert.deepEqual(map.list, ['a', 'x', 'b', '2', 'c', '4']);
  map.set('d', 'y');
  assert.deepEqual(map.list, ['a', 'x', 'b', '2', 'c', '4', 'd', 'y']);
});

test('remove takes every value and keeps the order of the rest', () => {
  const map = headers('a', '1', 'b', '2', 'a', '3', 'c', '4');
  assert.equal(map.remove('a'), true);
  assert.deepEqual(map.list, ['b', '2', 'c', '4']);
  assert.equal(map.remove('a'), false);
  map.removePrefix('b');
  assert.deepEqual(map.list, ['c', '4']);
});

test('a clone shares nothing that changes; clear forgets everything', () => {
  const map = headers('a', '1');
  Object.assign(map, {
    method: 'GET',
    scheme: 'http',
    authority: 'h',
    path: '/',
    protocol: 'p',
    status: 200,
  });
  map.isAuthorityEmpty = true;
  map.spelling = { names: new Map(), isOthersProperCase: false, reason: 'r' };
  const copy = map.clone();
  assert.deepEqual(copy, map);
  copy.add('b', '2');
  assert.deepEqual(map.list, ['a', '1']);
  map.clear();
  assert.deepEqual(map, new HeaderMap());
});
