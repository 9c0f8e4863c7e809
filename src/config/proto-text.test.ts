import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadBootstrap } from './load.ts';

async function problemsOf(text: string, t: { after(fn: () => void): void }): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'envoy.pb_text');
  writeFileSync(file, text);
  const { problems } = await loadBootstrap({ file });
  return problems
    .filter((it) => it.severity === 'error')
    .map((it) => `${it.line}:${it.column} ${it.message}${it.suggestion ? ` (${it.suggestion})` : ''}`);
}

test('reads a configuration in protobuf text', async (t) => {
  const text = 'static_resources { clusters { name: "web" connect_timeout { seconds: 1 } } }';
  assert.deepEqual(await problemsOf(text, t), []);
});

test('says where a field is misspelt, and what was meant', async (t) => {
  const problems = await problemsOf('static_resources {\n  clusters { name: "web" lb_polcy: MAGLEV }\n}', t);
  assert.deepEqual(problems, [
    '2:26 static_resources.clusters[0]: message type "envoy.config.cluster.v3.Cluster" has no field named "lb_polcy" (did you mean "lb_policy"?)',
  ]);
});

test('finds the line of what only the rules refuse', async (t) => {
  const problems = await problemsOf(
    `static_resources {
  clusters { name: "a" }
  clusters {
    name: "b"
    connect_timeout { seconds: -1 }
  }
}`,
    t,
  );
  assert.equal(problems.length, 1);
  assert.match(problems[0]!, /^5:\d+ static_resources\.clusters\[1\]\.connect_timeout: /);
});
