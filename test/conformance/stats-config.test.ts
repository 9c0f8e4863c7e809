// `stats_config`: tags, what is kept and the buckets of histograms, as the pages of statistics show it, beside the real Envoy.
import { once } from 'node:events';
import { get } from 'node:http';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { missing } from '#testing/peers.ts';
import { withoutPort } from './black-box.ts';
import { expectSame } from './side-by-side.ts';
import { endpoint, frontYaml } from './side-by-side-configuration.ts';

const patterns = [
  { prefix: 'cluster.a.b' },
  { suffix: 'total' },
  { contains: 'SSL', ignore_case: true },
  { exact: 'server.live' },
];

const configs: Readonly<Record<string, object>> = {
  'fixed values': {
    stats_tags: [
      { tag_name: 'a', fixed_value: 'v "q"' },
      { tag_name: 'b.c', fixed_value: 'x' },
    ],
  },
  'rules of its own': {
    stats_tags: [
      { tag_name: 'one', regex: '^cluster\\.((.+?)\\.)upstream_rq' },
      { tag_name: 'two', regex: '(_rq)_' },
      { tag_name: 'one', regex: '^http\\.((.+?)\\.)' },
      { tag_name: 'three', regex: 'upstream' },
    ],
  },
  'some default rules': {
    use_all_default_tags: false,
    stats_tags: [{ tag_name: 'envoy.cluster_name' }, { tag_name: 'envoy.response_code', fixed_value: 'x' }],
  },
  'beside a default rule': { stats_tags: [{ tag_name: 'envoy.cluster_name', regex: '^cluster\\.((alt)_)' }] },
  'in the place of a default rule': {
    allow_default_tag_overrides: true,
    stats_tags: [{ tag_name: 'envoy.cluster_name', regex: '^cluster\\.((alt)_)' }],
  },
  'left out': { stats_matcher: { exclusion_list: { patterns } } },
  kept: { stats_matcher: { inclusion_list: { patterns } } },
  buckets: {
    histogram_bucket_settings: [
      { match: { suffix: 'body_size' }, buckets: [1, 10, 100] },
      { match: { prefix: 'cluster' }, buckets: [0.5, 2] },
    ],
  },
};

const pages = [
  '/stats?filter=^(cluster|http.edge|server.live|filesystem)&histogram_buckets=cumulative',
  '/stats/prometheus?filter=^(cluster|http.edge|server.live|filesystem)',
  '/stats?format=prometheus&filter=upstream.*size&histogram_buckets=none',
  '/stats?format=json&filter=upstream.*size&histogram_buckets=disjoint',
];

for (const [title, stats_config] of Object.entries(configs)) {
  test(title, { skip: missing('envoy'), timeout: 60_000 }, async (t) => {
    const cluster = (name: string, more: object = {}) => ({
      name,
      load_assignment: endpoint(name, 21299),
      track_cluster_stats: { request_response_sizes: true, per_endpoint_stats: true },
      ...more,
    });
    const yaml = frontYaml(
      [
        { match: { prefix: '/a' }, route: { cluster: 'a.b' } },
        { match: { prefix: '/d' }, direct_response: { status: 418 } },
      ],
      [cluster('a.b', { alt_stat_name: 'alt_a' }), cluster('a.b2')],
      { stats_config, stats_flush_interval: '0.1s' },
      { generate_request_id: false },
    );
    await expectSame(t, yaml, async (side) => {
      for (const path of ['/a', '/d', '/none']) {
        const request = get({ host: '127.0.0.1', port: side.port(21000), path, agent: false });
        const [response] = await once(request, 'response');
        await once(response.resume(), 'end');
      }
      await sleep(300);
      const seen: string[][] = [];
      for (const page of pages) {
        const { body } = await side.proxy.admin(page);
        const lines = withoutPort(body, side.port(21299), '⟨upstream⟩').split(/\n|(?<=\}\}),/);
        seen.push(
          lines
            .filter((it) => !/_ms|_time|_tx_bytes|cx_active|cx_destroy|filesystem.*(write|flushed)/.test(it))
            .sort(),
        );
      }
      return seen;
    });
  });
}
