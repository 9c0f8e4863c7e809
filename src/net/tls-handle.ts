// What a server's TLSSocket does not offer to everybody, though Node itself uses it: kept in one place, under the transport's tests.
import type { TLSSocket } from 'node:tls';

interface Undocumented {
  readonly ssl: { verifyError(): (Error & { readonly code: string }) | null } | null;
}

/** OpenSSL's verdict on the peer's chain, `CERT_HAS_EXPIRED` and the like; empty when it is good or the peer sent none. */
export function chainVerdict(socket: TLSSocket): string {
  return (socket as unknown as Undocumented).ssl?.verifyError()?.code ?? '';
}
