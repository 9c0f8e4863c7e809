// tcp_proxy: an accepted connection, a connection to a host of a cluster, and the bytes between them. Ends a filter chain.
import { randomUUID } from 'node:crypto';
import { type TimerOwner, WheelTimer } from '#base/timer-wheel.ts';
import type { AccessLogger } from '#extension/access-logger.ts';
import { AccessLogType, type FormatContext } from '#extension/formatter.ts';
import type { PickContext } from '#extension/load-balancer.ts';
import {
  type DownstreamConnection,
  type NetworkFilter,
  NetworkFilterStatus,
} from '#extension/network-filter.ts';
import { ResponseFlag } from '#extension/response-flag.ts';
import type { HeaderMap } from '#http/header-map.ts';
import {
  CloseEvent,
  CloseType,
  type Connection,
  type ConnectionOwner,
  connectFailureText,
} from '#net/connection.ts';
import type { Counter, Gauge } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';
import type { RequestInfo } from '../http/request-info.ts';
import type { Cluster } from '../upstream/cluster.ts';
import type { UpstreamHost } from '../upstream/host.ts';
import type { WorkerContext } from '../worker-context.ts';
import type { TcpProxyConfig } from './tcp-proxy-config.ts';

export class TcpProxyStats {
  readonly downstreamCxTotal: Counter;
  readonly downstreamCxNoRoute: Counter;
  readonly downstreamCxTxBytesTotal: Counter;
  readonly downstreamCxTxBytesBuffered: Gauge;
  readonly downstreamCxRxBytesTotal: Counter;
  readonly downstreamCxRxBytesBuffered: Gauge;
  readonly downstreamFlowControlPausedReadingTotal: Counter;
  readonly downstreamFlowControlResumedReadingTotal: Counter;
  readonly idleTimeout: Counter;
  readonly maxDownstreamConnectionDuration: Counter;

  constructor(scope: Scope) {
    this.downstreamCxTotal = scope.counter('downstream_cx_total');
    this.downstreamCxNoRoute = scope.counter('downstream_cx_no_route');
    this.downstreamCxTxBytesTotal = scope.counter('downstream_cx_tx_bytes_total');
    this.downstreamCxTxBytesBuffered = scope.gauge('downstream_cx_tx_bytes_buffered');
    this.downstreamCxRxBytesTotal = scope.counter('downstream_cx_rx_bytes_total');
    this.downstreamCxRxBytesBuffered = scope.gauge('downstream_cx_rx_bytes_buffered');
    this.downstreamFlowControlPausedReadingTotal = scope.counter(
      'downstream_flow_control_paused_reading_total',
    );
    this.downstreamFlowControlResumedReadingTotal = scope.counter(
      'downstream_flow_control_resumed_reading_total',
    );
    this.idleTimeout = scope.counter('idle_timeout');
    this.maxDownstreamConnectionDuration = scope.counter('max_downstream_connection_duration');
    for (const name of [
      'early_data_received_count_total',
      'on_demand_cluster_attempt',
      'on_demand_cluster_missing',
      'on_demand_cluster_success',
      'on_demand_cluster_timeout',
      'upstream_flush_total',
    ]) {
      scope.counter(name);
    }
    scope.gauge('upstream_flush_active');
  }
}

/** What all sessions of one configured tcp_proxy share. */
export interface TcpProxyShared {
  readonly config: TcpProxyConfig;
  readonly stats: TcpProxyStats;
  readonly worker: WorkerContext;
  readonly accessLogs: readonly AccessLogger[];
}

const Timer = { Idle: 0, MaxDuration: 1, Connect: 2, Backoff: 3, Log: 4 } as const;

export class TcpSession implements NetworkFilter, TimerOwner, FormatContext {
  readonly info: RequestInfo;
  readonly requestHeaders: HeaderMap | undefined = undefined;
  readonly responseHeaders: HeaderMap | undefined = undefined;
  readonly responseTrailers: HeaderMap | undefined = undefined;
  logType: AccessLogType = AccessLogType.TcpConnectionEnd;
  readonly #shared: TcpProxyShared;
  readonly #downstream: DownstreamConnection;
  readonly #idle = new WheelTimer(this, Timer.Idle);
  #timers: WheelTimer[] | undefined = undefined;
  #cluster: Cluster | undefined = undefined;
  #upstream: UpstreamSide | undefined = undefined;
  #attempts = 0;
  #isOver = false;
  #downstreamEnded = false;

  constructor(shared: TcpProxyShared, downstream: DownstreamConnection) {
    this.#shared = shared;
    this.#downstream = downstream;
    this.info = downstream.streamInfo as RequestInfo;
    this.info.requestId = randomUUID();
  }

  // NetworkFilter -----------------------------------------------------------------------------------------------------------

  onNewConnection(): NetworkFilterStatus {
    const { config, stats, worker } = this.#shared;
    const { connection } = this.#downstream;
    stats.downstreamCxTotal.value++;
    connection.halfClose = true;
    connection.rxBytes = stats.downstreamCxRxBytesTotal;
    connection.txBytes = stats.downstreamCxTxBytesTotal;
    // Nothing is read before there is somewhere to send it.
    connection.readDisable(true);
    if (config.maxDurationMs > 0) this.#startTimer(Timer.MaxDuration, config.maxDurationMs);
    if (config.logIntervalMs > 0) this.#startTimer(Timer.Log, config.logIntervalMs);
    const name = this.#chooseCluster();
    this.#cluster = worker.clusters.get(name);
    this.info.upstream.clusterName = name;
    if (this.#cluster === undefined) {
      stats.downstreamCxNoRoute.value++;
      this.#fail(ResponseFlag.NoClusterFound);
      return NetworkFilterStatus.StopIteration;
    }
    this.info.upstream.clusterStatName = this.#cluster.config.statName;
    this.info.clusterMetadata = this.#cluster.config.metadata;
    this.#connect();
    return NetworkFilterStatus.StopIteration;
  }

  onData(data: Buffer, end: boolean): NetworkFilterStatus {
    const { info } = this;
    info.bytesReceived += data.length;
    const upstream = this.#upstream?.connection;
    if (upstream !== undefined && data.length > 0) upstream.write(data);
    if (end) {
      this.#downstreamEnded = true;
      upstream?.end();
      this.#endIfBothEnded();
    }
    this.#active();
    return NetworkFilterStatus.StopIteration;
  }

  onAboveWriteBufferHighWatermark(): void {
    this.#upstream?.readDisable(true);
  }

  onBelowWriteBufferLowWatermark(): void {
    this.#upstream?.readDisable(false);
  }

  onClose(event: CloseEvent): void {
    const upstream = this.#upstream;
    if (upstream !== undefined && !upstream.isGone) {
      // What was received is still sent on.
      upstream.close(
        event === CloseEvent.Remote && upstream.isConnected ? CloseType.FlushWrite : CloseType.NoFlush,
      );
    }
    this.#over();
  }

  // Upstream ----------------------------------------------------------------------------------------------------------------

  #chooseCluster(): string {
    const { clusters, totalWeight } = this.#shared.config;
    // Set by sni_cluster and set_filter_state.
    const fixed = this.#downstream.filterState.get('envoy.tcp_proxy.cluster');
    if (fixed !== undefined) return fixed.text;
    if (clusters.length === 1) return clusters[0]!.name;
    let at = Math.floor(Math.random() * totalWeight);
    for (const { name, weight } of clusters) {
      at -= weight;
      if (at < 0) return name;
    }
    return '';
  }

  #connect(): void {
    const cluster = this.#cluster!;
    const breaker = cluster.breakers[0];
    if (!breaker.allowsConnection) {
      cluster.stats.upstreamCxOverflow.value++;
      this.#fail(ResponseFlag.UpstreamOverflow);
      return;
    }
    const host = cluster.pick(anyHost());
    if (host === undefined) {
      cluster.stats.upstreamCxNoneHealthy.value++;
      this.#fail(ResponseFlag.NoHealthyUpstream);
      return;
    }
    this.#attempts++;
    const { upstream } = this.info;
    this.info.attemptCount = this.#attempts;
    upstream.attempts = this.#attempts;
    upstream.hostAddress = host.address;
    (upstream.hostsAttempted ??= []).push(host.address);
    upstream.hostname = host.hostname;
    this.info.hostMetadata = host.metadata;
    this.#upstream = new UpstreamSide(this, cluster, host);
    this.#startTimer(Timer.Connect, cluster.config.connectTimeoutMs);
    this.#upstream.open();
  }

  onUpstreamConnected(side: UpstreamSide): void {
    const { config } = this.#shared;
    const { upstream } = this.info;
    this.#stopTimer(Timer.Connect);
    const { localAddress, localPort } = side.connection.socket;
    upstream.localAddress = localAddress === undefined ? '' : `${localAddress}:${localPort}`;
    upstream.connectionId = side.connection.id;
    upstream.connectEndMs = performance.now();
    upstream.transportFailureReason = '';
    side.connection.halfClose = true;
    this.#shared.stats.downstreamCxRxBytesBuffered.value = 0;
    if (config.logsConnected) this.#log(AccessLogType.TcpUpstreamConnected);
    this.#downstream.connection.readDisable(false);
    this.#active();
  }

  onUpstreamData(data: Buffer): void {
    this.info.bytesSent += data.length;
    this.#downstream.write(data);
    this.#active();
  }

  onUpstreamEnd(): void {
    this.#downstream.end();
    this.#active();
    this.#endIfBothEnded();
  }

  onUpstreamWatermark(isHigh: boolean): void {
    const { stats } = this.#shared;
    if (isHigh) stats.downstreamFlowControlPausedReadingTotal.value++;
    else stats.downstreamFlowControlResumedReadingTotal.value++;
    this.#downstream.connection.readDisable(isHigh);
  }

  onUpstreamGone(side: UpstreamSide, event: CloseEvent): void {
    if (this.#isOver) return;
    if (!side.isConnected) {
      this.#stopTimer(Timer.Connect);
      this.#connectFailed(side);
      return;
    }
    const isReset = side.connection.failureCode === 'ECONNRESET';
    if (isReset) this.info.flags |= 1 << ResponseFlag.UpstreamRemoteReset;
    if (event === CloseEvent.Remote)
      this.#downstream.close(isReset ? CloseType.Abort : CloseType.FlushWrite, '');
  }

  #connectFailed(side: UpstreamSide): void {
    const { config } = this.#shared;
    const cluster = this.#cluster!;
    const reason = side.connection.failureReason;
    this.info.upstream.transportFailureReason = reason === '' ? '' : connectFailureText(reason);
    this.info.flags |= 1 << ResponseFlag.UpstreamConnectionFailure;
    this.#upstream = undefined;
    if (this.#attempts >= config.maxConnectAttempts) {
      cluster.stats.upstreamCxConnectAttemptsExceeded.value++;
      this.#fail(ResponseFlag.UpstreamRetryLimitExceeded);
      return;
    }
    if (config.backoff === undefined) this.#connect();
    else {
      const { baseMs, maxMs } = config.backoff;
      this.#startTimer(Timer.Backoff, Math.random() * Math.min(maxMs, baseMs * 2 ** (this.#attempts - 1)));
    }
  }

  /** No upstream: the client is reset, as Envoy does. */
  #fail(flag: ResponseFlag): void {
    this.info.flags |= 1 << flag;
    this.#downstream.close(CloseType.Abort, '');
  }

  #endIfBothEnded(): void {
    const upstream = this.#upstream;
    if (!this.#downstreamEnded || upstream === undefined || !upstream.hasEnded) return;
    upstream.close(CloseType.FlushWrite);
    this.#downstream.close(CloseType.FlushWrite, '');
  }

  // Time --------------------------------------------------------------------------------------------------------------------

  #active(): void {
    const { config, worker } = this.#shared;
    if (config.idleTimeoutMs > 0 && !this.#isOver) worker.timers.start(this.#idle, config.idleTimeoutMs);
  }

  #startTimer(id: number, delayMs: number): void {
    const timers = (this.#timers ??= []);
    let timer = timers.find((it) => it.id === id);
    if (timer === undefined) {
      timer = new WheelTimer(this, id);
      timers.push(timer);
    }
    this.#shared.worker.timers.start(timer, delayMs);
  }

  #stopTimer(id: number): void {
    const timer = this.#timers?.find((it) => it.id === id);
    if (timer !== undefined) this.#shared.worker.timers.cancel(timer);
  }

  onTimeout(id: number): void {
    const { config, stats } = this.#shared;
    switch (id) {
      case Timer.Idle:
        stats.idleTimeout.value++;
        this.#downstream.close(CloseType.NoFlush, '');
        break;
      case Timer.MaxDuration:
        stats.maxDownstreamConnectionDuration.value++;
        this.#downstream.close(CloseType.NoFlush, 'max_downstream_connection_duration');
        break;
      case Timer.Connect:
        this.#cluster!.stats.upstreamCxConnectTimeout.value++;
        this.#upstream?.close(CloseType.NoFlush);
        break;
      case Timer.Backoff:
        this.#connect();
        break;
      case Timer.Log:
        this.#log(AccessLogType.TcpPeriodic);
        this.#startTimer(Timer.Log, config.logIntervalMs);
        break;
    }
  }

  #over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const { timers } = this.#shared.worker;
    timers.cancel(this.#idle);
    for (const timer of this.#timers ?? []) timers.cancel(timer);
    this.info.endMs = performance.now();
    this.#log(AccessLogType.TcpConnectionEnd);
  }

  #log(type: AccessLogType): void {
    const { accessLogs } = this.#shared;
    const { connection } = this.#downstream;
    const upstream = this.#upstream?.connection;
    this.info.wireBytesReceived = connection.bytesReceived;
    this.info.wireBytesSent = connection.bytesSent;
    this.info.upstream.wireBytesSent = upstream?.bytesSent ?? 0;
    this.info.upstream.wireBytesReceived = upstream?.bytesReceived ?? 0;
    this.logType = type;
    for (let i = 0; i < accessLogs.length; i++) accessLogs[i]!.log(this);
  }
}

const pickContext = { random: 0, hash: undefined, metadataMatch: undefined };

function anyHost(): PickContext {
  pickContext.random = (Math.random() * 0x7fffffff) | 0;
  return pickContext;
}

/** The session's connection to a host, with what is counted of it. */
class UpstreamSide implements ConnectionOwner {
  connection: Connection = undefined as never;
  isConnected = false;
  isGone = false;
  /** FIN came. */
  hasEnded = false;
  readonly #session: TcpSession;
  readonly #cluster: Cluster;
  readonly #host: UpstreamHost;
  readonly #startMs = performance.now();

  constructor(session: TcpSession, cluster: Cluster, host: UpstreamHost) {
    this.#session = session;
    this.#cluster = cluster;
    this.#host = host;
  }

  open(): void {
    const { stats, breakers } = this.#cluster;
    breakers[0].addConnections(1);
    breakers[0].addPending(1);
    stats.upstreamRqPendingTotal.value++;
    stats.upstreamRqPendingActive.value++;
    stats.upstreamCxTotal.value++;
    stats.upstreamCxActive.value++;
    this.#host.cxTotal.value++;
    this.#host.cxActive.value++;
    this.connection = this.#cluster.connect(this.#host, this, 0);
    this.connection.rxBytes = stats.upstreamCxRxBytesTotal;
    this.connection.txBytes = stats.upstreamCxTxBytesTotal;
  }

  close(type: CloseType): void {
    if (!this.isGone) this.connection.close(type);
  }

  readDisable(disable: boolean): void {
    if (!this.isGone && this.isConnected) this.connection.readDisable(disable);
  }

  onConnected(): void {
    const { stats, breakers } = this.#cluster;
    this.isConnected = true;
    this.#settled();
    breakers[0].addRequests(1);
    stats.upstreamCxRxBytesBuffered.value = 0;
    stats.upstreamCxConnectMs.record(performance.now() - this.#startMs);
    this.#host.rqTotal.value++;
    stats.upstreamRqTotal.value++;
    stats.upstreamRqActive.value++;
    this.#session.onUpstreamConnected(this);
  }

  onData(bytes: Buffer): void {
    this.#session.onUpstreamData(bytes);
  }

  onEnd(): void {
    this.hasEnded = true;
    this.#session.onUpstreamEnd();
  }

  onClose(event: CloseEvent): void {
    if (this.isGone) return;
    this.isGone = true;
    const { stats, breakers } = this.#cluster;
    breakers[0].addConnections(-1);
    stats.upstreamCxActive.value--;
    this.#host.cxActive.value--;
    stats.upstreamCxDestroy.value++;
    if (event === CloseEvent.Remote) stats.upstreamCxDestroyRemote.value++;
    else stats.upstreamCxDestroyLocal.value++;
    stats.upstreamCxLengthMs.record(performance.now() - this.#startMs);
    if (this.isConnected) {
      stats.upstreamRqActive.value--;
      breakers[0].addRequests(-1);
      stats.upstreamCxDestroyWithActiveRq.value++;
      if (event === CloseEvent.Remote) stats.upstreamCxDestroyRemoteWithActiveRq.value++;
      else stats.upstreamCxDestroyLocalWithActiveRq.value++;
    } else {
      this.#settled();
      stats.upstreamRqPendingFailureEject.value++;
      stats.upstreamCxConnectFail.value++;
      this.#host.cxConnectFail.value++;
    }
    this.#session.onUpstreamGone(this, event);
  }

  /** The session does not wait any more. */
  #settled(): void {
    this.#cluster.stats.upstreamRqPendingActive.value--;
    this.#cluster.breakers[0].addPending(-1);
  }

  onAboveWriteBufferHighWatermark(): void {
    this.#cluster.stats.upstreamFlowControlBackedUpTotal.value++;
    this.#session.onUpstreamWatermark(true);
  }

  onBelowWriteBufferLowWatermark(): void {
    this.#cluster.stats.upstreamFlowControlDrainedTotal.value++;
    this.#session.onUpstreamWatermark(false);
  }
}
