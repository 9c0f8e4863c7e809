// What a server's TLSSocket does not offer to everybody, though Node itself uses it: kept in one place, under the transport's tests.
import type { TLSSocket } from 'node:tls';

interface Undocumented {
  readonly ssl: { verifyError(): (Error & { readonly code: string }) | null } | null;
  readonly _handle: Handle;
}

interface Handle {
  /** Of a server: takes bytes that were read elsewhere. */
  receive(bytes: Uint8Array): void;
  setOCSPResponse(der: Uint8Array): void;
}

/** OpenSSL's verdict on the peer's chain, `CERT_HAS_EXPIRED` and the like; empty when it is good or the peer sent none. */
export function chainVerdict(socket: TLSSocket): string {
  return (socket as unknown as Undocumented).ssl?.verifyError()?.code ?? '';
}

/** What was read from the socket underneath before there was a TLS socket. OpenSSL has seen it when this returns. */
export function receiveFirst(socket: TLSSocket, bytes: Buffer): void {
  (socket as unknown as Undocumented)._handle.receive(bytes);
}

/** An OCSP response for a client that asks for one, DER. Before the ClientHello is received. */
export function staple(socket: TLSSocket, der: Uint8Array): void {
  (socket as unknown as Undocumented)._handle.setOCSPResponse(der);
}
