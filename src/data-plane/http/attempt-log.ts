// `upstream_log` of the router: an attempt has a stream info of its own, which is logged when it ends, and in between as
// `upstream_log_options` say. Exists only where such logs are configured.
import { type TimerOwner, type TimerWheel, WheelTimer } from '#base/timer-wheel.ts';
import { turnMs } from '#base/turn.ts';
import type { AccessLogger } from '#extension/access-logger.ts';
import { AccessLogType, type FormatContext } from '#extension/formatter.ts';
import type { ResponseFlag } from '#extension/response-flag.ts';
import type { StreamEncoder } from '#http/codec.ts';
import type { HeaderMap } from '#http/header-map.ts';
import type { UpstreamHost } from '../upstream/host.ts';
import { RequestInfo, type RequestUpstreamInfo } from './request-info.ts';

export interface UpstreamLogs {
  readonly loggers: readonly AccessLogger[];
  /** Also when there is a connection. */
  readonly poolReady: boolean;
  /** Again and again while the attempt runs; 0: not. */
  readonly intervalMs: number;
}

export class AttemptLog implements FormatContext, TimerOwner {
  readonly info: RequestInfo;
  readonly requestHeaders: HeaderMap;
  responseHeaders: HeaderMap | undefined = undefined;
  responseTrailers: HeaderMap | undefined = undefined;
  logType: AccessLogType = AccessLogType.UpstreamEnd;
  readonly #logs: UpstreamLogs;
  readonly #timers: TimerWheel;
  readonly #timer: WheelTimer = new WheelTimer(this, 0);

  /** `of`: the request. Its client is who is connected, and nothing of what filters said is known here. */
  constructor(
    logs: UpstreamLogs,
    timers: TimerWheel,
    of: RequestInfo,
    requestHeaders: HeaderMap,
    host: UpstreamHost,
  ) {
    this.#logs = logs;
    this.#timers = timers;
    this.requestHeaders = requestHeaders;
    const info = new RequestInfo(of.connection, turnMs(), of.bytes);
    this.info = info;
    info.filterState = undefined;
    info.routeName = of.routeName;
    info.routeMetadata = of.routeMetadata;
    info.clusterMetadata = of.clusterMetadata;
    info.hostMetadata = host.metadata;
    info.isHealthCheck = of.isHealthCheck;
    const { upstream } = info;
    upstream.clusterName = of.upstream.clusterName;
    upstream.clusterStatName = of.upstream.clusterStatName;
    upstream.hostAddress = host.address;
    upstream.hostname = host.hostname;
    upstream.startMs = info.startMs;
    upstream.detectedCloseType = 'Normal';
    if (logs.intervalMs > 0) timers.start(this.#timer, logs.intervalMs);
  }

  /** `upstream`: what the request knows of this attempt now. */
  onPoolReady(encoder: StreamEncoder, upstream: RequestUpstreamInfo): void {
    const own = this.info.upstream;
    own.bytes = encoder;
    own.connectionId = upstream.connectionId;
    own.localAddress = upstream.localAddress;
    own.requestsOnConnection = upstream.requestsOnConnection;
    own.connectStartMs = upstream.connectStartMs;
    own.connectEndMs = upstream.connectEndMs;
    own.tlsEndMs = upstream.tlsEndMs;
    own.protocol = upstream.protocol;
    own.tls = upstream.tls;
    own.serverName = upstream.serverName;
    own.filterState = upstream.filterState;
    own.poolReadyMs = upstream.poolReadyMs;
    own.firstTxByteMs = upstream.firstTxByteMs;
    this.info.protocol = upstream.protocol;
    if (this.#logs.poolReady) this.#log(AccessLogType.UpstreamPoolReady);
  }

  onHeaders(headers: HeaderMap): void {
    this.info.upstream.firstRxByteMs = turnMs();
    this.info.responseCode = headers.status;
    // Those that the client gets will be changed.
    this.responseHeaders = headers.clone();
  }

  /** A WebSocket handshake that failed is no response. */
  onRefusedHandshake(): void {
    this.info.responseCode = 0;
    this.responseHeaders = undefined;
  }

  onResponseEnd(): void {
    this.info.upstream.lastRxByteMs = turnMs();
  }

  /** No stream came, or it broke. `isPlaced`: the host knows of it. */
  onFailure(flag: ResponseFlag, details: string, isPlaced: boolean): void {
    const { info } = this;
    info.flags |= 1 << flag;
    if (info.upstream.poolReadyMs === 0) info.upstream.poolReadyMs = turnMs();
    if (details !== '') info.upstream.transportFailureReason = details;
    if (isPlaced) return;
    info.upstream.hostAddress = '';
    info.upstream.hostname = '';
  }

  onEnd(): void {
    this.#timers.cancel(this.#timer);
    this.info.endMs = turnMs();
    this.#log(AccessLogType.UpstreamEnd);
  }

  onTimeout(): void {
    this.#log(AccessLogType.UpstreamPeriodic);
    this.#timers.start(this.#timer, this.#logs.intervalMs);
  }

  #log(type: AccessLogType): void {
    const { loggers } = this.#logs;
    this.logType = type;
    for (let i = 0; i < loggers.length; i++) loggers[i]!.log(this);
  }
}
