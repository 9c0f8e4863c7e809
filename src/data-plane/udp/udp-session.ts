// A session of udp_proxy: one peer, one host, a socket of its own between them. It ends when neither has sent anything for the
// idle timeout, and with its host, its cluster or its listener.
import { type TimerOwner, WheelTimer } from '#base/timer-wheel.ts';
import type { UdpListener } from '#extension/udp-filter.ts';
import type { DatagramReader, UdpSocket } from '#net/udp-socket.ts';
import type { Cluster } from '../upstream/cluster.ts';
import type { HostUser, UpstreamHost } from '../upstream/host.ts';
import type { UdpProxy } from './udp-proxy.ts';
import type { UdpClusterStats } from './udp-proxy-stats.ts';

const Timer = { Idle: 0, Log: 1 } as const;

export class UdpSession implements DatagramReader, HostUser, TimerOwner {
  /** In the proxy's table. */
  readonly key: string;
  readonly id: number;
  readonly address: string;
  readonly port: number;
  /** Where the peer sends to, and is answered from. */
  readonly listener: UdpListener;
  readonly cluster: Cluster;
  readonly host: UpstreamHost;
  readonly startMs: number = performance.now();
  rxBytes = 0;
  rxDatagrams = 0;
  txBytes = 0;
  txDatagrams = 0;
  txErrors = 0;
  /** Of log lines; empty before the first. */
  streamId = '';
  /** Undefined before the first datagram could be sent. */
  socket: UdpSocket | undefined = undefined;
  readonly #proxy: UdpProxy;
  readonly #clusterStats: UdpClusterStats;
  readonly #idle = new WheelTimer(this, Timer.Idle);
  #log: WheelTimer | undefined = undefined;
  #isOver = false;

  constructor(
    proxy: UdpProxy,
    key: string,
    id: number,
    address: string,
    port: number,
    listener: UdpListener,
    cluster: Cluster,
    host: UpstreamHost,
    clusterStats: UdpClusterStats,
  ) {
    this.#proxy = proxy;
    this.key = key;
    this.id = id;
    this.address = address;
    this.port = port;
    this.listener = listener;
    this.cluster = cluster;
    this.host = host;
    this.#clusterStats = clusterStats;
  }

  start(): void {
    const { logIntervalMs } = this.#proxy.config;
    this.cluster.breakers[0].addConnections(1);
    (this.host.users ??= new Set()).add(this);
    if (logIntervalMs === 0) return;
    this.#log = new WheelTimer(this, Timer.Log);
    this.#proxy.timers.start(this.#log, logIntervalMs);
  }

  /** Hot. From the peer to the host. */
  onDownstream(bytes: Buffer): void {
    const { stats, timers, config } = this.#proxy;
    const { length } = bytes;
    stats.downstreamSessRxBytes.value += length;
    stats.downstreamSessRxDatagrams.value++;
    this.rxBytes += length;
    this.rxDatagrams++;
    timers.start(this.#idle, config.idleTimeoutMs);
    const socket = (this.socket ??= this.#proxy.connect(this));
    if (socket?.send(bytes) !== true) {
      this.#clusterStats.sessTxErrors.value++;
      return;
    }
    this.#clusterStats.sessTxDatagrams.value++;
    this.cluster.stats.upstreamCxTxBytesTotal.value += length;
  }

  /** Hot. From the host to the peer. */
  onDatagram(bytes: Buffer): void {
    const { stats, timers, config } = this.#proxy;
    const { length } = bytes;
    timers.start(this.#idle, config.idleTimeoutMs);
    if (length > config.maxUpstreamDatagramBytes) {
      this.#clusterStats.sessRxDatagramsDropped.value++;
      return;
    }
    this.#clusterStats.sessRxDatagrams.value++;
    this.cluster.stats.upstreamCxRxBytesTotal.value += length;
    if (!this.listener.send(bytes, this.address, this.port)) {
      stats.downstreamSessTxErrors.value++;
      this.txErrors++;
      return;
    }
    stats.downstreamSessTxBytes.value += length;
    stats.downstreamSessTxDatagrams.value++;
    this.txBytes += length;
    this.txDatagrams++;
  }

  onReceiveError(): void {
    this.#clusterStats.sessRxErrors.value++;
    this.#proxy.timers.start(this.#idle, this.#proxy.config.idleTimeoutMs);
  }

  onTimeout(id: number): void {
    if (id === Timer.Log) {
      this.#proxy.logPeriodically(this);
      this.#proxy.timers.start(this.#log!, this.#proxy.config.logIntervalMs);
      return;
    }
    this.#proxy.stats.idleTimeout.value++;
    this.end();
  }

  /** The next datagram looks at the host's health. */
  onHostFailed(): void {}

  onHostRemoved(): void {
    this.end();
  }

  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const { timers } = this.#proxy;
    timers.cancel(this.#idle);
    if (this.#log !== undefined) timers.cancel(this.#log);
    this.host.users?.delete(this);
    this.cluster.breakers[0].addConnections(-1);
    this.#proxy.onSessionEnd(this);
    this.socket?.close();
  }
}
