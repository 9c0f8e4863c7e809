import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { ConfigError } from '#config/config-error.ts';
import { create } from '#schema/create.ts';
import { loadRegistry, parseBootstrap, Server } from './server.ts';

/** A filter that is broken: it throws when it sees /crash. */
const crash = `export const extensions = [{
  kind: 'http_filter', name: 'crash', type: '', parse: () => ({}),
  prepare: () => () => ({
    decodeHeaders(stream, headers) {
      if (headers.path === '/crash') throw new Error('crashed as told');
      return 0;
    },
  }),
}];`;
const extensionModules = [
  import.meta.resolve('#extensions/all.ts'),
  `data:text/javascript,${encodeURIComponent(crash)}`,
];

function bootstrapTo(port: number, filters: readonly { name: string }[] = []) {
  return create('envoy.config.bootstrap.v3.Bootstrap', {
    static_resources: {
      listeners: [
        {
          name: 'front',
          address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
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
                      ...filters,
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
  });
}

/** Answers every request on a connection with its request line. */
async function echoUpstream(t: TestContext): Promise<number> {
  const server = createServer((socket) => {
    socket.setEncoding('latin1');
    let text = '';
    socket.on('data', (chunk: string) => {
      text += chunk;
      for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
        const line = text.slice(0, text.indexOf('\r\n'));
        text = text.slice(end + 4);
        socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${line.length}\r\n\r\n${line}`);
      }
    });
    socket.on('error', () => {});
    t.after(() => socket.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

async function startProxy(
  t: TestContext,
  upstreamPort: number,
  workers: number | 'inline',
  filters: readonly { name: string }[] = [],
): Promise<number> {
  const bootstrap = bootstrapTo(upstreamPort, filters);
  const registry = await loadRegistry(extensionModules);
  const problems: ConfigError[] = [];
  const config = parseBootstrap(bootstrap, registry, problems);
  assert.deepEqual(problems, []);
  const server = await Server.start(bootstrap, registry, config, { workers, extensionModules });
  t.after(() => server.close());
  return server.port('front');
}

async function exchange(port: number, request: string, until: RegExp): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.setEncoding('latin1');
  socket.write(request);
  let text = '';
  for await (const chunk of socket) {
    text += chunk;
    if (until.test(text)) break;
  }
  socket.destroy();
  return text;
}

for (const workers of ['inline', 1] as const) {
  test(`proxies HTTP/1 with workers: ${workers}`, async (t) => {
    const port = await startProxy(t, await echoUpstream(t), workers);
    const text = await exchange(port, 'GET /a?b HTTP/1.1\r\nhost: x\r\n\r\n', /GET .*$/);
    assert.match(text, /^HTTP\/1.1 200 OK\r\n/);
    assert.match(text, /\r\nserver: envoy\r\n/);
    assert.match(text, /\r\n\r\nGET \/a\?b HTTP\/1.1$/);
  });
}

test('answers pipelined requests in order', async (t) => {
  const port = await startProxy(t, await echoUpstream(t), 'inline');
  const text = await exchange(
    port,
    ['/1', '/2', '/3'].map((path) => `GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`).join(''),
    /GET \/3/,
  );
  assert.deepEqual(
    [...text.matchAll(/GET (\S+)/g)].map((it) => it[1]),
    ['/1', '/2', '/3'],
  );
});

test('answers 503 when the upstream refuses connections', async (t) => {
  const closed = createServer().listen(0, '127.0.0.1');
  await once(closed, 'listening');
  const { port: nobody } = closed.address() as AddressInfo;
  closed.close();
  await once(closed, 'close');
  const port = await startProxy(t, nobody, 'inline');
  const text = await exchange(port, 'GET / HTTP/1.1\r\nhost: x\r\n\r\n', /failure$/);
  assert.match(text, /^HTTP\/1.1 503 Service Unavailable\r\n/);
  assert.match(text, /reset reason: remote connection failure$/);
});

test('a worker that dies is replaced, on the same port', async (t) => {
  const port = await startProxy(t, await echoUpstream(t), 1, [{ name: 'crash' }]);
  const get = (path: string) => `GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`;
  assert.match(await exchange(port, get('/a'), /GET .*$/), /^HTTP\/1.1 200/);
  assert.equal(await exchange(port, get('/crash'), /HTTP/).catch(() => ''), '');
  let text = '';
  // Until the new worker listens, connecting is refused.
  while (text === '') text = await exchange(port, get('/b'), /GET .*$/).catch(() => '');
  assert.match(text, /^HTTP\/1.1 200/);
});
