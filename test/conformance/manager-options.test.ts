// Options of the connection manager that say something about headers, filters and the end of a connection, beside the real Envoy.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect as connectPlain } from 'node:net';
import { before, describe, test } from 'node:test';
import { connect } from 'node:tls';
import { certificateFiles, certificatePath } from '#testing/certificates.ts';
import { missing } from '#testing/peers.ts';
import { connectionKey, type Exchange, playBoth } from './http-exchanges.ts';
import { expectSame } from './side-by-side.ts';
import { frontYaml } from './side-by-side-configuration.ts';

const type = (name: string) => `type.googleapis.com/envoy.${name}`;
const filter = (name: string, message: string, config: object = {}) => ({
  name,
  typed_config: { '@type': type(`extensions.filters.http.${message}`), ...config },
});
const router = filter('envoy.filters.http.router', 'router.v3.Router', {
  strict_check_headers: ['x-envoy-upstream-rq-timeout-ms'],
});
const marks = (value: string) =>
  filter('marks', 'header_mutation.v3.HeaderMutation', {
    mutations: { response_mutations: [{ append: { header: { key: 'x-mark', value } } }] },
  });
const fault = filter('fault', 'fault.v3.HTTPFault', {
  abort: { http_status: 418, percentage: { numerator: 100 } },
  headers: [{ name: 'x-fault', present_match: true }],
});

const ports = { https_destination_ports: [443, 8443], http_destination_ports: [80] };
/** By port. */
const managers: Readonly<Record<number, object>> = {
  21100: { append_x_forwarded_port: true, forward_proto_config: ports },
  21101: { use_remote_address: true, forward_proto_config: ports },
  21102: { use_remote_address: true, xff_num_trusted_hops: 1, forward_proto_config: ports },
  21110: { proxy_status_config: {}, via: 'v', server_name: 'me' },
  21111: { proxy_status_config: { remove_details: true, use_node_id: true } },
  21112: {
    proxy_status_config: {
      remove_response_flags: true,
      set_recommended_response_code: true,
      literal_proxy_name: 'a "b"',
    },
  },
  21120: {
    http1_safe_max_connection_duration: true,
    common_http_protocol_options: { max_connection_duration: '0.2s' },
  },
  21121: { http_protocol_options: { header_key_format: { proper_case_words: {} }, enable_trailers: true } },
  21130: {
    http_filters: [marks('all'), router],
    normalize_path: true,
    path_with_escaped_slashes_action: 'UNESCAPE_AND_REDIRECT',
    request_headers_timeout: '0.2s',
    common_http_protocol_options: { headers_with_underscores_action: 'REJECT_REQUEST' },
    upgrade_configs: [
      { upgrade_type: 'foo', filters: [marks('foo'), router] },
      { upgrade_type: 'bar' },
      { upgrade_type: 'baz', enabled: false, filters: [marks('baz'), router] },
    ],
  },
};

const cluster = (name: string, more: object = {}, port = 21201) => ({
  name,
  type: 'STATIC',
  connect_timeout: '1s',
  load_assignment: {
    cluster_name: name,
    endpoints: [
      {
        lb_endpoints: [
          { endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } } },
        ],
      },
    ],
  },
  ...more,
});

const routes = [
  { match: { prefix: '/nc' }, route: { cluster_header: 'x-cluster' } },
  { match: { prefix: '/uh' }, route: { cluster: 'empty' } },
  { match: { prefix: '/uf' }, route: { cluster: 'dead' } },
  { match: { prefix: '/uo' }, route: { cluster: 'full' } },
  { match: { prefix: '/ut' }, route: { cluster: 'up', timeout: '0.1s' } },
  {
    match: { prefix: '/retry' },
    route: { cluster: 'up', retry_policy: { retry_on: '5xx,reset', num_retries: 1 } },
  },
  { match: { prefix: '/200' }, direct_response: { status: 200 } },
  {
    match: { prefix: '/up' },
    route: {
      cluster: 'up',
      upgrade_configs: [{ upgrade_type: 'baz' }, { upgrade_type: 'foo', enabled: false }],
    },
  },
  { match: { prefix: '/any' }, route: { cluster: 'up' } },
];

const admin = { address: { socket_address: { address: '127.0.0.1', port_value: 21001 } } };
const accessLog = (format: string) => [
  {
    name: 'file',
    typed_config: {
      '@type': type('extensions.access_loggers.file.v3.FileAccessLog'),
      path: 'access.log',
      log_format: { text_format_source: { inline_string: `${format}\n` } },
    },
  },
];
const managerType = 'extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';

const config = {
  node: { id: 'the "node"', cluster: 'c' },
  admin,
  static_resources: {
    clusters: [
      cluster('up'),
      cluster('empty', { load_assignment: { cluster_name: 'empty' } }),
      cluster('dead', {}, 21999),
      cluster('full', {
        circuit_breakers: { thresholds: [{ max_requests: 0, max_pending_requests: 0, max_connections: 0 }] },
      }),
    ],
    listeners: Object.entries(managers).map(([port, manager]) => ({
      address: { socket_address: { address: '127.0.0.1', port_value: Number(port) } },
      listener_filters: [
        {
          name: 'proxy',
          typed_config: {
            '@type': type('extensions.filters.listener.proxy_protocol.v3.ProxyProtocol'),
            allow_requests_without_proxy_protocol: true,
          },
        },
      ],
      filter_chains: [
        {
          filters: [
            {
              name: 'http',
              typed_config: {
                '@type': type(managerType),
                stat_prefix: 'ingress',
                stream_idle_timeout: '0.3s',
                access_log: accessLog(
                  `${connectionKey} %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %ROUTE_RESOLUTION_COUNT% %XFCC_VALUE(uri)%`,
                ),
                route_config: { virtual_hosts: [{ name: 'all', domains: ['*'], routes }] },
                http_filters: [fault, router],
                ...manager,
              },
            },
          ],
        },
      ],
    })),
  },
};

const get = (path: string, ...lines: string[]) =>
  `GET ${path} HTTP/1.1\r\nhost: h\r\n${lines.map((it) => `${it}\r\n`).join('')}\r\n`;

const failures: readonly string[] = [
  get('/none'),
  get('/nc', 'x-cluster: none'),
  get('/uh'),
  get('/uf'),
  get('/uf', 'content-type: application/grpc'),
  get('/uo'),
  get('/ut/slow'),
  get('/retry/reset'),
  get('/retry/busy'),
  get('/up/reset'),
  get('/up/busy'),
  get('/up/slow'),
  get('/up/told'),
  get('/up', 'x-fault: 1'),
  get('/up', 'x-envoy-upstream-rq-timeout-ms: a'),
  get('/up', 'content-length: a'),
  get('/200'),
];
const refused: readonly string[] = [
  'GET /up HTTP/1.1\r\nx-no: host\r\n\r\n',
  'GET /up HTTP/1.0\r\nhost: a\r\n\r\n',
  get('/up', 'x y: 1'),
  get('/up', 'x_y: 1'),
  get('/up', `h: ${'x'.repeat(70_000)}`),
  get('/up%2Fd'),
  get('/up%2Fd', 'x-forwarded-proto: http'),
  get('/up#d'),
  'OPTIONS * HTTP/1.1\r\nhost: h\r\n\r\n',
  'GET /slow HTTP/1.1\r\nhos',
  ...['/any', '/up'].flatMap((path) =>
    ['foo', 'FOO', 'bar', 'baz', 'none'].map((it) => get(path, 'connection: upgrade', `upgrade: ${it}`)),
  ),
];
const certs = ['URI=u1;URI=u2', 'By=a;URI="q\\"q;",URI=v', 'URI="open', 'junk', 'uri=', ' URI = x '];

const cases: readonly Omit<Exchange, 'name'>[] = [
  ...[21100, 21101, 21102].flatMap((port) =>
    [443, 80, 81, 0].flatMap((target) =>
      [[], ['x-forwarded-proto: http'], ['x-forwarded-proto: ftp']].map((lines) => ({
        port,
        send: [
          `${target === 0 ? '' : `PROXY TCP4 1.2.3.4 5.6.7.8 1000 ${target}\r\n`}${get('/any', ...lines)}`,
        ],
      })),
    ),
  ),
  ...[21110, 21111, 21112].flatMap((port) => failures.map((send) => ({ port, send: [send], waitMs: 450 }))),
  { port: 21120, send: [get('/any'), 350, get('/any'), 50], waitMs: 400 },
  { port: 21120, send: [get('/any/slow')], waitMs: 700 },
  { port: 21121, send: [get('/any/trailers')] },
  ...refused.map((send) => ({ port: 21130, send: [send], waitMs: 450 })),
  ...certs.map((it) => ({ port: 21130, send: [get('/200', `x-forwarded-client-cert: ${it}`)] })),
];
const exchanges: readonly Exchange[] = cases.map((it, i) => ({
  name: `${i} ${it.port} ${String(it.send[0]).slice(0, 70).replace(/\r\n/g, ' ')}`,
  ...it,
}));

describe('options of the connection manager are those of Envoy', { skip: missing('envoy') }, () => {
  let sides: Awaited<ReturnType<typeof playBoth>>;
  before(async () => {
    sides = await playBoth(
      JSON.stringify(config),
      {
        slow: (socket) => setTimeout(() => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'), 400),
        reset: (socket) => socket.resetAndDestroy(),
        trailers: (socket) =>
          socket.write(
            'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nx-head: 1\r\n\r\n1\r\na\r\n0\r\nx-tail: 1\r\n\r\n',
          ),
        busy: (socket) => socket.write('HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n'),
        told: (socket) =>
          socket.write('HTTP/1.1 200 OK\r\nproxy-status: a;error=b\r\ncontent-length: 0\r\n\r\n'),
      },
      exchanges,
    );
  });
  for (const { name } of exchanges)
    test(name, () => assert.equal(sides.chancery.get(name), sides.envoy.get(name)));
});

const certConfig = type(`${managerType}.ForwardClientCertConfig`);
const allDetails = { subject: true, cert: true, chain: true, dns: true, uri: true, issuer: true };
const certModes: readonly object[] = [
  { forward_client_cert_details: 'SANITIZE_SET', set_current_client_cert_details: allDetails },
  {
    forward_client_cert_details: 'APPEND_FORWARD',
    set_current_client_cert_details: { ...allDetails, format: 'JSON' },
  },
  {
    forward_client_cert_details: 'SANITIZE_SET',
    set_current_client_cert_details: { uri: true, dns: true, format: 'JSON' },
  },
  {
    forward_client_cert_details: 'FORWARD_ONLY',
    forward_client_cert_matcher: {
      matcher_list: {
        matchers: [
          {
            predicate: {
              single_predicate: {
                input: {
                  name: 'header',
                  typed_config: {
                    '@type': type('type.matcher.v3.HttpRequestHeaderMatchInput'),
                    header_name: 'x-trusted',
                  },
                },
                value_match: { exact: 'yes' },
              },
            },
            on_match: {
              action: {
                name: 'a',
                typed_config: {
                  '@type': certConfig,
                  forward_client_cert_details: 'APPEND_FORWARD',
                  set_current_client_cert_details: { subject: true },
                },
              },
            },
          },
        ],
      },
    },
  },
];

test('x-forwarded-client-cert is written as by Envoy', { skip: missing('envoy') }, async (t) => {
  const yaml = JSON.stringify({
    admin,
    static_resources: {
      listeners: certModes.map((mode, i) => ({
        address: { socket_address: { address: '127.0.0.1', port_value: 21100 + i } },
        filter_chains: [
          {
            transport_socket: {
              name: 'tls',
              typed_config: {
                '@type': type('extensions.transport_sockets.tls.v3.DownstreamTlsContext'),
                common_tls_context: {
                  tls_certificates: [certificateFiles('server-rsa')],
                  validation_context: { trusted_ca: { filename: certificatePath('ca') } },
                },
              },
            },
            filters: [
              {
                name: 'http',
                typed_config: {
                  '@type': type(managerType),
                  stat_prefix: 'ingress',
                  delayed_close_timeout: '0.01s',
                  access_log: accessLog(
                    '%DOWNSTREAM_PEER_ISSUER_SERIAL% %DOWNSTREAM_PEER_ISSUER_FINGERPRINT_256%',
                  ),
                  route_config: {
                    virtual_hosts: [
                      {
                        name: 'v',
                        domains: ['*'],
                        routes: [
                          {
                            match: { prefix: '/' },
                            direct_response: {
                              status: 200,
                              body_format: {
                                text_format_source: { inline_string: '%REQ(x-forwarded-client-cert)%' },
                              },
                            },
                          },
                        ],
                      },
                    ],
                  },
                  http_filters: [router],
                  ...mode,
                },
              },
            ],
          },
        ],
      })),
    },
  });
  await expectSame(t, yaml, async ({ port, stop, lines }) => {
    const answers: string[] = [];
    for (let i = 0; i < certModes.length; i++)
      for (const client of ['client', 'under-intermediate', ''])
        for (const more of [[], ['By=x;Hash=y'], ['[{"hash":"z"}]'], ['[broken'], ['yes', 'By=x']])
          answers.push(`${i} ${client} ${more}: ${await ask(port(21100 + i), client, more)}`);
    await stop();
    return { answers, log: lines('access.log') };
  });
});

/** The body that comes back. */
async function ask(port: number, client: string, more: readonly string[]): Promise<string> {
  const socket = connect({
    port,
    host: '127.0.0.1',
    rejectUnauthorized: false,
    ...(client !== '' && {
      cert: readFileSync(certificatePath(client)),
      key: readFileSync(certificatePath(`${client}-key`)),
    }),
  });
  const trusted = more[0] === 'yes' ? ['x-trusted: yes'] : [];
  const given = more.filter((it) => it !== 'yes').map((it) => `x-forwarded-client-cert: ${it}`);
  socket.write(get('/', 'connection: close', ...trusted, ...given), 'latin1');
  let text = '';
  socket.on('error', () => {});
  for await (const bytes of socket) text += (bytes as Buffer).toString('latin1');
  return text.slice(text.indexOf('\r\n\r\n') + 4);
}

test('the port of a CONNECT is stripped where nothing goes upstream', {
  skip: missing('envoy'),
}, async (t) => {
  const yaml = frontYaml(
    [{ match: { connect_matcher: {} }, direct_response: { status: 418, body: { inline_string: 'tea' } } }],
    [],
    {},
    {
      strip_any_host_port: true,
      upgrade_configs: [{ upgrade_type: 'CONNECT' }],
      access_log: accessLog('%REQ(:AUTHORITY)% %RESPONSE_CODE%'),
    },
  );
  await expectSame(t, yaml, async (side) => {
    for (const target of ['b:80', '[::1]:80', 'b.:8443']) {
      const socket = connectPlain(side.port(21000), '127.0.0.1');
      socket.resume();
      socket.write(`CONNECT ${target} HTTP/1.1\r\nhost: other:1\r\n\r\n`);
      await once(socket, 'data');
      socket.destroy();
    }
    await side.stop();
    return side.lines('access.log');
  });
});
