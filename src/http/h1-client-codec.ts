// HTTP/1 as a client speaks it: requests out, responses in, one at a time (no pipelining, as in Envoy).
import {
  type ByteSink,
  type ClientCodec,
  type ClientCodecOwner,
  type CodecError,
  ResetReason,
  type StreamDecoder,
  type StreamEncoder,
} from './codec.ts';
import { closesConnection, isUpgrade } from './connection-header.ts';
import { h1Errors as errors } from './h1-error.ts';
import type { Http1Options } from './h1-options.ts';
import { Body, H1Parser, type H1Receiver, isChunked } from './h1-parser.ts';
import { headerLine, headerLines, writeBody, writeHead, writeTrailers } from './h1-writer.ts';
import type { HeaderMap } from './header-map.ts';

export class H1ClientCodec implements ClientCodec, H1Receiver {
  readonly sink: ByteSink;
  readonly options: Http1Options;

  readonly #owner: ClientCodecOwner;
  readonly #parser: H1Parser;
  /** Lives until request and response are complete. */
  #stream: H1ClientStream | undefined = undefined;
  /** The peer closes after the current response, or nobody knows where the next one would begin. */
  #isLast = false;
  #isAboveHighWatermark = false;
  #readDisables = 0;

  constructor(owner: ClientCodecOwner, sink: ByteSink, options: Http1Options) {
    this.#owner = owner;
    this.sink = sink;
    this.options = options;
    this.#parser = new H1Parser(false, this, options);
  }

  /** Of the current response. */
  get protocol(): 'HTTP/1.0' | 'HTTP/1.1' {
    return this.#parser.isHttp11 ? 'HTTP/1.1' : 'HTTP/1.0';
  }

  get activeStreams(): number {
    return this.#stream === undefined ? 0 : 1;
  }

  // ---- the owner's side

  newStream(decoder: StreamDecoder): StreamEncoder {
    const stream = new H1ClientStream(this, decoder);
    this.#stream = stream;
    if (this.#isAboveHighWatermark) decoder.onAboveWriteBufferHighWatermark();
    return stream;
  }

  onData(bytes: Buffer): void {
    const stream = this.#stream;
    if (stream === undefined || stream.isResponseComplete) {
      this.#fail(errors.prematureResponse);
      return;
    }
    const parser = this.#parser;
    stream.wireBytesReceived += bytes.length;
    const taken = parser.execute(bytes, 0);
    if (this.#stream !== stream) return;
    if (parser.hasFailed) {
      if (parser.error === errors.tooManyHeaders) stream.headerBytesReceived += parser.headerBytes;
      this.#fail(parser.error);
    } else if (parser.isComplete) {
      const hasMore = taken < bytes.length;
      if (hasMore) this.#isLast = true;
      this.#endWhenComplete(stream);
      if (hasMore) this.#owner.onCodecError(errors.extraneousData);
    }
  }

  /** The peer closed. To be called before `onConnectionClose`, for RST too: what arrived may be a complete response. */
  onEnd(): void {
    const stream = this.#stream;
    if (stream === undefined || stream.isResponseComplete) return;
    this.#isLast = true;
    if (this.#parser.end()) {
      if (this.#stream === stream) this.#endWhenComplete(stream);
    } else if (this.#parser.isUnderWay) this.#fail(errors.unexpectedEnd);
    else this.onConnectionClose(ResetReason.ConnectionTermination, '');
  }

  onConnectionClose(reason: ResetReason, details: string): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    this.#drop(stream);
    if (!stream.isResponseComplete) stream.decoder.onReset(reason, details);
  }

  onAboveWriteBufferHighWatermark(): void {
    this.#isAboveHighWatermark = true;
    const stream = this.#stream;
    if (stream !== undefined && !stream.isResponseComplete) stream.decoder.onAboveWriteBufferHighWatermark();
  }

  onBelowWriteBufferLowWatermark(): void {
    this.#isAboveHighWatermark = false;
    const stream = this.#stream;
    if (stream !== undefined && !stream.isResponseComplete) stream.decoder.onBelowWriteBufferLowWatermark();
  }

  // ---- the parser's side

  onMessageBegin(): void {}

  onHead(): Body {
    const parser = this.#parser;
    const stream = this.#stream;
    if (stream === undefined) return Body.Failed;
    stream.headerBytesReceived += parser.headerBytes;
    // Envoy counts what came before once more.
    stream.decompressedHeaderBytesReceived += stream.headerBytesReceived;
    const headers = parser.headers;
    const status = headers.status;
    const hasLength = parser.hasContentLength;
    let isRaw = stream.isUpgrade && isUpgrade(parser.connection, parser.upgrade);
    if (parser.transferEncoding !== undefined) {
      if (parser.hasContentLength) {
        if (!this.options.allowChunkedLength || !parser.isChunked)
          return parser.fail(errors.lengthAndChunked);
        headers.remove('content-length');
        parser.hasContentLength = false;
      }
      if (!isChunked(parser.transferEncoding)) return parser.fail(errors.transferEncoding);
    }
    if (stream.isConnect && status >= 200 && status < 300) isRaw = true;
    if (status < 200 || status === 204) {
      if (parser.transferEncoding !== undefined) return parser.fail(errors.transferEncodingNotAllowed);
      if (parser.hasContentLength) {
        if (headers.get('content-length') !== '0') return parser.fail(errors.contentLengthNotAllowed);
        headers.remove('content-length');
        parser.hasContentLength = false;
      }
      if (status >= 100 && status < 200 && status !== 101) {
        stream.decoder.decode1xx(headers);
        return this.#stream === stream ? Body.Interim : Body.Failed;
      }
    }
    if (closesConnection(parser.isHttp11, headers)) {
      this.#isLast = true;
      this.#owner.onGoAway(false);
    }
    if (isRaw && stream.isExtendedConnect) {
      headers.status = 200;
      headers.remove('connection');
      headers.remove('upgrade');
    }

    let body: Body = Body.UntilClose;
    if (isRaw) body = Body.Raw;
    else if (stream.isHead || status === 101 || status === 204 || status === 304) body = Body.None;
    else if (parser.transferEncoding !== undefined) body = Body.Chunked;
    else if (hasLength) body = parser.contentLength > 0 ? Body.Length : Body.None;
    if (body === Body.Raw || body === Body.UntilClose) this.#isLast = true;
    stream.isResponseComplete = body === Body.None;
    stream.decoder.decodeHeaders(headers, body === Body.None);
    // The receiver may have reset the stream.
    return this.#stream === stream ? body : Body.Failed;
  }

  onBody(data: Buffer, end: boolean): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    stream.isResponseComplete = end;
    stream.decoder.decodeData(data, end);
  }

  onTrailers(trailers: HeaderMap): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    stream.isResponseComplete = true;
    stream.headerBytesReceived += this.#parser.headerBytes;
    stream.decoder.decodeTrailers(trailers);
  }

  // ---- the stream's side

  onRequestEnd(stream: H1ClientStream): void {
    if (stream.isConnect) this.#owner.onTunnelEnd?.();
    this.#endWhenComplete(stream);
  }

  onStreamReset(stream: H1ClientStream): void {
    this.#drop(stream);
    this.#parser.fail(errors.codec);
    this.#owner.onStreamEnd(false);
  }

  disableReading(change: number): void {
    const before = this.#readDisables;
    this.#readDisables = before + change;
    if (before === 0 || this.#readDisables === 0) this.#owner.onReadDisable(this.#readDisables > 0);
  }

  #endWhenComplete(stream: H1ClientStream): void {
    if (!stream.isResponseComplete) return;
    if (!stream.isRequestComplete) {
      // An answer before the request was out: whoever sends the rest would write into a connection the peer may have left.
      this.#isLast = true;
      return;
    }
    if (stream !== this.#stream) return;
    this.#drop(stream);
    this.#parser.reset();
    this.#owner.onStreamEnd(!this.#isLast);
  }

  /** The peer broke the protocol: the owner closes the connection, the stream ends here. */
  #fail(error: CodecError): void {
    const stream = this.#stream;
    this.#parser.fail(error);
    if (stream !== undefined) this.#drop(stream);
    this.#owner.onCodecError(error);
    if (stream !== undefined && !stream.isResponseComplete)
      stream.decoder.onReset(ResetReason.ProtocolError, '');
  }

  #drop(stream: H1ClientStream): void {
    this.#stream = undefined;
    stream.isOver = true;
    if (stream.readDisables > 0) this.disableReading(-stream.readDisables);
    stream.readDisables = 0;
  }
}

/** The request of one stream. An object of its own, so that who keeps it too long cannot write into the next request. */
class H1ClientStream implements StreamEncoder {
  readonly isFlushing = false;
  wireBytesSent = 0;
  wireBytesReceived = 0;
  headerBytesSent = 0;
  headerBytesReceived = 0;
  decompressedHeaderBytesSent = 0;
  decompressedHeaderBytesReceived = 0;
  readonly decoder: StreamDecoder;
  isHead = false;
  isConnect = false;
  isUpgrade = false;
  /** The request is an extended CONNECT (RFC 8441): sent as an upgrade, whose 101 is the 200 that the asker expects. */
  isExtendedConnect = false;
  isRequestComplete = false;
  isResponseComplete = false;
  isOver = false;
  readDisables = 0;
  #isChunked = false;
  readonly #codec: H1ClientCodec;

  constructor(codec: H1ClientCodec, decoder: StreamDecoder) {
    this.#codec = codec;
    this.decoder = decoder;
  }

  /** Requests have no informational part. */
  encode1xx(): void {}

  encodeHeaders(headers: HeaderMap, endStream: boolean): void {
    if (this.isOver) return;
    const options = this.#codec.options;
    this.isExtendedConnect = headers.method === 'CONNECT' && headers.protocol !== '';
    const method = this.isExtendedConnect ? 'GET' : headers.method;
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
    this.isHead = method === 'HEAD';
    this.isConnect = method === 'CONNECT';
    this.isUpgrade = this.isExtendedConnect || isUpgrade(connection, upgrade);
    let text = '';
    if (headers.authority !== '' || headers.isAuthorityEmpty)
      text += headerLine('host', headers.authority, headers, options);
    text += headerLines(headers, options);
    if (this.isExtendedConnect) {
      text += headerLine('connection', 'upgrade', headers, options);
      text += headerLine('upgrade', headers.protocol, headers, options);
    }
    if (!hasLength && !this.isConnect) {
      if (!endStream) {
        if (!this.isUpgrade) {
          text += headerLine('transfer-encoding', 'chunked', headers, options);
          this.#isChunked = true;
        }
      } else if (method !== 'GET' && method !== 'HEAD' && method !== 'DELETE' && method !== 'TRACE') {
        text += headerLine('content-length', '0', headers, options);
      }
    }
    writeHead(this.#codec.sink, `${method} ${this.#target(headers)} HTTP/1.1\r\n`, text, this);
    if (endStream) this.#end();
  }

  encodeData(data: Buffer, endStream: boolean): void {
    if (this.isOver) return;
    this.wireBytesSent += writeBody(this.#codec.sink, data, this.#isChunked, endStream);
    if (endStream) this.#end();
  }

  encodeTrailers(trailers: HeaderMap): void {
    if (this.isOver) return;
    writeTrailers(this.#codec.sink, trailers, this.#isChunked, this.#codec.options, this);
    this.#end();
  }

  reset(): void {
    if (this.isOver) return;
    this.#codec.onStreamReset(this);
  }

  limitFlush(): void {}

  readDisable(disable: boolean): void {
    if (this.isOver) return;
    const change = disable ? 1 : -1;
    this.readDisables += change;
    this.#codec.disableReading(change);
  }

  #target(headers: HeaderMap): string {
    if (this.isConnect) return headers.authority;
    return this.#codec.options.sendFullyQualifiedUrl
      ? `${headers.scheme}://${headers.authority}${headers.path}`
      : headers.path;
  }

  #end(): void {
    this.isRequestComplete = true;
    this.#codec.onRequestEnd(this);
  }
}
