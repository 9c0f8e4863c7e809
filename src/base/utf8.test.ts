import assert from 'node:assert/strict';
import { test } from 'node:test';
import { latin1OfUtf8, utf8OfLatin1 } from './utf8.ts';

const cases: readonly [name: string, bytes: string, text: string][] = [
  ['ASCII', 'plain', 'plain'],
  ['two bytes', 'caf\xc3\xa9', 'café'],
  ['four bytes', '\xf0\x9f\x98\x80', '😀'],
  ['a byte that begins nothing', 'a\xffb', 'a!b'],
  ['a sequence that breaks off', '\xe2\x82', '!!'],
  ['a sequence that breaks off before another', '\xe2\x82\xc3\xa9', '!!é'],
  ['an overlong form', '\xc0\xaf', '!!'],
  ['half of a surrogate pair', '\xed\xa0\x80', '!!!'],
];

for (const [name, bytes, text] of cases)
  test(`text of bytes: ${name}`, () => assert.equal(utf8OfLatin1(bytes), text));

test('there and back', () => assert.equal(utf8OfLatin1(latin1OfUtf8('żółć 😀')), 'żółć 😀'));
