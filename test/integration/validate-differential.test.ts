// The verdict of the real Envoy and ours, on configurations with one mistake each. CHANCERY_VARIANTS and CHANCERY_SEED change how many
// and which; CHANCERY_CONFIGS names a folder with more configurations to start from.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { cpSync, globSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';
import { type LoadedBootstrap, loadBootstrap } from '#config/load.ts';
import { missing, peer } from '#testing/peers.ts';
import { Random, type Variant, variant } from './config-variants.ts';

const count = Number(process.env.CHANCERY_VARIANTS ?? 400);
const seed = Number(process.env.CHANCERY_SEED ?? 20261121);

/** What may differ, with the reason; docs/differences.md tells users. */
const known: readonly { readonly reason: string; readonly envoy: RegExp; readonly ours?: RegExp }[] = [
  {
    reason: 'Envoy crashes where we say what is wrong, or go on',
    envoy: /panic: |Caught (?:Aborted|Segmentation)/,
  },
];

test('gives the verdict of Envoy on configurations with one mistake', {
  skip: missing('envoy'),
  timeout: 600_000,
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-variants-'));
  const home = process.cwd();
  t.after(() => {
    process.chdir(home);
    rmSync(folder, { recursive: true });
  });
  // Copies: an access log with a wrong path is a new file where Envoy runs.
  for (const from of ['test/golden', 'test/integration/configs'])
    cpSync(from, join(folder, from), { recursive: true });
  if (process.env.CHANCERY_CONFIGS !== undefined)
    cpSync(process.env.CHANCERY_CONFIGS, join(folder, 'test/more'), { recursive: true });
  const accepted: string[] = [];
  for (const file of globSync('test/**/*.yaml', { cwd: folder }).toSorted()) {
    const path = join(folder, file);
    const { code } = await envoy(path, dirname(path));
    if (code === 0) accepted.push(path);
  }
  assert.ok(accepted.length > 20, 'there are accepted configurations to start from');
  const rich = accepted.filter((it) => it.includes('/integration/configs/'));
  assert.ok(rich.length >= 3, 'the configurations of this folder are accepted');
  const random = new Random(seed);
  const jobs = Array.from({ length: count }, () => {
    const file = random.pick(random.below(2) === 0 ? accepted : rich);
    return { file, variant: variant(file, relative(folder, file), random) };
  });
  const differences: string[] = [];
  let refused = 0;
  let next = 0;
  const verdicts: { code: number; stderr: string }[] = [];
  const ask = async () => {
    for (let i = next++; i < jobs.length; i = next++) {
      const path = join(folder, `${i}.yaml`);
      writeFileSync(path, jobs[i]!.variant.text);
      verdicts[i] = await envoy(path, dirname(jobs[i]!.file));
    }
  };
  await Promise.all([ask(), ask()]);
  for (const [i, job] of jobs.entries()) {
    process.chdir(dirname(job.file));
    const ours = await loadBootstrap({ file: join(folder, `${i}.yaml`) });
    const isRefused = verdicts[i]!.code !== 0;
    if (isRefused) refused++;
    if (isRefused === !ours.ok) continue;
    const words = lastLine(verdicts[i]!.stderr);
    if (known.some((it) => it.envoy.test(words) && (it.ours === undefined || it.ours.test(ourWords(ours)))))
      continue;
    differences.push(report(job.variant, isRefused, words, ours));
  }
  assert.deepEqual(differences, [], `seed ${seed}`);
  assert.ok(refused > count / 4 && refused < count, `${refused} of ${count} variants are refused`);
});

function report(it: Variant, isRefused: boolean, words: string, ours: LoadedBootstrap): string {
  return `${it.name}\n   Envoy ${isRefused ? `refuses: ${words}` : 'accepts'}\n   we ${ours.ok ? 'accept' : `refuse: ${ourWords(ours)}`}`;
}

function ourWords(ours: LoadedBootstrap): string {
  return ours.problems
    .filter((it) => it.severity === 'error')
    .map((it) => `[${it.rule}] ${it.message}`)
    .join(' | ')
    .slice(0, 400);
}

function lastLine(stderr: string): string {
  const text = stderr.replace(/\s+/g, ' ');
  return (/error initializing configuration '[^']*': (.*)/.exec(text)?.[1] ?? text).slice(0, 700);
}

function envoy(file: string, cwd: string): Promise<{ code: number; stderr: string }> {
  return new Promise((done) => {
    const args = [
      '--mode',
      'validate',
      '-c',
      file,
      '--concurrency',
      '1',
      '--use-dynamic-base-id',
      '-l',
      'error',
    ];
    const child = spawn(peer('envoy'), args, { cwd, stdio: ['ignore', 'ignore', 'pipe'] });
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.on('close', (code) => done({ code: code ?? -1, stderr }));
  });
}
