import assert from 'node:assert/strict';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ConfigError } from '#config/config-error.ts';
import { ParseContext } from '#config/parse-context.ts';
import { create } from '#schema/create.ts';
import type { InitTypes } from '#schema/messages/type-map.ts';
import { defaultBuckets } from '#stats/histogram-statistics.ts';
import { StatsStore } from '#stats/store.ts';
import { checkBootstrapFields } from '../bootstrap-fields.ts';
import { certificateDetails, certificatePairs } from '../secrets/certificate-details.ts';
import { applicationLogFormat } from './application-log.ts';
import { parseLayeredRuntime, RuntimeLayers } from './runtime-layers.ts';
import { bucketBounds, parseStatsConfig, statsFilter } from './stats-config.ts';

function stats(init: InitTypes['envoy.config.metrics.v3.StatsConfig']) {
  const problems: ConfigError[] = [];
  const settings = parseStatsConfig(
    create('envoy.config.metrics.v3.StatsConfig', init),
    new ParseContext('stats_config', problems),
  );
  return { settings, problems: problems.map((it) => it.message) };
}

const matched: readonly {
  name: string;
  init: InitTypes['envoy.config.metrics.v3.StatsMatcher'];
  kept: string;
}[] = [
  { name: 'reject_all', init: { reject_all: true }, kept: '' },
  { name: 'reject_all: false', init: { reject_all: false }, kept: 'server.live cluster.a.x' },
  {
    name: 'an inclusion list',
    init: { inclusion_list: { patterns: [{ prefix: 'server.' }] } },
    kept: 'server.live',
  },
  {
    name: 'an exclusion list',
    init: { exclusion_list: { patterns: [{ suffix: '.live' }] } },
    kept: 'cluster.a.x',
  },
];

for (const { name, init, kept } of matched) {
  test(`stats_matcher with ${name}`, () => {
    const accepts = statsFilter(stats({ stats_matcher: init }).settings.matcher);
    assert.equal(['server.live', 'cluster.a.x'].filter(accepts).join(' '), kept);
  });
}

test('the first histogram_bucket_settings that match count', () => {
  const { settings } = stats({
    histogram_bucket_settings: [
      { match: { suffix: '_ms' }, buckets: [1, 2] },
      { match: { prefix: 'a' }, buckets: [3] },
    ],
  });
  const bounds = bucketBounds(settings);
  assert.deepEqual([bounds('a_ms'), bounds('a'), bounds('b')], [[1, 2], [3], defaultBuckets]);
});

const wrongStats: readonly { init: InitTypes['envoy.config.metrics.v3.StatsConfig']; problem: RegExp }[] = [
  {
    init: { stats_tags: [{ tag_name: 'a' }] },
    problem: /^stats_config\.stats_tags\[0\]\.tag_name: .*no default regex/,
  },
  {
    init: { stats_tags: [{ tag_name: 'a', regex: '(' }] },
    problem: /^stats_config\.stats_tags\[0\]\.regex: /,
  },
];

for (const { init, problem } of wrongStats) {
  test(`refuses stats_config ${JSON.stringify(init)}`, () => {
    const { problems } = stats(init);
    assert.equal(problems.length, 1);
    assert.match(problems[0]!, problem);
  });
}

test('a default tag may be named without a regex', () => {
  assert.deepEqual(stats({ stats_tags: [{ tag_name: 'envoy.cluster_name' }] }).problems, []);
});

function layered(init: InitTypes['envoy.config.bootstrap.v3.LayeredRuntime']) {
  const problems: ConfigError[] = [];
  const layers = parseLayeredRuntime(
    create('envoy.config.bootstrap.v3.LayeredRuntime', init),
    new ParseContext('layered_runtime', problems),
  );
  return { layers, problems: problems.map((it) => it.message) };
}

test('runtime layers: the highest that has a key counts, and operators may override', () => {
  const { layers } = layered({
    layers: [
      {
        name: 's',
        static_layer: { a: { b: 5, c: true }, text: 'x', share: { numerator: 3, denominator: 'HUNDRED' } },
      },
      { name: 'admin', admin_layer: {} },
    ],
  });
  const sent: unknown[] = [];
  const runtime = new RuntimeLayers(layers, 'c1', new StatsStore().root, (values) => sent.push(values));
  assert.deepEqual(runtime.layers(), ['s', 'admin']);
  assert.equal(
    runtime.setAdminLayer([
      ['a.b', '7'],
      ['new', 'false'],
    ]),
    true,
  );
  const { 'a.b': b, 'a.c': c, text, new: fresh } = runtime.values();
  assert.deepEqual([b, c, text, fresh], [7, true, 'x', false]);
  assert.equal(sent.length, 1);
  assert.deepEqual(
    runtime.entries().find(({ key }) => key === 'a.b'),
    { key: 'a.b', layerValues: ['5', '7'], finalValue: '7' },
  );
  // As Envoy prints a percentage.
  assert.equal(
    runtime.entries().find(({ key }) => key === 'share')!.finalValue,
    'fields {\n  key: "denominator"\n  value {\n    string_value: "HUNDRED"\n  }\n}\nfields {\n  key: "numerator"\n  value {\n    number_value: 3\n  }\n}\n',
  );
  runtime.setAdminLayer([['a.b', '']]);
  assert.equal(runtime.values()['a.b'], 5);
});

test('without an admin layer nothing can be overridden', () => {
  const runtime = new RuntimeLayers([], 'c1', new StatsStore().root, () => {});
  assert.equal(runtime.setAdminLayer([['a', '1']]), false);
  assert.deepEqual(runtime.entries(), []);
});

test('a disk layer is read from files, and again when its link is replaced', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'runtime-'));
  t.after(() => rmSync(folder, { recursive: true }));
  for (const [version, value] of [
    ['v1', '1'],
    ['v2', '2'],
  ] as const) {
    mkdirSync(join(folder, version, 'envoy/c1/deep'), { recursive: true });
    writeFileSync(join(folder, version, 'envoy/c1/deep/key'), `# a comment\n${value}\n`);
  }
  mkdirSync(join(folder, 'links'));
  const link = join(folder, 'links/current');
  symlinkSync(join(folder, 'v1'), link);
  const { layers } = layered({
    layers: [
      { name: 'd', disk_layer: { symlink_root: link, subdirectory: 'envoy', append_service_cluster: true } },
    ],
  });
  const store = new StatsStore();
  let changed: (values: unknown) => void = () => {};
  const runtime = new RuntimeLayers(layers, 'c1', store.root, (values) => changed(values));
  t.after(() => runtime.close());
  assert.deepEqual(runtime.values(), { 'deep.key': 1 });

  const seen = new Promise((resolve) => {
    changed = resolve;
  });
  // The watch does not keep the process alive.
  const keepAlive = setTimeout(() => {}, 5000);
  symlinkSync(join(folder, 'v2'), `${link}.new`);
  renameSync(`${link}.new`, link);
  assert.deepEqual(await seen, { 'deep.key': 2 });
  clearTimeout(keepAlive);
});

test('a disk layer that is not there is empty', () => {
  const { layers } = layered({ layers: [{ name: 'd', disk_layer: { symlink_root: '/nonexistent/x' } }] });
  const store = new StatsStore();
  const runtime = new RuntimeLayers(layers, 'c1', store.root, () => {});
  assert.deepEqual(runtime.values(), {});
  assert.deepEqual(runtime.layers(), []);
  assert.equal(store.root.scope('runtime').gauge('num_layers').value, 0);
  runtime.close();
});

test('certificates are found wherever a TLS context stands', () => {
  const recorded = readFileSync(new URL('../../../test/golden/06-admin/envoy.yaml', import.meta.url), 'utf8');
  const pem = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/.exec(recorded)![0];
  const certificate = { certificate_chain: { inline_string: pem.replace(/^ +/gm, '') } };
  const context = (common_tls_context: object) => ({
    '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
    common_tls_context,
  });
  const secret = create('envoy.extensions.transport_sockets.tls.v3.Secret', { tls_certificate: certificate });
  const [pair, discovered] = certificatePairs(
    {
      any: [
        context({ tls_certificates: [certificate] }),
        context({ tls_certificate_sds_secret_configs: [{ name: 'front' }] }),
      ],
    },
    ({ name }) => (name === 'front' ? secret : undefined),
  );
  assert.deepEqual(discovered, pair);
  assert.deepEqual(pair, {
    caCertificates: [],
    certificateChain: [
      {
        path: '<inline>',
        serialNumber: '06d1b79be6efbf483553a21a0e9cd4c1ceda050f',
        subjectAltNames: [{ kind: 'dns', value: 'a.example.com' }],
        validFromMs: Date.parse('2026-11-21T09:45:36Z'),
        expirationMs: Date.parse('2036-11-18T09:45:36Z'),
      },
    ],
  });
});

test('what is no certificate has no details', () => {
  assert.deepEqual(certificateDetails({ inline_string: 'nonsense' }), []);
  assert.deepEqual(certificateDetails({ filename: '/nonexistent.pem' }), []);
});

test('the log format of the bootstrap: text, or JSON that holds any message', () => {
  const format = (init: InitTypes['envoy.config.bootstrap.v3.Bootstrap']) => {
    const problems: ConfigError[] = [];
    const text = applicationLogFormat(
      create('envoy.config.bootstrap.v3.Bootstrap', init),
      new ParseContext('', problems),
    );
    return problems.length > 0 ? problems[0]!.message : text;
  };
  assert.equal(format({}), undefined);
  assert.equal(format({ application_log_config: { log_format: { text_format: 'T %v' } } }), 'T %v');
  assert.equal(
    format({ application_log_config: { log_format: { json_format: { Level: '%l', Message: '%j' } } } }),
    '{"Level":"%l","Message":"%j"%*}',
  );
  assert.match(
    format({ application_log_config: { log_format: { json_format: { Message: '%v' } } } })!,
    /^application_log_config\.log_format\.json_format: "%v" is not escaped/,
  );
});

const fields: readonly {
  init: InitTypes['envoy.config.bootstrap.v3.Bootstrap'];
  problems: readonly string[];
}[] = [
  { init: {}, problems: [] },
  { init: { deferred_stat_options: { enable_deferred_creation_stats: true } }, problems: [] },
  { init: { hds_config: {} }, problems: ['error hds_config'] },
  {
    init: { stats_sinks: [{ name: 'statsd' }], header_prefix: 'x-foo' },
    problems: ['error header_prefix', 'warning stats_sinks'],
  },
  { init: { watchdogs: {}, flags_path: '/f' }, problems: ['warning watchdogs', 'warning flags_path'] },
  {
    init: { cluster_manager: { local_cluster_name: 'me' } },
    problems: ['error cluster_manager.local_cluster_name'],
  },
];

for (const { init, problems } of fields) {
  test(`names what it does not support in ${JSON.stringify(init)}`, () => {
    const found: ConfigError[] = [];
    checkBootstrapFields(create('envoy.config.bootstrap.v3.Bootstrap', init), new ParseContext('', found));
    assert.deepEqual(found.map(({ severity, path }) => `${severity} ${path}`).sort(), [...problems].sort());
  });
}
