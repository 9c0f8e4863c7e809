// What is known of a handshake that did not come to its end: access logs of listeners show it.
import type { X509Certificate } from 'node:crypto';
import type { CertificateInfo, TlsInfo } from '#extension/stream-info.ts';
import { CertificateFacts } from '#net/tls-certificate.ts';
import type { Agreement } from './negotiation.ts';

export class UnfinishedTlsInfo implements TlsInfo {
  readonly version: string;
  readonly cipher: string;
  readonly group: string;
  readonly sessionId = '';
  readonly serverName: string;
  readonly peerValidated = false;
  readonly #local: CertificateInfo;
  readonly #peers: readonly CertificateInfo[];

  /** `peers`: what was shown and refused, the client's own certificate first. */
  constructor(
    { version, cipher, group }: Agreement,
    serverName: string,
    local: CertificateInfo,
    peers: readonly X509Certificate[],
  ) {
    this.version = version;
    this.cipher = cipher;
    this.group = group;
    this.serverName = serverName;
    this.#local = local;
    this.#peers = peers.map((it) => new CertificateFacts(it));
  }

  get peerPresented(): boolean {
    return this.#peers.length > 0;
  }

  peerCertificate(): CertificateInfo | undefined {
    return this.#peers[0];
  }

  localCertificate(): CertificateInfo {
    return this.#local;
  }

  peerChain(): readonly CertificateInfo[] {
    return this.#peers;
  }

  issuerCertificate(): CertificateInfo | undefined {
    return this.#peers[1];
  }
}
