// Sockets read by call: into memory that we choose (`base/read-buffers.ts`), past the stream machinery and without an allocation of
// 64 KiB for each read. Node offers that only to sockets one dials oneself: for the others we set what its option `onread` sets.
import type { OnReadOpts, Socket } from 'node:net';
import type { ReadPlace } from '#base/read-buffers.ts';

/** Who gets the bytes; known only after the socket. */
export interface Reader {
  received(bytes: Buffer): void;
}

/** For the constructor of a socket. `reader` answers from the first read on. */
export function onRead(place: ReadPlace, reader: () => Reader | undefined): OnReadOpts {
  return {
    // Undefined, as when nothing changes, keeps the one before.
    buffer: () => place.moved() as Uint8Array,
    callback(bytes: number): boolean {
      reader()?.received(place.take(bytes));
      return true;
    },
  };
}

interface CallReading {
  _handle: { useUserBuffer(buffer: Buffer): void } | null;
  [key: symbol]: unknown;
}

/** Where a socket keeps what the option `onread` gives it. */
let bufferKey: symbol | undefined;
let callbackKey: symbol | undefined;
let nextBufferKey: symbol | undefined;

/** For a socket that was accepted, or wraps another. False where this Node keeps its sockets otherwise: then it has to be read by `data` events. */
export function readByCall(socket: Socket, place: ReadPlace, reader: () => Reader | undefined): boolean {
  const own = socket as unknown as CallReading;
  findKeys(own);
  const handle = own._handle;
  if (bufferKey === undefined || callbackKey === undefined || nextBufferKey === undefined) return false;
  if (typeof handle?.useUserBuffer !== 'function') return false;
  const first = place.moved()!;
  // V8 puts a function that is assigned to a property as it is made among the old objects, with all that it knows.
  const next = () => place.moved();
  const callback = (bytes: number): boolean => {
    reader()?.received(place.take(bytes));
    return true;
  };
  own[bufferKey] = first;
  own[nextBufferKey] = next;
  own[callbackKey] = callback;
  handle.useUserBuffer(first);
  return true;
}

/**
 * Cuts what a closed socket knows of us. Node makes such a function, too (`onwrite` of a writable stream): a socket, and whatever can be
 * reached from it, is there until the next collection of the old generation, which then has to be sooner.
 */
export function letGo(socket: Socket): void {
  socket.removeAllListeners();
  const own = socket as unknown as CallReading;
  findKeys(own);
  if (bufferKey === undefined || callbackKey === undefined || nextBufferKey === undefined) return;
  own[bufferKey] = own[nextBufferKey] = own[callbackKey] = null;
}

function findKeys(own: CallReading): void {
  if (nextBufferKey !== undefined) return;
  for (const it of Object.getOwnPropertySymbols(own)) {
    if (it.description === 'kBuffer') bufferKey = it;
    else if (it.description === 'kBufferCb') callbackKey = it;
    else if (it.description === 'kBufferGen') nextBufferKey = it;
  }
}
