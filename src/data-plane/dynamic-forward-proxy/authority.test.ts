import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cacheName, parseAuthority } from './authority.ts';

const cases = [
  { text: 'a.test', name: 'a.test:80', host: 'a.test', port: 80 },
  { text: 'a.test:81', name: 'a.test:81', host: 'a.test', port: 81 },
  { text: '[::1]', name: '[::1]:80', host: '::1', port: 80 },
  { text: '[::1]:81', name: '[::1]:81', host: '::1', port: 81 },
  { text: '1.2.3.4', name: '1.2.3.4:80', host: '1.2.3.4', port: 80 },
  // No port: it is asked for as a whole, and does not exist.
  { text: 'a.test:70000', name: 'a.test:70000:80', host: 'a.test:70000', port: 80 },
  { text: 'a.test:', name: 'a.test::80', host: 'a.test:', port: 80 },
  { text: '[a.test]', name: '[a.test]:80', host: '[a.test]', port: 80 },
];

for (const { text, name, host, port } of cases) {
  test(`finds host and port in "${text}"`, () => {
    assert.equal(cacheName(text, 80), name);
    assert.deepEqual(parseAuthority(name, 0), { host, port });
  });
}

test('nothing has no name', () => assert.equal(cacheName('', 80), ''));
