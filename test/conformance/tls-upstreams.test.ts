// TLS to hosts of every kind, by the real Envoy and by us: what the client and the access log get to know, and what is counted.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer as createWebServer, get } from 'node:http';
import { createSecureServer as createH2Server } from 'node:http2';
import { createServer as createSecureServer, type ServerOptions } from 'node:https';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { certificateFiles, certificatePath } from '#testing/certificates.ts';
import { missing } from '#testing/peers.ts';
import { expectSame, type Side } from './side-by-side.ts';

const type = (name: string) => `type.googleapis.com/envoy.extensions.${name}`;
const address = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });
const file = (name: string) => ({ filename: certificatePath(name) });
const identity = (name: string) => ({
  cert: readFileSync(certificatePath(name)),
  key: readFileSync(certificatePath(`${name}-key`)),
});

/** Answers with what it has learned of its client. */
function secure(options: ServerOptions): Server {
  return createSecureServer({ ...identity('server-rsa'), ...options }, ({ socket }, response) => {
    const tls = socket as TLSSocket;
    const peer = tls.getPeerX509Certificate()?.subject.split('\n').at(-1);
    const { servername } = tls as { readonly servername?: string | false };
    // A resumed session of TLS 1.2 does not tell the name.
    const name = tls.isSessionReused() ? '' : servername;
    response.end([name, tls.alpnProtocol, tls.getProtocol(), tls.getCipher().name, peer].join());
  });
}

const ca = [readFileSync(certificatePath('ca'))];
const onFirst = (then: (socket: Socket) => void) =>
  createServer((it) => {
    it.on('error', () => {});
    it.once('data', () => then(it));
  });

const hosts: Readonly<Record<string, () => Server>> = {
  usual: () => secure({}),
  only13: () => secure({ minVersion: 'TLSv1.3' }),
  only11: () => secure({ minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' }),
  asks12: () => secure({ requestCert: true, ca, maxVersion: 'TLSv1.2' }),
  asks13: () => secure({ requestCert: true, ca, minVersion: 'TLSv1.3' }),
  ec: () => secure(identity('server-ec')),
  cbc: () => secure({ ciphers: 'AES128-SHA', maxVersion: 'TLSv1.2' }),
  p521: () => secure({ ecdhCurve: 'P-521' }),
  foo: () => secure({ ALPNProtocols: ['foo'] }),
  h2: () =>
    createH2Server({ ...identity('server-rsa'), allowHTTP1: true }, ({ httpVersion }, response) => {
      response.end(httpVersion);
    }) as unknown as Server,
  expired: () => secure(identity('expired')),
  other: () => secure(identity('other')),
  intermediate: () => secure(identity('under-intermediate')),
  closes: () => onFirst((it) => it.end()),
  resets: () => onFirst((it) => it.resetAndDestroy()),
  junk: () => onFirst((it) => it.end('hello world\n')),
  alerts: () => onFirst((it) => it.end(Buffer.of(21, 3, 3, 0, 2, 2, 40))),
  http: () => createWebServer((_, response) => response.end('plain')) as unknown as Server,
};

interface Client {
  readonly host: string;
  readonly context?: object;
  readonly common?: object;
}

const trusted_ca = file('ca');
const new_ = { tls_params: { tls_maximum_protocol_version: 'TLSv1_3' } };
const only = (name: string) => ({ validation_context: { [name]: [pins[name]] } });
const pins: Readonly<Record<string, string>> = {
  verify_certificate_hash: '00'.repeat(32),
  verify_certificate_spki: `${'A'.repeat(43)}=`,
};

const clusters: Readonly<Record<string, Client>> = {
  ...Object.fromEntries(Object.keys(hosts).map((host) => [host, { host }])),
  ...Object.fromEntries(
    Object.keys(hosts).map((host) => [
      `${host}-checked`,
      { host, context: { sni: 'a.example.com' }, common: { ...new_, validation_context: { trusted_ca } } },
    ]),
  ),
  'p521-known': { host: 'p521', common: { tls_params: { ...new_.tls_params, ecdh_curves: ['P-521'] } } },
  'asks12-client': { host: 'asks12', common: { tls_certificates: [certificateFiles('client')] } },
  'asks12-other': { host: 'asks12', common: { tls_certificates: [certificateFiles('other')] } },
  'asks13-client': { host: 'asks13', common: { ...new_, tls_certificates: [certificateFiles('client')] } },
  named: {
    host: 'usual',
    context: { sni: 'a.example.com', auto_sni_san_validation: true },
    common: { validation_context: { trusted_ca } },
  },
  misnamed: {
    host: 'usual',
    context: { sni: 'x.org', auto_sni_san_validation: true },
    common: { validation_context: { trusted_ca } },
  },
  address: { host: 'usual', context: { sni: '10.0.0.1' } },
  address6: { host: 'usual', context: { sni: '::1' }, common: new_ },
  hash: { host: 'usual', common: only('verify_certificate_hash') },
  spki: { host: 'usual', common: only('verify_certificate_spki') },
  untrusted: {
    host: 'other',
    common: { validation_context: { trusted_ca, trust_chain_verification: 'ACCEPT_UNTRUSTED' } },
  },
  old: { host: 'expired', common: { validation_context: { trusted_ca, allow_expired_certificate: true } } },
  unknownProtocol: { host: 'usual', common: { alpn_protocols: ['bar'] } },
  protocol: { host: 'foo', common: { alpn_protocols: ['foo', 'x'] } },
  again12: { host: 'usual', context: { sni: 'a.example.com' } },
  again13: { host: 'usual', context: { sni: 'a.example.com' }, common: new_ },
  never: { host: 'usual', context: { max_session_keys: 0 } },
  auto1: { host: 'usual' },
  auto2: { host: 'h2', common: new_ },
};
/** ALPN decides. */
const automatic = ['auto1', 'auto2'];
/** One request for a connection, and several of them. */
const again = ['again12', 'again13', 'never'];

const format = [
  'REQ(:PATH)',
  'RESPONSE_CODE',
  'RESPONSE_FLAGS',
  'RESPONSE_CODE_DETAILS',
  'UPSTREAM_TRANSPORT_FAILURE_REASON',
  'UPSTREAM_TLS_VERSION',
  'UPSTREAM_TLS_CIPHER',
  'UPSTREAM_PEER_SUBJECT',
  'UPSTREAM_LOCAL_URI_SAN',
].map((it) => `%${it}%`);

function configuration(ports: ReadonlyMap<string, number>): string {
  const names = Object.keys(clusters);
  const manager = {
    '@type': type('filters.network.http_connection_manager.v3.HttpConnectionManager'),
    stat_prefix: 'in',
    access_log: [
      {
        name: 'file',
        typed_config: {
          '@type': type('access_loggers.file.v3.FileAccessLog'),
          path: 'requests.log',
          log_format: { text_format_source: { inline_string: `${format.join(' ')}\n` } },
        },
      },
    ],
    route_config: {
      virtual_hosts: [
        {
          name: 'v',
          domains: ['*'],
          routes: names.map((it) => ({ match: { path: `/${it}` }, route: { cluster: it } })),
        },
      ],
    },
    http_filters: [{ name: 'router', typed_config: { '@type': type('filters.http.router.v3.Router') } }],
  };
  const options = (fields: object) => ({
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': type('upstreams.http.v3.HttpProtocolOptions'),
        ...fields,
      },
    },
  });
  const one = {
    common_http_protocol_options: { max_requests_per_connection: 1 },
    explicit_http_config: { http_protocol_options: {} },
  };
  const auto = { auto_config: { http_protocol_options: {}, http2_protocol_options: {} } };
  return JSON.stringify({
    admin: { address: address(21001) },
    static_resources: {
      listeners: [
        {
          name: 'l',
          address: address(21100),
          filter_chains: [{ filters: [{ name: 'http', typed_config: manager }] }],
        },
      ],
      clusters: names.map((name) => {
        const { host, context = {}, common = {} } = clusters[name]!;
        return {
          name,
          ...(again.includes(name) && options(one)),
          ...(automatic.includes(name) && options(auto)),
          load_assignment: {
            cluster_name: name,
            endpoints: [{ lb_endpoints: [{ endpoint: { address: address(ports.get(host)!) } }] }],
          },
          transport_socket: {
            name: 'tls',
            typed_config: {
              '@type': type('transport_sockets.tls.v3.UpstreamTlsContext'),
              ...context,
              common_tls_context: common,
            },
          },
        };
      }),
    },
  });
}

function ask(port: number, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, path, agent: false }, (response) => {
      let body = '';
      response.on('data', (it) => {
        body += it;
      });
      response.on('close', () => resolve(`${response.statusCode} ${body}`));
    }).on('error', reject);
  });
}

async function listen(t: TestContext): Promise<ReadonlyMap<string, number>> {
  const ports = new Map<string, number>();
  for (const [name, make] of Object.entries(hosts)) {
    const sockets = new Set<Socket>();
    const server = make().listen(0, '127.0.0.1');
    server.on('connection', (it) => sockets.add(it));
    t.after(() => {
      for (const it of sockets) it.destroy();
      server.close();
    });
    await once(server, 'listening');
    ports.set(name, (server.address() as AddressInfo).port);
  }
  return ports;
}

test('TLS to hosts is as Envoy has it', { skip: missing('envoy'), timeout: 60_000 }, async (t) => {
  const yaml = configuration(await listen(t));
  await expectSame(t, yaml, async (side: Side) => {
    const answers: string[] = [];
    for (const name of Object.keys(clusters)) answers.push(await ask(side.port(21100), `/${name}`));
    // Sessions of TLS 1.3 come behind the handshake, with the answer.
    for (const name of again)
      for (let i = 0; i < 3; i++) answers.push(await ask(side.port(21100), `/${name}`));
    const counted = (
      await side.stats('^cluster\\..*(\\.ssl\\.|cx_connect_fail|cx_total|cx_http._total)')
    ).filter((it) => !/: 0$|\.certificate\./.test(it));
    await side.stop();
    return { answers, counted, log: side.lines('requests.log') };
  });
});
