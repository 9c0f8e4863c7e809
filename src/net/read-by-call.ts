// Accepted sockets read by call, as dialled ones do: into the thread's buffer, past the stream machinery and without an allocation
// of 64 KiB for each read. Node offers that only to sockets one makes oneself, so the accepted one's handle gets a new socket.
import { Socket } from 'node:net';
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
