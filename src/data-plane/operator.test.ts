import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { LogLevel, logs } from '#base/logger.ts';
import type { ConfigError } from '#config/config-error.ts';
import { create } from '#schema/create.ts';
import type { InitTypes } from '#schema/messages/type-map.ts';
import { ListenError } from './listener/listen-error.ts';
import { loadRegistry, parseBootstrap, Server } from './server.ts';

logs.configure({ level: LogLevel.Off });
const extensionModules = [import.meta.resolve('#extensions/all.ts')];
const registry = await loadRegistry(extensionModules);

interface Reply {
  readonly status: number;
  readonly body: string;
}

function ask(port: number, path: string, method = 'GET'): Promise<Reply> {
  return new Promise((resolve, reject) => {
    request({ port, host: '127.0.0.1', path, method, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (text: string) => {
        body += text;
      });
      response.on('end', () => resolve({ status: response.statusCode!, body }));
    })
      .on('error', reject)
      .end();
  });
}

async function upstream(t: TestContext): Promise<number> {
  const server = createServer((_request, response) => response.end('hello')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return (server.address() as AddressInfo).port;
}

function bootstrapTo(port: number, more: InitTypes['envoy.config.bootstrap.v3.Bootstrap'] = {}) {
  return create('envoy.config.bootstrap.v3.Bootstrap', {
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } },
    node: { id: 'n1', cluster: 'c1' },
    layered_runtime: { layers: [{ name: 'admin', admin_layer: {} }] },
    static_resources: {
      listeners: [
        {
          name: 'front',
          address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
          traffic_direction: 'INBOUND',
          filter_chains: [
            {
              filters: [
                {
                  name: 'http',
                  typed_config: {
                    '@type':
                      'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
                    stat_prefix: 'in',
                    route_config: {
                      name: 'r',
                      virtual_hosts: [
                        {
                          name: 'v',
                          domains: ['*'],
                          routes: [{ match: { prefix: '/' }, route: { cluster: 'up' } }],
                        },
                      ],
                    },
                    http_filters: [
                      {
                        name: 'envoy.filters.http.router',
                        typed_config: {
                          '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router',
                        },
                      },
                    ],
                  },
                },
              ],
            },
          ],
        },
      ],
      clusters: [
        {
          name: 'up',
          load_assignment: {
            cluster_name: 'up',
            endpoints: [
              {
                lb_endpoints: [
                  { endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } } },
                ],
              },
            ],
          },
        },
      ],
    },
    ...more,
  });
}

async function start(
  t: TestContext,
  workers: number | 'inline',
  more?: InitTypes['envoy.config.bootstrap.v3.Bootstrap'],
) {
  const bootstrap = bootstrapTo(await upstream(t), more);
  const problems: ConfigError[] = [];
  const config = parseBootstrap(bootstrap, registry, problems);
  assert.deepEqual(problems, []);
  const server = await Server.start(bootstrap, registry, config, { workers, extensionModules });
  t.after(() => server.close());
  const admin = Number(server.operator.adminAddress()!.split(':')[1]);
  return {
    server,
    admin,
    get: () => ask(server.port('front'), '/'),
    page: async (path: string) => (await ask(admin, path)).body,
    post: async (path: string) => (await ask(admin, path, 'POST')).body,
  };
}

test('the pages show what the workers did', async (t) => {
  const { server, get, page, post } = await start(t, 'inline');
  for (let i = 0; i < 3; i++) assert.equal((await get()).body, 'hello');
  assert.equal(await page('/ready'), 'LIVE\n');
  assert.equal(await page('/stats?filter=^http.in.downstream_rq_2xx'), 'http.in.downstream_rq_2xx: 3\n');
  assert.match(await page('/stats?filter=membership'), /^cluster\.up\.membership_total: 1$/m);
  assert.match(await page('/clusters'), /^up::127\.0\.0\.1:\d+::rq_success::3$/m);
  assert.equal(await page('/listeners'), `front::127.0.0.1:${server.port('front')}\n`);
  assert.match(await page('/config_dump?resource=static_route_configs'), /"name": "r"/);
  assert.match(await page('/server_info'), /"state": "LIVE"/);
  assert.equal(await post('/reset_counters'), 'OK\n');
  assert.equal(await page('/stats?filter=^http.in.downstream_rq_2xx'), 'http.in.downstream_rq_2xx: 0\n');
});

test('statistics of worker threads add up', async (t) => {
  const { get, page } = await start(t, 2);
  for (let i = 0; i < 6; i++) await get();
  assert.equal(await page('/stats?filter=^http.in.downstream_rq_2xx'), 'http.in.downstream_rq_2xx: 6\n');
  assert.match(await page('/stats?filter=membership_total'), /^cluster\.up\.membership_total: 1$/m);
});

test('a listener that cannot be bound ends everything that was started', async (t) => {
  const bootstrap = bootstrapTo(await upstream(t));
  const { listeners } = bootstrap.static_resources!;
  // TEST-NET-3: no machine has this address.
  (listeners[0]!.address!.socket_address as { address: string }).address = '203.0.113.7';
  const config = parseBootstrap(bootstrap, registry, []);
  await assert.rejects(
    Server.start(bootstrap, registry, config, { workers: 2, extensionModules }),
    (error) =>
      error instanceof ListenError &&
      error.message === "cannot bind '203.0.113.7:0': Cannot assign requested address",
  );
});

test('a failed health check is a state of the server, until it is mended', async (t) => {
  const { admin, post, page } = await start(t, 'inline');
  await post('/healthcheck/fail');
  assert.deepEqual(await ask(admin, '/ready'), { status: 503, body: 'DRAINING\n' });
  assert.equal(await page('/stats?filter=server.(live|state)'), 'server.live: 0\nserver.state: 1\n');
  await post('/healthcheck/ok');
  assert.equal(await page('/ready'), 'LIVE\n');
});

test('drained listeners take no new connections', async (t) => {
  const { server, get, post, page } = await start(t, 'inline');
  assert.equal((await get()).status, 200);
  await post('/drain_listeners?inboundonly');
  await assert.rejects(ask(server.port('front'), '/'), { code: 'ECONNREFUSED' });
  assert.match(await page('/stats?filter=listener_stopped'), /: 1$/m);
});

test('operators override runtime values', async (t) => {
  const { page, post } = await start(t, 'inline');
  await post('/runtime_modify?a.key=5');
  assert.match(await page('/runtime'), /"final_value": "5"/);
});

test('allow_paths and stats_config are followed, in workers too', async (t) => {
  const { admin, get, page } = await start(t, 1, {
    admin: {
      address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
      allow_paths: [{ prefix: '/stats' }],
    },
    stats_config: { stats_matcher: { inclusion_list: { patterns: [{ suffix: 'downstream_rq_2xx' }] } } },
  });
  await get();
  assert.equal((await ask(admin, '/help')).status, 403);
  assert.equal(await page('/stats?filter=^http.in'), `${'http.in.downstream_rq_2xx: 1\n'}`);
});

test('an admin address that is taken is refused in the words of Envoy', async (t) => {
  const { admin } = await start(t, 'inline');
  const bootstrap = bootstrapTo(1, {
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: admin } } },
  });
  const config = parseBootstrap(bootstrap, registry, []);
  await assert.rejects(
    Server.start(bootstrap, registry, config, { workers: 'inline', extensionModules }),
    (error) =>
      error instanceof ListenError &&
      error.message === `cannot bind '127.0.0.1:${admin}': Address already in use`,
  );
});

test('hosts are shown with what the configuration says of them', async (t) => {
  const { page } = await start(t, 'inline', {
    static_resources: {
      clusters: [
        {
          name: 'up',
          load_assignment: {
            cluster_name: 'up',
            endpoints: [
              {
                locality: { region: 'r' },
                priority: 1,
                lb_endpoints: [
                  {
                    endpoint: {
                      hostname: 'h',
                      address: { socket_address: { address: '127.0.0.1', port_value: 81 } },
                    },
                    load_balancing_weight: 3,
                    health_status: 'DRAINING',
                    metadata: { filter_metadata: { 'envoy.lb': { canary: true } } },
                  },
                ],
              },
              {
                lb_endpoints: [
                  { endpoint: { address: { pipe: { path: '/x.sock' } } }, health_status: 'DEGRADED' },
                ],
              },
            ],
          },
        },
      ],
    },
  });
  const text = await page('/clusters');
  for (const line of [
    '127.0.0.1:81::health_flags::/eds_status_draining',
    '127.0.0.1:81::canary::true',
    '127.0.0.1:81::weight::3',
    '127.0.0.1:81::region::r',
    '/x.sock::health_flags::/degraded_eds_health',
  ]) {
    assert.ok(text.includes(`up::${line}\n`), line);
  }
  const { configs } = JSON.parse(await page('/config_dump?resource=static_endpoint_configs&include_eds'));
  assert.deepEqual(configs[0].endpoint_config.endpoints, [
    {
      locality: {},
      lb_endpoints: [
        {
          endpoint: { address: { pipe: { path: '/x.sock' } }, health_check_config: {} },
          health_status: 'DEGRADED',
          load_balancing_weight: 1,
        },
      ],
      load_balancing_weight: 0,
    },
    {
      locality: { region: 'r' },
      lb_endpoints: [
        {
          endpoint: {
            address: { socket_address: { address: '127.0.0.1', port_value: 81 } },
            health_check_config: {},
            hostname: 'h',
          },
          health_status: 'UNHEALTHY',
          metadata: { filter_metadata: { 'envoy.lb': { canary: true } } },
          load_balancing_weight: 3,
        },
      ],
      load_balancing_weight: 0,
      priority: 1,
    },
  ]);
});

test('requests of operators are logged like others', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'operator-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'admin.log');
  const { server, page } = await start(t, 'inline', {
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: 0 } }, access_log_path: path },
  });
  await page('/ready?x=1');
  await server.close();
  assert.match(
    readFileSync(path, 'utf8'),
    /^\[\d{4}-[^\]]+Z\] "GET \/ready\?x=1 HTTP\/1\.1" 200 - 0 5 \d+ - "[\d.]+" "-" "-" "127\.0\.0\.1:\d+" "-"\n$/,
  );
});
