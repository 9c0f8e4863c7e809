// The same TLS listeners in the real Envoy and in ours, and `openssl s_client` against both, over versions, ciphers, server names and
// client certificates: the same verdicts, and the same counters.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { certificateFiles, certificatePath } from '#testing/certificates.ts';
import { freePorts } from '#testing/free-ports.ts';
import { missing, peer } from '#testing/peers.ts';
import { type ProxyKind, type ProxyProcess, startProxyProcess } from '#testing/proxy-process.ts';

const type = (name: string) => `type.googleapis.com/envoy.extensions.${name}`;
const file = (name: string) => ({ filename: certificatePath(name) });
const trusted_ca = file('ca');
const uri = 'spiffe://example.com/client';

/** DownstreamTlsContexts by the name of their listener. */
const contexts = {
  names: {
    common_tls_context: { tls_certificates: ['server-rsa', 'server-ec', 'wildcard'].map(certificateFiles) },
  },
  scan: {
    full_scan_certs_on_sni_mismatch: true,
    common_tls_context: { tls_certificates: ['server-rsa', 'wildcard'].map(certificateFiles) },
  },
  sni: { require_sni: true, ...served({}) },
  old: served({
    tls_params: {
      tls_minimum_protocol_version: 'TLSv1_0',
      tls_maximum_protocol_version: 'TLSv1_2',
      cipher_suites: ['ECDHE-RSA-AES128-SHA', 'AES128-SHA', 'AES256-GCM-SHA384'],
    },
  }),
  new: served({ tls_params: { tls_minimum_protocol_version: 'TLSv1_3', ecdh_curves: ['P-384'] } }),
  optional: served(validating({ trusted_ca })),
  mutual: { require_client_certificate: true, ...served(validating({ trusted_ca })) },
  anyone: { require_client_certificate: true, ...served({}) },
  crl: served(validating({ trusted_ca, crl: file('ca-crl') })),
  leafCrl: served(validating({ trusted_ca, crl: file('ca-crl'), only_verify_leaf_cert_crl: true })),
  expired: served(validating({ trusted_ca, allow_expired_certificate: true })),
  untrusted: served(validating({ trusted_ca, trust_chain_verification: 'ACCEPT_UNTRUSTED' })),
  anchor: served(validating({ trusted_ca: file('intermediate') })),
  depth0: served(validating({ trusted_ca, max_verify_depth: 0 })),
  depth2: served(validating({ trusted_ca, max_verify_depth: 2 })),
  depth3: served(validating({ trusted_ca, max_verify_depth: 3 })),
  depth1: served(validating({ trusted_ca, max_verify_depth: 1 })),
  uri: served(
    validating({ trusted_ca, match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { exact: uri } }] }),
  ),
  dns: served(
    validating({
      trusted_ca,
      match_typed_subject_alt_names: [{ san_type: 'DNS', matcher: { suffix: '.example.com' } }],
    }),
  ),
  ip: served(
    validating({
      trusted_ca,
      match_typed_subject_alt_names: [{ san_type: 'IP_ADDRESS', matcher: { exact: '10.0.0.1' } }],
    }),
  ),
  email: served(
    validating({
      trusted_ca,
      match_typed_subject_alt_names: [{ san_type: 'EMAIL', matcher: { exact: 'nobody@example.com' } }],
    }),
  ),
  hash: served(validating({ trusted_ca, verify_certificate_hash: ['00'.repeat(32)] })),
  spiffe: served(validating(spiffe('example.com'))),
  keyUsage: served(validating({ trusted_ca: file('key-agreement') })),
  otherName: otherName('1.3.6.1.4.1.311.20.2.3', 'user@example.com'),
  otherNumber: otherName('1.2.3.4', '258'),
  otherTruth: otherName('1.2.3.4', 'true'),
  otherNameOfOthers: otherName('1.3.6.1.4.1.311.20.2.3', 'nobody@example.com'),
  staple: stapled('server-rsa-ocsp.der', 'LENIENT_STAPLING'),
  strictStaple: stapled('server-rsa-ocsp.der', 'STRICT_STAPLING'),
  mustStaple: stapled('server-rsa-ocsp.der', 'MUST_STAPLE'),
  oldStaple: stapled('server-rsa-ocsp-expired.der', 'LENIENT_STAPLING'),
  strictOldStaple: stapled('server-rsa-ocsp-expired.der', 'STRICT_STAPLING'),
  mustOldStaple: stapled('server-rsa-ocsp-expired.der', 'MUST_STAPLE'),
  noStaple: { ocsp_staple_policy: 'STRICT_STAPLING', ...served({}) },
  noNames: served(validating({ trusted_ca, suppress_client_ca_list: true })),
  spiffeBundles: served(validating(spiffeBundles('example.com'))),
  fips: {
    common_tls_context: {
      tls_certificates: ['server-ec', 'server-rsa'].map(certificateFiles),
      tls_params: { compliance_policies: ['FIPS_202205'], cipher_suites: ['AES128-SHA'] },
    },
  },
  otherSpiffe: served(validating(spiffe('example.org'))),
  alpn: served({ alpn_protocols: ['h2', 'http/1.1'] }),
  order: served({}),
  ownOrder: served({
    tls_params: {
      cipher_suites: [
        'ECDHE-RSA-AES256-GCM-SHA384',
        '[ECDHE-RSA-CHACHA20-POLY1305|ECDHE-RSA-AES128-GCM-SHA256|AES128-GCM-SHA256]',
      ],
      ecdh_curves: ['P-384', 'P-256', 'X25519'],
    },
  }),
  clientOrder: { prefer_client_ciphers: true, ...served({}) },
  resuming: served({}),
  resumingClients: { require_client_certificate: true, ...served(validating({ trusted_ca })) },
  ticketKeys: { session_ticket_keys: { keys: [ticketKey(1), ticketKey(2)] }, ...served({}) },
  noTickets: { disable_stateless_session_resumption: true, ...served({}) },
  noIds: { disable_stateful_session_resumption: true, ...served({}) },
  noSessions: {
    disable_stateless_session_resumption: true,
    disable_stateful_session_resumption: true,
    ...served({}),
  },
  keyTypes: {
    common_tls_context: { tls_certificates: ['server-ec', 'server-rsa'].map(certificateFiles) },
  },
};
type ContextName = keyof typeof contexts;

function served(common: object) {
  return { common_tls_context: { tls_certificates: [certificateFiles('server-rsa')], ...common } };
}

function ticketKey(byte: number) {
  return { inline_bytes: Buffer.alloc(80, byte).toString('base64') };
}

function otherName(oid: string, exact: string) {
  const san = { san_type: 'OTHER_NAME', oid, matcher: { exact } };
  return served(validating({ trusted_ca: file('other-name'), match_typed_subject_alt_names: [san] }));
}

function stapled(name: string, ocsp_staple_policy: string) {
  const certificate = { ...certificateFiles('server-rsa'), ocsp_staple: file(name) };
  return { ocsp_staple_policy, common_tls_context: { tls_certificates: [certificate] } };
}

function validating(validation_context: object) {
  return { validation_context };
}

function spiffe(name: string) {
  const typed_config = {
    '@type': type('transport_sockets.tls.v3.SPIFFECertValidatorConfig'),
    trust_domains: [{ name, trust_bundle: trusted_ca }],
  };
  return { custom_validator_config: { name: 'envoy.tls.cert_validator.spiffe', typed_config } };
}

function spiffeBundles(name: string) {
  const x5c = [new X509Certificate(readFileSync(certificatePath('ca'))).raw.toString('base64')];
  const bundles = { trust_domains: { [name]: { keys: [{ use: 'x509-svid', kty: 'EC', x5c }] } } };
  const typed_config = {
    '@type': type('transport_sockets.tls.v3.SPIFFECertValidatorConfig'),
    trust_bundles: { inline_string: JSON.stringify(bundles) },
  };
  return { custom_validator_config: { name: 'envoy.tls.cert_validator.spiffe', typed_config } };
}

const versions = ['-tls1', '-tls1_1', '-tls1_2', '-tls1_3'].map((it) => [it, '-cipher', 'ALL:@SECLEVEL=0']);
const ciphers = [
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-RSA-CHACHA20-POLY1305',
  'ECDHE-RSA-AES128-SHA',
  'AES128-GCM-SHA256',
  'AES128-SHA',
  'AES256-GCM-SHA384',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
].map((it) => ['-tls1_2', '-cipher', it]);
const suites = ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'].map(
  (it) => ['-tls1_3', '-ciphersuites', it],
);
const groups = ['X25519', 'P-256', 'P-384', 'P-521'].map((it) => ['-groups', it]);
const names = [
  'a.example.com',
  'A.Example.COM',
  'x.b.example.com',
  'b.example.com',
  'x.y.b.example.com',
  'c.example.com',
  'localhost',
  'nobody.org',
].flatMap((it) => [
  ['-servername', it],
  ['-servername', it, '-sigalgs', 'rsa_pss_rsae_sha256'],
]);
const unnamed = [['-noservername'], ['-noservername', '-sigalgs', 'rsa_pss_rsae_sha256']];
const clients = [
  [],
  ...['client', 'expired', 'other', 'revoked', 'under-intermediate'].flatMap((it) => {
    const chain = it === 'under-intermediate' ? ['-cert_chain', certificatePath('intermediate')] : [];
    const own = ['-cert', certificatePath(it), '-key', certificatePath(`${it}-key`), ...chain];
    return [
      [...own, '-tls1_2'],
      [...own, '-tls1_3'],
    ];
  }),
];

const offers = ['foo', 'http/1.1', 'http/1.1,h2', 'foo,http/1.1', 'foo,bar'].map((it) => ['-alpn', it]);

const orders = [
  ['TLS_CHACHA20_POLY1305_SHA256', 'TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384'],
  ['TLS_AES_128_GCM_SHA256', 'TLS_CHACHA20_POLY1305_SHA256'],
  ['TLS_AES_256_GCM_SHA384', 'TLS_AES_128_GCM_SHA256'],
]
  .map((it) => ['-tls1_3', '-ciphersuites', it.join(':')])
  .concat(
    [
      ['ECDHE-RSA-CHACHA20-POLY1305', 'ECDHE-RSA-AES128-GCM-SHA256'],
      ['ECDHE-RSA-AES128-GCM-SHA256', 'ECDHE-RSA-CHACHA20-POLY1305'],
      ['ECDHE-ECDSA-CHACHA20-POLY1305', 'ECDHE-RSA-AES128-GCM-SHA256', 'ECDHE-RSA-CHACHA20-POLY1305'],
      ['AES128-GCM-SHA256', 'ECDHE-RSA-CHACHA20-POLY1305', 'ECDHE-RSA-AES128-GCM-SHA256'],
      ['ECDHE-RSA-AES256-GCM-SHA384', 'AES128-GCM-SHA256', 'ECDHE-RSA-AES128-GCM-SHA256'],
    ].map((it) => ['-tls1_2', '-cipher', it.join(':')]),
    ['-tls1_2', '-tls1_3'].flatMap((version) =>
      ['P-256:X25519', 'X25519:P-256', 'P-384:P-256', 'P-521:P-384:X25519'].map((it) => [
        version,
        '-groups',
        it,
      ]),
    ),
  );

const reconnects = [['-tls1_2'], ['-tls1_2', '-no_ticket'], ['-tls1_3']].map((it) => ['-reconnect', ...it]);

const staples = [['-status'], ['-status', '-tls1_2'], ['-status', '-noservername'], []];

const named = ['other-name', 'client'].map((it) => [
  '-cert',
  certificatePath(it),
  '-key',
  certificatePath(`${it}-key`),
]);

const matrix: Partial<Record<ContextName, readonly (readonly string[])[]>> = {
  names: [...names, ...unnamed, ...ciphers],
  scan: [...names, ...unnamed],
  keyUsage: ['-tls1_2', '-tls1_3'].map((it) => [
    '-cert',
    certificatePath('key-agreement'),
    '-key',
    certificatePath('key-agreement-key'),
    it,
  ]),
  otherName: named,
  otherNumber: named,
  otherTruth: named,
  otherNameOfOthers: named,
  staple: staples,
  strictStaple: staples,
  mustStaple: staples,
  oldStaple: staples,
  strictOldStaple: staples,
  mustOldStaple: staples,
  noStaple: staples,
  sni: [...unnamed, ['-servername', 'a.example.com']],
  alpn: offers.flatMap((it) => [
    [...it, '-tls1_2'],
    [...it, '-tls1_3'],
  ]),
  order: orders,
  ownOrder: orders,
  clientOrder: orders,
  fips: [...versions, ...ciphers, ...suites, ...groups, ...orders],
  resuming: reconnects,
  resumingClients: reconnects.map((it) => [
    ...it,
    '-cert',
    certificatePath('client'),
    '-key',
    certificatePath('client-key'),
  ]),
  ticketKeys: reconnects,
  noTickets: reconnects,
  noIds: reconnects,
  noSessions: reconnects,
  keyTypes: [
    ...ciphers,
    ...groups,
    ...orders,
    [
      '-tls1_2',
      '-cipher',
      'ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256',
    ],
    ['-sigalgs', 'ecdsa_secp384r1_sha384:rsa_pss_rsae_sha256'],
    ['-tls1_2', '-groups', 'X25519'],
  ],
  old: [...versions, ...ciphers],
  new: [...versions, ...groups],
  optional: [...clients, ...versions, ...ciphers, ...suites, ...groups],
};

interface Verdict {
  /** An HTTP request over it was answered. */
  readonly isAnswered: boolean;
  readonly version: string;
  readonly certificate: string;
  readonly key: string;
  readonly isStapled: boolean;
  /** Certificates of the server. */
  readonly chainLength: number;
  readonly alpn: string;
  /** What the client was told. */
  readonly alert: string;
  /** Of the CAs whose clients are asked for. */
  readonly caNames: string;
}

/** Asks with `openssl s_client`. */
async function ask(port: number, args: readonly string[]): Promise<Verdict> {
  const child = spawn(peer('openssl'), ['s_client', '-connect', `127.0.0.1:${port}`, '-ign_eof', ...args]);
  let output = '';
  child.stdout.on('data', (it) => {
    output += it;
  });
  let errors = '';
  child.stderr.on('data', (it) => {
    errors += it;
  });
  child.stdin.on('error', () => {});
  child.stdin.write('GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n');
  await new Promise((resolve) => child.on('close', resolve));
  const isAnswered = output.includes('HTTP/1.1 200 OK');
  const found = (pattern: RegExp) => (isAnswered ? (pattern.exec(output)?.[1] ?? '') : '');
  return {
    isAnswered,
    version: found(/^New, (\S+),|^Reused, (\S+),/m),
    certificate: found(/^subject=(.*)$/m),
    key: found(/^Server public key is (\d+) bit/m),
    alpn: found(/^ALPN protocol: (.*)$/m),
    alert: /SSL alert number (\d+)/.exec(errors)?.[1] ?? '',
    caNames: found(/^Acceptable client certificate CA names\n(.*)$/m),
    isStapled: output.includes('OCSP Response Status: successful'),
    chainLength: isAnswered ? output.split(/^ \d+ s:/m).length - 1 : 0,
  };
}

/** Alerts that OpenSSL cannot be made to send: what BoringSSL says (in TLS 1.2 sometimes nothing), and what it says in its place. */
const otherAlerts: Partial<Record<ContextName, Readonly<Record<string, string>>>> = {
  hash: { 114: '46' },
  keyUsage: { 47: '43', '': '43' },
};

const order = Object.keys(contexts) as ContextName[];

function configuration(ports: readonly number[], adminPort: number): string {
  const address = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });
  const manager = {
    '@type': type('filters.network.http_connection_manager.v3.HttpConnectionManager'),
    stat_prefix: 'in',
    delayed_close_timeout: '0s',
    route_config: {
      virtual_hosts: [
        {
          name: 'v',
          domains: ['*'],
          routes: [
            { match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: 'hello' } } },
          ],
        },
      ],
    },
    http_filters: [{ name: 'router', typed_config: { '@type': type('filters.http.router.v3.Router') } }],
  };
  return JSON.stringify({
    admin: { address: address(adminPort) },
    static_resources: {
      listeners: order.map((name, i) => ({
        name,
        stat_prefix: name,
        address: address(ports[i]!),
        filter_chains: [
          {
            filters: [{ name: 'http', typed_config: manager }],
            transport_socket: {
              name: 'tls',
              typed_config: {
                '@type': type('transport_sockets.tls.v3.DownstreamTlsContext'),
                ...contexts[name],
              },
            },
          },
        ],
      })),
    },
  });
}

interface Running {
  readonly proxy: ProxyProcess;
  readonly ports: readonly number[];
}

async function start(kind: ProxyKind, folder: string): Promise<Running> {
  const [adminPort, ...ports] = await freePorts(1 + order.length);
  const yaml = configuration(ports, adminPort!);
  const proxy = await startProxyProcess({
    kind,
    folder,
    yaml,
    adminPort: adminPort!,
    arguments: ['--concurrency', '1', ...(kind === 'envoy' ? ['--use-dynamic-base-id'] : [])],
  });
  return { proxy, ports };
}

/** The counters of a listener that have counted. */
async function counters({ proxy }: Running, name: string): Promise<string[]> {
  const { body } = await proxy.admin(`/stats?filter=${encodeURIComponent(`^listener\\.${name}\\.ssl\\.`)}`);
  return body
    .trim()
    .split('\n')
    .filter((it) => !it.endsWith(': 0'))
    .toSorted();
}

test('TLS verdicts are those of Envoy', {
  skip: missing('envoy', 'openssl'),
  timeout: 240_000,
}, async (t) => {
  const folders = [0, 1].map(() => mkdtempSync(join(tmpdir(), 'tls-matrix-')));
  const running: Running[] = [];
  t.after(async () => {
    for (const { proxy } of running) await proxy.stop();
    for (const it of folders) rmSync(it, { recursive: true });
  });
  for (const [i, kind] of (['envoy', 'chancery'] as const).entries())
    running.push(await start(kind, folders[i]!));
  const [envoy, ours] = running as [Running, Running];
  for (const [i, name] of order.entries()) {
    await t.test(name, async () => {
      const left = [...(matrix[name] ?? clients)];
      const different: object[] = [];
      const askAll = async () => {
        for (let args = left.pop(); args !== undefined; args = left.pop()) {
          let found: { envoy: Verdict; ours: Verdict } | undefined;
          // A reset behind an alert may take it away, from both: who hears nothing asks again.
          for (let tries = 0; tries < 3; tries++) {
            const theirs = await ask(envoy.ports[i]!, args);
            const own = await ask(ours.ports[i]!, args);
            const expected = { ...theirs, alert: otherAlerts[name]?.[theirs.alert] ?? theirs.alert };
            found = isDeepStrictEqual(own, expected) ? undefined : { envoy: theirs, ours: own };
            if (found === undefined || (own.alert !== '' && theirs.alert !== '')) break;
          }
          if (found !== undefined) different.push({ args: args.join(' '), ...found });
        }
      };
      await Promise.all(Array.from({ length: 6 }, askAll));
      assert.deepEqual(different, []);
      assert.deepEqual(await counters(ours, name), await counters(envoy, name));
    });
  }
});
