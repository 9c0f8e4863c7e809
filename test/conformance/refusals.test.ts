// Configurations that the real Envoy and ours refuse in the same words, whether they start with them or validate them.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { certificatePath } from '#testing/certificates.ts';
import { missing } from '#testing/peers.ts';
import { type ProxyKind, proxyCommand } from '#testing/proxy-process.ts';
import { refusal } from './refusal.ts';
import { expectSame } from './side-by-side.ts';
import { address, connectionManager, type, typed } from './side-by-side-configuration.ts';

const node = { id: 'n', cluster: 'c' };
const layers = (...layers: object[]) => ({ layered_runtime: { layers } });
const disk = (symlink_root: string) => layers({ name: 'disk', disk_layer: { symlink_root } });
const secrets = (...secrets: object[]) => ({ static_resources: { secrets } });
const source = (path: string, directory?: string) => ({
  path_config_source: {
    path,
    ...(directory !== undefined && { watched_directory: { path: directory } }),
  },
});
const clusters = (...clusters: object[]) => ({ static_resources: { clusters } });
const tlsCluster = (common_tls_context: object) =>
  clusters({
    name: 'tls',
    transport_socket: typed('extensions.transport_sockets.tls.v3.UpstreamTlsContext', { common_tls_context }),
  });
const sds = { name: 'secret', sds_config: source('./some.yaml') };
const tickets = { keys: [{ inline_string: 'x'.repeat(80) }] };

const configurations: Record<string, object> = {
  'two runtime layers of one name': layers({ name: 'a', admin_layer: {} }, { name: 'a', static_layer: {} }),
  'two admin layers': layers({ name: 'a', admin_layer: {} }, { name: 'b', admin_layer: {} }),
  'a disk layer in a folder that is not there': disk('./nowhere/current'),
  'a disk layer without a folder': disk('current'),
  'a disk layer without a path': disk(''),
  'two secrets of one name': secrets(
    { name: 'a', validation_context: {} },
    { name: 'a', session_ticket_keys: tickets },
    { name: 'a', validation_context: {} },
  ),
  'two ticket keys of one name': secrets(
    { name: 'a', session_ticket_keys: tickets },
    { name: 'a', session_ticket_keys: tickets },
  ),
  'two other secrets of one name': secrets(
    { name: 'a', generic_secret: { secret: { inline_string: 'x' } } },
    { name: 'a', generic_secret: { secret: { inline_string: 'x' } } },
  ),
  'a certificate from SDS without a node': tlsCluster({ tls_certificate_sds_secret_configs: [sds] }),
  'a validation context from SDS without a node': tlsCluster({ validation_context_sds_secret_config: sds }),
  'a combined validation context from SDS without a node': tlsCluster({
    combined_validation_context: {
      default_validation_context: {},
      validation_context_sds_secret_config: sds,
    },
  }),
  'endpoints from a file in a watched directory that is not there': {
    node,
    ...clusters({
      name: 'eds',
      type: 'EDS',
      eds_cluster_config: { eds_config: source('./some.yaml', './nowhere') },
    }),
  },
  'routes from a file in a watched directory that is not there': {
    node,
    static_resources: {
      listeners: [
        {
          name: 'l',
          address: address(0),
          filter_chains: [
            {
              filters: [
                connectionManager({
                  rds: { route_config_name: 'r', config_source: source('./some.yaml', 'nowhere') },
                }),
              ],
            },
          ],
        },
      ],
    },
  },
  'clusters from a file in a watched directory that is not there': {
    node,
    dynamic_resources: { cds_config: source('./some.yaml', '/nowhere') },
  },
};

const brokenTexts = ['a: {b: c', 'a: {\n  b: [c\n', 'a: [1\n\n  ', 'a: "x\ny', "a: {'b': 'c", 'a: "\\'];

/** Of which nothing is said in words of our own behind Envoy's. */
const commandLines: readonly (readonly string[])[] = [
  ['--stats-tag', 'a-b:c'],
  ['--stats-tag', 'a:b.c'],
  ['--stats-tag', 'a:'],
  ['--stats-tag', 'a'],
  ['--log-path', '/nowhere/log'],
  ['--hot-restart-version'],
  ['--hot-restart-version', '--disable-hot-restart'],
];

/** Validating does not subscribe to listeners. */
const refusedAtStart: Record<string, object> = {
  'listeners from a file that is not there': { dynamic_resources: { lds_config: source('./none.yaml') } },
  'listeners from a file without a folder': { dynamic_resources: { lds_config: source('some.yaml') } },
  'listeners from a file in a watched directory that is not there': {
    dynamic_resources: { lds_config: source('./some.yaml', './nowhere') },
  },
};

test('the same is refused in the same words', { skip: missing('envoy') }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'refusals-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const empty = { resources: [{ '@type': type('config.cluster.v3.Cluster'), name: 'x' }] };
  writeFileSync(join(folder, 'some.yaml'), JSON.stringify(empty));
  const ask = async (name: string, bootstrap: object | string, flags: readonly string[], code: number) => {
    const [theirs, ours] = await Promise.all([
      refusal('envoy', folder, bootstrap, flags),
      refusal('chancery', folder, bootstrap, flags),
    ]);
    assert.deepEqual(ours, theirs, `${name} ${flags.join(' ')}`);
    assert.equal(ours.code, code, `${name} ${flags.join(' ')}`);
  };
  for (const [name, bootstrap] of Object.entries(configurations)) {
    await ask(name, bootstrap, [], 1);
    await ask(name, bootstrap, ['--mode', 'validate'], 1);
  }
  for (const text of brokenTexts) await ask(text, text, ['--mode', 'validate'], 1);
  for (const [name, bootstrap] of Object.entries(refusedAtStart)) {
    await ask(name, bootstrap, [], 1);
    await ask(name, bootstrap, ['--mode', 'validate'], 0);
  }
});

test('what a command line is told', { skip: missing('envoy') }, async () => {
  const said = (kind: ProxyKind, flags: readonly string[]) => {
    const [program, ...first] = proxyCommand(kind);
    const { status, stdout, stderr } = spawnSync(program!, [...first, ...flags], { encoding: 'utf8' });
    return { status, stdout, stderr: stderr.replace(/^\[.*\n( +'\n)?/gm, '') };
  };
  for (const flags of commandLines)
    assert.deepEqual(said('chancery', flags), said('envoy', flags), flags.join(' '));
});

test('a secret whose files cannot be watched is refused', { skip: missing('envoy') }, async (t) => {
  const secret = {
    '@type': type('extensions.transport_sockets.tls.v3.Secret'),
    name: 'secret',
    validation_context: {
      trusted_ca: { filename: certificatePath('ca') },
      watched_directory: { path: './nowhere' },
    },
  };
  const yaml = {
    node,
    admin: { address: address(21001) },
    ...tlsCluster({ validation_context_sds_secret_config: sds }),
  };
  await expectSame(
    t,
    JSON.stringify(yaml),
    async ({ proxy, stats }) => [
      /Filesystem config update rejected.*/.exec(proxy.output)?.[0],
      await stats('^sds.*(rejected|success)'),
    ],
    { files: { 'some.yaml': JSON.stringify({ resources: [secret] }) }, logLevel: 'warning' },
  );
});

test('files that cannot be written and extensions that are not there hold nobody up', {
  skip: missing('envoy'),
}, async (t) => {
  const flags = [
    ...['--admin-address-path', '/nowhere/address', '--base-id-path', '/nowhere/id'],
    ...[
      '--disable-extensions',
      'nothing,envoy.filters.http/nothing,envoy.filters.http/envoy.filters.http.buffer',
    ],
  ];
  const admin = { address: address(21001) };
  await expectSame(
    t,
    JSON.stringify({ admin }),
    async ({ proxy }) =>
      proxy.output
        .match(/(?<=\]\[)(warning|critical)\]\[(misc|admin)\].*/g)!
        .map(withoutPlace)
        .sort(),
    { flags, logLevel: 'warning' },
  );
  await expectSame(t, JSON.stringify({ admin }), async (side) => side.stats('^server\\.hot_restart'), {
    flags: ['--disable-hot-restart'],
  });
});

const withoutPlace = (line: string) => line.replace(/\[[^\]]*:\d+\]/, '');
