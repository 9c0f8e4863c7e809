// One request and its response: from the codec through the filters to the router and back. Steps 5 and 9 of a request's way.
//
//     codec -> decodeHeaders/Data/Trailers -> filter 0 .. n-1 -> router          (request)
//     codec <- sendHeaders/Data/Trailers   <- filter 0 .. n-1 <- encode...(router or local reply)
//
// A direction is a walk by index. A filter that stops leaves a `Hold` behind: what it waits with. Without holds, the usual case,
// nothing is allocated here beside the stream and its info.
import { nextRandom } from '#base/random.ts';
import { pin } from '#base/read-buffers.ts';
import { type TimerOwner, WheelTimer } from '#base/timer-wheel.ts';
import { turnMs } from '#base/turn.ts';
import { AccessLogType, type FormatContext } from '#extension/formatter.ts';
import { FilterStatus, type HttpFilter, type HttpRoute, type HttpStream } from '#extension/http-filter.ts';
import { ResponseFlag } from '#extension/response-flag.ts';
import { routeResolutionTimes } from '#extension/route-resolution.ts';
import { ResetReason, type StreamDecoder, type StreamEncoder } from '#http/codec.ts';
import { HeaderMap } from '#http/header-map.ts';
import { headerBytes, headerCount } from '#http/header-size.ts';
import type { ConnectionManager } from './connection-manager.ts';
import { disabledFilters, type FilterPlan, Has } from './filter-plan.ts';
import { localReply } from './local-reply.ts';
import { passesChecks } from './request-checks.ts';
import { mutateRequestHeaders } from './request-headers.ts';
import { RequestInfo } from './request-info.ts';
import { isUpgradeResponse, mutateResponseHeaders, setRequestId } from './response-headers.ts';
import type { RouteContext, RouteEntry } from './route-entry.ts';
import { clusterOf } from './route-rewrite.ts';
import { Router } from './router.ts';
import { NOT_SET, streamDurationMs, UNLIMITED } from './stream-duration.ts';
import { isUpgradeAllowed, upgradeOf } from './upgrade.ts';

/** What one filter holds of one direction. */
class Hold {
  /** The Stop status the filter answered last; Continue once it resumed. */
  status: FilterStatus = FilterStatus.Continue;
  /** Headers have not passed this filter yet. */
  stopsHeaders = false;
  buffers: Buffer[] = [];
  bytes = 0;
  /** The body ended while held. */
  end = false;
  trailers: HeaderMap | undefined = undefined;
  /** Counted as a read disable because of too much held. */
  isFull = false;
}

const Timer = { Idle: 0, Request: 1, MaxDuration: 2, Headers: 3, Log: 4 } as const;

export class Stream implements StreamDecoder, HttpStream, RouteContext, FormatContext, TimerOwner {
  readonly manager: ConnectionManager;
  readonly encoder: StreamEncoder;
  readonly info: RequestInfo;
  plan: FilterPlan;
  readonly random: number = nextRandom();
  requestHeaders: HeaderMap = noHeaders;
  requestTrailers: HeaderMap | undefined = undefined;
  responseHeaders: HeaderMap | undefined = undefined;
  responseTrailers: HeaderMap | undefined = undefined;
  logType: AccessLogType = AccessLogType.NotSet;
  decoderBufferLimit: number;
  encoderBufferLimit: number;
  isHead = false;
  isGrpc = false;
  isInternal = false;
  /** A trusted client has sent x-envoy-force-trace. */
  isTraceForced = false;
  /** Upgrade or CONNECT: `websocket`, `connect`, ...; empty for ordinary requests. */
  upgrade = '';
  /** `:80`, when it was stripped of the host of a CONNECT: it goes upstream. */
  connectPort = '';
  /** The request was received completely. */
  requestEnded = false;
  /** The response headers left for the codec; nothing can be replaced any more. */
  responseStarted = false;
  /** The response is with the codec completely. */
  responseEnded = false;
  isLocalReply = false;
  isDestroyed = false;
  /** The watermark of this stream's downstream side: the router stops the upstream while it is positive. */
  downstreamBackUps = 0;
  closesConnection = false;
  /** All is said, but not out yet: the stream lives on until then. */
  #isFlushing = false;
  /** Answered before it was looked at: the rest of it may still be on its way. */
  isRefused = false;
  /** Response flags that are raised when all is over. */
  flagsAtEnd = 0;
  internalRedirects = 0;
  /** What the predicates of internal redirects remember. */
  followedRedirects: Set<string> | undefined = undefined;
  /** An upgrade that is allowed: counted until the stream ends. */
  isUpgrade = false;
  readonly router: Router;
  /** The stream that took over after an internal redirect: the codec still knows this one. */
  #successor: Stream | undefined = undefined;

  #filters: readonly HttpFilter[] = noFilters;
  #decodeHolds: (Hold | undefined)[] | undefined = undefined;
  #encodeHolds: (Hold | undefined)[] | undefined = undefined;
  /** Filters below this have seen the request headers. */
  #reached = 0;
  #route: RouteEntry | undefined = undefined;
  #isRouteKnown = false;
  #routeDisabled = 0;
  #replacement: Buffer | undefined = undefined;
  #addedTrailers: HeaderMap | undefined = undefined;
  readonly #idleTimer: WheelTimer;
  #otherTimers: WheelTimer[] | undefined = undefined;

  constructor(manager: ConnectionManager, encoder: StreamEncoder) {
    this.manager = manager;
    this.encoder = encoder;
    const shared = manager.shared;
    this.plan = shared.plan;
    this.info = new RequestInfo(manager.connectionInfo, turnMs(), encoder);
    // Logged for a request that breaks off before its headers are there; these may say HTTP/1.0.
    this.info.protocol = manager.codecProtocol;
    this.decoderBufferLimit = shared.bufferLimitBytes;
    this.encoderBufferLimit = shared.bufferLimitBytes;
    this.router = new Router(this, shared);
    this.#idleTimer = new WheelTimer(this, Timer.Idle);
    const { requestHeadersTimeoutMs } = shared.config;
    if (requestHeadersTimeoutMs > 0) this.startTimer(Timer.Headers, requestHeadersTimeoutMs);
    if (shared.streamIdleTimeoutMs > 0) shared.timers.start(this.#idleTimer, shared.streamIdleTimeoutMs);
    if (shared.requestTimeoutMs > 0) this.startTimer(Timer.Request, shared.requestTimeoutMs);
    if (shared.maxStreamDurationMs > 0) this.startTimer(Timer.MaxDuration, shared.maxStreamDurationMs);
    const { intervalMs } = shared.config.accessLogMoments;
    if (intervalMs > 0) this.startTimer(Timer.Log, intervalMs);
  }

  // Request, from the codec -------------------------------------------------------------------------------------------------

  decodeHeaders(headers: HeaderMap, endStream: boolean): void {
    const shared = this.manager.shared;
    this.requestHeaders = headers;
    // A request that follows a redirect was read to its end.
    this.requestEnded = endStream || this.internalRedirects > 0;
    if (endStream) this.info.lastDownstreamRxMs = this.info.startMs;
    this.info.protocol = this.manager.codecProtocol;
    this.isHead = headers.method === 'HEAD';
    if (this.#otherTimers !== undefined) {
      this.#cancelTimers(Timer.Headers);
      if (endStream) this.#cancelTimers(Timer.Request);
    }
    if (this.internalRedirects === 0) {
      if (!this.#receive(headers)) return;
      if (!mutateRequestHeaders(this, headers)) return;
    }
    this.info.isRequestAccepted = true;
    if (shared.streamIdleTimeoutMs > 0) this.#active();
    const { route } = this;
    if (shared.config.accessLogMoments.start && this.internalRedirects === 0)
      this.#log(AccessLogType.DownstreamStart);
    if (this.upgrade !== '' && !this.#acceptsUpgrade(route)) return;
    const { plan } = this;
    if (plan.count > 0) {
      this.#filters = plan.instances();
      if (plan.hasDisabled || (route !== undefined && route.perFilterConfigs !== null)) this.#findDisabled();
      this.#runDecodeHeaders(0, endStream);
    } else this.router.decodeHeaders(headers, endStream);
    if (endStream) this.#decodeComplete();
  }

  /** What comes before filters and routes; false when the request was answered. */
  #receive(headers: HeaderMap): boolean {
    const { manager } = this;
    this.upgrade = upgradeOf(headers);
    const expect = headers.get('expect');
    if (
      expect !== undefined &&
      !manager.shared.config.proxy100Continue &&
      expect.toLowerCase() === '100-continue'
    ) {
      const headers100 = new HeaderMap();
      headers100.status = 100;
      manager.countResponse(100);
      this.info.responseCode = 100;
      this.encoder.encode1xx(headers100);
      headers.remove('expect');
    }
    return passesChecks(this, headers);
  }

  #acceptsUpgrade(route: RouteEntry | undefined): boolean {
    const { stats } = this.manager.shared;
    if (isUpgradeAllowed(this, route)) {
      this.isUpgrade = true;
      this.plan = this.manager.shared.upgradePlans.get(this.upgrade) ?? this.plan;
      stats.downstreamCxUpgradesTotal.value++;
      stats.downstreamCxUpgradesActive.value++;
      return true;
    }
    if (route === undefined) return true;
    stats.downstreamRqWsOnNonWsRoute.value++;
    // What follows may be of the other protocol.
    if (this.manager.protocol === 'HTTP/2') this.manager.startDrain();
    this.sendLocalReply(403, '', 'upgrade_failed');
    return false;
  }

  decode1xx(): void {}

  decodeData(data: Buffer, endStream: boolean): void {
    this.info.bytesReceived += data.length;
    if (endStream) this.#requestEnd();
    this.#active();
    if (this.responseEnded || this.isLocalReply) return;
    if (this.plan.count === 0) this.router.decodeData(data, endStream);
    else {
      if ((this.plan.hasAny & Has.DecodeData) !== 0) pin(data);
      this.#runDecodeData(0, data, endStream);
    }
    if (endStream) this.#decodeComplete();
  }

  decodeTrailers(trailers: HeaderMap): void {
    this.requestTrailers = trailers;
    this.#requestEnd();
    if (this.responseEnded || this.isLocalReply) return;
    this.#runDecodeTrailers(0, trailers);
    this.#decodeComplete();
  }

  onReset(reason: ResetReason, details: string): void {
    if (this.#successor !== undefined) this.#successor.onReset(reason, details);
    if (this.isDestroyed) return;
    const { manager } = this;
    if (!this.responseEnded || !this.requestEnded || this.#isFlushing) {
      manager.shared.stats.downstreamRqRxReset.value++;
      // A client that resets with NO_ERROR leaves neither flag nor details.
      if (reason !== ResetReason.RemoteResetNoError) this.#noteReset(reason, details);
    }
    this.#destroy();
  }

  #noteReset(reason: ResetReason, details: string): void {
    const { info } = this;
    if (info.details === '' || info.details === 'via_upstream')
      info.details = details === '' ? 'downstream_remote_disconnect' : details;
    info.flags |=
      reason === ResetReason.ConnectionTermination
        ? 1 << ResponseFlag.DownstreamConnectionTermination
        : reason === ResetReason.ProtocolError
          ? 1 << ResponseFlag.DownstreamProtocolError
          : 1 << ResponseFlag.DownstreamRemoteReset;
  }

  onAboveWriteBufferHighWatermark(): void {
    this.#successor?.onAboveWriteBufferHighWatermark();
    if (this.downstreamBackUps++ === 0) this.router.onDownstreamBackedUp(true);
  }

  onBelowWriteBufferLowWatermark(): void {
    this.#successor?.onBelowWriteBufferLowWatermark();
    if (--this.downstreamBackUps === 0) this.router.onDownstreamBackedUp(false);
  }

  /** Begins anew with the present request headers, as after an internal redirect: another stream takes over. */
  recreate(body: readonly Buffer[] | undefined, trailers: HeaderMap | undefined): void {
    const { manager } = this;
    const successor = manager.succeed(this.encoder);
    successor.internalRedirects = this.internalRedirects + 1;
    successor.followedRedirects = this.followedRedirects;
    this.#successor = successor;
    successor.isInternal = this.isInternal;
    successor.isGrpc = this.isGrpc;
    successor.info.continueFrom(this.info);
    for (let i = 0; i < this.downstreamBackUps; i++) successor.onAboveWriteBufferHighWatermark();
    this.#destroy();
    const hasBody = body !== undefined && body.length > 0;
    successor.decodeHeaders(this.requestHeaders, !hasBody && trailers === undefined);
    if (hasBody) {
      for (let i = 0; i < body.length; i++)
        successor.decodeData(body[i]!, i === body.length - 1 && trailers === undefined);
    }
    if (trailers !== undefined) successor.decodeTrailers(trailers);
  }

  // Request, through the filters --------------------------------------------------------------------------------------------

  #runDecodeHeaders(from: number, endStream: boolean): void {
    const { plan } = this;
    const headers = this.requestHeaders;
    const filters = this.#filters;
    for (let i = from; i < plan.count; i++) {
      this.#reached = i + 1;
      if ((plan.has[i]! & Has.DecodeHeaders) === 0 || this.#isDisabled(i)) continue;
      const status = filters[i]!.decodeHeaders!(this, headers, endStream);
      if (this.isLocalReply || this.isDestroyed) return;
      if (status !== FilterStatus.Continue) {
        const hold = this.#decodeHold(i);
        hold.status = status;
        hold.stopsHeaders = true;
        hold.end = endStream;
        return;
      }
    }
    this.router.decodeHeaders(headers, endStream);
  }

  #runDecodeData(from: number, data: Buffer, endStream: boolean): void {
    const { plan } = this;
    const filters = this.#filters;
    const holds = this.#decodeHolds;
    let body = data;
    for (let i = from; i < plan.count; i++) {
      const hold = holds === undefined ? undefined : holds[i];
      if (hold !== undefined && isStopAll(hold)) {
        this.#holdRequest(hold, body, endStream);
        return;
      }
      let status: FilterStatus = hold?.stopsHeaders ? FilterStatus.StopIteration : FilterStatus.Continue;
      if ((plan.has[i]! & Has.DecodeData) !== 0 && !this.#isDisabled(i)) {
        status = filters[i]!.decodeData!(this, body, endStream);
        if (this.isLocalReply || this.isDestroyed) return;
        if (this.#replacement !== undefined) {
          body = this.#replacement;
          this.#replacement = undefined;
        }
      }
      if (status === FilterStatus.Continue) {
        const held = this.#decodeHolds?.[i];
        if (held !== undefined && (held.stopsHeaders || held.bytes > 0)) {
          this.#keep(held, body);
          held.end = endStream;
          this.#resumeDecoding(i, held);
          return;
        }
      } else if (status === FilterStatus.StopNoBuffer) {
        const held = this.#decodeHold(i);
        held.end = endStream;
        return;
      } else {
        const held = this.#decodeHold(i);
        if (!held.stopsHeaders || held.status === FilterStatus.Continue) held.status = status;
        this.#holdRequest(held, body, endStream, status === FilterStatus.StopAllAndWatermark);
        return;
      }
      if (endStream && this.#addedTrailers !== undefined) {
        const trailers = this.#addedTrailers;
        this.#addedTrailers = undefined;
        this.requestTrailers = trailers;
        if (i + 1 < plan.count) this.#runDecodeData(i + 1, body, false);
        else this.router.decodeData(body, false);
        this.#runDecodeTrailers(i + 1, trailers);
        return;
      }
    }
    this.router.decodeData(body, endStream);
  }

  #runDecodeTrailers(from: number, trailers: HeaderMap): void {
    const { plan } = this;
    for (let i = from; i < plan.count; i++) {
      const hold = this.#decodeHolds?.[i];
      if (hold !== undefined && isStopAll(hold)) {
        hold.trailers = trailers;
        return;
      }
      let status: FilterStatus = FilterStatus.Continue;
      if ((plan.has[i]! & Has.DecodeTrailers) !== 0 && !this.#isDisabled(i)) {
        status = this.#filters[i]!.decodeTrailers!(this, trailers);
        if (this.isLocalReply || this.isDestroyed) return;
      } else if (hold !== undefined && (hold.stopsHeaders || hold.bytes > 0)) {
        status = FilterStatus.StopIteration;
      }
      const held = this.#decodeHolds?.[i];
      if (status !== FilterStatus.Continue) {
        this.#decodeHold(i).trailers = trailers;
        return;
      }
      if (held !== undefined && (held.stopsHeaders || held.bytes > 0)) {
        held.trailers = trailers;
        this.#resumeDecoding(i, held);
        return;
      }
    }
    this.router.decodeTrailers(trailers);
  }

  /** Lets go what filter `i` held: headers first, then body, then trailers, to the filters behind it. */
  #resumeDecoding(i: number, hold: Hold): void {
    const { buffers, end, trailers } = hold;
    const stoppedHeaders = hold.stopsHeaders;
    const held = hold.bytes;
    hold.status = FilterStatus.Continue;
    hold.stopsHeaders = false;
    hold.buffers = [];
    hold.bytes = 0;
    hold.trailers = undefined;
    if (hold.isFull) {
      hold.isFull = false;
      this.readDisable(false);
    }
    if (stoppedHeaders) {
      this.#runDecodeHeaders(i + 1, end && held === 0 && trailers === undefined);
      if (this.isLocalReply || this.isDestroyed) return;
    }
    for (let k = 0; k < buffers.length; k++) {
      const isLast = k === buffers.length - 1;
      this.#runDecodeDataBehind(i, buffers[k]!, isLast && end && trailers === undefined);
      if (this.isLocalReply || this.isDestroyed) return;
    }
    if (buffers.length === 0 && !stoppedHeaders && end && trailers === undefined)
      this.#runDecodeDataBehind(i, noBytes, true);
    if (trailers !== undefined) this.#runDecodeTrailers(i + 1, trailers);
  }

  #runDecodeDataBehind(i: number, data: Buffer, endStream: boolean): void {
    if (i + 1 < this.plan.count) this.#runDecodeData(i + 1, data, endStream);
    else this.router.decodeData(data, endStream);
  }

  #holdRequest(
    hold: Hold,
    data: Buffer,
    endStream: boolean,
    isWatermark = hold.status === FilterStatus.StopAllAndWatermark,
  ): void {
    this.#keep(hold, data);
    hold.end = endStream;
    const limit = this.decoderBufferLimit;
    if (limit === 0 || hold.bytes <= limit) return;
    if (isWatermark) {
      if (!hold.isFull) {
        hold.isFull = true;
        this.readDisable(true);
      }
      return;
    }
    this.manager.shared.stats.downstreamRqTooLarge.value++;
    this.sendLocalReply(413, 'Payload Too Large', 'request_payload_too_large');
  }

  #keep(hold: Hold, data: Buffer): void {
    if (data.length === 0) return;
    hold.buffers.push(data);
    hold.bytes += data.length;
  }

  #decodeHold(i: number): Hold {
    const holds = (this.#decodeHolds ??= []);
    return (holds[i] ??= new Hold());
  }

  #decodeComplete(): void {
    const { plan } = this;
    if ((plan.hasAny & Has.DecodeComplete) === 0 || this.isDestroyed) return;
    for (let i = 0; i < this.#reached; i++) {
      if ((plan.has[i]! & Has.DecodeComplete) !== 0 && !this.#isDisabled(i))
        this.#filters[i]!.decodeComplete!(this);
    }
  }

  continueDecoding(filter: HttpFilter): void {
    if (this.isLocalReply || this.isDestroyed) return;
    const i = this.#filters.indexOf(filter);
    const hold = this.#decodeHolds?.[i];
    if (hold === undefined) return;
    this.#resumeDecoding(i, hold);
  }

  // Response, from the router or a local reply ------------------------------------------------------------------------------

  encode1xx(headers: HeaderMap): void {
    // Swallowed unless `proxy_100_continue` asks for them.
    const { manager, plan } = this;
    if (!manager.shared.config.proxy100Continue || this.responseStarted || this.isDestroyed) return;
    this.#active();
    if ((plan.hasAny & Has.Encode1xx) !== 0) {
      for (let i = plan.count - 1; i >= 0; i--) {
        if ((plan.has[i]! & Has.Encode1xx) === 0 || this.#isDisabled(i)) continue;
        if (this.#filters[i]!.encode1xx!(this, headers) !== FilterStatus.Continue) return;
      }
    }
    if (!this.info.isHealthCheck) manager.countResponse(headers.status);
    this.info.responseCode = headers.status;
    setRequestId(this, headers);
    this.encoder.encode1xx(headers);
  }

  /** `code` is what filters see as the response code: of a reply to gRPC that of the reply itself. */
  encodeHeaders(headers: HeaderMap, endStream: boolean, code = headers.status): void {
    this.responseHeaders = headers;
    this.info.responseCode = code;
    this.#active();
    if (this.#otherTimers !== undefined) this.#cancelTimers(Timer.Request);
    if ((this.plan.hasAny & (Has.EncodeHeaders | Has.EncodeData | Has.EncodeTrailers)) === 0) {
      this.#sendHeaders(headers, endStream);
      return;
    }
    this.#runEncodeHeaders(this.plan.count - 1, endStream);
  }

  encodeData(data: Buffer, endStream: boolean): void {
    this.#active();
    if ((this.plan.hasAny & (Has.EncodeHeaders | Has.EncodeData | Has.EncodeTrailers)) === 0) {
      this.#sendData(data, endStream);
      return;
    }
    if ((this.plan.hasAny & Has.EncodeData) !== 0) pin(data);
    this.#runEncodeData(this.plan.count - 1, data, endStream);
  }

  encodeTrailers(trailers: HeaderMap): void {
    this.responseTrailers = trailers;
    this.#active();
    this.#runEncodeTrailers(this.plan.count - 1, trailers);
  }

  #runEncodeHeaders(from: number, endStream: boolean): void {
    const { plan } = this;
    const headers = this.responseHeaders!;
    for (let i = from; i >= 0; i--) {
      if ((plan.has[i]! & Has.EncodeHeaders) === 0 || this.#isDisabled(i) || i >= this.#filters.length)
        continue;
      const status = this.#filters[i]!.encodeHeaders!(this, headers, endStream);
      if (this.isDestroyed || this.responseHeaders !== headers) return;
      if (status !== FilterStatus.Continue) {
        const hold = this.#encodeHold(i);
        hold.status = status;
        hold.stopsHeaders = true;
        hold.end = endStream;
        return;
      }
    }
    this.#sendHeaders(headers, endStream);
  }

  #runEncodeData(from: number, data: Buffer, endStream: boolean): void {
    const { plan } = this;
    const holds = this.#encodeHolds;
    let body = data;
    for (let i = from; i >= 0; i--) {
      const hold = holds === undefined ? undefined : holds[i];
      if (hold !== undefined && isStopAll(hold)) {
        this.#holdResponse(hold, body, endStream);
        return;
      }
      let status: FilterStatus = hold?.stopsHeaders ? FilterStatus.StopIteration : FilterStatus.Continue;
      if ((plan.has[i]! & Has.EncodeData) !== 0 && !this.#isDisabled(i) && i < this.#filters.length) {
        const headers = this.responseHeaders;
        status = this.#filters[i]!.encodeData!(this, body, endStream);
        if (this.isDestroyed || this.responseHeaders !== headers) return;
        if (this.#replacement !== undefined) {
          body = this.#replacement;
          this.#replacement = undefined;
        }
      }
      if (status === FilterStatus.Continue) {
        const held = this.#encodeHolds?.[i];
        if (held !== undefined && (held.stopsHeaders || held.bytes > 0)) {
          this.#keep(held, body);
          held.end = endStream;
          this.#resumeEncoding(i, held);
          return;
        }
      } else if (status === FilterStatus.StopNoBuffer) {
        this.#encodeHold(i).end = endStream;
        return;
      } else {
        const held = this.#encodeHold(i);
        if (!held.stopsHeaders || held.status === FilterStatus.Continue) held.status = status;
        this.#holdResponse(held, body, endStream, status === FilterStatus.StopAllAndWatermark);
        return;
      }
      if (endStream && this.#addedTrailers !== undefined) {
        const trailers = this.#addedTrailers;
        this.#addedTrailers = undefined;
        this.responseTrailers = trailers;
        if (i > 0) this.#runEncodeData(i - 1, body, false);
        else this.#sendData(body, false);
        this.#runEncodeTrailers(i - 1, trailers);
        return;
      }
    }
    this.#sendData(body, endStream);
  }

  #runEncodeTrailers(from: number, trailers: HeaderMap): void {
    const { plan } = this;
    for (let i = from; i >= 0; i--) {
      const hold = this.#encodeHolds?.[i];
      if (hold !== undefined && isStopAll(hold)) {
        hold.trailers = trailers;
        return;
      }
      let status: FilterStatus = FilterStatus.Continue;
      if ((plan.has[i]! & Has.EncodeTrailers) !== 0 && !this.#isDisabled(i) && i < this.#filters.length) {
        status = this.#filters[i]!.encodeTrailers!(this, trailers);
        if (this.isDestroyed) return;
      } else if (hold !== undefined && (hold.stopsHeaders || hold.bytes > 0)) {
        status = FilterStatus.StopIteration;
      }
      if (status !== FilterStatus.Continue) {
        this.#encodeHold(i).trailers = trailers;
        return;
      }
      const held = this.#encodeHolds?.[i];
      if (held !== undefined && (held.stopsHeaders || held.bytes > 0)) {
        held.trailers = trailers;
        this.#resumeEncoding(i, held);
        return;
      }
    }
    this.#sendTrailers(trailers);
  }

  #resumeEncoding(i: number, hold: Hold): void {
    const { buffers, end, trailers } = hold;
    const stoppedHeaders = hold.stopsHeaders;
    const held = hold.bytes;
    hold.status = FilterStatus.Continue;
    hold.stopsHeaders = false;
    hold.buffers = [];
    hold.bytes = 0;
    hold.trailers = undefined;
    if (hold.isFull) {
      hold.isFull = false;
      this.onBelowWriteBufferLowWatermark();
    }
    if (stoppedHeaders) {
      const endsHere = end && held === 0 && trailers === undefined;
      this.#runEncodeHeaders(i - 1, endsHere);
      if (this.isDestroyed || endsHere) return;
    }
    for (let k = 0; k < buffers.length; k++) {
      const isLast = k === buffers.length - 1;
      this.#runEncodeDataBehind(i, buffers[k]!, isLast && end && trailers === undefined);
      if (this.isDestroyed) return;
    }
    if (buffers.length === 0 && !stoppedHeaders && end && trailers === undefined)
      this.#runEncodeDataBehind(i, noBytes, true);
    if (trailers !== undefined) this.#runEncodeTrailers(i - 1, trailers);
  }

  #runEncodeDataBehind(i: number, data: Buffer, endStream: boolean): void {
    if (i > 0) this.#runEncodeData(i - 1, data, endStream);
    else this.#sendData(data, endStream);
  }

  #holdResponse(
    hold: Hold,
    data: Buffer,
    endStream: boolean,
    isWatermark = hold.status === FilterStatus.StopAllAndWatermark,
  ): void {
    this.#keep(hold, data);
    hold.end = endStream;
    const limit = this.encoderBufferLimit;
    if (limit === 0 || hold.bytes <= limit) return;
    if (isWatermark) {
      if (!hold.isFull) {
        hold.isFull = true;
        this.onAboveWriteBufferHighWatermark();
      }
      return;
    }
    this.manager.shared.stats.rsTooLarge.value++;
    this.router.abandon(true);
    this.#encodeHolds = undefined;
    this.sendLocalReply(500, 'Internal Server Error', 'response_payload_too_large');
  }

  #encodeHold(i: number): Hold {
    const holds = (this.#encodeHolds ??= []);
    return (holds[i] ??= new Hold());
  }

  continueEncoding(filter: HttpFilter): void {
    if (this.isDestroyed) return;
    const i = this.#filters.indexOf(filter);
    const hold = this.#encodeHolds?.[i];
    if (hold === undefined) return;
    this.#resumeEncoding(i, hold);
  }

  // Response, to the codec --------------------------------------------------------------------------------------------------

  #sendHeaders(headers: HeaderMap, endStream: boolean): void {
    if (this.responseStarted || this.isDestroyed) return;
    this.responseStarted = true;
    const { info, manager } = this;
    info.responseCode = headers.status;
    const opensTunnel =
      this.isUpgrade && manager.shared.config.accessLogMoments.tunnel && isUpgradeResponse(this, headers);
    mutateResponseHeaders(this, headers);
    if (!this.info.isHealthCheck) manager.countResponse(headers.status);
    info.firstDownstreamTxMs = turnMs();
    this.encoder.encodeHeaders(headers, endStream);
    if (opensTunnel) this.#log(AccessLogType.DownstreamTunnelSuccessfullyEstablished);
    if (endStream) this.#responseEnd();
  }

  #sendData(data: Buffer, endStream: boolean): void {
    if (this.responseEnded || this.isDestroyed) return;
    if (this.isHead) {
      if (!endStream) return;
      this.encoder.encodeData(noBytes, true);
    } else {
      this.info.bytesSent += data.length;
      this.encoder.encodeData(data, endStream);
    }
    if (endStream) this.#responseEnd();
  }

  #sendTrailers(trailers: HeaderMap): void {
    if (this.responseEnded || this.isDestroyed) return;
    this.encoder.encodeTrailers(trailers);
    this.#responseEnd();
  }

  /** The response is out. The stream lives on until the request has come in too, unless the connection will close anyway. */
  #responseEnd(): void {
    if (this.isDestroyed) return;
    this.responseEnded = true;
    if (this.manager.protocol === 'HTTP/2') this.encoder.limitFlush(this.#flushMs());
    if (!this.encoder.isFlushing) this.info.lastDownstreamTxMs = turnMs();
    const { plan } = this;
    if ((plan.hasAny & Has.EncodeComplete) !== 0) {
      for (let i = this.#filters.length - 1; i >= 0; i--) {
        if ((plan.has[i]! & Has.EncodeComplete) !== 0 && !this.#isDisabled(i))
          this.#filters[i]!.encodeComplete!(this);
      }
    }
    if (!this.requestEnded) {
      this.manager.shared.stats.downstreamRqRxReset.value++;
      // It is logged before it is out.
      if (this.manager.isInCodec && this.manager.protocol === 'HTTP/2') this.info.forgetSent();
      this.router.abandon(false, true);
      this.#destroy();
      this.encoder.reset(ResetReason.LocalReset);
      return;
    }
    if (!this.encoder.isFlushing) this.#destroy();
    else {
      this.#isFlushing = true;
      this.manager.shared.timers.cancel(this.#idleTimer);
      this.#cancelTimers(-1);
    }
  }

  onFlushed(isComplete: boolean): void {
    if (this.#successor !== undefined) this.#successor.onFlushed(isComplete);
    if (this.isDestroyed) return;
    if (isComplete) this.info.lastDownstreamTxMs = turnMs();
    this.#destroy();
  }

  // Local replies and resets ------------------------------------------------------------------------------------------------

  sendLocalReply(
    status: number,
    body: string,
    details: string,
    grpcStatus = -1,
    modify?: ((headers: HeaderMap) => void) | undefined,
  ): void {
    if (this.isDestroyed) return;
    this.info.details = details;
    if (status === 400 && !this.manager.shared.config.http1StreamErrors) this.closesConnection = true;
    if (this.responseStarted) {
      this.router.abandon(true);
      this.resetStream(details);
      return;
    }
    this.#answer();
    const { plan } = this;
    if (plan.count > 0 && this.#filters.length === 0) this.#createFiltersForReply();
    if ((plan.hasAny & Has.OnLocalReply) !== 0) {
      for (let i = 0; i < this.#filters.length; i++) {
        if ((plan.has[i]! & Has.OnLocalReply) !== 0 && !this.#isDisabled(i))
          this.#filters[i]!.onLocalReply!(this, status, details);
      }
    }
    localReply(this, status, body, grpcStatus, modify);
  }

  /** A request that was refused before it came to the filters: its response passes them nevertheless. */
  #createFiltersForReply(): void {
    this.#isRouteKnown = true;
    this.#filters = this.plan.instances();
    if (this.plan.hasDisabled || this.#route?.perFilterConfigs) this.#findDisabled();
  }

  sendResponse(headers: HeaderMap, details: string): void {
    if (this.isDestroyed || this.responseStarted) return;
    this.info.details = details;
    this.#answer();
    this.encodeHeaders(headers, true);
  }

  /** Nothing of the request goes on. */
  #answer(): void {
    this.isLocalReply = true;
    this.#decodeHolds = undefined;
    this.#encodeHolds = undefined;
    this.router.abandon(true);
  }

  resetStream(details: string): void {
    if (this.isDestroyed) return;
    if (details !== '') this.info.details = details;
    const { stats } = this.manager.shared;
    stats.downstreamRqTxReset.value++;
    stats.downstreamRqRxReset.value++;
    this.router.abandon(false);
    const { encoder, manager } = this;
    this.#destroy();
    encoder.reset(
      this.upgrade !== '' && this.#upstreamWasLost() ? ResetReason.ConnectError : ResetReason.LocalReset,
    );
    manager.onStreamReset();
  }

  #upstreamWasLost(): boolean {
    const lost =
      (1 << ResponseFlag.UpstreamConnectionFailure) | (1 << ResponseFlag.UpstreamConnectionTermination);
    return (this.info.flags & lost) !== 0;
  }

  // What filters ask --------------------------------------------------------------------------------------------------------

  get route(): (RouteEntry & HttpRoute) | undefined {
    if (!this.#isRouteKnown) {
      this.#isRouteKnown = true;
      const route = this.#resolveRoute();
      this.#route = route;
      if (route === undefined) this.noteVirtualHost();
      else {
        this.#noteRoute(route);
        if (route.hasStreamLimits && !this.isDestroyed) this.#applyLimits(route);
      }
    }
    return this.#route;
  }

  findRoute(): void {
    void this.route;
  }

  /** Where its headers lead now, after a redirect. This stream is logged with that route, also when it does not go there. */
  findNextRoute(): RouteEntry | undefined {
    const route = this.#resolveRoute();
    if (route === undefined) this.noteVirtualHost();
    else this.#noteRoute(route);
    return route;
  }

  /** Its name is known also when none of its routes is for the request. */
  noteVirtualHost(): void {
    const found = this.manager.shared.routes.virtualHost(this.requestHeaders);
    const { info } = this;
    info.routeName = '';
    info.routeMetadata = undefined;
    info.virtualHostName = found?.name ?? '';
    info.virtualHostMetadata = found?.metadata;
    info.upstream.clusterName = '';
    info.upstream.clusterStatName = '';
    info.clusterMetadata = undefined;
  }

  #resolveRoute(): RouteEntry | undefined {
    const { info } = this;
    const { routes, routeResolution } = this.manager.shared;
    info.routeResolutions++;
    if (routeResolution === null && !routeResolutionTimes.areWanted)
      return routes.route(this.requestHeaders, this);
    const start = performance.now();
    const route = routes.route(this.requestHeaders, this);
    info.routeResolutionUs += (performance.now() - start) * 1000;
    return route;
  }

  #noteRoute(route: RouteEntry): void {
    const { info } = this;
    info.routeName = route.name;
    info.virtualHostName = route.virtualHost.name;
    info.routeMetadata = route.metadata;
    const clusterName = clusterOf(route, this.requestHeaders);
    const cluster = this.manager.shared.clusters.get(clusterName);
    info.upstream.clusterName = cluster === undefined ? '' : clusterName;
    info.upstream.clusterStatName = cluster === undefined ? '' : cluster.config.statName;
    info.clusterMetadata = cluster?.config.metadata;
    info.virtualHostMetadata = route.virtualHost.metadata;
  }

  /** The route, if it was asked for already. */
  get knownRoute(): RouteEntry | undefined {
    return this.#route;
  }

  requestHeadersExceedLimits(): boolean {
    const { maxHeadersBytes, maxHeadersCount } = this.manager.shared.config.http1;
    const headers = this.requestHeaders;
    return headerCount(headers) > maxHeadersCount || headerBytes(headers) > maxHeadersBytes;
  }

  clearRouteCache(): void {
    this.#isRouteKnown = false;
    this.#route = undefined;
  }

  routeConfig(name: string): unknown {
    const configs = this.route?.perFilterConfigs;
    return configs ? configs.get(name)?.config : undefined;
  }

  routeConfigs(name: string): readonly unknown[] {
    return this.route?.perFilterConfigs?.get(name)?.all ?? nothing;
  }

  get bufferedRequestBody(): readonly Buffer[] | undefined {
    return bufferedIn(this.#decodeHolds);
  }

  get bufferedResponseBody(): readonly Buffer[] | undefined {
    return bufferedIn(this.#encodeHolds);
  }

  replaceData(data: Buffer): void {
    this.#replacement = data;
  }

  replaceBufferedRequestBody(data: Buffer): void {
    replaceIn(this.#decodeHolds, data);
  }

  replaceBufferedResponseBody(data: Buffer): void {
    replaceIn(this.#encodeHolds, data);
  }

  addRequestTrailers(): HeaderMap {
    return (this.#addedTrailers ??= new HeaderMap());
  }

  addResponseTrailers(): HeaderMap {
    return (this.#addedTrailers ??= new HeaderMap());
  }

  injectEncodedData(filter: HttpFilter, data: Buffer, endStream: boolean): void {
    if (this.isDestroyed) return;
    this.#active();
    this.#runEncodeDataBehind(this.#filters.indexOf(filter), data, endStream);
  }

  upstreamReadDisable(disable: boolean): void {
    if (disable) this.onAboveWriteBufferHighWatermark();
    else this.onBelowWriteBufferLowWatermark();
  }

  readDisable(disable: boolean): void {
    const { stats } = this.manager.shared;
    if (disable) stats.downstreamFlowControlPausedReadingTotal.value++;
    else stats.downstreamFlowControlResumedReadingTotal.value++;
    this.encoder.readDisable(disable);
  }

  closeAfterResponse(): void {
    this.closesConnection = true;
  }

  // Timers ------------------------------------------------------------------------------------------------------------------

  startTimer(id: number, delayMs: number): void {
    const timers = (this.#otherTimers ??= []);
    let timer: WheelTimer | undefined;
    for (let i = 0; i < timers.length; i++) if (timers[i]!.id === id) timer = timers[i];
    if (timer === undefined) {
      timer = new WheelTimer(this, id);
      timers.push(timer);
    }
    this.manager.shared.timers.start(timer, delayMs);
  }

  #flushMs(): number {
    const route = this.#route;
    if (route !== undefined && route.flushTimeoutMs >= 0) return route.flushTimeoutMs;
    const { config, streamIdleTimeoutMs } = this.manager.shared;
    return config.streamFlushTimeoutMs >= 0 ? config.streamFlushTimeoutMs : streamIdleTimeoutMs;
  }

  /** The route's limits replace the connection manager's; 0 ends them. */
  #applyLimits(route: RouteEntry): void {
    const { idleTimeoutMs } = route;
    if (idleTimeoutMs >= 0) {
      this.#idleMs = idleTimeoutMs;
      if (idleTimeoutMs > 0) this.#active();
      else this.manager.shared.timers.cancel(this.#idleTimer);
    }
    const durationMs = streamDurationMs(route, this.requestHeaders, this.isGrpc);
    if (durationMs === NOT_SET) return;
    this.#cancelTimers(Timer.MaxDuration);
    if (durationMs === UNLIMITED) return;
    const leftMs = durationMs - (turnMs() - this.info.startMs);
    this.startTimer(Timer.MaxDuration, leftMs > 0 ? leftMs : 0);
  }

  #idleMs = -1;

  #active(): void {
    const { shared } = this.manager;
    const idleMs = this.#idleMs < 0 ? shared.streamIdleTimeoutMs : this.#idleMs;
    if (idleMs > 0) shared.timers.start(this.#idleTimer, idleMs);
  }

  onTimeout(id: number): void {
    const { info, manager } = this;
    const { stats } = manager.shared;
    if (id === Timer.Idle) {
      stats.downstreamRqIdleTimeout.value++;
      info.flags |= 1 << ResponseFlag.StreamIdleTimeout;
      if (this.responseStarted) this.resetStream('stream_idle_timeout');
      else this.sendLocalReply(this.requestEnded ? 504 : 408, 'stream timeout', 'stream_idle_timeout');
    } else if (id === Timer.Request) {
      stats.downstreamRqTimeout.value++;
      this.sendLocalReply(408, 'request timeout', 'request_overall_timeout');
    } else if (id === Timer.MaxDuration) {
      stats.downstreamRqMaxDurationReached.value++;
      this.sendLocalReply(
        this.requestEnded ? 504 : 408,
        'downstream duration timeout',
        'max_duration_timeout',
        grpcDeadlineExceeded,
      );
    } else if (id === Timer.Headers) {
      stats.downstreamRqHeaderTimeout.value++;
      this.sendLocalReply(408, 'request header timeout', 'request_header_timeout');
    } else {
      this.#log(AccessLogType.DownstreamPeriodic);
      this.startTimer(Timer.Log, manager.shared.config.accessLogMoments.intervalMs);
    }
  }

  /** While it runs; at its end the connection manager does. */
  #log(type: AccessLogType): void {
    const { accessLogs } = this.manager.shared;
    this.logType = type;
    for (let i = 0; i < accessLogs.length; i++) accessLogs[i]!.log(this);
    this.logType = AccessLogType.NotSet;
  }

  // Helpers -----------------------------------------------------------------------------------------------------------------

  #requestEnd(): void {
    this.requestEnded = true;
    this.info.lastDownstreamRxMs = turnMs();
    if (this.#otherTimers !== undefined) this.#cancelTimers(Timer.Request);
  }

  #cancelTimers(id: number): void {
    const timers = this.#otherTimers;
    if (timers === undefined) return;
    for (let i = 0; i < timers.length; i++)
      if (id < 0 || timers[i]!.id === id) this.manager.shared.timers.cancel(timers[i]!);
  }

  #findDisabled(): void {
    this.#routeDisabled = disabledFilters(this.plan, this.route);
  }

  #isDisabled(i: number): boolean {
    return this.#routeDisabled !== 0 && (this.#routeDisabled & (1 << i)) !== 0;
  }

  #destroy(): void {
    if (this.isDestroyed) return;
    this.isDestroyed = true;
    const { info, manager, plan } = this;
    const { timers } = manager.shared;
    timers.cancel(this.#idleTimer);
    const others = this.#otherTimers;
    if (others !== undefined) for (let i = 0; i < others.length; i++) timers.cancel(others[i]!);
    this.router.abandon(false, true);
    info.endMs = turnMs();
    info.flags |= this.flagsAtEnd;
    if (this.isUpgrade) manager.shared.stats.downstreamCxUpgradesActive.value--;
    if (info.isHealthCheck) manager.shared.tracingStats.healthCheck.value++;
    if ((plan.hasAny & Has.OnStreamComplete) !== 0) {
      for (let i = 0; i < this.#filters.length; i++) {
        if ((plan.has[i]! & Has.OnStreamComplete) !== 0) this.#filters[i]!.onStreamComplete!(this);
      }
    }
    manager.onStreamEnd(this);
    this.router.onLogged();
    if ((plan.hasAny & Has.OnDestroy) !== 0) {
      for (let i = 0; i < this.#filters.length; i++) {
        if ((plan.has[i]! & Has.OnDestroy) !== 0) this.#filters[i]!.onDestroy!(this);
      }
    }
  }
}

const grpcDeadlineExceeded = 4;
const noHeaders = new HeaderMap();
const noFilters: readonly HttpFilter[] = [];
const nothing: readonly unknown[] = [];
const noBytes = Buffer.alloc(0);

function isStopAll(hold: Hold): boolean {
  return (
    hold.stopsHeaders &&
    (hold.status === FilterStatus.StopAllAndBuffer || hold.status === FilterStatus.StopAllAndWatermark)
  );
}

function bufferedIn(holds: (Hold | undefined)[] | undefined): readonly Buffer[] | undefined {
  if (holds === undefined) return undefined;
  for (let i = 0; i < holds.length; i++) {
    const hold = holds[i];
    if (hold !== undefined && hold.bytes > 0) return hold.buffers;
  }
  return undefined;
}

function replaceIn(holds: (Hold | undefined)[] | undefined, data: Buffer): void {
  if (holds === undefined) return;
  for (let i = 0; i < holds.length; i++) {
    const hold = holds[i];
    if (hold !== undefined && hold.bytes > 0) {
      hold.buffers = [data];
      hold.bytes = data.length;
      return;
    }
  }
}
