// The connections to one host for one protocol and priority, and the requests that wait for one. HTTP/1 and HTTP/2 differ only in
// how many streams a connection carries. Step 7 of a request's way.

import { addressText } from '#base/address-text.ts';
import { type TimerOwner, WheelTimer } from '#base/timer-wheel.ts';
import { turnMs } from '#base/turn.ts';
import { HostHealth } from '#extension/load-balancer.ts';
import type { TlsInfo } from '#extension/stream-info.ts';
import type { TransportOptions } from '#extension/transport-socket.ts';
import type { ClientCodec, ClientCodecOwner, CodecError, StreamDecoder, StreamEncoder } from '#http/codec.ts';
import { ResetReason } from '#http/codec.ts';
import {
  CloseEvent,
  CloseType,
  type Connection,
  type ConnectionOwner,
  connectFailureText,
} from '#net/connection.ts';
import type { CircuitBreaker } from './circuit-breaker.ts';
import type { Cluster } from './cluster.ts';
import type { UpstreamHost } from './host.ts';

/** Who waits for a stream. Implemented by the router's attempt. */
export interface PoolClient extends StreamDecoder {
  /** The stream is there. Called from inside `newStream` when a connection was free. */
  onPoolReady(encoder: StreamEncoder, connection: PooledConnection): void;
  /** No stream will come. `details`: transport failure in Envoy's words. `isPlaced`: false when no connection was even tried. */
  onPoolFailure(reason: ResetReason, details: string, isPlaced: boolean): void;
}

export class HttpPool {
  readonly cluster: Cluster;
  readonly host: UpstreamHost;
  readonly breaker: CircuitBreaker;
  /** 0 HTTP/1, 1 HTTP/2, 2 whichever ALPN says. */
  readonly protocol: number;
  /** 0 default, 1 high. */
  readonly priority: number;
  /** Of who asked first for a connection. */
  options: TransportOptions | undefined;
  /** Among the keyed pools of its host; empty when it is none of these. */
  readonly key: string;
  /** Connections with room for another stream, the last used at the end. */
  readonly ready: PooledConnection[] = [];
  readonly all: PooledConnection[] = [];
  readonly #pending: PoolClient[] = [];
  /** Counted among the cluster's pools. */
  isOpen = true;
  #connecting = 0;
  #isDraining = false;

  constructor(
    cluster: Cluster,
    host: UpstreamHost,
    breaker: CircuitBreaker,
    protocol: number,
    priority: number,
    options: TransportOptions | undefined,
    key: string,
  ) {
    this.cluster = cluster;
    this.host = host;
    this.breaker = breaker;
    this.protocol = protocol;
    this.priority = priority;
    this.options = options;
    this.key = key;
  }

  newStream(client: PoolClient): void {
    const ready = this.ready;
    if (ready.length > 0) {
      this.#attach(ready[ready.length - 1]!, client);
      if (this.cluster.config.preconnectRatio > 1) this.#connectIfNeeded();
      return;
    }
    const stats = this.cluster.stats;
    if (!this.breaker.allowsPending) {
      client.onPoolFailure(ResetReason.Overflow, '', false);
      stats.upstreamRqPendingOverflow.value++;
      return;
    }
    stats.upstreamRqPendingTotal.value++;
    stats.upstreamRqPendingActive.value++;
    this.breaker.addPending(1);
    this.host.pendingRequests++;
    this.#pending.push(client);
    this.#connectIfNeeded();
  }

  /** Takes back a request that still waits. */
  cancel(client: PoolClient): void {
    const at = this.#pending.indexOf(client);
    if (at < 0) return;
    this.#pending.splice(at, 1);
    this.cluster.stats.upstreamRqCancelled.value++;
    this.#countUnpending();
  }

  /** No new streams on the present connections; idle ones close now. */
  drain(): void {
    for (let i = this.all.length - 1; i >= 0; i--) {
      const it = this.all[i]!;
      // What waits for a connection that is on its way gets it first.
      if (it.isConnected || this.#pending.length === 0) it.drain();
    }
  }

  /** The host is gone: as `drain`, and connections are not reused for ever after. */
  shutDown(): void {
    this.#isDraining = true;
    this.drain();
    this.#checkEmpty();
  }

  /** For another pool to have its place. */
  closeIfIdle(): boolean {
    if (!this.isOpen || this.#pending.length > 0 || this.#streams() > 0) return false;
    for (let i = this.all.length - 1; i >= 0; i--) this.all[i]!.close(ResetReason.LocalReset, '');
    this.#checkEmpty();
    return true;
  }

  #attach(connection: PooledConnection, client: PoolClient): void {
    const stats = this.cluster.stats;
    if (!this.breaker.allowsRequest) {
      client.onPoolFailure(ResetReason.Overflow, '', true);
      stats.upstreamRqActiveOverflow.value++;
      return;
    }
    stats.upstreamRqTotal.value++;
    stats.upstreamRqActive.value++;
    this.host.rqTotal.value++;
    this.host.activeRequests++;
    this.breaker.addRequests(1);
    connection.open(client);
  }

  /** At most three connections at a time, as in Envoy: a host that was away for long is not overrun. */
  #connectIfNeeded(): void {
    for (let i = 0; i < 3 && this.#needsConnection(); i++) {
      const isAllowed = this.breaker.allowsConnection(this.host.cxActive.value);
      if (!isAllowed) {
        this.cluster.stats.upstreamCxOverflow.value++;
        // With no connection at all to this host the request would wait for ever.
        if (this.all.length > 0) return;
      }
      this.#connecting++;
      const connection = new PooledConnection(this);
      this.all.push(connection);
      connection.connect();
      if (connection.isGone || !isAllowed) return;
    }
  }

  #needsConnection(): boolean {
    const perConnection = this.#streamsPerConnection();
    const pending = this.#pending.length;
    const connecting = this.#connecting * perConnection;
    const ratio = this.cluster.config.preconnectRatio;
    if (ratio <= 1 || this.host.health !== HostHealth.Healthy) return pending > connecting;
    const active = this.#streams();
    let room = connecting;
    for (let i = 0; i < this.ready.length; i++) room += this.ready[i]!.room;
    return (pending + active) * ratio > room + active;
  }

  /** As far as it is known before the connection is there. */
  #streamsPerConnection(): number {
    if (this.protocol === 0 || this.protocol === 3) return 1;
    const { http2, maxRequestsPerConnection: most } = this.cluster.config.http;
    return most > 0 && most < http2.maxConcurrentStreams ? most : http2.maxConcurrentStreams;
  }

  #streams(): number {
    let active = 0;
    for (let i = 0; i < this.all.length; i++) active += this.all[i]!.active;
    return active;
  }

  #countUnpending(): void {
    this.cluster.stats.upstreamRqPendingActive.value--;
    this.breaker.addPending(-1);
    this.host.pendingRequests--;
  }

  #checkEmpty(): void {
    if (this.all.length === 0 && this.#pending.length === 0) this.cluster.onPoolEmpty(this);
  }

  // Called by connections ---------------------------------------------------------------------------------------------------

  onConnected(connection: PooledConnection): void {
    this.#connecting--;
    this.onRoom(connection);
  }

  /** The connection can take a stream: a waiting request, else it rests in `ready`. */
  onRoom(connection: PooledConnection): void {
    if (connection.isGone || connection.isDraining) return;
    if (!connection.isReady) {
      connection.isReady = true;
      this.ready.push(connection);
    }
    while (this.#pending.length > 0 && this.ready.length > 0) {
      const client = this.#pending.shift()!;
      this.#countUnpending();
      this.#attach(this.ready[this.ready.length - 1]!, client);
    }
    if (this.#pending.length > 0) this.#connectIfNeeded();
    else if (this.#isDraining) this.drain();
  }

  onFull(connection: PooledConnection): void {
    if (!connection.isReady) return;
    connection.isReady = false;
    const ready = this.ready;
    if (ready[ready.length - 1] === connection) ready.pop();
    else {
      const at = ready.indexOf(connection);
      if (at >= 0) ready.splice(at, 1);
    }
  }

  onStreamOver(): void {
    this.cluster.stats.upstreamRqActive.value--;
    this.host.activeRequests--;
    this.breaker.addRequests(-1);
  }

  onGone(connection: PooledConnection, wasConnected: boolean, reason: ResetReason, details: string): void {
    this.onFull(connection);
    const at = this.all.indexOf(connection);
    if (at >= 0) this.all.splice(at, 1);
    if (!wasConnected) {
      this.#connecting--;
      // A failed connection takes every waiting request with it, as Envoy does.
      const pending = this.#pending.splice(0);
      this.cluster.stats.upstreamRqPendingFailureEject.value += pending.length;
      // A request counts until it has heard of it: the budget of retries is a share of those.
      for (let i = 0; i < pending.length; i++) {
        pending[i]!.onPoolFailure(reason, details, true);
        this.#countUnpending();
      }
    }
    if (!this.#isDraining || this.#pending.length > 0) this.#connectIfNeeded();
    this.#checkEmpty();
  }
}

/** Some servers take leave of an idle connection with a 408. That is no protocol error. */
function isTimeoutNotice(bytes: Buffer): boolean {
  return bytes[0] === LETTER_H && /^HTTP\/1\.[01] 408 /.test(bytes.toString('latin1', 0, 13));
}
const LETTER_H = 72;

const Timer = { Connect: 0, Life: 1 } as const;

/** One connection of a pool, with its codec. */
export class PooledConnection implements ConnectionOwner, ClientCodecOwner, TimerOwner {
  readonly pool: HttpPool;
  connection: Connection | undefined = undefined;
  tls: TlsInfo | undefined = undefined;
  codec: ClientCodec | undefined = undefined;
  isReady = false;
  isDraining = false;
  isGone = false;
  isConnected = false;
  /** Streams opened so far and still open. */
  requests = 0;
  active = 0;
  localAddress = '';
  connectStartMs = 0;
  connectEndMs = 0;
  /** Connect timeout until connected, then idle timeout while nothing is open. */
  readonly #timer = new WheelTimer(this, Timer.Connect);
  #lifeTimer: WheelTimer | undefined = undefined;
  #maxStreams = 1;
  #isReading = false;
  #gotGoAway = false;
  #closeReason: ResetReason = ResetReason.None;
  #closeDetails = '';

  constructor(pool: HttpPool) {
    this.pool = pool;
  }

  get id(): number {
    return this.connection!.id;
  }

  /** How many streams more it can take. */
  get room(): number {
    const left = this.#maxStreams - this.active;
    const limit = this.pool.cluster.config.http.maxRequestsPerConnection;
    return limit > 0 && limit - this.requests < left ? limit - this.requests : left;
  }

  connect(): void {
    const { cluster, host, breaker } = this.pool;
    const stats = cluster.stats;
    stats.upstreamCxTotal.value++;
    stats.upstreamCxActive.value++;
    if (this.pool.protocol === 0) stats.upstreamCxHttp1Total.value++;
    else if (this.pool.protocol === 1) stats.upstreamCxHttp2Total.value++;
    host.cxTotal.value++;
    host.cxActive.value++;
    breaker.addConnections(1);
    this.connectStartMs = turnMs();
    const connection = cluster.connect(host, this, this.pool.protocol, this.pool.options);
    this.connection = connection;
    connection.rxBytes = stats.upstreamCxRxBytesTotal;
    connection.txBytes = stats.upstreamCxTxBytesTotal;
    connection.rxBuffered = stats.upstreamCxRxBytesBuffered;
    connection.txBuffered = stats.upstreamCxTxBytesBuffered;
    if (cluster.config.connectTimeoutMs > 0)
      cluster.timers.start(this.#timer, cluster.config.connectTimeoutMs);
  }

  open(client: PoolClient): void {
    const cluster = this.pool.cluster;
    this.requests++;
    this.active++;
    const limit = cluster.config.http.maxRequestsPerConnection;
    if (limit > 0 && this.requests >= limit && !this.isDraining) {
      this.isDraining = true;
      cluster.stats.upstreamCxMaxRequests.value++;
    }
    if (this.active >= this.#maxStreams || this.isDraining) this.pool.onFull(this);
    client.onPoolReady(this.codec!.newStream(client), this);
  }

  drain(): void {
    if (this.isGone || this.isDraining) return;
    this.isDraining = true;
    this.pool.onFull(this);
    if (this.active === 0) this.#close(CloseType.NoFlush);
  }

  onTimeout(id: number): void {
    const { stats } = this.pool.cluster;
    if (id === Timer.Life) {
      stats.upstreamCxMaxDurationReached.value++;
      this.drain();
    } else if (!this.isConnected) {
      stats.upstreamCxConnectTimeout.value++;
      this.close(ResetReason.ConnectionTimeout, '');
    } else if (this.active === 0) {
      stats.upstreamCxIdleTimeout.value++;
      this.close(ResetReason.LocalReset, '');
    }
  }

  /** Ends a stream that is under way. HTTP/1 has no other means than the connection. */
  resetStream(encoder: StreamEncoder): void {
    if (this.codec!.protocol !== 'HTTP/2') {
      this.close(ResetReason.LocalReset, '');
      return;
    }
    this.pool.cluster.stats.upstreamRqTxReset.value++;
    encoder.reset(ResetReason.LocalReset);
  }

  /** A stream has broken off. HTTP/1 has no resets: there the connection ends. */
  countReset(reason: ResetReason): void {
    if (this.codec!.protocol !== 'HTTP/2') return;
    const { stats } = this.pool.cluster;
    switch (reason) {
      case ResetReason.RemoteReset:
      case ResetReason.RemoteResetNoError:
        stats.upstreamRqRxReset.value++;
        break;
      case ResetReason.ProtocolError:
        stats.upstreamRqTxReset.value++;
        break;
      case ResetReason.ConnectionTermination:
        stats.upstreamRqPendingFailureEject.value++;
    }
  }

  close(reason: ResetReason, details: string): void {
    this.#closeReason = reason;
    this.#closeDetails = details;
    this.#close(CloseType.NoFlush);
  }

  #close(type: CloseType): void {
    this.connection?.close(type);
  }

  // ConnectionOwner ---------------------------------------------------------------------------------------------------------

  onConnected(): void {
    const { cluster } = this.pool;
    this.isConnected = true;
    this.connectEndMs = turnMs();
    const { socket } = this.connection!;
    this.localAddress =
      socket.localAddress === undefined ? '' : addressText(socket.localAddress, socket.localPort!);
    this.tls = cluster.transport.tlsInfo(socket);
    cluster.timers.cancel(this.#timer);
    const { http } = cluster.config;
    if (http.idleTimeoutMs > 0) cluster.timers.start(this.#timer, http.idleTimeoutMs);
    if (http.maxConnectionDurationMs > 0) {
      this.#lifeTimer = new WheelTimer(this, Timer.Life);
      cluster.timers.start(this.#lifeTimer, http.maxConnectionDurationMs);
    }
    cluster.stats.upstreamCxConnectMs.record(this.connectEndMs - this.connectStartMs);
    const codec = cluster.newCodec(this.connection!, this, this.pool.protocol);
    this.codec = codec;
    const isHttp2 = codec.protocol === 'HTTP/2';
    if (isHttp2) this.#maxStreams = http.http2.maxConcurrentStreams;
    // With ALPN it is known only now: Envoy makes another client then, and counts that like a connection of its own.
    if (this.pool.protocol === 2) {
      cluster.stats.upstreamCxTotal.value++;
      this.pool.host.cxTotal.value++;
      if (isHttp2) cluster.stats.upstreamCxHttp2Total.value++;
      else cluster.stats.upstreamCxHttp1Total.value++;
    }
    this.pool.onConnected(this);
  }

  onData(bytes: Buffer): void {
    if (this.active === 0 && isTimeoutNotice(bytes)) {
      this.close(ResetReason.LocalReset, '');
      return;
    }
    this.#isReading = true;
    this.codec?.onData(bytes);
    this.#isReading = false;
  }

  /** Only raw connections keep their write side. */
  onEnd(): void {
    this.codec?.onEnd();
  }

  onClose(event: CloseEvent): void {
    if (this.isGone) return;
    this.isGone = true;
    const { cluster, host, breaker } = this.pool;
    const stats = cluster.stats;
    const connection = this.connection;
    stats.upstreamCxActive.value--;
    host.cxActive.value--;
    breaker.addConnections(-1);
    stats.upstreamCxDestroy.value++;
    if (event === CloseEvent.Remote) stats.upstreamCxDestroyRemote.value++;
    else stats.upstreamCxDestroyLocal.value++;
    stats.upstreamCxLengthMs.record(turnMs() - this.connectStartMs);
    if (this.isConnected && this.pool.protocol !== 3) stats.upstreamRqPerCx.record(this.requests);
    // The end of the connection may be the end of a response.
    if (this.isConnected && event === CloseEvent.Remote && this.pool.protocol !== 3) this.codec?.onEnd();
    // Streams of HTTP/2 that end by a mistake of the protocol are reset before.
    const isReset = this.#closeReason === ResetReason.ProtocolError && this.codec?.protocol === 'HTTP/2';
    if (this.active > 0 && this.codec?.isComplete !== true && !isReset) {
      stats.upstreamCxDestroyWithActiveRq.value++;
      if (event === CloseEvent.Remote) stats.upstreamCxDestroyRemoteWithActiveRq.value++;
      else stats.upstreamCxDestroyLocalWithActiveRq.value++;
    }
    if (this.isConnected) {
      const details = connection?.failureReason ?? '';
      this.codec?.onConnectionClose(
        this.#closeReason === ResetReason.None ? ResetReason.ConnectionTermination : this.#closeReason,
        this.#closeDetails === '' ? details : this.#closeDetails,
      );
      while (this.active > 0) {
        this.active--;
        this.pool.onStreamOver();
      }
      cluster.timers.cancel(this.#timer);
      if (this.#lifeTimer !== undefined) cluster.timers.cancel(this.#lifeTimer);
      this.pool.onGone(this, true, ResetReason.ConnectionTermination, '');
      return;
    }
    cluster.timers.cancel(this.#timer);
    if (this.pool.protocol === 1) cluster.countUnusedHttp2();
    if (connection?.hasFailedToBind) stats.bindErrors.value++;
    stats.upstreamCxConnectFail.value++;
    host.cxConnectFail.value++;
    this.pool.onGone(
      this,
      false,
      this.#closeReason === ResetReason.None
        ? event === CloseEvent.Local
          ? ResetReason.LocalConnectionFailure
          : ResetReason.RemoteConnectionFailure
        : this.#closeReason,
      connection === undefined || connection.failureReason === ''
        ? this.#closeDetails
        : connectFailureText(connection.failureReason),
    );
  }

  onAboveWriteBufferHighWatermark(): void {
    this.pool.cluster.stats.upstreamFlowControlBackedUpTotal.value++;
    this.codec?.onAboveWriteBufferHighWatermark();
  }

  onBelowWriteBufferLowWatermark(): void {
    this.pool.cluster.stats.upstreamFlowControlDrainedTotal.value++;
    this.codec?.onBelowWriteBufferLowWatermark();
  }

  // ClientCodecOwner --------------------------------------------------------------------------------------------------------

  onStreamEnd(reusable: boolean): void {
    this.active--;
    this.pool.onStreamOver();
    if (this.active === 0) {
      const { timers, config } = this.pool.cluster;
      if (config.http.idleTimeoutMs > 0) timers.start(this.#timer, config.http.idleTimeoutMs);
    }
    if (!reusable) {
      this.isDraining = true;
      this.pool.onFull(this);
    }
    if (this.isDraining) {
      if (this.active > 0) return;
      // Envoy takes it amiss when its codec is cut off by the end of a stream, a reset behind GOAWAY excepted.
      if (this.#isReading && !(reusable && this.#gotGoAway) && this.codec!.protocol === 'HTTP/2')
        this.pool.cluster.stats.upstreamCxProtocolError.value++;
      this.#close(CloseType.NoFlush);
      return;
    }
    if (this.room > 0) this.pool.onRoom(this);
  }

  onTunnelEnd(): void {
    this.#close(CloseType.FlushWrite);
  }

  onGoAway(): void {
    this.#gotGoAway = true;
    this.pool.cluster.stats.upstreamCxCloseNotify.value++;
    this.drain();
  }

  onMaxStreams(limit: number): void {
    const wanted = this.pool.cluster.config.http.http2.maxConcurrentStreams;
    this.#maxStreams = limit < wanted ? limit : wanted;
    if (this.active >= this.#maxStreams) this.pool.onFull(this);
    else if (this.isConnected) this.pool.onRoom(this);
  }

  onCodecError(error: CodecError): void {
    if (error.isSilence === true) {
      this.close(ResetReason.ConnectionTermination, '');
      return;
    }
    this.pool.cluster.stats.upstreamCxProtocolError.value++;
    // Envoy names the reason only.
    this.close(ResetReason.ProtocolError, this.codec?.protocol === 'HTTP/2' ? '' : error.details);
  }

  onReadDisable(disable: boolean): void {
    const stats = this.pool.cluster.stats;
    if (disable) stats.upstreamFlowControlPausedReadingTotal.value++;
    else stats.upstreamFlowControlResumedReadingTotal.value++;
    this.connection?.readDisable(disable);
  }
}
