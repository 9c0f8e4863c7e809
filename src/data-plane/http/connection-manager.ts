// One downstream HTTP connection: its codec, its streams, its end. Step 4 of a request's way.
import { type TimerOwner, WheelTimer } from '#base/timer-wheel.ts';
import { turnMs } from '#base/turn.ts';
import { AccessLogType } from '#extension/formatter.ts';
import type { DownstreamConnection, NetworkFilter } from '#extension/network-filter.ts';
import { NetworkFilterStatus } from '#extension/network-filter.ts';
import { ResponseFlag } from '#extension/response-flag.ts';
import type { ConnectionInfo } from '#extension/stream-info.ts';
import {
  type CodecError,
  ResetReason,
  type ServerCodec,
  type ServerCodecOwner,
  type StreamDecoder,
  type StreamEncoder,
} from '#http/codec.ts';
import type { HeaderMap } from '#http/header-map.ts';
import { reasonPhrase } from '#http/status.ts';
import { CloseEvent, CloseType } from '#net/connection.ts';
import { CodecType, type ForwardedProtoData } from './manager-config.ts';
import type { ManagerShared } from './manager-shared.ts';
import { PrematureResets } from './premature-resets.ts';
import { Stream } from './stream.ts';

const preface = Buffer.from('PRI * HTTP/2');

const Timer = { Idle: 0, MaxDuration: 1, Drain: 2 } as const;

export class ConnectionManager implements NetworkFilter, ServerCodecOwner, TimerOwner {
  readonly shared: ManagerShared;
  readonly downstream: DownstreamConnection;
  readonly connectionInfo: ConnectionInfo;
  readonly isTls: boolean;
  readonly isLoopbackPeer: boolean;
  readonly isUnixPeer: boolean;
  /** IP of the peer without port; empty for a Unix socket. */
  readonly remoteIp: string;
  readonly localPort: string;
  /** What x-forwarded-proto says of this connection. */
  readonly forwardedProto: 'http' | 'https';
  /** `HTTP/2` once that is known, else empty; what a request really is says `codecProtocol`. */
  protocol = '';
  /** After the response under way the connection ends. */
  isClosing = false;
  /** Because the client said so, or because this is the last request allowed here. */
  sawConnectionClose = false;
  /** GOAWAY or `connection: close` was said because of a drain. */
  isDraining = false;
  readonly streams: Stream[] = [];
  #codec: ServerCodec | undefined = undefined;
  #firstBytes: Buffer | undefined = undefined;
  #requests = 0;
  #isClosed = false;
  #isInCodec = false;
  #closeWhenOut = false;
  readonly #resets = new PrematureResets();
  #closeType: CloseType = CloseType.FlushWriteAndDelay;
  /** Too old: the next request is the last. */
  #endsWithNextRequest = false;
  /** The last response has no end of its own. */
  #isUnframed = false;
  /** The first bytes were HTTP, or were found to be none. */
  #isProtocolKnown = false;
  readonly #startMs: number;
  readonly #idleTimer: WheelTimer;
  #otherTimers: WheelTimer[] | undefined = undefined;

  constructor(shared: ManagerShared, downstream: DownstreamConnection) {
    this.shared = shared;
    this.downstream = downstream;
    const { connection, info } = downstream;
    this.connectionInfo = info;
    this.isTls = downstream.isTls;
    const remote = info.remoteAddress;
    this.isUnixPeer = remote.startsWith('/') || remote.startsWith('@') || remote === '';
    this.remoteIp = this.isUnixPeer ? '' : ipOf(remote);
    this.isLoopbackPeer = this.remoteIp === '127.0.0.1' || this.remoteIp === '::1';
    this.localPort = info.localAddress.slice(info.localAddress.lastIndexOf(':') + 1);
    const { stats, config } = shared;
    this.forwardedProto = this.#protoOf(config.forwardedProto);
    this.#startMs = turnMs();
    stats.downstreamCxTotal.value++;
    stats.downstreamCxActive.value++;
    if (this.isTls) {
      stats.downstreamCxSslTotal.value++;
      stats.downstreamCxSslActive.value++;
    }
    connection.rxBytes = stats.downstreamCxRxBytesTotal;
    connection.txBytes = stats.downstreamCxTxBytesTotal;
    connection.rxBuffered = stats.downstreamCxRxBytesBuffered;
    connection.txBuffered = stats.downstreamCxTxBytesBuffered;
    connection.delayedCloseMs = config.delayedCloseMs;
    connection.delayedCloseTimeouts = stats.downstreamCxDelayedCloseTimeout;
    this.#idleTimer = new WheelTimer(this, Timer.Idle);
    if (config.idleTimeoutMs > 0) shared.timers.start(this.#idleTimer, config.idleTimeoutMs);
    if (config.maxConnectionDurationMs > 0)
      this.#startTimer(
        Timer.MaxDuration,
        withJitter(config.maxConnectionDurationMs, config.maxConnectionDurationJitter),
      );
    shared.connections.add(this);
  }

  /** A PROXY header may tell better than TLS. */
  #protoOf(ports: ForwardedProtoData | undefined): 'http' | 'https' {
    if (ports !== undefined && this.connectionInfo.isLocalAddressRestored) {
      const port = Number(this.localPort);
      if (ports.httpsPorts.includes(port)) return 'https';
      if (ports.httpPorts.includes(port)) return 'http';
    }
    return this.isTls ? 'https' : 'http';
  }

  // NetworkFilter -----------------------------------------------------------------------------------------------------------

  onData(data: Buffer): NetworkFilterStatus {
    let codec = this.#codec;
    let bytes = data;
    if (codec === undefined) {
      if (this.#firstBytes !== undefined) {
        bytes = Buffer.concat([this.#firstBytes, data]);
        this.#firstBytes = undefined;
      }
      codec = this.#chooseCodec(bytes);
      if (codec === undefined) return NetworkFilterStatus.StopIteration;
    }
    this.#isInCodec = true;
    codec.onData(bytes);
    this.#isInCodec = false;
    if (!this.#isProtocolKnown) {
      this.#isProtocolKnown = true;
      this.connectionInfo.httpProtocol = codec.protocol;
    }
    if (this.#closeWhenOut) this.#close();
    return NetworkFilterStatus.StopIteration;
  }

  onAboveWriteBufferHighWatermark(): void {
    this.#codec?.onAboveWriteBufferHighWatermark();
  }

  onBelowWriteBufferLowWatermark(): void {
    this.#codec?.onBelowWriteBufferLowWatermark();
  }

  onClose(event: CloseEvent): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const { shared } = this;
    const { stats } = shared;
    shared.connections.delete(this);
    this.#cancelTimers();
    const active = this.streams.length;
    let details = '';
    stats.downstreamCxActive.value--;
    stats.downstreamCxDestroy.value++;
    if (event === CloseEvent.Remote) {
      stats.downstreamCxDestroyRemote.value++;
      if (active > 0) stats.downstreamCxDestroyRemoteActiveRq.value++;
    } else {
      stats.downstreamCxDestroyLocal.value++;
      // Who closes on purpose has ended the streams before.
      if (active > 0) stats.downstreamCxDestroyRemoteActiveRq.value++;
      details = `downstream_local_disconnect(${this.downstream.closeReason.replaceAll(/\s/g, '_')})`;
    }
    if (active > 0) stats.downstreamCxDestroyActiveRq.value++;
    if (this.isTls) stats.downstreamCxSslActive.value--;
    const codec = this.#codec;
    if (codec !== undefined) {
      if (codec.protocol === 'HTTP/2') stats.downstreamCxHttp2Active.value--;
      else stats.downstreamCxHttp1Active.value--;
      if (this.#endsWithNextRequest) stats.downstreamCxHttp1SoftDrain.value--;
      codec.onConnectionClose(ResetReason.ConnectionTermination, details);
    }
    for (let i = this.streams.length - 1; i >= 0; i--)
      this.streams[i]!.onReset(ResetReason.ConnectionTermination, details);
    stats.downstreamCxLengthMs.record(turnMs() - this.#startMs);
  }

  #chooseCodec(bytes: Buffer): ServerCodec | undefined {
    const { shared } = this;
    const { stats, config } = shared;
    let isHttp2 = config.codecType === CodecType.Http2;
    if (config.codecType === CodecType.Auto) {
      const alpn = this.connectionInfo.applicationProtocol;
      if (alpn === 'h2') isHttp2 = true;
      else if (alpn === '' || !this.isTls) {
        const known = bytes.length < preface.length ? bytes.length : preface.length;
        if (bytes.compare(preface, 0, known, 0, known) === 0) {
          if (known < preface.length) {
            this.#firstBytes = bytes;
            return undefined;
          }
          isHttp2 = true;
        }
      }
    }
    const codec = shared.newCodec(isHttp2, this.isTls, this, this.downstream.connection);
    this.#codec = codec;
    // Until the first bytes say otherwise.
    this.connectionInfo.httpProtocol = isHttp2 ? 'HTTP/2' : 'HTTP/1.1';
    if (isHttp2) {
      this.protocol = 'HTTP/2';
      stats.downstreamCxHttp2Total.value++;
      stats.downstreamCxHttp2Active.value++;
    } else {
      stats.downstreamCxHttp1Total.value++;
      stats.downstreamCxHttp1Active.value++;
    }
    return codec;
  }

  /** What is written goes out when the bytes at hand are taken apart. */
  get isInCodec(): boolean {
    return this.#isInCodec;
  }

  /** Of the message that is being received. */
  get codecProtocol(): string {
    return this.#codec!.protocol;
  }

  // ServerCodecOwner --------------------------------------------------------------------------------------------------------

  newStream(encoder: StreamEncoder): StreamDecoder {
    const { shared } = this;
    const { stats, config } = shared;
    stats.downstreamRqTotal.value++;
    stats.downstreamRqActive.value++;
    if (this.protocol === 'HTTP/2') stats.downstreamRqHttp2Total.value++;
    else stats.downstreamRqHttp1Total.value++;
    this.#requests++;
    if (this.streams.length === 0) shared.timers.cancel(this.#idleTimer);
    const stream = new Stream(this, encoder);
    this.streams.push(stream);
    if (this.#endsWithNextRequest) {
      this.isClosing = true;
      this.sawConnectionClose = true;
    }
    if (config.maxRequestsPerConnection > 0 && this.#requests >= config.maxRequestsPerConnection) {
      if (!this.isClosing) stats.downstreamCxMaxRequestsReached.value++;
      if (this.protocol === 'HTTP/2') {
        this.startDrain();
      } else {
        this.isClosing = true;
        this.sawConnectionClose = true;
      }
    }
    return stream;
  }

  /** A stream that goes on where another was redirected away. */
  succeed(encoder: StreamEncoder): Stream {
    const { stats } = this.shared;
    stats.downstreamRqTotal.value++;
    stats.downstreamRqActive.value++;
    if (this.protocol === 'HTTP/2') stats.downstreamRqHttp2Total.value++;
    else stats.downstreamRqHttp1Total.value++;
    const stream = new Stream(this, encoder);
    this.streams.push(stream);
    return stream;
  }

  onCodecError(error: CodecError): void {
    const { stats } = this.shared;
    this.#cancelTimers();
    if (error.isSilence === true) {
      this.downstream.close(CloseType.NoFlush, error.details);
      return;
    }
    if (error.flood !== true) stats.downstreamCxProtocolError.value++;
    this.downstream.streamInfo.flags |= 1 << ResponseFlag.DownstreamProtocolError;
    if (!this.#isProtocolKnown) {
      this.#isProtocolKnown = true;
      this.connectionInfo.httpProtocol = '';
    }
    if (this.protocol === 'HTTP/2') {
      if (this.streams.length > 0 || error.hasEndedStream === true) {
        stats.downstreamCxDestroyLocalActiveRq.value++;
        stats.downstreamCxDestroyActiveRq.value++;
      }
      for (let i = this.streams.length - 1; i >= 0; i--) {
        const stream = this.streams[i]!;
        stream.info.flags |= 1 << ResponseFlag.DownstreamProtocolError;
        stream.onReset(ResetReason.ProtocolError, error.details);
      }
      this.downstream.close(CloseType.FlushWriteAndDelay, error.details);
      return;
    }
    this.isClosing = true;
    const stream = this.streams[this.streams.length - 1];
    if (stream === undefined || stream.responseStarted) {
      if (stream !== undefined) {
        stream.info.flags |= 1 << ResponseFlag.DownstreamProtocolError;
        stream.onReset(ResetReason.ProtocolError, error.details);
      }
      this.downstream.close(CloseType.FlushWriteAndDelay, error.details);
      return;
    }
    // The answer is made before the flag is raised.
    stream.flagsAtEnd |= 1 << ResponseFlag.DownstreamProtocolError;
    stream.sendLocalReply(error.status, reasonPhrase(error.status), error.details);
  }

  onReadDisable(disable: boolean): void {
    this.downstream.connection.readDisable(disable);
  }

  // From streams ------------------------------------------------------------------------------------------------------------

  /** Counts a response whose headers are about to leave. */
  countResponse(status: number): void {
    const { stats, listenerStats } = this.shared;
    stats.downstreamRqCompleted.value++;
    listenerStats.downstreamRqCompleted.value++;
    if (status < 100 || status >= 600) return;
    if (status < 200) {
      stats.downstreamRq1xx.value++;
      listenerStats.downstreamRq1xx.value++;
    } else if (status < 300) {
      stats.downstreamRq2xx.value++;
      listenerStats.downstreamRq2xx.value++;
    } else if (status < 400) {
      stats.downstreamRq3xx.value++;
      listenerStats.downstreamRq3xx.value++;
    } else if (status < 500) {
      stats.downstreamRq4xx.value++;
      listenerStats.downstreamRq4xx.value++;
    } else {
      stats.downstreamRq5xx.value++;
      listenerStats.downstreamRq5xx.value++;
    }
  }

  /** Says `connection: close` when the connection will end behind this response. */
  finishResponseHeaders(stream: Stream, headers: HeaderMap, isUpgrade: boolean): void {
    const { shared } = this;
    if (this.downstream.isDraining && !this.isClosing && !this.isDraining) {
      shared.stats.downstreamCxDrainClose.value++;
      this.startDrain();
    }
    if (!stream.requestEnded) shared.stats.downstreamRqResponseBeforeRqComplete.value++;
    // HTTP/2 goes on with its other streams.
    if (this.protocol === 'HTTP/2') return;
    if (stream.closesConnection || !stream.requestEnded) this.isClosing = true;
    if (isUpgrade) return;
    const isHttp10 = stream.info.protocol === 'HTTP/1.0';
    // Without a length only the end of the connection ends a response of HTTP/1.0. As in Envoy, that has no body either.
    if (isHttp10 && headers.get('content-length') === undefined) {
      this.isClosing = true;
      this.sawConnectionClose = true;
      this.#isUnframed = true;
    }
    if (this.isClosing) this.#codec!.goAway();
    // A connection that only drains still takes requests from a client that does not heed it.
    if (this.isClosing || this.isDraining) headers.list.push('connection', 'close');
    else if (isHttp10) headers.list.push('connection', 'keep-alive');
  }

  /** GOAWAY in two steps for HTTP/2, `connection: close` with the next response for HTTP/1; after the drain time it ends. */
  startDrain(): void {
    if (this.isDraining || this.isClosing) return;
    this.isDraining = true;
    this.#codec?.shutdownNotice();
    const { drainTimeoutMs, drainTimeoutJitter } = this.shared.config;
    this.#startTimer(Timer.Drain, withJitter(drainTimeoutMs, drainTimeoutJitter));
  }

  onStreamReset(): void {
    if (this.protocol === 'HTTP/2') return;
    this.isClosing = true;
    this.#closeType = CloseType.FlushWriteAndDelay;
    this.#closeLater();
  }

  onStreamEnd(stream: Stream): void {
    const { shared, streams } = this;
    const { stats, accessLogs } = shared;
    const at = streams.indexOf(stream);
    if (at === streams.length - 1) streams.pop();
    else if (at >= 0) streams.splice(at, 1);
    stats.downstreamRqActive.value--;
    if (stream.info.lastDownstreamTxMs > 0)
      stats.downstreamRqTime.record(stream.info.endMs - stream.info.startMs);
    if (shared.routeResolution !== null && stream.info.routeResolutions > 0) {
      shared.routeResolution.timeUs.record(Math.floor(stream.info.routeResolutionUs));
      shared.routeResolution.count.record(stream.info.routeResolutions);
    }
    stream.logType = AccessLogType.DownstreamEnd;
    for (let i = 0; i < accessLogs.length; i++) accessLogs[i]!.log(stream);
    if (this.#isClosed) return;
    const { info } = stream;
    if (this.#resets.onStreamEnd(info.responseCode !== 0, info.endMs - info.startMs, shared.runtime)) {
      this.#endByResets();
      return;
    }
    if (streams.length > 0) return;
    if (this.isClosing || (this.isDraining && this.protocol === 'HTTP/2' && this.#hasSaidGoAway)) {
      // A complete request leaves nothing behind that a close would cut off, and the client expects it. While it is still being taken
      // apart, as when the proxy answers by itself, Envoy does not know that yet.
      this.#closeType =
        this.sawConnectionClose &&
        (stream.requestEnded || this.#isUnframed) &&
        !stream.isRefused &&
        !this.#codec!.isParsing
          ? CloseType.FlushWrite
          : CloseType.FlushWriteAndDelay;
      this.#closeLater();
    } else if (shared.config.idleTimeoutMs > 0)
      shared.timers.start(this.#idleTimer, shared.config.idleTimeoutMs);
  }

  #endByResets(): void {
    const { stats } = this.shared;
    if (!this.isClosing) {
      stats.downstreamRqTooManyPrematureResets.value++;
      stats.downstreamCxProtocolError.value++;
    }
    this.isClosing = true;
    this.#closeType = CloseType.Abort;
    this.#closeLater();
  }

  #hasSaidGoAway = false;

  /** Not from inside the codec: what it is doing must come to its end. */
  #closeLater(): void {
    if (this.#isInCodec) this.#closeWhenOut = true;
    else this.#close();
  }

  #cancelTimers(): void {
    const { timers } = this.shared;
    timers.cancel(this.#idleTimer);
    const others = this.#otherTimers;
    if (others !== undefined) for (let i = 0; i < others.length; i++) timers.cancel(others[i]!);
  }

  #close(): void {
    this.#cancelTimers();
    this.#closeWhenOut = false;
    this.downstream.close(this.#closeType, 'deferred_close_on_drained_connection');
  }

  #startTimer(id: number, delayMs: number): void {
    const timer = new WheelTimer(this, id);
    (this.#otherTimers ??= []).push(timer);
    this.shared.timers.start(timer, delayMs);
  }

  onTimeout(id: number): void {
    const { stats, config } = this.shared;
    if (id === Timer.Idle) {
      stats.downstreamCxIdleTimeout.value++;
      this.#endSoon('on_idle_timeout');
    } else if (id === Timer.MaxDuration) {
      stats.downstreamCxMaxDurationReached.value++;
      if (this.#codec !== undefined && this.protocol !== 'HTTP/2' && config.http1SafeMaxConnectionDuration)
        this.#endWithNextRequest();
      else this.#endSoon('max_connection_duration_timeout');
    } else if (id === Timer.Drain) {
      this.#hasSaidGoAway = true;
      this.isClosing = true;
      this.#codec!.goAway();
      if (this.streams.length === 0) this.#close();
    }
  }

  #endWithNextRequest(): void {
    if (this.#endsWithNextRequest) return;
    this.#endsWithNextRequest = true;
    this.shared.stats.downstreamCxHttp1SoftDrain.value++;
  }

  #endSoon(details: string): void {
    if (this.#codec === undefined) this.downstream.close(CloseType.FlushWrite, details);
    else this.startDrain();
  }
}

function withJitter(delayMs: number, percent: number): number {
  return percent === 0 ? delayMs : delayMs * (1 + (Math.random() * percent) / 100);
}

function ipOf(address: string): string {
  const end = address.lastIndexOf(':');
  return address[0] === '[' ? address.slice(1, end - 1) : address.slice(0, end);
}
