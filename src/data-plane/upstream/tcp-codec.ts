// What a pool speaks when the payload of a CONNECT goes upstream as it is: one stream per connection, whose data is the bytes. It
// answers itself, with 200 as soon as there is a connection.
import type {
  ClientCodec,
  ClientCodecOwner,
  FlushSource,
  ResetReason,
  StreamDecoder,
  StreamEncoder,
} from '#http/codec.ts';
import { HeaderMap } from '#http/header-map.ts';
import type { Connection } from '#net/connection.ts';

export class TcpCodec implements ClientCodec, StreamEncoder, FlushSource {
  readonly protocol = 'HTTP/1.1';
  readonly isFlushing = false;
  wireBytesSent = 0;
  wireBytesReceived = 0;
  headerBytesSent = 0;
  headerBytesReceived = 0;
  decompressedHeaderBytesSent = 0;
  decompressedHeaderBytesReceived = 0;
  readonly #owner: ClientCodecOwner;
  readonly #connection: Connection;
  #decoder: StreamDecoder | undefined = undefined;
  #isAnswered = false;
  #hasEnded = false;
  #peerHasEnded = false;

  constructor(owner: ClientCodecOwner, connection: Connection) {
    this.#owner = owner;
    this.#connection = connection;
    connection.halfClose = true;
  }

  /** Both sides have ended: whoever closes now interrupts nothing. */
  get isComplete(): boolean {
    return this.#hasEnded && this.#peerHasEnded;
  }

  get activeStreams(): number {
    return this.#decoder === undefined ? 0 : 1;
  }

  newStream(decoder: StreamDecoder): StreamEncoder {
    this.#decoder = decoder;
    return this;
  }

  // The connection ---------------------------------------------------------------------------------------------------------

  onData(bytes: Buffer): void {
    this.wireBytesReceived += bytes.length;
    this.flush();
    this.#decoder?.decodeData(bytes, false);
  }

  onEnd(): void {
    this.#peerHasEnded = true;
    this.flush();
    this.#decoder?.decodeData(noBytes, true);
  }

  onConnectionClose(reason: ResetReason): void {
    const decoder = this.#decoder;
    this.#decoder = undefined;
    decoder?.onReset(reason, '');
  }

  onAboveWriteBufferHighWatermark(): void {
    this.#decoder?.onAboveWriteBufferHighWatermark();
  }

  onBelowWriteBufferLowWatermark(): void {
    this.#decoder?.onBelowWriteBufferLowWatermark();
  }

  // The request ------------------------------------------------------------------------------------------------------------

  encode1xx(): void {}

  /** Nothing of the request's head goes upstream. The answer comes when this turn ends, not from inside this call. */
  encodeHeaders(_headers: HeaderMap, endStream: boolean): void {
    this.#connection.flushLater(this);
    if (endStream) this.#end();
  }

  flush(): void {
    if (this.#isAnswered || this.#decoder === undefined) return;
    this.#isAnswered = true;
    const headers = new HeaderMap();
    headers.status = 200;
    this.#decoder.decodeHeaders(headers, false);
  }

  encodeData(data: Buffer, endStream: boolean): void {
    this.wireBytesSent += data.length;
    this.#connection.write(data);
    if (endStream) this.#end();
  }

  encodeTrailers(): void {
    this.#end();
  }

  #end(): void {
    this.#hasEnded = true;
    this.#connection.end();
  }

  reset(): void {
    this.#decoder = undefined;
    this.#owner.onStreamEnd(false);
  }

  limitFlush(): void {}

  readDisable(disable: boolean): void {
    this.#connection.readDisable(disable);
  }
}

const noBytes = Buffer.alloc(0);
