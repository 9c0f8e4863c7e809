// Consistent hashing beside the real Envoy: the same host for every key, over hosts that differ in weight, health, locality and
// priority; how tables change with their hosts; what is hashed of a request.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { xxHash64Of } from '#base/xxhash64.ts';
import { missing } from '#testing/peers.ts';
import { expectSame, type Side } from './side-by-side.ts';
import { frontYaml as front, loadBalancing, type, typed } from './side-by-side-configuration.ts';

/** Connections end when they are told to. */
function frontYaml(
  routes: readonly object[],
  clusters: readonly object[],
  top: object = {},
  manager: object = {},
): string {
  return front(routes, clusters, top, { delayed_close_timeout: '0s', ...manager });
}

interface Endpoints {
  /** One host each. */
  readonly weights?: readonly number[];
  readonly health?: readonly string[];
  readonly locality?: string;
  readonly localityWeight?: number;
  readonly priority?: number;
  readonly keys?: readonly string[];
  readonly hostnames?: readonly string[];
}

/** The hosts of the n-th group are 127.0.n.1, 127.0.n.2 and so on. */
function assignment(port: number, groups: readonly Endpoints[], order: readonly number[] = []) {
  const hostsOf = (group: Endpoints, n: number) =>
    (group.weights ?? [1, 1]).map((weight, i) => ({
      endpoint: {
        address: { socket_address: { address: `127.0.${n + 1}.${i + 1}`, port_value: port } },
        ...(group.hostnames && { hostname: group.hostnames[i] }),
      },
      load_balancing_weight: weight,
      ...(group.health?.[i] !== undefined && { health_status: group.health[i] }),
      ...(group.keys && { metadata: { filter_metadata: { 'envoy.lb': { hash_key: group.keys[i] } } } }),
    }));
  const endpoints = groups.map((group, n) => ({
    priority: group.priority ?? 0,
    ...(group.locality !== undefined && { locality: { zone: group.locality } }),
    ...(group.localityWeight !== undefined && { load_balancing_weight: group.localityWeight }),
    lb_endpoints: order.length === 0 ? hostsOf(group, n) : order.map((i) => hostsOf(group, n)[i]),
  }));
  return { cluster_name: 'c', endpoints };
}

const [up, down, half] = ['HEALTHY', 'UNHEALTHY', 'DEGRADED'];
const ring = { lb_policy: 'RING_HASH' };
const maglev = { lb_policy: 'MAGLEV' };
const byLocality = { common_lb_config: { locality_weighted_lb_config: {} } };
const withoutPanic = { common_lb_config: { healthy_panic_threshold: { value: 0 } } };
const localityWeighted = { locality_weighted_lb_config: {} };
const three: readonly Endpoints[] = [{ weights: [1, 1, 1] }];
const weighted: readonly Endpoints[] = [{ weights: [1, 2, 3, 4, 7] }];
const localities: readonly Endpoints[] = [
  { locality: 'z', localityWeight: 3, weights: [2, 5] },
  { locality: 'a', localityWeight: 1, weights: [1, 3, 3], health: [up!, down!, up!] },
  { locality: 'm', weights: [1] },
];
const priorities: readonly Endpoints[] = [
  { weights: [1, 1, 1, 1], health: [up!, up!, down!, down!] },
  { priority: 1, weights: [1, 2, 3] },
];

type Case = readonly [settings: object, groups: readonly Endpoints[], order?: readonly number[]];

const clusters: Readonly<Record<string, Case>> = {
  ring: [ring, three],
  'ring-weights': [ring, weighted],
  'ring-other-order': [ring, weighted, [3, 0, 4, 2, 1]],
  'ring-small': [{ ...ring, ring_hash_lb_config: { minimum_ring_size: 7, maximum_ring_size: 11 } }, weighted],
  'ring-maximum': [
    { ...ring, ring_hash_lb_config: { minimum_ring_size: 3, maximum_ring_size: 3 } },
    weighted,
  ],
  'ring-large': [{ ...ring, ring_hash_lb_config: { minimum_ring_size: 20000 } }, weighted],
  'ring-murmur': [{ ...ring, ring_hash_lb_config: { hash_function: 'MURMUR_HASH_2' } }, weighted],
  'ring-some-down': [ring, [{ weights: [1, 2, 3, 4], health: [up!, down!, up!, up!] }]],
  'ring-panic': [ring, [{ weights: [1, 2, 3, 4], health: [up!, down!, down!, 'DRAINING'] }]],
  'ring-no-panic': [{ ...ring, ...withoutPanic }, [{ weights: [1, 2, 3], health: [up!, down!, down!] }]],
  'ring-none': [{ ...ring, ...withoutPanic }, [{ weights: [1, 2], health: [down!, down!] }]],
  'ring-no-hosts': [ring, []],
  'ring-degraded': [ring, [{ weights: [1, 1, 1], health: [up!, half!, half!] }]],
  'ring-only-degraded': [ring, [{ weights: [1, 1], health: [half!, half!] }]],
  'ring-localities': [{ ...ring, ...byLocality }, localities],
  'ring-localities-of-no-weight': [{ ...ring, ...byLocality }, [{ locality: 'a' }, { locality: 'b' }]],
  'ring-localities-ignored': [ring, localities],
  'ring-priorities': [ring, priorities],
  'ring-fail-over': [ring, [{ health: [down!, down!] }, { priority: 1, weights: [1, 2, 3] }]],
  'ring-keys': [ring, [{ weights: [1, 2, 1], keys: ['one', 'zwei', 'trois é'] }]],
  'ring-typed': [
    loadBalancing('ring_hash', 'RingHash', {
      minimum_ring_size: 100,
      hash_function: 'XX_HASH',
      ...localityWeighted,
    }),
    localities,
  ],
  'ring-typed-hostnames': [
    loadBalancing('ring_hash', 'RingHash', {
      consistent_hashing_lb_config: { use_hostname_for_hashing: true },
    }),
    [{ weights: [1, 2, 3], hostnames: ['a.example', 'b.example', 'c.example'] }],
  ],
  'ring-typed-old-hostnames': [
    loadBalancing('ring_hash', 'RingHash', { use_hostname_for_hashing: true }),
    [{ weights: [1, 2, 3], hostnames: ['a.example', 'b.example', 'c.example'] }],
  ],
  'ring-one': [ring, [{ weights: [4] }]],
  maglev: [maglev, three],
  'maglev-one': [maglev, [{ weights: [4] }]],
  'maglev-one-of-a-locality': [
    { ...maglev, ...byLocality },
    [
      { locality: 'a', localityWeight: 1, weights: [4] },
      { locality: 'b', localityWeight: 2, health: [down!, down!] },
    ],
  ],
  'maglev-weights': [maglev, weighted],
  'maglev-other-order': [maglev, weighted, [3, 0, 4, 2, 1]],
  'maglev-small': [{ ...maglev, maglev_lb_config: { table_size: 11 } }, weighted],
  'maglev-large': [{ ...maglev, maglev_lb_config: { table_size: 1000003 } }, weighted],
  'maglev-smaller-than-its-hosts': [
    { ...maglev, maglev_lb_config: { table_size: 3 } },
    [{ weights: [1, 1, 1, 1, 1] }],
  ],
  'maglev-some-down': [maglev, [{ weights: [1, 2, 3, 4], health: [up!, down!, up!, up!] }]],
  'maglev-panic': [maglev, [{ weights: [1, 2, 3, 4], health: [up!, down!, down!, down!] }]],
  'maglev-only-degraded': [maglev, [{ weights: [1, 1], health: [half!, half!] }]],
  'maglev-localities': [{ ...maglev, ...byLocality }, localities],
  'maglev-priorities': [maglev, priorities],
  'maglev-keys': [maglev, [{ weights: [1, 2, 1], keys: ['one', 'zwei', 'trois é'] }]],
  'maglev-typed': [loadBalancing('maglev', 'Maglev', { table_size: 101, ...localityWeighted }), localities],
};

/** Envoy stops reading requests of a connection behind the second one that it answers itself. */
const withoutHosts = new Set([
  'ring-none',
  'ring-no-hosts',
  'ring-only-degraded',
  'ring-localities-of-no-weight',
  'maglev-only-degraded',
]);

test('keys find the hosts that they find in Envoy', {
  skip: missing('envoy'),
  timeout: 120_000,
}, async (t) => {
  const upstream = await echoUpstream(t);
  const routes = Object.keys(clusters).map((name) => ({
    match: { path: `/${name}` },
    route: { cluster: name, hash_policy: [{ header: { header_name: 'x-key' } }] },
  }));
  const yaml = frontYaml(
    routes,
    Object.entries(clusters).map(([name, [settings, groups, order]]) => ({
      name,
      ...settings,
      load_assignment: { ...assignment(upstream, groups, order), cluster_name: name },
    })),
  );
  await expectSame(t, yaml, async (side) => {
    const seen: Record<string, unknown> = {};
    for (const name of Object.keys(clusters)) {
      const before = await side.stats(`^cluster[.]${name}[.](ring_hash|maglev)_lb`);
      const hosts = await ask(
        side,
        Array.from({ length: withoutHosts.has(name) ? 1 : 150 }, (_, i) => ({
          path: `/${name}`,
          headers: { 'x-key': `key ${i}` },
        })),
      );
      const after = await side.stats(`^cluster[.]${name}[.](membership|lb_healthy_panic|upstream_cx_none)`);
      seen[name] = { before, hosts: hosts.map((it) => it.host.slice(6) || it.status).join(' '), after };
    }
    return seen;
  });
});

const header = (name: string, more: object = {}) => ({ header: { header_name: name, ...more } });
const cookie = (name: string, more: object = {}) => ({ cookie: { name, ...more } });
const two = (a: object, b: object, terminal = false) => [{ ...a, terminal }, b];
const rewrite = (regex: string, substitution: string) => ({
  regex_rewrite: { pattern: { regex }, substitution },
});
const keyed = (headers: NonNullable<Request['headers']>, path = '/') => ({ path, headers });
const own = (hash_policy: readonly object[]) =>
  loadBalancing('ring_hash', 'RingHash', { consistent_hashing_lb_config: { hash_policy } });
const several = ['one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight'];

interface Policies {
  readonly policies?: readonly object[];
  readonly route?: object;
  readonly action?: object;
  readonly cluster?: object;
  readonly requests: readonly Request[];
}

const hashed: Readonly<Record<string, Policies>> = {
  several: {
    policies: [header('x-key')],
    requests: [
      keyed({ 'x-key': ['b', 'a', 'c'] }),
      keyed({ 'x-key': ['c', 'b', 'a'] }),
      keyed({ 'x-key': ['a', 'a'] }),
      keyed({ 'x-key': 'a,b' }),
      keyed({ 'x-key': '' }),
      keyed({ 'x-key': 'ü' }),
      keyed({ 'x-key': 'x'.repeat(500) }),
    ],
  },
  capitals: { policies: [header('X-Key')], requests: several.map((it) => keyed({ 'X-KEY': it })) },
  host: { policies: [header('host')], requests: several.map((host) => keyed({ host })) },
  authority: { policies: [header(':authority')], requests: several.map((host) => keyed({ host })) },
  path: { policies: [header(':path')], requests: several.map((it) => keyed({}, `/${it}`)) },
  'rewritten-path': {
    policies: [header(':path')],
    action: { prefix_rewrite: '/elsewhere' },
    requests: several.map((it) => keyed({}, `/${it}`)),
  },
  'rewritten-host': {
    policies: [header(':authority')],
    action: { host_rewrite_literal: 'elsewhere' },
    requests: several.map((host) => keyed({ host })),
  },
  'added-header': {
    policies: [header('x-added'), header('x-key')],
    route: { request_headers_to_add: [{ header: { key: 'x-added', value: '%REQ(x-key)%!' } }] },
    requests: several.map((it) => keyed({ 'x-key': it })),
  },
  regex: {
    policies: [header('x-key', rewrite('^(\\w+)-.*$', '\\1'))],
    requests: several.flatMap((it) => [keyed({ 'x-key': `${it}-1` }), keyed({ 'x-key': `${it}-2` })]),
  },
  'regex-of-several': {
    policies: [header('x-key', rewrite('[0-9]', ''))],
    requests: [
      keyed({ 'x-key': ['1b', '2a'] }),
      keyed({ 'x-key': ['b', 'a'] }),
      keyed({ 'x-key': ['12', '3'] }),
    ],
  },
  both: {
    policies: two(header('x-a'), header('x-b')),
    requests: several.flatMap((it) => [
      keyed({ 'x-a': it, 'x-b': 'other' }),
      keyed({ 'x-a': it }),
      keyed({ 'x-b': it }),
      keyed({ 'x-a': it, 'x-b': it }),
    ]),
  },
  terminal: {
    policies: two(header('x-a'), header('x-b'), true),
    requests: several.flatMap((it) => [keyed({ 'x-a': 'same', 'x-b': it }), keyed({ 'x-b': it })]),
  },
  'source-ip': {
    policies: [{ connection_properties: { source_ip: true } }],
    requests: several.map((_, i) => keyed({ 'x-forwarded-for': `10.1.2.${i}` })),
  },
  'source-ip-6': {
    policies: [{ connection_properties: { source_ip: true } }],
    requests: several.map((_, i) => keyed({ 'x-forwarded-for': `2001:db8::${i}` })),
  },
  query: {
    policies: [{ query_parameter: { name: 'key' } }],
    requests: several.flatMap((it) => [
      keyed({}, `/?key=${it}`),
      keyed({}, `/?a=b&key=${it}&key=other`),
      keyed({}, `/?key=%20${it}&c`),
      keyed({}, `/?key=&x=${it}`),
    ]),
  },
  'query-of-rewritten-path': {
    policies: [{ query_parameter: { name: 'key' } }],
    action: { regex_rewrite: rewrite('key', 'other').regex_rewrite },
    requests: several.map((it) => keyed({}, `/?key=${it}`)),
  },
  'cookie-there': {
    policies: [cookie('name')],
    requests: several.flatMap((it) => [
      keyed({ cookie: `a=b; name=${it}; c=d` }),
      keyed({ cookie: `name="${it}"` }),
      keyed({ cookie: ['a=b', `name=${it}`] }),
    ]),
  },
  'cookie-made': {
    policies: [cookie('name', { ttl: '60s', path: '/some' })],
    requests: [keyed({}), keyed({ cookie: 'name=' }), keyed({ cookie: 'name=there' })],
  },
  'cookie-of-a-session': { policies: [cookie('name', { ttl: '0s' })], requests: [keyed({})] },
  'cookie-of-less-than-a-second': {
    policies: [cookie('name', { ttl: '1.9s' })],
    requests: [keyed({}), keyed({ cookie: 'other=x' })],
  },
  'cookie-attributes': {
    policies: [
      cookie('name', {
        ttl: '5s',
        attributes: [
          { name: 'SameSite', value: 'Strict' },
          { name: 'Secure' },
          { name: 'Path', value: '/x' },
        ],
      }),
    ],
    requests: [keyed({})],
  },
  'cookies-made': {
    policies: two(cookie('a', { ttl: '5s' }), cookie('b', { ttl: '6s', path: '/' })),
    route: { response_headers_to_add: [{ header: { key: 'x-cookies', value: '%RESP(set-cookie)%' } }] },
    requests: [keyed({})],
  },
  'cookie-behind-a-terminal-header': {
    policies: two(header('x-key'), cookie('a', { ttl: '5s' }), true),
    requests: [keyed({ 'x-key': 'there' }), keyed({})],
  },
  'cookie-without-hashing': {
    policies: [cookie('name', { ttl: '60s' })],
    cluster: { lb_policy: 'ROUND_ROBIN' },
    requests: [keyed({})],
  },
  'cookie-of-a-retry': {
    policies: [cookie('name', { ttl: '60s' })],
    action: {
      retry_policy: { retry_on: 'retriable-status-codes', retriable_status_codes: [200], num_retries: 2 },
    },
    requests: [keyed({})],
  },
  'own-header': { cluster: own([header('x-key')]), requests: several.map((it) => keyed({ 'x-key': it })) },
  'own-before-the-route': {
    policies: [header('x-other')],
    cluster: own([header('x-key')]),
    requests: several.map((it) => keyed({ 'x-key': it, 'x-other': 'same' })),
  },
  'own-cookies': {
    cluster: own(two(cookie('a', { ttl: '5s' }), cookie('b', { ttl: '6s', path: '/' }))),
    requests: [keyed({}), keyed({ cookie: 'a=one; b=two' })],
  },
  'own-source-ip': {
    cluster: own([{ connection_properties: { source_ip: true } }]),
    requests: several.map((_, i) => keyed({ 'x-forwarded-for': `10.1.2.${i}` })),
  },
};

test('hashes of a request what Envoy does', { skip: missing('envoy'), timeout: 120_000 }, async (t) => {
  const upstream = await echoUpstream(t);
  const names = Object.keys(hashed);
  const yaml = frontYaml(
    Object.entries(hashed).map(([name, { policies, route, action }]) => ({
      match: { prefix: '/', headers: [{ name: 'x-case', string_match: { exact: name } }] },
      ...route,
      route: { cluster: name, ...action, ...(policies && { hash_policy: policies }) },
    })),
    Object.entries(hashed).map(([name, { cluster = ring }]) => ({
      name,
      ...cluster,
      load_assignment: { ...assignment(upstream, [{ weights: [1, 1, 1, 1, 1, 1] }]), cluster_name: name },
    })),
    {},
    { use_remote_address: true, xff_num_trusted_hops: 1 },
  );
  await expectSame(t, yaml, async (side) => {
    const seen: Record<string, unknown> = {};
    for (const name of names) {
      const asked = hashed[name]!.requests.map((it) => ({
        ...it,
        headers: { ...it.headers, 'x-case': name },
      }));
      const answers = await ask(side, asked);
      // A host that depends on the client's port, or on nothing at all, is not the same again.
      const isRandom = (it: Answer) => it.cookies.length > 0 || name === 'cookie-without-hashing';
      seen[name] = answers.map((it) => (isRandom(it) ? { ...it, host: '' } : it));
    }
    return seen;
  });
});

const steps: readonly (readonly Endpoints[])[] = [
  [{ weights: [1, 1, 1, 1] }],
  [{ weights: [1, 1, 1, 1, 1] }],
  [{ weights: [1, 1, 1, 1, 1], health: [up!, down!, up!, up!, up!] }],
  [{ weights: [1, 3, 1], health: [up!, up!, up!] }],
  [
    { weights: [1, 3, 1], health: [down!, down!, down!] },
    { priority: 1, weights: [2, 1] },
  ],
  [
    { weights: [1, 3, 1], health: [down!, down!, up!] },
    { priority: 1, weights: [2, 1], health: [down!, up!] },
  ],
  [],
  [
    { weights: [2], keys: ['one'] },
    { weights: [3], keys: ['two'] },
  ],
];

test('tables change with their hosts as in Envoy', {
  skip: missing('envoy'),
  timeout: 120_000,
}, async (t) => {
  const upstream = await echoUpstream(t);
  const fileOf = (name: string, groups: readonly Endpoints[]) => {
    const resource = { '@type': type('config.endpoint.v3.ClusterLoadAssignment') };
    return JSON.stringify({
      resources: [{ ...resource, ...assignment(upstream, groups), cluster_name: name }],
    });
  };
  const yaml = frontYaml(
    ['ring', 'maglev'].map((name) => ({
      match: { prefix: `/${name}` },
      route: { cluster: name, hash_policy: [header('x-key')] },
    })),
    [ring, maglev].map((settings, i) => ({
      name: ['ring', 'maglev'][i],
      ...settings,
      type: 'EDS',
      // At once, also when only health and weights are others.
      common_lb_config: { update_merge_window: '0s' },
      eds_cluster_config: { eds_config: { path_config_source: { path: `./${['ring', 'maglev'][i]}.json` } } },
    })),
    { node: { id: 'n', cluster: 'c' } },
  );
  const setting = {
    files: { 'ring.json': fileOf('ring', steps[0]!), 'maglev.json': fileOf('maglev', steps[0]!) },
  };
  await expectSame(
    t,
    yaml,
    async (side) => {
      const seen: unknown[] = [];
      for (const [version, groups] of steps.entries()) {
        for (const name of ['ring', 'maglev']) {
          if (version > 0) side.put(`${name}.json`, fileOf(name, groups));
          await until(side, `^cluster[.]${name}[.]update_success`, ` ${version + 1}`);
          const keys = Array.from({ length: groups.length === 0 ? 1 : 300 }, (_, i) => `key ${i}`);
          const answers = await ask(
            side,
            keys.map((it) => keyed({ 'x-key': it }, `/${name}`)),
          );
          seen.push(answers.map((it) => it.host.slice(6) || it.status).join(' '));
          seen.push(await side.stats(`^cluster[.]${name}[.](ring_hash|maglev)_lb`));
        }
      }
      return seen;
    },
    setting,
  );
});

async function until(side: Side, filter: string, end: string): Promise<void> {
  for (;;) {
    const lines = await side.stats(filter);
    if (lines.length > 0 && lines.every((it) => it.endsWith(end))) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test('a host with more than its share passes requests on to the hosts that Envoy chooses', {
  skip: missing('envoy'),
  timeout: 120_000,
}, async (t) => {
  const held: { host: string; release: () => void }[] = [];
  let arrived: () => void = () => {};
  const server = createServer((request, response) => {
    held.push({ host: request.socket.localAddress!, release: () => response.end() });
    arrived();
  });
  await once(server.listen(0, '0.0.0.0'), 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const bounded = (factor: number) => ({
    common_lb_config: { consistent_hashing_lb_config: { hash_balance_factor: factor } },
  });
  const cases: Readonly<Record<string, Case>> = {
    ring: [{ ...ring, ...bounded(120) }, [{ weights: [1, 1, 1, 1, 1] }]],
    maglev: [{ ...maglev, ...bounded(150) }, [{ weights: [1, 2, 3, 4] }]],
    typed: [
      loadBalancing('maglev', 'Maglev', { consistent_hashing_lb_config: { hash_balance_factor: 101 } }),
      [{ weights: [5, 1, 1, 1, 1] }],
    ],
    old: [loadBalancing('ring_hash', 'RingHash', { hash_balance_factor: 200 }), three],
  };
  const yaml = frontYaml(
    Object.keys(cases).map((name) => ({
      match: { prefix: `/${name}` },
      route: { cluster: name, hash_policy: [header('x-key')] },
    })),
    Object.entries(cases).map(([name, [settings, groups]]) => ({
      name,
      ...settings,
      load_assignment: { ...assignment(port, groups), cluster_name: name },
    })),
  );
  await expectSame(t, yaml, async (side) => {
    const seen: Record<string, string[]> = {};
    for (const name of Object.keys(cases)) {
      held.length = 0;
      const answers: Promise<unknown>[] = [];
      for (let i = 0; i < 40; i++) {
        const next = new Promise<void>((resolve) => {
          arrived = resolve;
        });
        answers.push(ask(side, [keyed({ 'x-key': `key ${i % 3}` }, `/${name}`)]));
        await next;
      }
      seen[name] = held.map((it) => it.host.slice(6));
      for (const it of held) it.release();
      await Promise.all(answers);
    }
    return seen;
  });
});

test('a retry that does not want a host has the one that follows in Envoy', {
  skip: missing('envoy'),
  timeout: 60_000,
}, async (t) => {
  const upstream = await echoUpstream(t);
  const retry_policy = {
    retry_on: 'retriable-status-codes',
    retriable_status_codes: [200],
    num_retries: 2,
    retry_back_off: { base_interval: '0.001s' },
    retry_host_predicate: [
      {
        name: 'envoy.retry_host_predicates.previous_hosts',
        typed_config: {
          '@type': type('extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate'),
        },
      },
    ],
    host_selection_retry_max_attempts: 3,
  };
  const yaml = frontYaml(
    ['ring', 'maglev'].map((name) => ({
      match: { prefix: `/${name}` },
      route: { cluster: name, hash_policy: [header('x-key')], retry_policy },
    })),
    [ring, maglev].map((settings, i) => ({
      name: ['ring', 'maglev'][i],
      ...settings,
      load_assignment: {
        ...assignment(upstream, [{ weights: [1, 1, 1, 1, 1] }]),
        cluster_name: ['ring', 'maglev'][i],
      },
    })),
  );
  await expectSame(t, yaml, async (side) => {
    const seen: string[] = [];
    for (const name of ['ring', 'maglev']) {
      const keys = Array.from({ length: 60 }, (_, i) => `key ${i}`);
      const answers = await ask(
        side,
        keys.map((it) => keyed({ 'x-key': it }, `/${name}`)),
      );
      seen.push(answers.map((it) => it.host.slice(6)).join(' '));
    }
    return seen;
  });
});

test('a hash chooses among weighted clusters as in Envoy', {
  skip: missing('envoy'),
  timeout: 60_000,
}, async (t) => {
  const upstream = await echoUpstream(t);
  const names = ['a', 'b', 'c'];
  const weighted_clusters = {
    use_hash_policy: true,
    clusters: names.map((name, i) => ({ name, weight: [20, 30, 150][i] })),
  };
  const hash_policy = [header('x-key'), cookie('c', { ttl: '5s' })];
  const yaml = frontYaml(
    [{ match: { prefix: '/' }, route: { weighted_clusters, hash_policy } }],
    names.map((name, i) => ({
      name,
      ...ring,
      load_assignment: {
        cluster_name: name,
        endpoints: [assignment(upstream, [three[0]!, three[0]!, three[0]!]).endpoints[i]],
      },
    })),
  );
  const requests = Array.from({ length: 130 }, (_, i) =>
    i < 80 ? keyed({}) : keyed({ 'x-key': `key ${i}`, cookie: 'c=d' }),
  );
  await expectSame(t, yaml, async (side) => {
    const answers = await ask(side, requests);
    // A cookie is only made for the host, so that the cluster is any.
    const made = answers.filter((it) => it.cookies.length > 0);
    const clusters = new Set(made.map((it) => it.host.slice(0, 7)));
    return [clusters.size > 1, ...answers.filter((it) => it.cookies.length === 0)];
  });
});

interface Peer {
  readonly from: string;
}

const peers: readonly Peer[] = Array.from({ length: 40 }, (_, i) => ({ from: `127.0.2.${i + 1}` }));

test('connections hash as in Envoy', { skip: missing('envoy'), timeout: 60_000 }, async (t) => {
  const upstream = await rawUpstream(t);
  const proxies: Readonly<Record<string, object>> = {
    'source-ip': { hash_policy: [{ source_ip: {} }] },
    'filter-state': { hash_policy: [{ filter_state: { key: 'key' } }] },
    'filter-state-that-cannot-be-hashed': { hash_policy: [{ filter_state: { key: 'text' } }] },
  };
  const state = (key: string, factory: string) => ({
    object_key: key,
    factory_key: factory,
    format_string: { text_format_source: { inline_string: '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%!' } },
  });
  const yaml = JSON.stringify({
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: 21001 } } },
    static_resources: {
      listeners: Object.entries(proxies).map(([name, config], i) => ({
        name,
        address: { socket_address: { address: '127.0.0.1', port_value: 21010 + i } },
        filter_chains: [
          {
            filters: [
              typed('extensions.filters.network.set_filter_state.v3.Config', {
                on_new_connection: [state('key', 'envoy.hashable_string'), state('text', 'envoy.string')],
              }),
              typed('extensions.filters.network.tcp_proxy.v3.TcpProxy', {
                stat_prefix: 'p',
                cluster: 'c',
                ...config,
              }),
            ],
          },
        ],
      })),
      clusters: [{ name: 'c', ...maglev, load_assignment: assignment(upstream, weighted) }],
    },
  });
  await expectSame(t, yaml, async (side) => {
    const seen: Record<string, string[]> = {};
    for (const [i, name] of Object.keys(proxies).entries()) {
      const hosts: string[] = [];
      for (const { from } of peers) {
        const socket = connect({ host: '127.0.0.1', port: side.port(21010 + i), localAddress: from });
        let text = '';
        for await (const chunk of socket) text += chunk;
        hosts.push(text);
      }
      // Any host may be chosen where nothing is hashed.
      seen[name] = name.endsWith('cannot-be-hashed') ? [String(new Set(hosts).size > 1)] : hosts;
    }
    return seen;
  });
});

test('datagrams hash as in Envoy', { skip: missing('envoy'), timeout: 60_000 }, async (t) => {
  const hosts = ['127.0.1.1', '127.0.1.2', '127.0.1.3', '127.0.1.4', '127.0.1.5'];
  const upstreams = [createSocket('udp4')];
  upstreams[0]!.bind(0, hosts[0]);
  await once(upstreams[0]!, 'listening');
  const { port } = upstreams[0]!.address();
  for (const host of hosts.slice(1)) {
    const socket = createSocket('udp4');
    socket.bind(port, host);
    await once(socket, 'listening');
    upstreams.push(socket);
  }
  for (const [i, it] of upstreams.entries()) {
    it.on('message', (_bytes, from) => it.send(hosts[i] ?? '', from.port, from.address));
    t.after(() => it.close());
  }
  const proxies: Readonly<Record<string, object>> = {
    'source-ip': { hash_policies: [{ source_ip: true }] },
    key: { hash_policies: [{ key: 'some kéy' }] },
    'per-packet': { hash_policies: [{ source_ip: true }], use_per_packet_load_balancing: true },
  };
  const yaml = JSON.stringify({
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: 21001 } } },
    static_resources: {
      listeners: Object.entries(proxies).map(([name, config], i) => ({
        name,
        address: { socket_address: { protocol: 'UDP', address: '127.0.0.1', port_value: 21010 + i } },
        listener_filters: [
          typed('extensions.filters.udp.udp_proxy.v3.UdpProxyConfig', {
            stat_prefix: 'p',
            matcher: {
              on_no_match: {
                action: typed('extensions.filters.udp.udp_proxy.v3.Route', { cluster: 'c' }),
              },
            },
            ...config,
          }),
        ],
      })),
      clusters: [{ name: 'c', ...ring, load_assignment: assignment(port, weighted) }],
    },
  });
  await expectSame(t, yaml, async (side) => {
    const seen: Record<string, string[]> = {};
    for (const [i, name] of Object.keys(proxies).entries()) {
      seen[name] = [];
      for (const { from } of peers) {
        const socket = createSocket('udp4');
        socket.bind(0, from);
        await once(socket, 'listening');
        const answer = once(socket, 'message');
        socket.send('who?', side.port(21010 + i), '127.0.0.1');
        seen[name].push(String((await answer)[0]));
        socket.close();
      }
    }
    return seen;
  });
});

// ---------------------------------------------------------------------------------------------------------------------------

interface Request {
  readonly path: string;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
}

interface Answer {
  readonly status: string;
  /** The address that answered; empty when it was the proxy itself. */
  readonly host: string;
  /** A value that is made of the addresses is `<made>`; then it depends on them which host it is. */
  readonly cookies: readonly string[];
}

/** On every address of this machine; each answers with its own. */
async function echoUpstream(t: TestContext): Promise<number> {
  const server = createServer((request, response) =>
    response.writeHead(200, { 'x-host': request.socket.localAddress, 'content-length': 0 }).end(),
  );
  server.listen(0, '0.0.0.0');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** On every address of this machine; says which one it was, and closes. */
async function rawUpstream(t: TestContext): Promise<number> {
  const server = createTcpServer((socket) => socket.end(socket.localAddress ?? ''));
  server.listen(0, '0.0.0.0');
  await once(server, 'listening');
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** All on one connection, one behind the other without waiting. */
async function ask(side: Side, requests: readonly Request[]): Promise<Answer[]> {
  const socket = connect(side.port(21000), '127.0.0.1');
  socket.setEncoding('latin1');
  const last = requests.length - 1;
  socket.write(
    requests
      .map(({ path, headers = {} }, i) => {
        const lines = Object.entries({ host: 'web', ...(i === last && { connection: 'close' }), ...headers });
        const text = lines.flatMap(([name, value]) => [value].flat().map((it) => `${name}: ${it}\r\n`));
        return `GET ${path} HTTP/1.1\r\n${text.join('')}\r\n`;
      })
      .join(''),
    'latin1',
  );
  let text = '';
  let made = '';
  socket.once('connect', () => {
    const { localAddress, localPort, remoteAddress, remotePort } = socket;
    made = xxHash64Of(`${localAddress}:${localPort}${remoteAddress}:${remotePort}`).toHex();
  });
  for await (const chunk of socket) text += chunk;
  text = text.replaceAll(made, '<made>');
  return text.split(/(?=HTTP\/1.1 \d)/).map((it) => {
    const cookies = [...it.matchAll(/^(?:set-cookie|x-cookies): (.*)\r$/gm)].map((found) => found[1]!);
    const host = /^x-host: (.*)\r$/m.exec(it)?.[1] ?? '';
    return { status: it.slice(9, 12), host, cookies };
  });
}
