// What a server's TLSSocket does not offer to everybody, though Node itself uses it: kept in one place, under the transport's tests.
import type { SecureContext, TLSSocket } from 'node:tls';

interface Undocumented {
  readonly ssl: { verifyError(): (Error & { readonly code: string }) | null } | null;
  readonly _handle: CertificateHandle;
}

interface CertificateHandle {
  oncertcb: (hello: { readonly servername: string; readonly OCSPRequest: boolean }) => void;
  sni_context: unknown;
  enableCertCb(): void;
  setOCSPResponse(der: Uint8Array): void;
  certCbDone(): void;
}

export interface CertificateChoice {
  /** Undefined: the one the socket was made with. */
  readonly context: SecureContext | undefined;
  readonly staple: Uint8Array | undefined;
}

/** OpenSSL's verdict on the peer's chain, `CERT_HAS_EXPIRED` and the like; empty when it is good or the peer sent none. */
export function chainVerdict(socket: TLSSocket): string {
  return (socket as unknown as Undocumented).ssl?.verifyError()?.code ?? '';
}

/**
 * What SNICallback and the event OCSPRequest of a server do, for a socket without one. `choose` is called when the ClientHello is there;
 * undefined ends the handshake, if it has not destroyed the socket.
 */
export function onClientHello(
  socket: TLSSocket,
  choose: (serverName: string, asksForStaple: boolean) => CertificateChoice | undefined,
): void {
  const handle = (socket as unknown as Undocumented)._handle;
  handle.oncertcb = ({ servername, OCSPRequest }) => {
    const choice = choose(servername || '', OCSPRequest);
    if (choice === undefined) {
      socket.destroy();
      return;
    }
    if (choice.context !== undefined) handle.sni_context = choice.context.context;
    if (choice.staple !== undefined) handle.setOCSPResponse(choice.staple);
    handle.certCbDone();
  };
  handle.enableCertCb();
}
