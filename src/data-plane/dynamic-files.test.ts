// Clusters, their members and routes that come from files and change while requests are under way.
import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { LogLevel, logs } from '#base/logger.ts';
import { freePorts } from '#testing/free-ports.ts';
import { startProxy, type TestProxy } from '#testing/start-proxy.ts';

logs.configure({ level: LogLevel.Off });

const crash = `export const extensions = [{
  kind: 'http_filter', name: 'envoy.filters.http.on_demand', type: 'envoy.extensions.filters.http.on_demand.v3.OnDemand', parse: () => ({}),
  prepare: () => () => ({
    decodeHeaders(stream, headers) {
      if (headers.path === '/crash') throw new Error('crashed as told');
      return 0;
    },
  }),
}];`;

const type = (name: string) => `type.googleapis.com/envoy.${name}`;
const tcp = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });
const endpoints = (port: number) => [{ lb_endpoints: [{ endpoint: { address: tcp(port) } }] }];

function cluster(name: string, port: number, connectSeconds = 1): object {
  return {
    '@type': type('config.cluster.v3.Cluster'),
    name,
    connect_timeout: `${connectSeconds}s`,
    load_assignment: { cluster_name: name, endpoints: endpoints(port) },
  };
}

function routes(name: string, to: string): object {
  return {
    '@type': type('config.route.v3.RouteConfiguration'),
    name,
    virtual_hosts: [
      { name: 'v', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: to } }] },
    ],
  };
}

/** With the routes "r" of a file. */
function listener(name: string, port: number, folder: string): object {
  return {
    '@type': type('config.listener.v3.Listener'),
    name,
    address: tcp(port),
    filter_chains: [
      {
        filters: [
          {
            name: 'envoy.filters.network.http_connection_manager',
            typed_config: {
              '@type': type('extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'),
              stat_prefix: name,
              rds: {
                route_config_name: 'r',
                config_source: { path_config_source: { path: join(folder, 'rds.yaml') } },
              },
              http_filters: [
                {
                  name: 'crash',
                  typed_config: { '@type': type('extensions.filters.http.on_demand.v3.OnDemand') },
                },
                {
                  name: 'envoy.filters.http.router',
                  typed_config: { '@type': type('extensions.filters.http.router.v3.Router') },
                },
              ],
            },
          },
        ],
      },
    ],
  };
}

interface Upstream {
  readonly port: number;
  /** Answers of /held that nobody has given yet. */
  readonly held: ServerResponse[];
}

async function upstream(t: TestContext, name: string): Promise<Upstream> {
  const held: ServerResponse[] = [];
  const server = createServer((request, response) => {
    if (request.url === '/held') held.push(response);
    else response.end(name);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { port: (server.address() as AddressInfo).port, held };
}

type Files = Record<'cds' | 'rds' | 'lds', readonly object[]>;

interface Running {
  readonly proxy: TestProxy;
  readonly folder: string;
  readonly put: (file: keyof Files, ...resources: readonly object[]) => void;
}

async function start(
  t: TestContext,
  files: (folder: string) => Files,
  workers: number | 'inline',
): Promise<Running> {
  const folder = mkdtempSync(join(tmpdir(), 'dynamic-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = (name: string) => join(folder, `${name}.yaml`);
  const put = (name: string, ...resources: readonly object[]) => {
    writeFileSync(`${path(name)}.new`, JSON.stringify({ resources }));
    renameSync(`${path(name)}.new`, path(name));
  };
  for (const [name, resources] of Object.entries(files(folder))) put(name, ...resources);
  const source = (name: string) => ({ path_config_source: { path: path(name) } });
  const bootstrap = {
    node: { id: 'n', cluster: 'c' },
    admin: { address: tcp(0) },
    dynamic_resources: { cds_config: source('cds'), lds_config: source('lds') },
  };
  const proxy = await startProxy(t, JSON.stringify(bootstrap), {
    workers,
    drainTimeMs: 50,
    extensionModules: [`data:text/javascript,${encodeURIComponent(crash)}`],
  });
  return { proxy, folder, put };
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(5);
}

async function get(port: number, path = '/'): Promise<string> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { connection: 'close' } });
    return response.status === 200 ? await response.text() : String(response.status);
  } catch {
    return '';
  }
}

test('requests under way end where they began, others go where the routes and clusters of now lead', async (t) => {
  const [one, two] = [await upstream(t, 'one'), await upstream(t, 'two')];
  const [port] = (await freePorts(1)) as [number];
  const { proxy, put } = await start(
    t,
    (folder) => ({
      cds: [cluster('a', one.port), cluster('b', two.port)],
      rds: [routes('r', 'a')],
      lds: [listener('l', port, folder)],
    }),
    2,
  );
  const early = get(port, '/held');
  await until(() => one.held.length === 1);
  put('cds', cluster('a', two.port), cluster('b', two.port));
  await until(async () => (await get(port)) === 'two');
  put('cds', cluster('b', one.port));
  await until(async () => (await get(port)) === '503');
  // With a cluster its statistics go.
  await until(async () => (await proxy.admin.get('/stats?filter=^cluster.a\\.')).body.trim() === '');
  put('rds', routes('r', 'b'));
  await until(async () => (await get(port)) === 'one');
  one.held[0]!.end('late');
  assert.equal(await early, 'late');
});

test('no request fails while its cluster is replaced again and again', async (t) => {
  const up = await upstream(t, 'up');
  const [port] = (await freePorts(1)) as [number];
  const { proxy, put } = await start(
    t,
    (folder) => ({
      cds: [cluster('a', up.port)],
      rds: [routes('r', 'a')],
      lds: [listener('l', port, folder)],
    }),
    2,
  );
  let isOver = false;
  let answered = 0;
  const asking = (async () => {
    while (!isOver) {
      const response = await fetch(`http://127.0.0.1:${port}/`);
      assert.equal(await response.text(), 'up');
      answered++;
    }
  })();
  for (let i = 2; i <= 12; i++) {
    const before = answered;
    put('cds', cluster('a', up.port, i));
    await until(() => answered > before + 3);
  }
  isOver = true;
  await asking;
  const { body } = await proxy.admin.get('/stats?filter=^cluster.a.upstream_rq_total$');
  assert.equal(Number(body.split(': ')[1]), answered, 'the counters of a cluster go on');
});

test('a worker that dies is replaced by one with the clusters and routes of now', async (t) => {
  const [one, two] = [await upstream(t, 'one'), await upstream(t, 'two')];
  const [port] = (await freePorts(1)) as [number];
  const { put } = await start(
    t,
    (folder) => ({
      cds: [cluster('a', one.port)],
      rds: [routes('r', 'a')],
      lds: [listener('l', port, folder)],
    }),
    1,
  );
  put('cds', cluster('b', two.port));
  put('rds', routes('r', 'b'));
  await until(async () => (await get(port)) === 'two');
  assert.equal(await get(port, '/crash'), '');
  await until(async () => (await get(port)) === 'two');
});

test('listeners that name the same routes share them, and the last one ends that', async (t) => {
  const up = await upstream(t, 'up');
  const [first, second] = (await freePorts(2)) as [number, number];
  const { proxy, put, folder } = await start(
    t,
    (path) => ({
      cds: [cluster('a', up.port)],
      rds: [routes('r', 'a')],
      lds: [listener('one', first, path)],
    }),
    'inline',
  );
  put('lds', listener('one', first, folder), listener('two', second, folder));
  await until(async () => (await get(second)) === 'up');
  const attempts = async () => (await proxy.admin.get('/stats?filter=rds.*update_attempt')).body.trim();
  assert.equal(await attempts(), 'http.one.rds.r.update_attempt: 1');
  put('rds', routes('r', 'nowhere'));
  await until(async () => (await get(first)) === '503' && (await get(second)) === '503');
  put('lds', listener('two', second, folder));
  await until(async () => (await proxy.admin.get('/config_dump')).body.includes('draining_state') === false);
  assert.equal(await get(first), '');
  put('rds', routes('r', 'a'));
  await until(async () => (await get(second)) === 'up');
  assert.equal(await attempts(), 'http.one.rds.r.update_attempt: 3');
  put('lds');
  await until(async () => (await attempts()) === '');
});
