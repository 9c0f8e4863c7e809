// Subsets of clusters beside the real Envoy: which hosts a request may go to by what its route asks for, and what is counted.
import { once } from 'node:events';
import { Agent, createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { missing } from '#testing/peers.ts';
import { expectSame, type Side } from './side-by-side.ts';
import { frontYaml, loadBalancing, type, typedPolicy } from './side-by-side-configuration.ts';

type Labels = Readonly<Record<string, unknown>>;

const hosts: readonly Labels[] = [
  { stage: 'prod', version: '1' },
  { stage: 'prod', version: '2' },
  { stage: 'dev', version: '3', number: 7 },
  { stage: 'dev', version: '1', number: 7.5, canary: true },
  {},
  { stage: ['qa', 'dev'], nested: { b: 1, a: [2] } },
];

const asked: Readonly<Record<string, Labels | undefined>> = {
  nothing: undefined,
  empty: {},
  prod: { stage: 'prod' },
  dev1: { stage: 'dev', version: '1' },
  v1: { version: '1' },
  order: { version: '1', stage: 'dev' },
  nope: { stage: 'zzz' },
  'no-such-key': { color: 'red' },
  redundant: { stage: 'prod', color: 'red' },
  number: { number: 7 },
  canary: { canary: true },
  qa: { stage: 'qa' },
  list: { stage: ['qa', 'dev'] },
  nested: { nested: { a: [2], b: 1 } },
  'first-of-list': { version: '1', fallback_list: [{ stage: 'zzz' }, { stage: 'dev' }, { stage: 'prod' }] },
  'empty-list': { version: '1', fallback_list: [] },
};

const selectors = (...all: object[]) => ({ subset_selectors: all });
const usual = selectors(
  { keys: ['stage'] },
  { keys: ['version', 'stage'] },
  { keys: ['version'] },
  { keys: ['number'] },
  { keys: ['canary'] },
  { keys: ['nested'] },
);
const subset = (config: object) => ({ lb_subset_config: config });
const typedSubset = (config: object) =>
  loadBalancing('subset', 'Subset', {
    subset_lb_policy: { policies: [typedPolicy('round_robin', 'RoundRobin')] },
    ...config,
  });

const clusters: Readonly<Record<string, object>> = {
  none: subset({ fallback_policy: 'NO_FALLBACK', ...usual }),
  any: subset({ fallback_policy: 'ANY_ENDPOINT', ...usual }),
  default: subset({ fallback_policy: 'DEFAULT_SUBSET', default_subset: { stage: 'dev' }, ...usual }),
  'default-of-nobody': subset({
    fallback_policy: 'DEFAULT_SUBSET',
    default_subset: { stage: 'x' },
    panic_mode_any: true,
    ...usual,
  }),
  'default-of-all': subset({ fallback_policy: 'DEFAULT_SUBSET', ...usual }),
  lists: subset({
    list_as_any: true,
    fallback_policy: 'DEFAULT_SUBSET',
    default_subset: { stage: 'qa' },
    ...usual,
  }),
  'without-selectors': subset({ fallback_policy: 'NO_FALLBACK' }),
  'own-fallbacks': subset({
    fallback_policy: 'ANY_ENDPOINT',
    default_subset: { stage: 'prod' },
    ...selectors(
      { keys: ['stage'], fallback_policy: 'NO_FALLBACK' },
      { keys: ['version', 'stage'], fallback_policy: 'DEFAULT_SUBSET' },
      { keys: ['number'], fallback_policy: 'ANY_ENDPOINT' },
      { keys: ['color'], fallback_policy: 'DEFAULT_SUBSET' },
      { keys: ['stage', 'color'], fallback_policy: 'KEYS_SUBSET', fallback_keys_subset: ['stage'] },
    ),
  }),
  'behind-a-longer-one': subset({
    fallback_policy: 'ANY_ENDPOINT',
    ...selectors({ keys: ['stage', 'version'] }, { keys: ['stage'], fallback_policy: 'NO_FALLBACK' }),
  }),
  single: subset({
    fallback_policy: 'ANY_ENDPOINT',
    ...selectors({ keys: ['stage'], single_host_per_subset: true }, { keys: ['version'] }),
  }),
  'fallback-list': subset({ metadata_fallback_policy: 'FALLBACK_LIST', ...usual }),
  redundant: typedSubset({ allow_redundant_keys: true, ...usual }),
  typed: typedSubset({ fallback_policy: 'ANY_ENDPOINT', ...usual }),
  hashed: { lb_policy: 'MAGLEV', ...subset({ fallback_policy: 'ANY_ENDPOINT', ...usual }) },
};

test('requests stay in the subsets of Envoy', { skip: missing('envoy'), timeout: 120_000 }, async (t) => {
  const upstream = await echoUpstream(t);
  const names = Object.keys(clusters);
  const lb_endpoints = hosts.map((labels, i) => ({
    endpoint: { address: { socket_address: { address: `127.0.1.${i + 1}`, port_value: upstream } } },
    ...(Object.keys(labels).length > 0 && { metadata: { filter_metadata: { 'envoy.lb': labels } } }),
  }));
  const yaml = frontYaml(
    names.flatMap((cluster) =>
      Object.entries(asked).map(([name, labels]) => ({
        match: { path: `/${cluster}/${name}` },
        route: {
          cluster,
          ...(labels && { metadata_match: { filter_metadata: { 'envoy.lb': labels } } }),
        },
      })),
    ),
    names.map((name) => ({
      name,
      ...clusters[name],
      load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints }] },
    })),
  );
  await expectSame(t, yaml, async (side) => {
    const seen: Record<string, unknown> = {};
    const agent = new Agent({ keepAlive: true });
    for (const cluster of names) {
      for (const name of Object.keys(asked)) {
        const found = new Set<string>();
        for (let i = 0; i < 2 * hosts.length; i++) found.add(await ask(side, `/${cluster}/${name}`, agent));
        seen[`${cluster} ${name}`] = cluster === 'hashed' ? found.has('503') : [...found].sort().join(' ');
      }
      seen[cluster] = await side.stats(`^cluster[.]${cluster}[.](lb_subsets|upstream_cx_none)`);
    }
    agent.destroy();
    return seen;
  });
});

test('requests name hosts as in Envoy', { skip: missing('envoy'), timeout: 60_000 }, async (t) => {
  const upstream = await echoUpstream(t);
  const named = (...last: readonly (string | number)[]) =>
    last.map((it) => (typeof it === 'number' ? `127.0.1.${it}:${upstream}` : it)).join(',');
  const roundRobin = typedPolicy('round_robin', 'RoundRobin');
  const override = (more: object) => ({
    load_balancing_policy: {
      policies: [
        typedPolicy('override_host', 'OverrideHost', {
          fallback_policy: { policies: [roundRobin] },
          ...more,
        }),
      ],
    },
  });
  const metadata = { key: 'some', path: [{ key: 'a' }, { key: 'b' }] };
  const clusters = {
    header: override({ override_host_sources: [{ header: 'X-Host' }] }),
    two: override({ override_host_sources: [{ header: 'x-other' }, { header: 'x-host' }] }),
    selected: override({ override_host_sources: [{ header: 'x-host' }], selected_host_key: metadata }),
    metadata: override({ override_host_sources: [{ metadata: { key: 'some', path: [{ key: 'a' }] } }] }),
  };
  const yaml = frontYaml(
    Object.keys(clusters).map((cluster) => ({
      match: { prefix: `/${cluster}` },
      response_headers_to_add: [
        { header: { key: 'x-selected', value: '%DYNAMIC_METADATA(some)%/%UPSTREAM_REQUEST_ATTEMPT_COUNT%' } },
      ],
      route: {
        cluster,
        retry_policy: {
          retry_on: 'retriable-headers',
          retriable_request_headers: [{ name: 'x-again', present_match: true }],
          retriable_headers: [{ name: 'x-answer', present_match: true }],
          num_retries: 2,
          retry_back_off: { base_interval: '0.001s' },
        },
      },
    })),
    Object.entries(clusters).map(([name, more]) => ({
      name,
      ...more,
      load_assignment: {
        cluster_name: name,
        endpoints: [
          {
            lb_endpoints: [1, 2, 3, 4].map((i) => ({
              endpoint: { address: { socket_address: { address: `127.0.1.${i}`, port_value: upstream } } },
              ...(i === 4 && { health_status: 'UNHEALTHY' }),
            })),
          },
        ],
      },
    })),
    {},
    {},
  );
  const asked: readonly Readonly<Record<string, string>>[] = [
    { 'x-host': named(2) },
    { 'x-host': named(4) },
    { 'x-host': named(2, 3), 'x-again': '1' },
    { 'x-host': named(2, 'nobody:1', 3, 1), 'x-again': '1' },
    { 'x-host': ` ${named('127.0.1.9:9')} , ${named(3)} ` },
    { 'x-host': named(2), 'x-other': named(1, 3), 'x-again': '1' },
  ];
  await expectSame(t, yaml, async (side) => {
    const seen: string[] = [];
    const agent = new Agent({ keepAlive: true });
    for (const cluster of Object.keys(clusters))
      for (const headers of cluster === 'metadata' ? asked.slice(0, 2) : asked) {
        const hosts = new Set<string>();
        // Where nothing is named, any host answers.
        for (let i = 0; i < 6; i++) hosts.add(await ask(side, `/${cluster}`, agent, headers));
        seen.push(`${cluster}: ${[...hosts].sort().join(' ')}`);
      }
    agent.destroy();
    return seen;
  });
});

const steps: readonly (readonly (Labels & { p?: number; zone?: string; down?: true })[])[] = [
  [{ stage: 'a' }, { stage: 'b' }, { stage: 'a', p: 1 }],
  [{ stage: 'a', down: true }, { stage: 'b' }, { stage: 'a', p: 1 }],
  [{ stage: 'a' }, { stage: 'c' }],
  [
    { stage: 'a', zone: 'x' },
    { stage: 'a', zone: 'x' },
    { stage: 'a', zone: 'y' },
    { stage: 'c', zone: 'y' },
  ],
  [{}],
  [{ stage: 'b' }, { stage: 'b' }],
];

test('subsets come and go with their hosts as in Envoy', {
  skip: missing('envoy'),
  timeout: 60_000,
}, async (t) => {
  const upstream = await echoUpstream(t);
  const fileOf = (step: (typeof steps)[number]) => {
    const endpoints = step.map(({ p = 0, zone, down, ...labels }, i) => ({
      priority: p,
      ...(zone !== undefined && { locality: { zone }, load_balancing_weight: zone === 'x' ? 1 : 3 }),
      lb_endpoints: [
        {
          endpoint: { address: { socket_address: { address: `127.0.1.${i + 1}`, port_value: upstream } } },
          ...(down && { health_status: 'UNHEALTHY' }),
          metadata: { filter_metadata: { 'envoy.lb': labels } },
        },
      ],
    }));
    const resource = {
      '@type': type('config.endpoint.v3.ClusterLoadAssignment'),
      cluster_name: 'c',
      endpoints,
    };
    return JSON.stringify({ resources: [resource] });
  };
  const stages = ['a', 'b', 'c'];
  const yaml = frontYaml(
    stages.map((stage) => ({
      match: { prefix: `/${stage}` },
      route: { cluster: 'c', metadata_match: { filter_metadata: { 'envoy.lb': { stage } } } },
    })),
    [
      {
        name: 'c',
        type: 'EDS',
        eds_cluster_config: { eds_config: { path_config_source: { path: './eds.json' } } },
        common_lb_config: { update_merge_window: '0s', locality_weighted_lb_config: {} },
        ...subset({
          locality_weight_aware: true,
          scale_locality_weight: true,
          ...selectors({ keys: ['stage'] }),
        }),
      },
    ],
    { node: { id: 'n', cluster: 'c' } },
  );
  await expectSame(
    t,
    yaml,
    async (side) => {
      const seen: unknown[] = [];
      const agent = new Agent({ keepAlive: true });
      for (const [version, step] of steps.entries()) {
        if (version > 0) side.put('eds.json', fileOf(step));
        while (
          (await side.stats('^cluster[.]c[.]update_success'))[0] !==
          `cluster.c.update_success: ${version + 1}`
        )
          await new Promise((resolve) => setTimeout(resolve, 20));
        for (const stage of stages) {
          const counts: Record<string, number> = {};
          for (let i = 0; i < 36; i++) {
            const host = await ask(side, `/${stage}`, agent);
            counts[host] = (counts[host] ?? 0) + 1;
          }
          // Priorities are chosen by chance.
          seen.push([stage, version < 2 ? Object.keys(counts).sort() : counts]);
        }
        seen.push(await side.stats('^cluster[.]c[.](lb_subsets|membership_[dht])'));
      }
      agent.destroy();
      return seen;
    },
    { files: { 'eds.json': fileOf(steps[0]!) } },
  );
});

/** On every address of this machine; each answers with its own. */
async function echoUpstream(t: TestContext): Promise<number> {
  const server = createServer((request, response) =>
    response.writeHead(200, { 'x-answer': 'yes' }).end(request.socket.localAddress),
  );
  server.listen(0, '0.0.0.0');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

async function ask(
  side: Side,
  path: string,
  agent: Agent,
  headers: Readonly<Record<string, string>> = {},
): Promise<string> {
  const request = get({ host: '127.0.0.1', port: side.port(21000), path, agent, headers });
  const [response] = await once(request, 'response');
  let text = '';
  for await (const chunk of response) text += chunk;
  const selected = response.headers['x-selected'] ?? '';
  return response.statusCode === 200 ? text.slice(8) + selected : String(response.statusCode);
}
