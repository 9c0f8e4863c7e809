import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isAuthorityValid, isConnectTarget, parseAbsoluteUrl } from './url.ts';

const urls: [string, string | undefined][] = [
  ['http://a.com/p?q', 'http a.com /p?q'],
  ['HTTP://A.com', 'http A.com /'],
  ['ftp://a:21/', 'ftp a:21 /'],
  ['http://u:p@a:80/x@y', 'http a:80 /x@y'],
  ['http://a?x=/', 'http a ?x=/'],
  ['http://[::1]:80/', 'http [::1]:80 /'],
  ['http://[::1]', 'http [::1] /'],
  ['http:///p', undefined],
  ['http://[::1/', undefined],
  ['http://[]/', undefined],
  ['http://[x]/', undefined],
  ['http://a:/', undefined],
  ['http://a:x/', undefined],
  ['http://a:65536/', undefined],
  ['http://a_b/', undefined],
  ['://a/', undefined],
  ['a.com', undefined],
];

for (const [url, parts] of urls) {
  test(`parses ${url}`, () => {
    const parsed = parseAbsoluteUrl(url);
    assert.equal(parsed && `${parsed.scheme} ${parsed.authority} ${parsed.path}`, parts);
  });
}

test('CONNECT needs host and port', () => {
  for (const target of ['a:443', '[::1]:443', '1.2.3.4:0', 'a-b.c:65535'])
    assert.ok(isConnectTarget(target), target);
  for (const target of ['a', 'a:', ':443', 'a:443/', 'u@a:443', '*', '[::1]', 'a:x', 'a:70000']) {
    assert.ok(!isConnectTarget(target), target);
  }
});

test('an authority holds only what RFC 3986 gives it', () => {
  for (const text of ['', 'a.b:80', '[::1]', 'u:p@a', "a%b;c!$&'()*+,=~_-"])
    assert.ok(isAuthorityValid(text), text);
  for (const text of ['a b', 'a/b', 'a?', 'a#', 'a\\', 'a"', '<', '{', '^', '`', '|', '\x80', '\0']) {
    assert.ok(!isAuthorityValid(text), text);
  }
});
