// Upstreams that do not answer, end or break the protocol, before and after a request came in: answers and everything that is counted,
// beside the real Envoy.
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { missing } from '#testing/peers.ts';
import { expectSame, type Side } from './side-by-side.ts';
import { endpoint, frontYaml, type } from './side-by-side-configuration.ts';

const tls = {
  transport_socket: {
    name: 'tls',
    typed_config: { '@type': type('extensions.transport_sockets.tls.v3.UpstreamTlsContext') },
  },
};
const http2Of = (http2_protocol_options: object) => ({
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': type('extensions.upstreams.http.v3.HttpProtocolOptions'),
      explicit_http_config: { http2_protocol_options },
    },
  },
});
const http2 = http2Of({});
const pings = http2Of({
  connection_keepalive: { interval: '0.1s', timeout: '0.1s', interval_jitter: { value: 0 } },
});

const garbage = 'neither TLS nor HTTP\r\n\r\n'.repeat(3);
const onRequest = (act: (socket: Socket) => void) => (socket: Socket) => {
  socket.once('data', () => setTimeout(act, 50, socket));
};
const upstreams: Readonly<Record<string, (socket: Socket) => void>> = {
  silent: () => {},
  settings: (socket) => void socket.write(Buffer.from('000000040000000000', 'hex')),
  closing: (socket) => void socket.end(),
  breaking: (socket) => void socket.end(garbage),
  'closing-later': onRequest((socket) => socket.end()),
  'breaking-later': onRequest((socket) => socket.write(garbage)),
  'resetting-later': onRequest((socket) => socket.resetAndDestroy()),
};

/** By name: the upstream, and what is special. */
const clusters: Readonly<Record<string, readonly [string, object]>> = {
  refused: ['', {}],
  'refused-http2': ['', http2],
  'tls-closing': ['closing', tls],
  'tls-breaking': ['breaking', tls],
  'deaf-to-pings': ['settings', pings],
  'tls-silent': ['silent', { ...tls, connect_timeout: '0.2s' }],
  ...Object.fromEntries(Object.keys(upstreams).map((name) => [name, [name, {}]])),
  ...Object.fromEntries(Object.keys(upstreams).map((name) => [`${name}-http2`, [name, http2]])),
};

test('upstreams that fail', { skip: missing('envoy'), timeout: 60_000 }, async (t) => {
  const ports: Record<string, number> = { '': 21299 };
  for (const [name, act] of Object.entries(upstreams)) {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => {}).resume();
      act(socket);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => {
      for (const it of sockets) it.destroy();
      server.close();
    });
    ports[name] = (server.address() as { port: number }).port;
  }
  const names = Object.keys(clusters);
  const yaml = frontYaml(
    names.map((name) => ({ match: { path: `/${name}` }, route: { cluster: name, timeout: '0.4s' } })),
    Object.entries(clusters).map(([name, [upstream, more]]) => ({
      name,
      load_assignment: endpoint(name, ports[upstream]!),
      ...more,
    })),
    { stats_flush_interval: '0.1s' },
    { generate_request_id: false },
  );
  await expectSame(t, yaml, async (side) => {
    const answers = await Promise.all(names.map((name) => answer(side, name)));
    // Until histograms are merged.
    await sleep(300);
    const { body } = await side.proxy.admin('/stats?usedonly&filter=^cluster[.]');
    const stats = body.split('\n').map((line) => line.replace(/(_ms|_time|tx_bytes_total): .*/, '$1: some'));
    // What has been written before the end or the garbage came is a matter of moments.
    const steady = stats.filter((it) => !/(breaking|closing)-http2.upstream_cx_tx_bytes/.test(it)).sort();
    const status = (await side.proxy.admin('/clusters')).body.split('\n');
    const hosts = status.filter((it) => /::[cr][xq]_/.test(it)).map((it) => it.replace(/:\d{4,5}::/, '::'));
    return { answers, steady, hosts: hosts.sort() };
  });
});

async function answer(side: Side, name: string): Promise<string> {
  const socket = connect(side.port(21000), '127.0.0.1');
  let text = '';
  socket.on('data', (data) => {
    text += data;
  });
  socket.write(`GET /${name} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`);
  await once(socket, 'close');
  return text.replace(/^date: .*$/m, '').replace(/^x-envoy-upstream-service-time: .*$/m, '');
}
