// TLS through a whole proxy: to the edge, upstream, and what access logs say when a handshake fails.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { get as httpsGet } from 'node:https';
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { certificateFiles, certificatePath } from './certificates.ts';
import { startProxy } from './start-proxy.ts';

const type = (name: string) => `type.googleapis.com/envoy.extensions.${name}`;
const address = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });
const file = (name: string) => ({ filename: certificatePath(name) });

/** Two listeners: `edge` with TLS answers for itself, `front` in clear text goes to the TLS of `edgePort`. */
function configuration(edgePort: number, logPath: string, trusted = 'ca'): string {
  const log = (format: string) => [
    {
      name: 'file',
      typed_config: {
        '@type': type('access_loggers.file.v3.FileAccessLog'),
        path: logPath,
        log_format: { text_format_source: { inline_string: `${format}\n` } },
      },
    },
  ];
  const http = (route: object, access_log: object[] = []) => ({
    name: 'http',
    typed_config: {
      '@type': type('filters.network.http_connection_manager.v3.HttpConnectionManager'),
      stat_prefix: 'in',
      access_log,
      forward_client_cert_details: 'SANITIZE_SET',
      route_config: {
        virtual_hosts: [{ name: 'v', domains: ['*'], routes: [{ match: { prefix: '/' }, ...route }] }],
      },
      http_filters: [{ name: 'router', typed_config: { '@type': type('filters.http.router.v3.Router') } }],
    },
  });
  return JSON.stringify({
    static_resources: {
      secrets: [{ name: 'edge', tls_certificate: certificateFiles('server-rsa') }],
      listeners: [
        {
          name: 'front',
          address: address(0),
          filter_chains: [
            {
              filters: [
                http(
                  { route: { cluster: 'edge' } },
                  log('%RESPONSE_FLAGS% %UPSTREAM_TRANSPORT_FAILURE_REASON%'),
                ),
              ],
            },
          ],
        },
        {
          name: 'edge',
          address: address(0),
          access_log: log('%CONNECTION_TERMINATION_DETAILS% %DOWNSTREAM_TRANSPORT_FAILURE_REASON%'),
          filter_chains: [
            {
              transport_socket_connect_timeout: '0.05s',
              filters: [
                http(
                  { direct_response: { status: 200, body: { inline_string: 'hello' } } },
                  log('%DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_PEER_SUBJECT% %DOWNSTREAM_LOCAL_URI_SAN%'),
                ),
              ],
              transport_socket: {
                name: 'tls',
                typed_config: {
                  '@type': type('transport_sockets.tls.v3.DownstreamTlsContext'),
                  common_tls_context: {
                    tls_certificate_sds_secret_configs: [{ name: 'edge' }],
                    validation_context: { trusted_ca: file('ca') },
                  },
                },
              },
            },
          ],
        },
      ],
      clusters: [
        {
          name: 'edge',
          load_assignment: {
            cluster_name: 'edge',
            endpoints: [{ lb_endpoints: [{ endpoint: { address: address(edgePort) } }] }],
          },
          transport_socket: {
            name: 'tls',
            typed_config: {
              '@type': type('transport_sockets.tls.v3.UpstreamTlsContext'),
              sni: 'a.example.com',
              auto_sni_san_validation: true,
              common_tls_context: {
                tls_params: { tls_maximum_protocol_version: 'TLSv1_3' },
                tls_certificates: [certificateFiles('client')],
                validation_context: { trusted_ca: file(trusted) },
              },
            },
          },
        },
      ],
    },
  });
}

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'tls-proxy-'));
  t.after(() => rmSync(path, { recursive: true }));
  return join(path, 'log');
}

const read = (path: string) => readFileSync(path, 'utf8').trim().split('\n');

test('speaks TLS on both sides, with certificates on both sides', async (t) => {
  const log = folder(t);
  const edge = await startProxy(t, configuration(1, log));
  const front = await startProxy(t, configuration(edge.port('edge'), folder(t)));
  const { status, body } = await front.get('/');
  assert.deepEqual([status, body], [200, 'hello']);
  await front.close();
  await edge.close();
  assert.equal(read(log)[0], 'TLSv1.3 CN=client,O=Test,C=DE spiffe://example.com/server');
});

test('answers 503 with the reason when the upstream speaks no TLS', async (t) => {
  const log = folder(t);
  const plain = createServer().listen(0, '127.0.0.1');
  await once(plain, 'listening');
  t.after(() => plain.close());
  const proxy = await startProxy(t, configuration((plain.address() as AddressInfo).port, log));
  assert.equal((await proxy.get('/')).status, 503);
  await proxy.close();
  assert.deepEqual(read(log), [
    'UF TLS_error:|268435703:SSL_routines:OPENSSL_internal:WRONG_VERSION_NUMBER:TLS_error_end',
  ]);
});

test('logs the handshakes that fail and the one that never comes, and serves the others', async (t) => {
  const log = folder(t);
  const proxy = await startProxy(t, configuration(1, log));
  const port = proxy.port('edge');
  for (const bytes of ['GET / HTTP/1.1\r\n\r\n', '']) {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write(bytes);
    await new Promise((resolve) => socket.on('close', resolve).resume());
  }
  const options = { host: '127.0.0.1', port, rejectUnauthorized: false, agent: false };
  const [response] = await once(httpsGet(options), 'response');
  assert.equal(response.statusCode, 200);
  response.resume();
  await once(response, 'close');
  await proxy.close();
  assert.deepEqual(
    read(log).filter((it) => it !== '- -'),
    [
      '- TLS_error:|268435612:SSL_routines:OPENSSL_internal:HTTP_REQUEST:TLS_error_end',
      'transport socket timeout was reached -',
      'TLSv1.3 - spiffe://example.com/server',
    ],
  );
});

/** Bytes of a ClientHello, as Node's OpenSSL sends it. */
async function clientHello(t: TestContext): Promise<Buffer> {
  const server = createTcpServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const client = connectTls({ port: (server.address() as AddressInfo).port, host: '127.0.0.1' });
  client.on('error', () => {});
  const [socket] = await once(server, 'connection');
  const [bytes] = await once(socket, 'data');
  client.destroy();
  return bytes;
}

test('waits for the whole ClientHello, and ends with a client that leaves before', async (t) => {
  const proxy = await startProxy(t, configuration(1, folder(t)));
  const hello = await clientHello(t);
  const slow = connect({ port: proxy.port('edge'), host: '127.0.0.1', noDelay: true });
  t.after(() => slow.destroy());
  for (const from of [0, 3, 7, 400]) {
    slow.write(hello.subarray(from, { 0: 3, 3: 7, 7: 400 }[from]));
    await new Promise((resolve) => setImmediate(resolve));
  }
  const [answer] = await once(slow, 'data');
  assert.deepEqual([...answer.subarray(0, 3)], [22, 3, 3]);
  const leaving = connect({ port: proxy.port('edge'), host: '127.0.0.1' });
  leaving.end(hello.subarray(0, 100));
  leaving.resume();
  await once(leaving, 'close');
  await proxy.close();
});

test('sends what was written before the handshake when it is done', async (t) => {
  const echo = {
    name: 'direct',
    typed_config: {
      '@type': type('filters.network.direct_response.v3.Config'),
      response: { inline_string: 'welcome' },
    },
  };
  const message = JSON.parse(configuration(1, folder(t)));
  message.static_resources.listeners[1].filter_chains[0].filters = [echo];
  const proxy = await startProxy(t, JSON.stringify(message));
  const client = connectTls({ port: proxy.port('edge'), host: '127.0.0.1', rejectUnauthorized: false });
  const [bytes] = await once(client, 'data');
  assert.equal(bytes.toString(), 'welcome');
  await once(client, 'end');
  client.destroy();
  await proxy.close();
});

test('takes the transport socket that the metadata of a host asks for', async (t) => {
  const plain = createServer((_, response) => response.end('plain')).listen(0, '127.0.0.1');
  await once(plain, 'listening');
  t.after(() => plain.close());
  const plainPort = (plain.address() as AddressInfo).port;
  const edge = await startProxy(t, configuration(1, folder(t)));
  const front = JSON.parse(configuration(edge.port('edge'), folder(t)));
  const [cluster] = front.static_resources.clusters;
  cluster.transport_socket_matches = [
    { name: 'tls', match: { tls: true }, transport_socket: cluster.transport_socket },
  ];
  delete cluster.transport_socket;
  front.admin = { address: address(0) };
  const [locality] = cluster.load_assignment.endpoints;
  locality.lb_endpoints[0].metadata = { filter_metadata: { 'envoy.transport_socket_match': { tls: true } } };
  locality.lb_endpoints.push({ endpoint: { address: address(plainPort) } });
  const proxy = await startProxy(t, JSON.stringify(front));
  const bodies = [(await proxy.get('/')).body, (await proxy.get('/')).body];
  assert.deepEqual(bodies.toSorted(), ['hello', 'plain']);
  const { body } = await proxy.admin.get('/stats?filter=total_match_count');
  const counted = 'cluster.edge.default.total_match_count: 1\ncluster.edge.tls.total_match_count: 1\n';
  assert.equal(body, counted);
});
