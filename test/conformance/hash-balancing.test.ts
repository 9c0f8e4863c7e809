// Consistent hashing beside the real Envoy: the same host for every key, over hosts that differ in weight, health, locality and
// priority; how tables change with their hosts; what is hashed of a request.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import { missing } from '#testing/peers.ts';
import { expectSame, type Side } from './side-by-side.ts';
import { frontYaml, type } from './side-by-side-configuration.ts';

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

const policy = (name: string, message: string, config: object) => ({
  load_balancing_policy: {
    policies: [
      {
        typed_extension_config: {
          name,
          typed_config: {
            '@type': type(`extensions.load_balancing_policies.${name}.v3.${message}`),
            ...config,
          },
        },
      },
    ],
  },
});

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
    policy('ring_hash', 'RingHash', {
      minimum_ring_size: 100,
      hash_function: 'XX_HASH',
      ...localityWeighted,
    }),
    localities,
  ],
  'ring-typed-hostnames': [
    policy('ring_hash', 'RingHash', { consistent_hashing_lb_config: { use_hostname_for_hashing: true } }),
    [{ weights: [1, 2, 3], hostnames: ['a.example', 'b.example', 'c.example'] }],
  ],
  'ring-typed-old-hostnames': [
    policy('ring_hash', 'RingHash', { use_hostname_for_hashing: true }),
    [{ weights: [1, 2, 3], hostnames: ['a.example', 'b.example', 'c.example'] }],
  ],
  maglev: [maglev, three],
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
  'maglev-typed': [policy('maglev', 'Maglev', { table_size: 101, ...localityWeighted }), localities],
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
        Array.from({ length: withoutHosts.has(name) ? 1 : 400 }, (_, i) => ({
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

// ---------------------------------------------------------------------------------------------------------------------------

interface Request {
  readonly path: string;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
}

interface Answer {
  readonly status: string;
  /** The address that answered; empty when it was the proxy itself. */
  readonly host: string;
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
  for await (const chunk of socket) text += chunk;
  return text.split(/(?=HTTP\/1.1 \d)/).map((it) => ({
    status: it.slice(9, 12),
    host: /^x-host: (.*)\r$/m.exec(it)?.[1] ?? '',
    cookies: [...it.matchAll(/^set-cookie: (.*)\r$/gm)].map((found) => found[1]!),
  }));
}
