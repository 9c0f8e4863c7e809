// TLS on accepted connections: `node:tls` on the accepted socket itself. What OpenSSL leaves to its caller, whether the client may
// pass, is decided when the handshake is done and before a filter sees the connection.
import type { X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import { TLSSocket, type TLSSocketOptions } from 'node:tls';
import { logger } from '#base/logger.ts';
import type { SecretStore } from '#extension/secrets/secret-data.ts';
import type { CertificateInfo, TlsInfo } from '#extension/stream-info.ts';
import type { DownstreamTransport, TransportSocketContext } from '#extension/transport-socket.ts';
import { CertificateFacts, mayBeUsed } from '#net/tls-certificate.ts';
import { tlsErrorReason, tlsErrorText } from '#net/tls-error.ts';
import { type CertificateChoice, onClientHello } from '#net/tls-handle.ts';
import type { Scope } from '#stats/store.ts';
import type { DownstreamTlsConfig } from './config.ts';
import { certificatesNow, validationDigest, validationNow } from './current-secrets.ts';
import { KeyLog } from './key-log.ts';
import { leafOf } from './secure-context.ts';
import { ServerContexts } from './server-contexts.ts';
import { SocketTlsInfo } from './socket-info.ts';
import { listExpirations, SocketFactoryStats, SslStats } from './stats.ts';
import { PeerValidator, unchecked, type Verdict } from './validator.ts';

const log = logger('connection');

export class DownstreamTls implements DownstreamTransport {
  readonly protocol = 'tls';
  readonly #config: DownstreamTlsConfig;
  readonly #context: TransportSocketContext;
  readonly #sslScope: Scope;
  readonly #stats: SslStats;
  readonly #factoryStats: SocketFactoryStats;
  readonly #selectProtocol: ((offer: { protocols: string[] }) => string | undefined) | undefined;
  readonly #keyLog: KeyLog | undefined;
  readonly #infos = new WeakMap<object, SocketTlsInfo>();
  /** Undefined while a secret has not come. */
  #contexts: ServerContexts | undefined = undefined;
  /** Undefined while several are to choose from. */
  #onlyCertificate: CertificateInfo | undefined = undefined;
  #validator: PeerValidator | undefined = undefined;
  #requestsCertificate = false;
  #demandsCertificate = false;

  constructor(config: DownstreamTlsConfig, context: TransportSocketContext) {
    this.#config = config;
    this.#context = context;
    const prefix = context.statPrefix;
    this.#sslScope = context.stats.scope(`${prefix}ssl`);
    this.#stats = this.#sslScope.stats(SslStats);
    this.#factoryStats = context.stats.scope(`${prefix}server_ssl_socket_factory`).stats(SocketFactoryStats);
    this.#keyLog = config.keyLog && new KeyLog(config.keyLog, context.accessLogFiles);
    const own = config.alpn;
    this.#selectProtocol =
      own.length === 0
        ? undefined
        : // Without a match Envoy goes on without a protocol; OpenSSL can only fail then, so the client gets what it named first.
          ({ protocols }) => own.find((it) => protocols.includes(it)) ?? protocols[0];
    this.#prepare();
    const { secrets } = context;
    const keys = [...config.certificateSecrets, config.validationSecret, config.ticketKeySecret];
    for (const key of new Set(keys)) if (key !== '') secrets.watch(key, () => this.#onSecret());
  }

  wrap(socket: Socket, first: Buffer | undefined): Socket | TLSSocket {
    const contexts = this.#contexts;
    if (contexts === undefined) {
      this.#factoryStats.downstreamNotReady.value++;
      socket.destroy();
      return socket;
    }
    // The TLS socket takes what stands in the buffer before it reads.
    if (first !== undefined) socket.unshift(first);
    const options: TLSSocketOptions = {
      isServer: true,
      secureContext: contexts.unnamed,
      requestCert: this.#requestsCertificate,
      rejectUnauthorized: this.#demandsCertificate,
    };
    if (this.#selectProtocol !== undefined) options.ALPNCallback = this.#selectProtocol;
    const tls = new TLSSocket(socket, options);
    this.#keyLog?.follow(tls, socket);
    onClientHello(tls, (serverName, asksForStaple) => this.#choose(contexts, tls, serverName, asksForStaple));
    tls.on('error', (error) => this.#onError(socket, error));
    const local = this.#onlyCertificate;
    tls.on('secure', () => this.#onSecure(tls, local));
    return tls;
  }

  /** Which certificate, and whether an OCSP response goes with it. Undefined: none may go without. */
  #choose(
    contexts: ServerContexts,
    tls: TLSSocket,
    serverName: string,
    asksForStaple: boolean,
  ): CertificateChoice | undefined {
    const isNamed = contexts.isChoice && serverName !== '';
    if (!isNamed && !asksForStaple) return asItIs;
    const takesEc = contexts.isChoice && tls.getSharedSigalgs().some((it) => it.startsWith('ECDSA'));
    const { context, data } = isNamed
      ? contexts.select(serverName, takesEc)
      : contexts.selectUnnamed(takesEc);
    const chosen = isNamed ? context : undefined;
    if (!asksForStaple) return { context: chosen, staple: undefined };
    const stats = this.#stats;
    stats.ocspStapleRequests.value++;
    const policy = data.mustStaple ? 'MUST_STAPLE' : this.#config.staplePolicy;
    const isExpired = data.ocspStaple !== undefined && data.ocspExpiresMs < Date.now();
    if (
      policy === 'MUST_STAPLE'
        ? isExpired || data.ocspStaple === undefined
        : isExpired && policy === 'STRICT_STAPLING'
    ) {
      stats.ocspStapleFailed.value++;
      stats.connectionError.value++;
      tls.destroy(new Error(tlsErrorText('CERT_CB_ERROR')));
      return undefined;
    }
    if (data.ocspStaple === undefined || isExpired) stats.ocspStapleOmitted.value++;
    else stats.ocspStapleResponses.value++;
    return { context: chosen, staple: isExpired ? undefined : data.ocspStaple };
  }

  tlsInfo(socket: Socket | TLSSocket): TlsInfo | undefined {
    return this.#infos.get(socket);
  }

  #onSecure(tls: TLSSocket, local: CertificateInfo | undefined): void {
    const stats = this.#stats;
    const peer = this.#requestsCertificate ? tls.getPeerX509Certificate() : undefined;
    if (peer !== undefined && !mayBeUsed(peer, false)) {
      stats.connectionError.value++;
      tls.destroy(new Error(tlsErrorText('KEY_USAGE_BIT_INCORRECT')));
      return;
    }
    const { reason, validated } = this.#verdict(tls, peer);
    if (reason !== '') {
      tls.destroy(new Error(tlsErrorText('CERTIFICATE_VERIFY_FAILED', reason)));
      return;
    }
    stats.handshake.value++;
    if (tls.isSessionReused()) stats.sessionReused.value++;
    if (peer === undefined) stats.noCertificate.value++;
    const version = tls.getProtocol() ?? '';
    const cipher = tls.getCipher().name;
    stats.count('versions', version);
    stats.count('ciphers', cipher);
    this.#infos.set(tls, new SocketTlsInfo(tls, version, cipher, peer, validated, local));
  }

  #verdict(tls: TLSSocket, peer: X509Certificate | undefined): Verdict {
    if (peer === undefined || this.#validator === undefined) return unchecked;
    return this.#validator.validate(tls, peer, '', [], this.#stats);
  }

  /** Runs before the connection's own listener and leaves it a text in Envoy's shape. */
  #onError(socket: Socket, error: Error): void {
    const reason = tlsErrorReason(error);
    if (reason !== undefined) {
      if (reason === 'PEER_DID_NOT_RETURN_A_CERTIFICATE') this.#stats.failVerifyNoCert.value++;
      else this.#stats.connectionError.value++;
      error.message = tlsErrorText(reason);
    }
    log.debug(`remote address:${socket.remoteAddress ?? ''}:${socket.remotePort ?? ''},${error.message}`);
  }

  #onSecret(): void {
    this.#prepare();
    if (this.#contexts !== undefined) this.#factoryStats.contextUpdates.value++;
  }

  /** New handshakes use it; what is established keeps its own. */
  #prepare(): void {
    const config = this.#config;
    const { secrets } = this.#context;
    const certificates = certificatesNow(config, secrets);
    const validation = validationNow(config, secrets);
    const ticketKey = ticketKeyNow(config, secrets);
    if (certificates === undefined || validation === null || ticketKey === undefined) return;
    this.#validator = validation && new PeerValidator(validation);
    this.#requestsCertificate = this.#validator?.asksForCertificate === true;
    this.#demandsCertificate =
      this.#requestsCertificate &&
      (config.requireClientCertificate || this.#validator?.demandsCertificate === true);
    this.#contexts = new ServerContexts(
      config,
      certificates,
      validation,
      ticketKey,
      validationDigest(validation),
    );
    this.#onlyCertificate =
      certificates.length === 1 ? new CertificateFacts(leafOf(certificates[0]!)) : undefined;
    listExpirations(this.#sslScope, certificates, validation);
  }
}

const asItIs: CertificateChoice = { context: undefined, staple: undefined };

function ticketKeyNow(config: DownstreamTlsConfig, secrets: SecretStore): Uint8Array | undefined {
  if (config.ticketKeySecret === '') return config.ticketKey;
  const secret = secrets.get(config.ticketKeySecret);
  return secret?.kind === 'ticket_keys' ? secret.value : undefined;
}
