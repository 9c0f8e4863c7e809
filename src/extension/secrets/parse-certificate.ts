// `TlsCertificate` and `TlsSessionTicketKeys` -> plain data. Files are read here, encrypted keys decrypted.
import { createHash, type X509Certificate } from 'node:crypto';
import type { ParseContext } from '#config/parse-context.ts';
import { loadCertificate } from '#config/tls-certificate.ts';
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
  const loaded = loadCertificate(message, at, name === '' ? 'configuration' : 'discovered');
  if (loaded === undefined) return undefined;
  const { leaf, pem, pkcs12, password } = loaded;
  return {
    name,
    chain: pem === undefined ? '' : pem.chain.toString('latin1'),
    key: pem === undefined ? '' : (pem.key.export({ type: 'pkcs8', format: 'pem' }) as string),
    pkcs12: pkcs12 && new Uint8Array(pkcs12),
    password: pkcs12 === undefined ? '' : password,
    ...parseStaple(message.ocsp_staple, leaf, at.field('ocsp_staple')),
  };
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
  const der = readDataSource(source, at, false);
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
    const key = readDataSource(source, here, false);
    if (key === undefined) return [];
    if (key.length !== 80) {
      const problem = `Incorrect TLS session ticket key length. Length ${key.length}, expected length 80.`;
      here.fail(problem, { envoy: problem });
      return [];
    }
    return new Uint8Array(createHash('sha384').update(key).digest());
  });
}
