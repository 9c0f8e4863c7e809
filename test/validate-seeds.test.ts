// The configurations printed in the documents of test/golden/seeds, taken out of their text: the verdicts of Envoy 1.40, and the
// two mistakes of the endpoint file.

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { formatProblems } from '#config/format-problems.ts';
import { loadBootstrap, validateFiles } from '#config/load.ts';

const folder = join(import.meta.dirname, 'golden/seeds');

interface Block {
  readonly document: string;
  readonly line: number;
  readonly language: string;
  readonly text: string;
}

function blocks(): Block[] {
  const found: Block[] = [];
  for (const file of readdirSync(folder).sort()) {
    const text = readFileSync(join(folder, file), 'utf8').replace(/\r\n/g, '\n');
    for (const match of text.matchAll(/^ *```(yaml|json)\n([\s\S]*?)^ *```/gm)) {
      const line = text.slice(0, match.index).split('\n').length;
      found.push({ document: file.slice(0, 3), line, language: match[1]!, text: match[2]! });
    }
  }
  return found;
}

// Asked of the real Envoy, with --mode validate. Those that are refused are sketches with "..." in them, and parts of a configuration.
const verdicts: Readonly<Record<string, boolean>> = {
  '002:60': true,
  '002:218': true,
  '002:378': true,
  '002:487': true,
  '003:160': true,
  '003:344': false,
  '003:387': false,
  '003:401': false,
  '003:445': false,
  '003:504': false,
  '003:624': false,
  '003:679': false,
  '003:756': false,
  '003:770': false,
  '003:807': false,
};

test('gives the verdict of Envoy on every configuration in the documents', async (t) => {
  const temporary = mkdtempSync(join(tmpdir(), 'chancery-seeds-'));
  t.after(() => rmSync(temporary, { recursive: true }));
  const ours: Record<string, boolean> = {};
  for (const { document, line, language, text } of blocks()) {
    const file = join(temporary, `${document}-${line}.${language}`);
    writeFileSync(file, text);
    ours[`${document}:${line}`] = (await loadBootstrap({ file })).ok;
  }
  assert.deepEqual(ours, verdicts);
});

test('validates the command line that the document shows', async () => {
  const text = readFileSync(join(folder, readdirSync(folder).find((it) => it.startsWith('003'))!), 'utf8');
  const yaml = /func-e run --config-yaml "(admin: [^"]+)"/.exec(text)![1]!;
  assert.equal((await loadBootstrap({ yaml })).ok, true);
});

test('explains both mistakes of the endpoint file', async (t) => {
  const temporary = mkdtempSync(join(tmpdir(), 'chancery-seeds-'));
  t.after(() => rmSync(temporary, { recursive: true }));
  const all = blocks();
  const endpoints = all.find((it) => it.text.includes('ClusterLoadAssignment'))!;
  // The document prints the cluster twice, without endpoint discovery and with it.
  const printed = all
    .find((it) => it.text.includes('#使用了EDS的配置'))!
    .text.split('#使用了EDS的配置\n')[1]!;
  const edsFile = join(temporary, 'eds.yaml');
  const clusters = join(temporary, 'clusters.yaml');
  writeFileSync(edsFile, endpoints.text);
  writeFileSync(clusters, printed.replace('/etc/envoy/eds.yaml', edsFile));
  const { ok, problems, sources } = await validateFiles([clusters, edsFile]);
  assert.equal(ok, false);
  const ofEds = problems.filter((it) => it.file === edsFile);
  assert.deepEqual(
    ofEds.map((it) => [it.severity, it.rule, it.line, it.column, it.suggestion]),
    [
      [
        'warning',
        'eds-cluster-name',
        3,
        19,
        '"webcluster" is not defined; the cluster here is "webcluster1"',
      ],
      [
        'error',
        'unknown-field',
        7,
        9,
        '"address" belongs one level deeper, under "endpoint": indent it below "endpoint:"',
      ],
    ],
  );
  const text = formatProblems(ofEds, sources);
  assert.match(text, /3 \| {5}cluster_name: webcluster\n {6}\| {19}\^{10}\n/);
  assert.match(text, /7 \| {9}address:\n {6}\| {9}\^{7}\n/);
});
