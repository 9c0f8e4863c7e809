// The certificates of a listener as OpenSSL contexts, and which of them answers to a client.
import { constants, type X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import type { CertificateData, TicketKey, ValidationData } from '#extension/secrets/secret-data.ts';
import type { CertificateInfo } from '#extension/stream-info.ts';
import { type ClientHello, Extension } from '#net/client-hello.ts';
import { type Judge, judgeInHandshake, sendOnlyOwnChain } from '#net/handshake-verdict.ts';
import { CertificateFacts, serverNames } from '#net/tls-certificate.ts';
import { rotateTicketKeys } from '#net/tls-handle.ts';
import type { DownstreamTlsConfig } from './config.ts';
import { agreesOnTls13, preferredSuite, takenCurves } from './negotiation.ts';
import { cipherList } from './parameters.ts';
import { contextOptions, curveOf, leafOf, withoutCaNames } from './secure-context.ts';

export const Stapling = { NotAsked: 0, Staple: 1, Omit: 2, Fail: 3 } as const;
export type Stapling = (typeof Stapling)[keyof typeof Stapling];

/** A certificate and the contexts that have it. */
export class ServerCertificate {
  readonly data: CertificateData;
  readonly leaf: X509Certificate;
  readonly info: CertificateInfo;
  /** Of its key, empty for RSA. */
  readonly curve: string;
  readonly #config: DownstreamTlsConfig;
  readonly #ticketKeys: readonly TicketKey[];
  readonly #hidesCaNames: boolean;
  readonly #options: SecureContextOptions;
  readonly #judge: Judge | undefined;
  readonly #contexts = new Map<string, SecureContext>();

  constructor(
    config: DownstreamTlsConfig,
    data: CertificateData,
    ticketKeys: readonly TicketKey[],
    hidesCaNames: boolean,
    options: SecureContextOptions,
    judge: Judge | undefined,
  ) {
    this.#hidesCaNames = hidesCaNames;
    this.#config = config;
    this.#judge = judge;
    this.#ticketKeys = ticketKeys;
    this.#options = options;
    this.data = data;
    this.leaf = leafOf(data);
    this.info = new CertificateFacts(this.leaf);
    this.curve = curveOf(this.leaf);
    // What most clients need, so that none of them waits for it.
    this.#context(config.maxVersion === 'TLSv1.3' ? clientOrder : '');
  }

  /** The suites of TLS 1.3 are in the order of the client, as BoringSSL has it; before that the server's order counts. */
  contextFor(hello: ClientHello | undefined): SecureContext {
    const config = this.#config;
    if (hello !== undefined && agreesOnTls13(config, hello)) return this.#context(clientOrder);
    if (hello === undefined || config.prefersClientCiphers) return this.#context('');
    return this.#context(preferredSuite(config, hello, this.curve !== ''));
  }

  #context(first: string): SecureContext {
    const known = this.#contexts.get(first);
    if (known !== undefined) return known;
    const { prefersClientCiphers } = this.#config;
    const isClients = first === clientOrder;
    const options = {
      ...this.#options,
      ...(isClients ? { sessionTimeout: tls13SessionSeconds } : { ciphers: cipherList(this.#config, first) }),
      honorCipherOrder: !prefersClientCiphers && !isClients,
    };
    const made = this.#hidesCaNames ? withoutCaNames(options) : createSecureContext(options);
    if (this.#ticketKeys.length > 1) rotateTicketKeys(made, this.#ticketKeys);
    if (this.#judge !== undefined) {
      judgeInHandshake(made, this.#judge);
      sendOnlyOwnChain(made);
    }
    this.#contexts.set(first, made);
    return made;
  }
}

const clientOrder = 'TLSv1.3';
/** BoringSSL's, whatever `session_timeout` says. */
const tls13SessionSeconds = 172_800;

export class ServerContexts {
  readonly all: readonly ServerCertificate[];
  readonly #config: DownstreamTlsConfig;
  /** For each type of key the first certificate. A wildcard is here without its star: `.b.example.com`. */
  readonly #byName = new Map<string, ServerCertificate[]>();

  constructor(
    config: DownstreamTlsConfig,
    certificates: readonly CertificateData[],
    validation: ValidationData | undefined,
    ticketKeys: readonly TicketKey[],
    sessionIdContext: string,
    judge: Judge | undefined,
  ) {
    this.#config = config;
    let secureOptions = constants.SSL_OP_NO_RENEGOTIATION;
    if (!config.stateless) secureOptions |= constants.SSL_OP_NO_TICKET;
    this.all = certificates.map(
      (it) =>
        new ServerCertificate(
          config,
          it,
          ticketKeys,
          validation?.hidesCaNames ?? false,
          {
            ...contextOptions(config, [it], validation),
            // OpenSSL would rather take any group that a key came for than ask for one of the group before the slash.
            ecdhCurve: config.groups.join(config.prefersClientCiphers ? ':' : '/'),
            ticketKeys: Buffer.from(ticketKeys[0]!),
            sessionTimeout: config.sessionTimeout > 0 ? config.sessionTimeout : 7200,
            sessionIdContext,
            secureOptions,
          },
          judge,
        ),
    );
    for (const certificate of this.all) {
      for (const name of serverNames(certificate.leaf)) {
        const key = name.startsWith('*.') ? name.slice(1) : name;
        const others = this.#byName.get(key) ?? [];
        this.#byName.set(key, others);
        if (!others.some((it) => (it.curve === '') === (certificate.curve === ''))) others.push(certificate);
      }
    }
  }

  /**
   * Who is called so, exactly and in that case as Envoy has it, else a wildcard for the first label, else the first certificate; of several
   * that with a key of the better type. Without a name, or by `full_scan_certs_on_sni_mismatch`, all are looked at.
   */
  select(hello: ClientHello | undefined): ServerCertificate {
    const { all } = this;
    const first = all[0]!;
    if (hello === undefined || all.length === 1) return first;
    const curves = takenCurves(this.#config, hello);
    const name = hello.serverNameAsSent;
    if (name !== '') {
      const dot = name.indexOf('.', 1);
      const named =
        this.#fitting(this.#byName.get(name), curves, hello) ??
        (dot < 0 ? undefined : this.#fitting(this.#byName.get(name.slice(dot)), curves, hello));
      if (named !== undefined || !this.#config.fullScan) return named ?? first;
    }
    return this.#fitting(all, curves, hello) ?? first;
  }

  /** Whether an OCSP response goes with the certificate. */
  stapling(
    { data: { mustStaple, ocspStaple, ocspExpiresMs } }: ServerCertificate,
    hello: ClientHello,
  ): Stapling {
    if (!hello.extensions.includes(Extension.StatusRequest)) return Stapling.NotAsked;
    if (ocspStaple !== undefined && ocspExpiresMs >= Date.now()) return Stapling.Staple;
    const policy = mustStaple ? 'MUST_STAPLE' : this.#config.staplePolicy;
    if (policy === 'LENIENT_STAPLING' || (policy === 'STRICT_STAPLING' && ocspStaple === undefined))
      return Stapling.Omit;
    return Stapling.Fail;
  }

  /** Clients that know the curve get it, the others RSA; whose OCSP response may not be missing and is, is passed over. */
  #fitting(
    certificates: readonly ServerCertificate[] | undefined,
    curves: readonly string[],
    hello: ClientHello,
  ): ServerCertificate | undefined {
    const usable = certificates?.filter((it) => this.stapling(it, hello) !== Stapling.Fail);
    return usable?.find(({ curve }) => curves.includes(curve)) ?? usable?.find(({ curve }) => curve === '');
  }
}
