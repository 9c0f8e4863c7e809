// The end of the filter chain: from route to cluster to host to a stream on a connection, and the response back. Retries, timeouts
// and hedging are decided here; one `UpstreamRequest` is one attempt. Steps 6 and 9 of a request's way.
import { type TimerOwner, WheelTimer } from '#base/timer-wheel.ts';
import type { PickContext } from '#extension/load-balancer.ts';
import { ResponseFlag } from '#extension/response-flag.ts';
import { ResetReason, type StreamDecoder, type StreamEncoder } from '#http/codec.ts';
import type { HeaderMap } from '#http/header-map.ts';
import type { Cluster } from '../upstream/cluster.ts';
import { UpstreamProtocol } from '../upstream/cluster-config.ts';
import type { UpstreamHost } from '../upstream/host.ts';
import type { HttpPool, PoolClient, PooledConnection } from '../upstream/http-pool.ts';
import type { ManagerShared } from './manager-shared.ts';
import { RouteActionKind, type RouteEntry } from './route-entry.ts';
import type { Stream } from './stream.ts';

const Timer = { Route: 0, PerTry: 1, PerTryIdle: 2, Backoff: 3, MaxDuration: 4 } as const;

export class Router implements TimerOwner, PickContext {
  readonly stream: Stream;
  readonly shared: ManagerShared;
  cluster: Cluster | undefined = undefined;
  route: RouteEntry | undefined = undefined;
  attempt: UpstreamRequest | undefined = undefined;
  random: number;
  hash: bigint | undefined = undefined;
  metadataMatch: Readonly<Record<string, unknown>> | undefined = undefined;
  requestHeaders: HeaderMap | undefined = undefined;
  requestEnded = false;
  isDone = false;
  requestStartMs = 0;
  timeoutMs = 0;
  isDownstreamBackedUp = false;
  readonly #routeTimer: WheelTimer = new WheelTimer(this, Timer.Route);

  constructor(stream: Stream, shared: ManagerShared) {
    this.stream = stream;
    this.shared = shared;
    this.random = stream.random;
  }

  // Request, from the stream ------------------------------------------------------------------------------------------------

  decodeHeaders(headers: HeaderMap, endStream: boolean): void {
    const { stream, shared } = this;
    shared.routerStats.rqTotal.value++;
    const route = stream.route;
    if (route === undefined) {
      shared.routerStats.noRoute.value++;
      stream.info.flags |= 1 << ResponseFlag.NoRouteFound;
      stream.sendLocalReply(404, '', 'route_not_found');
      return;
    }
    if (route.action !== RouteActionKind.Forward) return;
    this.route = route;
    const cluster = shared.clusters.get(route.clusterName);
    if (cluster === undefined) {
      shared.routerStats.noCluster.value++;
      stream.info.flags |= 1 << ResponseFlag.NoClusterFound;
      stream.sendLocalReply(route.clusterNotFoundStatus, '', 'cluster_not_found');
      return;
    }
    this.cluster = cluster;
    const { upstream } = stream.info;
    upstream.clusterName = cluster.config.name;
    upstream.clusterStatName = cluster.config.statName;
    this.timeoutMs = route.timeoutMs;
    this.requestHeaders = headers;
    this.requestEnded = endStream;
    this.requestStartMs = performance.now();
    if (!shared.config.routerConfig.suppressEnvoyHeaders && this.timeoutMs > 0)
      headers.list.push('x-envoy-expected-rq-timeout-ms', String(this.timeoutMs));
    if (this.timeoutMs > 0) shared.timers.start(this.#routeTimer, this.timeoutMs);
    this.#tryOnce();
  }

  decodeData(data: Buffer, endStream: boolean): void {
    this.requestEnded = endStream;
    this.attempt?.sendData(data, endStream);
  }

  decodeTrailers(trailers: HeaderMap): void {
    this.requestEnded = true;
    this.attempt?.sendTrailers(trailers);
  }

  /** The stream is over, or answered by somebody else. */
  abandon(): void {
    if (this.isDone) return;
    this.isDone = true;
    this.shared.timers.cancel(this.#routeTimer);
    const attempt = this.attempt;
    this.attempt = undefined;
    if (attempt !== undefined) attempt.cancel();
  }

  onDownstreamBackedUp(isBackedUp: boolean): void {
    this.isDownstreamBackedUp = isBackedUp;
    this.attempt?.readDisable(isBackedUp);
  }

  // Attempts ----------------------------------------------------------------------------------------------------------------

  #tryOnce(): void {
    const { stream } = this;
    const cluster = this.cluster!;
    const { info } = stream;
    const host = cluster.pick(this);
    info.attemptCount++;
    info.upstream.attempts++;
    if (host === undefined) {
      cluster.stats.upstreamCxNoneHealthy.value++;
      info.flags |= 1 << ResponseFlag.NoHealthyUpstream;
      stream.sendLocalReply(503, 'no healthy upstream', 'no_healthy_upstream');
      return;
    }
    info.upstream.hostAddress = host.address;
    info.upstream.hostname = host.hostname;
    const protocol = cluster.config.http.protocol;
    const at =
      protocol === UpstreamProtocol.Downstream ? (stream.manager.protocol === 'HTTP/2' ? 1 : 0) : protocol;
    const attempt = new UpstreamRequest(
      this,
      host,
      cluster.pool(host, at, this.route!.priority === 'high' ? 1 : 0),
    );
    this.attempt = attempt;
    attempt.start();
  }

  onHeaders(attempt: UpstreamRequest, headers: HeaderMap, endStream: boolean): void {
    const { stream, shared } = this;
    stream.info.details = 'via_upstream';
    if (!shared.config.routerConfig.suppressEnvoyHeaders) {
      const ms = Math.round(performance.now() - this.requestStartMs);
      headers.set('x-envoy-upstream-service-time', ms < 10 ? digits[ms]! : String(ms));
    }
    attempt.host.rqSuccess.value++;
    if (endStream) this.#responseOver();
    stream.encodeHeaders(headers, endStream);
  }

  on1xx(headers: HeaderMap): void {
    this.stream.encode1xx(headers);
  }

  onData(data: Buffer, endStream: boolean): void {
    if (endStream) this.#responseOver();
    this.stream.encodeData(data, endStream);
  }

  onTrailers(trailers: HeaderMap): void {
    this.#responseOver();
    this.stream.encodeTrailers(trailers);
  }

  /** No stream came, or it broke. */
  onFailure(attempt: UpstreamRequest, reason: ResetReason, details: string): void {
    const { stream } = this;
    const { info } = stream;
    attempt.isOver = true;
    this.attempt = undefined;
    if (stream.responseStarted) {
      info.flags |= 1 << ResponseFlag.UpstreamConnectionTermination;
      stream.resetStream('upstream_reset_after_response_started{connection_termination}');
      return;
    }
    const text = resetTexts[reason]!;
    info.flags |= 1 << flagOf(reason);
    if (details !== '') info.upstream.transportFailureReason = details;
    stream.sendLocalReply(
      503,
      `upstream connect error or disconnect/reset before headers. reset reason: ${text}${details === '' ? '' : `, transport failure reason: ${details}`}`,
      `upstream_reset_before_response_started{${text.replaceAll(' ', '_')}${details === '' ? '' : `|${details}`}}`,
    );
  }

  #responseOver(): void {
    this.shared.timers.cancel(this.#routeTimer);
    const attempt = this.attempt;
    if (attempt !== undefined && attempt.requestSent) {
      attempt.isOver = true;
      this.attempt = undefined;
    }
  }

  onTimeout(_id: number): void {
    const { stream } = this;
    this.cluster!.stats.upstreamRqTimeout.value++;
    stream.info.flags |= 1 << ResponseFlag.UpstreamRequestTimeout;
    stream.sendLocalReply(504, 'upstream request timeout', 'response_timeout');
  }
}

/** One attempt: waits for a stream in a pool, then is the decoder of its response. */
export class UpstreamRequest implements PoolClient, StreamDecoder {
  readonly router: Router;
  readonly host: UpstreamHost;
  readonly pool: HttpPool;
  encoder: StreamEncoder | undefined = undefined;
  requestSent = false;
  isOver = false;
  #isWaiting = false;
  #body: Buffer[] | undefined = undefined;
  #trailers: HeaderMap | undefined = undefined;

  constructor(router: Router, host: UpstreamHost, pool: HttpPool) {
    this.router = router;
    this.host = host;
    this.pool = pool;
  }

  start(): void {
    this.#isWaiting = true;
    this.pool.newStream(this);
  }

  onPoolReady(encoder: StreamEncoder, connection: PooledConnection): void {
    this.#isWaiting = false;
    this.encoder = encoder;
    const { router } = this;
    const { upstream } = router.stream.info;
    upstream.connectionId = connection.connection!.id;
    upstream.localAddress = connection.localAddress;
    upstream.requestsOnConnection = connection.requests;
    const body = this.#body;
    const ends = router.requestEnded && body === undefined && this.#trailers === undefined;
    this.requestSent = ends;
    encoder.encodeHeaders(router.requestHeaders!, ends);
    if (body !== undefined) {
      this.#body = undefined;
      for (let i = 0; i < body.length; i++) {
        const isEnd = router.requestEnded && i === body.length - 1 && this.#trailers === undefined;
        if (isEnd) this.requestSent = true;
        encoder.encodeData(body[i]!, isEnd);
      }
    }
    if (this.#trailers !== undefined) {
      this.requestSent = true;
      encoder.encodeTrailers(this.#trailers);
    }
    if (router.isDownstreamBackedUp) encoder.readDisable(true);
  }

  onPoolFailure(reason: ResetReason, details: string): void {
    this.#isWaiting = false;
    this.router.onFailure(this, reason, details);
  }

  sendData(data: Buffer, endStream: boolean): void {
    if (this.#isWaiting) {
      (this.#body ??= []).push(data);
      return;
    }
    if (endStream) this.requestSent = true;
    this.encoder!.encodeData(data, endStream);
  }

  sendTrailers(trailers: HeaderMap): void {
    if (this.#isWaiting) {
      this.#trailers = trailers;
      return;
    }
    this.requestSent = true;
    this.encoder!.encodeTrailers(trailers);
  }

  readDisable(disable: boolean): void {
    this.encoder?.readDisable(disable);
  }

  cancel(): void {
    if (this.isOver) return;
    this.isOver = true;
    if (this.#isWaiting) this.pool.cancel(this);
    else {
      this.pool.cluster.stats.upstreamRqTxReset.value++;
      this.encoder?.reset(ResetReason.LocalReset);
    }
  }

  // StreamDecoder -----------------------------------------------------------------------------------------------------------

  decodeHeaders(headers: HeaderMap, endStream: boolean): void {
    if (!this.isOver) this.router.onHeaders(this, headers, endStream);
  }

  decode1xx(headers: HeaderMap): void {
    if (!this.isOver) this.router.on1xx(headers);
  }

  decodeData(data: Buffer, endStream: boolean): void {
    if (!this.isOver) this.router.onData(data, endStream);
  }

  decodeTrailers(trailers: HeaderMap): void {
    if (!this.isOver) this.router.onTrailers(trailers);
  }

  onReset(reason: ResetReason, details: string): void {
    if (!this.isOver) this.router.onFailure(this, reason, details);
  }

  onAboveWriteBufferHighWatermark(): void {
    if (!this.isOver) this.router.stream.readDisable(true);
  }

  onBelowWriteBufferLowWatermark(): void {
    if (!this.isOver) this.router.stream.readDisable(false);
  }
}

const digits: readonly string[] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'];

/** By reset reason, as Envoy writes it into bodies and details. */
const resetTexts: readonly string[] = [
  'unknown',
  'local reset',
  'local refused stream reset',
  'remote reset',
  'remote refused stream reset',
  'local connection failure',
  'remote connection failure',
  'connection timeout',
  'connection termination',
  'overflow',
  'remote error with CONNECT request',
  'protocol error',
  'overload manager reset',
];

function flagOf(reason: ResetReason): ResponseFlag {
  switch (reason) {
    case ResetReason.LocalConnectionFailure:
    case ResetReason.RemoteConnectionFailure:
    case ResetReason.ConnectionTimeout:
      return ResponseFlag.UpstreamConnectionFailure;
    case ResetReason.ConnectionTermination:
      return ResponseFlag.UpstreamConnectionTermination;
    case ResetReason.LocalReset:
    case ResetReason.LocalRefusedStreamReset:
      return ResponseFlag.LocalReset;
    case ResetReason.Overflow:
      return ResponseFlag.UpstreamOverflow;
    case ResetReason.ProtocolError:
      return ResponseFlag.UpstreamProtocolError;
    case ResetReason.OverloadManager:
      return ResponseFlag.OverloadManager;
    default:
      return ResponseFlag.UpstreamRemoteReset;
  }
}
