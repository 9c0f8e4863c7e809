import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatProblems } from './format-problems.ts';
import { type Validated, validateFiles } from './load.ts';

const yaml = `name: web
connect_timeout: 5
lb_policy: ROUND_ROBBIN
load_assignment:
	cluster_name: web
`;

function validate(text: string): Promise<Validated> {
  return validateFiles(['-'], { stdin: Buffer.from(text) });
}

test('prints the line with a caret, what was expected and a suggestion', async () => {
  const { problems, sources } = await validate('name: web\nconnect_timeout: 5\nlb_policy: ROUND_ROBBIN\n');
  const lines = formatProblems(problems, sources).split('\n');
  assert.deepEqual(lines.slice(0, 6), [
    '-:2:18: error: expected a duration such as "1.5s", got the number 5 [duration-unit]',
    '    2 | connect_timeout: 5',
    '      |                  ^',
    '  at connect_timeout',
    '  expected a duration such as 1.5s',
    '  a duration needs its unit: 5s',
  ]);
  assert.ok(
    lines.includes(
      '-:3:12: error: unknown value "ROUND_ROBBIN" for the enum envoy.config.cluster.v3.Cluster.LbPolicy [unknown-enum-value]',
    ),
  );
  assert.ok(lines.includes('      |            ^^^^^^^^^^^^'));
  assert.ok(lines.includes('  did you mean "ROUND_ROBIN"?'));
});

test('keeps tabs before the caret', async () => {
  const { problems, sources } = await validate(yaml);
  const text = formatProblems(problems, sources);
  assert.match(
    text,
    /-:5:14: error: illegal map value \[syntax\]\n {4}5 \| \tcluster_name: web\n {6}\| \t {12}\^\n/,
  );
});

test('cuts a long line around the place', async () => {
  const { problems, sources } = await validate(
    `{"name": "${'x'.repeat(5000)}", "connect_timeout": 5, "alt_stat_name": "${'y'.repeat(5000)}"}`,
  );
  const text = formatProblems(problems, sources);
  const [, line, caret] = text.split('\n');
  assert.ok(line!.length < 160);
  assert.equal(line![caret!.indexOf('^')], '5');
});

test('points at a missing field where it is missing', async () => {
  const { problems } = await validate(
    'virtual_hosts:\n- name: a\n  domains: ["*"]\n  routes:\n  - route: { cluster: a }\n',
  );
  assert.deepEqual(
    problems.map((it) => [it.rule, it.line, it.column, it.path]),
    [['missing-required', 5, 5, 'virtual_hosts[0].routes[0].match']],
  );
});

test('prints JSON with everything a program wants', async () => {
  const { problems, sources } = await validate('name: web\nconnect_timeout: 5\n');
  const [problem] = JSON.parse(formatProblems(problems, sources, 'json')).problems;
  assert.deepEqual(
    [problem.rule, problem.severity, problem.file, problem.line, problem.column, problem.path, problem.got],
    ['duration-unit', 'error', '-', 2, 18, 'connect_timeout', 5],
  );
  assert.match(problem.envoy, /^Unable to parse JSON as proto/);
});

test('prints SARIF with rules, places and levels', async () => {
  const { problems, sources } = await validate('name: web\nconnect_timeout: 5\nhttp2_protocol_options: {}\n');
  const log = JSON.parse(formatProblems(problems, sources, 'sarif'));
  assert.equal(log.version, '2.1.0');
  const [run] = log.runs;
  assert.deepEqual(
    run.results.map((it: { ruleId: string; level: string }) => [it.ruleId, it.level]),
    [
      ['duration-unit', 'error'],
      ['deprecated-field', 'warning'],
    ],
  );
  const { physicalLocation } = run.results[0].locations[0];
  assert.deepEqual(physicalLocation, {
    artifactLocation: { uri: '-' },
    region: { startLine: 2, startColumn: 18 },
  });
  for (const result of run.results) assert.equal(run.tool.driver.rules[result.ruleIndex].id, result.ruleId);
});

test('prints annotations for GitHub, escaped', async () => {
  const { problems, sources } = await validate('name: web\nconnect_timeout: 50%\n');
  assert.equal(
    formatProblems(problems, sources, 'github'),
    `::error file=-,line=2,col=18,title=duration-unit::"50%25" is not a duration: duration must end with a single 's'%0Aat connect_timeout\n`,
  );
});
