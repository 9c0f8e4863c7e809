// Listener filters and the choice of a filter chain, through a whole proxy: what the upstreams get says which chain it was.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { startProxy } from '#testing/start-proxy.ts';

/** Answers every connection with its name as soon as the first bytes came. */
async function upstream(t: TestContext, name: string): Promise<{ port: number; seen: Buffer[] }> {
  const seen: Buffer[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('data', (bytes: Buffer) => {
      seen.push(bytes);
      socket.end(name);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, seen };
}

function yaml(ports: Record<string, number>, listener: string): string {
  const clusters = Object.entries(ports).map(
    ([name, port]) =>
      `  - {name: ${name}, load_assignment: {cluster_name: ${name}, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}}}]}]}}`,
  );
  return `static_resources:
  clusters:
${clusters.join('\n')}
  listeners:
  - name: l
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
${listener}`;
}

const to = (cluster: string) =>
  `[{name: tcp, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: ${cluster}, cluster: ${cluster}}}]`;

/** Everything the proxy sends until it closes or breaks off. */
async function answer(socket: Socket): Promise<string> {
  let text = '';
  try {
    for await (const chunk of socket) text += chunk;
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'ECONNRESET');
  }
  return text;
}

async function ask(port: number, ...pieces: Buffer[]): Promise<string> {
  const socket = connect(port, '127.0.0.1').setEncoding('latin1').setNoDelay();
  await once(socket, 'connect');
  for (const piece of pieces) {
    socket.write(piece);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return answer(socket);
}

test('chooses the chain by server name, without ending TLS, and by plaintext', async (t) => {
  const a = await upstream(t, 'a');
  const b = await upstream(t, 'b');
  const plain = await upstream(t, 'plain');
  const proxy = await startProxy(
    t,
    yaml(
      { a: a.port, b: b.port, plain: plain.port },
      `    listener_filters:
    - {name: envoy.filters.listener.tls_inspector, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}}
    filter_chains:
    - {filter_chain_match: {server_names: [a.test]}, filters: ${to('a')}}
    - {filter_chain_match: {server_names: ['*.test']}, filters: ${to('b')}}
    - {filter_chain_match: {transport_protocol: raw_buffer}, filters: ${to('plain')}}
`,
    ),
  );
  for (const [servername, hello] of [
    ['a.test', a.seen],
    ['x.y.test', b.seen],
  ] as const) {
    const client = connectTls({
      port: proxy.port(),
      host: '127.0.0.1',
      servername,
      rejectUnauthorized: false,
    });
    // The upstream speaks no TLS: that the hello arrived whole is the point.
    await once(client, 'error');
    assert.ok(hello[0]!.includes(servername), servername);
    assert.equal(hello[0]![0], 22);
  }
  assert.equal(await ask(proxy.port(), Buffer.from('GET /')), 'plain');
});

test('takes a PROXY header off, in one piece or byte by byte, and matches on its addresses', async (t) => {
  const inside = await upstream(t, 'inside');
  const outside = await upstream(t, 'outside');
  const proxy = await startProxy(
    t,
    yaml(
      { inside: inside.port, outside: outside.port },
      `    listener_filters:
    - {name: envoy.filters.listener.proxy_protocol, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol}}
    filter_chains:
    - {filter_chain_match: {source_prefix_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]}, filters: ${to('inside')}}
    - {filter_chain_match: {source_prefix_ranges: [{address_prefix: 192.0.2.0, prefix_len: 24}]}, filters: ${to('outside')}}
`,
    ),
  );
  const line = Buffer.from('PROXY TCP4 10.1.2.3 10.0.0.1 1000 80\r\nhello');
  assert.equal(await ask(proxy.port(), line), 'inside');
  assert.equal(await ask(proxy.port(), ...[...line].map((it) => Buffer.from([it]))), 'inside');
  assert.deepEqual(inside.seen[0], Buffer.from('hello'));
  assert.equal(await ask(proxy.port(), Buffer.from('PROXY TCP4 192.0.2.1 10.0.0.1 1000 80\r\nx')), 'outside');
  // No chain for this source, and no header at all: closed without an answer.
  assert.equal(await ask(proxy.port(), Buffer.from('PROXY TCP4 172.16.0.1 10.0.0.1 1000 80\r\nx')), '');
  assert.equal(await ask(proxy.port(), Buffer.from('GET / HTTP/1.1\r\n')), '');
});

test('closes a connection whose first bytes do not come in time', async (t) => {
  const a = await upstream(t, 'a');
  const proxy = await startProxy(
    t,
    yaml(
      { a: a.port },
      `    listener_filters_timeout: 0.05s
    listener_filters:
    - {name: envoy.filters.listener.tls_inspector, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}}
    filter_chains:
    - {filters: ${to('a')}}
`,
    ),
  );
  assert.equal(await answer(connect(proxy.port(), '127.0.0.1')), '');
  assert.equal(a.seen.length, 0);
});
