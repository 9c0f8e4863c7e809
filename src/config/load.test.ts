import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { loadBootstrap, loadDiscoveryFile, validateFiles } from './load.ts';

function write(t: TestContext, files: Readonly<Record<string, string>>): Record<string, string> {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-load-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return Object.fromEntries(
    Object.entries(files).map(([name, text]) => {
      writeFileSync(join(folder, name), text);
      return [name, join(folder, name)];
    }),
  );
}

const cluster = (name: string, rest = '') =>
  `{name: ${name}, connect_timeout: 1s, load_assignment: {cluster_name: ${name}, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 80}}}}]}]}${rest}}`;

test('merges --config-yaml over the file, and finds each mistake in its text', async (t) => {
  const { 'a.yaml': file } = write(t, {
    'a.yaml': `node: {id: a, cluster: b}\nstatic_resources:\n  clusters:\n  - ${cluster('one')}\n`,
  });
  const yaml = `node: {id: c}\nstatic_resources:\n  clusters:\n  - ${cluster('one')}\n  - ${cluster('two', ', lb_policy: 99')}\n`;
  const { bootstrap, problems } = await loadBootstrap({ file, yaml });
  assert.deepEqual({ ...(bootstrap.node as object) }, { id: 'c', cluster: 'b' });
  assert.deepEqual(
    problems.map((it) => [it.rule, it.path, it.file, it.line, it.column]),
    [
      ['duplicate-cluster', 'static_resources.clusters[1].name', '--config-yaml', 4, 12],
      [
        'constraint',
        'static_resources.clusters[2].lb_policy',
        '--config-yaml',
        5,
        5 + cluster('two', ', lb_policy: 99').indexOf('99'),
      ],
    ],
  );
});

test('runs a TypeScript file that exports a configuration', async (t) => {
  const files = write(t, {
    'good.mjs': `export default { node: { id: 'a', cluster: 'b' }, static_resources: { clusters: [{ name: 'x', connect_timeout: '1s' }] } };`,
    'bad.mjs': `export default { node: { idd: 'a' } };`,
    'none.mjs': 'export const other = 1;',
  });
  const good = await loadBootstrap({ file: files['good.mjs'] });
  assert.equal(good.ok, true);
  const bad = await loadBootstrap({ file: files['bad.mjs'] });
  assert.deepEqual(
    bad.problems.map((it) => [it.rule, it.path, it.suggestion]),
    [['unknown-field', 'node.idd', 'did you mean "id"?']],
  );
  assert.deepEqual(
    (await loadBootstrap({ file: files['none.mjs'] })).problems.map((it) => it.rule),
    ['unreadable-file'],
  );
});

test('warns about unknown fields of discovery files unless told otherwise', async (t) => {
  const { 'eds.yaml': file } = write(t, {
    'eds.yaml':
      'resources:\n- "@type": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment\n  cluster_name: a\n  foo: 1\n',
  });
  const rules = async (options: Parameters<typeof loadDiscoveryFile>[1]) =>
    (await loadDiscoveryFile(file!, options)).problems.map((it) => `${it.severity} ${it.rule} ${it.line}`);
  assert.deepEqual(await rules({}), ['warning unknown-field 4']);
  assert.deepEqual(await rules({ rejectUnknownDynamicFields: true }), ['error unknown-field 4']);
  assert.deepEqual(await rules({ ignoreUnknownDynamicFields: true }), []);
});

test('refuses what a discovery file cannot be used for', async (t) => {
  const { 'eds.yaml': file } = write(t, {
    'eds.yaml': `resources:\n- "@type": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment\n  cluster_name: a\n  endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: a.local, port_value: 1}}}}]}]\n`,
  });
  const { ok, problems } = await loadDiscoveryFile(file!);
  assert.equal(ok, false);
  assert.match(problems[0]!.envoy!, /^malformed IP address: a\.local\. Consider/);
});

test('knows resources from other files', async (t) => {
  const files = write(t, {
    'cds.yaml': `resources:\n- {"@type": type.googleapis.com/envoy.config.cluster.v3.Cluster, name: web, connect_timeout: 1s}\n`,
    'rds.yaml': `resources:\n- {"@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration, virtual_hosts: [{name: a, domains: [a], routes: [{match: {prefix: /}, route: {cluster: wbe}}]}]}\n`,
  });
  const { problems } = await validateFiles([files['cds.yaml']!, files['rds.yaml']!]);
  assert.deepEqual(
    problems.map((it) => [it.rule, it.suggestion]),
    [['unknown-cluster-unchecked', 'did you mean "web"?']],
  );
  assert.deepEqual((await validateFiles([files['rds.yaml']!])).problems, []);
});

test('--strict refuses what Envoy should refuse', async () => {
  const yaml = 'admin: {}\nadmin: {profile_path: /tmp/a}\n';
  const options = { stdin: Buffer.from(yaml) };
  assert.equal((await validateFiles(['-'], options)).ok, true);
  const strict = await validateFiles(['-'], { ...options, strict: true });
  assert.deepEqual([strict.ok, strict.problems[0]!.severity, strict.problems[0]!.line], [false, 'error', 1]);
});
