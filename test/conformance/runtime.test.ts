// What the layers of the runtime mean, and what follows them: the same as in the real Envoy.
import { get } from 'node:http';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { missing } from '#testing/peers.ts';
import { expectSame, normalized, type Side } from './side-by-side.ts';
import { endpoint, frontYaml } from './side-by-side-configuration.ts';

const skip = { skip: missing('envoy'), timeout: 60_000 };

/** Nothing that is true by chance. */
const values = [
  ...['100', '100.5', '0.0', '1e2', '200', '-5', ' 100 ', '+100', '0x64', '99999999999', '100%'],
  ...['true', 'false', 'TRUE', 'abc', '{}', '[]', '"100"', '{"bogus":1}'],
  ...['{"numerator":100}', '{numerator: 0}', 'numerator: 100', '{"numerator":"100"}', '{"numerator":-1}'],
  ...['{"numerator":1000000,"denominator":"MILLION"}', '{"denominator":"HUNDRED"}'],
  ...['{"numerator":0,"denominator":2}', '{"numerator":0,"denominator":"X"}'],
];
const structs = [
  ...[100, 0, 100.5, -3, 5_000_000_000, true, false, 'x', {}, { numerator: 100 }, { numerator: 0 }],
  ...[{ numerator: '0' }, { denominator: 'HUNDRED' }, { numerator: 0, denominator: 2 }, { a: { b: 1 } }],
];

/** Routes that are there by a key whose default is never, and one whose default is always. */
const routesBy = (key: string) =>
  [0, 100].map((numerator) => ({
    match: {
      path: `/${key}${numerator}`,
      runtime_fraction: { default_value: { numerator }, runtime_key: key },
    },
    direct_response: { status: 200 },
  }));

async function ask(side: Side, path: string): Promise<string> {
  const response = await new Promise<import('node:http').IncomingMessage>((resolve, reject) =>
    get({ port: side.port(21000), path, agent: false, host: '127.0.0.1' }, resolve).on('error', reject),
  );
  return `${path} ${response.statusCode} ${response.headers.server} ${await text(response)}`;
}

const setOf = (entries: readonly (readonly [string, string])[]) =>
  `/runtime_modify?${entries.map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join('&')}`;

/** Without what the text of a message in Envoy's debug form begins with. */
const shown = (body: string) =>
  normalized(JSON.parse(body).entries, (it) => it.replace(/^goo\.gle\/debug\w+\s*/, ''));

test('values of operators and of the bootstrap', skip, async (t) => {
  const keys = [
    ...values.map((_, i) => `a${i}.`),
    ...values.map((_, i) => `s${i}.`),
    ...structs.map((_, i) => `t${i}.`),
  ];
  const yaml = frontYaml(keys.flatMap(routesBy), [], {
    layered_runtime: {
      layers: [
        {
          name: 'static',
          static_layer: Object.fromEntries([
            ...values.map((it, i) => [`s${i}.`, it]),
            ...structs.map((it, i) => [`t${i}.`, it]),
          ]),
        },
        { name: 'admin', admin_layer: {} },
      ],
    },
  });
  await expectSame(t, yaml, async (side) => {
    const answers: string[] = [];
    for (const [i, value] of values.entries()) {
      const { status, body } = await side.proxy.admin(setOf([[`a${i}.`, value]]), 'POST');
      answers.push(`${value}: ${status} ${body}`);
    }
    for (const key of keys)
      for (const path of [`/${key}0`, `/${key}100`]) answers.push(await ask(side, path));
    return { answers, entries: shown((await side.proxy.admin('/runtime')).body) };
  });
});

test('circuit breakers, maintenance and weights follow the runtime', skip, async (t) => {
  const yaml = frontYaml(
    [
      {
        match: { prefix: '/weighted' },
        route: {
          weighted_clusters: {
            runtime_key_prefix: 'w',
            clusters: [
              { name: 'refused', weight: 1 },
              { name: 'empty', weight: 0 },
            ],
          },
        },
      },
      { match: { prefix: '/weighted' }, direct_response: { status: 418 } },
      {
        match: { prefix: '/' },
        route: { cluster: 'refused', retry_policy: { retry_on: 'connect-failure' } },
      },
    ],
    [
      {
        name: 'refused',
        load_assignment: endpoint('refused', 21999),
      },
      { name: 'empty', load_assignment: { cluster_name: 'empty' } },
    ],
    { layered_runtime: { layers: [{ name: 'admin', admin_layer: {} }] } },
  );
  const breaker = (name: string, value: string) =>
    [`circuit_breakers.refused.default.${name}`, value] as const;
  const steps: readonly (readonly (readonly [string, string])[])[] = [
    [],
    [breaker('max_retries', '0')],
    [breaker('max_retries', ''), breaker('retry_budget.min_retry_concurrency', '0')],
    [breaker('retry_budget.min_retry_concurrency', ''), breaker('max_pending_requests', '0')],
    [breaker('max_pending_requests', '1'), breaker('max_connections', '7'), breaker('max_requests', '8.5')],
    [['upstream.maintenance_mode.refused', '{"numerator":1000000,"denominator":"MILLION"}']],
    [
      ['upstream.maintenance_mode.refused', '0'],
      ['w.refused', '0'],
    ],
    [['w.empty', '3']],
  ];
  await expectSame(
    t,
    yaml,
    async (side) => {
      const seen: unknown[] = [];
      for (const step of steps) {
        if (step.length > 0) await side.proxy.admin(setOf(step), 'POST');
        const clusters = (await side.proxy.admin('/clusters')).body;
        seen.push([
          await ask(side, '/x'),
          await ask(side, '/weighted'),
          clusters.split('\n').filter((it) => /^refused::default_priority::max/.test(it)),
        ]);
      }
      return { seen, stats: await side.stats('cluster.refused.upstream_rq_(retry|maint|pending|active)') };
    },
    { ports: [21999] },
  );
});
