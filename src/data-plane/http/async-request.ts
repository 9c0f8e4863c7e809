// A request that no downstream has sent: a filter's call to its service, a mirror. It does what the router does for a stream, for one
// cluster and without a route. What the proxy answers itself comes to the callbacks like an answer of the upstream.
import { nextRandom } from '#base/random.ts';
import { type TimerOwner, type TimerWheel, WheelTimer } from '#base/timer-wheel.ts';
import { turnMs } from '#base/turn.ts';
import type { PickContext } from '#extension/load-balancer.ts';
import type { AsyncCallbacks, AsyncOptions, AsyncStream } from '#http/async-client.ts';
import { ResetReason, type StreamEncoder } from '#http/codec.ts';
import { HeaderMap } from '#http/header-map.ts';
import { headerProblem } from '#http/header-validity.ts';
import type { Cluster } from '../upstream/cluster.ts';
import { UpstreamProtocol } from '../upstream/cluster-config.ts';
import type { UpstreamHost } from '../upstream/host.ts';
import type { PooledConnection } from '../upstream/http-pool.ts';
import { AsyncAttemptStream, AttemptFilters, type UpstreamFilterPlan } from './attempt-filters.ts';
import type { RouterStats } from './http-stats.ts';
import { grpcStatusOf, percentEncode } from './local-reply.ts';
import { isGrpcContentType } from './request-headers.ts';
import { resetTexts } from './reset-text.ts';
import { type RetryState, RetryVerdict, retryStateOf } from './retry-state.ts';
import type { RetryPolicy } from './route-entry.ts';
import { type AttemptOwner, isCanary, UpstreamRequest } from './upstream-request.ts';

const Timer = { Total: 0, Backoff: 1 } as const;

/** What all such requests of a worker share. */
export interface AsyncShared {
  readonly timers: TimerWheel;
  /** `http.async-client.` */
  readonly stats: RouterStats;
  /** Appended to x-forwarded-for. */
  readonly localAddress: string;
}

export class AsyncRequest implements AsyncStream, AttemptOwner, PickContext, TimerOwner {
  readonly #shared: AsyncShared;
  readonly #cluster: Cluster;
  readonly #callbacks: AsyncCallbacks;
  readonly #timeoutMs: number;
  readonly #addsInternal: boolean;
  readonly #addsForwardedFor: boolean;
  readonly #addsExpectedTimeout: boolean;
  readonly #countsCodes: boolean;
  readonly #retryPolicy: RetryPolicy | null;
  readonly #filters: UpstreamFilterPlan | null;
  /** 0: none. */
  readonly perTryTimeoutMs: number;
  readonly metadataMatch = undefined;
  readonly perTryIdleTimeoutMs = 0;
  random: number = nextRandom();
  isBackedUp = false;
  requestHeaders: HeaderMap = noHeaders;
  #body: Buffer[] | undefined = undefined;
  #bodyBytes = 0;
  #trailers: HeaderMap | undefined = undefined;
  #isGrpc = false;
  #requestEnded = false;
  #endsWithHeaders = false;
  /** Too much waits for a connection. */
  #isPoolBackedUp = false;
  #startMs = 0;
  #requestEndMs = 0;
  #attempt: UpstreamRequest | undefined = undefined;
  #attempts = 0;
  /** Only where the cluster has filters: the present attempt, as they see it. */
  #stream: AsyncAttemptStream | undefined = undefined;
  #retry: RetryState | undefined = undefined;
  #hasResponse = false;
  #isCanary = false;
  #isOver = false;
  readonly #timer: WheelTimer = new WheelTimer(this, Timer.Total);
  #backoffTimer: WheelTimer | undefined = undefined;

  constructor(
    shared: AsyncShared,
    cluster: Cluster,
    callbacks: AsyncCallbacks,
    options: AsyncOptions,
    retryPolicy: RetryPolicy | null,
    filters: UpstreamFilterPlan | null = cluster.upstreamFilters,
  ) {
    this.#shared = shared;
    this.#cluster = cluster;
    this.#callbacks = callbacks;
    const { timeoutMs } = options;
    this.#timeoutMs = timeoutMs;
    this.#addsInternal = options.addsInternal;
    this.#addsForwardedFor = options.addsForwardedFor;
    this.#addsExpectedTimeout = options.addsExpectedTimeout ?? true;
    this.#countsCodes = options.countsCodes ?? true;
    this.#retryPolicy = cluster.retryPolicy ?? retryPolicy;
    this.#filters = filters;
    // Those of the cluster's policy do not count.
    const perTryMs = retryPolicy === null ? 0 : retryPolicy.perTryTimeoutMs;
    this.perTryTimeoutMs = timeoutMs > 0 && perTryMs >= timeoutMs ? 0 : perTryMs;
  }

  // AsyncStream -------------------------------------------------------------------------------------------------------------

  sendHeaders(headers: HeaderMap, endStream: boolean): void {
    const shared = this.#shared;
    const cluster = this.#cluster;
    this.requestHeaders = headers;
    this.#isGrpc = isGrpcContentType(headers.get('content-type') ?? '');
    if (this.#addsInternal) headers.set('x-envoy-internal', 'true');
    if (this.#addsForwardedFor) {
      const before = headers.joined('x-forwarded-for');
      const own = shared.localAddress;
      headers.set('x-forwarded-for', before === undefined ? own : `${before},${own}`);
    }
    shared.stats.rqTotal.value++;
    this.#startMs = turnMs();
    const host = cluster.pick(this);
    if (host === undefined) {
      this.#noHealthyHost();
      return;
    }
    this.#setExpectedTimeout(0);
    this.#retry = retryStateOf(this.#retryPolicy, 0, headers, cluster, noGroups);
    this.#requestEnded = endStream;
    this.#endsWithHeaders = endStream;
    this.#startAttempt(host, false);
    if (endStream) this.#onRequestComplete();
  }

  sendData(data: Buffer, endStream: boolean): void {
    if (this.#isOver || this.#requestEnded) return;
    const attempt = this.#attempt;
    const isWaiting = attempt === undefined || attempt.isWaiting;
    if (data.length > 0 && (isWaiting || this.#retry !== undefined)) this.#keep(data, isWaiting);
    if (endStream) this.#requestEnded = true;
    if (!isWaiting) attempt.sendData(data, endStream);
    if (endStream) this.#onRequestComplete();
  }

  sendTrailers(trailers: HeaderMap): void {
    if (this.#isOver || this.#requestEnded) return;
    this.#trailers = trailers;
    this.#requestEnded = true;
    const attempt = this.#attempt;
    if (attempt !== undefined && !attempt.isWaiting) attempt.sendTrailers(trailers);
    this.#onRequestComplete();
  }

  reset(): void {
    if (this.#isOver) return;
    const attempt = this.#attempt;
    this.#end();
    attempt?.reset();
  }

  // AttemptOwner ------------------------------------------------------------------------------------------------------------

  onPoolReady(attempt: UpstreamRequest, encoder: StreamEncoder, connection: PooledConnection): void {
    this.#stream?.onPoolReady(connection);
    attempt.filters?.decodeHeaders(this.requestHeaders);
    const problem = this.requestHeaders.isUnchecked ? headerProblem(this.requestHeaders) : '';
    if (problem !== '') {
      this.#attempt = undefined;
      attempt.reset();
      this.#countCode(503);
      this.#reply(503, problem);
      return;
    }
    const maxMs = this.#cluster.config.http.maxStreamDurationMs;
    if (maxMs > 0) attempt.startMaxDuration(maxMs);
    const body = this.#body;
    const trailers = this.#trailers;
    const ends = this.#requestEnded;
    // A body may be kept for another attempt, so that this one has one, as in Envoy.
    const isEnd =
      ends && body === undefined && trailers === undefined && this.#endsWithHeaders && !attempt.isRetry;
    attempt.requestSent = isEnd;
    encoder.encodeHeaders(this.requestHeaders, isEnd);
    if (body !== undefined) {
      for (let i = 0; i < body.length; i++)
        attempt.sendData(body[i]!, ends && i === body.length - 1 && trailers === undefined);
      if (this.#retry === undefined) this.#body = undefined;
    } else if (ends && !isEnd && trailers === undefined) attempt.sendData(noBytes, true);
    if (trailers !== undefined) attempt.sendTrailers(trailers);
    this.#poolDrained();
  }

  #poolDrained(): void {
    if (!this.#isPoolBackedUp) return;
    this.#isPoolBackedUp = false;
    this.onUpstreamBackedUp(false);
  }

  onRequestSent(): void {}

  onUpstreamBackedUp(isBackedUp: boolean): void {
    this.isBackedUp = isBackedUp;
    this.#callbacks.onBackedUp?.(isBackedUp);
  }

  on1xx(attempt: UpstreamRequest, headers: HeaderMap): void {
    this.#countCode(headers.status, attempt.host, isCanary(attempt.host, headers));
  }

  onHeaders(attempt: UpstreamRequest, headers: HeaderMap, endStream: boolean): void {
    const cluster = this.#cluster;
    const { status } = headers;
    if (this.#stream !== undefined) this.#stream.info.details = 'via_upstream';
    if (this.#retry?.onHeaders(headers) === RetryVerdict.Yes) {
      attempt.host.rqError.value++;
      cluster.codes.retry.count(status);
      this.#attempt = undefined;
      if (endStream && attempt.requestSent) attempt.finish();
      else attempt.reset();
      this.#scheduleRetry();
      return;
    }
    this.#hasResponse = true;
    if (status >= 500) attempt.host.rqError.value++;
    else attempt.host.rqSuccess.value++;
    this.#isCanary = isCanary(attempt.host, headers);
    this.#countCode(status, attempt.host, this.#isCanary);
    if (this.#requestEndMs !== 0)
      headers.set('x-envoy-upstream-service-time', String(Math.floor(turnMs() - this.#requestEndMs)));
    if (endStream) this.#responseOver(attempt);
    this.#callbacks.onHeaders(headers, endStream);
  }

  onData(attempt: UpstreamRequest, data: Buffer, endStream: boolean): void {
    if (endStream) this.#responseOver(attempt);
    this.#callbacks.onData(data, endStream);
  }

  onTrailers(attempt: UpstreamRequest, trailers: HeaderMap): void {
    this.#responseOver(attempt);
    this.#callbacks.onTrailers(trailers);
  }

  onAttemptFailed(attempt: UpstreamRequest, reason: ResetReason): void {
    attempt.finish();
    this.#attempt = undefined;
    if (this.#hasResponse) {
      this.#end();
      this.#callbacks.onReset();
      return;
    }
    if (this.#retry?.onReset(reason, attempt.encoder !== undefined) === RetryVerdict.Yes) {
      attempt.host.rqError.value++;
      this.#scheduleRetry();
      return;
    }
    const status = reason === ResetReason.ProtocolError ? 502 : 503;
    if (attempt.isPlaced) attempt.host.rqError.value++;
    this.#countCode(status, attempt.isPlaced ? attempt.host : undefined);
    this.#reply(
      status,
      `upstream connect error or disconnect/reset before headers. ${this.#attempts > 1 ? 'retried and the latest ' : ''}reset reason: ${resetTexts[reason]!}`,
    );
  }

  onPerTryTimeout(attempt: UpstreamRequest): void {
    this.#cluster.stats.upstreamRqPerTryTimeout.value++;
    attempt.host.rqTimeout.value++;
    attempt.reset();
    this.#attempt = undefined;
    if (this.#retry?.onReset(ResetReason.LocalReset, true) === RetryVerdict.Yes) {
      this.#scheduleRetry();
      return;
    }
    attempt.host.rqError.value++;
    this.#countCode(504, attempt.host);
    this.#timedOut();
  }

  /** There is no such timeout here. */
  onPerTryIdleTimeout(): void {}

  onUpstreamMaxDuration(attempt: UpstreamRequest): void {
    this.#cluster.stats.upstreamRqMaxDurationReached.value++;
    attempt.reset();
    this.#attempt = undefined;
    if (this.#hasResponse) {
      this.#end();
      this.#callbacks.onReset();
    } else this.#reply(408, 'upstream max stream duration reached');
  }

  onTimeout(id: number): void {
    if (this.#isOver) return;
    if (id === Timer.Backoff) {
      this.#doRetry();
      return;
    }
    const attempt = this.#attempt;
    const hasResponse = this.#hasResponse;
    if (!hasResponse) this.#cluster.stats.upstreamRqTimeout.value++;
    if (attempt !== undefined && !hasResponse) {
      attempt.host.rqTimeout.value++;
      attempt.host.rqError.value++;
      attempt.cutShort();
      this.#countCode(504, attempt.host);
    }
    this.#attempt = undefined;
    attempt?.reset();
    if (hasResponse) {
      this.#end();
      this.#callbacks.onReset();
    } else this.#timedOut();
  }

  // Attempts ----------------------------------------------------------------------------------------------------------------

  #onRequestComplete(): void {
    if (this.#isOver) return;
    this.#requestEndMs = turnMs();
    if (this.#timeoutMs > 0) this.#shared.timers.start(this.#timer, this.#timeoutMs);
    const attempt = this.#attempt;
    if (attempt !== undefined) this.#startTimers(attempt);
  }

  /** A long body cannot be sent again. */
  #keep(data: Buffer, isWaiting: boolean): void {
    (this.#body ??= []).push(data);
    this.#bodyBytes += data.length;
    if (isWaiting && !this.isBackedUp && this.#bodyBytes > retryBufferBytes) {
      this.#isPoolBackedUp = true;
      this.onUpstreamBackedUp(true);
    }
    if (this.#retry === undefined || this.#bodyBytes <= retryBufferBytes) return;
    this.#cluster.stats.retryOrShadowAbandoned.value++;
    this.#retry.release();
    this.#retry = undefined;
    if (!isWaiting) this.#body = undefined;
  }

  #setExpectedTimeout(elapsedMs: number): void {
    if (!this.#addsExpectedTimeout) return;
    let expected = this.perTryTimeoutMs > 0 ? this.perTryTimeoutMs : this.#timeoutMs;
    if (expected === 0) return;
    const left = this.#timeoutMs - elapsedMs;
    if (this.#timeoutMs > 0) expected = Math.min(expected, Math.max(left, 1));
    this.requestHeaders.set('x-envoy-expected-rq-timeout-ms', String(expected));
  }

  #startAttempt(host: UpstreamHost, isRetry: boolean): void {
    const cluster = this.#cluster;
    this.#attempts++;
    this.#retry?.onHostTried(host);
    const { protocol } = cluster.config.http;
    const pool = cluster.pool(host, protocol === UpstreamProtocol.Downstream ? 0 : protocol, 0, undefined, 0);
    if (pool === undefined) {
      this.#unavailable();
      return;
    }
    const attempt = new UpstreamRequest(this, host, pool, isRetry);
    if (this.#filters !== null) {
      const { config } = cluster;
      const details = this.#stream === undefined ? '' : this.#stream.info.details;
      this.#stream = new AsyncAttemptStream(config, host, this.#attempts, details, this.requestHeaders);
      attempt.filters = new AttemptFilters(this.#filters, this.#stream, undefined);
    }
    this.#attempt = attempt;
    attempt.start();
    if (attempt.filters !== undefined && !attempt.isOver) attempt.filters.decodeHeaders(this.requestHeaders);
    if (this.#requestEnded && this.#attempt === attempt) this.#startTimers(attempt);
  }

  #startTimers(attempt: UpstreamRequest): void {
    if (this.perTryTimeoutMs > 0) attempt.startTimers(this.perTryTimeoutMs, 0);
  }

  #scheduleRetry(): void {
    this.#backoffTimer ??= new WheelTimer(this, Timer.Backoff);
    this.#shared.timers.start(this.#backoffTimer, this.#retry!.backoffMs);
  }

  #doRetry(): void {
    this.random = nextRandom();
    const host = this.#cluster.pick(this);
    if (host === undefined) {
      this.#noHealthyHost();
      return;
    }
    this.#setExpectedTimeout(this.#requestEndMs === 0 ? 0 : Math.floor(turnMs() - this.#requestEndMs));
    this.#startAttempt(host, true);
  }

  #noHealthyHost(): void {
    this.#cluster.stats.upstreamCxNoneHealthy.value++;
    this.#unavailable();
  }

  #unavailable(): void {
    this.#countCode(503);
    this.#reply(503, 'no healthy upstream');
  }

  #timedOut(): void {
    this.#cluster.tracking?.onRequestOver(this.#requestEndMs, this.#timeoutMs);
    this.#reply(504, 'upstream request timeout');
  }

  #responseOver(attempt: UpstreamRequest): void {
    const ms = turnMs() - (this.#requestEndMs === 0 ? this.#startMs : this.#requestEndMs);
    if (this.#countsCodes)
      this.#cluster.codes.time(ms, this.#addsInternal, this.#isCanary, attempt.host.zone);
    this.#cluster.tracking?.onRequestOver(this.#requestEndMs, this.#timeoutMs);
    this.#end();
    // What is left of the request goes nowhere.
    if (attempt.requestSent) attempt.finish();
    else attempt.reset();
  }

  #reply(status: number, body: string): void {
    this.#end();
    const headers = new HeaderMap();
    headers.status = status;
    if (this.#isGrpc) {
      headers.status = 200;
      headers.add('content-type', 'application/grpc');
      headers.add('grpc-status', String(grpcStatusOf(status)));
      headers.add('grpc-message', percentEncode(body));
      this.#callbacks.onHeaders(headers, true);
      return;
    }
    headers.add('content-length', String(body.length));
    headers.add('content-type', 'text/plain');
    this.#callbacks.onHeaders(headers, false);
    this.#callbacks.onData(Buffer.from(body, 'latin1'), true);
  }

  #end(): void {
    this.#isOver = true;
    this.#poolDrained();
    const { timers } = this.#shared;
    timers.cancel(this.#timer);
    if (this.#backoffTimer !== undefined) timers.cancel(this.#backoffTimer);
    this.#retry?.release();
    this.#attempt = undefined;
    this.#body = undefined;
  }

  #countCode(status: number, host?: UpstreamHost, isCanary = host?.isCanary ?? false): void {
    if (this.#countsCodes) this.#cluster.codes.count(status, this.#addsInternal, isCanary, host?.zone ?? '');
  }
}

/** Of a body that is kept for another attempt. */
const retryBufferBytes = 65_536;

const noBytes = Buffer.alloc(0);
const noHeaders = new HeaderMap();
const noGroups: readonly never[] = [];
