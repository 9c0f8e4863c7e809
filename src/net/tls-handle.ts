// What a server's TLSSocket does not offer to everybody, though Node itself uses it: kept in one place, under the transport's tests.
import { randomBytes, type X509Certificate } from 'node:crypto';
import type { SecureContext, TLSSocket } from 'node:tls';
import { ChainError, type PeerChain } from './handshake-verdict.ts';

interface Undocumented {
  readonly ssl: { verifyError(): (Error & { readonly code: string }) | null } | null;
  readonly _handle: Handle;
}

interface Handle {
  /** Of a server: takes bytes that were read elsewhere. */
  receive(bytes: Uint8Array): void;
  setOCSPResponse(der: Uint8Array): void;
  enableSessionCallbacks(): void;
  onclienthello: () => void;
  loadSession(session: Buffer): void;
  clientHelloDone(): void;
  onnewsession: (id: Buffer, session: Buffer) => void;
  newSessionDone(): void;
}

interface ContextHandle {
  onticketkeycallback: (
    name: Buffer,
    iv: Buffer,
    encrypts: boolean,
  ) => readonly [status: number, hmacKey: Uint8Array, aesKey: Uint8Array, name?: Uint8Array, iv?: Uint8Array];
  enableTicketKeyCallback(): void;
}

/** Of a peer that has shown `leaf`, at the end of the handshake. */
export function peerChain(socket: TLSSocket, leaf: X509Certificate): PeerChain {
  const certificates: X509Certificate[] = [];
  let it: X509Certificate | undefined = leaf;
  for (; it !== undefined && certificates.length < 100; it = it.issuerCertificate) certificates.push(it);
  const code = (socket as unknown as Undocumented).ssl?.verifyError()?.code ?? '';
  return { certificates, code, error: ChainError.None };
}

/** What was read from the socket underneath before there was a TLS socket. OpenSSL has seen it when this returns. */
export function receiveFirst(socket: TLSSocket, bytes: Buffer): void {
  (socket as unknown as Undocumented)._handle.receive(bytes);
}

/** An OCSP response for a client that asks for one, DER. Before the ClientHello is received. */
export function staple(socket: TLSSocket, der: Uint8Array): void {
  (socket as unknown as Undocumented)._handle.setOCSPResponse(der);
}

/** The first of the keys, as `ticketKeys` takes them, encrypts; who comes with a ticket of another one gets a new ticket. */
export function rotateTicketKeys({ context }: SecureContext, keys: readonly Uint8Array[]): void {
  const parts = keys.map((it) => {
    const [name, hmac, aes] = [0, 16, 32].map((at) => it.subarray(at, at + 16));
    return { name: name!, hmac: hmac!, aes: aes! };
  });
  const handle = context as ContextHandle;
  handle.onticketkeycallback = (name, _iv, encrypts) => {
    const [first] = parts;
    if (encrypts) return [1, first!.hmac, first!.aes, first!.name, randomBytes(16)];
    const key = parts.find((it) => name.equals(it.name));
    // OpenSSL wants keys to say no, too.
    if (key === undefined) return [0, first!.hmac, first!.aes];
    return [key === first ? 1 : 2, key.hmac, key.aes];
  };
  handle.enableTicketKeyCallback();
}

export interface SessionStore {
  get(id: string): Buffer | undefined;
  set(id: string, session: Buffer): void;
}

/**
 * What the events resumeSession and newSession of a server do. `session`: the one that the client asks for by its id, if it is there.
 * `keep` is told of a new one. Before the ClientHello is received.
 */
export function resumeById(
  socket: TLSSocket,
  session: Buffer | undefined,
  keep: (id: Buffer, session: Buffer) => void,
): void {
  const handle = (socket as unknown as Undocumented)._handle;
  handle.onclienthello = () => {
    if (session !== undefined) handle.loadSession(session);
    handle.clientHelloDone();
  };
  handle.onnewsession = (id, made) => {
    keep(id, made);
    handle.newSessionDone();
  };
  handle.enableSessionCallbacks();
}

/** Also an address, of which Node warns when it is an option. Before the handshake. */
export function askForName(socket: TLSSocket, name: string): void {
  (socket as unknown as { setServername(name: string): void }).setServername(name);
}
