// One HTTP/2 stream: its state, its two flow-control windows, and what waits in it. The session does the frames.
import type { WheelTimer } from '#base/timer-wheel.ts';
import type { ResetReason, StreamDecoder, StreamEncoder } from './codec.ts';
import type { H2Session } from './h2-session.ts';
import type { HeaderMap } from './header-map.ts';

export class H2Stream implements StreamEncoder {
  readonly session: H2Session;
  /** 0 until a client stream sends its headers. */
  id: number;
  decoder: StreamDecoder;

  /** What we may send. May be negative after SETTINGS. */
  sendWindow: number;
  /** What the peer may still send. */
  receiveWindow: number;
  /** Consumed since the last WINDOW_UPDATE. */
  consumed = 0;

  /** Our END_STREAM is out, or queued behind `queue`. */
  localEnd = false;
  /** The END_STREAM of our side is on its way. */
  localEndSent = false;
  /** The peer's END_STREAM came. */
  remoteEnd = false;
  /** ... and was told to the decoder. */
  remoteEndTold = false;
  flushTimer: WheelTimer | undefined = undefined;
  gone = false;
  /** A final header block was received; an informational one. */
  gotHeaders = false;
  gotInformational = false;
  /** Of our request, which decides how the response's length is read. */
  isHead = false;
  isConnect = false;
  /** What this stream is to be upgraded to, in either direction; empty: nothing. */
  upgrade = '';
  /** Bytes the body must have; -1 unknown. */
  contentLength = -1;
  bodyBytes = 0;

  /** Body that waits for a window. */
  queue: Buffer[] | undefined = undefined;
  queuedBytes = 0;
  trailers: HeaderMap | undefined = undefined;
  aboveHigh = false;
  inBlocked = false;

  readDisabled = 0;
  /** Body that came while reading was disabled, and the trailers behind it. */
  held: Buffer[] | undefined = undefined;
  heldTrailers: HeaderMap | undefined = undefined;
  inHeld = false;

  wireBytesSent = 0;
  wireBytesReceived = 0;
  headerBytesSent = 0;
  headerBytesReceived = 0;
  decompressedHeaderBytesSent = 0;
  decompressedHeaderBytesReceived = 0;

  constructor(
    session: H2Session,
    id: number,
    decoder: StreamDecoder,
    sendWindow: number,
    receiveWindow: number,
  ) {
    this.session = session;
    this.id = id;
    this.decoder = decoder;
    this.sendWindow = sendWindow;
    this.receiveWindow = receiveWindow;
  }

  get isFlushing(): boolean {
    return this.queue !== undefined;
  }

  encode1xx(headers: HeaderMap): void {
    if (!this.gone) this.session.sendHeaders(this, headers, false);
  }

  encodeHeaders(headers: HeaderMap, endStream: boolean): void {
    if (!this.gone) this.session.sendHeaders(this, headers, endStream);
  }

  encodeData(data: Buffer, endStream: boolean): void {
    if (!this.gone) this.session.sendData(this, data, endStream);
  }

  encodeTrailers(trailers: HeaderMap): void {
    if (!this.gone) this.session.sendTrailers(this, trailers);
  }

  reset(reason: ResetReason): void {
    if (!this.gone) this.session.resetStream(this, reason);
  }

  limitFlush(timeoutMs: number): void {
    if (!this.gone && this.queue !== undefined && timeoutMs > 0) this.session.limitFlush(this, timeoutMs);
  }

  readDisable(disable: boolean): void {
    if (this.gone) return;
    if (disable) this.readDisabled++;
    else if (this.readDisabled > 0 && --this.readDisabled === 0) this.session.resumeReading(this);
  }
}
