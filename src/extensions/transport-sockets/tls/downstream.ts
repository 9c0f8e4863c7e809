// TLS on accepted connections: `node:tls` on the accepted socket itself, once its ClientHello has been read and the context that BoringSSL's
// choices come to was found. What OpenSSL leaves to its caller, whether the client may pass, is decided in the handshake where that is
// possible, else when it is done, and before a filter sees the connection.
import { createHash, type X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import { TLSSocket, type TLSSocketOptions } from 'node:tls';
import { logger } from '#base/logger.ts';
import type { SecretStore, TicketKey } from '#extension/secrets/secret-data.ts';
import type { TlsInfo } from '#extension/stream-info.ts';
import type { DownstreamTransport, TransportSocketContext } from '#extension/transport-socket.ts';
import { type ClientHello, Extension, HelloStatus, inspectClientHello } from '#net/client-hello.ts';
import { ChainError, type Judge, type PeerChain } from '#net/handshake-verdict.ts';
import { mayBeUsed } from '#net/tls-certificate.ts';
import { tlsErrorReason, tlsErrorText } from '#net/tls-error.ts';
import { peerChain, receiveFirst, resumeById, staple } from '#net/tls-handle.ts';
import type { Scope } from '#stats/store.ts';
import type { DownstreamTlsConfig } from './config.ts';
import { certificatesNow, validationDigest, validationNow } from './current-secrets.ts';
import { KeyLog } from './key-log.ts';
import { agreedGroup, agreesOnTls13, peerSignature } from './negotiation.ts';
import { type ServerCertificate, ServerContexts, Stapling } from './server-contexts.ts';
import { SessionCache } from './session-cache.ts';
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
  readonly #keyLog: KeyLog | undefined;
  readonly #infos = new WeakMap<object, SocketTlsInfo>();
  /** Undefined while a secret has not come. */
  #contexts: ServerContexts | undefined = undefined;
  #sessions = new SessionCache();
  #validator: PeerValidator | undefined = undefined;
  #requestsCertificate = false;
  #demandsCertificate = false;
  /** Clients that were let pass and whose handshakes go on. Who leaves then stays here until others come. */
  readonly #passing: Passing[] = [];
  /** Why the client of the handshake that fails now was refused, in Envoy's shape. */
  #refusal = '';

  constructor(config: DownstreamTlsConfig, context: TransportSocketContext) {
    this.#config = config;
    this.#context = context;
    const prefix = context.statPrefix;
    this.#sslScope = context.stats.scope(`${prefix}ssl`);
    this.#stats = this.#sslScope.stats(SslStats);
    this.#factoryStats = context.stats.scope(`${prefix}server_ssl_socket_factory`).stats(SocketFactoryStats);
    this.#keyLog = config.keyLog && new KeyLog(config.keyLog, context.accessLogFiles);
    this.#prepare();
    const { secrets } = context;
    const keys = [...config.certificateSecrets, config.validationSecret, config.ticketKeySecret];
    for (const key of new Set(keys)) if (key !== '') secrets.watch(key, () => this.#onSecret());
  }

  wrap(socket: Socket, first: Buffer): Socket | TLSSocket | undefined {
    const contexts = this.#contexts;
    if (contexts === undefined) {
      this.#factoryStats.downstreamNotReady.value++;
      socket.destroy();
      return socket;
    }
    const { status, hello } = inspectClientHello(first);
    if (status === HelloStatus.NeedMore && first.length < maxHelloBytes) return undefined;
    const certificate = contexts.select(hello);
    const options: TLSSocketOptions = {
      isServer: true,
      secureContext: certificate.contextFor(hello),
      requestCert: this.#requestsCertificate,
      rejectUnauthorized: this.#demandsCertificate,
    };
    // Without a match there is none, as with Envoy; OpenSSL, if it knew ours, would fail.
    const protocol = hello && this.#config.alpn.find((it) => hello.alpn.includes(it));
    if (protocol !== undefined) options.ALPNProtocols = [protocol];
    const stapling = hello === undefined ? Stapling.NotAsked : contexts.stapling(certificate, hello);
    // OpenSSL has seen nothing yet that it could answer.
    if (stapling === Stapling.Fail) socket.write(handshakeFailure);
    const tls = new TLSSocket(socket, options);
    this.#keyLog?.follow(tls, socket);
    tls.on('error', (error) => this.#onError(socket, error));
    tls.on('secure', () => this.#onSecure(tls, certificate, hello));
    if (hello === undefined) receiveFirst(tls, first);
    else if (this.#staple(tls, stapling, certificate)) {
      if (this.#resumesById(hello)) {
        const sessions = this.#sessions;
        const asked = hello.sessionId.length > 0 ? sessions.get(hello.sessionId) : undefined;
        resumeById(tls, asked, (id, session) => sessions.set(id, session));
      }
      receiveFirst(tls, first);
    }
    return tls;
  }

  /** Those of TLS 1.2 who do not get a ticket. */
  #resumesById(hello: ClientHello): boolean {
    const { stateful, stateless } = this.#config;
    if (!stateful || agreesOnTls13(this.#config, hello)) return false;
    return !stateless || !hello.extensions.includes(Extension.SessionTicket);
  }

  /** False: the client may not go without a response, and there is none. */
  #staple(tls: TLSSocket, stapling: Stapling, { data }: ServerCertificate): boolean {
    const stats = this.#stats;
    if (stapling === Stapling.NotAsked) return true;
    stats.ocspStapleRequests.value++;
    if (stapling === Stapling.Fail) {
      stats.ocspStapleFailed.value++;
      stats.connectionError.value++;
      tls.destroy(new Error(tlsErrorText('CERT_CB_ERROR')));
      return false;
    }
    if (stapling === Stapling.Staple) {
      stats.ocspStapleResponses.value++;
      staple(tls, data.ocspStaple!);
    } else stats.ocspStapleOmitted.value++;
    return true;
  }

  tlsInfo(socket: Socket | TLSSocket): TlsInfo | undefined {
    return this.#infos.get(socket);
  }

  #onSecure(tls: TLSSocket, { info: local }: ServerCertificate, hello: ClientHello | undefined): void {
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
    const exchangesKeys = version === 'TLSv1.3' || cipher.startsWith('ECDHE-');
    const group = hello !== undefined && exchangesKeys ? agreedGroup(this.#config, hello) : '';
    if (group !== '') stats.count('curves', group);
    const signature = peer === undefined ? '' : peerSignature(this.#config, version, peer);
    if (signature !== '') stats.count('sigalgs', signature);
    const roots = this.#validator?.roots;
    this.#infos.set(tls, new SocketTlsInfo(tls, version, cipher, group, peer, validated, local, roots));
  }

  #verdict(tls: TLSSocket, peer: X509Certificate | undefined): Verdict {
    if (peer === undefined || this.#validator === undefined) return unchecked;
    const at = this.#passing.findIndex((it) => it.certificate.raw.equals(peer.raw));
    // Who resumes a session is not asked for a certificate again.
    return at < 0
      ? this.#validator.validate(peerChain(tls, peer), '', [], this.#stats)
      : this.#passing.splice(at, 1)[0]!.verdict;
  }

  #judge(validator: PeerValidator, chain: PeerChain): number {
    const certificate = chain.certificates[0]!;
    if (!mayBeUsed(certificate, false)) {
      this.#stats.connectionError.value++;
      this.#refusal = tlsErrorText('KEY_USAGE_BIT_INCORRECT');
      return ChainError.Purpose;
    }
    const verdict = validator.validate(chain, '', [], this.#stats);
    this.#refusal = tlsErrorText('CERTIFICATE_VERIFY_FAILED', verdict.reason);
    if (verdict.error === ChainError.None) {
      this.#passing.push({ certificate, verdict });
      if (this.#passing.length > mostPassing) this.#passing.shift();
    }
    return verdict.error;
  }

  /** Runs before the connection's own listener and leaves it a text in Envoy's shape. */
  #onError(socket: Socket, error: Error): void {
    const reason = tlsErrorReason(error);
    if (reason !== undefined) {
      const isRefusal = reason === 'CERTIFICATE_VERIFY_FAILED';
      if (reason === 'PEER_DID_NOT_RETURN_A_CERTIFICATE') this.#stats.failVerifyNoCert.value++;
      else if (!isRefusal) this.#stats.connectionError.value++;
      error.message = isRefusal ? this.#refusal : tlsErrorText(reason);
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
    const configured = ticketKeysNow(config, secrets);
    if (certificates === undefined || validation === null || configured === undefined) return;
    this.#sessions = new SessionCache();
    this.#validator = validation && new PeerValidator(validation);
    this.#requestsCertificate = this.#validator?.asksForCertificate === true;
    this.#demandsCertificate =
      this.#requestsCertificate &&
      (config.requireClientCertificate || this.#validator?.demandsCertificate === true);
    const validator = this.#validator;
    const judge: Judge | undefined =
      validator !== undefined && validation !== undefined && this.#requestsCertificate
        ? {
            stopsAtFirstProblem: !validation.allowExpired,
            checksOnlyLeafCrl: validation.onlyLeafCrl,
            judge: (chain) => this.#judge(validator, chain),
          }
        : undefined;
    this.#contexts = new ServerContexts(
      config,
      certificates,
      validation,
      configured.length > 0 ? configured : [ticketKeyFor(config.ticketSeed, certificates, validation)],
      validationDigest(validation),
      judge,
    );
    listExpirations(this.#sslScope, certificates, validation);
  }
}

interface Passing {
  readonly certificate: X509Certificate;
  readonly verdict: Verdict;
}

const mostPassing = 100;

/** A record with the alert. */
const handshakeFailure = Buffer.of(21, 3, 3, 0, 2, 2, 40);

/** BoringSSL's limit of a message, and room for the headers of a few records. What is longer is OpenSSL's to refuse. */
const maxHelloBytes = 16_384 + 256;

/** Tickets do not outlive the secrets they were given under. */
function ticketKeyFor(seed: Uint8Array, ...secrets: readonly unknown[]): TicketKey {
  const hash = createHash('sha384').update(seed).update(JSON.stringify(secrets));
  return new Uint8Array(hash.digest());
}

/** Undefined: the secret has not come. */
function ticketKeysNow(config: DownstreamTlsConfig, secrets: SecretStore): readonly TicketKey[] | undefined {
  if (config.ticketKeySecret === '') return config.ticketKeys;
  const secret = secrets.get(config.ticketKeySecret);
  return secret?.kind === 'ticket_keys' ? secret.value : undefined;
}
