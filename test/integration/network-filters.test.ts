// The small network filters through a whole proxy.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { test } from 'node:test';
import { startProxy } from '#testing/start-proxy.ts';
import { GrpcRecorder } from '../conformance/grpc-recorder.ts';

const type = 'type.googleapis.com/envoy.extensions.filters.network';

function yaml(filters: string): string {
  return `admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
static_resources:
  listeners:
  - name: l
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters: [${filters}]
`;
}

const echo = `{name: echo, typed_config: {"@type": ${type}.echo.v3.Echo}}`;

async function say(port: number, text: string, localAddress = '127.0.0.1'): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', localAddress, allowHalfOpen: true }).setEncoding(
    'latin1',
  );
  await once(socket, 'connect');
  socket.end(text);
  let answer = '';
  for await (const chunk of socket) answer += chunk;
  return answer;
}

test('echo sends everything back, and then its end', async (t) => {
  const proxy = await startProxy(t, yaml(echo));
  const text = 'x'.repeat(300_000);
  assert.equal(await say(proxy.port(), text), text);
});

test('direct_response answers and closes', async (t) => {
  const filter = `{name: d, typed_config: {"@type": ${type}.direct_response.v3.Config, response: {inline_string: "go é away"}}}`;
  const proxy = await startProxy(t, yaml(filter));
  assert.equal(Buffer.from(await say(proxy.port(), ''), 'latin1').toString(), 'go é away');
});

test('rbac closes what its rules refuse, and counts', async (t) => {
  const rules = `{action: DENY, policies: {p: {permissions: [{any: true}], principals: [{direct_remote_ip: {address_prefix: 127.0.0.2, prefix_len: 32}}]}}}`;
  const rbac = `{name: r, typed_config: {"@type": ${type}.rbac.v3.RBAC, stat_prefix: gate, rules: ${rules}}}`;
  const proxy = await startProxy(t, yaml(`${rbac}, ${echo}`));
  assert.equal(await say(proxy.port(), 'hello'), 'hello');
  assert.equal(await say(proxy.port(), 'hello', '127.0.0.2').catch(() => ''), '');
  const { body } = await proxy.admin.get('/stats?filter=^gate');
  assert.match(body, /gate\.rbac\.allowed: 1\n/);
  assert.match(body, /gate\.rbac\.denied: 1\n/);
});

test('bytes wait until ext_authz has its answer, and the client with them', async (t) => {
  const asked = Promise.withResolvers<void>();
  const allowed = Promise.withResolvers<void>();
  const service = await new GrpcRecorder(
    '/envoy.service.auth.v3.Authorization/Check',
    'envoy.service.auth.v3.CheckRequest',
    'envoy.service.auth.v3.CheckResponse',
    async () => {
      asked.resolve();
      await allowed.promise;
      return { message: { status: { code: 0 } } };
    },
  ).start(t);
  const upstream = createServer((socket) => socket.pipe(socket));
  let connections = 0;
  upstream.on('connection', () => connections++);
  upstream.listen(0, '127.0.0.1');
  t.after(() => upstream.close());
  await once(upstream, 'listening');
  const cluster = (name: string, port: number, more = '') =>
    `{name: ${name}, ${more} load_assignment: {cluster_name: ${name}, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}}}]}]}}`;
  const http2 =
    'typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: {}}}},';
  const authz = `{name: a, typed_config: {"@type": ${type}.ext_authz.v3.ExtAuthz, stat_prefix: a, transport_api_version: V3, grpc_service: {timeout: 30s, envoy_grpc: {cluster_name: authz}}}}`;
  const tcp = `{name: t, typed_config: {"@type": ${type}.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: up}}`;
  const proxy = await startProxy(
    t,
    `${yaml(`${authz}, ${tcp}`).replace('name: l\n', 'name: l\n    per_connection_buffer_limit_bytes: 32768\n')}  clusters:
  - ${cluster('authz', service.port, http2)}
  - ${cluster('up', (upstream.address() as AddressInfo).port)}
`,
  );
  const sent = Buffer.alloc(20_000_000, 'abc');
  const socket = connect({ port: proxy.port(), host: '127.0.0.1' });
  const received = (async () => {
    let bytes = 0;
    for await (const chunk of socket) {
      bytes += (chunk as Buffer).length;
      if (bytes === sent.length) break;
    }
    return bytes;
  })();
  socket.write(sent);
  await asked.promise;
  assert.ok(socket.writableLength > 0, 'the client has to wait');
  allowed.resolve();
  assert.equal(await received, sent.length);
  assert.equal(connections, 1);
});
