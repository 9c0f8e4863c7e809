import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { type EnvoyOptions, parseEnvoyFlags, usage } from './envoy-flags.ts';

const golden = (file: string) =>
  readFileSync(new URL(`../../test/golden/07-cli/${file}`, import.meta.url), 'utf8');

function options(...args: string[]): EnvoyOptions {
  const line = parseEnvoyFlags(args, 'envoy');
  assert.equal(line.kind, 'run', JSON.stringify(line));
  return (line as { options: EnvoyOptions }).options;
}

function error(...args: string[]): string {
  const line = parseEnvoyFlags(args, 'envoy');
  assert.equal(line.kind, 'error');
  return (line as { error: string }).error;
}

test('prints the usage of Envoy 1.40 to the letter', () => {
  assert.equal(usage('envoy'), golden('help/stdout.txt'));
});

test('names itself in the usage', () => {
  assert.match(usage('chancery proxy'), /^ {3}chancery proxy {2}\[--stats-tag <string>\]/m);
});

const rejected = [
  { case: 'unknown-flag', args: ['--nope'] },
  { case: 'bad-mode', args: ['-c', 'envoy.yaml', '--mode', 'foo'] },
  { case: 'bad-log-level', args: ['-c', 'envoy.yaml', '-l', 'loud', '--mode', 'validate'] },
  { case: 'bad-component-log-level', args: ['-c', 'envoy.yaml', '--component-log-level', 'nope:debug'] },
  { case: 'concurrency-not-a-number', args: ['-c', 'envoy.yaml', '--concurrency', 'x'] },
];

for (const { case: name, args } of rejected) {
  test(`refuses ${name} with the recorded words`, () => {
    // The recorder cut trailing blank lines.
    assert.equal(error(...args).trimEnd(), golden(`${name}/stderr.txt`).trimEnd());
  });
}

const told = [
  { args: ['-c'], problem: 'Argument: -c (--config-path)\n             Missing a value for this argument!' },
  { args: ['-c', 'a', '-c', 'b'], problem: 'Argument already set!' },
  { args: ['--mode=validate'], problem: "Couldn't find match for argument (write: --mode validate)" },
  { args: ['-cfoo.yaml'], problem: "Couldn't find match for argument (write: -c foo.yaml)" },
  { args: ['foo.yaml'], problem: "Couldn't find match for argument (a configuration file is given with -c)" },
  {
    args: ['--component-log-level', 'upstream'],
    problem: "component log level not correctly specified 'upstream'",
  },
  { args: ['--local-address-ip-version', 'v5'], problem: "unknown IP address version 'v5'" },
  { args: ['--stats-tag', 'a'], problem: "misformatted stats-tag 'a'" },
  { args: ['--restart-epoch', '1', '--use-dynamic-base-id'], problem: 'cannot use --restart-epoch=1 with' },
];

for (const { args, problem } of told) {
  test(`says what is wrong with ${args.join(' ')}`, () => {
    assert.ok(error(...args).includes(problem), error(...args));
  });
}

test('reads what the recorded runs and the seeds start it with', () => {
  const it = options(
    ...'-c e.yaml --restart-epoch 0 --drain-time-s 45 --parent-shutdown-time-s 60 --service-cluster d --service-node n'.split(
      ' ',
    ),
    ...'--local-address-ip-version v4 --log-format-prefix-with-location 0 --max-obj-name-len 189 -l warning'.split(
      ' ',
    ),
    ...'--log-format %v --component-log-level misc:error,upstream:debug --concurrency 2'.split(' '),
  );
  assert.equal(it.configPath, 'e.yaml');
  assert.equal(it.drainTimeMs, 45_000);
  assert.equal(it.concurrency, 2);
  assert.deepEqual(it.componentLogLevels, [
    ['misc', 'error'],
    ['upstream', 'debug'],
  ]);
  assert.deepEqual(it.notes, [
    '--max-obj-name-len is accepted and ignored: names have no length limit any more',
    '--log-format-prefix-with-location is accepted and ignored: put [%g:%#] into --log-format instead',
  ]);
});

test('raises a concurrency of 0 to one worker', () => {
  assert.equal(options('--concurrency', '0').concurrency, 1);
});
