// A session's own connection to a host, with what is counted of it. Sessions never share one: there is nothing to pool.
import { addressText } from '#base/address-text.ts';
import { turnMs } from '#base/turn.ts';
import type { TransportOptions } from '#extension/transport-socket.ts';
import { noByteCounts } from '#http/byte-counts.ts';
import {
  CloseEvent,
  CloseType,
  type Connection,
  type ConnectionOwner,
  connectFailureText,
} from '#net/connection.ts';
import type { RequestUpstreamInfo } from '../http/request-info.ts';
import { type Cluster, rawPool } from '../upstream/cluster.ts';
import type { HostUser, UpstreamHost } from '../upstream/host.ts';
import type { SessionUpstream, UpstreamOwner } from './session-upstream.ts';
import type { TcpProxyStats } from './tcp-proxy-stats.ts';

export class TcpUpstream implements SessionUpstream, ConnectionOwner, HostUser {
  isConnected = false;
  isGone = false;
  hasEnded = false;
  readonly ownBytes = noByteCounts;
  readonly #session: UpstreamOwner;
  readonly #cluster: Cluster;
  readonly #host: UpstreamHost;
  readonly #options: TransportOptions | undefined;
  readonly #info: RequestUpstreamInfo;
  readonly #stats: TcpProxyStats;
  readonly #startMs = turnMs();
  #connection: Connection = undefined as never;
  isFlushing = false;
  /** The session went before there was a connection. */
  #isCancelled = false;
  /** Its end closed the connection, though it is us who close it. */
  #endedLast = false;

  constructor(
    session: UpstreamOwner,
    cluster: Cluster,
    host: UpstreamHost,
    options: TransportOptions | undefined,
    info: RequestUpstreamInfo,
    stats: TcpProxyStats,
  ) {
    this.#session = session;
    this.#cluster = cluster;
    this.#host = host;
    this.#options = options;
    this.#info = info;
    this.#stats = stats;
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
    if (this.#cluster.config.closesFailed) (this.#host.users ??= new Set()).add(this);
    const connection = this.#cluster.connect(this.#host, this, rawPool, this.#options);
    this.#connection = connection;
    connection.rxBytes = stats.upstreamCxRxBytesTotal;
    connection.txBytes = stats.upstreamCxTxBytesTotal;
    connection.rxBuffered = stats.upstreamCxRxBytesBuffered;
    connection.txBuffered = stats.upstreamCxTxBytesBuffered;
  }

  write(data: Buffer): void {
    this.#connection.write(data);
  }

  end(): void {
    this.#connection.end();
  }

  close(event: CloseEvent, wasReset: boolean): void {
    if (this.isGone) return;
    this.#isCancelled = !this.isConnected;
    if (this.isConnected && wasReset) this.#connection.close(CloseType.Abort);
    else if (this.isConnected && event === CloseEvent.Remote) this.#flush();
    else this.#connection.close(CloseType.NoFlush);
  }

  closeEnded(wasLast: boolean): void {
    this.#endedLast = wasLast;
    this.#flush();
  }

  #flush(): void {
    this.#connection.close(CloseType.FlushWrite);
    if (this.#connection.isClosed) return;
    this.isFlushing = true;
    this.#stats.upstreamFlushTotal.value++;
    this.#stats.upstreamFlushActive.value++;
  }

  abandon(): void {
    this.#cluster.stats.upstreamCxConnectTimeout.value++;
    this.#connection.close(CloseType.NoFlush);
  }

  readDisable(disable: boolean): void {
    if (this.isGone || !this.isConnected) return;
    const { stats } = this.#cluster;
    if (disable) stats.upstreamFlowControlPausedReadingTotal.value++;
    else stats.upstreamFlowControlResumedReadingTotal.value++;
    this.#connection.readDisable(disable);
  }

  /** What it carries finishes. */
  onHostRemoved(): void {}

  onHostFailed(): void {
    const wasConnected = this.isConnected;
    this.#connection.close(CloseType.NoFlush);
    if (wasConnected) this.#session.onUpstreamGone(false);
  }

  // ConnectionOwner ---------------------------------------------------------------------------------------------------------

  onConnected(): void {
    const { stats, breakers, transport } = this.#cluster;
    const connection = this.#connection;
    const info = this.#info;
    this.isConnected = true;
    this.#settled();
    breakers[0].addRequests(1);
    info.connectStartMs = this.#startMs;
    info.connectEndMs = turnMs();
    stats.upstreamCxConnectMs.record(info.connectEndMs - this.#startMs);
    this.#host.rqTotal.value++;
    this.#host.activeRequests++;
    stats.upstreamRqTotal.value++;
    stats.upstreamRqActive.value++;
    const { localAddress, localPort } = connection.socket;
    info.localAddress = localAddress === undefined ? '' : addressText(localAddress, localPort!);
    info.connectionId = connection.id;
    info.tls = transport.tlsInfo(connection.socket);
    info.filterState = this.#options?.shared;
    connection.halfClose = true;
    this.#session.onUpstreamConnected(this);
  }

  onData(bytes: Buffer): void {
    this.#session.onUpstreamData(bytes);
  }

  onEnd(): void {
    this.hasEnded = true;
    this.#session.onUpstreamEnd();
  }

  onClose(closeEvent: CloseEvent): void {
    if (this.isGone) return;
    const event = this.#endedLast ? CloseEvent.Remote : closeEvent;
    this.isGone = true;
    this.#host.users?.delete(this);
    const { stats, breakers } = this.#cluster;
    breakers[0].addConnections(-1);
    stats.upstreamCxActive.value--;
    this.#host.cxActive.value--;
    stats.upstreamCxDestroy.value++;
    if (event === CloseEvent.Remote) stats.upstreamCxDestroyRemote.value++;
    else stats.upstreamCxDestroyLocal.value++;
    stats.upstreamCxLengthMs.record(turnMs() - this.#startMs);
    if (this.isFlushing) {
      this.#stats.upstreamFlushActive.value--;
      this.#session.onFlushed();
    }
    if (!this.isConnected) {
      this.#settled();
      if (this.#isCancelled) stats.upstreamRqCancelled.value++;
      else stats.upstreamRqPendingFailureEject.value++;
      if (this.#connection.hasFailedToBind) stats.bindErrors.value++;
      stats.upstreamCxConnectFail.value++;
      this.#host.cxConnectFail.value++;
      const reason = this.#connection.failureReason;
      this.#session.onConnectFailed(reason === '' ? '' : connectFailureText(reason), true);
      return;
    }
    stats.upstreamRqActive.value--;
    this.#host.activeRequests--;
    breakers[0].addRequests(-1);
    stats.upstreamCxDestroyWithActiveRq.value++;
    if (event === CloseEvent.Remote) stats.upstreamCxDestroyRemoteWithActiveRq.value++;
    else stats.upstreamCxDestroyLocalWithActiveRq.value++;
    if (event === CloseEvent.Remote) {
      const wasReset = this.#connection.failureCode === 'ECONNRESET';
      if (wasReset) this.#info.detectedCloseType = 'RemoteReset';
      this.#session.onUpstreamGone(wasReset);
    }
  }

  onAboveWriteBufferHighWatermark(): void {
    this.#cluster.stats.upstreamFlowControlBackedUpTotal.value++;
    this.#session.onUpstreamWatermark(true);
  }

  onBelowWriteBufferLowWatermark(): void {
    this.#cluster.stats.upstreamFlowControlDrainedTotal.value++;
    this.#session.onUpstreamWatermark(false);
  }

  /** The session does not wait any more. */
  #settled(): void {
    this.#cluster.stats.upstreamRqPendingActive.value--;
    this.#cluster.breakers[0].addPending(-1);
  }
}
