// The certificates of a listener as OpenSSL contexts, and which of them answers to a name.
import { constants, X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import type { CertificateData, TicketKey, ValidationData } from '#extension/secrets/secret-data.ts';
import { serverNames } from '#net/tls-certificate.ts';
import type { DownstreamTlsConfig, TlsConfig } from './config.ts';

/** The contexts that a name has for each type of key. */
interface KeyTypes {
  rsa: SecureContext | undefined;
  ec: SecureContext | undefined;
}

export class ServerContexts {
  /** For clients that name no server: the first certificate of each type, of which OpenSSL takes the fitting one. */
  readonly unnamed: SecureContext;
  /** Whether names make a difference. */
  readonly isChoice: boolean;
  /** A wildcard is here without its star: `.b.example.com`. */
  readonly #byName = new Map<string, KeyTypes>();
  /** For names that nobody has. */
  readonly #unknown: KeyTypes;

  constructor(
    config: DownstreamTlsConfig,
    certificates: readonly CertificateData[],
    validation: ValidationData | undefined,
    ticketKey: TicketKey,
    sessionIdContext: string,
  ) {
    const contextOf = (own: readonly CertificateData[]) =>
      serverContext(config, own, validation, ticketKey, sessionIdContext);
    const all: KeyTypes = { rsa: undefined, ec: undefined };
    const first: CertificateData[] = [];
    for (const certificate of certificates) {
      const x509 = leafOf(certificate);
      const type = x509.publicKey.asymmetricKeyType === 'ec' ? 'ec' : 'rsa';
      const context = contextOf([certificate]);
      if (all[type] === undefined) first.push(certificate);
      all[type] ??= context;
      for (const name of serverNames(x509)) {
        const key = name.startsWith('*.') ? name.slice(1) : name;
        const types = this.#byName.get(key) ?? { rsa: undefined, ec: undefined };
        this.#byName.set(key, types);
        types[type] ??= context;
      }
    }
    this.isChoice = certificates.length > 1;
    this.unnamed = first.length > 1 ? contextOf(first) : (all.ec ?? all.rsa!);
    const isEcFirst = leafOf(certificates[0]!).publicKey.asymmetricKeyType === 'ec';
    this.#unknown = config.fullScan
      ? all
      : isEcFirst
        ? { rsa: undefined, ec: all.ec }
        : { rsa: all.rsa, ec: undefined };
  }

  /** The exact name, else a wildcard for its first label, else the first certificate. */
  select(servername: string, takesEc: boolean): SecureContext {
    const { rsa, ec } = this.#typesOf(servername.toLowerCase());
    return (takesEc ? (ec ?? rsa) : (rsa ?? ec))!;
  }

  #typesOf(name: string): KeyTypes {
    const exact = this.#byName.get(name);
    if (exact !== undefined) return exact;
    const dot = name.indexOf('.');
    return (dot < 0 ? undefined : this.#byName.get(name.slice(dot))) ?? this.#unknown;
  }
}

function serverContext(
  config: DownstreamTlsConfig,
  certificates: readonly CertificateData[],
  validation: ValidationData | undefined,
  ticketKey: TicketKey,
  sessionIdContext: string,
): SecureContext {
  let secureOptions = constants.SSL_OP_NO_RENEGOTIATION;
  if (!config.stateless) secureOptions |= constants.SSL_OP_NO_TICKET;
  return createSecureContext({
    ...contextOptions(config, certificates, validation),
    ticketKeys: Buffer.from(ticketKey),
    sessionTimeout: config.sessionTimeout > 0 ? config.sessionTimeout : 7200,
    sessionIdContext,
    honorCipherOrder: !config.prefersClientCiphers,
    secureOptions,
  });
}

/** What servers and clients share. */
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
    ciphers: config.ciphers,
    ecdhCurve: config.groups,
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
