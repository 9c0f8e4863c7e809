// Signals to a proxy that has connections: what their clients see, what is logged, and how the process ends.
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { missing } from '#testing/peers.ts';
import { expectSame, type Side } from './side-by-side.ts';
import { accessLog, address, endpoint, frontYaml, typed } from './side-by-side-configuration.ts';

const format =
  '%ACCESS_LOG_TYPE% %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %DOWNSTREAM_LOCAL_CLOSE_REASON% %UPSTREAM_LOCAL_CLOSE_REASON% %BYTES_RECEIVED% %BYTES_SENT%';
const bootstrap = JSON.parse(
  frontYaml(
    [{ match: { prefix: '/' }, route: { cluster: 'up' } }],
    [{ name: 'up', load_assignment: endpoint('up', 21201) }],
    {},
    { access_log: accessLog('http.log', format) },
  ),
);
bootstrap.static_resources.listeners.push({
  name: 'tcp',
  address: address(21002),
  access_log: accessLog('listener.log', format),
  filter_chains: [
    {
      filters: [
        typed('extensions.filters.network.tcp_proxy.v3.TcpProxy', {
          stat_prefix: 'tcp',
          cluster: 'up',
          access_log: accessLog('tcp.log', format),
        }),
      ],
    },
  ],
});

const openings: readonly (readonly [port: number, bytes: string])[] = [
  [21000, 'GET /waits HTTP/1.1\r\nhost: a\r\n\r\n'],
  [21000, 'GET /half HTTP/1.1\r\nhost: a\r\n\r\n'],
  [21000, 'POST /sends HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc'],
  [21000, 'GET /begins HTT'],
  [21002, 'tcp'],
];

/** `twice`: an impatient operator. */
const observe =
  (signal: NodeJS.Signals, twice = false) =>
  async (side: Side) => {
    const sockets: Socket[] = [];
    const upstream = createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => {});
      socket.on('data', (data) => {
        if (data.includes('/half')) socket.write('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf');
        if (data.includes('tcp')) socket.write('tcp');
      });
    }).listen(side.port(21201), '127.0.0.1');
    await once(upstream, 'listening');
    const clients = openings.map(([port, bytes]) => {
      const socket = connect(side.port(port), '127.0.0.1');
      socket.on('error', () => {});
      socket.resume();
      socket.write(bytes);
      return socket;
    });
    const until = async (done: () => boolean) => {
      while (!done()) await sleep(10);
    };
    await until(() => sockets.length === 4);
    await until(() => clients.filter((it) => it.bytesRead > 0).length === 2);
    side.proxy.child.kill(signal);
    if (twice) side.proxy.child.kill(signal);
    await until(() => /caught/.test(side.proxy.output));
    const stays = signal === 'SIGHUP';
    if (stays) await side.proxy.admin('/ready');
    else await Promise.all([side.proxy.exited, ...clients.map((it) => it.closed || once(it, 'close'))]);
    const { exitCode, signalCode } = side.proxy.child;
    for (const it of clients) it.destroy();
    for (const it of sockets) it.destroy();
    upstream.close();
    await side.stop();
    return {
      exitCode,
      signalCode,
      output: side.proxy.output.match(/caught.*/g)!.slice(0, 1),
      logs: stays ? [] : ['http.log', 'tcp.log', 'listener.log'].map((file) => side.lines(file).sort()),
    };
  };

for (const [name, signal, twice] of [
  ['the request to end', 'SIGTERM', false],
  ['an interrupt, twice', 'SIGINT', true],
  ['a terminal that is gone', 'SIGHUP', false],
] as const) {
  test(name, { skip: missing('envoy'), timeout: 60_000 }, async (t) => {
    await expectSame(t, JSON.stringify(bootstrap), observe(signal, twice), {
      logLevel: 'warning',
      ports: [21201],
    });
  });
}
