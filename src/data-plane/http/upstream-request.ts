// One attempt of a request: waits for a stream in a pool, sends, then is the decoder of the response.
import { type TimerOwner, WheelTimer } from '#base/timer-wheel.ts';
import { turnMs } from '#base/turn.ts';
import { ResponseFlag } from '#extension/response-flag.ts';
import type { ResetReason, StreamDecoder, StreamEncoder } from '#http/codec.ts';
import type { HeaderMap } from '#http/header-map.ts';
import { AttemptTrack } from '../upstream/cluster-tracking.ts';
import type { UpstreamHost } from '../upstream/host.ts';
import type { HttpPool, PoolClient, PooledConnection } from '../upstream/http-pool.ts';
import type { AttemptFilters } from './attempt-filters.ts';
import type { AttemptLog } from './attempt-log.ts';
import type { RequestUpstreamInfo } from './request-info.ts';

const Timer = { PerTry: 0, PerTryIdle: 1, MaxDuration: 2 } as const;

/** Whose attempt it is: the router, or a request of the proxy's own. */
export interface AttemptOwner {
  readonly requestHeaders: HeaderMap | undefined;
  /** 0: none. */
  readonly perTryTimeoutMs: number;
  readonly perTryIdleTimeoutMs: number;
  onPoolReady(attempt: UpstreamRequest, encoder: StreamEncoder, connection: PooledConnection): void;
  /** The last of the request is with the codec. */
  onRequestSent(): void;
  on1xx(attempt: UpstreamRequest, headers: HeaderMap): void;
  onHeaders(attempt: UpstreamRequest, headers: HeaderMap, endStream: boolean): void;
  onData(attempt: UpstreamRequest, data: Buffer, endStream: boolean): void;
  onTrailers(attempt: UpstreamRequest, trailers: HeaderMap): void;
  /** No stream came, or it broke. */
  onAttemptFailed(attempt: UpstreamRequest, reason: ResetReason, details: string): void;
  onPerTryTimeout(attempt: UpstreamRequest): void;
  onPerTryIdleTimeout(attempt: UpstreamRequest): void;
  onUpstreamMaxDuration(attempt: UpstreamRequest): void;
  /** The upstream takes no more for now, or again. Counted. */
  onUpstreamBackedUp(isBackedUp: boolean): void;
}

export class UpstreamRequest implements PoolClient, StreamDecoder, TimerOwner {
  readonly owner: AttemptOwner;
  readonly host: UpstreamHost;
  readonly pool: HttpPool;
  readonly isRetry: boolean;
  /** Headers to send: those of the request, or a copy with the host of auto_host_rewrite. */
  encoder: StreamEncoder | undefined = undefined;
  requestSent = false;
  /** False: turned away before there was a connection, the host does not know of it. */
  isPlaced = true;
  hasHeaders = false;
  /** Nothing of it counts any more. */
  isOver = false;
  /** Its per-try timeout ran out, and another attempt was started beside it. */
  isHedged = false;
  /** A WebSocket upgrade that the upstream has not agreed to yet. */
  isInHandshake = false;
  connection: PooledConnection | undefined = undefined;
  /** What the request's stream info says of it; undefined where there is none. */
  upstream: RequestUpstreamInfo | undefined = undefined;
  /** Only where attempts are logged. */
  log: AttemptLog | undefined = undefined;
  /** Only where there are upstream filters. */
  filters: AttemptFilters | undefined = undefined;
  #isWaiting = true;
  #readDisables = 0;
  #timers: WheelTimer[] | undefined = undefined;
  #isTimed = false;
  /** How often this attempt has stopped the downstream from being read. */
  #backedUp = 0;
  /** Only where somebody wants to know. */
  readonly #track: AttemptTrack | undefined;

  constructor(owner: AttemptOwner, host: UpstreamHost, pool: HttpPool, isRetry: boolean) {
    this.owner = owner;
    this.host = host;
    this.pool = pool;
    this.isRetry = isRetry;
    this.#track = pool.cluster.tracking === undefined ? undefined : new AttemptTrack();
  }

  start(): void {
    this.pool.newStream(this);
  }

  get isWaiting(): boolean {
    return this.#isWaiting;
  }

  onPoolReady(encoder: StreamEncoder, connection: PooledConnection): void {
    this.#isWaiting = false;
    this.encoder = encoder;
    this.connection = connection;
    this.owner.onPoolReady(this, encoder, connection);
  }

  onPoolFailure(reason: ResetReason, details: string, isPlaced: boolean): void {
    this.#isWaiting = false;
    this.isPlaced = isPlaced;
    if (!this.isOver) this.owner.onAttemptFailed(this, reason, details);
  }

  sendData(data: Buffer, endStream: boolean): void {
    if (endStream) this.#sent();
    if (this.#track !== undefined) this.#track.bodySent += data.length;
    if (this.log !== undefined) this.log.info.bytesSent += data.length;
    this.encoder!.encodeData(data, endStream);
  }

  sendTrailers(trailers: HeaderMap): void {
    this.filters?.decodeTrailers(trailers);
    this.#sent();
    this.encoder!.encodeTrailers(trailers);
  }

  #sent(): void {
    this.requestSent = true;
    if (this.log !== undefined) this.log.info.upstream.lastTxByteMs = turnMs();
    this.owner.onRequestSent();
  }

  readDisable(disable: boolean): void {
    this.#readDisables += disable ? 1 : -1;
    this.encoder?.readDisable(disable);
  }

  /** From the end of the request on. */
  startTimers(perTryMs: number, perTryIdleMs: number): void {
    if (this.#isTimed) return;
    this.#isTimed = true;
    if (perTryMs > 0) this.#startTimer(Timer.PerTry, perTryMs);
    if (perTryIdleMs > 0) this.#startTimer(Timer.PerTryIdle, perTryIdleMs);
  }

  /** From when there is a stream on. */
  startMaxDuration(ms: number): void {
    this.#startTimer(Timer.MaxDuration, ms);
  }

  #startTimer(id: number, delayMs: number): void {
    const timer = new WheelTimer(this, id);
    (this.#timers ??= []).push(timer);
    this.pool.cluster.timers.start(timer, delayMs);
  }

  cancelTimers(): void {
    this.#cancelTimers(-1);
  }

  #cancelTimers(id: number): void {
    const timers = this.#timers;
    if (timers === undefined) return;
    for (let i = 0; i < timers.length; i++)
      if (id < 0 || timers[i]!.id === id) this.pool.cluster.timers.cancel(timers[i]!);
  }

  onTimeout(id: number): void {
    if (this.isOver) return;
    if (this.log !== undefined && id !== Timer.MaxDuration)
      this.log.info.flags |=
        1 << (id === Timer.PerTry ? ResponseFlag.UpstreamRequestTimeout : ResponseFlag.StreamIdleTimeout);
    if (id === Timer.PerTry) this.owner.onPerTryTimeout(this);
    else if (id === Timer.PerTryIdle) this.owner.onPerTryIdleTimeout(this);
    else this.owner.onUpstreamMaxDuration(this);
  }

  /** The response is complete, or does not count any more. An unfinished stream is reset. */
  finish(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#cancelTimers(-1);
    this.endLog();
    if (this.#track !== undefined) {
      const { requestHeaders, perTryTimeoutMs } = this.owner;
      this.pool.cluster.tracking!.onAttemptOver(this.#track, requestHeaders!, perTryTimeoutMs);
    }
    while (this.#backedUp > 0) {
      this.#backedUp--;
      this.owner.onUpstreamBackedUp(false);
    }
  }

  endLog(): void {
    const { log } = this;
    if (log === undefined) return;
    this.log = undefined;
    log.onEnd();
  }

  /** The timeout of the request has run out before the response. */
  cutShort(): void {
    if (this.#track !== undefined) this.#track.isCutShort = true;
  }

  reset(): void {
    if (this.isOver) return;
    this.finish();
    if (this.#isWaiting) this.pool.cancel(this);
    else if (this.encoder !== undefined) this.connection!.resetStream(this.encoder);
  }

  // StreamDecoder -----------------------------------------------------------------------------------------------------------

  decodeHeaders(headers: HeaderMap, endStream: boolean): void {
    if (this.isOver) return;
    this.hasHeaders = true;
    this.filters?.encodeHeaders(headers);
    this.#track?.onResponse(headers);
    if (this.log !== undefined) {
      this.log.onHeaders(headers);
      if (endStream) this.log.onResponseEnd();
    }
    if (this.#timers !== undefined) this.#cancelTimers(Timer.PerTry);
    const { cluster } = this.pool;
    if (cluster.config.checksHealth && headers.has('x-envoy-immediate-health-check-fail'))
      cluster.onImmediateFail(this.host);
    this.owner.onHeaders(this, headers, endStream);
  }

  decode1xx(headers: HeaderMap): void {
    if (this.isOver) return;
    this.#track?.onResponse(headers);
    this.owner.on1xx(this, headers);
  }

  decodeData(data: Buffer, endStream: boolean): void {
    if (this.isOver) return;
    if (this.#timers !== undefined) this.#restartIdle();
    if (this.#track !== undefined) this.#track.bodyReceived += data.length;
    if (this.log !== undefined) {
      this.log.info.bytesReceived += data.length;
      if (endStream) this.log.onResponseEnd();
    }
    this.owner.onData(this, data, endStream);
  }

  decodeTrailers(trailers: HeaderMap): void {
    if (this.isOver) return;
    this.filters?.encodeTrailers(trailers);
    if (this.log !== undefined) {
      this.log.responseTrailers = trailers;
      this.log.onResponseEnd();
    }
    this.owner.onTrailers(this, trailers);
  }

  onReset(reason: ResetReason, details: string): void {
    if (this.isOver) return;
    this.connection?.countReset(reason);
    this.owner.onAttemptFailed(this, reason, details);
  }

  #restartIdle(): void {
    const timers = this.#timers!;
    for (let i = 0; i < timers.length; i++) {
      if (timers[i]!.id === Timer.PerTryIdle)
        this.pool.cluster.timers.start(timers[i]!, this.owner.perTryIdleTimeoutMs);
    }
  }

  onAboveWriteBufferHighWatermark(): void {
    if (this.isOver) return;
    this.#backedUp++;
    this.pool.cluster.stats.upstreamFlowControlBackedUpTotal.value++;
    this.owner.onUpstreamBackedUp(true);
  }

  onBelowWriteBufferLowWatermark(): void {
    if (this.isOver || this.#backedUp === 0) return;
    this.#backedUp--;
    this.pool.cluster.stats.upstreamFlowControlDrainedTotal.value++;
    this.owner.onUpstreamBackedUp(false);
  }
}

/** Says the host, or what it answers. */
export function isCanary(host: UpstreamHost, headers: HeaderMap): boolean {
  return host.isCanary || headers.get('x-envoy-upstream-canary') === 'true';
}
