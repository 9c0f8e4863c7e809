// The statistics pages against what Envoy printed of the same values: test/golden/06-admin-stats-pages.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { slotLow } from './buckets.ts';
import { defaultBuckets } from './histogram-statistics.ts';
import { statsJson } from './json.ts';
import type { HistogramStat, StatsReading } from './merged.ts';
import { shortest, shortestJson, significant } from './numbers.ts';
import { statsPrometheus } from './prometheus.ts';
import { TagExtractor } from './tags.ts';
import { statsText } from './text.ts';

const folder = new URL('../../test/golden/06-admin-stats-pages/', import.meta.url);
// A 64-bit hash, as far as a number holds it.
const golden = (name: string) =>
  readFileSync(new URL(name, folder), 'utf8').replaceAll('7308050424466892544', '7308050424466892800');

// As configured in envoy.yaml there.
const bounds = (name: string) =>
  name.endsWith('cx_length_ms') ? [1, 10, 1500, 30_000_000, 500_000_000] : defaultBuckets;
const extractor = new TagExtractor({
  useAllDefaultTags: true,
  tags: [
    { name: 'envoy.my_tag', regex: '^http\\.((.*?)\\.)downstream_cx_total' },
    { name: 'fixed.x', fixedValue: 'y"z\\' },
  ],
});

interface Detail {
  readonly name: string;
  readonly totals: readonly { readonly lower_bound: number; readonly count: number }[];
  readonly intervals: Detail['totals'];
}

const reading = recordedReading();
const usedOnly: StatsReading = {
  counters: reading.counters.filter((it) => it.used),
  gauges: reading.gauges.filter((it) => it.used),
  textReadouts: reading.textReadouts,
  histograms: reading.histograms.filter((it) => it.used),
  endpoints: [],
};

for (const view of ['summary', 'cumulative', 'disjoint', 'detailed'] as const) {
  test(`prints text with ${view} histograms`, () => {
    same(statsText(reading, view, bounds), golden(`text-${view}.txt`));
  });
  test(`prints JSON with ${view} histograms`, () => {
    same(statsJson(reading, view, bounds), golden(`json-${view}.json`));
  });
}

test('prints what is used', () => {
  same(statsText(usedOnly, 'summary', bounds), golden('text-usedonly.txt'));
});

// Envoy makes a few metrics before it knows the tags that are the same for all: whether that label is there is not compared.
const withoutFixedTag = (text: string) =>
  text.replaceAll(/,?fixed_x="y\\"z\\\\"(?=\})|fixed_x="y\\"z\\\\",/g, '');

for (const { file, shown, histograms, textReadouts } of [
  { file: 'prometheus.txt', shown: reading, histograms: 'buckets', textReadouts: false },
  { file: 'prometheus-summary.txt', shown: reading, histograms: 'summary', textReadouts: false },
  { file: 'prometheus-readouts.txt', shown: usedOnly, histograms: 'buckets', textReadouts: true },
] as const) {
  test(`prints ${file}`, () => {
    const text = statsPrometheus(shown, extractor, bounds, { histograms, textReadouts });
    same(withoutFixedTag(text), withoutFixedTag(golden(file)));
    assert.ok(text.includes('envoy_cluster_version_text{') === textReadouts);
    assert.ok(text.includes('{fixed_x="y\\"z\\\\",envoy_cluster_name="rbac_c"} 0'));
  });
}

test('prints empty lists', () => {
  const nothing: StatsReading = { counters: [], gauges: [], textReadouts: [], histograms: [], endpoints: [] };
  assert.equal(statsJson(nothing, 'summary', bounds), '{"stats":[]}');
  assert.equal(statsText(nothing, 'summary', bounds), '');
});

const extracted = [
  { name: 'server.live', left: 'server.live', tags: '' },
  {
    name: 'cluster.a.upstream_rq_200',
    left: 'cluster.upstream_rq',
    tags: 'response_code=200 cluster_name=a',
  },
  {
    name: 'listener.admin.http.admin.downstream_rq_2xx',
    left: 'listener.admin.http.downstream_rq_xx',
    tags: 'response_code_class=2 http_conn_manager_prefix=admin',
  },
  {
    name: 'listener.[__1]_80.ssl.ciphers.TLS_AES_128_GCM_SHA256',
    left: 'listener.ssl.ciphers',
    tags: 'ssl_cipher=TLS_AES_128_GCM_SHA256 listener_address=[__1]_80',
  },
  {
    name: 'listener.0.0.0.0_80.worker_12.downstream_cx_total',
    left: 'listener.worker_downstream_cx_total',
    tags: 'worker_id=12 listener_address=0.0.0.0_80',
  },
  {
    name: 'listener.0.0.0.0_80.ssl.certificate.c1.expiration_unix_time_seconds',
    left: 'listener.ssl.certificate.expiration_unix_time_seconds',
    tags: 'tls_certificate=c1 listener_address=0.0.0.0_80',
  },
  {
    name: 'proxy_proto.p.versions.v2.found',
    left: 'proxy_proto.found',
    tags: 'proxy_protocol_prefix=p proxy_protocol_version=2',
  },
  {
    name: 'http.in.rds.my.route.update_success',
    left: 'http.rds.update_success',
    tags: 'http_conn_manager_prefix=in rds_route_config=my.route',
  },
  { name: 'http.in.rbac.denied', left: 'http.rbac.denied', tags: 'http_conn_manager_prefix=in' },
];

for (const { name, left, tags } of extracted) {
  test(`takes the tags out of ${name}`, () => {
    const found = new TagExtractor().extract(name);
    assert.equal(found.name, left);
    assert.equal(found.tags.map((it) => `${it.name.replace('envoy.', '')}=${it.value}`).join(' '), tags);
  });
}

test('stats_tags may replace the default rules', () => {
  const rules = new TagExtractor({ useAllDefaultTags: false, tags: [{ name: 'envoy.cluster_name' }] });
  assert.deepEqual(rules.extract('cluster.a.upstream_rq_200'), {
    name: 'cluster.upstream_rq_200',
    tags: [{ name: 'envoy.cluster_name', value: 'a' }],
  });
});

test('a tag regex without a group finds nothing, as in Envoy', () => {
  const rules = new TagExtractor({ useAllDefaultTags: false, tags: [{ name: 'x', regex: 'cluster' }] });
  assert.deepEqual(rules.extract('cluster.a'), { name: 'cluster.a', tags: [] });
});

test('prints numbers in the three notations', () => {
  assert.deepEqual([1e16, 123456.5, 0, 0.5, Number.NaN].map(shortest), [
    '1e+16',
    '123456.5',
    '0',
    '0.5',
    'nan',
  ]);
  assert.deepEqual([300_000, 1_800_000, 1e22, 200, Number.NaN].map(shortestJson), [
    '3e+05',
    '1800000',
    '1e+22',
    '200',
    'null',
  ]);
  assert.deepEqual(
    [1_800_000, 0.1, 250, 123456.7, 0].map((it) => significant(it, 6)),
    ['1.8e+06', '0.1', '250', '123457', '0'],
  );
  assert.equal(significant(1.05, 32), '1.0500000000000000444089209850063');
});

/** Line by line, or entry by entry: a difference is shown alone. */
function same(actual: string, expected: string): void {
  const separator = /\n|(?<=[}\]]),/;
  const lines = actual.split(separator);
  expected.split(separator).forEach((line, i) => {
    assert.equal(lines[i], line);
  });
  assert.equal(actual, expected);
}

function recordedReading(): StatsReading {
  const used = new Set(
    golden('text-usedonly.txt')
      .split('\n')
      .map((line) => line.slice(0, line.lastIndexOf(':'))),
  );
  const lines = (file: string) =>
    golden(file)
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.split(': ') as [string, string]);
  const numbers = (file: string) =>
    lines(file).map(([name, value]) => ({ name, value: Number(value), used: used.has(name) }));
  const json = JSON.parse(golden('json-detailed.json')) as {
    stats: readonly { readonly histograms?: { readonly details: readonly Detail[] } }[];
  };
  return {
    counters: numbers('Counters.txt'),
    gauges: numbers('Gauges.txt').map((it) => ({ ...it, mode: 'accumulate' as const })),
    textReadouts: lines('TextReadouts.txt').map(([name, value]) => ({
      name,
      value: JSON.parse(value),
      used: true,
    })),
    endpoints: [],
    histograms: json.stats.at(-1)!.histograms!.details.map(
      ({ name, totals, intervals }): HistogramStat => ({
        name,
        unit: 'unspecified',
        used: totals.length > 0,
        interval: slots(intervals),
        cumulative: slots(totals),
      }),
    ),
  };
}

function slots(buckets: Detail['totals']): Float64Array {
  const counts = new Float64Array(1000);
  for (const { lower_bound, count } of buckets) {
    counts[counts.findIndex((_, slot) => Math.abs(slotLow(slot) - lower_bound) < 1e-6)] = count;
  }
  return counts;
}
