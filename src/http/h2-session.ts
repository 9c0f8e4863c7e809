// An HTTP/2 connection, either side (RFC 9113): bytes in, messages out, and back. No sockets: bytes leave through a sink that
// is asked to call `flush` once per turn of the event loop. What to do with a peer that breaks the protocol follows nghttp2
// and Envoy's codec around it.
import type { Clock } from '#base/clock.ts';
import { finished } from '#base/read-buffers.ts';
import { type TimerWheel, WheelTimer } from '#base/timer-wheel.ts';
import type {
  ByteSink,
  ClientCodec,
  ClientCodecOwner,
  CodecError,
  FlushSource,
  ServerCodec,
  ServerCodecOwner,
  StreamDecoder,
  StreamEncoder,
} from './codec.ts';
import { ResetReason } from './codec.ts';
import { ProtocolConstraints } from './h2-constraints.ts';
import {
  Flag,
  FrameType,
  frameHeaderBytes,
  H2Error,
  initialWindow,
  maxMaxFrameSize,
  maxStreamId,
  maxWindow,
  minMaxFrameSize,
  preface,
  readUint31,
  readUint32,
  Setting,
  writeFrameHeader,
  writeUint32,
} from './h2-frames.ts';
import { H2Keepalive, type KeepaliveOwner } from './h2-keepalive.ts';
import { BlockKind, MessageCollector, Verdict } from './h2-message.ts';
import type { H2Options } from './h2-options.ts';
import { H2Output } from './h2-output.ts';
import type { H2CodecStats } from './h2-stats.ts';
import { H2Stream } from './h2-stream.ts';
import { StreamTable } from './h2-stream-table.ts';
import {
  connectRequest,
  upgradeRequestToH1,
  upgradeRequestToH2,
  upgradeResponseToH1,
  upgradeResponseToH2,
  upgradeType,
} from './h2-upgrade.ts';
import type { HeaderMap } from './header-map.ts';
import { headerBytes } from './header-size.ts';
import { HpackDecoder } from './hpack-decoder.ts';
import { HpackEncoder } from './hpack-encoder.ts';

/** What comes next from the peer. */
const Expect = { Preface: 0, FrameHeader: 1, Payload: 2, Data: 3 } as const;

/** Our SETTINGS_MAX_FRAME_SIZE: the protocol's default, as Envoy's. */
const ownMaxFrameSize = minMaxFrameSize;
/** DATA frames are not made larger than this, whatever the peer allows, so that streams take turns. */
const largestDataFrame = 16384;
/** Body slices up to this are copied beside their frame header: cheaper than one more piece to write. */
const copyAtMost = 1024;
/** A stream's queue above this stops its producer, unless the stream window is smaller. */
const streamQueueLimit = 1024 * 1024;
/** As nghttp2. */
const maxSettingsEntries = 32;
/** Frames that may continue one header block, before the size of the block decides. */
const maxContinuations = 8;
/** Streams remembered after their end, to tell a late frame from a wrong one. */
const rememberedStreams = 16;

export class H2Session implements ServerCodec, ClientCodec, FlushSource, KeepaliveOwner {
  readonly protocol = 'HTTP/2';
  /** Only HTTP/1 tells. */
  readonly isParsing = false;
  readonly #isServer: boolean;
  readonly #serverOwner: ServerCodecOwner | undefined;
  readonly #clientOwner: ClientCodecOwner | undefined;
  readonly #sink: ByteSink;
  readonly #output: H2Output;
  readonly #options: H2Options;
  readonly #stats: H2CodecStats;
  readonly #decoder: HpackDecoder;
  readonly #encoder: HpackEncoder;
  readonly #message: MessageCollector;
  readonly #streams = new StreamTable();
  /** Streams of a client that have no id yet. */
  #unsent: H2Stream[] = [];
  #openStreams = 0;
  /** Nothing is read or sent any more. */
  #isDead = false;
  #hasEndedStream = false;
  #flushAsked = false;

  // What is being read.
  #expects: number;
  #prefaceBytes = 0;
  #split: Buffer | undefined = undefined;
  #splitBytes = 0;
  #payload: Buffer | undefined = undefined;
  #payloadBytes = 0;
  #length = 0;
  #type = 0;
  #flags = 0;
  #id = 0;
  #gotSettings = false;
  // DATA is passed on as it comes: bytes of the body and of the padding still to come in this frame.
  #dataLeft = 0;
  #paddingLeft = 0;
  #paddingKnown = false;
  #dataStream: H2Stream | undefined = undefined;
  /** Of the bytes at hand: what decoders got, or will get. They see to that memory; all the rest is ours to give back. */
  #passedOn = 0;
  // A header block that goes on in CONTINUATION frames.
  #blockStream = 0;
  #blockEnds = false;
  #block: Buffer[] | undefined = undefined;
  #blockBytes = 0;
  #continuations = 0;

  // Windows of the connection.
  #sendWindow = initialWindow;
  #receiveWindow: number;
  #consumed = 0;
  #blocked: H2Stream[] = [];
  #held: H2Stream[] = [];
  /** Ids of streams whose response was complete before their request. What is left of it may be on its way already, or a reset. */
  #answered: number[] = [];

  // What the peer's SETTINGS say.
  #peerInitialWindow = initialWindow;
  #peerMaxFrameSize = minMaxFrameSize;
  #ownSettingsAcknowledged = false;

  // Ids.
  #lastPeerStream = 0;
  /** The latest ids that the client left out: it must not come back to them. */
  #skippedFrom = 0;
  #skippedTo = 0;
  #nextStream = 1;
  #goAwayLimit = maxStreamId;
  #gotGoAway = false;
  readonly #endedStreams = new Int32Array(rememberedStreams);
  #endedCount = 0;

  readonly #constraints: ProtocolConstraints;
  readonly #keepalive: H2Keepalive | undefined;
  #sinkIsAbove = false;
  readonly #clock: Clock;
  readonly #wheel: TimerWheel;

  constructor(
    serverOwner: ServerCodecOwner | undefined,
    clientOwner: ClientCodecOwner | undefined,
    sink: ByteSink,
    options: H2Options,
    stats: H2CodecStats,
    wheel: TimerWheel,
    clock: Clock,
  ) {
    this.#isServer = serverOwner !== undefined;
    this.#serverOwner = serverOwner;
    this.#clientOwner = clientOwner;
    this.#sink = sink;
    this.#output = new H2Output(sink);
    this.#options = options;
    this.#stats = stats;
    this.#clock = clock;
    this.#wheel = wheel;
    this.#decoder = new HpackDecoder(options.maxFieldBytes);
    this.#encoder = new HpackEncoder(options.hpackTableSize, options.huffman);
    this.#message = new MessageCollector(options);
    this.#receiveWindow = options.initialConnectionWindowSize;
    this.#expects = this.#isServer ? Expect.Preface : Expect.FrameHeader;
    this.#constraints = new ProtocolConstraints(options, stats, sink, this.#output);
    this.#keepalive =
      options.keepalive === undefined ? undefined : new H2Keepalive(this, options.keepalive, wheel, clock);
    this.#sendPreface();
    if (this.#isServer) stats.nghttp2_downstream_connections.value++;
    else stats.nghttp2_upstream_connections.value++;
  }

  get activeStreams(): number {
    return this.#openStreams;
  }

  // ---- bytes in

  onData(bytes: Buffer): void {
    if (this.#isDead) return;
    const end = bytes.length;
    let at = 0;
    this.#passedOn = 0;
    if (this.#expects === Expect.Preface) {
      at = this.#readPreface(bytes);
      if (this.#expects === Expect.Preface) return;
    }
    while (!this.#isDead) {
      if (this.#expects === Expect.FrameHeader) {
        if (this.#splitBytes === 0 && end - at >= frameHeaderBytes) {
          this.#frameHeader(bytes, at);
          at += frameHeaderBytes;
        } else {
          if (at === end) break;
          this.#split ??= Buffer.allocUnsafeSlow(frameHeaderBytes);
          while (at < end && this.#splitBytes < frameHeaderBytes)
            this.#split[this.#splitBytes++] = bytes[at++]!;
          if (this.#splitBytes < frameHeaderBytes) break;
          this.#splitBytes = 0;
          this.#frameHeader(this.#split, 0);
        }
      } else if (this.#expects === Expect.Data) {
        if (at === end && (this.#dataLeft > 0 || this.#paddingLeft > 0 || !this.#paddingKnown)) break;
        at = this.#readData(bytes, at, end);
      } else if (this.#payload === undefined) {
        if (end - at >= this.#length) {
          const start = at;
          at += this.#length;
          this.#expects = Expect.FrameHeader;
          this.#frame(bytes, start, at);
        } else {
          if (at === end) break;
          this.#payload = Buffer.allocUnsafeSlow(this.#length);
          this.#payloadBytes = bytes.copy(this.#payload, 0, at, end);
          break;
        }
      } else {
        const copied = bytes.copy(this.#payload, this.#payloadBytes, at, end);
        at += copied;
        this.#payloadBytes += copied;
        if (this.#payloadBytes < this.#length) break;
        const payload = this.#payload;
        this.#payload = undefined;
        this.#expects = Expect.FrameHeader;
        this.#frame(payload, 0, this.#length);
      }
    }
    finished(bytes, end - this.#passedOn);
    if (!this.#isDead) this.#checkOutbound();
  }

  onEnd(): void {
    this.onConnectionClose(ResetReason.ConnectionTermination, '');
  }

  onConnectionClose(reason: ResetReason, details: string): void {
    this.#die();
    const streams = [...this.#streams.all(), ...this.#unsent];
    this.#streams.clear();
    this.#unsent = [];
    for (const stream of streams) {
      this.#forget(stream);
      stream.decoder.onReset(reason, details);
    }
    this.#constraints.release();
  }

  onAboveWriteBufferHighWatermark(): void {
    this.#sinkIsAbove = true;
    for (const stream of this.#streams.all()) {
      if (!stream.gone) stream.decoder.onAboveWriteBufferHighWatermark();
    }
  }

  onBelowWriteBufferLowWatermark(): void {
    this.#sinkIsAbove = false;
    this.#constraints.countDrained();
    for (const stream of this.#streams.all()) {
      if (!stream.gone) stream.decoder.onBelowWriteBufferLowWatermark();
    }
  }

  flush(): void {
    this.#flushAsked = false;
    if (this.#output.isPassing) {
      // The sink sends bulk on before the turn ends. The rest comes when it does.
      this.#wake();
      return;
    }
    if (this.#held.length > 0 && !this.#isDead) this.#deliverHeld();
    if (this.#answered.length > 0 && !this.#isDead) this.#endAnswered();
    // Asked for by what was just done: it is being done.
    this.#flushAsked = false;
    this.#constraints.countDrained();
    this.#output.finish();
    this.#constraints.onFlushed();
    if (!this.#isDead) this.#checkOutbound();
  }

  // ---- drain

  shutdownNotice(): void {
    if (this.#isDead) return;
    this.#sendGoAway(maxStreamId, H2Error.NoError, '');
  }

  goAway(): void {
    if (this.#isDead) return;
    this.#goAwayLimit = this.#lastPeerStream;
    this.#stats.goaway_sent.value++;
    this.#sendGoAway(this.#lastPeerStream, H2Error.NoError, '');
  }

  // ---- streams out

  newStream(decoder: StreamDecoder): StreamEncoder {
    this.#keepalive?.onNewStream();
    const stream = this.#newStream(0, decoder);
    this.#unsent.push(stream);
    if (this.#sinkIsAbove) decoder.onAboveWriteBufferHighWatermark();
    return stream;
  }

  sendHeaders(stream: H2Stream, headers: HeaderMap, endStream: boolean): void {
    if (stream.localEnd || this.#isDead) return;
    if (stream.id === 0) {
      this.#removeUnsent(stream);
      stream.id = this.#nextStream;
      this.#nextStream += 2;
      stream.sendWindow = this.#peerInitialWindow;
      stream.isHead = headers.method === 'HEAD';
      stream.upgrade = upgradeType(headers);
      if (stream.upgrade !== '') headers = upgradeRequestToH2(headers, stream.upgrade);
      else if (headers.method === 'CONNECT') headers = connectRequest(headers);
      stream.isConnect = headers.method === 'CONNECT';
      this.#streams.add(stream);
      if (this.#nextStream > maxStreamId) this.#clientOwner!.onGoAway(false);
    } else if (stream.upgrade !== '') headers = upgradeResponseToH2(headers);
    this.#writeHeaders(stream, headers, endStream);
    if (endStream) {
      stream.localEnd = true;
      this.#localEndSent(stream);
    }
  }

  sendData(stream: H2Stream, data: Buffer, endStream: boolean): void {
    if (stream.localEnd || this.#isDead) return;
    stream.localEnd = endStream;
    // Listed from the first data on, though nothing may ever wait.
    this.#stats.pending_send_bytes.value += 0;
    if (stream.queue !== undefined) {
      if (data.length > 0) this.#enqueue(stream, data);
      return;
    }
    const room = Math.min(stream.sendWindow, this.#sendWindow);
    if (data.length <= room || data.length === 0) {
      if (data.length > 0 || endStream) this.#writeData(stream, data, endStream);
      if (endStream) this.#localEndSent(stream);
      return;
    }
    if (room > 0) {
      this.#writeData(stream, data.subarray(0, room), false);
      data = data.subarray(room);
    }
    stream.queue = [];
    this.#enqueue(stream, data);
    if (stream.sendWindow > 0) this.#waitForWindow(stream);
  }

  sendTrailers(stream: H2Stream, trailers: HeaderMap): void {
    if (stream.localEnd || this.#isDead) return;
    if (stream.queue !== undefined) {
      stream.localEnd = true;
      if (trailers.list.length > 0) stream.trailers = trailers.clone();
      return;
    }
    if (trailers.list.length === 0) {
      this.sendData(stream, nothing, true);
      return;
    }
    stream.localEnd = true;
    this.#writeHeaders(stream, trailers, true);
    this.#localEndSent(stream);
  }

  resetStream(stream: H2Stream, reason: ResetReason): void {
    let isSaid = false;
    if (stream.id !== 0 && !this.#isDead) {
      if (this.#isServer ? stream.localEndSent : stream.remoteEnd) {
        this.#answered.push(stream.id);
        this.#wake();
      } else {
        this.#writeReset(stream.id, errorOfReset(reason));
        stream.wireBytesSent += frameHeaderBytes + 4;
        isSaid = true;
      }
    }
    this.#close(stream);
    // The last stream of a connection that drains takes it with it, and the peer hears of nothing else.
    if (isSaid && !this.#isDead) this.#stats.tx_reset.value++;
  }

  limitFlush(stream: H2Stream, timeoutMs: number): void {
    const timer = new WheelTimer({
      onTimeout: () => {
        this.#stats.tx_flush_timeout.value++;
        stream.decoder.onFlushed?.(false);
        if (!stream.gone) this.resetStream(stream, ResetReason.LocalReset);
      },
    });
    stream.flushTimer = timer;
    this.#wheel.start(timer, timeoutMs);
  }

  /** Reading of the stream is allowed again. */
  resumeReading(stream: H2Stream): void {
    if (stream.held !== undefined || stream.heldTrailers !== undefined) {
      if (!stream.inHeld) {
        stream.inHeld = true;
        this.#held.push(stream);
      }
      this.#wake();
    }
  }

  // ---- reading frames

  #readPreface(bytes: Buffer): number {
    let at = 0;
    while (at < bytes.length && this.#prefaceBytes < preface.length) {
      if (bytes[at] !== preface[this.#prefaceBytes]) {
        this.#fail(H2Error.ProtocolError, badPreface);
        return at;
      }
      at++;
      this.#prefaceBytes++;
    }
    if (this.#prefaceBytes === preface.length) this.#expects = Expect.FrameHeader;
    return at;
  }

  #frameHeader(bytes: Buffer, at: number): void {
    const length = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
    const type = bytes[at + 3]!;
    const flags = bytes[at + 4]!;
    const id = readUint31(bytes, at + 5);
    this.#length = length;
    this.#type = type;
    this.#flags = flags;
    this.#id = id;
    this.#expects = Expect.Payload;
    if (length > ownMaxFrameSize) {
      this.#fail(H2Error.FrameSizeError, 'too large frame size');
      return;
    }
    if (!this.#gotSettings && (type !== FrameType.Settings || (flags & Flag.Ack) !== 0)) {
      this.#fail(H2Error.ProtocolError, 'SETTINGS expected');
      return;
    }
    if (this.#blockStream !== 0 && (type !== FrameType.Continuation || id !== this.#blockStream)) {
      this.#fail(H2Error.ProtocolError, 'unexpected non-CONTINUATION frame or stream_id is invalid');
      return;
    }
    if (this.#keepalive !== undefined && type !== FrameType.Ping) this.#keepalive.onFrame();
    if (type === FrameType.Data) this.#dataHeader();
  }

  #frame(bytes: Buffer, start: number, end: number) {
    switch (this.#type) {
      case FrameType.Headers:
        return this.#onHeaders(bytes, start, end);
      case FrameType.WindowUpdate:
        return this.#onWindowUpdate(bytes, start, end);
      case FrameType.RstStream:
        return this.#onRstStream(bytes, start, end);
      case FrameType.Settings:
        return this.#onSettings(bytes, start, end);
      case FrameType.Ping:
        return this.#onPing(bytes, start, end);
      case FrameType.Continuation:
        return this.#onContinuation(bytes, start, end);
      case FrameType.Priority:
        return this.#onPriority(bytes, start, end);
      case FrameType.GoAway:
        return this.#onGoAway(bytes, start, end);
      case FrameType.PushPromise:
        // We never allow push, and a client cannot.
        return this.#fail(H2Error.ProtocolError, 'PUSH_PROMISE: push disabled');
      default:
      // RFC 9113 5.5: unknown types are ignored.
    }
  }

  // ---- DATA

  #dataHeader() {
    const length = this.#length;
    const id = this.#id;
    this.#expects = Expect.Data;
    this.#paddingLeft = 0;
    this.#dataLeft = length;
    this.#paddingKnown = (this.#flags & Flag.Padded) === 0;
    this.#dataStream = undefined;
    if (id === 0) return this.#fail(H2Error.ProtocolError, 'DATA: stream_id == 0');
    if (!this.#paddingKnown && length === 0) return this.#fail(H2Error.FrameSizeError, 'DATA: too small');
    if (this.#paddingKnown && !this.#checkContent(length)) return;
    if (length > this.#receiveWindow) {
      return this.#fail(H2Error.FlowControlError, 'DATA: connection window exceeded');
    }
    this.#receiveWindow -= length;
    const stream = this.#streams.get(id);
    if (stream === undefined) {
      this.#consumeConnection(length);
      this.#onClosedStream(id, (this.#flags & Flag.EndStream) !== 0);
      return;
    }
    stream.wireBytesReceived += length + frameHeaderBytes;
    if (stream.remoteEnd) {
      this.#consumeConnection(length);
      return this.#fail(H2Error.StreamClosed, 'DATA: stream closed');
    }
    if (!stream.gotHeaders) {
      if (!stream.gotInformational) return this.#fail(H2Error.ProtocolError, 'DATA: stream not opened');
      this.#consumeConnection(length);
      return this.#abort(stream, H2Error.ProtocolError, ResetReason.ProtocolError, 'http2.remote_reset');
    }
    if (length > stream.receiveWindow) {
      this.#consumeConnection(length);
      return this.#fail(H2Error.FlowControlError, 'DATA: stream window exceeded');
    }
    stream.receiveWindow -= length;
    this.#dataStream = stream;
  }

  /** Passes on what of the DATA frame is in `bytes`; returns where the next frame begins, or the end. */
  #readData(bytes: Buffer, at: number, end: number): number {
    if (!this.#paddingKnown) {
      const padding = bytes[at++]!;
      this.#paddingKnown = true;
      this.#dataLeft--;
      if (padding > this.#dataLeft) {
        this.#fail(H2Error.ProtocolError, 'DATA: invalid padding');
        return at;
      }
      this.#dataLeft -= padding;
      this.#paddingLeft = padding;
      // RFC 9113 6.1: padding is flow-controlled; nobody will consume it.
      if (this.#dataStream !== undefined) this.#consume(this.#dataStream, padding + 1);
      if (!this.#checkContent(this.#dataLeft)) return at;
    }
    const stream = this.#dataStream;
    const take = Math.min(this.#dataLeft, end - at);
    const last = take === this.#dataLeft;
    const endStream = last && (this.#flags & Flag.EndStream) !== 0;
    if (take > 0 || endStream) {
      this.#dataLeft -= take;
      if (stream !== undefined) {
        if (stream.gone) this.#consumeConnection(take);
        // Told already when only padding was missing.
        else if (!stream.remoteEnd) {
          this.#body(stream, take === 0 ? nothing : bytes.subarray(at, at + take), endStream);
        }
      }
      at += take;
    }
    if (this.#dataLeft === 0) {
      const skip = Math.min(this.#paddingLeft, end - at);
      this.#paddingLeft -= skip;
      at += skip;
      if (this.#paddingLeft === 0) {
        this.#expects = Expect.FrameHeader;
        this.#dataStream = undefined;
      }
    }
    return at;
  }

  #body(stream: H2Stream, data: Buffer, endStream: boolean): void {
    stream.bodyBytes += data.length;
    const expected = stream.contentLength;
    if (expected >= 0 && (stream.bodyBytes > expected || (endStream && stream.bodyBytes !== expected))) {
      // RFC 9113 8.1.1. Envoy never ends the connection for this one, and gives these details.
      this.#consumeConnection(data.length);
      stream.wireBytesReceived -= this.#length + frameHeaderBytes;
      this.#abort(stream, H2Error.ProtocolError, ResetReason.ProtocolError, 'http2.remote_reset');
      return;
    }
    this.#passedOn += data.length;
    stream.remoteEnd = endStream;
    if (stream.readDisabled > 0 || stream.held !== undefined) {
      stream.held ??= [];
      if (data.length > 0) stream.held.push(data);
      else if (endStream) this.resumeReading(stream);
      return;
    }
    if (data.length > 0) this.#consume(stream, data.length);
    stream.remoteEndTold = endStream;
    stream.decoder.decodeData(data, endStream);
    if (endStream && !stream.gone) this.#closeWhenDone(stream);
  }

  #deliverHeld(): void {
    const streams = this.#held;
    this.#held = [];
    for (let i = 0; i < streams.length; i++) {
      const stream = streams[i]!;
      stream.inHeld = false;
      const held = stream.held;
      let next = 0;
      if (held !== undefined) {
        while (next < held.length && stream.readDisabled === 0 && !stream.gone) {
          const data = held[next++]!;
          this.#consume(stream, data.length);
          const last = next === held.length && stream.remoteEnd && stream.heldTrailers === undefined;
          stream.remoteEndTold = last;
          stream.decoder.decodeData(data, last);
        }
        if (stream.gone) continue;
        if (next < held.length) {
          held.splice(0, next);
          continue;
        }
        if (stream.readDisabled > 0 && !stream.remoteEndTold) {
          held.length = 0;
          continue;
        }
        stream.held = undefined;
        if (stream.remoteEnd && !stream.remoteEndTold && stream.heldTrailers === undefined) {
          stream.remoteEndTold = true;
          stream.decoder.decodeData(nothing, true);
        }
      }
      if (stream.heldTrailers !== undefined && stream.readDisabled === 0 && !stream.gone) {
        const trailers = stream.heldTrailers;
        stream.heldTrailers = undefined;
        stream.remoteEndTold = true;
        stream.decoder.decodeTrailers(trailers);
      }
      if (stream.remoteEndTold && !stream.gone) this.#closeWhenDone(stream);
    }
  }

  #consume(stream: H2Stream, bytes: number): void {
    this.#consumeConnection(bytes);
    // The peer sends no more on it.
    if (stream.remoteEnd || stream.gone) return;
    stream.consumed += bytes;
    if (stream.consumed >= this.#options.initialStreamWindowSize >>> 1) {
      this.#sendWindowUpdate(stream.id, stream.consumed);
      stream.wireBytesSent += frameHeaderBytes + 4;
      stream.receiveWindow += stream.consumed;
      stream.consumed = 0;
    }
  }

  #consumeConnection(bytes: number): void {
    this.#consumed += bytes;
    if (this.#consumed >= this.#options.initialConnectionWindowSize >>> 1) {
      this.#sendWindowUpdate(0, this.#consumed);
      this.#receiveWindow += this.#consumed;
      this.#consumed = 0;
    }
  }

  // ---- HEADERS, CONTINUATION

  #onHeaders(bytes: Buffer, start: number, end: number) {
    const id = this.#id;
    const flags = this.#flags;
    if (id === 0) return this.#fail(H2Error.ProtocolError, 'HEADERS: stream_id == 0');
    let from = start;
    let to = end;
    if ((flags & Flag.Padded) !== 0) {
      if (from === to) return this.#fail(H2Error.FrameSizeError, 'HEADERS: too small');
      const padding = bytes[from++]!;
      if (padding > to - from) return this.#fail(H2Error.ProtocolError, 'HEADERS: invalid padding');
      to -= padding;
    }
    if ((flags & Flag.Priority) !== 0) {
      if (to - from < 5) return this.#fail(H2Error.FrameSizeError, 'HEADERS: too small');
      if (readUint31(bytes, from) === id) {
        return this.#fail(H2Error.ProtocolError, 'HEADERS: depend on itself');
      }
      from += 5;
    }
    if (!this.#checkContent(to - from)) return;
    this.#blockEnds = (flags & Flag.EndStream) !== 0;
    if ((flags & Flag.EndHeaders) !== 0) {
      this.#headerBlock(id, bytes, from, to, end - start + frameHeaderBytes);
      return;
    }
    this.#blockStream = id;
    this.#block = [Buffer.from(bytes.subarray(from, to))];
    this.#blockBytes = to - from;
    this.#continuations = 0;
  }

  #onContinuation(bytes: Buffer, start: number, end: number) {
    if (this.#blockStream === 0) return this.#fail(H2Error.ProtocolError, 'CONTINUATION: unexpected');
    if (!this.#checkContent(end - start)) return;
    this.#block!.push(Buffer.from(bytes.subarray(start, end)));
    this.#blockBytes += end - start;
    // Compression makes blocks smaller, not larger: what is beyond the limit could not be accepted anyway.
    const limit = this.#options.maxHeaderBytes + maxContinuations * ownMaxFrameSize;
    if (++this.#continuations > maxContinuations && this.#blockBytes > limit) {
      return this.#fail(
        H2Error.EnhanceYourCalm,
        'Too many CONTINUATION frames following a HEADER frame',
        true,
      );
    }
    if (this.#continuations > 8 * maxContinuations + this.#blockBytes / 512) {
      return this.#fail(
        H2Error.EnhanceYourCalm,
        'Too many CONTINUATION frames following a HEADER frame',
        true,
      );
    }
    if ((this.#flags & Flag.EndHeaders) === 0) return;
    const id = this.#blockStream;
    const block = Buffer.concat(this.#block!);
    this.#blockStream = 0;
    this.#block = undefined;
    this.#headerBlock(
      id,
      block,
      0,
      block.length,
      block.length + frameHeaderBytes * (this.#continuations + 1),
    );
  }

  #headerBlock(id: number, bytes: Buffer, start: number, end: number, wireBytes: number) {
    const message = this.#message;
    const stream = this.#streams.get(id);
    if (stream === undefined) {
      if (this.#isServer && (id & 1) === 1 && id > this.#lastPeerStream) {
        this.#newRequest(id, bytes, start, end, wireBytes);
        return;
      }
      message.ignore();
      if (!this.#decoder.decode(bytes, start, end, message)) return this.#badCompression();
      if (this.#isServer && (id & 1) === 0) {
        return this.#fail(H2Error.ProtocolError, 'request HEADERS: invalid stream_id');
      }
      this.#onClosedStream(id, this.#blockEnds);
      return;
    }
    if (stream.remoteEnd) return this.#fail(H2Error.StreamClosed, 'HEADERS: stream closed');
    const isTrailers = this.#isServer || stream.gotHeaders;
    message.begin(isTrailers ? BlockKind.Trailers : BlockKind.Response);
    if (!this.#decoder.decode(bytes, start, end, message)) return this.#badCompression();
    const verdict = message.finish();
    stream.decompressedHeaderBytesReceived += message.fieldBytes;
    if (isTrailers) this.#trailers(stream, verdict, wireBytes);
    else this.#response(stream, verdict, wireBytes);
  }

  /** Of a header block that is none of a malformed message. */
  #countBlock(stream: H2Stream, wireBytes: number): void {
    stream.wireBytesReceived += wireBytes;
    stream.headerBytesReceived += wireBytes;
  }

  #newRequest(id: number, bytes: Buffer, start: number, end: number, wireBytes: number) {
    const message = this.#message;
    if (id > this.#lastPeerStream + 2) {
      this.#skippedFrom = this.#lastPeerStream + 2;
      this.#skippedTo = id - 2;
    }
    this.#lastPeerStream = id;
    if (id > this.#goAwayLimit) {
      // Our GOAWAY said that it would not be served.
      message.ignore();
      if (!this.#decoder.decode(bytes, start, end, message)) this.#badCompression();
      return;
    }
    if (this.#openStreams >= this.#options.maxConcurrentStreams) {
      message.ignore();
      if (!this.#decoder.decode(bytes, start, end, message)) return this.#badCompression();
      this.#stats.stream_refused_errors.value++;
      this.#sendReset(id, H2Error.RefusedStream);
      return;
    }
    message.begin(BlockKind.Request);
    if (!this.#decoder.decode(bytes, start, end, message)) return this.#badCompression();
    const verdict = message.finish();
    const stream = this.#newStream(id, nobody);
    stream.decompressedHeaderBytesReceived = message.fieldBytes;
    this.#streams.add(stream);
    stream.decoder = this.#serverOwner!.newStream(stream);
    if (stream.gone) return;
    if (this.#sinkIsAbove) stream.decoder.onAboveWriteBufferHighWatermark();
    if (verdict !== Verdict.Ok || message.droppedUnderscores > 0) {
      if (!this.#accept(stream, verdict)) return;
    }
    stream.gotHeaders = true;
    stream.contentLength = message.contentLength;
    if (message.headers.protocol !== '') {
      stream.upgrade = message.headers.protocol;
      upgradeRequestToH1(message.headers);
    }
    const endStream = this.#blockEnds;
    if (endStream && stream.contentLength > 0) return this.#malformed(stream, false);
    this.#countBlock(stream, wireBytes);
    stream.remoteEnd = endStream;
    stream.remoteEndTold = endStream;
    stream.decoder.decodeHeaders(message.headers, endStream);
    if (endStream && !stream.gone) this.#closeWhenDone(stream);
  }

  #response(stream: H2Stream, verdict: Verdict, wireBytes: number) {
    const message = this.#message;
    if (verdict !== Verdict.Ok && !this.#accept(stream, verdict)) return;
    const headers = message.headers;
    const status = headers.status;
    const endStream = this.#blockEnds;
    if (status < 200) {
      if (endStream) return this.#malformed(stream, false);
      this.#countBlock(stream, wireBytes);
      stream.gotInformational = true;
      stream.decoder.decode1xx(headers);
      return;
    }
    stream.gotHeaders = true;
    if (stream.isHead || status === 304 || status === 204) stream.contentLength = 0;
    else if (stream.isConnect && status < 300) stream.contentLength = -1;
    else stream.contentLength = message.contentLength;
    if (endStream && stream.contentLength > 0) return this.#malformed(stream, false);
    this.#countBlock(stream, wireBytes);
    if (stream.upgrade !== '') upgradeResponseToH1(headers, stream.upgrade);
    stream.remoteEnd = endStream;
    stream.remoteEndTold = endStream;
    stream.decoder.decodeHeaders(headers, endStream);
    if (endStream && !stream.gone) this.#closeWhenDone(stream);
  }

  #trailers(stream: H2Stream, verdict: Verdict, wireBytes: number) {
    if (this.#isServer) this.#stats.trailers.value++;
    if ((verdict !== Verdict.Ok || this.#message.droppedUnderscores > 0) && !this.#accept(stream, verdict))
      return;
    const complete = stream.contentLength < 0 || stream.bodyBytes === stream.contentLength;
    if (!this.#blockEnds || !complete) return this.#malformed(stream, false);
    this.#countBlock(stream, wireBytes);
    const trailers = this.#message.headers;
    stream.remoteEnd = true;
    if (stream.readDisabled > 0 || stream.held !== undefined) {
      stream.heldTrailers = trailers;
      return;
    }
    stream.remoteEndTold = true;
    stream.decoder.decodeTrailers(trailers);
    if (!stream.gone) this.#closeWhenDone(stream);
  }

  /** Whether the message goes on; otherwise its stream or the connection has been ended. */
  #accept(stream: H2Stream, verdict: Verdict): boolean {
    const stats = this.#stats;
    stats.dropped_headers_with_underscores.value += this.#message.droppedUnderscores;
    switch (verdict) {
      case Verdict.Ok:
        return true;
      case Verdict.TooMany:
        stats.header_overflow.value++;
        this.#abort(stream, H2Error.InternalError, ResetReason.RemoteReset, 'http2.too_many_headers');
        return false;
      case Verdict.TooLarge:
        stats.header_list_size_too_large.value++;
        this.#abort(
          stream,
          H2Error.InternalError,
          ResetReason.RemoteReset,
          'http2.header_list_size_too_large',
        );
        return false;
      case Verdict.Underscore:
        stats.requests_rejected_with_underscores_in_headers.value++;
        this.#abort(stream, H2Error.InternalError, ResetReason.RemoteReset, 'http2.unexpected_underscore');
        return false;
      default:
        this.#malformed(stream, verdict === Verdict.InvalidField);
        return false;
    }
  }

  /** A malformed message (RFC 9113 8.1.1): ends the stream or, unless configured otherwise, the connection. */
  #malformed(stream: H2Stream, isField: boolean): void {
    this.#stats.rx_messaging_error.value++;
    const details = isField ? 'http2.invalid.header.field' : 'http2.violation.of.messaging.rule';
    if (this.#options.streamErrorOnInvalidMessage) {
      this.#abort(stream, H2Error.ProtocolError, ResetReason.ProtocolError, details);
      return;
    }
    this.#tellFailed(stream, details);
    this.#fail(H2Error.ProtocolError, 'malformed message');
  }

  /** Of the connection that is about to fail a server names the stream that is to blame. */
  #tellFailed(stream: H2Stream, details: string): void {
    if (!this.#isServer) return;
    this.#hasEndedStream = true;
    this.#streams.delete(stream.id);
    this.#forget(stream);
    stream.decoder.onReset(ResetReason.ProtocolError, details);
  }

  /** Ends a stream because of what came on it. */
  #abort(stream: H2Stream, error: H2Error, reason: ResetReason, details: string): void {
    this.#sendReset(stream.id, error);
    stream.wireBytesSent += frameHeaderBytes + 4;
    this.#streams.delete(stream.id);
    this.#forget(stream);
    this.#tellReset(stream, reason, details);
  }

  /** Details are for the log of a server. Upstream, Envoy says the reason only. */
  #tellReset(stream: H2Stream, reason: ResetReason, details: string): void {
    if (this.#clientOwner === undefined) stream.decoder.onReset(reason, details);
    else {
      stream.decoder.onReset(reason, '');
      this.#clientOwner.onStreamEnd(true);
    }
  }

  #badCompression(): void {
    this.#fail(H2Error.CompressionError, 'Header compression/decompression error');
  }

  /** A frame for a stream that is not there: idle, ended, or reset by us a moment ago. */
  #onClosedStream(id: number, endStream: boolean) {
    const answered = this.#answered.indexOf(id);
    if (answered >= 0) {
      if (endStream) this.#answered.splice(answered, 1);
      return;
    }
    const wasOpened =
      (id & 1) === 1 ? (this.#isServer ? id <= this.#lastPeerStream : id < this.#nextStream) : false;
    const wasSkipped = this.#isServer && id >= this.#skippedFrom && id <= this.#skippedTo;
    if (!wasOpened || wasSkipped) return this.#fail(H2Error.ProtocolError, 'frame on an idle stream');
    for (let i = 0; i < rememberedStreams; i++) {
      if (this.#endedStreams[i] === id) return this.#fail(H2Error.StreamClosed, 'frame on a closed stream');
      if (this.#endedStreams[i] === -id) return this.#sendReset(id, H2Error.StreamClosed);
    }
  }

  // ---- the other frames

  #onRstStream(bytes: Buffer, start: number, end: number) {
    const id = this.#id;
    if (end - start !== 4) return this.#fail(H2Error.FrameSizeError, 'RST_STREAM: invalid length');
    const stream = this.#streams.get(id);
    if (stream === undefined) {
      const wasOpened =
        (id & 1) === 1 && (this.#isServer ? id <= this.#lastPeerStream : id < this.#nextStream);
      if (this.#answered.includes(id)) this.#stats.rx_reset.value++;
      if (!wasOpened) this.#fail(H2Error.ProtocolError, 'RST_STREAM: stream in idle');
      return;
    }
    this.#stats.rx_reset.value++;
    if (this.#isServer && !this.#constraints.allowsReset(this.#clock.monotonicMs())) {
      return this.#fail(H2Error.InternalError, 'Too many RST_STREAM frames', true);
    }
    stream.wireBytesReceived += 4 + frameHeaderBytes;
    const error = readUint32(bytes, start);
    // NO_ERROR of a client that has not sent its request is no good end.
    const isLate = this.#isServer && !stream.remoteEnd && error === H2Error.NoError;
    const reason = isLate ? ResetReason.RemoteReset : reasonOfError(error);
    let details = 'http2.remote_reset';
    if (reason === ResetReason.RemoteRefusedStreamReset) details = 'http2.remote_refuse';
    else if (reason === ResetReason.RemoteResetNoError) details = '';
    this.#remember(-id);
    this.#streams.delete(id);
    this.#forget(stream);
    this.#tellReset(stream, reason, details);
  }

  #onPriority(bytes: Buffer, start: number, end: number) {
    const id = this.#id;
    if (id === 0) return this.#fail(H2Error.ProtocolError, 'PRIORITY: stream_id == 0');
    if (!this.#constraints.allowsPriority()) {
      return this.#fail(H2Error.EnhanceYourCalm, 'Too many PRIORITY frames', true);
    }
    if (end - start !== 5) return this.#fail(H2Error.FrameSizeError, 'PRIORITY: invalid length');
    if (readUint31(bytes, start) === id) this.#fail(H2Error.ProtocolError, 'PRIORITY: depend on itself');
  }

  #onPing(bytes: Buffer, start: number, end: number) {
    if (this.#id !== 0) return this.#fail(H2Error.ProtocolError, 'PING: stream_id != 0');
    if (end - start !== 8) return this.#fail(H2Error.FrameSizeError, 'PING: invalid length');
    if ((this.#flags & Flag.Ack) !== 0) {
      this.#keepalive?.onAcknowledged();
      return;
    }
    this.#keepalive?.onFrame();
    const output = this.#begin(8, FrameType.Ping, Flag.Ack, 0);
    output.at += bytes.copy(output.bytes, output.at, start, end);
    this.#constraints.controlWritten++;
  }

  #onGoAway(bytes: Buffer, start: number, end: number) {
    if (this.#id !== 0) return this.#fail(H2Error.ProtocolError, 'GOAWAY: stream_id != 0');
    if (end - start < 8) return this.#fail(H2Error.FrameSizeError, 'GOAWAY: invalid length');
    const first = !this.#gotGoAway;
    this.#gotGoAway = true;
    if (this.#isServer) return;
    const last = readUint31(bytes, start);
    if (first) this.#clientOwner!.onGoAway(bytes.readUInt32BE(start + 4) !== H2Error.NoError);
    // RFC 9113 6.8: what is above was not and will not be processed.
    for (const stream of this.#streams.all()) {
      if (stream.id <= last || stream.gone) continue;
      this.#streams.delete(stream.id);
      this.#forget(stream);
      this.#tellReset(stream, ResetReason.RemoteRefusedStreamReset, '');
    }
  }

  #onWindowUpdate(bytes: Buffer, start: number, end: number) {
    const id = this.#id;
    if (!this.#constraints.allowsWindowUpdate()) {
      return this.#fail(H2Error.EnhanceYourCalm, 'Too many WINDOW_UPDATE frames', true);
    }
    if (end - start !== 4) return this.#fail(H2Error.FrameSizeError, 'WINDOW_UPDATE: invalid length');
    const increment = readUint31(bytes, start);
    if (id === 0) {
      if (increment === 0)
        return this.#fail(H2Error.ProtocolError, 'WINDOW_UPDATE: window_size_increment == 0');
      if (this.#sendWindow + increment > maxWindow) {
        return this.#fail(H2Error.FlowControlError, 'WINDOW_UPDATE: window size overflow');
      }
      this.#sendWindow += increment;
      this.#unblock();
      return;
    }
    const stream = this.#streams.get(id);
    if (stream === undefined) {
      const wasOpened =
        (id & 1) === 1 && (this.#isServer ? id <= this.#lastPeerStream : id < this.#nextStream);
      if (!wasOpened) this.#fail(H2Error.ProtocolError, 'WINDOW_UPDATE to idle stream');
      return;
    }
    if (!this.#isServer && (increment === 0 || stream.sendWindow + increment > maxWindow)) {
      return this.#fail(H2Error.ProtocolError, 'WINDOW_UPDATE: window_size_increment');
    }
    if (increment === 0) {
      return this.#abort(stream, H2Error.ProtocolError, ResetReason.RemoteReset, 'http2.remote_reset');
    }
    if (stream.sendWindow + increment > maxWindow) {
      return this.#abort(stream, H2Error.FlowControlError, ResetReason.RemoteReset, 'http2.remote_reset');
    }
    stream.sendWindow += increment;
    if (stream.queue !== undefined && stream.sendWindow > 0) this.#drain(stream);
  }

  #onSettings(bytes: Buffer, start: number, end: number) {
    if (this.#id !== 0) return this.#fail(H2Error.ProtocolError, 'SETTINGS: stream_id != 0');
    if ((this.#flags & Flag.Ack) !== 0) {
      if (end !== start) return this.#fail(H2Error.FrameSizeError, 'SETTINGS: ACK with payload');
      if (!this.#ownSettingsAcknowledged) {
        this.#ownSettingsAcknowledged = true;
        this.#decoder.setLimit(this.#options.hpackTableSize);
      }
      return;
    }
    if ((end - start) % 6 !== 0) return this.#fail(H2Error.FrameSizeError, 'SETTINGS: invalid length');
    if (end - start > maxSettingsEntries * 6) {
      return this.#fail(H2Error.EnhanceYourCalm, 'SETTINGS: too many setting entries', true);
    }
    this.#gotSettings = true;
    let maxStreams = -1;
    let windowsGrow = false;
    for (let at = start; at < end; at += 6) {
      const id = (bytes[at]! << 8) | bytes[at + 1]!;
      const value = readUint32(bytes, at + 2);
      switch (id) {
        case Setting.HeaderTableSize:
          this.#encoder.setLimit(value);
          break;
        case Setting.EnablePush:
          if (value > 1 || (value === 1 && !this.#isServer)) {
            return this.#fail(H2Error.ProtocolError, 'SETTINGS: invalid SETTINGS_ENABLE_PUSH');
          }
          break;
        case Setting.MaxConcurrentStreams:
          maxStreams = value;
          break;
        case Setting.InitialWindowSize:
          if (value > maxWindow) {
            return this.#fail(H2Error.FlowControlError, 'SETTINGS: too large SETTINGS_INITIAL_WINDOW_SIZE');
          }
          windowsGrow ||= value > this.#peerInitialWindow;
          if (!this.#newInitialWindow(value)) return;
          break;
        case Setting.MaxFrameSize:
          if (value < minMaxFrameSize || value > maxMaxFrameSize) {
            return this.#fail(H2Error.ProtocolError, 'SETTINGS: invalid SETTINGS_MAX_FRAME_SIZE');
          }
          this.#peerMaxFrameSize = value;
          break;
        case Setting.EnableConnectProtocol:
          if (value > 1) {
            return this.#fail(H2Error.ProtocolError, 'SETTINGS: invalid SETTINGS_ENABLE_CONNECT_PROTOCOL');
          }
          break;
        default:
      }
    }
    this.#begin(0, FrameType.Settings, Flag.Ack, 0);
    this.#constraints.controlWritten++;
    // After the acknowledgement, so that the peer knows which window the bytes were counted against.
    if (windowsGrow) {
      for (const stream of this.#streams.all()) {
        if (!stream.gone && stream.queue !== undefined && stream.sendWindow > 0) this.#drain(stream);
      }
    }
    if (maxStreams >= 0 && !this.#isServer) this.#clientOwner!.onMaxStreams(maxStreams);
  }

  /** RFC 9113 6.9.2: the change applies to the windows of all open streams, which may become negative. */
  #newInitialWindow(value: number): boolean {
    const change = value - this.#peerInitialWindow;
    this.#peerInitialWindow = value;
    if (change === 0) return true;
    for (const stream of this.#streams.all()) {
      if (stream.sendWindow + change > maxWindow) {
        this.#fail(H2Error.FlowControlError, 'SETTINGS: window size overflow');
        return false;
      }
      stream.sendWindow += change;
    }
    return true;
  }

  // ---- sending

  #sendPreface(): void {
    const { customSettings, hpackTableSize, allowConnect, maxConcurrentStreams } = this.#options;
    const { initialStreamWindowSize, initialConnectionWindowSize } = this.#options;
    const settings: number[] = [];
    if (!this.#isServer) {
      const output = this.#output;
      output.reserve(preface.length);
      output.at += preface.copy(output.bytes, output.at);
      settings.push(Setting.EnablePush, 0);
    }
    for (const { id, value } of customSettings) settings.push(id, value);
    settings.push(Setting.HeaderTableSize, hpackTableSize);
    settings.push(Setting.EnableConnectProtocol, allowConnect ? 1 : 0);
    settings.push(Setting.MaxConcurrentStreams, maxConcurrentStreams);
    settings.push(Setting.InitialWindowSize, initialStreamWindowSize);
    const output = this.#begin(settings.length * 3, FrameType.Settings, 0, 0);
    for (let i = 0; i < settings.length; i += 2) {
      output.bytes[output.at] = settings[i]! >>> 8;
      output.bytes[output.at + 1] = settings[i]!;
      writeUint32(output.bytes, output.at + 2, settings[i + 1]!);
      output.at += 6;
    }
    if (initialConnectionWindowSize > initialWindow) {
      this.#sendWindowUpdate(0, initialConnectionWindowSize - initialWindow);
    }
  }

  /** Starts a frame whose payload of `length` bytes the caller writes, and has it sent at the end of the turn. */
  #begin(length: number, type: number, flags: number, id: number): H2Output {
    const output = this.#output;
    output.reserve(frameHeaderBytes + length);
    writeFrameHeader(output.bytes, output.at, length, type, flags, id);
    output.at += frameHeaderBytes;
    this.#constraints.framesWritten++;
    if (!this.#flushAsked) this.#wake();
    return output;
  }

  #wake(): void {
    if (this.#flushAsked) return;
    this.#flushAsked = true;
    this.#sink.flushLater(this);
  }

  #writeHeaders(stream: H2Stream, headers: HeaderMap, endStream: boolean): void {
    const output = this.#output;
    stream.decompressedHeaderBytesSent += headerBytes(headers);
    output.reserve(frameHeaderBytes + this.#encoder.bound(headers));
    const start = output.at;
    const end = this.#encoder.encode(headers, output.bytes, start + frameHeaderBytes);
    const length = end - start - frameHeaderBytes;
    const flags = endStream ? Flag.EndStream : 0;
    if (!this.#flushAsked) this.#wake();
    if (length <= this.#peerMaxFrameSize) {
      writeFrameHeader(output.bytes, start, length, FrameType.Headers, flags | Flag.EndHeaders, stream.id);
      output.at = end;
      this.#constraints.framesWritten++;
      stream.wireBytesSent += length + frameHeaderBytes;
      stream.headerBytesSent += length + frameHeaderBytes;
      return;
    }
    const block = Buffer.from(output.bytes.subarray(start + frameHeaderBytes, end));
    for (let at = 0; at < length; ) {
      const part = Math.min(length - at, this.#peerMaxFrameSize);
      const last = at + part === length ? Flag.EndHeaders : 0;
      if (at === 0) this.#begin(part, FrameType.Headers, flags | last, stream.id);
      else this.#begin(part, FrameType.Continuation, last, stream.id);
      output.at += block.copy(output.bytes, output.at, at, at + part);
      stream.wireBytesSent += part + frameHeaderBytes;
      stream.headerBytesSent += part + frameHeaderBytes;
      at += part;
    }
  }

  /** The caller has seen to the windows. */
  #writeData(stream: H2Stream, data: Buffer, endStream: boolean): void {
    const length = data.length;
    stream.sendWindow -= length;
    this.#sendWindow -= length;
    for (let at = 0; ; ) {
      const part = Math.min(length - at, largestDataFrame);
      const last = at + part === length;
      const flags = last && endStream ? Flag.EndStream : 0;
      if (part <= copyAtMost) {
        const output = this.#begin(part, FrameType.Data, flags, stream.id);
        if (part > 0) output.at += data.copy(output.bytes, output.at, at, at + part);
        finished(data, part);
      } else {
        this.#beginData(part, flags, stream.id);
        this.#output.pass(part === length ? data : data.subarray(at, at + part));
      }
      this.#constraints.dataFramesSent++;
      stream.wireBytesSent += part + frameHeaderBytes;
      at += part;
      if (last) return;
    }
  }

  /** As `begin`, for a payload that is passed on beside. */
  #beginData(length: number, flags: number, id: number): void {
    const output = this.#output;
    output.reserve(frameHeaderBytes);
    writeFrameHeader(output.bytes, output.at, length, FrameType.Data, flags, id);
    output.at += frameHeaderBytes;
    this.#constraints.framesWritten++;
    if (!this.#flushAsked) this.#wake();
  }

  #enqueue(stream: H2Stream, data: Buffer): void {
    stream.queue!.push(data);
    stream.queuedBytes += data.length;
    this.#stats.pending_send_bytes.value += data.length;
    if (!stream.aboveHigh && stream.queuedBytes > this.#queueLimit()) {
      stream.aboveHigh = true;
      stream.decoder.onAboveWriteBufferHighWatermark();
    }
  }

  #queueLimit(): number {
    return Math.min(this.#options.initialStreamWindowSize, streamQueueLimit);
  }

  /** The stream has window, but the connection has none. */
  #waitForWindow(stream: H2Stream): void {
    if (stream.inBlocked) return;
    stream.inBlocked = true;
    this.#blocked.push(stream);
  }

  /** The connection has window again: one frame for each in turn. */
  #unblock(): void {
    while (this.#sendWindow > 0 && this.#blocked.length > 0) {
      const streams = this.#blocked;
      this.#blocked = [];
      for (let i = 0; i < streams.length; i++) {
        const stream = streams[i]!;
        stream.inBlocked = false;
        if (stream.gone || stream.queue === undefined) continue;
        if (this.#sendWindow <= 0) this.#waitForWindow(stream);
        else if (stream.sendWindow > 0) this.#drainSome(stream, largestDataFrame);
      }
    }
  }

  #drain(stream: H2Stream): void {
    this.#drainSome(stream, maxWindow);
  }

  /** Sends what waits in the stream, at most `most` and what the windows allow. */
  #drainSome(stream: H2Stream, most: number): void {
    const queue = stream.queue!;
    let room = Math.min(most, stream.sendWindow, this.#sendWindow);
    let sent = 0;
    let next = 0;
    while (room > 0 && next < queue.length) {
      let data = queue[next]!;
      if (data.length > room) {
        queue[next] = data.subarray(room);
        data = data.subarray(0, room);
      } else next++;
      room -= data.length;
      sent += data.length;
      const last = next === queue.length && stream.localEnd && stream.trailers === undefined;
      this.#writeData(stream, data, last);
    }
    if (next > 0) queue.splice(0, next);
    stream.queuedBytes -= sent;
    this.#stats.pending_send_bytes.value -= sent;
    if (queue.length === 0) {
      stream.queue = undefined;
      if (stream.localEnd) {
        // Nobody produces any more: whether the queue is low is of no interest.
        stream.aboveHigh = false;
        if (stream.trailers !== undefined) this.#writeHeaders(stream, stream.trailers, true);
        this.#localEndSent(stream);
        stream.decoder.onFlushed?.(true);
        return;
      }
    } else if (stream.sendWindow > 0) this.#waitForWindow(stream);
    if (stream.aboveHigh && stream.queuedBytes <= this.#queueLimit() >>> 1) {
      stream.aboveHigh = false;
      stream.decoder.onBelowWriteBufferLowWatermark();
    }
  }

  #sendWindowUpdate(id: number, increment: number): void {
    const output = this.#begin(4, FrameType.WindowUpdate, 0, id);
    writeUint32(output.bytes, output.at, increment);
    output.at += 4;
  }

  #sendReset(id: number, error: H2Error): void {
    this.#writeReset(id, error);
    this.#stats.tx_reset.value++;
  }

  #writeReset(id: number, error: H2Error): void {
    const output = this.#begin(4, FrameType.RstStream, 0, id);
    writeUint32(output.bytes, output.at, error);
    output.at += 4;
    this.#constraints.controlWritten++;
  }

  #sendGoAway(lastStream: number, error: H2Error, debugData: string): void {
    const output = this.#begin(8 + debugData.length, FrameType.GoAway, 0, 0);
    writeUint32(output.bytes, output.at, lastStream);
    writeUint32(output.bytes, output.at + 4, error);
    output.at += 8;
    output.at += output.bytes.write(debugData, output.at, 'latin1');
  }

  // ---- the life of streams

  #newStream(id: number, decoder: StreamDecoder): H2Stream {
    this.#openStreams++;
    this.#constraints.openedStreams++;
    this.#stats.streams_active.value++;
    return new H2Stream(this, id, decoder, this.#peerInitialWindow, this.#options.initialStreamWindowSize);
  }

  #removeUnsent(stream: H2Stream): void {
    const unsent = this.#unsent;
    if (unsent[unsent.length - 1] === stream) unsent.pop();
    else unsent.splice(unsent.indexOf(stream), 1);
  }

  #localEndSent(stream: H2Stream): void {
    stream.localEndSent = true;
    this.#closeWhenDone(stream);
  }

  /** RFC 9113 8.1: a complete response makes the rest of the request unnecessary, unless it came in the same turn. */
  #endAnswered(): void {
    const ids = this.#answered;
    this.#answered = [];
    const error = this.#isServer ? H2Error.NoError : H2Error.InternalError;
    for (let i = 0; i < ids.length; i++) this.#sendReset(ids[i]!, error);
  }

  #closeWhenDone(stream: H2Stream): void {
    if (stream.localEndSent && stream.remoteEndTold) {
      this.#remember(stream.id);
      this.#close(stream);
    }
  }

  #close(stream: H2Stream): void {
    if (stream.id !== 0) this.#streams.delete(stream.id);
    else this.#removeUnsent(stream);
    this.#forget(stream);
    if (!this.#isServer) this.#clientOwner!.onStreamEnd(!this.#gotGoAway);
  }

  #forget(stream: H2Stream): void {
    stream.gone = true;
    if (stream.flushTimer !== undefined) this.#wheel.cancel(stream.flushTimer);
    this.#openStreams--;
    this.#stats.streams_active.value--;
    if (stream.queuedBytes > 0) this.#stats.pending_send_bytes.value -= stream.queuedBytes;
    const held = stream.held;
    if (held !== undefined && !this.#isDead) {
      let bytes = 0;
      for (let i = 0; i < held.length; i++) bytes += held[i]!.length;
      this.#consumeConnection(bytes);
    }
    stream.queue = undefined;
    stream.queuedBytes = 0;
    stream.trailers = undefined;
    stream.held = undefined;
    stream.heldTrailers = undefined;
  }

  #remember(id: number): void {
    this.#endedStreams[this.#endedCount++ % rememberedStreams] = id;
  }

  // ---- the end, floods, keepalive

  /** The peer broke the protocol: says so in a GOAWAY, and leaves the rest to the owner. */
  #fail(error: H2Error, message: string, flood = false): void {
    if (this.#isDead) return;
    this.#sendGoAway(this.#lastPeerStream, error, message);
    this.#die();
    // What Envoy logs for nearly all of them, as its library's callback refuses to go on.
    const words = flood || message === badPreface ? message : 'The user callback function failed';
    const details = `codec_error:${words.replaceAll(' ', '_')}`;
    this.#tellError({ status: 0, details, message, flood, hasEndedStream: this.#hasEndedStream });
  }

  #tellError(error: CodecError): void {
    if (this.#serverOwner !== undefined) this.#serverOwner.onCodecError(error);
    else this.#clientOwner!.onCodecError(error);
  }

  #die(): void {
    this.#isDead = true;
    this.#keepalive?.stop();
  }

  /** False: the frame at hand carries nothing, and was one too many of the kind. */
  #checkContent(length: number): boolean {
    if (this.#constraints.allowsContent(length, (this.#flags & Flag.EndStream) !== 0)) return true;
    const stream = this.#streams.get(this.#id);
    if (stream !== undefined) this.#tellFailed(stream, 'http2.inbound_empty_frames_flood');
    this.#fail(H2Error.EnhanceYourCalm, 'Too many consecutive frames with an empty payload', true);
    return false;
  }

  #checkOutbound(): void {
    const flood = this.#constraints.outboundFlood();
    if (flood !== '') this.#fail(H2Error.EnhanceYourCalm, flood, true);
  }

  sendPing(payload: number): void {
    const output = this.#begin(8, FrameType.Ping, 0, 0);
    writeUint32(output.bytes, output.at, Math.floor(payload / 2 ** 32));
    writeUint32(output.bytes, output.at + 4, payload % 2 ** 32);
    output.at += 8;
  }

  onPingTimeout(): void {
    this.#stats.keepalive_timeout.value++;
    this.#die();
    const details = 'http2_ping_timeout';
    this.#tellError({ status: 0, details, message: 'keepalive timeout', flood: true, isSilence: true });
  }
}

const nothing = Buffer.alloc(0);
/** In nghttp2's words. */
const badPreface = 'Received bad client magic byte string';

/** Stands in until the owner has said who receives a new request. */
const nobody: StreamDecoder = {
  decodeHeaders() {},
  decode1xx() {},
  decodeData() {},
  decodeTrailers() {},
  onReset() {},
  onAboveWriteBufferHighWatermark() {},
  onBelowWriteBufferLowWatermark() {},
};

function reasonOfError(error: number): ResetReason {
  switch (error) {
    case H2Error.NoError:
      return ResetReason.RemoteResetNoError;
    case H2Error.ProtocolError:
      return ResetReason.ProtocolError;
    case H2Error.RefusedStream:
      return ResetReason.RemoteRefusedStreamReset;
    case H2Error.ConnectError:
      return ResetReason.ConnectError;
    default:
      return ResetReason.RemoteReset;
  }
}

function errorOfReset(reason: ResetReason): H2Error {
  switch (reason) {
    case ResetReason.LocalRefusedStreamReset:
      return H2Error.RefusedStream;
    case ResetReason.ConnectError:
      return H2Error.ConnectError;
    default:
      // Envoy's choice for all the others.
      return H2Error.InternalError;
  }
}
