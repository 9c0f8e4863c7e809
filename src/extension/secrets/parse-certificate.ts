// `TlsCertificate` and `TlsSessionTicketKeys` -> plain data. Files are read here, encrypted keys decrypted.
import { createHash, createPrivateKey, X509Certificate } from 'node:crypto';
import type { ParseContext } from '#config/parse-context.ts';
import { parseOcspResponse } from '#net/ocsp-response.ts';
import type { DataSource } from '#schema/messages/envoy/config/core/v3.ts';
import type {
  TlsCertificate,
  TlsSessionTicketKeys,
} from '#schema/messages/envoy/extensions/transport_sockets/tls/v3.ts';
import { readDataSource } from '../data-source.ts';
import { onlyFields } from '../message-fields.ts';
import type { CertificateData, TicketKey } from './secret-data.ts';

/** Undefined: a problem was reported. */
export function parseCertificate(
  message: TlsCertificate,
  at: ParseContext,
  name: string,
): CertificateData | undefined {
  onlyFields(message, at, [
    'certificate_chain',
    'private_key',
    'pkcs12',
    'password',
    'watched_directory',
    'ocsp_staple',
  ]);
  const password =
    message.password === undefined ? '' : readDataSource(message.password, at.field('password'))?.toString();
  if (password === undefined) return undefined;
  if (message.pkcs12 !== undefined) {
    if (message.certificate_chain !== undefined || message.private_key !== undefined) {
      const problem = "Certificate configuration can't have both pkcs12 and certificate_chain / private_key";
      at.field('pkcs12').fail(problem, { envoy: problem });
      return undefined;
    }
    const pkcs12 = readDataSource(message.pkcs12, at.field('pkcs12'));
    if (message.ocsp_staple !== undefined)
      at.field('ocsp_staple').unsupported('is not supported with PKCS#12 by chancery');
    return pkcs12 && { name, chain: '', key: '', pkcs12: new Uint8Array(pkcs12), password, ...withoutStaple };
  }
  const chain = message.certificate_chain && read(message.certificate_chain, at.field('certificate_chain'));
  const encrypted = message.private_key && read(message.private_key, at.field('private_key'));
  if (chain === undefined || encrypted === undefined) {
    if (message.certificate_chain === undefined) at.fail('"certificate_chain" is missing');
    if (message.private_key === undefined)
      at.fail('"private_key" is missing', { envoy: 'Failed to load incomplete private key from path: ' });
    return undefined;
  }
  try {
    const key = createPrivateKey({ key: encrypted, ...(password === '' ? {} : { passphrase: password }) });
    const leaf = new X509Certificate(chain);
    if (!leaf.checkPrivateKey(key)) {
      at.field('private_key').fail('the private key does not belong to the certificate', {
        envoy: `Failed to load private key from ${nameOf(message.private_key)}, Cause: error:0b000074:X.509 certificate routines:OPENSSL_internal:KEY_VALUES_MISMATCH`,
      });
      return undefined;
    }
    const pem = key.export({ type: 'pkcs8', format: 'pem' }) as string;
    const staple = parseStaple(message.ocsp_staple, leaf, at.field('ocsp_staple'));
    return { name, chain, key: pem, pkcs12: undefined, password: '', ...staple };
  } catch (cause) {
    at.fail(`the certificate or its key cannot be read: ${(cause as Error).message}`, {
      envoy: `Failed to load certificate chain from ${nameOf(message.certificate_chain)}`,
      cause,
    });
    return undefined;
  }
}

const withoutStaple = { ocspStaple: undefined, ocspExpiresMs: 0, mustStaple: false };
/** id-pe-tlsfeature, in DER. */
const tlsFeature = Buffer.from('06082b06010505070118', 'hex');

function parseStaple(
  source: DataSource | undefined,
  leaf: X509Certificate,
  at: ParseContext,
): Pick<CertificateData, 'ocspStaple' | 'ocspExpiresMs' | 'mustStaple'> {
  const none = { ...withoutStaple, mustStaple: leaf.raw.includes(tlsFeature) };
  if (source === undefined) return none;
  const fail = (envoy: string) => {
    at.fail(envoy, { envoy });
    return none;
  };
  if (source.inline_string !== undefined) return fail('OCSP staple cannot be provided via inline_string');
  const der = readDataSource(source, at);
  if (der === undefined) return none;
  try {
    const { serial, nextUpdateMs = 0 } = parseOcspResponse(der);
    if (serial !== leaf.serialNumber.toLowerCase().replace(/^0+(?=.)/, ''))
      return fail('OCSP response does not match its TLS certificate');
    return { ...none, ocspStaple: new Uint8Array(der), ocspExpiresMs: nextUpdateMs };
  } catch (error) {
    return fail((error as Error).message);
  }
}

/**
 * Envoy's keys have 80 bytes and OpenSSL, as Node offers it, takes 48: they are derived, so that a fleet with the same configuration
 * resumes each other's sessions.
 */
export function parseTicketKeys(message: TlsSessionTicketKeys, at: ParseContext): readonly TicketKey[] {
  return message.keys.flatMap((source, i) => {
    const here = at.field('keys', i);
    const key = readDataSource(source, here);
    if (key === undefined) return [];
    if (key.length !== 80) {
      const problem = `Incorrect TLS session ticket key length. Length ${key.length}, expected length 80.`;
      here.fail(problem, { envoy: problem });
      return [];
    }
    return new Uint8Array(createHash('sha384').update(key).digest());
  });
}

function read(source: DataSource, at: ParseContext): string | undefined {
  return readDataSource(source, at)?.toString('latin1');
}

function nameOf(source: DataSource | undefined): string {
  return source?.filename ?? '<inline>';
}
