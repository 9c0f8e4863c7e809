// POST /drain_listeners, the end of the proxy, and the connections that are open then, beside the real Envoy.
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { missing } from '#testing/peers.ts';
import { expectSame } from './side-by-side.ts';
import { accessLog, address, connectionManager, endpoint, frontYaml } from './side-by-side-configuration.ts';

const directions = ['UNSPECIFIED', 'INBOUND', 'OUTBOUND'];

const yaml = JSON.stringify({
  admin: { address: address(21001) },
  static_resources: {
    listeners: directions.map((traffic_direction, i) => ({
      name: traffic_direction,
      traffic_direction,
      address: address(21100 + i),
      filter_chains: [
        {
          filters: [
            connectionManager({
              stat_prefix: traffic_direction,
              route_config: {
                virtual_hosts: [
                  {
                    name: 'all',
                    domains: ['*'],
                    routes: [{ match: { prefix: '/' }, direct_response: { status: 200 } }],
                  },
                ],
              },
            }),
          ],
        },
      ],
    })),
  },
});

async function ask(socket: Socket): Promise<string> {
  socket.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
  const [answer] = await once(socket, 'data');
  return String(answer).replace(/^date: .*$/m, '');
}

for (const path of ['', '?inboundonly', '?graceful', '?skip_exit', '?graceful&skip_exit']) {
  test(`open connections and /drain_listeners${path}`, { skip: missing('envoy') }, async (t) => {
    await expectSame(
      t,
      yaml,
      async (side) => {
        const sockets = directions.map((_, i) => connect(side.port(21100 + i), '127.0.0.1'));
        const before = await Promise.all(sockets.map(ask));
        await side.proxy.admin(`/drain_listeners${path}`, 'POST');
        // Workers have heard of the drain when they have answered this.
        await side.stats('none');
        const after = await Promise.all(sockets.map(ask));
        for (const socket of sockets) socket.destroy();
        return { before, after, stats: await side.stats('downstream_cx_drain_close|listener_stopped') };
      },
      { drainsImmediately: true, drainSeconds: 5 },
    );
  });
}

test('requests under way when the proxy ends are logged, the latest first', {
  skip: missing('envoy'),
}, async (t) => {
  const upstream = createServer((socket) => void socket.on('error', () => {}).resume());
  upstream.listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  t.after(() => upstream.close());
  const yaml = frontYaml(
    [{ match: { prefix: '/' }, route: { cluster: 'silent' } }],
    [{ name: 'silent', load_assignment: endpoint('silent', (upstream.address() as AddressInfo).port) }],
    {},
    {
      access_log: accessLog(
        'log',
        '%REQ(:PATH)% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS%',
      ),
    },
  );
  await expectSame(t, yaml, async (side) => {
    for (const path of ['/a', '/b', '/c']) {
      const socket = connect(side.port(21000), '127.0.0.1');
      socket.on('error', () => {});
      const arrived = once(upstream, 'connection');
      socket.write(`GET ${path} HTTP/1.1\r\nhost: a\r\n\r\n`);
      await arrived;
    }
    await side.stop();
    return side.lines('log');
  });
});
