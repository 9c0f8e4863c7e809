// Bodies of all sizes and framings, many at once, come out as they went in: their memory goes around while others are on their way.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { mulberry32 } from '#testing/mulberry32.ts';
import { startProxy } from '#testing/start-proxy.ts';

const seed = Number(process.env.SEED ?? 1);
const exchangesPerClient = 12;

const hash = (body: Buffer) => createHash('sha1').update(body).digest('hex');

function configuration(upstreams: Readonly<Record<string, number>>): string {
  const type = (name: string) => `type.googleapis.com/envoy.extensions.${name}`;
  const address = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });
  const options = (version: string) => ({
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': type('upstreams.http.v3.HttpProtocolOptions'),
      explicit_http_config: { [`${version}_protocol_options`]: {} },
    },
  });
  return JSON.stringify({
    static_resources: {
      listeners: Object.keys(upstreams).map((name) => ({
        name,
        address: address(0),
        filter_chains: [
          {
            filters: [
              {
                name: 'http',
                typed_config: {
                  '@type': type('filters.network.http_connection_manager.v3.HttpConnectionManager'),
                  stat_prefix: name,
                  route_config: {
                    virtual_hosts: [
                      {
                        name: 'all',
                        domains: ['*'],
                        routes: [{ match: { prefix: '/' }, route: { cluster: name } }],
                      },
                    ],
                  },
                  http_filters: [
                    { name: 'router', typed_config: { '@type': type('filters.http.router.v3.Router') } },
                  ],
                },
              },
            ],
          },
        ],
      })),
      clusters: Object.entries(upstreams).map(([name, port]) => ({
        name,
        typed_extension_protocol_options: options(name),
        load_assignment: {
          cluster_name: name,
          endpoints: [{ lb_endpoints: [{ endpoint: { address: address(port) } }] }],
        },
      })),
    },
  });
}

test(`bodies come out as they went in (SEED=${seed})`, async (t) => {
  const echo = http.createServer((request, response) => {
    const length = request.headers['content-length'];
    response.writeHead(200, length === undefined ? {} : { 'content-length': length });
    request.pipe(response);
  });
  const echo2 = http2.createServer();
  echo2.on('stream', (stream: http2.ServerHttp2Stream) => {
    stream.respond({ ':status': 200 });
    stream.pipe(stream);
  });
  for (const it of [echo, echo2]) {
    await once(it.listen(0, '127.0.0.1'), 'listening');
    t.after(() => it.close());
  }
  const port = (it: { address(): unknown }) => (it.address() as AddressInfo).port;
  const proxy = await startProxy(t, configuration({ http: port(echo), http2: port(echo2) }));
  const agent = new http.Agent({ keepAlive: true });
  t.after(() => agent.destroy());

  const random = mulberry32(seed);
  const below = (limit: number) => random() % limit;
  const content = Buffer.from(Array.from({ length: 1 << 16 }, () => below(256)));
  const newBody = () => {
    const length = below(3) === 0 ? below(20_000) : below(1_000_000);
    const start = below(content.length);
    return Buffer.alloc(length, Buffer.concat([content.subarray(start), content.subarray(0, start)]));
  };

  async function overHttp1(): Promise<void> {
    const body = newBody();
    const headers = below(2) === 0 ? {} : { 'content-length': body.length };
    const to = proxy.port(below(2) === 0 ? 'http' : 'http2');
    const request = http.request({ agent, port: to, method: 'POST', headers });
    const response = once(request, 'response');
    const most = below(3) === 0 ? 2000 : 100_000;
    for (let at = 0; at < body.length; ) {
      const length = 1 + below(most);
      if (!request.write(body.subarray(at, at + length))) await once(request, 'drain');
      at += length;
    }
    request.end();
    const [answer] = (await response) as [http.IncomingMessage];
    assert.equal(hash(Buffer.concat(await answer.toArray())), hash(body));
  }

  const session = http2.connect(`http://127.0.0.1:${proxy.port('http')}`);
  t.after(() => session.close());
  async function overHttp2(): Promise<void> {
    const body = newBody();
    const stream = session.request({ ':method': 'POST' });
    stream.end(body);
    assert.equal(hash(Buffer.concat(await stream.toArray())), hash(body));
  }

  const clients = [...Array.from({ length: 10 }, () => overHttp1), overHttp2, overHttp2, overHttp2];
  await Promise.all(
    clients.map(async (exchange) => {
      for (let i = 0; i < exchangesPerClient; i++) await exchange();
    }),
  );
});
