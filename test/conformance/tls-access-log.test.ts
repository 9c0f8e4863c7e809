// What access logs and x-forwarded-client-cert say of TLS on both sides, in the real Envoy and in ours: good handshakes, refused clients,
// hosts that are not who they should be, and who speaks no TLS.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, get, type RequestOptions } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import { type TestContext, test } from 'node:test';
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

const ofCertificates = [
  ...['LOCAL', 'PEER'].flatMap((it) =>
    ['SUBJECT', 'URI_SAN', 'DNS_SAN', 'IP_SAN'].map((part) => `${it}_${part}`),
  ),
  'PEER_ISSUER',
  'PEER_CERT_V_START',
  'PEER_CERT_V_END',
  'TLS_VERSION',
  'TLS_CIPHER',
];
const downstreamOnly = [
  'LOCAL_EMAIL_SAN',
  'PEER_EMAIL_SAN',
  'PEER_OTHERNAME_SAN',
  'PEER_SERIAL',
  'PEER_FINGERPRINT_1',
  'PEER_FINGERPRINT_256',
  'PEER_CHAIN_FINGERPRINTS_1',
  'PEER_CHAIN_FINGERPRINTS_256',
  'PEER_CHAIN_SERIALS',
  'PEER_CERT',
  'TLS_GROUP',
];
const operators = [
  ...[...ofCertificates, ...downstreamOnly].map((it) => `DOWNSTREAM_${it}`),
  ...ofCertificates.filter((it) => it !== 'LOCAL_SUBJECT').map((it) => `UPSTREAM_${it}`),
  'REQUESTED_SERVER_NAME',
  'DOWNSTREAM_TRANSPORT_FAILURE_REASON',
  'UPSTREAM_TRANSPORT_FAILURE_REASON',
  'RESPONSE_FLAGS',
  'RESPONSE_CODE',
  'CONNECTION_TERMINATION_DETAILS',
  'REQ(x-forwarded-client-cert)',
];

const accessLog = (path: string) => [
  {
    name: 'file',
    typed_config: {
      '@type': type('access_loggers.file.v3.FileAccessLog'),
      path,
      log_format: {
        text_format_source: { inline_string: `${operators.map((it) => `%${it}%`).join('|')}\n` },
      },
    },
  },
];

const trusted_ca = file('ca');
const exact = 'nobody.example.org';
/** By name of the listener: the validation context, and what the connection manager does with certificates of clients. */
const listeners: Readonly<
  Record<string, { readonly validation?: object; readonly xfcc?: string; readonly max?: string }>
> = {
  sanitize: { validation: { trusted_ca }, xfcc: 'SANITIZE' },
  forward: { validation: { trusted_ca }, xfcc: 'FORWARD_ONLY' },
  append: { validation: { trusted_ca }, xfcc: 'APPEND_FORWARD' },
  set: { validation: { trusted_ca }, xfcc: 'SANITIZE_SET' },
  always: { validation: { trusted_ca }, xfcc: 'ALWAYS_FORWARD_ONLY' },
  nobody: { xfcc: 'SANITIZE_SET' },
  untrusted: {
    validation: { trusted_ca, trust_chain_verification: 'ACCEPT_UNTRUSTED' },
    xfcc: 'SANITIZE_SET',
  },
  names: {
    validation: { trusted_ca, match_typed_subject_alt_names: [{ san_type: 'DNS', matcher: { exact } }] },
  },
  hash: { validation: { verify_certificate_hash: ['00'.repeat(32)] } },
  old: { validation: { trusted_ca }, max: 'TLSv1_2' },
};
const names = Object.keys(listeners);

function configuration(upstreamPort: number): string {
  const clusters = {
    good: { validation_context: { trusted_ca } },
    stranger: { validation_context: { trusted_ca: file('other-ca') } },
    misnamed: {
      validation_context: {
        trusted_ca,
        match_typed_subject_alt_names: [{ san_type: 'DNS', matcher: { exact } }],
      },
    },
    known: { tls_certificates: [certificateFiles('client')] },
  };
  const routes = Object.keys(clusters).map((it) => ({ match: { prefix: `/${it}` }, route: { cluster: it } }));
  return JSON.stringify({
    admin: { address: address(21001) },
    static_resources: {
      listeners: names.map((name, i) => {
        const { validation, xfcc = 'SANITIZE', max } = listeners[name]!;
        const manager = {
          '@type': type('filters.network.http_connection_manager.v3.HttpConnectionManager'),
          stat_prefix: name,
          access_log: accessLog('requests.log'),
          forward_client_cert_details: xfcc,
          set_current_client_cert_details: { subject: true, cert: true, chain: true, dns: true, uri: true },
          route_config: {
            virtual_hosts: [
              {
                name: 'v',
                domains: ['*'],
                routes: [...routes, { match: { prefix: '/' }, direct_response: { status: 200 } }],
              },
            ],
          },
          http_filters: [
            { name: 'router', typed_config: { '@type': type('filters.http.router.v3.Router') } },
          ],
        };
        const tls = {
          '@type': type('transport_sockets.tls.v3.DownstreamTlsContext'),
          common_tls_context: {
            tls_certificates: [certificateFiles('server-rsa'), certificateFiles('wildcard')],
            ...(validation === undefined ? {} : { validation_context: validation }),
            ...(max === undefined ? {} : { tls_params: { tls_maximum_protocol_version: max } }),
          },
        };
        return {
          name,
          stat_prefix: name,
          address: address(21100 + i),
          access_log: accessLog('connections.log'),
          filter_chains: [
            {
              filters: [{ name: 'http', typed_config: manager }],
              transport_socket: { name: 'tls', typed_config: tls },
            },
          ],
        };
      }),
      clusters: Object.entries(clusters).map(([name, common]) => ({
        name,
        load_assignment: {
          cluster_name: name,
          endpoints: [{ lb_endpoints: [{ endpoint: { address: address(upstreamPort) } }] }],
        },
        transport_socket: {
          name: 'tls',
          typed_config: {
            '@type': type('transport_sockets.tls.v3.UpstreamTlsContext'),
            sni: 'a.example.com',
            common_tls_context: { tls_params: { tls_maximum_protocol_version: 'TLSv1_3' }, ...common },
          },
        },
      })),
    },
  });
}

/** The status of the answer, or why there was none. */
function ask(port: number, path: string, options: RequestOptions): Promise<string> {
  return new Promise((resolve) => {
    const base = { host: '127.0.0.1', port, path, agent: false, rejectUnauthorized: false };
    get({ ...base, servername: 'a.example.com', ...options }, (response) => {
      response.resume();
      response.on('close', () => resolve(String(response.statusCode)));
    }).on('error', () => resolve('failed'));
  });
}

/** What comes back, in hexadecimal. */
async function send(port: number, bytes: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let answer = '';
  socket.on('data', (it) => {
    answer += it.toString('hex');
  });
  socket.on('error', () => {});
  socket.write(bytes);
  await new Promise((resolve) => socket.on('close', resolve));
  return answer;
}

const clients: Readonly<Record<string, RequestOptions>> = {
  nobody: {},
  client: identity('client'),
  'under-intermediate': identity('under-intermediate'),
  other: identity('other'),
  expired: identity('expired'),
};

async function talk({ port }: Side): Promise<string[]> {
  const seen: string[] = [];
  const xfcc = { 'x-forwarded-client-cert': 'By=http://front;Hash=abc;URI=spiffe://old' };
  for (const [i, name] of names.entries())
    for (const [client, own] of Object.entries(clients))
      for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const)
        for (const headers of [{}, xfcc]) {
          const status = await ask(port(21100 + i), '/', { ...own, maxVersion, headers });
          seen.push(`${name} ${client} ${maxVersion} ${status}`);
        }
  const plain = port(21100);
  for (const path of ['/good', '/stranger', '/misnamed', '/known']) seen.push(await ask(plain, path, {}));
  seen.push(await ask(plain, '/', { servername: 'x.b.example.com', ...clients.other }));
  seen.push(await ask(port(21100 + names.indexOf('old')), '/', { minVersion: 'TLSv1.3' }));
  seen.push(await ask(plain, '/', { maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA' }));
  for (const bytes of ['GET / HTTP/1.1\r\n\r\n', 'SSH-2.0-OpenSSH\r\n', '\x16'.repeat(50)])
    seen.push(await send(plain, bytes));
  return seen;
}

async function upstream(t: TestContext): Promise<number> {
  const server = createServer({ ...identity('server-rsa'), requestCert: true, rejectUnauthorized: false });
  server.on('request', (_, response) => response.end());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

test('access logs say of TLS what Envoy says', { skip: missing('envoy'), timeout: 120_000 }, async (t) => {
  await expectSame(t, configuration(await upstream(t)), async (side) => {
    const seen = await talk(side);
    // The last digits of what never expires differ.
    const counted = (await side.stats('\\.ssl\\.')).filter((it) => !/: 0$|: 92233/.test(it));
    await side.stop();
    const labelled = (lines: readonly string[]) =>
      lines
        .map((line) => line.replace(/127\.0\.0\.1:\d+/g, 'address'))
        .map((line) => Object.fromEntries(line.split('|').map((value, i) => [operators[i], value])));
    const requests = labelled(side.lines('requests.log'));
    // One may end while the next one begins.
    const connections = labelled(side.lines('connections.log').toSorted());
    return { seen, counted, requests, connections };
  });
});
