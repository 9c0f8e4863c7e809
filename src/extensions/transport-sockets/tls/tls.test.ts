// The two transports against `node:tls` peers and each other, on real sockets.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  type ConnectionOptions,
  connect as connectTls,
  createServer as createTlsServer,
  type TLSSocket,
} from 'node:tls';
import { systemClock } from '#base/clock.ts';
import { TimerWheel } from '#base/timer-wheel.ts';
import type { ConfigError } from '#config/config-error.ts';
import { loadBootstrap } from '#config/load.ts';
import { ParseContext } from '#config/parse-context.ts';
import { AccessLogFiles } from '#extension/access-log-files.ts';
import { Registry } from '#extension/registry.ts';
import { Runtime } from '#extension/runtime.ts';
import type { SecretData, SecretStore } from '#extension/secrets/secret-data.ts';
import type { TlsInfo } from '#extension/stream-info.ts';
import type { TransportSocketContext } from '#extension/transport-socket.ts';
import { create } from '#schema/create.ts';
import type { Bootstrap } from '#schema/messages/envoy/config/bootstrap/v3.ts';
import type {
  DownstreamTlsContextInit,
  UpstreamTlsContextInit,
} from '#schema/messages/envoy/extensions/transport_sockets/tls/v3.ts';
import { StatsStore } from '#stats/store.ts';
import { certificateFiles, certificatePath } from '#testing/certificates.ts';
import { missing, peer } from '#testing/peers.ts';
import { parseDownstreamTls, parseUpstreamTls } from './config.ts';
import { DownstreamTls } from './downstream.ts';
import { UpstreamTls } from './upstream.ts';

const package_ = 'envoy.extensions.transport_sockets.tls.v3';
const pem = (name: string) => readFileSync(certificatePath(name), 'utf8');
const identity = (name: string) => ({ cert: pem(name), key: pem(`${name}-key`) });

class Secrets implements SecretStore {
  readonly values = new Map<string, SecretData>();
  #watchers: (() => void)[] = [];

  get(key: string): SecretData | undefined {
    return this.values.get(key);
  }

  set(key: string, secret: SecretData): void {
    this.values.set(key, secret);
    for (const it of this.#watchers) it();
  }

  watch(_key: string, onChange: () => void): () => void {
    this.#watchers.push(onChange);
    return () => {};
  }
}

function context(secrets = new Secrets()): TransportSocketContext & { readonly store: StatsStore } {
  const store = new StatsStore();
  return {
    store,
    stats: store.root,
    runtime: new Runtime(),
    secrets,
    accessLogFiles: new AccessLogFiles(store, { intervalMs: 1000, minBytes: 1 }),
    timers: new TimerWheel(systemClock),
    clock: systemClock,
    lifecycle: { isHealthCheckFailed: false, membership: () => undefined },
    localCluster: '',
    node: {} as never,
    asyncClient: { start: () => undefined },
    registry: new Registry([]),
    statPrefix: 'listener.test.',
  };
}

function counters(store: StatsStore, prefix = 'listener.test.ssl.'): Record<string, number> {
  const values: Record<string, number> = {};
  for (const scope of store.scopes()) {
    for (const metric of scope.metrics()) {
      const name = scope.prefix + metric.name;
      if (!name.startsWith(prefix) || !('value' in metric) || metric.value === 0) continue;
      if (!name.includes('.certificate.')) values[name.slice(prefix.length)] = Number(metric.value);
    }
  }
  return values;
}

function downstream(message: DownstreamTlsContextInit, secrets?: Secrets) {
  const problems: ConfigError[] = [];
  const config = parseDownstreamTls(
    create(`${package_}.DownstreamTlsContext`, { require_client_certificate: false, ...message }),
    new ParseContext('', problems),
  );
  assert.deepEqual(problems, []);
  const services = context(secrets);
  const { store, accessLogFiles: files } = services;
  return { transport: new DownstreamTls(config, services), store, files };
}

interface Accepted {
  readonly info: TlsInfo | undefined;
  readonly socket: TLSSocket;
  readonly error: string;
}

/** Listens with a transport; `next` gives what became of a connection, which echoes. */
async function listen(t: TestContext, transport: DownstreamTls) {
  const waiting: ((accepted: Accepted) => void)[] = [];
  const done: Accepted[] = [];
  const settle = (accepted: Accepted) => {
    const waiter = waiting.shift();
    if (waiter === undefined) done.push(accepted);
    else waiter(accepted);
  };
  const sockets = new Set<Socket>();
  const server = createServer((raw) => {
    sockets.add(raw);
    if (transport.wrap(raw, Buffer.alloc(0)) !== undefined) {
      settle({ info: undefined, socket: raw as TLSSocket, error: '' });
      return;
    }
    let first = Buffer.alloc(0);
    raw.on('error', () => {});
    raw.on('data', function onData(bytes: Buffer) {
      first = Buffer.concat([first, bytes]);
      const socket = transport.wrap(raw, first);
      if (socket === undefined) return;
      raw.off('data', onData);
      serve(socket as TLSSocket);
    });
  });
  const serve = (socket: TLSSocket) => {
    sockets.add(socket);
    let error = '';
    let isSettled = false;
    const finish = () => {
      if (isSettled) return;
      isSettled = true;
      settle({ info: transport.tlsInfo(socket), socket, error });
    };
    socket.on('error', (it) => {
      error = it.message;
    });
    socket.on('close', finish);
    socket.once('secure', () => {
      if (!socket.destroyed) finish();
    });
    socket.on('data', (bytes) => socket.write(bytes));
  };
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const it of sockets) it.destroy();
    server.close();
  });
  return {
    port: (server.address() as AddressInfo).port,
    next: () =>
      new Promise<Accepted>((resolve) => {
        const ready = done.shift();
        if (ready === undefined) waiting.push(resolve);
        else resolve(ready);
      }),
  };
}

/** Connects, and waits for an echo: only then has the server taken a client of TLS 1.3. */
async function dial(t: TestContext, port: number, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options });
  t.after(() => socket.destroy());
  socket.on('error', () => {});
  socket.write('x');
  await anyOf(socket, 'data', 'close');
  return socket;
}

/** `once` would reject at an error, which is what is waited for here. */
function anyOf(socket: TLSSocket, ...events: readonly string[]): Promise<void> {
  return new Promise((resolve) => {
    for (const it of events) socket.once(it, () => resolve());
  });
}

const names = (socket: TLSSocket) => socket.getPeerX509Certificate()?.subjectAltName;

test('serves TLS 1.3 with the protocol the server prefers', async (t) => {
  const { transport, store } = downstream({
    common_tls_context: {
      tls_certificates: [certificateFiles('server-rsa')],
      alpn_protocols: ['h2', 'http/1.1'],
    },
  });
  const server = await listen(t, transport);
  const client = await dial(t, server.port, { ALPNProtocols: ['http/1.1', 'h2'] });
  assert.equal(client.alpnProtocol, 'h2');
  const { info } = await server.next();
  assert.equal(info?.version, 'TLSv1.3');
  assert.equal(info?.peerPresented, false);
  assert.deepEqual(info?.localCertificate()?.uriSans, ['spiffe://example.com/server']);
  assert.equal(info?.sessionId, '');
  assert.deepEqual(counters(store), {
    'ciphers.TLS_AES_256_GCM_SHA384': 1,
    'curves.X25519MLKEM768': 1,
    handshake: 1,
    no_certificate: 1,
    'versions.TLSv1.3': 1,
  });
});

const gcm = 'ECDHE-RSA-AES128-GCM-SHA256';
const chacha = 'ECDHE-RSA-CHACHA20-POLY1305';
const agreements: readonly {
  readonly name: string;
  readonly asks: ConnectionOptions;
  readonly got: object;
}[] = [
  {
    name: 'the first of equal suites that the client names',
    asks: { maxVersion: 'TLSv1.2', ciphers: `ECDHE-RSA-AES256-GCM-SHA384:${chacha}:${gcm}` },
    got: { cipher: chacha },
  },
  {
    name: 'the same for a client with another order',
    asks: { maxVersion: 'TLSv1.2', ciphers: `ECDHE-RSA-AES256-GCM-SHA384:${gcm}:${chacha}` },
    got: { cipher: gcm },
  },
  {
    name: 'the suite of TLS 1.3 that the client names first',
    asks: { ciphers: 'TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384' },
    got: { cipher: 'TLS_CHACHA20_POLY1305_SHA256' },
  },
  {
    name: 'the group that the server prefers, also when no key came for it',
    asks: { ecdhCurve: 'P-256:X25519' },
    got: { group: 'X25519' },
  },
  {
    name: 'the protocol that the server prefers',
    asks: { ALPNProtocols: ['http/1.1', 'h2'] },
    got: { alpn: 'h2' },
  },
  { name: 'no protocol when it knows none', asks: { ALPNProtocols: ['foo', 'bar'] }, got: { alpn: '' } },
];

test('keeps to the FIPS policy whatever else is configured', async (t) => {
  const { transport } = downstream({
    common_tls_context: {
      tls_certificates: [certificateFiles('server-rsa')],
      tls_params: {
        compliance_policies: ['FIPS_202205'],
        ecdh_curves: ['X25519'],
        cipher_suites: ['AES128-SHA'],
      },
    },
  });
  const server = await listen(t, transport);
  const fit = await dial(t, server.port, { maxVersion: 'TLSv1.2' });
  const { info } = await server.next();
  assert.deepEqual([fit.getCipher().name, info?.group], ['ECDHE-RSA-AES128-GCM-SHA256', 'P-256']);
  await dial(t, server.port, { maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA' });
  assert.match((await server.next()).error, /NO_SHARED_CIPHER/);
});

test('agrees with clients on what Envoy would', async (t) => {
  const { transport } = downstream({
    common_tls_context: {
      tls_certificates: [certificateFiles('server-rsa')],
      alpn_protocols: ['h2', 'http/1.1'],
    },
  });
  const server = await listen(t, transport);
  for (const { name, asks, got } of agreements) {
    const client = await dial(t, server.port, asks);
    const { info } = await server.next();
    const alpn = client.alpnProtocol || '';
    const all = { cipher: info?.cipher, group: info?.group, alpn };
    assert.deepEqual({ ...all, ...got }, all, name);
  }
});

const selections = [
  { sni: 'a.example.com', sigalgs: 'ecdsa_secp256r1_sha256:rsa_pss_rsae_sha256', got: 'DNS:a.example.com' },
  { sni: 'a.example.com', sigalgs: 'rsa_pss_rsae_sha256', got: 'localhost' },
  { sni: 'x.b.example.com', got: '*.b.example.com' },
  { sni: 'c.example.com', got: '*.b.example.com' },
  { sni: 'C.example.com', got: 'localhost' },
  { sni: 'x.y.b.example.com', got: 'localhost' },
  { sni: 'unknown.org', got: 'localhost' },
  { sni: '', got: 'DNS:a.example.com' },
];

test('chooses among certificates by name, then by key type', async (t) => {
  const { transport } = downstream({
    common_tls_context: {
      tls_certificates: ['server-rsa', 'server-ec', 'wildcard'].map(certificateFiles),
    },
  });
  const server = await listen(t, transport);
  for (const { sni, sigalgs, got } of selections) {
    const client = await dial(t, server.port, {
      ...(sni === '' ? {} : { servername: sni }),
      ...(sigalgs === undefined ? {} : { sigalgs }),
    });
    const found = names(client) ?? 'no certificate';
    assert.ok(got.startsWith('DNS:') ? found === got : found.includes(got), `${sni} ${sigalgs}: ${found}`);
  }
});

const uri = 'spiffe://example.com/client';
const trusted = { trusted_ca: { filename: certificatePath('ca') } };
const clients = [
  { name: 'a valid certificate', client: 'client', validation: trusted, passes: true, validated: true },
  { name: 'no certificate', client: '', validation: trusted, passes: true, validated: false },
  {
    name: 'no certificate where one is required',
    client: '',
    validation: trusted,
    require: true,
    counted: 'fail_verify_no_cert',
    error: 'PEER_DID_NOT_RETURN_A_CERTIFICATE',
  },
  {
    name: 'an expired certificate',
    client: 'expired',
    validation: trusted,
    counted: 'fail_verify_error',
    error: 'certificate has expired',
  },
  {
    name: 'an expired certificate where it may be',
    client: 'expired',
    validation: { ...trusted, allow_expired_certificate: true },
    passes: true,
    validated: true,
  },
  { name: 'a certificate of another CA', client: 'other', validation: trusted, counted: 'fail_verify_error' },
  {
    name: 'an expired certificate of nobody',
    client: 'expired',
    validation: { trusted_ca: { filename: certificatePath('other-ca') }, allow_expired_certificate: true },
    counted: 'fail_verify_error',
  },
  {
    name: 'a revoked certificate',
    client: 'revoked',
    validation: { ...trusted, crl: { filename: certificatePath('ca-crl') } },
    counted: 'fail_verify_error',
    error: 'certificate revoked',
  },
  {
    name: 'a certificate of another CA where anyone is taken',
    client: 'other',
    validation: { ...trusted, trust_chain_verification: 'ACCEPT_UNTRUSTED' as const },
    passes: true,
    validated: false,
  },
  {
    name: 'a URI name that matches',
    client: 'client',
    validation: {
      ...trusted,
      match_typed_subject_alt_names: [{ san_type: 'URI' as const, matcher: { exact: uri } }],
    },
    passes: true,
    validated: true,
  },
  {
    name: 'a name that does not match',
    client: 'client',
    validation: {
      ...trusted,
      match_typed_subject_alt_names: [{ san_type: 'DNS' as const, matcher: { exact: uri } }],
    },
    counted: 'fail_verify_san',
  },
  {
    name: 'a hash that does not match',
    client: 'client',
    validation: { ...trusted, verify_certificate_hash: ['00'.repeat(32)] },
    counted: 'fail_verify_cert_hash',
  },
  {
    name: 'a chain with an intermediate',
    client: 'under-intermediate',
    validation: trusted,
    passes: true,
    validated: true,
  },
  {
    name: 'a chain longer than allowed',
    client: 'under-intermediate',
    validation: { ...trusted, max_verify_depth: 0 },
    counted: 'fail_verify_error',
  },
  {
    name: 'the SPIFFE id of a known trust domain',
    client: 'client',
    validation: spiffe('example.com', 'ca'),
    passes: true,
    validated: true,
  },
  {
    name: 'the SPIFFE id of an unknown trust domain',
    client: 'client',
    validation: spiffe('example.org', 'ca'),
    counted: 'fail_verify_error',
  },
  {
    name: 'the SPIFFE id of a trust domain in a bundle map',
    client: 'client',
    validation: bundles('example.com', 'ca'),
    passes: true,
    validated: true,
  },
  {
    name: 'the SPIFFE id of a trust domain whose bundle does not vouch for it',
    client: 'client',
    validation: bundles('example.com', 'other-ca'),
    counted: 'fail_verify_error',
  },
  {
    name: 'a valid certificate without being told of the CA',
    client: 'client',
    validation: { ...trusted, suppress_client_ca_list: true },
    passes: true,
    validated: true,
  },
  {
    name: 'the certificate of another CA without being told of ours',
    client: 'other',
    validation: { ...trusted, suppress_client_ca_list: true },
    counted: 'fail_verify_error',
  },
];

function bundles(name: string, ca: string) {
  const x5c = [new X509Certificate(pem(ca)).raw.toString('base64')];
  const inline_string = JSON.stringify({ trust_domains: { [name]: { keys: [{ use: 'x509-svid', x5c }] } } });
  return {
    custom_validator_config: {
      name: 'envoy.tls.cert_validator.spiffe',
      typed_config: {
        '@type': `type.googleapis.com/${package_}.SPIFFECertValidatorConfig`,
        trust_bundles: { inline_string },
      },
    },
  } as const;
}

function spiffe(name: string, ca: string) {
  return {
    custom_validator_config: {
      name: 'envoy.tls.cert_validator.spiffe',
      typed_config: {
        '@type': `type.googleapis.com/${package_}.SPIFFECertValidatorConfig`,
        trust_domains: [{ name, trust_bundle: { filename: certificatePath(ca) } }],
      },
    },
  } as const;
}

for (const { name, client, validation, require, passes = false, validated, counted, error } of clients) {
  test(`${passes ? 'takes' : 'refuses'} ${name}`, async (t) => {
    const { transport, store } = downstream({
      common_tls_context: {
        tls_certificates: [certificateFiles('server-ec')],
        validation_context: validation,
      },
      require_client_certificate: require ?? false,
    });
    const server = await listen(t, transport);
    const socket = await dial(t, server.port, client === '' ? {} : identity(client));
    const accepted = await server.next();
    assert.equal(socket.destroyed, !passes);
    if (passes) assert.equal(accepted.info?.peerValidated, validated);
    else {
      assert.equal(counters(store)[counted!], 1);
      assert.match(accepted.error, /^TLS_error:\|\d+:SSL routines:OPENSSL_internal:.*:TLS_error_end$/);
      if (error !== undefined) assert.ok(accepted.error.includes(error), accepted.error);
    }
  });
}

test('describes the client certificate', async (t) => {
  const { transport } = downstream({
    common_tls_context: { tls_certificates: [certificateFiles('server-ec')], validation_context: trusted },
  });
  const server = await listen(t, transport);
  await dial(t, server.port, identity('client'));
  const { info } = await server.next();
  const peer = info?.peerCertificate();
  assert.equal(peer?.subject, 'CN=client,O=Test,C=DE');
  assert.equal(peer?.issuer, 'CN=Test CA');
  assert.equal(peer?.serial, '21');
  assert.deepEqual(
    [peer?.uriSans, peer?.dnsSans, peer?.emailSans, peer?.ipSans],
    [[uri], ['client.example.com'], ['client@example.com'], ['10.0.0.1']],
  );
});

test("counts what is no TLS, in OpenSSL's words", async (t) => {
  const { transport, store } = downstream({
    common_tls_context: { tls_certificates: [certificateFiles('server-ec')] },
  });
  const server = await listen(t, transport);
  const client = connect(server.port, '127.0.0.1');
  t.after(() => client.destroy());
  client.on('error', () => {});
  client.write('GET / HTTP/1.1\r\n\r\n');
  const { error } = await server.next();
  assert.equal(error, 'TLS_error:|268435612:SSL routines:OPENSSL_internal:HTTP_REQUEST:TLS_error_end');
  assert.deepEqual(counters(store), { connection_error: 1 });
});

test('ends with a client of TLS 1.2 that begins another handshake', async (t) => {
  const { transport, store } = downstream({
    common_tls_context: { tls_certificates: [certificateFiles('server-ec')] },
  });
  const server = await listen(t, transport);
  const client = await dial(t, server.port, { maxVersion: 'TLSv1.2' });
  const { socket } = await server.next();
  const closed = new Promise<Error>((resolve) => socket.once('error', resolve));
  client.renegotiate({}, () => {});
  assert.match((await closed).message, /NO_RENEGOTIATION/);
  const { handshake, connection_error } = counters(store);
  assert.deepEqual([handshake, connection_error], [1, 2]);
});

test('tells who speaks something else that it does not', async (t) => {
  const { transport } = downstream({
    common_tls_context: { tls_certificates: [certificateFiles('server-ec')] },
  });
  const server = await listen(t, transport);
  const client = connect(server.port, '127.0.0.1');
  t.after(() => client.destroy());
  client.on('error', () => {});
  client.write('SSH-2.0-x\r\n');
  const [alert] = await once(client, 'data');
  assert.deepEqual([...alert], [21, 3, 1, 0, 2, 2, 70]);
  assert.match((await server.next()).error, /WRONG_VERSION_NUMBER/);
});

test('knows of a refused client what it has shown', async (t) => {
  const { transport } = downstream({
    require_client_certificate: true,
    common_tls_context: { tls_certificates: [certificateFiles('server-ec')], validation_context: trusted },
  });
  const server = await listen(t, transport);
  for (const [maxVersion, cipher] of [
    ['TLSv1.2', 'ECDHE-ECDSA-AES256-GCM-SHA384'],
    ['TLSv1.3', 'TLS_AES_256_GCM_SHA384'],
  ] as const) {
    await dial(t, server.port, { maxVersion, ciphers: cipher, ...identity('other') });
    const { error, info } = await server.next();
    assert.match(error, /CERTIFICATE_VERIFY_FAILED/);
    assert.equal(info?.version, maxVersion);
    assert.equal(info?.cipher, cipher);
    assert.equal(info?.peerCertificate()?.issuer, 'CN=Other CA');
    assert.deepEqual(info?.localCertificate()?.dnsSans, ['a.example.com']);
    assert.equal(info?.peerValidated, false);
  }
});

test('resumes a session in another worker', async (t) => {
  const message = { common_tls_context: { tls_certificates: [certificateFiles('server-ec')] } };
  const first = await listen(t, downstream(message).transport);
  const { transport, store } = downstream(message);
  const second = await listen(t, transport);
  const client = await dial(t, first.port, { maxVersion: 'TLSv1.2' });
  await dial(t, second.port, { maxVersion: 'TLSv1.2', session: client.getSession() });
  assert.equal(counters(store).session_reused, 1);
});

const ticketKey = (byte: number) => ({ inline_bytes: new Uint8Array(80).fill(byte) });

test('resumes tickets of every configured key, and gives new ones under the first', async (t) => {
  const served = { common_tls_context: { tls_certificates: [certificateFiles('server-ec')] } };
  const keyed = async (...keys: number[]) => {
    const { transport, store } = downstream({
      ...served,
      session_ticket_keys: { keys: keys.map(ticketKey) },
    });
    const { port } = await listen(t, transport);
    return { port, reused: () => counters(store).session_reused ?? 0 };
  };
  const [old, both, renewed] = [await keyed(1), await keyed(2, 1), await keyed(2)];
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const before = [both.reused(), renewed.reused()];
    /** What the server has given by the time it answers. */
    const session = async (port: number, known: Buffer | undefined) => {
      const client = connectTls({
        host: '127.0.0.1',
        port,
        rejectUnauthorized: false,
        maxVersion,
        session: known,
      });
      t.after(() => client.destroy());
      let given: Buffer | undefined;
      client.on('session', (it) => {
        given = it;
      });
      client.write('x');
      await once(client, 'data');
      return maxVersion === 'TLSv1.2' ? client.getSession() : given;
    };
    const first = await session(old.port, undefined);
    const second = await session(both.port, first);
    await dial(t, renewed.port, { maxVersion, session: second });
    assert.deepEqual([both.reused() - before[0]!, renewed.reused() - before[1]!], [1, 1], maxVersion);
  }
});

test('resumes by the id of the session where there are no tickets', async (t) => {
  const served = { common_tls_context: { tls_certificates: [certificateFiles('server-ec')] } };
  const without = { ...served, disable_stateless_session_resumption: true };
  for (const [message, reused] of [
    [without, 1],
    [{ ...without, disable_stateful_session_resumption: true }, undefined],
  ] as const) {
    const { transport, store } = downstream(message);
    const { port } = await listen(t, transport);
    const client = await dial(t, port, { maxVersion: 'TLSv1.2' });
    await dial(t, port, { maxVersion: 'TLSv1.2', session: client.getSession() });
    assert.equal(counters(store).session_reused, reused);
  }
});

test('takes another certificate for new handshakes when the secret changes', async (t) => {
  const secrets = new Secrets();
  const certificate = (name: string): SecretData => ({
    kind: 'certificate',
    value: {
      name: 'front',
      chain: pem(name),
      key: pem(`${name}-key`),
      pkcs12: undefined,
      password: '',
      ocspStaple: undefined,
      ocspExpiresMs: 0,
      mustStaple: false,
    },
  });
  const { transport, store } = downstream(
    { common_tls_context: { tls_certificate_sds_secret_configs: [{ name: 'front' }] } },
    secrets,
  );
  const server = await listen(t, transport);
  await dial(t, server.port);
  const factory = () => counters(store, 'listener.test.server_ssl_socket_factory.');
  assert.deepEqual(factory(), { downstream_context_secrets_not_ready: 1 });
  await server.next();
  secrets.set('front', certificate('server-ec'));
  const before = await dial(t, server.port);
  secrets.set('front', certificate('wildcard'));
  const after = await dial(t, server.port);
  assert.equal(names(before), 'DNS:a.example.com');
  assert.equal(names(after), 'DNS:*.b.example.com, DNS:c.example.com');
  before.write('x');
  await once(before, 'data');
  assert.equal(factory().ssl_context_update_by_sds, 2);
});

const sources = [
  {
    name: 'PKCS#12',
    certificate: {
      pkcs12: { filename: certificatePath('server-ec.p12') },
      password: { inline_string: 'secret' },
    },
  },
  {
    name: 'an encrypted key',
    certificate: {
      certificate_chain: { inline_string: pem('server-ec') },
      private_key: { inline_bytes: readFileSync(certificatePath('server-ec-encrypted-key')) },
      password: { inline_string: 'secret' },
    },
  },
];

for (const { name, certificate } of sources) {
  test(`reads ${name}`, async (t) => {
    const { transport } = downstream({ common_tls_context: { tls_certificates: [certificate] } });
    const server = await listen(t, transport);
    assert.equal(names(await dial(t, server.port)), 'DNS:a.example.com');
  });
}

// Upstream -------------------------------------------------------------------------------------------------------------------

/** Connects to a `node:tls` server with the transport; the error is empty when the handshake was taken. */
async function reach(
  t: TestContext,
  message: UpstreamTlsContextInit,
  hostname = '',
  alpn: readonly string[] = [],
) {
  const problems: ConfigError[] = [];
  const config = parseUpstreamTls(
    create(`${package_}.UpstreamTlsContext`, message),
    new ParseContext('', problems),
  );
  assert.deepEqual(problems, []);
  const services = context();
  const transport = new UpstreamTls(config, services);
  let seen: { readonly sni: string | false | undefined } = { sni: undefined };
  const server = createTlsServer(
    {
      ...identity('server-rsa'),
      ALPNProtocols: ['h2', 'http/1.1'],
      requestCert: true,
      rejectUnauthorized: false,
    },
    (socket) => {
      seen = { sni: (socket as { servername?: string | false }).servername };
      socket.on('error', () => {});
      socket.write('hello');
    },
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const open = async () => {
    const raw = connect((server.address() as AddressInfo).port, '127.0.0.1');
    const socket = transport.wrap(raw, { hostname } as never, alpn, undefined) as TLSSocket;
    t.after(() => socket.destroy());
    let error = '';
    socket.on('error', (it) => {
      error = it.message;
    });
    await Promise.race([once(socket, 'secureConnect'), once(socket, 'close').catch(() => {})]).catch(
      () => {},
    );
    if (!socket.destroyed) await once(socket, 'data');
    return { socket, error, info: transport.tlsInfo(socket) };
  };
  return {
    ...(await open()),
    open,
    seen: () => seen,

    counters: () => counters(services.store),
  };
}

test('speaks TLS 1.2 to upstreams unless told otherwise, without a name', async (t) => {
  const { info, seen, socket } = await reach(t, {}, 'a.example.com', ['h2']);
  assert.equal(info?.version, 'TLSv1.2');
  assert.equal(info?.group, 'X25519');
  assert.equal(socket.alpnProtocol, 'h2');
  assert.equal(seen().sni, false);
});

test("sends the host's name with auto_host_sni and demands it of the certificate", async (t) => {
  const message = {
    sni: 'other.example.com',
    auto_host_sni: true,
    auto_sni_san_validation: true,
    common_tls_context: { validation_context: trusted, tls_certificates: [certificateFiles('client')] },
  };
  const good = await reach(t, message, 'a.example.com');
  assert.equal(good.error, '');
  assert.equal(good.seen().sni, 'a.example.com');
  const bad = await reach(t, message);
  assert.match(
    bad.error,
    /CERTIFICATE_VERIFY_FAILED:verify cert failed: SAN matcher, certificate SANs are \[a.example.com, /,
  );
  assert.equal(bad.counters().fail_verify_san, 1);
});

test('follows a server that renegotiates only where that is allowed', {
  skip: missing('openssl'),
}, async (t) => {
  for (const allow_renegotiation of [true, false]) {
    const own = ['-cert', certificatePath('server-rsa'), '-key', certificatePath('server-rsa-key')];
    const server = spawn(peer('openssl'), ['s_server', '-accept', '127.0.0.1:0', '-tls1_2', ...own]);
    t.after(() => server.kill());
    const printed = (pattern: RegExp) =>
      new Promise<string>((resolve) => {
        let all = '';
        server.stdout.on('data', (bytes) => {
          all += bytes;
          const found = pattern.exec(all);
          if (found) resolve(found[1]!);
        });
      });
    const port = Number(await printed(/ACCEPT 127.0.0.1:(\d+)\s/));
    const config = parseUpstreamTls(
      create(`${package_}.UpstreamTlsContext`, { allow_renegotiation }),
      new ParseContext('', []),
    );
    const services = context();
    const transport = new UpstreamTls(config, services);
    const connected = printed(/Secure Renegotiation IS supported/);
    const socket = transport.wrap(connect(port, '127.0.0.1'), { hostname: '' } as never, [], undefined);
    t.after(() => socket.destroy());
    socket.on('error', () => {});
    await Promise.all([connected, anyOf(socket as TLSSocket, 'secureConnect')]);
    const said = anyOf(socket as TLSSocket, allow_renegotiation ? 'data' : 'close');
    socket.resume();
    // `R` asks the client for another handshake.
    server.stdin.write('R\n');
    if (allow_renegotiation) await anyOf(socket as TLSSocket, 'secureConnect');
    if (allow_renegotiation) server.stdin.write('hello\n');
    await said;
    assert.equal(socket.destroyed, !allow_renegotiation);
    const { handshake, connection_error = 0 } = counters(services.store);
    assert.deepEqual([handshake, connection_error], [1, allow_renegotiation ? 0 : 1]);
  }
});

test('resumes sessions with upstreams', async (t) => {
  const { open, counters } = await reach(t, { sni: 'a.example.com' });
  await open();
  assert.equal(counters().session_reused, 1);
});

test('offers a session of TLS 1.2 again and again', async (t) => {
  const { open, counters } = await reach(t, {
    sni: 'a.example.com',
    common_tls_context: { tls_params: { tls_maximum_protocol_version: 'TLSv1_2' } },
  });
  await open();
  await open();
  await open();
  assert.equal(counters().session_reused, 3);
});

test('refuses an upstream of another CA', async (t) => {
  const { error, counters } = await reach(t, {
    common_tls_context: { validation_context: { trusted_ca: { filename: certificatePath('other-ca') } } },
  });
  assert.match(error, /^TLS_error:\|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:/);
  assert.equal(counters().fail_verify_error, 1);
});

test('writes the secrets of the connections it is asked for to the key log', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'key-log-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const lines = async (remote: string) => {
    const path = join(folder, remote);
    const key_log = { path, remote_address_range: [{ address_prefix: remote, prefix_len: 32 }] };
    const { transport, files } = downstream({
      common_tls_context: { tls_certificates: [certificateFiles('server-rsa')], key_log },
    });
    const server = await listen(t, transport);
    await dial(t, server.port);
    await new Promise<void>((resolve) => files.close(resolve));
    return readFileSync(path, 'utf8').trim().split('\n');
  };
  const kinds = (await lines('127.0.0.1')).map((it) => it.split(' ')[0]);
  assert.ok(kinds.includes('CLIENT_HANDSHAKE_TRAFFIC_SECRET'), kinds.join());
  assert.deepEqual(await lines('127.0.0.2'), ['']);
});

test('parses the example of the README', async () => {
  const readme = readFileSync(new URL('README.md', import.meta.url), 'utf8');
  const example = /```yaml\n([\s\S]*?)```/.exec(readme)![1]!;
  const folder = certificatePath('ca').replace('ca.pem', '');
  const indented = example.replaceAll(/filename: /g, `filename: ${folder}`).replaceAll(/^/gm, '      ');
  const yaml = `static_resources:\n  listeners:\n  - name: a\n    address: { pipe: { path: /a } }\n    filter_chains:\n    - filters: []\n${indented}`;
  const { bootstrap, problems } = await loadBootstrap({ yaml });
  assert.deepEqual(
    problems.filter((it) => it.severity === 'error'),
    [],
  );
  const [listener] = (bootstrap as unknown as Bootstrap).static_resources!.listeners;
  const found: ConfigError[] = [];
  const socket = listener!.filter_chains[0]!.transport_socket!;
  const config = parseDownstreamTls(socket.typed_config as never, new ParseContext('', found));
  assert.deepEqual(found, []);
  assert.equal(config.certificates.length, 2);
});

/** What a client of `node:tls` says first. */
async function clientHello(): Promise<Buffer> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connectTls({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
  client.on('error', () => {});
  const [socket] = (await once(server, 'connection')) as [Socket];
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  client.destroy();
  server.close();
  return bytes;
}

test('serves on while others send cut, changed and random ClientHellos', async (t) => {
  const seed = 1;
  let state = seed;
  const random = (below: number) => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return state % below;
  };
  const { transport, store } = downstream({
    common_tls_context: { tls_certificates: [certificateFiles('server-ec')], validation_context: trusted },
  });
  const server = await listen(t, transport);
  const hello = await clientHello();
  const rest = Buffer.alloc(64, 0x17);
  const all: Buffer[] = [];
  for (let i = 0; i < 60; i++) {
    all.push(hello.subarray(0, random(hello.length)));
    const changed = Buffer.concat([hello, rest]);
    for (let n = 0; n < 4; n++) changed[random(hello.length)] = random(256);
    all.push(changed);
    all.push(Buffer.from(Array.from({ length: 40 }, () => random(256))));
  }
  for (const bytes of all) {
    const socket = connect(server.port, '127.0.0.1');
    socket.on('error', () => {});
    socket.end(bytes);
    await new Promise((resolve) => socket.on('close', resolve).resume());
  }
  const client = await dial(t, server.port, identity('client'));
  assert.equal(client.destroyed, false, `seed ${seed}`);
  const { connection_error = 0, handshake } = counters(store);
  assert.equal(handshake, 1, `seed ${seed}`);
  assert.ok(connection_error >= 60 && connection_error <= all.length, `seed ${seed}: ${connection_error}`);
});
