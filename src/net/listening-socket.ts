// Listening sockets: TCP over IPv4, IPv6 or both, and Unix sockets. Step 1 of a request's way.
import { chmodSync, unlinkSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { hasNativeSockets, nativeSockets, reusePort, type SocketOption } from './native-sockets.ts';

export interface ListenOptions {
  /** IP address; the path of a Unix socket when `port` is -1 (abstract: starts with `@`). */
  readonly address: string;
  readonly port: number;
  /** Permission bits of a Unix socket; 0 leaves them. */
  readonly mode: number;
  /** An IPv6 wildcard that takes IPv4 too. */
  readonly ipv4Compat: boolean;
  readonly reusePort: boolean;
  readonly backlog: number;
  /** 0: no TCP keep-alive. */
  readonly keepAliveMs: number;
  /** What Node has no words for; undefined: nothing. */
  readonly options: ListenSocketOptions | undefined;
  /** A bound socket to listen on as others do; -1: none. It stays the caller's. */
  readonly descriptor: number;
}

/** By the state of the socket in which they are set. */
export interface ListenSocketOptions {
  readonly beforeBind: readonly SocketOption[];
  readonly afterBind: readonly SocketOption[];
  readonly afterListen: readonly SocketOption[];
  readonly isMultipath: boolean;
}

export class ListeningSocket {
  /** As bound: a port 0 is the real one here. */
  port: number;
  readonly address: string;
  /** Who gets what is accepted; a socket may be handed on. */
  onAccept: (socket: Socket) => void;
  readonly #server: Server;

  private constructor(server: Server, options: ListenOptions, onAccept: (socket: Socket) => void) {
    this.#server = server;
    this.onAccept = onAccept;
    this.address = options.address;
    this.port = options.port;
  }

  /**
   * Calls `onListening` or, when it cannot be bound, `onError` with the code of the system (`EADDRINUSE`), or with a
   * `SocketOptionError`. Accepted sockets keep their half.
   */
  static open(
    options: ListenOptions,
    onAccept: (socket: Socket) => void,
    onListening: (socket: ListeningSocket) => void,
    onError: (error: NodeJS.ErrnoException) => void,
  ): void {
    const server = createServer(
      {
        allowHalfOpen: true,
        noDelay: true,
        keepAlive: options.keepAliveMs > 0,
        keepAliveInitialDelay: options.keepAliveMs,
      },
      (socket) => listening.onAccept(socket),
    );
    const listening = new ListeningSocket(server, options, onAccept);
    const { address, backlog } = options;
    const failed = (error: NodeJS.ErrnoException) => {
      server.close();
      onError(error);
    };
    server.once('error', failed);
    const done = () => {
      server.off('error', failed);
      // Accepting may fail for want of descriptors: the socket stays open and the next attempt comes by itself.
      server.on('error', () => {});
      if (options.port >= 0) listening.port = (server.address() as AddressInfo).port;
      try {
        for (const it of options.options?.afterListen ?? [])
          nativeSockets().setOption(listening.descriptor, it);
      } catch (error) {
        failed(error as NodeJS.ErrnoException);
        return;
      }
      onListening(listening);
    };
    try {
      if (options.descriptor >= 0)
        server.listen({ fd: nativeSockets().duplicate(options.descriptor), backlog }, done);
      else if (options.port < 0 || options.options !== undefined) {
        const isAbstract = options.port < 0 && address.startsWith('@');
        if (options.port < 0 && !isAbstract) removeStale(address);
        // By the C library where possible: Node removes the path again when the thread that made it ends.
        if (options.options !== undefined || hasNativeSockets())
          server.listen({ fd: bindNatively(options), backlog }, done);
        else server.listen({ path: isAbstract ? `\0${address.slice(1)}` : address, backlog }, done);
      } else {
        server.listen(
          {
            host: address,
            port: options.port,
            backlog,
            reusePort: options.reusePort,
            ipv6Only: address.includes(':') && !options.ipv4Compat,
            exclusive: true,
          },
          done,
        );
      }
    } catch (error) {
      failed(error as NodeJS.ErrnoException);
    }
  }

  /** Of the socket, for others that listen on it too; -1 where the system has none. */
  get descriptor(): number {
    return (this.#server as unknown as { _handle?: { fd?: number } })._handle?.fd ?? -1;
  }

  /** Accepts no more. Accepted connections stay. */
  close(): void {
    this.#server.close();
  }
}

/** Throws as `open` would call `onError`, without listening. An address with a port only. */
export function probeAddress(options: Omit<ListenOptions, 'backlog' | 'keepAliveMs' | 'descriptor'>): void {
  nativeSockets().close(bindNatively(options));
}

function bindNatively(given: Omit<ListenOptions, 'backlog' | 'keepAliveMs' | 'descriptor'>): number {
  const { address, port, mode, ipv4Compat, reusePort: isShared, options } = given;
  const native = nativeSockets();
  const { beforeBind = [], afterBind = [], isMultipath = false } = options ?? {};
  const descriptor = native.bind(
    { address: address.replace(/^@/, '\0'), port, isIpv6Only: !ipv4Compat, isMultipath },
    isShared && port >= 0 ? [{ ...reusePort, value: 1 }, ...beforeBind] : beforeBind,
  );
  try {
    if (mode !== 0) chmodSync(address, mode);
    for (const it of afterBind) native.setOption(descriptor, it);
    return descriptor;
  } catch (error) {
    native.close(descriptor);
    throw error;
  }
}

/** What an earlier process left behind, as Envoy does before it binds. What cannot be removed, binding will complain about. */
function removeStale(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Usually there is none.
  }
}
