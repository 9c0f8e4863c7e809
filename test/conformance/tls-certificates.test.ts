// Certificates, keys and parameters of TLS that are wrong or unusual: taken or refused in the same words by the real Envoy and by us.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { certificateFiles, certificatePath } from '#testing/certificates.ts';
import { missing, peer } from '#testing/peers.ts';
import { proxyCommand } from '#testing/proxy-process.ts';

const type = (name: string) => `type.googleapis.com/envoy.extensions.${name}`;
const folder = mkdtempSync(join(tmpdir(), 'tls-certificates-'));
const at = (name: string) => join(folder, name);
const file = (name: string) => ({ filename: name.startsWith('/') ? name : at(name) });
const password = { inline_string: 'secret' };

const newKeys: Readonly<Record<string, string>> = {
  p384: 'ec -pkeyopt ec_paramgen_curve:secp384r1',
  p224: 'ec -pkeyopt ec_paramgen_curve:secp224r1',
  k256: 'ec -pkeyopt ec_paramgen_curve:secp256k1',
  rsa1024: 'rsa:1024',
  rsa2048: 'rsa:2048',
  ed25519: 'ed25519',
  ed448: 'ed448',
};

function openssl(...args: string[]): void {
  execFileSync(peer('openssl'), args, { cwd: folder, stdio: 'pipe' });
}

function makeFiles(): void {
  for (const [name, key] of Object.entries(newKeys))
    openssl(
      ...['req', '-x509', '-nodes', '-days', '3650', '-subj', `/CN=${name}`],
      ...['-newkey', ...key.split(' '), '-keyout', `${name}-key.pem`, '-out', `${name}.pem`],
    );
  const pkcs12 = ['pkcs12', '-export', '-passout', 'pass:secret', '-out'];
  openssl(...pkcs12, 'good.p12', '-inkey', 'p384-key.pem', '-in', 'p384.pem');
  openssl(...pkcs12, 'short.p12', '-inkey', 'rsa1024-key.pem', '-in', 'rsa1024.pem');
  openssl(...pkcs12, 'no-key.p12', '-nokeys', '-in', 'p384.pem');
  openssl(...pkcs12, 'no-certificate.p12', '-nocerts', '-inkey', 'p384-key.pem');
  writeFileSync(at('empty.pem'), '');
  writeFileSync(at('junk.pem'), 'junk\n');
}

const identity = (name: string, key = `${name}-key.pem`, more: object = {}) => ({
  tls_certificates: [{ certificate_chain: file(`${name}.pem`), private_key: file(key), ...more }],
});
const encrypted = (more: object) => ({
  tls_certificates: [
    {
      certificate_chain: file(certificatePath('server-ec')),
      private_key: file(certificatePath('server-ec-encrypted-key')),
      ...more,
    },
  ],
});
const pkcs12 = (name: string, more: object = { password }) => ({
  tls_certificates: [{ pkcs12: file(name), ...more }],
});
const good = { tls_certificates: [certificateFiles('server-ec')] };
const parameters = (tls_params: object) => ({ ...good, tls_params });
const validation = (validation_context: object) => ({ ...good, validation_context });
const trusted_ca = file(certificatePath('ca'));

const contexts: Readonly<Record<string, object>> = {
  ...Object.fromEntries(Object.keys(newKeys).map((name) => [name, identity(name)])),
  'key of another kind': identity('p384', 'rsa2048-key.pem'),
  'key of another certificate': identity('rsa2048', certificatePath('server-rsa-key')),
  // Always the same one: of 256 wrong passwords one is found out only when the key is read.
  'encrypted key': encrypted({ password }),
  'encrypted key, wrong password': encrypted({ password: { inline_string: 'x' } }),
  'encrypted key, no password': encrypted({}),
  'no file of a password': identity('p384', 'p384-key.pem', { password: file('absent') }),
  'no file of a certificate': identity('absent', 'p384-key.pem'),
  'no file of a key': identity('p384', 'absent'),
  'empty certificate': identity('empty', 'p384-key.pem'),
  'empty key': identity('p384', 'empty.pem'),
  'junk for a certificate': identity('junk', 'p384-key.pem'),
  'junk for a key': identity('p384', 'junk.pem'),
  'certificate without key': { tls_certificates: [{ certificate_chain: file('p384.pem') }] },
  'key without certificate': { tls_certificates: [{ private_key: file('p384-key.pem') }] },
  'nothing of a certificate': { tls_certificates: [{}] },
  'no file of an OCSP response': identity('p384', 'p384-key.pem', { ocsp_staple: file('absent') }),
  pkcs12: pkcs12('good.p12'),
  'pkcs12, wrong password': pkcs12('good.p12', { password: { inline_string: 'x' } }),
  'pkcs12, no password': pkcs12('good.p12', {}),
  'pkcs12 without key': pkcs12('no-key.p12'),
  'pkcs12 without certificate': pkcs12('no-certificate.p12'),
  'pkcs12 with a short key': pkcs12('short.p12'),
  'pkcs12 of junk': pkcs12('junk.pem'),
  'empty pkcs12': pkcs12('empty.pem'),
  'no file of pkcs12': pkcs12('absent'),
  'pkcs12 and certificate': pkcs12('good.p12', { certificate_chain: file('p384.pem') }),
  'pkcs12 and key': pkcs12('good.p12', { private_key: file('p384-key.pem') }),
  'all suites but some': parameters({ cipher_suites: ['ALL', '!AES128', '-kRSA', '+CHACHA20'] }),
  'suites in one text': parameters({ cipher_suites: ['AES128-SHA:AES256-SHA'] }),
  'operators behind a group': parameters({ cipher_suites: ['[AES128-SHA|AES256-SHA]', '-ALL'] }),
  'no suite left': parameters({ cipher_suites: ['AES128-SHA', '!ALL'] }),
  'an unknown suite': parameters({ cipher_suites: ['AES128-SHA', 'NOPE'] }),
  'a suite of TLS 1.3': parameters({ cipher_suites: ['TLS_AES_128_GCM_SHA256'] }),
  'a curve twice': parameters({ ecdh_curves: ['P-256', 'prime256v1'] }),
  'an unknown signature': parameters({ signature_algorithms: ['nope'] }),
  'a signature twice': parameters({ signature_algorithms: ['RSA+SHA256', 'RSA+SHA256'] }),
  'a long protocol': { ...good, alpn_protocols: ['x'.repeat(256)] },
  'an empty CA': validation({ trusted_ca: file('empty.pem') }),
  'an empty CA inline': validation({ trusted_ca: { inline_string: '' } }),
  'junk for a CA': validation({ trusted_ca: file('junk.pem') }),
  'junk for a CRL': validation({ trusted_ca, crl: file('junk.pem') }),
  'no file of a CRL': validation({ trusted_ca, crl: file('absent') }),
  'a CRL without CA': validation({ crl: file(certificatePath('ca-crl')) }),
  'expired ones without CA': validation({ allow_expired_certificate: true }),
};

function configuration(common_tls_context: object): string {
  return JSON.stringify({
    static_resources: {
      listeners: [
        {
          name: 'l',
          address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
          filter_chains: [
            {
              filters: [{ name: 'echo', typed_config: { '@type': type('filters.network.echo.v3.Echo') } }],
              transport_socket: {
                name: 'tls',
                typed_config: {
                  '@type': type('transport_sockets.tls.v3.DownstreamTlsContext'),
                  common_tls_context,
                },
              },
            },
          ],
        },
      ],
    },
  });
}

/** What is said against a configuration; empty: it is taken. */
function verdict(kind: 'envoy' | 'chancery', path: string): string {
  const [program, ...first] = proxyCommand(kind);
  try {
    execFileSync(program!, [...first, '--mode', 'validate', '-c', path], { cwd: folder, stdio: 'pipe' });
    return '';
  } catch (error) {
    const { stdout, stderr } = error as { stdout: Buffer; stderr: Buffer };
    const output = `${stdout}${stderr}`;
    return /error initializing configuration '[^']*': (.*)/.exec(output)?.[1] ?? output;
  }
}

test('what TLS is given is taken or refused as by Envoy', { skip: missing('envoy') }, async (t) => {
  t.after(() => rmSync(folder, { recursive: true }));
  makeFiles();
  for (const [name, context] of Object.entries(contexts)) {
    const path = at('envoy.yaml');
    writeFileSync(path, configuration(context));
    await t.test(name, () => assert.equal(verdict('chancery', path), verdict('envoy', path)));
  }
});
