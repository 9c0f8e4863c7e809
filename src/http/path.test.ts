import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HeaderMap } from './header-map.ts';
import {
  canonicalPath,
  EscapedSlashes,
  mergeSlashes,
  normalizePath,
  PathVerdict,
  unescapeSlashes,
} from './path.ts';

// Each pair is what Envoy 1.40 with `normalize_path: true` sent upstream.
const canonical: [string, string | undefined][] = [
  ['/index.html', '/index.html'],
  ['/a/./b', '/a/b'],
  ['/a/../b', '/b'],
  ['/..', '/'],
  ['/.', '/'],
  ['/a/..', '/'],
  ['/a/.', '/a/'],
  ['/a/b/../../..', '/'],
  ['/a/.../b', '/a/.../b'],
  ['/a/..b', '/a/..b'],
  ['/a/.b', '/a/.b'],
  ['/%2e%2E/x', '/x'],
  ['/a/%2e', '/a/'],
  ['/a/.%2e/b', '/b'],
  ['/a\\..\\b', '/b'],
  ['/a\\\\b', '/a//b'],
  ['/a//../b', '/a/b'],
  ['/a//b', '/a//b'],
  ['//..', '/'],
  ['//../a', '/a'],
  ['//', '//'],
  ['/?/../x', '/?/../x'],
  ['/a?x=/../y%41', '/a?x=/../y%41'],
  ['/a/..?x', '/?x'],
  ['/a%', '/a%'],
  ['/a%4', '/a%4'],
  ['/a%zz', '/a%zz'],
  ['/a;b=1/../c', '/c'],
  ['/a/b/..;/c', '/a/c'],
  ['/a/..;x=1/b', '/b'],
  ['/a/.;/b', '/a/b'],
  ['/a/..;', '/'],
  ['/a/.;', '/a/'],
  ['/a/..;?q', '/?q'],
  ['/a/...;/b', '/a/...;/b'],
  ['/a/%2e%2e;/b', '/a/..;/b'],
  ['/a/..%3b/b', '/a/..%3b/b'],
  ['/a/%2e%2e%2f..', '/a/..%2f..'],
  ['/a%2F..%2Fb', '/a%2F..%2Fb'],
  ['/a?%00', '/a?%00'],
  ['/a%00?x', undefined],
  ['/%41%42%7E%2d%5f', '/AB~-_'],
  ['/^"<>{}|`', '/%5E%22%3C%3E%7B%7D%7C%60'],
  ['/%c3%a9', '/%c3%a9'],
  ['/a%2525', '/a%2525'],
];

for (const [path, result] of canonical) {
  test(`normalizes ${path}`, () => assert.equal(canonicalPath(path), result));
}

test('normalizing twice changes nothing more, apart from parameters that were escaped', () => {
  for (const [, result] of canonical) {
    if (result !== undefined && !result.includes(';')) assert.equal(canonicalPath(result), result);
  }
});

const merged: [string, string][] = [
  ['/a//b///c//', '/a/b/c/'],
  ['//', '//'],
  ['///', '//'],
  ['//?x', '//?x'],
  ['/a//b?x//y', '/a/b?x//y'],
  ['/a?x//y', '/a?x//y'],
];

for (const [path, result] of merged) {
  test(`merges the slashes of ${path}`, () => assert.equal(mergeSlashes(path), result));
}

test('unescapes slashes in front of the query only', () => {
  assert.equal(unescapeSlashes('/a%2f%2Fb%5c%5C?x=%2f'), '/a//b\\\\?x=%2f');
  assert.equal(unescapeSlashes('/a%252fb'), '/a%252fb');
});

const verdicts: { action: EscapedSlashes; path: string; verdict: PathVerdict; result: string }[] = [
  {
    action: EscapedSlashes.KeepUnchanged,
    path: '/a%2F../b',
    verdict: PathVerdict.Continue,
    result: '/a%2F../b',
  },
  { action: EscapedSlashes.Reject, path: '/a%2F../b', verdict: PathVerdict.Reject, result: '/a/../b' },
  { action: EscapedSlashes.Reject, path: '/a/../b', verdict: PathVerdict.Continue, result: '/b' },
  {
    action: EscapedSlashes.UnescapeAndRedirect,
    path: '/a%2F../b',
    verdict: PathVerdict.Redirect,
    result: '/b',
  },
  {
    action: EscapedSlashes.UnescapeAndForward,
    path: '/a%5C../b',
    verdict: PathVerdict.Continue,
    result: '/b',
  },
];

for (const { action, path, verdict, result } of verdicts) {
  test(`escaped slashes, action ${action}: ${path}`, () => {
    const headers = new HeaderMap();
    headers.path = path;
    const options = { normalizes: true, mergesSlashes: false, escapedSlashes: action };
    assert.equal(normalizePath(headers, options), verdict);
    assert.equal(headers.path, result);
  });
}
