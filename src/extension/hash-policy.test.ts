// What is hashed of a request, without a proxy around it. The values are those of the real Envoy (test/golden/10-lb).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Uint64 } from '#base/uint64.ts';
import { xxHash64Of } from '#base/xxhash64.ts';
import type { ConfigError } from '#config/config-error.ts';
import { ParseContext } from '#config/parse-context.ts';
import { HeaderMap } from '#http/header-map.ts';
import { create } from '#schema/create.ts';
import { filterStateText } from './filter-state-text.ts';
import { compileHashPolicies, parseHashPolicies } from './hash-policy-config.ts';
import type { StreamInfo } from './stream-info.ts';

type Headers = readonly (readonly [name: string, value: string])[];

function hashed(policies: readonly object[], headers: Headers, more: Partial<StreamInfo> = {}) {
  const problems: ConfigError[] = [];
  const messages = policies.map((it) => create('envoy.config.route.v3.RouteAction.HashPolicy', it));
  const compiled = compileHashPolicies(parseHashPolicies(messages, new ParseContext('', problems)));
  assert.deepEqual(problems, []);
  const requestHeaders = new HeaderMap();
  requestHeaders.path = '/some?key=a%20b&key=c';
  for (const [name, value] of headers) requestHeaders.add(name, value);
  const cookies: string[] = [];
  const setter = { addresses: '1.2.3.4:5127.0.0.1:80', setCookie: (text: string) => cookies.push(text) };
  const into = new Uint64();
  const streamInfo = { remoteAddress: '[2001:db8::1]:80', ...more } as StreamInfo;
  const isHashed = compiled?.hash({ requestHeaders, streamInfo }, setter, into) ?? false;
  return { hash: isHashed ? into.toHex() : undefined, cookies };
}

const hashOf = (text: string) => xxHash64Of(text).toHex();
const header = (name: string) => ({ header: { header_name: name } });

test('hashes a header, whatever the order of its values', () => {
  assert.equal(hashed([header('X-Key')], [['x-key', 'a']]).hash, hashOf('a'));
  const values: Headers = [
    ['x-key', 'b'],
    ['x-key', 'a'],
  ];
  assert.equal(hashed([header('x-key')], values).hash, hashed([header('x-key')], values.toReversed()).hash);
  assert.equal(hashed([header('x-key')], []).hash, undefined);
  assert.equal(hashed([header(':path')], []).hash, hashOf('/some?key=a%20b&key=c'));
});

test('hashes the address, a query parameter and filter state', () => {
  assert.equal(hashed([{ connection_properties: { source_ip: true } }], []).hash, hashOf('2001:db8::1'));
  assert.equal(hashed([{ connection_properties: {} }], []).hash, undefined);
  const unix = { remoteAddress: '/run/socket' };
  assert.equal(hashed([{ connection_properties: { source_ip: true } }], [], unix).hash, undefined);
  assert.equal(hashed([{ query_parameter: { name: 'key' } }], []).hash, hashOf('a%20b'));
  const filterState = new Map([
    ['a', { ...filterStateText('text'), isHashable: true }],
    ['b', filterStateText('text')],
  ]);
  assert.equal(hashed([{ filter_state: { key: 'a' } }], [], { filterState }).hash, hashOf('text'));
  assert.equal(hashed([{ filter_state: { key: 'b' } }], [], { filterState }).hash, undefined);
});

test('makes a cookie that is missing, where it has a time to live', () => {
  const made = hashOf('1.2.3.4:5127.0.0.1:80');
  const cookie = {
    name: 'c',
    ttl: { seconds: 9 },
    path: '/p',
    attributes: [{ name: 'A', value: 'b' }, { name: 'D' }],
  };
  assert.deepEqual(hashed([{ cookie }], []), {
    hash: hashOf(made),
    cookies: [`c="${made}"; Max-Age=9; Path=/p; A=b; D; HttpOnly`],
  });
  assert.deepEqual(hashed([{ cookie }], [['cookie', 'c=there']]), { hash: hashOf('there'), cookies: [] });
  assert.deepEqual(hashed([{ cookie: { name: 'c' } }], []), { hash: undefined, cookies: [] });
});

test('mixes what several policies give, up to one that ends them', () => {
  const headers: Headers = [
    ['x-a', 'a'],
    ['x-b', 'b'],
  ];
  const mixed = xxHash64Of('a');
  mixed.rotateLeft(1);
  const { high, low } = xxHash64Of('b');
  mixed.xor(high, low);
  assert.equal(hashed([header('x-a'), header('x-none'), header('x-b')], headers).hash, mixed.toHex());
  assert.equal(hashed([{ ...header('x-a'), terminal: true }, header('x-b')], headers).hash, hashOf('a'));
  assert.equal(hashed([{ ...header('x-none'), terminal: true }, header('x-b')], headers).hash, hashOf('b'));
});
