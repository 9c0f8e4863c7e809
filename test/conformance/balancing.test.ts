// Which hosts get how much, beside the real Envoy: weights, localities, priorities, health of the configuration, panic, slow start.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, createServer, get } from 'node:http';
import { type TestContext, test } from 'node:test';
import { missing } from '#testing/peers.ts';
import { expectSame, type Side } from './side-by-side.ts';
import { frontYaml, loadBalancing } from './side-by-side-configuration.ts';

const requests = 600;
/** Of all requests: five standard deviations of a share of a half. */
const tolerance = Math.ceil(5 * Math.sqrt(requests / 4));

interface Endpoints {
  readonly weights?: readonly number[];
  readonly health?: readonly string[];
  readonly locality?: string;
  readonly localityWeight?: number;
  readonly priority?: number;
}

/** The hosts of the n-th group are 127.0.n.1, 127.0.n.2 and so on. */
function assignment(name: string, groups: readonly Endpoints[], policy: object = {}) {
  return {
    load_assignment: {
      cluster_name: name,
      policy,
      endpoints: groups.map(
        ({ weights = [1, 1], health = [], locality, localityWeight, priority = 0 }, n) => ({
          priority,
          ...(locality !== undefined && { locality: { zone: locality } }),
          ...(localityWeight !== undefined && { load_balancing_weight: localityWeight }),
          lb_endpoints: weights.map((weight, i) => ({
            endpoint: {
              address: { socket_address: { address: `127.0.${n + 1}.${i + 1}`, port_value: 21201 } },
            },
            load_balancing_weight: weight,
            ...(health[i] !== undefined && { health_status: health[i] }),
          })),
        }),
      ),
    },
  };
}

const [up, down, half] = ['HEALTHY', 'UNHEALTHY', 'DEGRADED'];
const byLocality = { common_lb_config: { locality_weighted_lb_config: {} } };
const localityWeighted = { locality_lb_config: { locality_weighted_lb_config: {} } };
const failing = { common_lb_config: { zone_aware_lb_config: { fail_traffic_on_panic: true } } };
const twoLocalities: readonly Endpoints[] = [
  { locality: 'a', localityWeight: 3 },
  { locality: 'b', localityWeight: 1, weights: [1, 3] },
];

const clusters: Readonly<Record<string, object>> = {
  'round-robin': assignment('c', [{ weights: [1, 1, 1] }]),
  weights: assignment('c', [{ weights: [1, 2, 5] }]),
  'least-request': { lb_policy: 'LEAST_REQUEST', ...assignment('c', [{ weights: [1, 1, 1] }]) },
  'least-request-weights': { lb_policy: 'LEAST_REQUEST', ...assignment('c', [{ weights: [1, 2, 5] }]) },
  'least-request-no-bias': {
    lb_policy: 'LEAST_REQUEST',
    least_request_lb_config: { active_request_bias: { default_value: 0, runtime_key: 'bias' } },
    ...assignment('c', [{ weights: [1, 3] }]),
  },
  'least-request-scan': {
    ...loadBalancing('least_request', 'LeastRequest', { selection_method: 'FULL_SCAN' }),
    ...assignment('c', [{ weights: [1, 1] }]),
  },
  random: { lb_policy: 'RANDOM', ...assignment('c', [{ weights: [1, 9] }]) },
  localities: { ...byLocality, ...assignment('c', twoLocalities) },
  'localities-without-weights': assignment('c', twoLocalities),
  'localities-typed': {
    ...loadBalancing('round_robin', 'RoundRobin', localityWeighted),
    ...assignment('c', twoLocalities),
  },
  'localities-random': {
    ...loadBalancing('random', 'Random', localityWeighted),
    ...assignment('c', twoLocalities),
  },
  'localities-that-lack': {
    ...byLocality,
    ...assignment('c', [
      { locality: 'a', localityWeight: 1, weights: [1, 1, 1, 1], health: [up!, down!, down!, up!] },
      { locality: 'b', localityWeight: 1, weights: [1, 1, 1, 1] },
      { locality: 'c', weights: [1] },
    ]),
  },
  'some-unhealthy': assignment('c', [{ weights: [1, 1, 1], health: [up!, down!, 'DRAINING'] }]),
  'few-unhealthy': assignment('c', [{ weights: [1, 1, 1], health: [up!, down!, 'UNKNOWN'] }]),
  'without-panic': {
    common_lb_config: { healthy_panic_threshold: { value: 0 } },
    ...assignment('c', [{ weights: [1, 1, 1], health: [up!, down!, 'TIMEOUT'] }]),
  },
  'all-unhealthy': assignment('c', [{ weights: [1, 1], health: [down!, down!] }]),
  'none-without-panic': {
    common_lb_config: { healthy_panic_threshold: { value: 0 } },
    ...assignment('c', [{ weights: [1, 1], health: [down!, down!] }]),
  },
  'panic-that-fails': { ...failing, ...assignment('c', [{ weights: [1, 1], health: [down!, down!] }]) },
  'panic-that-fails-hashing': {
    ...failing,
    lb_policy: 'MAGLEV',
    ...assignment('c', [{ weights: [1, 1], health: [down!, down!] }]),
  },
  'panic-that-fails-typed': {
    ...loadBalancing('random', 'Random', {
      locality_lb_config: { zone_aware_lb_config: { fail_traffic_on_panic: true } },
    }),
    ...assignment('c', [{ weights: [1, 1, 1], health: [up!, down!, down!] }]),
  },
  'no-hosts': assignment('c', []),
  degraded: assignment('c', [{ weights: [1, 1], health: [up!, half!] }]),
  'only-degraded': assignment('c', [{ weights: [1, 1], health: [half!, half!] }]),
  priorities: assignment('c', [{}, { priority: 1 }]),
  'priorities-spill': assignment('c', [{ health: [up!, down!] }, { priority: 1 }]),
  'priorities-overprovisioned': assignment('c', [{ health: [up!, down!] }, { priority: 1 }], {
    overprovisioning_factor: 200,
  }),
  'priorities-fail-over': assignment('c', [{ health: [down!, down!] }, { priority: 1 }]),
  'priorities-with-degraded': assignment('c', [
    { health: [half!, down!] },
    { priority: 1, health: [up!, half!] },
  ]),
  'priorities-panic': assignment('c', [
    { weights: [1, 1, 1, 1], health: [up!, down!, down!, down!] },
    { priority: 1, weights: [1, 1, 1, 1], health: [down!, down!, down!, down!] },
  ]),
  // All hosts are as old as each other.
  'slow-start': {
    round_robin_lb_config: { slow_start_config: { slow_start_window: '100s' } },
    ...assignment('c', [{ weights: [1, 3] }]),
  },
  'slow-start-least-request': {
    lb_policy: 'LEAST_REQUEST',
    least_request_lb_config: {
      slow_start_config: { slow_start_window: '100s', min_weight_percent: { value: 50 } },
    },
    ...assignment('c', [{ weights: [1, 3] }]),
  },
};

test('hosts get the shares that they get from Envoy', {
  skip: missing('envoy'),
  timeout: 120_000,
}, async (t) => {
  const shares: Record<string, Map<string, number>>[] = [];
  await expectSame(t, yaml(), async (side) => {
    await upstreams(t, side.port(21201));
    const own: Record<string, Map<string, number>> = {};
    const seen: Record<string, unknown> = {};
    for (const name of Object.keys(clusters)) {
      own[name] = await sharesOf(side, name);
      const stats = await side.stats(
        `^cluster[.]${name}[.](membership|lb_healthy_panic|upstream_cx_none|upstream_rq_[25]xx|max_host)`,
      );
      seen[name] = {
        hosts: [...own[name]!.keys()].sort(),
        stats: stats.filter((it) => !/panic: [1-9]/.test(it)),
      };
    }
    shares.push(own);
    return seen;
  });
  const [envoy, chancery] = shares;
  for (const name of Object.keys(clusters)) {
    for (const [host, count] of envoy![name]!) {
      const ours = chancery![name]!.get(host) ?? 0;
      assert.ok(
        Math.abs(ours - count) <= tolerance,
        `${name}: ${host} got ${ours} of ${requests} requests, from Envoy ${count}`,
      );
    }
  }
});

function yaml(): string {
  const routes = Object.keys(clusters).map((name) => ({
    match: { path: `/${name}` },
    route: { cluster: name },
  }));
  return frontYaml(
    routes,
    Object.entries(clusters).map(([name, more]) => ({ name, ...more })),
  );
}

/** On every address of this machine; each answers with its own. */
async function upstreams(t: TestContext, port: number): Promise<void> {
  const server = createServer((request, response) => response.end(request.socket.localAddress));
  server.listen(port, '0.0.0.0');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
}

async function sharesOf(side: Side, name: string): Promise<Map<string, number>> {
  const shares = new Map<string, number>();
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  const one = async () => {
    const request = get({ host: '127.0.0.1', port: side.port(21000), path: `/${name}`, agent });
    const [response] = await once(request, 'response');
    let text = '';
    for await (const chunk of response) text += chunk;
    const key = response.statusCode === 200 ? text : `${response.statusCode} ${text}`;
    shares.set(key, (shares.get(key) ?? 0) + 1);
  };
  for (let i = 0; i < requests; i += 8) await Promise.all(Array.from({ length: 8 }, one));
  agent.destroy();
  return shares;
}
