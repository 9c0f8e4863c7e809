// Opens connections.
import { connect, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { ReadPlace } from '#base/read-buffers.ts';
import { Connection, type ConnectionObserver, type ConnectionOwner } from './connection.ts';
import { onRead, readByCall } from './read-by-call.ts';

export interface DialOptions {
  /** IP address, or the path of a Unix socket when `port` is negative. */
  readonly address: string;
  readonly port: number;
  readonly localAddress: string;
  /** 0: no TCP keep-alive. */
  readonly keepAliveMs: number;
  readonly bufferLimitBytes: number;
  /** Bytes before all others, also before a handshake; asked for when the socket is connected. */
  readonly greeting?: ((socket: Socket) => Buffer) | undefined;
  readonly observe?: ((connection: Connection) => ConnectionObserver | undefined) | undefined;
  /** Wraps the socket that is connecting (TLS); undefined for plaintext. */
  readonly wrap: ((socket: Socket) => Socket | TLSSocket) | undefined;
}

let nextId = 1;
let idStep = 1;

/** Of `workers` threads that all call this once, each has ids that no other has. */
export function shareConnectionIds(worker: number, workers: number): void {
  nextId += worker;
  idStep = workers;
}

/** Ids of connections, of both directions. */
export function nextConnectionId(): number {
  const id = nextId;
  nextId += idStep;
  return id;
}

/** `owner.onConnected` follows when it is ready, or `owner.onClose`. */
export function dial(options: DialOptions, owner: ConnectionOwner): Connection {
  const { wrap, greeting } = options;
  let connection: Connection;
  const place = new ReadPlace();
  const reader = () => connection;
  const base = {
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: options.keepAliveMs > 0,
    keepAliveInitialDelay: options.keepAliveMs,
    ...(wrap === undefined ? { onread: onRead(place, reader) } : {}),
  };
  const socket =
    options.port < 0
      ? connect({ ...base, path: options.address })
      : connect({
          ...base,
          host: options.address,
          port: options.port,
          ...(options.localAddress === '' ? {} : { localAddress: options.localAddress }),
        });
  if (greeting !== undefined) {
    socket.on('connect', () => {
      const bytes = greeting(socket);
      socket.write(bytes);
      connection.txBytes.value += bytes.length;
    });
  }
  if (wrap === undefined) {
    connection = new Connection(nextConnectionId(), socket, owner, options.bufferLimitBytes, place);
    socket.on('connect', () => connection.owner.onConnected());
  } else {
    const wrapped = wrap(socket);
    const readsByCall = wrapped !== socket && readByCall(wrapped, place, reader);
    const { bufferLimitBytes } = options;
    connection = new Connection(
      nextConnectionId(),
      wrapped,
      owner,
      bufferLimitBytes,
      readsByCall ? place : undefined,
    );
    // A transport that refuses its peer has destroyed the socket by now.
    wrapped.once(wrapped === socket ? 'connect' : 'secureConnect', () => {
      if (!wrapped.destroyed) connection.owner.onConnected();
    });
  }
  connection.observer = options.observe?.(connection);
  return connection;
}
