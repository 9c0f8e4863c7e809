// The published package, outside of the repository: packed, unpacked beside its dependencies, typed, run.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

const root = join(import.meta.dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'chancery-pack-'));
const modules = join(folder, 'node_modules');
const installed = join(modules, 'chancery');

before(() => {
  execFileSync('npm', ['pack', '--silent', '--pack-destination', folder], { cwd: root });
  const [tarball] = globSync('*.tgz', { cwd: folder });
  mkdirSync(installed, { recursive: true });
  execFileSync('tar', ['-xzf', join(folder, tarball!), '--strip-components=1', '-C', installed]);
  for (const name of ['@types', 'undici-types', 're2js', 'yaml', '.bin'])
    symlinkSync(join(root, 'node_modules', name), join(modules, name));
});

after(() => rmSync(folder, { recursive: true, force: true }));

const run = (command: string, args: string[]) => spawnSync(command, args, { cwd: folder, encoding: 'utf8' });

test('holds no sources and no tests', () => {
  assert.ok(!existsSync(join(installed, 'src')));
  assert.deepEqual(globSync('**/*.test.*', { cwd: installed }), []);
  assert.deepEqual(
    globSync('**/*.ts', { cwd: installed }).filter((it) => !it.endsWith('.d.ts')),
    [],
  );
});

test('types a configuration, and points at what is wrong in one', () => {
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  writeFileSync(
    join(folder, 'good.ts'),
    `import { bootstrap, create, encodeMessage, message } from 'chancery/schema';
export default bootstrap({ static_resources: { clusters: [{ name: 'web', connect_timeout: '1s' }] } });
const cluster = create('envoy.config.cluster.v3.Cluster', { name: 'web' });
console.log(cluster.lb_policy, encodeMessage(message('envoy.config.cluster.v3.Cluster'), cluster).length);
`,
  );
  writeFileSync(
    join(folder, 'bad.ts'),
    `import { bootstrap, cluster } from 'chancery/schema';
cluster({ name: 'web', lb_polcy: 'MAGLEV' });
cluster({ lb_policy: 'ROUND_ROBBIN' });
bootstrap({ tracing: { http: { name: 'x', typed_config: { '@type': 'type.googleapis.com/envoy.config.trace.v3.ZipkinConfg' } } } });
`,
  );
  const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2024', '--types', 'node'];
  const { stdout } = run(join(root, 'node_modules/.bin/tsc'), [...options, 'good.ts', 'bad.ts']);
  const errors = stdout.split('\n').filter((it) => /^\S+\.ts\(/.test(it));
  assert.deepEqual(
    errors.map((it) => it.replace(/,\d+\): .*(Did you mean .*)/, ' $1')),
    [
      "bad.ts(2 Did you mean to write 'lb_policy'?",
      'bad.ts(3 Did you mean \'"ROUND_ROBIN"\'?',
      'bad.ts(4 Did you mean \'"type.googleapis.com/envoy.config.trace.v3.ZipkinConfig"\'?',
    ],
  );
});

test('runs: the door for TypeScript', () => {
  const { stdout, stderr } = run(process.execPath, ['good.ts']);
  assert.equal(stdout, 'ROUND_ROBIN 5\n', stderr);
});

const chancery = (...args: string[]) =>
  spawnSync(join(installed, 'bin/chancery'), args, {
    cwd: folder,
    encoding: 'utf8',
    env: { ...process.env, CHANCERY_NODE: process.execPath },
  });

test('runs: the command', () => {
  const { stdout, stderr } = chancery('--version');
  assert.match(stdout, /^chancery {2}version: chancery-\d+\.\d+\.\d+\//, stderr);
});

test('runs: a configuration in TypeScript, which imports the command that runs it', () => {
  writeFileSync(join(folder, 'envoy.ts'), readFileSync(join(folder, 'good.ts')));
  const { status, stdout, stderr } = chancery('proxy', '--mode', 'validate', '-c', 'envoy.ts');
  assert.match(stdout, /configuration 'envoy.ts' OK/, stderr);
  assert.equal(status, 0);
  writeFileSync(
    join(folder, 'wrong.ts'),
    `import { bootstrap } from 'chancery/schema';
export default bootstrap({ static_resources: { clusters: [{ name: 'web', lb_polcy: 'MAGLEV' }] } });
`,
  );
  const wrong = chancery('validate', 'wrong.ts');
  assert.equal(wrong.status, 1);
  assert.match(wrong.stdout + wrong.stderr, /lb_policy/);
});
