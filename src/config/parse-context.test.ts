import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConfigError } from './config-error.ts';
import { ParseContext } from './parse-context.ts';

test('spells paths in proto names, with indices and map keys', () => {
  const problems: ConfigError[] = [];
  const at = new ParseContext('', problems);
  at.field('static_resources').field('listeners', 0).field('address').fail('is required');
  at.field('virtual_hosts', 2)
    .field('typed_per_filter_config')
    .key('envoy.filters.http.cors')
    .fail('is unknown');
  at.fail('is empty');
  assert.deepEqual(
    problems.map((it) => it.message),
    [
      'static_resources.listeners[0].address: is required',
      'virtual_hosts[2].typed_per_filter_config["envoy.filters.http.cors"]: is unknown',
      'is empty',
    ],
  );
});

test('starts below a given path', () => {
  const problems: ConfigError[] = [];
  new ParseContext('clusters[1]', problems).field('name').fail('is required');
  assert.equal(problems[0]?.path, 'clusters[1].name');
});

test('keeps errors and warnings apart', () => {
  const problems: ConfigError[] = [];
  const at = new ParseContext('', problems);
  at.warn('is deprecated', { rule: 'deprecated-field' });
  assert.equal(at.ok, true);
  at.field('x').unsupported();
  assert.equal(at.ok, false);
  assert.deepEqual(
    problems.map((it) => [it.severity, it.rule]),
    [
      ['warning', 'deprecated-field'],
      ['error', 'unsupported'],
    ],
  );
});

test('carries the details that make an error repairable', () => {
  const problems: ConfigError[] = [];
  new ParseContext('', problems).field('port_value').fail('must be at most 65535', {
    got: 70000,
    expected: 'a port',
    suggestion: 'use 7000',
  });
  const [it] = problems;
  assert.deepEqual([it?.got, it?.expected, it?.suggestion], [70000, 'a port', 'use 7000']);
});
