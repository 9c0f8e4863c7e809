// A `TlsCertificate` read and looked at as BoringSSL does before it serves with it. What is wrong is said in Envoy's words.
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { MessageTypes } from '#schema/messages/type-map.ts';
import type { ParseContext } from './parse-context.ts';

type DataSource = MessageTypes['envoy.config.core.v3.DataSource'];
type TlsCertificate = MessageTypes['envoy.extensions.transport_sockets.tls.v3.TlsCertificate'];

export interface LoadedCertificate {
  readonly leaf: X509Certificate;
  /** As they came; undefined: there is PKCS#12. */
  readonly pem: { readonly chain: Buffer; readonly key: KeyObject } | undefined;
  readonly pkcs12: Buffer | undefined;
  readonly password: string;
}

/** Where a certificate is named: in the context of a listener, elsewhere in the configuration, or in a secret that was discovered. */
export type CertificatePlace = 'server' | 'configuration' | 'discovered';

/** Undefined: a problem was reported. */
export function loadCertificate(
  message: TlsCertificate,
  at: ParseContext,
  place: CertificatePlace,
): LoadedCertificate | undefined {
  const password = bytesOf(message.password)?.toString() ?? '';
  if (message.pkcs12 !== undefined) {
    const other = (['certificate_chain', 'private_key', 'private_key_provider'] as const).find(
      (it) => message[it] !== undefined,
    );
    if (other === undefined) return loadPkcs12(message.pkcs12, password, at.field('pkcs12'));
    const problem = `Certificate configuration can't have both pkcs12 and ${other}`;
    at.field('pkcs12').fail(problem, { rule, envoy: problem });
    return undefined;
  }
  const { certificate_chain: chain, private_key: key } = message;
  if (place === 'server' && chain === undefined && key === undefined) {
    at.fail('"certificate_chain" and "private_key" are missing', {
      rule,
      envoy: 'Server TlsCertificates must have a certificate specified',
      suggestion: 'add "certificate_chain" and "private_key"',
    });
    return undefined;
  }
  // Envoy puts what is in the files into a secret that was discovered.
  const isDiscovered = place === 'discovered';
  const nameOf = (source: DataSource | undefined) => (isDiscovered ? undefined : source?.filename);
  const unreadable = (source: DataSource | undefined, envoy: string) =>
    isDiscovered && source?.filename !== undefined ? `Invalid path: ${source.filename}` : envoy;
  const keyBytes = needed(
    key,
    at,
    'private_key',
    unreadable(key, `Failed to load incomplete private key from path: ${nameOf(key) ?? ''}`),
  );
  const chainBytes = needed(
    chain,
    at,
    'certificate_chain',
    unreadable(
      chain,
      `Failed to load incomplete certificate from ${nameOf(chain) ?? ''}: certificate chain not set`,
    ),
  );
  const leaf = chainBytes && readLeaf(chainBytes, nameOf(chain) ?? '<inline>', at.field('certificate_chain'));
  const privateKey =
    keyBytes && readKey(keyBytes, nameOf(key) ?? '<inline>', password, leaf, at.field('private_key'));
  if (leaf === undefined || privateKey === undefined) return undefined;
  return { leaf, pem: { chain: chainBytes!, key: privateKey }, pkcs12: undefined, password };
}

/** The certificate itself, of whatever OpenSSL can read. */
export function pkcs12Leaf(pfx: Uint8Array, passphrase: string): X509Certificate {
  const { createSecureContext } = process.getBuiltinModule('node:tls');
  const { context } = createSecureContext({ pfx: Buffer.from(pfx), passphrase, ciphers: 'ALL:@SECLEVEL=0' });
  return new X509Certificate((context as { getCertificate(): Buffer }).getCertificate());
}

const rule = 'tls-certificate';

/** Envoy takes what cannot be read for empty. */
function bytesOf(source: DataSource | undefined): Buffer | undefined {
  if (source?.inline_string !== undefined) return Buffer.from(source.inline_string);
  if (source?.inline_bytes !== undefined) return Buffer.from(source.inline_bytes);
  if (source?.environment_variable !== undefined) {
    const value = process.env[source.environment_variable];
    return value === undefined ? undefined : Buffer.from(value);
  }
  if (source?.filename === undefined) return undefined;
  try {
    return readFileSync(source.filename);
  } catch {
    return undefined;
  }
}

function needed(
  source: DataSource | undefined,
  at: ParseContext,
  field: 'certificate_chain' | 'private_key',
  envoy: string,
): Buffer | undefined {
  const bytes = bytesOf(source);
  if (bytes !== undefined && bytes.length > 0) return bytes;
  // Without anything it does not keep to its constraints.
  if (source !== undefined && Object.keys(source).length === 0) return undefined;
  if (source === undefined) at.fail(`"${field}" is missing`, { rule, envoy, suggestion: `add "${field}"` });
  else if (bytes !== undefined) at.field(field).fail('there is nothing in it', { rule, envoy });
  else if (source.filename !== undefined)
    at.field(field).field('filename').fail(`the file "${source.filename}" cannot be read`, {
      rule: 'missing-file',
      got: source.filename,
      envoy,
    });
  else
    at.field(field)
      .field('environment_variable')
      .fail(`the environment variable "${source.environment_variable}" is not set`, {
        rule: 'missing-file',
        got: source.environment_variable,
        envoy,
      });
  return undefined;
}

function readLeaf(bytes: Buffer, name: string, at: ParseContext): X509Certificate | undefined {
  const envoy = `Failed to load certificate chain from ${name}`;
  let leaf: X509Certificate;
  try {
    // DER would be read as well, but Envoy only takes PEM here.
    if (!bytes.includes('-----BEGIN')) throw new Error('no PEM');
    leaf = new X509Certificate(bytes);
  } catch {
    at.fail('the certificate cannot be read', {
      rule,
      envoy,
      expected: 'certificates in PEM form: -----BEGIN CERTIFICATE-----',
      ...(bytes.includes('PRIVATE KEY') && {
        suggestion: 'this is a key: swap "certificate_chain" and "private_key"',
      }),
    });
    return undefined;
  }
  return isTaken(leaf.publicKey, envoy, envoy, at) ? leaf : undefined;
}

const curves = ['prime256v1', 'secp384r1', 'secp521r1'];

/** Whether BoringSSL serves with such a key. `unknown`: what is said of one that it does not know. */
function isTaken(key: KeyObject, envoy: string, unknown: string, at: ParseContext): boolean {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (type === 'rsa') {
    if ((details?.modulusLength ?? 0) >= 2048) return true;
    at.fail(`an RSA key of ${details?.modulusLength} bits is too short`, {
      rule,
      envoy: `${envoy}, only RSA certificates with 2048-bit or larger keys are supported`,
    });
    return false;
  }
  if (type === 'ed25519' || (type === 'ec' && curves.includes(details?.namedCurve ?? ''))) return true;
  at.fail('a key of this kind is not supported', {
    rule,
    got: details?.namedCurve ?? type,
    envoy: unknown,
    expected: 'RSA, ECDSA over P-256, P-384 or P-521, or Ed25519',
  });
  return false;
}

function readKey(
  bytes: Buffer,
  name: string,
  password: string,
  leaf: X509Certificate | undefined,
  at: ParseContext,
): KeyObject | undefined {
  const because = (cause: string) => `Failed to load private key from ${name}, Cause: error:${cause}`;
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: bytes, ...(password === '' ? {} : { passphrase: password }) });
  } catch (cause) {
    const isEncrypted = /ENCRYPTED/.test(bytes.toString('latin1'));
    const isUnknown = (cause as { code?: string }).code === 'ERR_OSSL_EVP_UNSUPPORTED';
    if (isEncrypted && password !== '' && isUnknown) {
      at.unsupported('the key is encrypted by a method that OpenSSL has given up', { cause });
      return undefined;
    }
    at.fail(isEncrypted ? 'the password does not open the private key' : 'the private key cannot be read', {
      rule,
      envoy: because(
        !isEncrypted
          ? '0900006e:PEM routines:OPENSSL_internal:NO_START_LINE'
          : password === ''
            ? '09000068:PEM routines:OPENSSL_internal:BAD_PASSWORD_READ'
            : (cause as { code?: string }).code === 'ERR_OSSL_BAD_DECRYPT'
              ? '1e000065:Cipher functions:OPENSSL_internal:BAD_DECRYPT'
              : '06000066:public key routines:OPENSSL_internal:DECODE_ERROR',
      ),
      ...(!isEncrypted && { expected: 'a key in PEM form: -----BEGIN PRIVATE KEY-----' }),
      ...(bytes.includes('CERTIFICATE') && {
        suggestion: 'this is a certificate: swap "certificate_chain" and "private_key"',
      }),
    });
    return undefined;
  }
  if (leaf === undefined || leaf.checkPrivateKey(key)) return key;
  const isSameType = leaf.publicKey.asymmetricKeyType === key.asymmetricKeyType;
  at.fail('the private key does not belong to the certificate', {
    rule,
    envoy: because(
      `${isSameType ? '0b000074' : '0b000073'}:X.509 certificate routines:OPENSSL_internal:KEY_${isSameType ? 'VALUES' : 'TYPE'}_MISMATCH`,
    ),
    suggestion: 'take the key that the certificate was made for',
  });
  return undefined;
}

function loadPkcs12(source: DataSource, password: string, at: ParseContext): LoadedCertificate | undefined {
  const bytes = bytesOf(source);
  const name = source.filename ?? '<inline>';
  if (bytes === undefined || bytes.length === 0) {
    at.fail(bytes === undefined ? 'it cannot be read' : 'there is nothing in it', {
      rule: bytes === undefined ? 'missing-file' : rule,
      got: source.filename,
      envoy: 'Failed to load certificate chain from ',
    });
    return undefined;
  }
  const unreadable = `Failed to load pkcs12 from ${name}`;
  try {
    const leaf = pkcs12Leaf(bytes, password);
    if (!isTaken(leaf.publicKey, `Failed to load certificate chain from ${name}`, unreadable, at))
      return undefined;
    return { leaf, pem: undefined, pkcs12: bytes, password };
  } catch (cause) {
    const { message } = cause as Error;
    if (message.startsWith('Unsupported PKCS12'))
      at.unsupported('the PKCS#12 file is encrypted by a method that OpenSSL has given up', { cause });
    else if (message.startsWith('Unable to load'))
      at.fail('a certificate and its key are needed', {
        rule,
        envoy: `Failed to load certificate from ${name}`,
        cause,
      });
    else at.fail(`the PKCS#12 file cannot be read: ${message}`, { rule, envoy: unreadable, cause });
    return undefined;
  }
}
