// Accepted sockets read by call, as dialled ones do: into the thread's buffer, past the stream machinery and without an allocation
// of 64 KiB for each read. Node offers that only to sockets one makes oneself, so the accepted one's handle gets a new socket.
import { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { readBuffer, take } from '#base/read-buffers.ts';

/** Who gets the bytes; known only after the socket. */
export interface Reader {
  received(bytes: Buffer): void;
}

/** In the place of `accepted`, which is not used any more. `reader` answers from the first read on. */
export function readByCall(accepted: Socket, reader: () => Reader | undefined): Socket {
  const handle = (accepted as unknown as { _handle: object | null })._handle;
  if (handle === null) return accepted;
  const options = {
    handle,
    allowHalfOpen: true,
    onread: {
      buffer: readBuffer,
      callback(bytes: number): boolean {
        reader()?.received(take(bytes));
        return true;
      },
    },
  };
  const socket = new Socket(options as object);
  (accepted as unknown as { _handle: object | null })._handle = null;
  return socket;
}

interface CallReading {
  _handle: { useUserBuffer(buffer: Buffer): void } | null;
  [key: symbol]: unknown;
}

/** Where a socket keeps what the option `onread` gives it. Node does not pass that option on to a TLS socket that wraps another. */
let bufferKey: symbol | undefined;
let callbackKey: symbol | undefined;

/** The same for a TLS socket, in place. False where this Node keeps its sockets otherwise: then it has to be read by `data` events. */
export function readTlsByCall(socket: TLSSocket, reader: () => Reader | undefined): boolean {
  const own = socket as unknown as CallReading;
  if (bufferKey === undefined || callbackKey === undefined) {
    for (const it of Object.getOwnPropertySymbols(own)) {
      if (it.description === 'kBuffer') bufferKey = it;
      else if (it.description === 'kBufferCb') callbackKey = it;
    }
    if (bufferKey === undefined || callbackKey === undefined) return false;
  }
  const handle = own._handle;
  if (typeof handle?.useUserBuffer !== 'function') return false;
  own[bufferKey] = readBuffer;
  own[callbackKey] = (bytes: number): boolean => {
    reader()?.received(take(bytes));
    return true;
  };
  handle.useUserBuffer(readBuffer);
  return true;
}
