// What of tcp_proxy the comparison with Envoy (`test/conformance/tcp-verdicts.test.ts`) does not reach.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startProxy } from '#testing/start-proxy.ts';

test('an upstream that does not read keeps what is left for the idle timeout, no longer', async (t) => {
  const sockets: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.pause();
    socket.end();
    socket.on('error', () => {});
    sockets.push(socket);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const it of sockets) it.destroy();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const proxy = await startProxy(
    t,
    `admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
static_resources:
  listeners:
  - name: l
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains: [{filters: [{name: tcp, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: up, idle_timeout: 1.5s}}]}]
  clusters:
  - {name: up, per_connection_buffer_limit_bytes: 100000000, load_assignment: {cluster_name: up, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}}}]}]}}
`,
  );
  const stat = async (name: string) => {
    const { body } = await proxy.admin.get(`/stats?filter=^tcp.t.${name}$`);
    return Number(body.split(': ')[1]);
  };
  const until = async (name: string, value: number) => {
    for (const deadline = performance.now() + 10_000; (await stat(name)) !== value; await sleep(10))
      assert.ok(performance.now() < deadline, `${name} is ${await stat(name)}`);
  };
  const client = connect({ port: proxy.port(), host: '127.0.0.1', allowHalfOpen: true });
  client.on('error', () => {});
  const block = Buffer.alloc(20_000_000);
  client.end(block);
  await until('downstream_cx_rx_bytes_total', block.length);
  await until('upstream_flush_total', 1);
  await until('upstream_flush_active', 0);
  assert.equal(await stat('idle_timeout'), 1);
});
