import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { connect, createSecureContext, type SecureVersion, TLSSocket } from 'node:tls';
import { foreignFunctions } from '#base/foreign-functions.ts';
import { certificatePath } from '#testing/certificates.ts';
import { ChainError, type Judge, judgeInHandshake, type PeerChain } from './handshake-verdict.ts';

const skip = foreignFunctions() === undefined && 'needs Linux and node:ffi';
const pem = (name: string) => readFileSync(certificatePath(name));
const subject = (name: string) => new X509Certificate(pem(name)).subject;
const versions: readonly SecureVersion[] = ['TLSv1.2', 'TLSv1.3'];

/** What a client with the certificate `name` hears: `hello`, or the code of its error. */
async function greeting(
  t: TestContext,
  judge: (chain: PeerChain) => number,
  { name = 'client', version = 'TLSv1.3' as SecureVersion, options = {} as Partial<Judge> } = {},
): Promise<string> {
  const secureContext = createSecureContext({
    key: pem('server-rsa-key'),
    cert: pem('server-rsa'),
    ca: pem('ca'),
  });
  const kept: Judge = { stopsAtFirstProblem: true, checksOnlyLeafCrl: false, ...options, judge };
  assert.ok(judgeInHandshake(secureContext, kept));
  const server = createServer((socket) => {
    const tls = new TLSSocket(socket, {
      isServer: true,
      requestCert: true,
      rejectUnauthorized: true,
      secureContext,
    });
    tls.on('error', () => {});
    tls.once('secure', () => tls.end('hello'));
  }).listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const client = connect({
    host: '127.0.0.1',
    port: (server.address() as AddressInfo).port,
    rejectUnauthorized: false,
    minVersion: version,
    maxVersion: version,
    cert: pem(name),
    key: pem(`${name}-key`),
  });
  try {
    let text = '';
    for await (const chunk of client) text += chunk;
    return text;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? '';
  }
}

for (const version of versions) {
  test(`${version}: who is let pass goes on, and the chain is told`, { skip }, async (t) => {
    const seen: PeerChain[] = [];
    const judge = (chain: PeerChain) => {
      seen.push(chain);
      return ChainError.None;
    };
    assert.equal(await greeting(t, judge, { version }), 'hello');
    assert.equal(await greeting(t, judge, { version, name: 'expired' }), 'hello');
    assert.equal(await greeting(t, judge, { version, name: 'other' }), 'hello');
    assert.deepEqual(
      seen.map((it) => [it.certificates[0]!.subject, it.code, it.error]),
      [
        [subject('client'), '', 0],
        [subject('expired'), 'CERT_HAS_EXPIRED', 10],
        [subject('other'), 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 20],
      ],
    );
  });

  test(`${version}: who is refused hears why`, { skip }, async (t) => {
    const judge = (chain: PeerChain) => chain.error || ChainError.Other;
    assert.equal(await greeting(t, judge, { version }), 'ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_UNKNOWN');
    assert.equal(
      await greeting(t, judge, { version, name: 'expired' }),
      'ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_EXPIRED',
    );
    assert.equal(await greeting(t, judge, { version, name: 'other' }), 'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA');
  });

  test(`${version}: nobody passes a judge that fails`, { skip }, async (t) => {
    const judge = () => {
      throw new Error('a defect');
    };
    assert.equal(await greeting(t, judge, { version }), 'ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_UNKNOWN');
  });
}
