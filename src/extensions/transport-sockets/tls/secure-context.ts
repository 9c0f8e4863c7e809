// What the OpenSSL contexts of servers and clients have in common.
import { X509Certificate } from 'node:crypto';
import {
  createSecureContext,
  getCACertificates,
  type SecureContext,
  type SecureContextOptions,
  setDefaultCACertificates,
} from 'node:tls';
import { pkcs12Leaf } from '#config/tls-certificate.ts';
import type { CertificateData, ValidationData } from '#extension/secrets/secret-data.ts';
import { pemCertificates } from '#net/tls-certificate.ts';
import type { TlsConfig } from './config.ts';
import { cipherList } from './parameters.ts';

export function contextOptions(
  config: TlsConfig,
  certificates: readonly CertificateData[],
  validation: ValidationData | undefined,
): SecureContextOptions {
  const pem = certificates.filter((it) => it.pkcs12 === undefined);
  const pkcs12 = certificates.filter((it) => it.pkcs12 !== undefined);
  return {
    ...(pem.length === 0 ? {} : { cert: pem.map((it) => it.chain), key: pem.map((it) => it.key) }),
    ...(pkcs12.length === 0
      ? {}
      : { pfx: pkcs12.map((it) => ({ buf: Buffer.from(it.pkcs12!), passphrase: it.password })) }),
    // An empty list: not the roots of the system.
    ca: [...caCertificates(validation)],
    ...(validation === undefined || validation.crl === '' ? {} : { crl: validation.crl }),
    allowPartialTrustChain: true,
    minVersion: config.minVersion,
    maxVersion: config.maxVersion,
    ciphers: cipherList(config, ''),
    ecdhCurve: offeredGroups(config.groups),
    sigalgs: [...config.signatureAlgorithms, ...ownSignatures(certificates)].join(':'),
  };
}

/** BoringSSL sends a key for the first group, and for the first usual one where that is a post-quantum one. */
function offeredGroups(groups: readonly string[]): string {
  const usual = groups.findIndex((it) => !it.includes('MLKEM'));
  return groups.map((it, i) => (i === 0 || i === usual ? `*${it}` : it)).join(':');
}

/** BoringSSL signs with more than it takes of others. */
function ownSignatures(certificates: readonly CertificateData[]): readonly string[] {
  const curves = certificates.map((it) => curveOf(leafOf(it)));
  return [
    ...(curves.includes('secp521r1') ? ['ecdsa_secp521r1_sha512'] : []),
    ...(curves.includes('ed25519') ? ['ed25519'] : []),
  ];
}

/** Of the key, in OpenSSL's words; empty for RSA. */
export function curveOf({ publicKey }: X509Certificate): string {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = publicKey;
  return type === 'ec' ? (details?.namedCurve ?? '') : type === 'ed25519' ? type : '';
}

function caCertificates(validation: ValidationData | undefined): readonly string[] {
  if (validation === undefined) return [];
  if (validation.spiffe !== undefined) return validation.spiffe.map(({ bundle }) => bundle);
  return validation.trustedCa === '' ? [] : [validation.trustedCa];
}

/**
 * A context whose clients are not told the names of the CAs. OpenSSL lists those that are given to a context, but not Node's own, in the
 * place of which they stand for a moment.
 */
export function withoutCaNames({ ca, ...options }: SecureContextOptions): SecureContext {
  const own = getCACertificates('default');
  setDefaultCACertificates((ca as string[]).flatMap(pemCertificates));
  try {
    return createSecureContext(options);
  } finally {
    setDefaultCACertificates(own);
  }
}

/** The certificate itself, without its chain. */
export function leafOf(certificate: CertificateData): X509Certificate {
  const { chain, password, pkcs12 } = certificate;
  return pkcs12 === undefined ? new X509Certificate(chain) : pkcs12Leaf(pkcs12, password);
}
