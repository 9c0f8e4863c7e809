// TLS on connections to upstream hosts. The certificate is checked before the connection counts as established.
import { constants, type X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import {
  type ConnectionOptions,
  connect,
  createSecureContext,
  type SecureContext,
  type TLSSocket,
} from 'node:tls';
import { logger } from '#base/logger.ts';
import type { Host } from '#extension/load-balancer.ts';
import { isDiscovered } from '#extension/secrets/secret-key.ts';
import type { TlsInfo } from '#extension/stream-info.ts';
import type {
  TransportOptions,
  TransportSocketContext,
  UpstreamTransport,
} from '#extension/transport-socket.ts';
import { sendOnlyOwnChain } from '#net/handshake-verdict.ts';
import { mayBeUsed } from '#net/tls-certificate.ts';
import { refusedHelloText, tlsErrorReason, tlsErrorText, tlsResetText } from '#net/tls-error.ts';
import { askForName, peerChain } from '#net/tls-handle.ts';
import type { Scope } from '#stats/store.ts';
import type { UpstreamTlsConfig } from './config.ts';
import { certificatesNow, validationNow } from './current-secrets.ts';
import { KeyLog } from './key-log.ts';
import { groupName, peerSignature } from './negotiation.ts';
import { contextOptions } from './secure-context.ts';
import { SocketTlsInfo } from './socket-info.ts';
import { listExpirations, SocketFactoryStats, SslStats } from './stats.ts';
import { PeerValidator } from './validator.ts';

const log = logger('connection');

const refusedHello = 'SSLV3_ALERT_HANDSHAKE_FAILURE';

/** Names come from clients (`auto_sni`): the sessions of so many are kept. */
const maxNames = 1000;

interface KeptSession {
  readonly session: Buffer;
  /** Who showed it when the session was agreed on. */
  readonly peer: X509Certificate | undefined;
  readonly isValidated: boolean;
  readonly isSingleUse: boolean;
}

export class UpstreamTls implements UpstreamTransport {
  readonly isTls = true;
  readonly #config: UpstreamTlsConfig;
  readonly #context: TransportSocketContext;
  readonly #sslScope: Scope;
  readonly #stats: SslStats;
  readonly #factoryStats: SocketFactoryStats;
  readonly #keyLog: KeyLog | undefined;
  readonly #infos = new WeakMap<object, SocketTlsInfo>();
  /** By what was asked of the server, the last at the end; those of TLS 1.3 are offered once (RFC 8446 C.4). */
  readonly #sessions = new Map<string, KeptSession[]>();
  #secureContext: SecureContext | undefined = undefined;
  #validator: PeerValidator | undefined = undefined;

  constructor(config: UpstreamTlsConfig, context: TransportSocketContext) {
    this.#config = config;
    this.#context = context;
    this.#keyLog = config.keyLog && new KeyLog(config.keyLog, context.accessLogFiles);
    const prefix = context.statPrefix;
    this.#sslScope = context.stats.scope(`${prefix}ssl`);
    this.#stats = this.#sslScope.stats(SslStats);
    this.#factoryStats = context.stats.scope(`${prefix}client_ssl_socket_factory`).stats(SocketFactoryStats);
    this.#prepare();
    const { secrets } = context;
    for (const key of new Set([...config.certificateSecrets, config.validationSecret])) {
      if (key === '') continue;
      secrets.watch(key, () => this.#onSecret());
      if (isDiscovered(key) && secrets.get(key) !== undefined) this.#factoryStats.contextUpdates.value++;
    }
  }

  wrap(
    socket: Socket,
    host: Host,
    alpn: readonly string[],
    asked: TransportOptions | undefined,
  ): Socket | TLSSocket {
    const secureContext = this.#secureContext;
    if (secureContext === undefined) {
      this.#factoryStats.upstreamNotReady.value++;
      socket.destroy(new Error('TLS error: Secret is not supplied by SDS'));
      return socket;
    }
    const config = this.#config;
    let sni = config.autoHostSni && host.hostname !== '' ? host.hostname : config.sni;
    let protocols = config.alpn.length > 0 ? config.alpn : alpn;
    if (asked !== undefined) {
      if (asked.serverName !== '') sni = asked.serverName;
      if (asked.applicationProtocols.length > 0) protocols = asked.applicationProtocols;
    }
    const names = asked?.subjectAltNames ?? [];
    const key = `${sni}|${names.join()}`;
    const sessions = this.#sessions.get(key);
    const kept = sessions?.at(-1);
    if (kept?.isSingleUse) sessions!.pop();
    const options: ConnectionOptions = {
      socket,
      secureContext,
      // Who may be at the other end is decided below.
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
    };
    if (protocols.length > 0) options.ALPNProtocols = [...protocols];
    if (kept !== undefined) options.session = kept.session;
    const tls = connect(options);
    if (sni !== '') askForName(tls, sni);
    this.#keyLog?.follow(tls, socket);
    tls.on('error', (error) => this.#onError(socket, tls, error));
    // Before the peer is known to be the right one (TLS 1.2), or afterwards.
    const early: Buffer[] = [];
    // A renegotiation (`allow_renegotiation`) tells it again.
    tls.once('secureConnect', () => {
      this.#onSecure(tls, sni, names, kept);
      for (const it of early) this.#keep(key, it, tls);
    });
    if (config.maxSessionKeys > 0)
      tls.on('session', (it: Buffer) => {
        if (this.#infos.has(tls)) this.#keep(key, it, tls);
        else early.push(it);
      });
    return tls;
  }

  poolKey({ serverName, applicationProtocols, subjectAltNames }: TransportOptions): string {
    if (serverName === '' && applicationProtocols.length === 0 && subjectAltNames.length === 0) return '';
    return `${serverName}|${applicationProtocols.join()}|${subjectAltNames.join()}`;
  }

  tlsInfo(socket: Socket | TLSSocket): TlsInfo | undefined {
    return this.#infos.get(socket);
  }

  #onSecure(tls: TLSSocket, sni: string, names: readonly string[], offered: KeptSession | undefined): void {
    const stats = this.#stats;
    // Who resumes a session shows no certificate: the one of the first handshake holds.
    const resumed = tls.isSessionReused() ? offered : undefined;
    const peer = resumed?.peer ?? tls.getPeerX509Certificate();
    const version = tls.getProtocol() ?? '';
    const cipher = tls.getCipher().name;
    // What OpenSSL does not ask of servers: `enforce_rsa_key_usage`, which BoringSSL has made the rule for all.
    const isKeyExchange = version !== 'TLSv1.3' && !cipher.startsWith('ECDHE-');
    if (resumed === undefined && peer !== undefined && !mayBeUsed(peer, isKeyExchange)) {
      stats.connectionError.value++;
      tls.destroy(new Error(tlsErrorText('KEY_USAGE_BIT_INCORRECT')));
      return;
    }
    let isValidated = resumed?.isValidated ?? false;
    if (resumed === undefined && this.#validator !== undefined && peer !== undefined) {
      const checkedName = this.#config.autoSniSanValidation ? sni : '';
      const { reason, validated } = this.#validator.validate(peerChain(tls, peer), checkedName, names, stats);
      if (reason !== '') {
        tls.destroy(new Error(tlsErrorText('CERTIFICATE_VERIFY_FAILED', reason)));
        return;
      }
      isValidated = validated;
    }
    stats.handshake.value++;
    if (tls.isSessionReused()) stats.sessionReused.value++;
    if (peer === undefined) stats.noCertificate.value++;
    stats.count('versions', version);
    stats.count('ciphers', cipher);
    const { name = '' } = (tls.getEphemeralKeyInfo() ?? {}) as { readonly name?: string };
    const group = groupName(name);
    if (group !== '') stats.count('curves', group);
    const signature = peer === undefined || isKeyExchange ? '' : peerSignature(this.#config, version, peer);
    if (signature !== '') stats.count('sigalgs', signature);
    this.#infos.set(tls, new SocketTlsInfo(tls, version, cipher, group, peer, isValidated, undefined));
  }

  /** Only of those who were let through. */
  #keep(key: string, session: Buffer, tls: TLSSocket): void {
    const info = this.#infos.get(tls);
    if (info === undefined) return;
    const sessions = this.#sessions.get(key) ?? [];
    this.#sessions.set(key, sessions);
    if (this.#sessions.size > maxNames) this.#sessions.delete(this.#sessions.keys().next().value!);
    sessions.push({
      session,
      peer: info.peerX509,
      isValidated: info.peerValidated,
      isSingleUse: info.version === 'TLSv1.3',
    });
    if (sessions.length > this.#config.maxSessionKeys) sessions.shift();
  }

  #onError(socket: Socket, tls: TLSSocket, error: Error): void {
    const reason = tlsErrorReason(error);
    const isShakingHands = !this.#infos.has(tls);
    if (reason !== undefined) {
      this.#stats.connectionError.value++;
      // A server that had answered the ClientHello would have shown its certificate.
      const isRefusedHello =
        isShakingHands && reason === refusedHello && tls.getPeerX509Certificate() === undefined;
      error.message = isRefusedHello ? refusedHelloText() : tlsErrorText(reason);
    } else if (isShakingHands && !tls.connecting && (error as NodeJS.ErrnoException).code === 'ECONNRESET')
      error.message = tlsResetText;
    log.debug(`remote address:${socket.remoteAddress ?? ''}:${socket.remotePort ?? ''},${error.message}`);
  }

  #onSecret(): void {
    this.#prepare();
    this.#sessions.clear();
    if (this.#secureContext !== undefined) this.#factoryStats.contextUpdates.value++;
  }

  #prepare(): void {
    const { secrets } = this.#context;
    const certificates = certificatesNow(this.#config, secrets);
    const validation = validationNow(this.#config, secrets);
    if (certificates === undefined || validation === null) return;
    this.#validator = validation && new PeerValidator(validation);
    const context = createSecureContext({
      ...contextOptions(this.#config, certificates, validation),
      secureOptions: this.#config.allowsRenegotiation ? 0 : constants.SSL_OP_NO_RENEGOTIATION,
    });
    if (certificates.length > 0 && validation !== undefined) sendOnlyOwnChain(context);
    this.#secureContext = context;
    listExpirations(this.#sslScope, certificates, validation);
  }
}
