// The one class for bytes in and out of a stream socket, plain or TLS, accepted or opened. Step 3 of a request's way.
// What is written during one turn of the event loop is collected and given to the socket once, at its end, together with the
// output of every other connection of the thread. HTTP/2 waits one turn more.
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { addressText } from '#base/address-text.ts';
import { type ReadPlace, written } from '#base/read-buffers.ts';
import { systemErrorText } from '#base/system-errors.ts';
import { truncate } from '#base/truncate.ts';
import { atTurnEnd, scheduleTurnEnd } from '#base/turn.ts';
import type { ByteSink, FlushSource } from '#http/codec.ts';
import { letGo, type Reader } from './read-by-call.ts';
import { resetSocket } from './reset-socket.ts';

/** Who caused the end of a connection. */
export const CloseEvent = { Remote: 0, Local: 1 } as const;
export type CloseEvent = (typeof CloseEvent)[keyof typeof CloseEvent];

/**
 * How to close. NoFlush drops what is unsent. FlushWrite sends it first. FlushWriteAndDelay then waits for the peer to close, for at
 * most the delayed close timeout, so that an answer is not lost to a reset. Abort sends RST.
 */
export const CloseType = { NoFlush: 0, FlushWrite: 1, FlushWriteAndDelay: 2, Abort: 3 } as const;
export type CloseType = (typeof CloseType)[keyof typeof CloseType];

/** Who uses a connection: a chain of network filters, the connection manager, a pool, a TCP session. */
export interface ConnectionOwner {
  /** An opened connection (and its TLS handshake) is ready. Not called for accepted plain ones. */
  onConnected(): void;
  /** The bytes are the receiver's: nobody reuses them. */
  onData(bytes: Buffer): void;
  /** FIN from the peer; only while `halfClose` is set, else the connection is closed instead. */
  onEnd(): void;
  /** Exactly once, the last call. */
  onClose(event: CloseEvent): void;
  onAboveWriteBufferHighWatermark(): void;
  onBelowWriteBufferLowWatermark(): void;
}

/** Sees what passes: above TLS, and before the owner. */
export interface ConnectionObserver {
  onRead(bytes: Buffer): void;
  /** `end`: a FIN follows. */
  onWritten(bytes: Buffer, end: boolean): void;
  onClose(): void;
}

/** Counters of a listener, a connection manager or a cluster that every byte goes through. */
export interface ByteCounter {
  value: number;
}

/** Bytes behind a text, a small body behind its head, are joined with it up to this; above it copying costs more than a second buffer. */
const joinBytes = 4096;

/** Bulk is sent on while it is still in the processor's cache, not at the end of the turn. */
const earlyFlushBytes = 262_144;

let dirty: Connection[] = [];
let flushing: Connection[] = [];

/** Runs after all events of a turn. Connections that become dirty meanwhile, and those that wait for more, get the next turn. */
function flushDirty(): void {
  const all = dirty;
  dirty = flushing;
  flushing = all;
  for (let i = 0; i < all.length; i++) {
    const connection = all[i]!;
    if (connection.waitsForMore()) dirty.push(connection);
    else connection.flush();
  }
  truncate(all, 0);
  if (dirty.length > 0) scheduleTurnEnd();
}

atTurnEnd(flushDirty);

export class Connection implements ByteSink {
  readonly id: number;
  socket: Socket | TLSSocket;
  owner: ConnectionOwner;
  observer: ConnectionObserver | undefined = undefined;
  rxBytes: ByteCounter = { value: 0 };
  txBytes: ByteCounter = { value: 0 };
  /** Bytes of the last read, and those that wait to be written: Envoy's `..._bytes_buffered`. */
  rxBuffered: ByteCounter = { value: 0 };
  txBuffered: ByteCounter = { value: 0 };
  /** Bytes that passed, for access logs. */
  bytesReceived = 0;
  bytesSent = 0;
  /** Keep the write side when the peer ended its own. TCP proxies do, HTTP does not. */
  halfClose = false;
  isClosed = false;
  /** Set by a close that still flushes or waits: nothing more is read or written. */
  isClosing = false;
  /** ms; 0 closes as soon as everything is flushed. */
  delayedCloseMs = 1000;
  /** The delayed close timer has closed the connection. */
  hasCloseTimedOut = false;
  /** Counted when the delayed close timer closed the connection and not the peer. */
  delayedCloseTimeouts: ByteCounter = { value: 0 };
  /** In Envoy's words (`Connection refused`), empty when nothing failed. */
  failureReason = '';
  hasFailedToBind = false;
  /** `code` of the socket error: `ECONNREFUSED`. */
  failureCode = '';

  #place: ReadPlace | undefined = undefined;
  /** Gets what is read until there is a TLS socket; nothing is written meanwhile. */
  #firstReader: Reader | undefined = undefined;
  #highWatermark: number;
  #isAboveHigh = false;
  #lastRead = 0;
  #lastPending = 0;
  #isDirty = false;
  /** The socket took all it wants; `drain` comes. */
  #isBlocked = false;
  #text = '';
  #buffers: Buffer[] = [];
  #bufferedBytes = 0;
  /** With the socket, which has not told that it is through with them. */
  readonly #handedOver: Buffer[] = [];
  #source: FlushSource | undefined = undefined;
  #hasWaited = false;
  #readDisables = 0;
  /** When it was closed, nobody had looked at what the peer sent last. */
  #mayHaveUnread = false;
  #unread: Buffer | undefined = undefined;
  /** After that the peer has ended. */
  #endIsUnread = false;
  #endAfterFlush = false;
  #closeAfterFlush: CloseType = CloseType.NoFlush;
  #delayedClose: NodeJS.Timeout | undefined = undefined;
  #closeEvent: CloseEvent = CloseEvent.Remote;

  /** `bufferLimit`: high watermark of unsent bytes, 0 for none. `place`: of a socket that is read by call, others by `data` events. */
  constructor(
    id: number,
    socket: Socket | TLSSocket,
    owner: ConnectionOwner,
    bufferLimit: number,
    place: ReadPlace | undefined,
  ) {
    this.id = id;
    this.socket = socket;
    this.owner = owner;
    this.#highWatermark = bufferLimit;
    this.#follow(socket, place);
  }

  #follow(socket: Socket | TLSSocket, place: ReadPlace | undefined): void {
    this.#place = place;
    // Under TLS it is the upper one that tells what becomes of both.
    if (place === undefined)
      socket.on('data', (bytes: Buffer) => this.socket === socket && this.received(bytes));
    socket.on('end', () => this.socket === socket && this.#onEnd());
    socket.on('drain', () => this.socket === socket && this.#onDrain());
    socket.on('error', (error: NodeJS.ErrnoException) => this.socket === socket && this.#onError(error));
    socket.on('close', () => {
      if (this.socket === socket) this.#closed();
      letGo(socket);
    });
  }

  /** `reader` gets the first bytes, until it knows how to go on and calls `secure`. They are not counted. */
  awaitTls(reader: Reader): void {
    this.#firstReader = reader;
    this.#isBlocked = true;
  }

  /** From now on over `socket`, which has taken the place of the one before. */
  secure(socket: TLSSocket, place: ReadPlace | undefined): void {
    this.#firstReader = undefined;
    this.#isBlocked = false;
    this.socket = socket;
    this.#follow(socket, place);
    if (this.#readDisables > 0) socket.pause();
    this.#schedule();
  }

  /** Bytes from the socket. */
  received(bytes: Buffer): void {
    if (this.#firstReader !== undefined) {
      this.#firstReader.received(bytes);
      return;
    }
    if (this.isClosing) {
      // What was there when it was closed is as read: Envoy reads all of it before it looks at any.
      if (this.#isDirty) this.#countReceived(bytes.length);
      return;
    }
    if (this.#readDisables > 0) {
      // What was on its way, or a TLS socket that was paused before its handshake.
      this.socket.pause();
      this.#unread = this.#unread === undefined ? bytes : Buffer.concat([this.#unread, bytes]);
      return;
    }
    this.#countReceived(bytes.length);
    this.rxBuffered.value += bytes.length - this.#lastRead;
    this.#lastRead = bytes.length;
    if (this.observer !== undefined) this.observer.onRead(bytes);
    this.owner.onData(bytes);
  }

  #countReceived(bytes: number): void {
    this.bytesReceived += bytes;
    this.rxBytes.value += bytes;
  }

  /** Bytes that somebody else took from the socket: they come first. Reading is disabled until one more `readDisable(false)`. */
  unread(bytes: Buffer): void {
    this.readDisable(true);
    this.#unread = bytes;
  }

  write(bytes: Buffer): void {
    const length = bytes.length;
    if (length === 0 || this.isClosing) return;
    if (this.#text !== '' && length + this.#text.length <= joinBytes) {
      this.#text += bytes.toString('latin1');
    } else {
      if (this.#text !== '') this.#textToBuffer();
      this.#buffers.push(bytes);
    }
    this.#added(length);
  }

  writeText(text: string): void {
    if (this.isClosing) return;
    this.#text += text;
    this.#added(text.length);
  }

  flushLater(source: FlushSource): void {
    if (this.isClosing) return;
    this.#source = source;
    if (!this.#isDirty) this.#schedule();
  }

  /**
   * A codec that collects frames of many streams sends them one look at the sockets later, once: what came in meanwhile goes out in
   * the same write. Nobody waits longer than the work that was there anyway.
   */
  waitsForMore(): boolean {
    if (this.#source === undefined || this.#hasWaited || this.isClosing) return false;
    this.#hasWaited = true;
    return true;
  }

  /** What the handshake agreed on; empty on plaintext. */
  get applicationProtocol(): string {
    return (this.socket as Partial<TLSSocket>).alpnProtocol || '';
  }

  get pendingBytes(): number {
    return this.#bufferedBytes + this.socket.writableLength;
  }

  /** FIN after what was written. Reading goes on. */
  end(): void {
    if (this.isClosing || this.#endAfterFlush) return;
    this.#endAfterFlush = true;
    this.#schedule();
  }

  close(type: CloseType): void {
    if (this.isClosed) return;
    if (this.isClosing && type !== CloseType.NoFlush && type !== CloseType.Abort) return;
    this.#flushSource();
    this.isClosing = true;
    this.#closeEvent = CloseEvent.Local;
    if (type === CloseType.Abort) {
      resetSocket(this.socket);
      this.#closed();
      return;
    }
    if (type === CloseType.NoFlush) {
      // As if nobody had taken it from the socket.
      if (this.#unread !== undefined) resetSocket(this.socket);
      else this.socket.destroy();
      this.#closed();
      return;
    }
    this.#closeAfterFlush = type;
    // What the peer still sends is thrown away, but its FIN must be seen.
    this.#mayHaveUnread = this.#readDisables > 0;
    this.#readDisables = 0;
    this.socket.resume();
    if (this.#bufferedBytes === 0) this.#flushed();
    else this.#schedule();
  }

  /** Counted: reading goes on when every `true` was taken back. */
  readDisable(disable: boolean): void {
    if (disable) {
      if (this.#readDisables++ === 0 && !this.isClosing) this.socket.pause();
    } else if (this.#readDisables > 0 && --this.#readDisables === 0 && !this.isClosing) {
      const bytes = this.#unread;
      this.#unread = undefined;
      if (bytes !== undefined) this.received(bytes);
      if (this.#readDisables > 0 || this.isClosing) return;
      this.socket.resume();
      if (!this.#endIsUnread || this.#unread !== undefined) return;
      this.#endIsUnread = false;
      this.#onEnd();
    }
  }

  get isReadDisabled(): boolean {
    return this.#readDisables > 0;
  }

  get isAboveHighWatermark(): boolean {
    return this.#isAboveHigh;
  }

  set bufferLimit(bytes: number) {
    this.#highWatermark = bytes;
  }

  /** Gives everything collected to the socket. Called at the end of a turn. */
  flush(): void {
    this.#isDirty = false;
    this.#hasWaited = false;
    if (this.isClosed) return;
    if (this.#handedOver.length > 0 && this.socket.writableLength === 0) this.#allWritten();
    this.#flushSource();
    if (this.#isBlocked) {
      this.#checkHigh();
      return;
    }
    const socket = this.socket;
    if (this.#bufferedBytes > 0) {
      const bytes = this.#bufferedBytes;
      this.bytesSent += bytes;
      this.txBytes.value += bytes;
      this.#bufferedBytes = 0;
      const buffers = this.#buffers;
      if (this.observer !== undefined) this.#observeWrite(this.observer);
      let isTaken = true;
      if (buffers.length === 0) {
        const text = this.#text;
        this.#text = '';
        isTaken = socket.write(text, 'latin1');
      } else {
        if (this.#text !== '') this.#textToBuffer();
        if (buffers.length === 1) {
          isTaken = socket.write(buffers[0]!);
        } else {
          socket.cork();
          for (let i = 0; i < buffers.length; i++) isTaken = socket.write(buffers[i]!);
          socket.uncork();
          isTaken = !socket.writableNeedDrain;
        }
        if (socket.writableLength > 0) this.#handedOver.push(...buffers);
        else for (let i = 0; i < buffers.length; i++) written(buffers[i]!);
        truncate(buffers, 0);
      }
      if (!isTaken && socket.writableLength > 0) this.#isBlocked = true;
    }
    if (this.#isBlocked || this.#lastPending > 0) this.#countPending(this.pendingBytes);
    if (this.#isBlocked) this.#checkHigh();
    else {
      this.#checkLow();
      if (this.#bufferedBytes === 0) this.#flushed();
    }
  }

  #flushSource(): void {
    const source = this.#source;
    if (source === undefined) return;
    this.#source = undefined;
    source.flush();
  }

  #allWritten(): void {
    const buffers = this.#handedOver;
    for (let i = 0; i < buffers.length; i++) written(buffers[i]!);
    truncate(buffers, 0);
  }

  #observeWrite(observer: ConnectionObserver): void {
    if (this.#text !== '') this.#textToBuffer();
    observer.onWritten(Buffer.concat(this.#buffers), this.#endAfterFlush);
  }

  #textToBuffer(): void {
    this.#buffers.push(Buffer.from(this.#text, 'latin1'));
    this.#text = '';
  }

  #added(bytes: number): void {
    this.#bufferedBytes += bytes;
    if (this.#bufferedBytes >= earlyFlushBytes && !this.#isBlocked && !this.socket.connecting) {
      this.flush();
      return;
    }
    if (!this.#isDirty) this.#schedule();
    if (this.#highWatermark > 0 && this.#bufferedBytes > this.#highWatermark) this.#checkHigh();
  }

  #schedule(): void {
    if (this.#isDirty) return;
    this.#isDirty = true;
    dirty.push(this);
    scheduleTurnEnd();
  }

  #countPending(bytes: number): void {
    this.txBuffered.value += bytes - this.#lastPending;
    this.#lastPending = bytes;
  }

  #checkHigh(): void {
    if (this.#isAboveHigh || this.#highWatermark === 0 || this.pendingBytes <= this.#highWatermark) return;
    this.#isAboveHigh = true;
    this.owner.onAboveWriteBufferHighWatermark();
  }

  #checkLow(): void {
    if (!this.#isAboveHigh || this.pendingBytes > this.#highWatermark / 2) return;
    this.#isAboveHigh = false;
    if (!this.isClosing) this.owner.onBelowWriteBufferLowWatermark();
  }

  #onDrain(): void {
    if (this.isClosed) return;
    this.#isBlocked = false;
    this.flush();
  }

  /** Nothing is left of ours: ends and closes that waited for it. */
  #flushed(): void {
    if (this.isClosing) {
      if (this.#closeAfterFlush === CloseType.FlushWriteAndDelay && this.delayedCloseMs > 0) {
        if (this.#delayedClose !== undefined) return;
        this.#delayedClose = setTimeout(() => {
          this.delayedCloseTimeouts.value++;
          this.hasCloseTimedOut = true;
          this.#endSocket();
          this.#closed();
        }, this.delayedCloseMs);
      } else {
        this.#endSocket();
        this.#closed();
      }
    } else if (this.#endAfterFlush) this.socket.end();
  }

  #onEnd(): void {
    if (this.isClosed) return;
    if (this.#unread !== undefined && !this.isClosing) {
      this.#endIsUnread = true;
      return;
    }
    if (this.halfClose && !this.isClosing && this.#firstReader === undefined) {
      this.owner.onEnd();
      return;
    }
    // Also when it answers a close that was waiting for it.
    this.#closeEvent = CloseEvent.Remote;
    this.isClosing = true;
    this.#endSocket();
    this.#closed();
  }

  #endSocket(): void {
    const { socket } = this;
    // A plain socket that has sent everything needs no FIN of its own before the close, which costs a system call and a turn. With
    // something unread the close is a reset, and the FIN has to come first.
    if (socket.writableLength === 0 && !this.#mayHaveUnread && !('encrypted' in socket)) socket.destroy();
    else socket.destroySoon();
  }

  #onError(error: NodeJS.ErrnoException): void {
    if (this.failureReason === '') {
      this.failureCode = error.code ?? '';
      this.failureReason = reasonOf(error);
      if (error.syscall === 'bind') this.#onBindError(error);
    }
  }

  /** The local address that was asked for cannot be had: no fault of the peer. */
  #onBindError({
    address = '',
    port = 0,
  }: NodeJS.ErrnoException & { address?: string; port?: number }): void {
    this.hasFailedToBind = true;
    this.#closeEvent = CloseEvent.Local;
    this.failureReason = `failed to bind to ${addressText(address, port)}: ${this.failureReason}`;
  }

  #closed(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.isClosing = true;
    this.#text = '';
    truncate(this.#buffers, 0);
    this.#bufferedBytes = 0;
    this.#place?.close();
    if (this.#lastRead > 0) this.rxBuffered.value -= this.#lastRead;
    if (this.#lastPending > 0) this.#countPending(0);
    if (this.#delayedClose !== undefined) clearTimeout(this.#delayedClose);
    this.observer?.onClose();
    this.owner.onClose(this.#closeEvent);
  }
}

function reasonOf(error: NodeJS.ErrnoException): string {
  if (error.message.startsWith('TLS_error')) return error.message;
  return systemErrorText(error.code) ?? error.message;
}

/** Why a connection could not be made, as access logs and answers show it. Failed handshakes speak for themselves. */
export function connectFailureText(reason: string): string {
  const text = reason.replaceAll(' ', '_');
  return /^(TLS_error|failed_to_bind)/.test(text) ? text : `delayed_connect_error:_${text}`;
}
