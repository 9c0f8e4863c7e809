// The facts of an established TLS connection. Certificates are read when somebody asks; what is needed when the socket is gone is
// taken at once.
import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import type { CertificateInfo, TlsInfo } from '#extension/stream-info.ts';
import { CertificateFacts } from '#net/tls-certificate.ts';

export class SocketTlsInfo implements TlsInfo {
  readonly version: string;
  readonly cipher: string;
  /** Of the key exchange, empty without one. */
  readonly group: string;
  readonly peerValidated: boolean;
  readonly #socket: TLSSocket;
  readonly #roots: readonly X509Certificate[];
  readonly peerX509: X509Certificate | undefined;
  #peer: CertificateInfo | undefined = undefined;
  /** Given where only one can be meant; asking the socket costs 45 us. */
  #local: CertificateInfo | undefined;
  #chain: readonly CertificateInfo[] | undefined = undefined;
  #sessionId: string | undefined = undefined;

  constructor(
    socket: TLSSocket,
    version: string,
    cipher: string,
    group: string,
    peer: X509Certificate | undefined,
    peerValidated: boolean,
    local: CertificateInfo | undefined,
    roots: readonly X509Certificate[] = [],
  ) {
    this.#roots = roots;
    this.#socket = socket;
    this.version = version;
    this.cipher = cipher;
    this.group = group;
    this.peerX509 = peer;
    this.peerValidated = peerValidated;
    this.#local = local;
  }

  /** TLS 1.3 has none worth the name: what OpenSSL would show is made up for its own use. */
  get sessionId(): string {
    if (this.version === 'TLSv1.3') return '';
    return (this.#sessionId ??= sessionIdOf(this.#socket.getSession()));
  }

  get serverName(): string {
    return (this.#socket as { readonly servername?: string | false | null }).servername || '';
  }

  get peerPresented(): boolean {
    return this.peerX509 !== undefined;
  }

  peerCertificate(): CertificateInfo | undefined {
    if (this.#peer === undefined && this.peerX509 !== undefined)
      this.#peer = new CertificateFacts(this.peerX509);
    return this.#peer;
  }

  localCertificate(): CertificateInfo | undefined {
    if (this.#local === undefined) {
      const x509 = this.#socket.getX509Certificate();
      if (x509 !== undefined) this.#local = new CertificateFacts(x509);
    }
    return this.#local;
  }

  issuerCertificate(): CertificateInfo | undefined {
    const sent = this.peerX509?.issuerCertificate;
    if (sent !== undefined) return new CertificateFacts(sent);
    const root = this.#roots.find((it) => this.peerX509?.checkIssued(it));
    return root && new CertificateFacts(root);
  }

  peerChain(): readonly CertificateInfo[] {
    if (this.#chain === undefined) {
      const chain: CertificateInfo[] = [];
      for (let it = this.peerX509; it !== undefined && chain.length < 100; it = it.issuerCertificate)
        chain.push(new CertificateFacts(it));
      this.#chain = chain;
    }
    return this.#chain;
  }
}

/** SSL_SESSION in DER: version, TLS version, cipher, and then the id (RFC 5077 has nothing on it; OpenSSL's i2d_SSL_SESSION). */
function sessionIdOf(der: Buffer | undefined | null): string {
  if (der == null) return '';
  let at = 0;
  const length = () => {
    const first = der[at++]!;
    if (first < 0x80) return first;
    let value = 0;
    for (let i = first & 0x7f; i > 0; i--) value = value * 256 + der[at++]!;
    return value;
  };
  at++;
  length();
  for (let i = 0; i < 3; i++) {
    at++;
    const size = length();
    at += size;
  }
  at++;
  const size = length();
  return der.toString('hex', at, at + size);
}
