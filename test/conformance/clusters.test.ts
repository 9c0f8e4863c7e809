// Limits, pools and counts of clusters beside the real Envoy: which connection takes which request, what is refused, and what
// `/stats` and `/clusters` say of it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request as httpRequest, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { missing } from '#testing/peers.ts';
import { type ProxyKind, proxyCommand } from '#testing/proxy-process.ts';
import { withoutPort } from './black-box.ts';
import { expectSame, type Side } from './side-by-side.ts';
import { address, endpoint, frontYaml, type } from './side-by-side-configuration.ts';

const limits = (thresholds: object) => ({ circuit_breakers: { thresholds: [thresholds] } });
const protocol = (common: object) => ({
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': type('extensions.upstreams.http.v3.HttpProtocolOptions'),
      common_http_protocol_options: common,
      explicit_http_config: { http_protocol_options: {} },
    },
  },
});

const clusters: Readonly<Record<string, object>> = {
  plain: {},
  'two-requests-each': protocol({ max_requests_per_connection: 2 }),
  'one-connection': limits({ max_connections: 1, track_remaining: true }),
  'none-pending': limits({ max_pending_requests: 0, track_remaining: true }),
  'one-request': limits({ max_requests: 1, track_remaining: true }),
  'one-pool': limits({ max_connection_pools: 1, track_remaining: true }),
  'pool-per-client': {
    connection_pool_per_downstream_connection: true,
    ...limits({ track_remaining: true }),
  },
  'same-host-twice': {
    load_assignment: {
      cluster_name: 'same-host-twice',
      endpoints: [
        {
          lb_endpoints: [1, 1, 2].map((n) => ({
            endpoint: { address: { socket_address: { address: `127.0.0.${n}`, port_value: 21201 } } },
          })),
        },
      ],
    },
  },
  'one-connection-per-host': { circuit_breakers: { per_host_thresholds: [{ max_connections: 1 }] } },
  'retry-budget': limits({
    track_remaining: true,
    max_retries: 7,
    retry_budget: { min_retry_concurrency: 2 },
  }),
  'without-effect': {
    ignore_health_on_host_removal: true,
    close_connections_on_host_health_failure: true,
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.tcp.v3.TcpProtocolOptions': {
        '@type': type('extensions.upstreams.tcp.v3.TcpProtocolOptions'),
        idle_timeout: '0.05s',
      },
    },
  },
  'address-of-another': {
    upstream_bind_config: { source_address: { address: '203.0.113.9', port_value: 0 } },
  },
  canary: {
    load_assignment: {
      cluster_name: 'canary',
      endpoints: [
        {
          lb_endpoints: [
            {
              endpoint: { address: address(21201), hostname: 'bird' },
              metadata: { filter_metadata: { 'envoy.lb': { canary: true } } },
            },
          ],
        },
      ],
    },
  },
  preconnected: { preconnect_policy: { per_upstream_preconnect_ratio: 2 } },
  'preconnected-three': { preconnect_policy: { per_upstream_preconnect_ratio: 3 } },
  'preconnected-within-limit': {
    preconnect_policy: { per_upstream_preconnect_ratio: 3 },
    ...limits({ max_connections: 3, track_remaining: true }),
  },
};

const unequal: Readonly<Record<string, RegExp>> = {
  // The first host is any.
  'same-host-twice': /::[cr][xq]_/,
  // In Envoy it is gone once `/clusters` has shown the limit.
  'retry-budget': /remaining_retries/,
};

test('pools and limits of clusters', { skip: missing('envoy'), timeout: 90_000 }, async (t) => {
  await expectSame(t, yamlOf(clusters), async (side) => {
    const upstream = await numberedUpstream(t, side.port(21201));
    const seen: Record<string, unknown> = {};
    for (const name of Object.keys(clusters)) {
      const answers: string[] = [];
      for (let i = 0; i < 3; i++) answers.push(await get(side, `/${name}/`));
      answers.push(await get(side, `/${name}/503`));
      await upstream.quiet();
      const held: Promise<string>[] = [];
      for (let i = 0; i < 3; i++) {
        const before = upstream.requests;
        const answer = get(side, `/${name}/hold`);
        held.push(answer);
        // It has come to the upstream, was answered by the proxy, or waits for a connection.
        for (let k = 0; k < 10 && upstream.requests === before; k++) await Promise.race([answer, sleep(15)]);
      }
      await upstream.quiet();
      const whileHeld = await view(side, name);
      let areAnswered = false;
      const all = Promise.all(held).finally(() => {
        areAnswered = true;
      });
      while (!areAnswered) {
        upstream.release();
        await Promise.race([all, sleep(30)]);
      }
      answers.push(...(await all), await get(side, `/${name}/`));
      await upstream.quiet();
      seen[name] = { answers, whileHeld, after: await view(side, name) };
      upstream.restart();
    }
    return seen;
  });
});

// Only while all pools are in use: Envoy 1.40 crashes when it lets go of an idle one for the sake of another.
test('more pools than there may be', { skip: missing('envoy'), timeout: 90_000 }, async (t) => {
  const only = {
    connection_pool_per_downstream_connection: true,
    ...limits({ max_connection_pools: 1, track_remaining: true }),
  };
  const seen = await expectSame(t, yamlOf({ only }), async (side) => {
    const upstream = await numberedUpstream(t, side.port(21201));
    const held = get(side, '/only/hold');
    while (upstream.requests === 0) await sleep(5);
    const refused = await get(side, '/only/');
    const whileHeld = await view(side, 'only');
    upstream.release();
    return { refused, held: await held, whileHeld, after: await view(side, 'only') };
  });
  assert.equal(seen.refused, '503 no healthy upstream');
});

const tracked = { track_cluster_stats: { timeout_budgets: true, request_response_sizes: true } };
const trackedClusters: Readonly<Record<string, object>> = {
  sizes: tracked,
  budgets: { track_timeout_budgets: true },
  endpoints: { track_cluster_stats: { per_endpoint_stats: true }, alt_stat_name: 'named.otherwise' },
  'turned-away': { ...tracked, ...limits({ max_pending_requests: 0 }) },
  unreachable: { ...tracked, load_assignment: endpoint('unreachable', 21299) },
};

test('sizes, timeout budgets and counts of endpoints', {
  skip: missing('envoy'),
  timeout: 90_000,
}, async (t) => {
  const route = { timeout: '0.4s', retry_policy: { retry_on: 'gateway-error,connect-failure' } };
  const yaml = yamlOf(trackedClusters, route, { stats_flush_on_admin: true });
  await expectSame(t, yaml, async (side) => {
    await numberedUpstream(t, side.port(21201));
    const answers: string[] = [];
    for (const name of Object.keys(trackedClusters)) {
      answers.push(await get(side, `/${name}/`), await get(side, `/${name}/503`));
      answers.push(await get(side, `/${name}/`, 'some words'));
      if (name === 'sizes' || name === 'budgets') answers.push(await get(side, `/${name}/hold`));
    }
    // Histograms are merged after the page that asks for it.
    await side.stats('nothing');
    await sleep(100);
    const pages: string[] = [];
    const filter = 'upstream_r[qs]_(body|headers|timeout_budget)|endpoint';
    for (const page of [
      '/stats?format=json',
      '/stats?format=text&usedonly',
      '/stats?type=Gauges',
      '/stats/prometheus?',
    ]) {
      const { body } = await side.proxy.admin(`${page}&filter=${filter}&histogram_buckets=cumulative`);
      pages.push(
        withoutPorts(side, body)
          .replace(/"interval":\d+/g, '')
          .replace(/\((\d+),\d+\)/g, '($1)'),
      );
    }
    return { answers, pages: pages.map((it) => it.split('\n').filter((line) => !/percent_used/.test(line))) };
  });
});

test('maintenance mode', { skip: missing('envoy'), timeout: 60_000 }, async (t) => {
  const shut = {
    shut: {},
    open: {},
    'of-no-number': {},
    'without-endpoints': { load_assignment: undefined },
  };
  const top = {
    layered_runtime: {
      layers: [
        {
          name: 'static',
          static_layer: {
            'upstream.maintenance_mode.shut': 100,
            'upstream.maintenance_mode.open': 0,
            'upstream.maintenance_mode.of-no-number': 'yes',
            'upstream.maintenance_mode.without-endpoints': 100,
          },
        },
        { name: 'admin', admin_layer: {} },
      ],
    },
  };
  const route = { timeout: '0s', retry_policy: { retry_on: '5xx' } };
  await expectSame(t, yamlOf(shut, route, top), async (side) => {
    await numberedUpstream(t, side.port(21201));
    const seen: unknown[] = [];
    for (const name of Object.keys(shut)) {
      const response = await fetch(`http://127.0.0.1:${side.port(21000)}/${name}/`);
      const { headers, status } = response;
      seen.push({
        status,
        overloaded: headers.get('x-envoy-overloaded'),
        body: await response.text(),
        view: await view(side, name),
      });
    }
    await side.proxy.admin('/runtime_modify?upstream.maintenance_mode.shut=0', 'POST');
    await sleep(100);
    return [...seen, await get(side, '/shut/')];
  });
});

test('limits that hosts cannot have', { skip: missing('envoy'), timeout: 60_000 }, (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'limits-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'envoy.yaml');
  const says = (kind: ProxyKind, perHost: object) => {
    const clusters = [{ name: 'up', circuit_breakers: { per_host_thresholds: [perHost] } }];
    writeFileSync(file, JSON.stringify({ static_resources: { clusters } }));
    const [program = '', ...first] = proxyCommand(kind);
    const { status, stderr } = spawnSync(program, [...first, '--mode', 'validate', '-c', file], {
      encoding: 'utf8',
    });
    return { status, isOfHosts: stderr.includes('Unsupported field in per_host_thresholds') };
  };
  const all = [
    { max_connections: 1, priority: 'HIGH' },
    { track_remaining: true },
    { max_pending_requests: 1 },
    { max_requests: 1 },
    { max_retries: 1 },
    { max_connection_pools: 1 },
    { retry_budget: {} },
  ];
  const envoy = all.map((it) => says('envoy', it));
  assert.deepEqual(
    all.map((it) => says('chancery', it)),
    envoy,
  );
  assert.deepEqual([...new Set(envoy.map((it) => it.isOfHosts))], [false, true]);
});

function yamlOf(all: Readonly<Record<string, object>>, route: object = { timeout: '0s' }, top: object = {}) {
  const routes = Object.keys(all).map((name) => ({
    match: { prefix: `/${name}/` },
    route: { cluster: name, ...route },
  }));
  return frontYaml(
    routes,
    Object.entries(all).map(([name, more]) => ({
      name,
      load_assignment: endpoint(name, 21201),
      ...more,
    })),
    top,
  );
}

/** On a connection of its own. */
async function get(side: Side, path: string, body = ''): Promise<string> {
  const request = httpRequest({
    port: side.port(21000),
    host: '127.0.0.1',
    path,
    method: body === '' ? 'GET' : 'POST',
    headers: { host: 'test', ...(body !== '' && { 'content-length': body.length }) },
    agent: false,
  });
  request.end(body);
  const [response] = await once(request, 'response');
  let text = '';
  for await (const chunk of response) text += chunk;
  return `${response.statusCode} ${text}`;
}

/** Says how many connections there were, and waits on /hold. */
async function numberedUpstream(t: TestContext, port: number) {
  const numbers = new WeakMap<object, number>();
  let connections = 0;
  const held: ServerResponse[] = [];
  const upstream = {
    requests: 0,
    release: () => held.shift()?.end('released'),
    restart() {
      connections = 0;
    },
    /** No connection has come for a while. */
    async quiet() {
      for (let before = -1; before !== connections; await sleep(60)) before = connections;
    },
  };
  const server = createServer((request, response) => {
    upstream.requests++;
    request.resume();
    request.on('end', () => {
      const { url = '' } = request;
      if (url.endsWith('/hold')) held.push(response);
      else {
        if (url.endsWith('/503')) response.statusCode = 503;
        response.removeHeader('date');
        response.sendDate = false;
        response.end(`connection ${numbers.get(request.socket)}`);
      }
    });
  });
  server.keepAliveTimeout = 0;
  server.on('connection', (socket) => {
    numbers.set(socket, ++connections);
  });
  server.listen(port, '0.0.0.0');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return upstream;
}

/** What the admin interface says of a cluster, without times and bytes. */
async function view(side: Side, name: string): Promise<string[]> {
  const stats = await side.proxy.admin(`/stats?usedonly&filter=^cluster[.]${name}[.]`);
  const status = await side.proxy.admin(`/clusters?filter=^${name}$`);
  assert.equal(status.status, 200);
  return withoutPorts(side, `${stats.body}${status.body}`)
    .split('\n')
    .filter((line) => !/_bytes_|_ms: |_time: |_per_cx: /.test(line))
    .filter((line) => unequal[name]?.test(line) !== true);
}

function withoutPorts(side: Side, text: string): string {
  return withoutPort(text, side.port(21201), '⟨upstream⟩');
}
