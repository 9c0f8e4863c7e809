// A connection for checks over HTTP or gRPC, which they open, use one after the other, and give up.
import type { ClientCodec, ClientCodecOwner, CodecError } from '#http/codec.ts';
import { ResetReason } from '#http/codec.ts';
import { CloseEvent, CloseType, type Connection, type ConnectionOwner } from '#net/connection.ts';

export interface CheckClientOwner {
  open(owner: ConnectionOwner): Connection;
  newCodec(connection: Connection, owner: ClientCodecOwner): ClientCodec;
  /** Once for each connection that was opened. */
  onReady(codec: ClientCodec): void;
  /** A stream is over, and all callbacks about it came before. `reusable`: another may follow on this connection. */
  onStreamOver(reusable: boolean): void;
  /** The peer wants no more streams, and may be at odds with us. */
  onGoAway(isError: boolean): void;
  /** The connection is gone, and not because of `close`. Streams that were open have been told. */
  onGone(): void;
}

export class CheckClient implements ConnectionOwner, ClientCodecOwner {
  readonly #owner: CheckClientOwner;
  #connection: Connection | undefined = undefined;
  #codec: ClientCodec | undefined = undefined;

  constructor(owner: CheckClientOwner) {
    this.#owner = owner;
  }

  /** `onReady` follows later, or `onGone`; undefined. Else the connection is there. */
  connect(): ClientCodec | undefined {
    if (this.#connection === undefined) this.#connection = this.#owner.open(this);
    return this.#codec;
  }

  close(): void {
    const connection = this.#connection;
    const codec = this.#codec;
    if (connection === undefined) return;
    this.#connection = undefined;
    this.#codec = undefined;
    codec?.onConnectionClose(ResetReason.LocalReset, '');
    connection.close(CloseType.NoFlush);
  }

  // ConnectionOwner ---------------------------------------------------------------------------------------------------------

  onConnected(): void {
    if (this.#connection === undefined) return;
    this.#codec = this.#owner.newCodec(this.#connection, this);
    this.#owner.onReady(this.#codec);
  }

  onData(bytes: Buffer): void {
    this.#codec?.onData(bytes);
  }

  onEnd(): void {}

  onClose(event: CloseEvent): void {
    if (this.#connection === undefined) return;
    const codec = this.#codec;
    // The end of the connection may be the end of a response.
    if (event === CloseEvent.Remote) codec?.onEnd();
    this.#connection = undefined;
    this.#codec = undefined;
    codec?.onConnectionClose(ResetReason.ConnectionTermination, '');
    this.#owner.onGone();
  }

  onAboveWriteBufferHighWatermark(): void {}

  onBelowWriteBufferLowWatermark(): void {}

  // ClientCodecOwner --------------------------------------------------------------------------------------------------------

  onStreamEnd(reusable: boolean): void {
    this.#owner.onStreamOver(reusable);
  }

  onGoAway(isError: boolean): void {
    this.#owner.onGoAway(isError);
  }

  onMaxStreams(): void {}

  onCodecError(_error: CodecError): void {
    const connection = this.#connection;
    this.#connection = undefined;
    this.#codec = undefined;
    connection?.close(CloseType.NoFlush);
    this.#owner.onGone();
  }

  onReadDisable(): void {}
}
