// tcp_proxy: an accepted connection, somewhere in a cluster, and the bytes between them. Ends a filter chain.
import { randomUUID } from 'node:crypto';
import { type TimerOwner, WheelTimer } from '#base/timer-wheel.ts';
import { turnMs } from '#base/turn.ts';
import type { Uint64 } from '#base/uint64.ts';
import type { AccessLogger } from '#extension/access-logger.ts';
import { filterStateKeys } from '#extension/filter-state-keys.ts';
import { AccessLogType, type FormatContext } from '#extension/formatter.ts';
import { hashIp, hashObject } from '#extension/hash-policy.ts';
import type { PickContext } from '#extension/load-balancer.ts';
import {
  type DownstreamConnection,
  type NetworkFilter,
  NetworkFilterStatus,
} from '#extension/network-filter.ts';
import { ResponseFlag } from '#extension/response-flag.ts';
import type { StreamInfo } from '#extension/stream-info.ts';
import { addBytes, ByteMeter, noByteCounts } from '#http/byte-counts.ts';
import type { HeaderMap } from '#http/header-map.ts';
import { CloseEvent, CloseType } from '#net/connection.ts';
import type { ProxyTlv } from '#net/proxy-protocol.ts';
import type { RequestInfo } from '../http/request-info.ts';
import type { Cluster } from '../upstream/cluster.ts';
import { UpstreamProtocol } from '../upstream/cluster-config.ts';
import type { UpstreamHost } from '../upstream/host.ts';
import { transportOptionsOf } from '../upstream/transport-options.ts';
import type { WorkerContext } from '../worker-context.ts';
import { HttpTunnel } from './http-tunnel.ts';
import type { SessionUpstream, UpstreamOwner } from './session-upstream.ts';
import {
  ConnectMode,
  type TcpClusterConfig,
  type TcpProxyConfig,
  TlvMergePolicy,
} from './tcp-proxy-config.ts';
import type { TcpProxyStats } from './tcp-proxy-stats.ts';
import { TcpUpstream } from './tcp-upstream.ts';
import type { Tunnel } from './tunnel-config.ts';

/** What all sessions of one configured tcp_proxy share. */
export interface TcpProxyShared {
  readonly config: TcpProxyConfig;
  readonly stats: TcpProxyStats;
  readonly worker: WorkerContext;
  readonly accessLogs: readonly AccessLogger[];
  readonly proxyTlvs: (context: FormatContext) => readonly ProxyTlv[];
  readonly tunnel: Tunnel | undefined;
}

const Timer = { Idle: 0, MaxDuration: 1, Connect: 2, Backoff: 3, Log: 4 } as const;

/** Why there is no upstream: the number goes into `%DOWNSTREAM_LOCAL_CLOSE_REASON%`. */
const Failure = { Connect: 0, NoHealthyUpstream: 1, Overflow: 2, NoRoute: 3 } as const;
type Failure = (typeof Failure)[keyof typeof Failure];

export class TcpSession implements NetworkFilter, UpstreamOwner, TimerOwner, FormatContext {
  readonly info: RequestInfo;
  readonly requestHeaders: HeaderMap | undefined = undefined;
  readonly responseHeaders: HeaderMap | undefined = undefined;
  readonly responseTrailers: HeaderMap | undefined = undefined;
  logType: AccessLogType = AccessLogType.TcpConnectionEnd;
  readonly #shared: TcpProxyShared;
  readonly #downstream: DownstreamConnection;
  readonly #idle = new WheelTimer(this, Timer.Idle);
  #idleTimeoutMs: number;
  #timers: WheelTimer[] | undefined = undefined;
  #cluster: Cluster | undefined = undefined;
  #host: UpstreamHost | undefined = undefined;
  /** Undefined before the first attempt and between two. */
  #upstream: SessionUpstream | undefined = undefined;
  #attempts = 0;
  /** Payload to and from the upstream, and what failed attempts added. */
  readonly #upstreamBytes = new ByteMeter();
  #isOver = false;
  #downstreamEnded = false;
  /** Received before there was an upstream, when `max_early_data_bytes` allows that. */
  #early: Buffer[] | undefined = undefined;
  #earlyBytes = 0;
  #isEarlyFull = false;
  #hasBegun = false;

  constructor(shared: TcpProxyShared, downstream: DownstreamConnection) {
    const { config, stats } = shared;
    const { connection } = downstream;
    this.#shared = shared;
    this.#downstream = downstream;
    this.info = downstream.streamInfo as RequestInfo;
    this.info.upstream.detectedCloseType = 'Normal';
    this.#idleTimeoutMs = config.idleTimeoutMs;
    stats.downstreamCxTotal.value++;
    connection.halfClose = true;
    connection.rxBytes = stats.downstreamCxRxBytesTotal;
    connection.txBytes = stats.downstreamCxTxBytesTotal;
    connection.rxBuffered = stats.downstreamCxRxBytesBuffered;
    connection.txBuffered = stats.downstreamCxTxBytesBuffered;
    // Nothing is read before there is somewhere to send it.
    if (config.maxEarlyBytes < 0) connection.readDisable(true);
  }

  // NetworkFilter -----------------------------------------------------------------------------------------------------------

  onNewConnection(): NetworkFilterStatus {
    const { config } = this.#shared;
    const { filterState } = this.#downstream;
    if (config.maxDurationMs > 0)
      this.#startTimer(Timer.MaxDuration, config.maxDurationMs * (1 + Math.random() * config.durationJitter));
    if (config.logIntervalMs > 0) this.#startTimer(Timer.Log, config.logIntervalMs);
    const idle = filterState.get(filterStateKeys.tcpIdleTimeout);
    if (idle !== undefined) this.#idleTimeoutMs = Number(idle.text);
    this.#active();
    this.info.requestId = randomUUID();
    if (config.logsStart) this.#log(AccessLogType.TcpConnectionStart);
    const mode = config.connectMode;
    const waits =
      mode === ConnectMode.OnDownstreamData ||
      (mode === ConnectMode.OnDownstreamTlsHandshake && this.#downstream.isTls);
    if (!waits) this.#begin();
    // The end of the chain: there is nobody behind who would have to wait.
    return NetworkFilterStatus.Continue;
  }

  onHandshake(): void {
    if (this.#shared.config.connectMode === ConnectMode.OnDownstreamTlsHandshake) this.#begin();
  }

  onData(data: Buffer, end: boolean): NetworkFilterStatus {
    const { info } = this;
    const upstream = this.#upstream;
    info.bytes.wireBytesReceived += data.length;
    if (end) this.#downstreamEnded = true;
    if (upstream === undefined || !upstream.isConnected) this.#hold(data, end);
    else {
      if (data.length > 0) {
        this.#upstreamBytes.wireBytesSent += data.length;
        upstream.write(data);
      }
      if (end) {
        upstream.end();
        this.#endIfBothEnded(false);
      }
      this.#active();
    }
    if (this.#shared.config.checksDrain) this.#closeIfDraining();
    return NetworkFilterStatus.StopIteration;
  }

  onAboveWriteBufferHighWatermark(): void {
    this.#upstream?.readDisable(true);
  }

  onBelowWriteBufferLowWatermark(): void {
    this.#upstream?.readDisable(false);
    this.#active();
  }

  onClose(event: CloseEvent): void {
    const upstream = this.#upstream;
    const { closeReason } = this.#downstream;
    this.info.connection.localCloseReason = closeReason;
    // The upstream goes for the same reason.
    if (event === CloseEvent.Local && upstream?.isConnected === true)
      this.info.upstream.localCloseReason = closeReason;
    if (this.#isOver) return;
    this.#isOver = true;
    if (upstream !== undefined && !upstream.isGone && !upstream.isFlushing)
      upstream.close(event, this.info.connection.detectedCloseType === 'RemoteReset');
    const { timers } = this.#shared.worker;
    timers.cancel(this.#idle);
    for (const timer of this.#timers ?? []) timers.cancel(timer);
    if (upstream?.isFlushing === true && !upstream.isGone && this.#idleTimeoutMs > 0)
      timers.start(this.#idle, this.#idleTimeoutMs);
    this.info.endMs = turnMs();
    this.#log(AccessLogType.TcpConnectionEnd);
  }

  #hold(data: Buffer, end: boolean): void {
    const { config, stats } = this.#shared;
    if (data.length > 0) (this.#early ??= []).push(data);
    this.#earlyBytes += data.length;
    // Between two attempts nobody stops the client.
    if (config.maxEarlyBytes < 0) return;
    if (!this.#hasBegun && !(end && this.#earlyBytes === 0)) this.#begin();
    if (this.#isOver) return;
    stats.earlyDataReceivedCountTotal.value++;
    if (!this.#isEarlyFull && this.#earlyBytes >= config.maxEarlyBytes) {
      this.#isEarlyFull = true;
      this.#downstream.connection.readDisable(true);
    }
  }

  // Upstream ----------------------------------------------------------------------------------------------------------------

  /** Chooses a cluster and a host in it. Again for each attempt. */
  #begin(): void {
    const { stats, worker } = this.#shared;
    const { upstream } = this.info;
    this.#hasBegun = true;
    const target = this.#chooseCluster();
    const cluster = worker.clusters.get(target.name);
    this.#cluster = cluster;
    if (cluster === undefined) {
      stats.downstreamCxNoRoute.value++;
      this.#fail(ResponseFlag.NoClusterFound, Failure.NoRoute);
      return;
    }
    upstream.clusterName = cluster.config.name;
    upstream.clusterStatName = cluster.config.statName;
    this.info.clusterMetadata = cluster.config.metadata;
    if (!cluster.breakers[0].allowsConnection(0)) {
      cluster.stats.upstreamCxOverflow.value++;
      this.#fail(ResponseFlag.UpstreamOverflow, Failure.Overflow);
      return;
    }
    const context = wanted(this, target, this.info);
    const host = cluster.pick(context);
    if (host === undefined) {
      // A session does not wait. Its host may be known to the next one, and it is not counted.
      const wait = cluster.awaitHost(context, () => {});
      if (typeof wait === 'string') cluster.stats.upstreamCxNoneHealthy.value++;
      else wait();
      this.#fail(ResponseFlag.NoHealthyUpstream, Failure.NoHealthyUpstream);
      return;
    }
    this.#connect(cluster, host);
  }

  #chooseCluster(): TcpClusterConfig {
    const { clusters, totalWeight } = this.#shared.config;
    if (totalWeight === 0) {
      // Set by sni_cluster and set_filter_state.
      const fixed = this.#downstream.filterState.get(filterStateKeys.tcpCluster);
      return fixed === undefined ? clusters[0]! : { name: fixed.text, weight: 0, metadataMatch: undefined };
    }
    let at = Math.floor(Math.random() * totalWeight);
    for (const it of clusters) {
      at -= it.weight;
      if (at < 0) return it;
    }
    return clusters[0]!;
  }

  computeHash(into: Uint64): boolean {
    const { hash } = this.#shared.config;
    if (hash === undefined) return false;
    if (hash.filterStateKey === '') return hashIp(this.info.connection.remoteAddress, into);
    return hashObject(this.#downstream.filterState.get(hash.filterStateKey), into);
  }

  #connect(cluster: Cluster, host: UpstreamHost): void {
    const { stats, tunnel } = this.#shared;
    const { upstream } = this.info;
    this.#attempts++;
    this.info.attemptCount = this.#attempts;
    upstream.attempts = this.#attempts;
    (upstream.hostsAttempted ??= []).push(host.address);
    this.#host = host;
    const options = transportOptionsOf(
      cluster.transport,
      this.info.connection,
      this.info.filterState,
      this.#proxyTlvs(),
    );
    const { filterState } = this.#downstream;
    if (tunnel === undefined || filterState.get(filterStateKeys.disableTunneling)?.text === 'true') {
      this.#upstream = new TcpUpstream(this, cluster, host, options, upstream, stats);
      this.#startTimer(Timer.Connect, cluster.config.connectTimeoutMs);
    } else {
      const { protocol } = cluster.config.http;
      const pool = cluster.pool(
        host,
        protocol === UpstreamProtocol.Downstream ? 0 : protocol,
        0,
        options,
        this.info.connection.id,
      );
      if (pool === undefined) {
        this.#fail(ResponseFlag.NoHealthyUpstream, Failure.NoHealthyUpstream);
        return;
      }
      this.#upstream = new HttpTunnel(this, pool, tunnel, upstream, filterState);
    }
    this.#upstream.open();
  }

  /** Undefined: those of the client, as they are. */
  #proxyTlvs(): readonly ProxyTlv[] | undefined {
    const { proxyTlvs, config } = this.#shared;
    const own = this.info.connection.proxyTlvs;
    if (own === undefined) return proxyTlvs(this);
    if (config.tlvMergePolicy === TlvMergePolicy.AddIfAbsent) return undefined;
    const configured = proxyTlvs(this);
    if (config.tlvMergePolicy === TlvMergePolicy.Append) return [...own, ...configured];
    return [...configured, ...own.filter((it) => !configured.some(({ type }) => type === it.type))];
  }

  onUpstreamConnected(upstream: SessionUpstream): void {
    const { config } = this.#shared;
    this.#stopTimer(Timer.Connect);
    this.#settled();
    this.info.upstream.transportFailureReason = '';
    const early = this.#early;
    if (early !== undefined) {
      this.#early = undefined;
      this.#upstreamBytes.wireBytesSent += this.#earlyBytes;
      for (let i = 0; i < early.length; i++) upstream.write(early[i]!);
    }
    if (this.#downstreamEnded) upstream.end();
    if (config.logsConnected) this.#log(AccessLogType.TcpUpstreamConnected);
    this.#active();
    const mayRead = this.#isEarlyFull || config.maxEarlyBytes < 0;
    this.#isEarlyFull = false;
    if (mayRead) this.#downstream.connection.readDisable(false);
  }

  /** The attempt has succeeded or failed: only now the host is one that was used. */
  #settled(): void {
    const host = this.#host!;
    this.info.upstream.hostAddress = host.address;
    this.info.upstream.hostname = host.hostname;
    this.info.hostMetadata = host.metadata;
  }

  onUpstreamData(data: Buffer): void {
    if (this.#isOver) return;
    const { info } = this;
    this.#upstreamBytes.wireBytesReceived += data.length;
    info.bytes.wireBytesSent += data.length;
    this.#downstream.write(data);
    this.#active();
    if (this.#shared.config.checksDrain) this.#closeIfDraining();
  }

  onUpstreamEnd(): void {
    if (this.#isOver) return;
    this.#downstream.end();
    this.#active();
    this.#endIfBothEnded(true);
  }

  onUpstreamWatermark(isHigh: boolean): void {
    if (this.#isOver) return;
    const { stats } = this.#shared;
    if (isHigh) stats.downstreamFlowControlPausedReadingTotal.value++;
    else stats.downstreamFlowControlResumedReadingTotal.value++;
    this.#downstream.connection.readDisable(isHigh);
    if (!isHigh) this.#active();
  }

  onFlushed(): void {
    this.#shared.worker.timers.cancel(this.#idle);
  }

  onUpstreamGone(wasReset: boolean): void {
    if (this.#isOver) return;
    if (wasReset) this.info.flags |= 1 << ResponseFlag.UpstreamRemoteReset;
    this.#downstream.close(wasReset ? CloseType.Abort : CloseType.FlushWrite, '');
  }

  onConnectFailed(details: string, isRemote: boolean): void {
    if (this.#isOver) return;
    const { config } = this.#shared;
    this.#stopTimer(Timer.Connect);
    this.#settled();
    addBytes(this.#upstreamBytes, this.#upstream?.ownBytes ?? noByteCounts);
    this.#upstream = undefined;
    this.info.upstream.transportFailureReason = details;
    if (isRemote) this.info.flags |= 1 << ResponseFlag.UpstreamConnectionFailure;
    if (this.#attempts >= config.maxConnectAttempts) {
      this.#cluster!.stats.upstreamCxConnectAttemptsExceeded.value++;
      this.#fail(ResponseFlag.UpstreamRetryLimitExceeded, Failure.Connect);
      return;
    }
    let delayMs = 0;
    if (config.backoff !== undefined) {
      const { baseMs, maxMs } = config.backoff;
      delayMs = Math.random() * Math.min(maxMs, baseMs * 2 ** (this.#attempts - 1));
    }
    this.#startTimer(Timer.Backoff, delayMs);
  }

  /** No upstream. What the client has sent and nobody read makes this a reset. */
  #fail(flag: ResponseFlag, failure: Failure): void {
    this.info.flags |= 1 << flag;
    this.#downstream.close(CloseType.NoFlush, `tcp_initializion_failure:${failure}`);
  }

  #endIfBothEnded(upstreamWasLast: boolean): void {
    const upstream = this.#upstream;
    if (!this.#downstreamEnded || upstream === undefined || !upstream.hasEnded) return;
    upstream.closeEnded(upstreamWasLast);
    this.#downstream.close(CloseType.FlushWrite, '');
  }

  #closeIfDraining(): void {
    if (this.#isOver || !this.#downstream.isDraining) return;
    this.#shared.stats.downstreamCxDrainClose.value++;
    this.#downstream.close(CloseType.FlushWrite, 'tcp_proxy_drain_close');
  }

  // Time --------------------------------------------------------------------------------------------------------------------

  #active(): void {
    if (this.#idleTimeoutMs > 0 && !this.#isOver)
      this.#shared.worker.timers.start(this.#idle, this.#idleTimeoutMs);
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
        if (this.#isOver) this.#upstream!.close(CloseEvent.Local, false);
        this.#downstream.close(CloseType.NoFlush, 'tcp_session_idle_timeout');
        break;
      case Timer.MaxDuration:
        this.info.flags |= 1 << ResponseFlag.DurationTimeout;
        stats.maxDownstreamConnectionDuration.value++;
        this.#downstream.close(CloseType.NoFlush, 'max_connection_duration_reached');
        break;
      case Timer.Connect:
        this.#upstream?.abandon();
        break;
      case Timer.Backoff:
        this.#begin();
        break;
      case Timer.Log:
        this.#log(AccessLogType.TcpPeriodic);
        this.#startTimer(Timer.Log, config.logIntervalMs);
        break;
    }
  }

  #log(type: AccessLogType): void {
    const { accessLogs } = this.#shared;
    const { connection } = this.#downstream;
    this.info.bytesReceived = connection.bytesReceived;
    this.info.bytesSent = connection.bytesSent;
    const bytes = new ByteMeter();
    addBytes(bytes, this.#upstreamBytes);
    addBytes(bytes, this.#upstream?.ownBytes ?? noByteCounts);
    this.info.upstream.bytes = bytes;
    this.logType = type;
    for (let i = 0; i < accessLogs.length; i++) accessLogs[i]!.log(this);
  }
}

const pickContext = {
  session: undefined as TcpSession | undefined,
  random: 0,
  metadataMatch: undefined as PickContext['metadataMatch'],
  streamInfo: undefined as StreamInfo | undefined,
  computeHash: (into: Uint64) => pickContext.session!.computeHash(into),
};

function wanted(session: TcpSession, target: TcpClusterConfig, streamInfo: StreamInfo): PickContext {
  pickContext.session = session;
  pickContext.random = (Math.random() * 0x7fffffff) | 0;
  const own = streamInfo.dynamicMetadata?.['envoy.lb'];
  pickContext.metadataMatch = own === undefined ? target.metadataMatch : { ...target.metadataMatch, ...own };
  pickContext.streamInfo = streamInfo;
  return pickContext;
}
