// The contract between the codecs (bytes <-> messages, no sockets) and those who own a connection: the connection manager
// downstream, the pools upstream. HTTP/1 and HTTP/2 look the same from here.
import type { ByteCounts } from './byte-counts.ts';
import type { HeaderMap } from './header-map.ts';

/** Why a stream ended without its end. Envoy's stream reset reasons. */
export const ResetReason = {
  None: 0,
  LocalReset: 1,
  LocalRefusedStreamReset: 2,
  RemoteReset: 3,
  RemoteRefusedStreamReset: 4,
  LocalConnectionFailure: 5,
  RemoteConnectionFailure: 6,
  ConnectionTimeout: 7,
  ConnectionTermination: 8,
  Overflow: 9,
  ConnectError: 10,
  ProtocolError: 11,
  OverloadManager: 12,
  /** HTTP/2 RST_STREAM with NO_ERROR. Downstream Envoy gives it neither flag nor details; elsewhere it is a `RemoteReset`. */
  RemoteResetNoError: 13,
} as const;
export type ResetReason = (typeof ResetReason)[keyof typeof ResetReason];

/**
 * Where a codec puts its bytes. The owner collects what is written during one turn of the event loop and hands it to the
 * socket once; order is kept between the two methods.
 */
export interface ByteSink {
  /** The sink keeps `bytes` until they are out: the codec never changes or reuses them. */
  write(bytes: Buffer): void;
  /** Latin1 text: a header block, a chunk header. */
  writeText(text: string): void;
  /**
   * The codec gathers bytes of its own: `source.flush()` is called once before what was written in this turn of the event
   * loop, or a close, reaches the socket. Asking again before that changes nothing. Not called when the connection is gone.
   */
  flushLater(source: FlushSource): void;
  /** Bytes taken that the socket has not finished with. HTTP/2 counts from it how many frames a slow peer makes us hold. */
  readonly pendingBytes: number;
}

/** Implemented by a codec that encodes many frames into one buffer and hands it over once per turn. */
export interface FlushSource {
  /** Writes to the sink; may call decoders. */
  flush(): void;
}

/** One direction of a stream as it arrives. Implemented by the proxy, called by a codec; never called again after the end or a reset. */
export interface StreamDecoder {
  /** A final header block. The codec does not touch `headers` afterwards: the receiver owns it. */
  decodeHeaders(headers: HeaderMap, endStream: boolean): void;
  /** Upstream only: 100 and other informational responses except 101. */
  decode1xx(headers: HeaderMap): void;
  /**
   * The receiver may keep `data`, and passes it on at most once: memory of large reads goes around (`base/read-buffers.ts`), and
   * whoever sends bytes twice or looks at them after sending them pins them.
   */
  decodeData(data: Buffer, endStream: boolean): void;
  /** Always the end of the stream. */
  decodeTrailers(trailers: HeaderMap): void;
  /** The stream is gone. `details` is a response-code detail in Envoy's words (`http2.remote_reset`), or empty. */
  onReset(reason: ResetReason, details: string): void;
  /** HTTP/2 servers: what waited behind the end is out, or was given up. */
  onFlushed?(isComplete: boolean): void;
  /** What was sent on this stream waits (full flow-control window or socket): stop producing. Calls nest: each high is followed by one low. */
  onAboveWriteBufferHighWatermark(): void;
  onBelowWriteBufferLowWatermark(): void;
}

/** The other direction of the same stream. Implemented by a codec, called by the proxy. */
export interface StreamEncoder extends ByteCounts {
  /** HTTP/2: something of it waits for the peer's window. */
  readonly isFlushing: boolean;
  encode1xx(headers: HeaderMap): void;
  /** The codec reads `headers` before it returns and keeps nothing of it. */
  encodeHeaders(headers: HeaderMap, endStream: boolean): void;
  /** The codec (or its sink) keeps `data` until it is out. */
  encodeData(data: Buffer, endStream: boolean): void;
  encodeTrailers(trailers: HeaderMap): void;
  /** Ends the stream now: RST_STREAM, or for HTTP/1 the owner is asked to close the connection. No callback follows. */
  reset(reason: ResetReason): void;
  /** HTTP/2, behind the end: what still waits for the peer's window is given up after this long. 0: never. */
  limitFlush(timeoutMs: number): void;
  /** True: deliver no more data of this stream (HTTP/2: grant no window; HTTP/1: the owner stops reading). Counted, as Envoy's readDisable. */
  readDisable(disable: boolean): void;
}

/** The peer broke the protocol. `status` is what a server answers before it closes, 0 when there is no answer (HTTP/2). */
export interface CodecError {
  readonly status: number;
  /** Envoy's response code details, e.g. `http1.codec_error`, `http2.violation.of.messaging.rule`. */
  readonly details: string;
  readonly message: string;
  /** A flood (too many frames of a kind): the connection ends, but no protocol error is counted. */
  readonly flood?: boolean;
  /** It is about one stream, which has been reset already. */
  readonly hasEndedStream?: boolean;
  /** The peer did nothing wrong, it only did nothing: a PING was not answered. */
  readonly isSilence?: boolean;
}

export interface Codec {
  readonly protocol: 'HTTP/1.0' | 'HTTP/1.1' | 'HTTP/2';
  /** Bytes from the peer. May call decoders and the owner; must not be called from inside one of those calls. */
  onData(bytes: Buffer): void;
  /** The peer will send no more (FIN). Ends a close-delimited message; otherwise resets what is unfinished. */
  onEnd(): void;
  /** The connection is gone: every live stream gets `onReset(reason, details)`. */
  onConnectionClose(reason: ResetReason, details: string): void;
  /** The sink passed its high watermark, or fell below its low one: told to the streams. */
  onAboveWriteBufferHighWatermark(): void;
  onBelowWriteBufferLowWatermark(): void;
}

/** Downstream: what the connection manager drives. */
export interface ServerCodec extends Codec {
  /** Bytes of a request are being taken apart right now. */
  readonly isParsing: boolean;
  /** First stage of a graceful drain. HTTP/2: GOAWAY with the largest id; HTTP/1: nothing. */
  shutdownNotice(): void;
  /** HTTP/2: GOAWAY with the last stream that will be served. HTTP/1: the next response says `connection: close`. */
  goAway(): void;
}

export interface ServerCodecOwner {
  /** A request begins. Returns who receives it. */
  newStream(encoder: StreamEncoder): StreamDecoder;
  /** Nothing after this can be parsed. HTTP/1: a stream is open, the owner answers on it with `status` and its reason phrase, and closes. */
  onCodecError(error: CodecError): void;
  /** Bytes may be read again, or must wait (HTTP/1 pipelining, readDisable): the owner pauses the socket. */
  onReadDisable(disable: boolean): void;
}

/** Upstream: what a pool drives. */
export interface ClientCodec extends Codec {
  /** Opens a stream. For HTTP/1 only one at a time. */
  newStream(decoder: StreamDecoder): StreamEncoder;
  readonly activeStreams: number;
  /** A codec of one stream: both of its sides have ended. */
  readonly isComplete?: boolean;
}

export interface ClientCodecOwner {
  /**
   * The response is complete and the request was fully sent: the stream is over. `reusable`: the connection may carry another request.
   * HTTP/2 also after a reset by either side, after `onReset`.
   */
  onStreamEnd(reusable: boolean): void;
  /** HTTP/2 GOAWAY (`isError`: with an error code), spent stream ids, or an announced `connection: close`: no new streams here. */
  onGoAway(isError: boolean): void;
  /** HTTP/2: the peer's SETTINGS_MAX_CONCURRENT_STREAMS changed. */
  onMaxStreams(limit: number): void;
  /** HTTP/1: a CONNECT has said its last, which only the end of the connection can tell the peer. */
  onTunnelEnd?(): void;
  onCodecError(error: CodecError): void;
  onReadDisable(disable: boolean): void;
}
