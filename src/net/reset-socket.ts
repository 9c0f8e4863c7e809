// Breaks a connection off with RST, where there is TCP underneath. Node resets plain TCP sockets only and throws for others.
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';

interface Undocumented {
  /** The socket below TLS. */
  readonly _parent?: Socket | null;
  /** Only TCP's can be reset. */
  readonly _handle?: { readonly reset?: unknown } | null;
}

export function resetSocket(socket: Socket | TLSSocket): void {
  const plain = (socket as unknown as Undocumented)._parent ?? socket;
  if (!plain.connecting && typeof (plain as unknown as Undocumented)._handle?.reset === 'function')
    plain.resetAndDestroy();
  socket.destroy();
}
