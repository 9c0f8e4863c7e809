// HTTP/1 as a server speaks it: requests in, responses out, one at a time. Requests behind the current one wait in the codec until
// its response is complete.
import {
  type ByteSink,
  ResetReason,
  type ServerCodec,
  type ServerCodecOwner,
  type StreamDecoder,
  type StreamEncoder,
} from './codec.ts';
import { isUpgrade, removeNominatedHeaders, removeUpgrade } from './connection-header.ts';
import { h1Errors as errors } from './h1-error.ts';
import type { Http1Options } from './h1-options.ts';
import { Body, H1Parser, type H1Receiver, isChunked, nothing } from './h1-parser.ts';
import { headerLine, headerLines, statusLine, writeBody, writeHead, writeTrailers } from './h1-writer.ts';
import type { HeaderMap } from './header-map.ts';
import { isAuthorityValid, isConnectTarget, parseAbsoluteUrl } from './url.ts';

const maxWaitingBytes = 65_536;

export class H1ServerCodec implements ServerCodec, H1Receiver {
  readonly sink: ByteSink;
  readonly options: Http1Options;
  isGoingAway = false;
  /** The connection ends with the current response. */
  isLast = false;
  /** Nothing is read any more: the connection is done with, broken, or gone. */
  isClosing = false;
  isParsing = false;

  readonly #owner: ServerCodecOwner;
  readonly #parser: H1Parser;
  /** Lives until request and response are complete. */
  #stream: H1ServerStream | undefined = undefined;
  #isHttp10 = false;
  #received = 0;
  /** With all of the bytes at hand, as Envoy counts: what comes together with a request counts for it. */
  #receivedThen = 0;
  /** Bytes behind the current request. Reading goes on for a while, as the client's end shows behind them only. */
  #waiting: Buffer = nothing;
  /** There are so many that reading is disabled. */
  #isFull = false;
  #readDisables = 0;
  #isAboveHighWatermark = false;

  constructor(owner: ServerCodecOwner, sink: ByteSink, options: Http1Options) {
    this.#owner = owner;
    this.sink = sink;
    this.options = options;
    this.#parser = new H1Parser(true, this, options);
  }

  /** Of the last request whose headers came. One that is refused for its version counts as HTTP/1.1. */
  get protocol(): 'HTTP/1.0' | 'HTTP/1.1' {
    return this.#isHttp10 ? 'HTTP/1.0' : 'HTTP/1.1';
  }

  // ---- the owner's side

  onData(bytes: Buffer): void {
    if (this.isClosing) return;
    if (this.#waiting.length > 0) this.#keep(Buffer.concat([this.#waiting, bytes]));
    else this.#parse(bytes);
  }

  /** A client that closes its side is taken to be gone, as in Envoy. */
  onEnd(): void {
    this.onConnectionClose(ResetReason.ConnectionTermination, '');
  }

  onConnectionClose(reason: ResetReason, details: string): void {
    this.isClosing = true;
    const stream = this.#stream;
    if (stream === undefined) return;
    this.#drop(stream);
    stream.decoder.onReset(reason, details);
  }

  onAboveWriteBufferHighWatermark(): void {
    this.#isAboveHighWatermark = true;
    if (this.#stream !== undefined) this.#stream.decoder.onAboveWriteBufferHighWatermark();
  }

  onBelowWriteBufferLowWatermark(): void {
    this.#isAboveHighWatermark = false;
    if (this.#stream !== undefined) this.#stream.decoder.onBelowWriteBufferLowWatermark();
  }

  /** HTTP/1 has no way to announce the end beforehand. */
  shutdownNotice(): void {}

  goAway(): void {
    this.isGoingAway = true;
  }

  // ---- bytes in

  #parse(bytes: Buffer): void {
    const parser = this.#parser;
    if (parser.isComplete && this.#stream !== undefined) {
      this.#keep(bytes);
      return;
    }
    for (let offset = 0; offset < bytes.length; ) {
      this.isParsing = true;
      this.#receivedThen = this.#received + bytes.length - offset;
      const taken = parser.execute(bytes, offset);
      this.isParsing = false;
      this.#received += taken - offset;
      offset = taken;
      if (this.#stream !== undefined) this.#stream.wireBytesReceived = this.#receivedThen;
      if (this.isClosing) return;
      if (parser.hasFailed) {
        // The answer needs a stream, even when there was no request line to begin one.
        if (this.#stream === undefined) this.onMessageBegin();
        this.isClosing = true;
        if (parser.error === errors.tooManyHeaders && this.#stream!.headerBytesReceived === 0)
          this.#stream!.headerBytesReceived = parser.headerBytes;
        this.#owner.onCodecError(parser.error);
        return;
      }
      if (!parser.isComplete) return;
      if (this.#stream !== undefined) {
        if (offset < bytes.length) this.#keep(bytes.subarray(offset));
        return;
      }
      this.#beginNext();
    }
  }

  #keep(bytes: Buffer): void {
    this.#waiting = bytes;
    if (this.#isFull || bytes.length < maxWaitingBytes) return;
    this.#isFull = true;
    this.disableReading(1);
  }

  #beginNext(): void {
    this.#received = 0;
    this.#parser.reset();
  }

  /** The request behind the one that just ended. Runs when nobody is in a call of ours any more. */
  #resume(): void {
    const bytes = this.#waiting;
    const wasFull = this.#isFull;
    this.#waiting = nothing;
    this.#isFull = false;
    if (!this.isClosing) this.#parse(bytes);
    // Afterwards: when still more waits, the owner need not hear of it.
    if (wasFull) this.disableReading(-1);
  }

  onMessageBegin(): void {
    const stream = new H1ServerStream(this);
    this.#stream = stream;
    stream.decoder = this.#owner.newStream(stream);
    if (this.#isAboveHighWatermark) stream.decoder.onAboveWriteBufferHighWatermark();
  }

  onHead(): Body {
    const parser = this.#parser;
    const headers = parser.headers;
    const stream = this.#stream;
    if (stream === undefined || this.isClosing) return Body.Failed;
    stream.headerBytesReceived = parser.headerBytes;
    stream.decompressedHeaderBytesReceived = parser.headerBytes;
    this.#isHttp10 = !parser.isHttp11 && this.options.acceptHttp10;
    stream.isHttp10 = this.#isHttp10;
    const isConnect = headers.method === 'CONNECT';
    let isRaw = isConnect;
    if (parser.upgrade !== undefined && isUpgrade(parser.connection, parser.upgrade)) {
      if (parser.upgrade.toLowerCase() === 'h2c' || this.options.ignoresUpgrade?.(parser.upgrade)) {
        removeUpgrade(headers, parser.connection!);
        parser.connection = headers.get('connection');
      } else isRaw = true;
    }
    if (isConnect && parser.hasContentLength) {
      if (headers.get('content-length') !== '0') return parser.fail(errors.bodyDisallowed);
      headers.remove('content-length');
      parser.hasContentLength = false;
    }
    if (parser.transferEncoding !== undefined) {
      // RFC 9112 6.3: both lengths in one message look like request smuggling.
      if (parser.hasContentLength) {
        if (!this.options.allowChunkedLength || !parser.isChunked)
          return parser.fail(errors.lengthAndChunked);
        headers.remove('content-length');
      }
      if (isConnect || !isChunked(parser.transferEncoding)) return parser.fail(errors.transferEncoding);
    }
    if (parser.connection !== undefined && !isRaw && !removeNominatedHeaders(headers, parser.connection)) {
      return parser.fail(errors.connectionHeader);
    }
    stream.isHead = headers.method === 'HEAD';
    stream.isConnect = isConnect;
    const error = this.#readTarget(headers, isConnect);
    if (error !== undefined) return parser.fail(error);
    if (!parser.isHttp11) {
      if (!this.options.acceptHttp10) return parser.fail(errors.lowVersion);
      if (headers.authority === '' && !headers.isAuthorityEmpty)
        headers.authority = this.options.defaultHostForHttp10;
    }
    if (!isAuthorityValid(headers.authority)) return parser.fail(errors.invalidAuthority);

    let body: Body = Body.None;
    if (isRaw) body = Body.Raw;
    else if (parser.transferEncoding !== undefined) body = Body.Chunked;
    else if (parser.contentLength > 0) body = Body.Length;
    stream.isRequestComplete = body === Body.None;
    stream.isRaw = isRaw;
    stream.wireBytesReceived = this.#receivedThen;
    stream.decoder.decodeHeaders(headers, stream.isRequestComplete);
    return this.isClosing ? Body.Failed : body;
  }

  /** Origin form and asterisk form are the path; the others say more. */
  #readTarget(headers: HeaderMap, isConnect: boolean): typeof errors.invalidUrl | undefined {
    const target = this.#parser.target;
    if (!isConnect) {
      const first = target.charCodeAt(0);
      if (first === 47 || (first === 42 && headers.method === 'OPTIONS') || !this.options.allowAbsoluteUrl) {
        headers.path = target;
        return undefined;
      }
      const url = parseAbsoluteUrl(target);
      if (url === undefined) return errors.invalidUrl;
      // RFC 9112 3.2.2: the host of an absolute target replaces the host header.
      headers.authority = url.authority;
      headers.isAuthorityEmpty = false;
      headers.scheme = url.scheme;
      headers.path = url.path;
      if (url.scheme !== 'http' && url.scheme !== 'https') return errors.invalidScheme;
      return url.scheme === 'https' && this.options.refuseHttpsTarget ? errors.httpsInPlaintext : undefined;
    }
    if (!isConnectTarget(target)) return errors.invalidUrl;
    headers.authority = target;
    headers.isAuthorityEmpty = false;
    return undefined;
  }

  onBody(data: Buffer, end: boolean): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    stream.wireBytesReceived = this.#receivedThen;
    if (!end) {
      stream.decoder.decodeData(data, false);
      return;
    }
    // As in Envoy the end comes by itself: what answers to the body does not know yet that it is complete.
    if (data.length > 0) stream.decoder.decodeData(data, false);
    if (stream !== this.#stream || this.isClosing) return;
    stream.isRequestComplete = true;
    stream.decoder.decodeData(nothing, true);
    this.#endWhenComplete(stream);
  }

  onTrailers(trailers: HeaderMap): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    stream.isRequestComplete = true;
    stream.headerBytesReceived += this.#parser.headerBytes;
    stream.decoder.decodeTrailers(trailers);
    this.#endWhenComplete(stream);
  }

  // ---- the stream's side

  /** The response is out. */
  onResponseEnd(stream: H1ServerStream): void {
    if (stream.isRaw) this.isLast = true;
    this.#endWhenComplete(stream);
  }

  onStreamReset(stream: H1ServerStream): void {
    this.isClosing = true;
    this.#drop(stream);
  }

  disableReading(change: number): void {
    const before = this.#readDisables;
    this.#readDisables = before + change;
    if (before === 0 || this.#readDisables === 0) this.#owner.onReadDisable(this.#readDisables > 0);
  }

  #endWhenComplete(stream: H1ServerStream): void {
    if (stream !== this.#stream || !stream.isResponseComplete) return;
    if (!stream.isRequestComplete && !this.isLast && !this.isClosing) return;
    this.#drop(stream);
    if (this.isLast) this.isClosing = true;
    if (this.isParsing || this.isClosing) return;
    this.#beginNext();
    if (this.#waiting.length > 0) queueMicrotask(() => this.#resume());
  }

  #drop(stream: H1ServerStream): void {
    this.#stream = undefined;
    stream.isResponseComplete = true;
    if (stream.readDisables > 0) this.disableReading(-stream.readDisables);
    stream.readDisables = 0;
  }
}

/** The response of one request. An object of its own, so that who keeps it too long cannot write into the next response. */
class H1ServerStream implements StreamEncoder {
  readonly isFlushing = false;
  wireBytesSent = 0;
  wireBytesReceived = 0;
  headerBytesSent = 0;
  headerBytesReceived = 0;
  decompressedHeaderBytesSent = 0;
  decompressedHeaderBytesReceived = 0;
  /** Set as soon as the owner has answered to `newStream`. */
  decoder!: StreamDecoder;
  isHead = false;
  isConnect = false;
  isHttp10 = false;
  isRaw = false;
  isRequestComplete = false;
  isResponseComplete = false;
  readDisables = 0;
  #isChunked = false;
  readonly #codec: H1ServerCodec;

  constructor(codec: H1ServerCodec) {
    this.#codec = codec;
  }

  encode1xx(headers: HeaderMap): void {
    if (this.isResponseComplete) return;
    const { options } = this.#codec;
    writeHead(this.#codec.sink, statusLine(headers, this.isHttp10), headerLines(headers, options), this);
  }

  encodeHeaders(headers: HeaderMap, endStream: boolean): void {
    if (this.isResponseComplete) return;
    const codec = this.#codec;
    const options = codec.options;
    const status = headers.status;
    const list = headers.list;
    let hasLength = false;
    let connection: string | undefined;
    let upgrade: string | undefined;
    for (let i = 0; i < list.length; i += 2) {
      const name = list[i];
      if (name === 'content-length') hasLength = true;
      else if (name === 'connection') connection = list[i + 1];
      else if (name === 'upgrade') upgrade = list[i + 1];
    }
    const isTunnel = (this.isConnect && status < 300) || isUpgrade(connection, upgrade);
    let text = headerLines(headers, options);
    if (codec.isGoingAway && !isTunnel) {
      if (connection === undefined) text += headerLine('connection', 'close', headers, options);
      codec.isLast = true;
    }
    this.#isChunked = false;
    if (!hasLength) {
      if (endStream && !this.isHead) {
        // RFC 9110 8.6: 1xx and 204 have no length; a 304 without one says nothing about it.
        if (status >= 200 && status !== 204 && status !== 304)
          text += headerLine('content-length', '0', headers, options);
      } else if (this.isHttp10) {
        // The end of the connection ends this body.
        if (!this.isHead) codec.isLast = true;
      } else if (status >= 200 && status !== 204 && status !== 304 && !(this.isConnect && status < 300)) {
        // A HEAD request is told how the body would come.
        text += headerLine('transfer-encoding', 'chunked', headers, options);
        this.#isChunked = !this.isHead && !isTunnel;
      }
    }
    writeHead(codec.sink, statusLine(headers, this.isHttp10), text, this);
    if (endStream) this.#end();
  }

  encodeData(data: Buffer, endStream: boolean): void {
    if (this.isResponseComplete) return;
    this.wireBytesSent += writeBody(this.#codec.sink, data, this.#isChunked, endStream);
    if (endStream) this.#end();
  }

  encodeTrailers(trailers: HeaderMap): void {
    if (this.isResponseComplete) return;
    writeTrailers(this.#codec.sink, trailers, this.#isChunked, this.#codec.options, this);
    this.#end();
  }

  reset(): void {
    if (this.isResponseComplete) return;
    this.#codec.onStreamReset(this);
  }

  limitFlush(): void {}

  readDisable(disable: boolean): void {
    if (this.isResponseComplete) return;
    const change = disable ? 1 : -1;
    this.readDisables += change;
    this.#codec.disableReading(change);
  }

  #end(): void {
    this.isResponseComplete = true;
    this.#codec.onResponseEnd(this);
  }
}
