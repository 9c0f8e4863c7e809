// Listening sockets: TCP over IPv4, IPv6 or both, and Unix sockets. Step 1 of a request's way.
import { chmodSync, unlinkSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';

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
}

export class ListeningSocket {
  /** As bound: a port 0 is the real one here. */
  port: number;
  readonly address: string;
  readonly #server: Server;

  private constructor(server: Server, options: ListenOptions) {
    this.#server = server;
    this.address = options.address;
    this.port = options.port;
  }

  /** Calls `onListening` or, when it cannot be bound, `onError` with Node's code (`EADDRINUSE`). Sockets keep their half. */
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
      onAccept,
    );
    const listening = new ListeningSocket(server, options);
    server.once('error', onError);
    const done = () => {
      server.off('error', onError);
      // Accepting may fail for want of descriptors: the socket stays open and the next attempt comes by itself.
      server.on('error', () => {});
      if (options.port >= 0) listening.port = (server.address() as AddressInfo).port;
      else if (options.mode !== 0 && !options.address.startsWith('@'))
        chmodSync(options.address, options.mode);
      onListening(listening);
    };
    if (options.port < 0) {
      const isAbstract = options.address.startsWith('@');
      if (!isAbstract) removeStale(options.address);
      server.listen(
        { path: isAbstract ? `\0${options.address.slice(1)}` : options.address, backlog: options.backlog },
        done,
      );
      return;
    }
    server.listen(
      {
        host: options.address,
        port: options.port,
        backlog: options.backlog,
        reusePort: options.reusePort,
        ipv6Only: options.address.includes(':') && !options.ipv4Compat,
        exclusive: true,
      },
      done,
    );
  }

  /** Accepts no more. Accepted connections stay. */
  close(): void {
    this.#server.close();
  }
}

/** What an earlier process left behind, as Envoy does before it binds. */
function removeStale(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
