// Pools of HTTP/2 connections beside the real Envoy: streams per connection, resets and broken connections, and how they count.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import {
  createServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { missing } from '#testing/peers.ts';
import { expectSame, type Side } from './side-by-side.ts';
import { address, connectionManager, endpoint, type } from './side-by-side-configuration.ts';

const http2 = (options: object = {}, common: object = {}) => ({
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': type('extensions.upstreams.http.v3.HttpProtocolOptions'),
      common_http_protocol_options: common,
      explicit_http_config: { http2_protocol_options: options },
    },
  },
});

const clusters: Readonly<Record<string, object>> = {
  'one-stream': http2({ max_concurrent_streams: 1 }),
  'two-streams': http2({ max_concurrent_streams: 2 }),
  'two-in-all': http2({}, { max_requests_per_connection: 2 }),
  'two-streams-preconnected': {
    ...http2({ max_concurrent_streams: 2 }),
    preconnect_policy: { per_upstream_preconnect_ratio: 2 },
  },
  broken: http2(),
};

/** By the last part of the path. */
const behaviours: Readonly<Record<string, (stream: ServerHttp2Stream) => void>> = {
  refused: (stream) => stream.close(7),
  cancelled: (stream) => stream.close(8),
  'no-error': (stream) => stream.close(0),
  failed: (stream) => stream.close(2),
  gone: (stream) => stream.session!.destroy(),
  'gone-halfway': (stream) => {
    stream.respond({ ':status': 200 });
    stream.write('some', () => stream.session?.destroy());
  },
};

test('streams on HTTP/2 connections to hosts', { skip: missing('envoy'), timeout: 60_000 }, async (t) => {
  const seen = await expectSame(t, yaml(), async (side) => {
    const held: (() => void)[] = [];
    await upstream(t, side.port(21201), held);
    const seen: Record<string, unknown> = {};
    for (const name of Object.keys(clusters)) {
      const answers: string[] = [];
      if (name === 'broken') {
        for (const path of Object.keys(behaviours)) answers.push(await get(side, `/${name}/${path}`));
        seen[name] = { answers, stats: await counted(side, name) };
        continue;
      }
      answers.push(await get(side, `/${name}/`));
      const waiting: Promise<string>[] = [];
      for (let i = 0; i < 4; i++) {
        waiting.push(get(side, `/${name}/hold`));
        for (let k = 0; k < 200 && held.length <= i; k++) await sleep(5);
      }
      await sleep(50);
      const whileHeld = await counted(side, name);
      for (const release of held.splice(0)) release();
      answers.push(...(await Promise.all(waiting)), await get(side, `/${name}/`));
      seen[name] = { answers, whileHeld, after: await counted(side, name) };
    }
    return seen;
  });
  assert.match(JSON.stringify(seen['one-stream']), /whileHeld.*upstream_cx_active: 4.*after/);
});

async function counted(side: Side, name: string): Promise<string[]> {
  const stats = await side.stats(`^cluster[.]${name}[.]upstream_(cx_(total|active|http2|destroy|max)|rq_)`);
  return stats.filter((it) => !/ 0$|_time: |_ms: |protocol_error|per_cx/.test(it));
}

function yaml(): string {
  const routes = Object.keys(clusters).map((name) => ({
    match: { prefix: `/${name}/` },
    route: { cluster: name, timeout: '0s' },
  }));
  const manager = connectionManager({
    route_config: { virtual_hosts: [{ name: 'all', domains: ['*'], routes }] },
  });
  return JSON.stringify({
    admin: { address: address(21001) },
    static_resources: {
      listeners: [{ name: 'front', address: address(21000), filter_chains: [{ filters: [manager] }] }],
      clusters: Object.entries(clusters).map(([name, more]) => ({
        name,
        load_assignment: endpoint(name, 21201),
        ...more,
      })),
    },
  });
}

async function upstream(t: TestContext, port: number, held: (() => void)[]): Promise<void> {
  const server = createServer();
  const sessions = new Set<ServerHttp2Session>();
  server.on('session', (session) => {
    sessions.add(session);
    session.on('error', () => {});
  });
  server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    stream.on('error', () => {});
    const path = headers[':path']!;
    const answer = () => {
      if (stream.destroyed) return;
      stream.respond({ ':status': 200 });
      stream.end();
    };
    if (path.endsWith('/hold')) held.push(answer);
    else (behaviours[path.slice(path.lastIndexOf('/') + 1)] ?? answer)(stream);
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
}

/** Status and body; what broke off is said. */
async function get(side: Side, path: string): Promise<string> {
  const request = httpRequest({ host: '127.0.0.1', port: side.port(21000), path, agent: false });
  request.end();
  const [response] = await once(request, 'response');
  let text = '';
  try {
    for await (const chunk of response) text += chunk;
  } catch {
    text += ' (broken off)';
  }
  return `${response.statusCode} ${text}`;
}
