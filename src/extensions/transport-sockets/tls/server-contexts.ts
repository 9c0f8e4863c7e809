// The certificates of a listener as OpenSSL contexts, and which of them answers to a name.
import { constants } from 'node:crypto';
import { createSecureContext, type SecureContext } from 'node:tls';
import type { CertificateData, TicketKey, ValidationData } from '#extension/secrets/secret-data.ts';
import { serverNames } from '#net/tls-certificate.ts';
import type { DownstreamTlsConfig } from './config.ts';
import { contextOptions, leafOf } from './secure-context.ts';

/** A certificate and the context that has it alone. */
export interface ServerCertificate {
  readonly context: SecureContext;
  readonly data: CertificateData;
}

/** What a name has for each type of key. */
interface KeyTypes {
  rsa: ServerCertificate | undefined;
  ec: ServerCertificate | undefined;
}

export class ServerContexts {
  /** For clients that name no server: the first certificate of each type, of which OpenSSL takes the fitting one. */
  readonly unnamed: SecureContext;
  /** Whether names make a difference. */
  readonly isChoice: boolean;
  /** A wildcard is here without its star: `.b.example.com`. */
  readonly #byName = new Map<string, KeyTypes>();
  /** `full_scan_certs_on_sni_mismatch`: for names that nobody has. */
  readonly #unknown: KeyTypes | undefined;
  readonly #all: KeyTypes;
  readonly #first: ServerCertificate;

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
    const ofEachType: CertificateData[] = [];
    let first: ServerCertificate | undefined;
    for (const certificate of certificates) {
      const x509 = leafOf(certificate);
      const type = x509.publicKey.asymmetricKeyType === 'ec' ? 'ec' : 'rsa';
      const own = { context: contextOf([certificate]), data: certificate };
      first ??= own;
      if (all[type] === undefined) ofEachType.push(certificate);
      all[type] ??= own;
      for (const name of serverNames(x509)) {
        const key = name.startsWith('*.') ? name.slice(1) : name;
        const types = this.#byName.get(key) ?? { rsa: undefined, ec: undefined };
        this.#byName.set(key, types);
        types[type] ??= own;
      }
    }
    this.isChoice = certificates.length > 1;
    this.#first = first!;
    this.#all = all;
    this.unnamed = ofEachType.length > 1 ? contextOf(ofEachType) : first!.context;
    this.#unknown = config.fullScan ? all : undefined;
  }

  /** What `unnamed` comes to. */
  selectUnnamed(takesEc: boolean): ServerCertificate {
    return fitting(this.#all, takesEc) ?? this.#first;
  }

  /** The exact name, in its case as Envoy has it, else a wildcard for its first label, else the first certificate. */
  select(servername: string, takesEc: boolean): ServerCertificate {
    const dot = servername.indexOf('.');
    return (
      fitting(this.#byName.get(servername), takesEc) ??
      (dot < 0 ? undefined : fitting(this.#byName.get(servername.slice(dot)), takesEc)) ??
      fitting(this.#unknown, takesEc) ??
      this.#first
    );
  }
}

function fitting(types: KeyTypes | undefined, takesEc: boolean): ServerCertificate | undefined {
  return takesEc ? (types?.ec ?? types?.rsa) : types?.rsa;
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
