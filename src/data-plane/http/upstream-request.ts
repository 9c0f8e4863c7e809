// One attempt of a request: waits for a stream in a pool, sends, then is the decoder of the response.
import { type TimerOwner, WheelTimer } from '#base/timer-wheel.ts';
import { turnMs } from '#base/turn.ts';
import type { ResetReason, StreamDecoder, StreamEncoder } from '#http/codec.ts';
import type { HeaderMap } from '#http/header-map.ts';
import type { UpstreamHost } from '../upstream/host.ts';
import type { HttpPool, PoolClient, PooledConnection } from '../upstream/http-pool.ts';
import type { Router } from './router.ts';

const Timer = { PerTry: 0, PerTryIdle: 1, MaxDuration: 2 } as const;

export class UpstreamRequest implements PoolClient, StreamDecoder, TimerOwner {
  readonly router: Router;
  readonly host: UpstreamHost;
  readonly pool: HttpPool;
  readonly isRetry: boolean;
  /** Headers to send: those of the request, or a copy with the host of auto_host_rewrite. */
  encoder: StreamEncoder | undefined = undefined;
  requestSent = false;
  hasHeaders = false;
  /** Nothing of it counts any more. */
  isOver = false;
  /** Its per-try timeout ran out, and another attempt was started beside it. */
  isHedged = false;
  connection: PooledConnection | undefined = undefined;
  #isWaiting = true;
  #readDisables = 0;
  #timers: WheelTimer[] | undefined = undefined;
  /** How often this attempt has stopped the downstream from being read. */
  #backedUp = 0;

  constructor(router: Router, host: UpstreamHost, pool: HttpPool, isRetry: boolean) {
    this.router = router;
    this.host = host;
    this.pool = pool;
    this.isRetry = isRetry;
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
    this.router.onPoolReady(this, encoder, connection);
  }

  onPoolFailure(reason: ResetReason, details: string): void {
    this.#isWaiting = false;
    if (!this.isOver) this.router.onAttemptFailed(this, reason, details);
  }

  sendData(data: Buffer, endStream: boolean): void {
    if (endStream) this.#sent();
    this.encoder!.encodeData(data, endStream);
  }

  sendTrailers(trailers: HeaderMap): void {
    this.#sent();
    this.encoder!.encodeTrailers(trailers);
  }

  #sent(): void {
    this.requestSent = true;
    this.router.stream.info.upstream.lastTxByteMs = turnMs();
  }

  readDisable(disable: boolean): void {
    this.#readDisables += disable ? 1 : -1;
    this.encoder?.readDisable(disable);
  }

  startTimers(perTryMs: number, perTryIdleMs: number, maxDurationMs: number): void {
    if (this.#timers !== undefined) return;
    if (perTryMs > 0) this.#startTimer(Timer.PerTry, perTryMs);
    if (perTryIdleMs > 0) this.#startTimer(Timer.PerTryIdle, perTryIdleMs);
    if (maxDurationMs > 0) this.#startTimer(Timer.MaxDuration, maxDurationMs);
  }

  #startTimer(id: number, delayMs: number): void {
    const timer = new WheelTimer(this, id);
    (this.#timers ??= []).push(timer);
    this.router.shared.timers.start(timer, delayMs);
  }

  #cancelTimers(id: number): void {
    const timers = this.#timers;
    if (timers === undefined) return;
    for (let i = 0; i < timers.length; i++)
      if (id < 0 || timers[i]!.id === id) this.router.shared.timers.cancel(timers[i]!);
  }

  onTimeout(id: number): void {
    if (this.isOver) return;
    if (id === Timer.PerTry) this.router.onPerTryTimeout(this);
    else if (id === Timer.PerTryIdle) this.router.onPerTryIdleTimeout(this);
    else this.router.onUpstreamMaxDuration(this);
  }

  /** The response is complete, or does not count any more. An unfinished stream is reset. */
  finish(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#cancelTimers(-1);
    while (this.#backedUp > 0) {
      this.#backedUp--;
      this.router.stream.readDisable(false);
    }
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
    if (this.#timers !== undefined) this.#cancelTimers(Timer.PerTry);
    this.router.onHeaders(this, headers, endStream);
  }

  decode1xx(headers: HeaderMap): void {
    if (!this.isOver) this.router.on1xx(headers);
  }

  decodeData(data: Buffer, endStream: boolean): void {
    if (this.isOver) return;
    if (this.#timers !== undefined) this.#restartIdle();
    this.router.onData(this, data, endStream);
  }

  decodeTrailers(trailers: HeaderMap): void {
    if (!this.isOver) this.router.onTrailers(this, trailers);
  }

  onReset(reason: ResetReason, details: string): void {
    if (!this.isOver) this.router.onAttemptFailed(this, reason, details);
  }

  #restartIdle(): void {
    const timers = this.#timers!;
    for (let i = 0; i < timers.length; i++) {
      if (timers[i]!.id === Timer.PerTryIdle)
        this.router.shared.timers.start(timers[i]!, this.router.perTryIdleTimeoutMs);
    }
  }

  onAboveWriteBufferHighWatermark(): void {
    if (this.isOver) return;
    this.#backedUp++;
    this.pool.cluster.stats.upstreamFlowControlBackedUpTotal.value++;
    this.router.stream.readDisable(true);
  }

  onBelowWriteBufferLowWatermark(): void {
    if (this.isOver || this.#backedUp === 0) return;
    this.#backedUp--;
    this.pool.cluster.stats.upstreamFlowControlDrainedTotal.value++;
    this.router.stream.readDisable(false);
  }
}
