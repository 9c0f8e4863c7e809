// Requests that are logged when they come, while they run and when their tunnel stands, through the real Envoy and through us.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { missing } from '#testing/peers.ts';
import { expectSame, type Side } from './side-by-side.ts';
import { accessLog, endpoint, frontYaml } from './side-by-side-configuration.ts';

const format =
  '%ACCESS_LOG_TYPE% %REQ(:PATH)% %REQ(X-FORWARDED-PROTO)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_CLUSTER% %ROUTE_NAME% %RESP(X-A)%';

const yaml = (upstream: number) =>
  frontYaml(
    [{ name: 'there', match: { prefix: '/there' }, route: { cluster: 'up' } }],
    [{ name: 'up', load_assignment: endpoint('up', upstream) }],
    {},
    {
      upgrade_configs: [{ upgrade_type: 'websocket' }],
      access_log: accessLog('requests.log', format),
      access_log_options: {
        flush_access_log_on_new_request: true,
        flush_log_on_tunnel_successfully_established: true,
        access_log_flush_interval: '0.1s',
      },
    },
  );

const requests = {
  plain: 'GET /there HTTP/1.1\r\nhost: a\r\n\r\n',
  lost: 'GET /nowhere HTTP/1.1\r\nhost: a\r\n\r\n',
  slow: 'GET /there/slow HTTP/1.1\r\nhost: a\r\n\r\n',
  tunnel: 'GET /there HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n',
  refused: 'GET /there/refused HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n',
};

test('requests are logged at the same moments', { skip: missing('envoy'), timeout: 60_000 }, async (t) => {
  const upstream = createServer((request, response) => {
    // Longer than several intervals.
    setTimeout(() => response.setHeader('x-a', 'b').end('ok'), request.url === '/there/slow' ? 600 : 0);
  });
  upstream.on('upgrade', (request, socket) => {
    socket.on('error', () => {});
    if (request.url === '/there/refused') socket.end('HTTP/1.1 403 no\r\ncontent-length: 0\r\n\r\n');
    else socket.write('HTTP/1.1 101 yes\r\nconnection: upgrade\r\nupgrade: websocket\r\nx-a: b\r\n\r\n');
  });
  upstream.listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  t.after(() => {
    upstream.closeAllConnections();
    upstream.close();
  });
  const seen = await expectSame(t, yaml((upstream.address() as AddressInfo).port), async (side: Side) => {
    for (const request of Object.values(requests)) {
      const socket = connect(side.port(21000), '127.0.0.1');
      socket.on('error', () => {});
      socket.write(request);
      await once(socket, 'data');
      socket.destroy();
      // What is logged at the end of one request stands before the next one.
      for (;;) {
        const [line] = await side.stats('^http.edge.downstream_rq_active$');
        if (line?.endsWith(': 0')) break;
        await sleep(5);
      }
    }
    await side.stop();
    // How often something is logged while it runs depends on the machine, and whether something quick is.
    return side
      .lines('requests.log')
      .filter((line) => !line.startsWith('DownstreamPeriodic') || line.includes('/slow'))
      .filter((line, i, all) => line !== all[i - 1]);
  });
  for (const it of ['DownstreamStart', 'DownstreamPeriodic', 'DownstreamTunnelSuccessfullyEstablished'])
    assert.ok(
      seen.some((line) => line.startsWith(it)),
      it,
    );
});
