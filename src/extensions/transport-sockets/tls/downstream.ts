// TLS on accepted connections: `node:tls` on the accepted socket itself, once its ClientHello has been read and the context that BoringSSL's
// choices come to was found. What OpenSSL leaves to its caller, whether the client may pass, is decided in the handshake where that is
// possible, else when it is done, and before a filter sees the connection.
import { createHash, type X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import { TLSSocket, type TLSSocketOptions } from 'node:tls';
import { logger } from '#base/logger.ts';
import type { SecretStore, TicketKey } from '#extension/secrets/secret-data.ts';
import { isDiscovered } from '#extension/secrets/secret-key.ts';
import type { TlsInfo } from '#extension/stream-info.ts';
import type { DownstreamTransport, TransportSocketContext } from '#extension/transport-socket.ts';
import { type ClientHello, Extension, HelloStatus, inspectClientHello } from '#net/client-hello.ts';
import { ChainError, type Judge, type PeerChain } from '#net/handshake-verdict.ts';
import { mayBeUsed } from '#net/tls-certificate.ts';
import { renegotiationText, tlsErrorReason, tlsErrorText } from '#net/tls-error.ts';
import { peerChain, receiveFirst, resumeById, staple } from '#net/tls-handle.ts';
import type { Scope } from '#stats/store.ts';
import type { DownstreamTlsConfig } from './config.ts';
import { certificatesNow, validationDigest, validationNow } from './current-secrets.ts';
import { KeyLog } from './key-log.ts';
import { agreedGroup, agreementOn, agreesOnTls13, noAgreement, peerSignature } from './negotiation.ts';
import { type ServerCertificate, ServerContexts, Stapling } from './server-contexts.ts';
import { SessionCache } from './session-cache.ts';
import { SocketTlsInfo } from './socket-info.ts';
import { listExpirations, SocketFactoryStats, SslStats } from './stats.ts';
import { UnfinishedTlsInfo } from './unfinished-tls-info.ts';
import { PeerValidator, unchecked, type Verdict } from './validator.ts';

const log = logger('connection');

export class DownstreamTls implements DownstreamTransport {
  readonly protocol = 'tls';
  readonly #config: DownstreamTlsConfig;
  readonly #context: TransportSocketContext;
  readonly #sslScope: Scope;
  /** From when there is a context. */
  #stats: SslStats = undefined as never;
  readonly #factoryStats: SocketFactoryStats;
  readonly #keyLog: KeyLog | undefined;
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
  /** What it has shown. */
  #refused = nobody;

  constructor(config: DownstreamTlsConfig, context: TransportSocketContext) {
    this.#config = config;
    this.#context = context;
    const prefix = context.statPrefix;
    this.#sslScope = context.stats.scope(`${prefix}ssl`);
    this.#factoryStats = context.stats.scope(`${prefix}server_ssl_socket_factory`).stats(SocketFactoryStats);
    this.#keyLog = config.keyLog && new KeyLog(config.keyLog, context.accessLogFiles);
    this.#prepare();
    const { secrets } = context;
    const keys = [...config.certificateSecrets, config.validationSecret, config.ticketKeySecret];
    for (const key of new Set(keys)) {
      if (key === '') continue;
      secrets.watch(key, () => this.#onSecret());
      if (isDiscovered(key) && secrets.get(key) !== undefined) this.#factoryStats.contextUpdates.value++;
    }
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
    else if (status === HelloStatus.NotTls && isForeign(first)) socket.write(protocolVersion);
    const tls = new TLSSocket(socket, options);
    this.#keyLog?.follow(tls, socket);
    const handshake: Handshake = {
      certificate,
      hello,
      hasFailed: hello === undefined,
      refused: nobody,
      info: undefined,
    };
    (tls as HandshakeSocket)[handshakeOf] = handshake;
    tls.on('error', (error) => this.#onError(socket, handshake, error));
    tls.on('secure', () => this.#onSecure(tls, handshake));
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
    const handshake = (socket as HandshakeSocket)[handshakeOf];
    if (handshake?.info !== undefined) return handshake.info;
    const certificate = handshake?.certificate ?? this.#contexts?.all[0];
    if (certificate === undefined) return undefined;
    const { hello, hasFailed = true, refused = nobody } = handshake ?? {};
    const agreement =
      hello === undefined || hasFailed
        ? noAgreement
        : agreementOn(this.#config, hello, certificate.curve !== '');
    return new UnfinishedTlsInfo(agreement, hello?.serverNameAsSent ?? '', certificate.info, refused);
  }

  #onSecure(tls: TLSSocket, handshake: Handshake): void {
    const { certificate, hello, info } = handshake;
    const local = certificate.info;
    const stats = this.#stats;
    if (info !== undefined) {
      // OpenSSL has refused to begin again, of which Node says that it is done.
      if (info.version === 'TLSv1.3') return;
      stats.connectionError.value += 2;
      tls.destroy(new Error(renegotiationText()));
      return;
    }
    const peer = this.#requestsCertificate ? tls.getPeerX509Certificate() : undefined;
    if (peer !== undefined && !mayBeUsed(peer, false)) {
      stats.connectionError.value++;
      tls.destroy(new Error(tlsErrorText('KEY_USAGE_BIT_INCORRECT')));
      return;
    }
    const { reason, validated } = this.#verdict(tls, peer);
    if (reason !== '') {
      handshake.refused = peerChain(tls, peer!).certificates;
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
    handshake.info = new SocketTlsInfo(tls, version, cipher, group, peer, validated, local, roots);
    handshake.hello = undefined;
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
    this.#refused = chain.certificates;
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
  #onError(socket: Socket, handshake: Handshake, error: Error): void {
    const reason = tlsErrorReason(error);
    if (reason !== undefined) {
      const isRefusal = reason === 'CERTIFICATE_VERIFY_FAILED';
      if (isRefusal) handshake.refused = this.#refused;
      if (disagreements.has(reason)) handshake.hasFailed = true;
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
    this.#stats ??= this.#sslScope.stats(SslStats);
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

/** A handshake that goes on, or did not come to its end. */
interface Handshake {
  readonly certificate: ServerCertificate;
  /** Until it is over. */
  hello: ClientHello | undefined;
  /** Before anything was agreed on. */
  hasFailed: boolean;
  refused: readonly X509Certificate[];
  /** When it is over. */
  info: TlsInfo | undefined;
}

/** It lives with its socket: a WeakMap of all of them is work for the garbage collector. */
const handshakeOf = Symbol('handshake');

interface HandshakeSocket {
  [handshakeOf]?: Handshake;
}

const nobody: readonly X509Certificate[] = [];

/** Reasons for which a ClientHello is not answered. */
const disagreements: ReadonlySet<string> = new Set([
  'INAPPROPRIATE_FALLBACK',
  'NO_COMMON_SIGNATURE_ALGORITHMS',
  'NO_SHARED_CIPHER',
  'NO_SHARED_GROUP',
  'UNSUPPORTED_PROTOCOL',
]);

interface Passing {
  readonly certificate: X509Certificate;
  readonly verdict: Verdict;
}

const mostPassing = 100;

/** Records with alerts. */
const handshakeFailure = Buffer.of(21, 3, 3, 0, 2, 2, 40);
const protocolVersion = Buffer.of(21, 3, 1, 0, 2, 2, 70);

/** Whether it has to be told that this is no TLS. Who speaks HTTP, or SSL 2, does not hear it. */
function isForeign(first: Buffer): boolean {
  if (first[1] === 3 || (first[0]! >= 0x80 && first[2] === 1 && first[3] === 3)) return false;
  return !/^(?:GET |POST |HEAD |PUT |CONNE)/.test(first.toString('latin1', 0, 5));
}

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
