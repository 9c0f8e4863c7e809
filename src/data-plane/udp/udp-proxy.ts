// udp_proxy: datagrams of each peer go to one host through a session, and what the host sends comes back. With per-packet load
// balancing every datagram chooses its host, and there is a session for each peer and host.
import type { TimerWheel } from '#base/timer-wheel.ts';
import type { Uint64 } from '#base/uint64.ts';
import { HostHealth, type PickContext } from '#extension/load-balancer.ts';
import type { MatcherTree, MatchInput } from '#extension/matchers/matcher-tree.ts';
import { type UdpFilter, UdpFilterStatus, type UdpListener } from '#extension/udp-filter.ts';
import { UdpSocket } from '#net/udp-socket.ts';
import type { Cluster, ClusterLookup } from '../upstream/cluster.ts';
import type { UpstreamHost } from '../upstream/host.ts';
import type { UdpProxyConfig } from './udp-proxy-config.ts';
import type { UdpClusterStats, UdpProxyStats } from './udp-proxy-stats.ts';
import { UdpSession } from './udp-session.ts';

/** The addresses of a datagram, for the matcher. */
export interface UdpAddresses {
  readonly listener: UdpListener;
  readonly address: string;
  readonly port: number;
}

/** What is made when the configuration is prepared; see `prepare-udp-proxy.ts`. */
export interface UdpProxyParts {
  readonly config: UdpProxyConfig;
  readonly stats: UdpProxyStats;
  readonly clusters: ClusterLookup;
  readonly timers: TimerWheel;
  readonly matcher: MatcherTree<UdpAddresses, string> | undefined;
  /** Of `hash_policies`; undefined without. */
  readonly hash: ((address: string, into: Uint64) => void) | undefined;
  readonly logs: UdpLogs;
  clusterStats(cluster: Cluster): UdpClusterStats;
}

export interface UdpLogs {
  sessionEnded(session: UdpSession, isRefused: boolean): void;
  sessionLasts(session: UdpSession): void;
  /** `received`: bytes, also of datagrams that went nowhere. */
  proxyEnded(received: number): void;
}

let nextSessionId = 0;

export class UdpProxy implements UdpFilter, PickContext {
  readonly config: UdpProxyConfig;
  readonly stats: UdpProxyStats;
  readonly timers: TimerWheel;
  readonly #parts: UdpProxyParts;
  readonly #sessions = new Map<string, UdpSession>();
  // Of the host that is wanted right now.
  random = 0;
  readonly metadataMatch = undefined;
  #received = 0;
  #address = '';

  constructor(parts: UdpProxyParts) {
    this.config = parts.config;
    this.stats = parts.stats;
    this.timers = parts.timers;
    this.#parts = parts;
  }

  onDatagram(bytes: Buffer, address: string, port: number, listener: UdpListener): UdpFilterStatus {
    this.#received += bytes.length;
    const session = this.config.usesPerPacketLoadBalancing
      ? this.#sessionOfPacket(address, port, listener)
      : this.#sessionOfPeer(address, port, listener);
    session?.onDownstream(bytes);
    return UdpFilterStatus.StopIteration;
  }

  onReceiveError(): UdpFilterStatus {
    this.stats.downstreamSessRxErrors.value++;
    return UdpFilterStatus.StopIteration;
  }

  onClose(): void {
    for (const session of this.#sessions.values()) session.end();
    this.#parts.logs.proxyEnded(this.#received);
  }

  #sessionOfPeer(address: string, port: number, listener: UdpListener): UdpSession | undefined {
    const key = `${address} ${port}${listener.key}`;
    const session = this.#sessions.get(key);
    if (session === undefined) {
      const cluster = this.#cluster(address, port, listener);
      const host = cluster && this.#host(cluster, address);
      return host && this.#open(key, address, port, listener, cluster!, host);
    }
    if (session.host.health !== HostHealth.Unhealthy) return session;
    // The peer moves to a better host, where there is one.
    const host = session.cluster.pick(this.#pickContext(address));
    if (host === undefined || host === session.host || host.health === HostHealth.Unhealthy) return session;
    session.end();
    return this.#open(key, address, port, listener, session.cluster, host);
  }

  #sessionOfPacket(address: string, port: number, listener: UdpListener): UdpSession | undefined {
    const cluster = this.#cluster(address, port, listener);
    const host = cluster && this.#host(cluster, address);
    if (host === undefined) return undefined;
    const key = `${address} ${port}${listener.key} ${host.address}`;
    return this.#sessions.get(key) ?? this.#open(key, address, port, listener, cluster!, host);
  }

  #cluster(address: string, port: number, listener: UdpListener): Cluster | undefined {
    const { route } = this.config;
    const name = typeof route === 'string' ? route : this.#parts.matcher!.find({ listener, address, port });
    const cluster = name === undefined ? undefined : this.#parts.clusters.get(name);
    if (cluster === undefined) this.stats.downstreamSessNoRoute.value++;
    return cluster;
  }

  #host(cluster: Cluster, address: string): UpstreamHost | undefined {
    const host = cluster.pick(this.#pickContext(address));
    if (host === undefined) cluster.stats.upstreamCxNoneHealthy.value++;
    return host;
  }

  #pickContext(address: string): PickContext {
    this.random = (Math.random() * 0x7fffffff) | 0;
    this.#address = address;
    return this;
  }

  computeHash(into: Uint64): boolean {
    const { hash } = this.#parts;
    if (hash !== undefined) hash(this.#address, into);
    return hash !== undefined;
  }

  /** Undefined: the cluster has no room for another session. */
  #open(
    key: string,
    address: string,
    port: number,
    listener: UdpListener,
    cluster: Cluster,
    host: UpstreamHost,
  ): UdpSession | undefined {
    const { stats } = this;
    const id = nextSessionId++;
    const session = new UdpSession(
      this,
      key,
      id,
      address,
      port,
      listener,
      cluster,
      host,
      this.#parts.clusterStats(cluster),
    );
    stats.downstreamSessTotal.value++;
    if (!cluster.breakers[0].allowsConnection(0)) {
      cluster.stats.upstreamCxOverflow.value++;
      this.#parts.logs.sessionEnded(session, true);
      return undefined;
    }
    stats.downstreamSessActive.value++;
    this.#sessions.set(key, session);
    session.start();
    return session;
  }

  /** For a session that has something to send. */
  connect(session: UdpSession): UdpSocket | undefined {
    return UdpSocket.connect(session.host.ip, session.host.port, session);
  }

  logPeriodically(session: UdpSession): void {
    this.#parts.logs.sessionLasts(session);
  }

  onSessionEnd(session: UdpSession): void {
    this.#sessions.delete(session.key);
    this.stats.downstreamSessActive.value--;
    this.#parts.logs.sessionEnded(session, false);
  }
}

// Inputs of the matcher ------------------------------------------------------------------------------------------------------

export class SourceIp implements MatchInput<UdpAddresses> {
  read({ address }: UdpAddresses): string {
    return address;
  }
}

export class SourcePort implements MatchInput<UdpAddresses> {
  read({ port }: UdpAddresses): string {
    return String(port);
  }
}

export class DestinationIp implements MatchInput<UdpAddresses> {
  read({ listener, address }: UdpAddresses): string {
    return listener.localIp(address);
  }
}

export class DestinationPort implements MatchInput<UdpAddresses> {
  read({ listener }: UdpAddresses): string {
    return String(listener.localPort);
  }
}
