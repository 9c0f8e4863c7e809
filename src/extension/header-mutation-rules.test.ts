import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HeaderOperation, HeaderRules, type HeaderRulesData } from './header-mutation-rules.ts';

const { Append, Remove, Set: Write } = HeaderOperation;

function rules(given: Partial<HeaderRulesData> = {}): HeaderRules {
  return new HeaderRules({
    allowAllRouting: false,
    allowEnvoy: false,
    disallowSystem: false,
    disallowAll: false,
    allow: undefined,
    disallow: undefined,
    disallowIsError: false,
    ...given,
  });
}

test('what rules allow', () => {
  const open = { allowAllRouting: true, allowEnvoy: true };
  const cases: [Partial<HeaderRulesData>, HeaderOperation, string, string, boolean][] = [
    [{}, Write, 'x-a', 'b', true],
    [{}, Write, 'x-a', 'b\nc', false],
    [{}, Append, 'x-a', 'b', true],
    [{}, Remove, 'x-a', '', true],
    [{}, Write, ':path', '/', true],
    [{}, Append, ':path', '/', false],
    [{}, Remove, ':path', '', false],
    [{}, Write, 'host', 'a', false],
    [{}, Write, ':method', 'PUT', false],
    [{}, Write, 'x-envoy-a', 'b', false],
    [open, Write, 'x-envoy-a', 'b', true],
    [open, Write, ':authority', 'a.test:80', true],
    [open, Write, ':authority', 'a b', false],
    [open, Write, ':scheme', 'HTTPS', true],
    [open, Write, ':scheme', 'ftp', false],
    [open, Write, ':status', '200', true],
    [open, Write, ':status', '199', false],
    [open, Write, ':status', 'ok', false],
    [open, Remove, 'host', '', false],
    [{ disallowSystem: true }, Write, ':path', '/', false],
    [{ disallowAll: true }, Write, 'x-a', 'b', false],
    [{ disallowAll: true, allow: 'x-.*' }, Write, 'x-a', 'b', true],
    [{ disallowAll: true, allow: 'x-.*', disallow: 'x-a' }, Write, 'x-a', 'b', false],
    [{ allow: 'host' }, Write, 'host', 'a', true],
    [{ allow: 'host' }, Remove, 'host', '', false],
  ];
  for (const [given, operation, name, value, expected] of cases)
    assert.equal(rules(given).allows(operation, name, value), expected, `${JSON.stringify(given)} ${name}`);
});
