// What the OpenSSL contexts of servers and clients have in common.
import { X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import type { CertificateData, ValidationData } from '#extension/secrets/secret-data.ts';
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
    ca: validation === undefined || validation.trustedCa === '' ? [] : [validation.trustedCa],
    ...(validation === undefined || validation.crl === '' ? {} : { crl: validation.crl }),
    allowPartialTrustChain: true,
    minVersion: config.minVersion,
    maxVersion: config.maxVersion,
    ciphers: cipherList(config, ''),
    ecdhCurve: config.groups.join(':'),
    ...(config.signatureAlgorithms === '' ? {} : { sigalgs: config.signatureAlgorithms }),
  };
}

/** The certificate itself, without its chain. */
export function leafOf(certificate: CertificateData): X509Certificate {
  if (certificate.pkcs12 === undefined) return new X509Certificate(certificate.chain);
  const { context } = createSecureContext({
    pfx: Buffer.from(certificate.pkcs12),
    passphrase: certificate.password,
  });
  return new X509Certificate((context as { getCertificate(): Buffer }).getCertificate());
}
