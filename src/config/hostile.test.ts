// Files that were made to hurt: a clear error, quickly, without a crash.

import assert from 'node:assert/strict';
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadBootstrap, validateFiles } from './load.ts';

const anyType = 'type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig';

function laughs(): string {
  const lines = ['node: {metadata: {a0: &a0 [x, x, x, x, x, x, x, x, x, x]'];
  for (let i = 1; i < 20; i++) lines.push(`, a${i}: &a${i} [${`*a${i - 1}, `.repeat(10)}]`);
  return `${lines.join('\n')}}}`;
}

const files: readonly { name: string; text: string | Buffer; rule: string; problem: RegExp }[] = [
  {
    name: 'brackets without end',
    text: 'node: {metadata: {a: '.concat('['.repeat(1_000_000)),
    rule: 'syntax',
    problem: /500 levels deep/,
  },
  {
    name: 'maps without end',
    text: 'a: '.concat('{a: '.repeat(300_000)),
    rule: 'syntax',
    problem: /500 levels deep/,
  },
  { name: 'lists in lists', text: '- '.repeat(100_000), rule: 'syntax', problem: /500 levels deep/ },
  { name: 'JSON without end', text: '{"a":'.repeat(300_000), rule: 'syntax', problem: /500 levels deep/ },
  {
    name: 'more levels than protobuf takes',
    text: `node: {metadata: {a: ${'['.repeat(200)}${']'.repeat(200)}}}`,
    rule: 'too-deep',
    problem: /100 levels deep/,
  },
  { name: 'a billion laughs', text: laughs(), rule: 'syntax', problem: /aliases multiply/ },
  {
    name: 'an anchor that contains itself',
    text: 'node: &a {metadata: {a: *a}}',
    rule: 'syntax',
    problem: /inside its own anchor/,
  },
  {
    name: 'messages packed in messages',
    text: `stats_sinks: [{name: a, typed_config: ${`{"@type": ${anyType}, name: a, typed_config: `.repeat(120)}{}${'}'.repeat(120)}}]`,
    rule: 'too-deep',
    problem: /100 levels deep/,
  },
  {
    name: 'bytes that are not UTF-8',
    text: Buffer.from('node: {id: "a\xff"}', 'latin1'),
    rule: 'invalid-utf8',
    problem: /not valid UTF-8/,
  },
  {
    name: 'a NUL in a name',
    text: 'static_resources: {clusters: [{na\0me: a}]}',
    rule: 'unknown-field',
    problem: /no such field/,
  },
  {
    name: 'a number of a million digits',
    text: `node: {id: a}\nadmin: {address: {socket_address: {port_value: ${'9'.repeat(1_000_000)}}}}`,
    rule: 'out-of-range',
    problem: /out of range/,
  },
  {
    name: 'an infinite port',
    text: 'admin: {address: {socket_address: {address: a, port_value: .inf}}}',
    rule: 'wrong-type',
    problem: /expected a number/,
  },
  {
    name: 'a duration of ages',
    text: 'static_resources: {clusters: [{name: a, connect_timeout: 999999999999s}]}',
    rule: 'duration-unit',
    problem: /out of range/,
  },
  {
    name: 'a key of a megabyte',
    text: `? ${'k'.repeat(1_000_000)}\n: 1`,
    rule: 'unknown-field',
    problem: /no such field/,
  },
];

for (const { name, text, rule, problem } of files) {
  test(`says what is wrong with ${name}`, { timeout: 5000 }, async () => {
    const { ok, problems } = await validateFiles(['-'], { stdin: Buffer.from(text) });
    assert.equal(ok, false);
    const found = problems.find((it) => it.rule === rule);
    assert.ok(
      found,
      `finds ${rule} among ${problems.map((it) => `${it.rule}: ${it.problem.slice(0, 80)}`).join(', ')}`,
    );
    assert.match(found.problem, problem);
    assert.ok(found.line !== undefined && found.column !== undefined);
  });
}

test('refuses a file of 100 MB unread', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-hostile-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'big.yaml');
  const descriptor = openSync(file, 'w');
  ftruncateSync(descriptor, 100 * 1024 * 1024);
  closeSync(descriptor);
  const { problems } = await loadBootstrap({ file });
  assert.deepEqual(
    problems.map((it) => it.rule),
    ['too-large'],
  );
});

test('stops counting mistakes where nobody reads on', { timeout: 5000 }, async () => {
  const fields = Array.from({ length: 20_000 }, (_, i) => `field_${i}: 1`).join('\n');
  const { problems } = await validateFiles(['-'], { stdin: Buffer.from(`admin: {}\n${fields}`) });
  assert.ok(problems.length > 100 && problems.length < 1000);
});

test('keeps names that objects treat specially', async () => {
  const yaml = 'node: {id: a, cluster: b, metadata: {__proto__: {constructor: x}, hasOwnProperty: y}}';
  const { ok, bootstrap } = await loadBootstrap({ yaml });
  assert.equal(ok, true);
  const { metadata } = bootstrap.node as { metadata: Record<string, unknown> };
  assert.deepEqual(Object.keys(metadata), ['__proto__', 'hasOwnProperty']);
  assert.equal(({} as Record<string, unknown>).constructor, Object);
});

test('does not look for a better name forever', { timeout: 5000 }, async () => {
  const clusters = Array.from({ length: 2000 }, (_, i) => `{name: cluster-${i}, connect_timeout: 1s}`).join(
    ', ',
  );
  const routes = Array.from(
    { length: 2000 },
    (_, i) => `{match: {path: /${i}}, route: {cluster: cluter-${i}}}`,
  ).join(', ');
  const table = `{"@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration, virtual_hosts: [{name: a, domains: [a], routes: [${routes}]}]}`;
  const { problems } = await validateFiles(['-'], {
    stdin: Buffer.from(
      `resources: [${table}, ${clusters.replaceAll('{name', '{"@type": type.googleapis.com/envoy.config.cluster.v3.Cluster, name')}]`,
    ),
  });
  assert.equal(problems.filter((it) => it.rule === 'unknown-cluster-unchecked').length, 2000);
});
