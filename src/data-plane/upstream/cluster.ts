// A cluster in a worker: limits, counters, hosts, the policy that chooses one, and the pools. Step 7 of a request's way.
// Health checks, outlier detection and subsets belong into this folder; priorities and panic are `priority-set.ts`.

import type { TimerWheel } from '#base/timer-wheel.ts';
import type { HashPolicies } from '#extension/hash-policy.ts';
import type { LoadBalancer, PickContext, WaitingLoadBalancer } from '#extension/load-balancer.ts';
import type { TransportOptions, UpstreamTransport } from '#extension/transport-socket.ts';
import { type ByteSink, type ClientCodec, type ClientCodecOwner, ResetReason } from '#http/codec.ts';
import type { Connection, ConnectionOwner } from '#net/connection.ts';
import type { UpstreamFilterPlan } from '../http/attempt-filters.ts';
import type { MirrorPolicy, RetryPolicy } from '../http/route-entry.ts';
import { CircuitBreaker } from './circuit-breaker.ts';
import type { ClusterConfig } from './cluster-config.ts';
import type { CircuitBreakerStats, ClusterStats } from './cluster-stats.ts';
import type { ClusterTracking } from './cluster-tracking.ts';
import type { ClusterUsage } from './cluster-usage.ts';
import type { ClusterCodeStats } from './code-stats.ts';
import type { UpstreamHost } from './host.ts';
import { HttpPool } from './http-pool.ts';
import type { LiveThresholds } from './live-thresholds.ts';
import { TcpCodec } from './tcp-codec.ts';

/** How a cluster opens connections and speaks on them: given by `prepare-cluster.ts`, so that this file stays small and hot. */
export interface Dialer {
  open(
    cluster: Cluster,
    host: UpstreamHost,
    owner: ConnectionOwner,
    alpn: readonly string[],
    options: TransportOptions | undefined,
  ): Connection;
  http1(sink: ByteSink, owner: ClientCodecOwner): ClientCodec;
  http2(sink: ByteSink, owner: ClientCodecOwner): ClientCodec;
  /** Of a connection that has not come about: Envoy makes the codec first. */
  countUnusedHttp2(): void;
  /** For the health checks of the main thread. */
  reportImmediateFail(hostKey: string): void;
}

/** The pool of raw connections, for the payload of a CONNECT; the others are `UpstreamProtocol`. */
export const rawPool = 3;

export const alpnOfHttp1: readonly string[] = ['http/1.1'];
export const alpnOfHttp2: readonly string[] = ['h2'];
const alpnByProtocol: readonly (readonly string[])[] = [alpnOfHttp1, alpnOfHttp2, ['h2', 'http/1.1'], []];

/** The clusters of a worker by name. */
export interface ClusterLookup {
  get(name: string): Cluster | undefined;
}

export class Cluster {
  readonly config: ClusterConfig;
  readonly stats: ClusterStats;
  readonly codes: ClusterCodeStats;
  readonly breakers: readonly [CircuitBreaker, CircuitBreaker];
  readonly transport: UpstreamTransport;
  readonly lb: LoadBalancer;
  readonly timers: TimerWheel;
  /** The runtime key that says how many percent of the requests are turned away. */
  readonly maintenanceKey: string;
  /** Undefined: nobody wants to know. */
  readonly tracking: ClusterTracking | undefined;
  /** Instead of the router's. */
  upstreamFilters: UpstreamFilterPlan | null = null;
  /** Instead of the route's. */
  retryPolicy: RetryPolicy | null = null;
  mirrorPolicies: readonly MirrorPolicy[] = [];
  hashPolicies: HashPolicies | undefined = undefined;
  readonly #dialer: Dialer;
  /** Every present host, by address. */
  hosts: ReadonlyMap<string, UpstreamHost> = new Map();

  constructor(
    config: ClusterConfig,
    stats: ClusterStats,
    codes: ClusterCodeStats,
    breakerStats: readonly [CircuitBreakerStats, CircuitBreakerStats],
    limits: readonly [LiveThresholds, LiveThresholds],
    usage: readonly [ClusterUsage, ClusterUsage],
    transport: UpstreamTransport,
    lb: LoadBalancer,
    timers: TimerWheel,
    tracking: ClusterTracking | undefined,
    dialer: Dialer,
  ) {
    this.config = config;
    this.stats = stats;
    this.codes = codes;
    this.breakers = [
      new CircuitBreaker(limits[0], breakerStats[0], usage[0]),
      new CircuitBreaker(limits[1], breakerStats[1], usage[1]),
    ];
    this.transport = transport;
    this.lb = lb;
    this.timers = timers;
    this.maintenanceKey = `upstream.maintenance_mode.${config.name}`;
    this.tracking = tracking;
    this.#dialer = dialer;
  }

  /** Hot. Undefined: no host is usable; the caller counts and answers. */
  pick(context: PickContext): UpstreamHost | undefined {
    return this.lb.pick(context) as UpstreamHost | undefined;
  }

  /** After `pick` had no host: see `WaitingLoadBalancer`. */
  awaitHost(context: PickContext, onEnd: (details: string) => void): (() => void) | string {
    const lb = this.lb as Partial<WaitingLoadBalancer>;
    return lb.awaitHost?.(context, onEnd) ?? 'no_healthy_upstream';
  }

  /**
   * `protocol`: 0 HTTP/1, 1 HTTP/2, 2 by ALPN. `priority`: 0 default, 1 high. `downstream`: the id of the client's connection, 0 for
   * none. Undefined: there are too many pools.
   */
  pool(
    host: UpstreamHost,
    protocol: number,
    priority: number,
    options: TransportOptions | undefined,
    downstream: number,
  ): HttpPool | undefined {
    let key = options === undefined ? '' : (this.transport.poolKey?.(options) ?? '') + options.sharedKey;
    if (this.config.poolPerDownstream && downstream !== 0) key = `${downstream} ${key}`;
    if (key !== '') return this.#keyedPool(host, protocol, priority, options, key);
    const at = protocol * 2 + priority;
    const pool = host.pools[at];
    if (pool?.isOpen === true) return pool;
    if (!this.#admitsPool(host, protocol, priority)) return undefined;
    if (pool !== undefined) {
      pool.isOpen = true;
      pool.options = options;
      return pool;
    }
    const fresh = new HttpPool(this, host, this.breakers[priority]!, protocol, priority, options, '');
    host.pools[at] = fresh;
    return fresh;
  }

  /** For clients of whom the host is told, or who asked for something of their own. It goes with its last connection. */
  #keyedPool(
    host: UpstreamHost,
    protocol: number,
    priority: number,
    options: TransportOptions | undefined,
    transportKey: string,
  ): HttpPool | undefined {
    const key = `${protocol} ${priority} ${transportKey}`;
    const pool = host.keyedPools.get(key);
    if (pool !== undefined) return pool;
    if (!this.#admitsPool(host, protocol, priority)) return undefined;
    const fresh = new HttpPool(this, host, this.breakers[priority]!, protocol, priority, options, key);
    host.keyedPools.set(key, fresh);
    return fresh;
  }

  /** Counts one more pool, for which an idle one of the host goes when there may be no more. */
  #admitsPool(host: UpstreamHost, protocol: number, priority: number): boolean {
    if (protocol === rawPool) return true;
    const breaker = this.breakers[priority]!;
    if (!breaker.allowsPool && !closeIdlePool(host, priority)) {
      this.stats.upstreamCxPoolOverflow.value++;
      return false;
    }
    breaker.addPools(1);
    return true;
  }

  connect(
    host: UpstreamHost,
    owner: ConnectionOwner,
    protocol: number,
    options: TransportOptions | undefined,
  ): Connection {
    return this.#dialer.open(this, host, owner, alpnByProtocol[protocol]!, options);
  }

  newCodec(connection: Connection, owner: ClientCodecOwner, protocol: number): ClientCodec {
    if (protocol === rawPool) return new TcpCodec(owner, connection);
    const isHttp2 = protocol === 1 || (protocol === 2 && connection.applicationProtocol === 'h2');
    return isHttp2 ? this.#dialer.http2(connection, owner) : this.#dialer.http1(connection, owner);
  }

  /** A connection for HTTP/2 has not come about. */
  countUnusedHttp2(): void {
    this.#dialer.countUnusedHttp2();
  }

  /** A pool has nothing left and does not count until it is asked for again. */
  onPoolEmpty(pool: HttpPool): void {
    if (!pool.isOpen) return;
    pool.isOpen = false;
    if (pool.key !== '') pool.host.keyedPools.delete(pool.key);
    if (pool.protocol === rawPool) return;
    this.breakers[pool.priority]!.addPools(-1);
    // With a host's last pool Envoy looks at the limit of the other priority, too.
    if (!hasOpenPool(pool.host)) this.breakers[1 - pool.priority]!.addPools(0);
  }

  /** A response of a host said that it fails its health checks. */
  onImmediateFail(host: UpstreamHost): void {
    for (const [key, it] of this.hosts) if (it === host) this.#dialer.reportImmediateFail(key);
  }

  /** A host fails its health checks: what it carries finishes, unless the configuration says otherwise. */
  failHost(host: UpstreamHost): void {
    host.drain();
    if (host.users !== undefined) for (const it of host.users) it.onHostFailed();
  }

  /** A host has left: what it carries finishes. */
  removeHost(host: UpstreamHost): void {
    host.isRemoved = true;
    for (let i = 0; i < host.pools.length; i++) host.pools[i]?.shutDown();
    for (const pool of host.keyedPools.values()) pool.shutDown();
    endUsers(host);
  }

  /** Nobody asks it for hosts any more: what it carries finishes. */
  drain(): void {
    for (const host of this.hosts.values()) this.removeHost(host);
  }

  close(): void {
    for (const host of this.hosts.values()) {
      endUsers(host);
      for (const pool of [...host.pools, ...host.keyedPools.values()]) {
        const all = pool?.all;
        if (all === undefined) continue;
        for (let k = all.length - 1; k >= 0; k--) all[k]!.close(ResetReason.LocalReset, '');
        this.onPoolEmpty(pool!);
      }
    }
  }
}

function hasOpenPool({ pools, keyedPools }: UpstreamHost): boolean {
  for (let i = 0; i < rawPool * 2; i++) if (pools[i]?.isOpen) return true;
  return keyedPools.size > 0;
}

/** False when all of them are in use. */
function closeIdlePool(host: UpstreamHost, priority: number): boolean {
  const { pools } = host;
  for (let i = priority; i < rawPool * 2; i += 2) if (pools[i]?.closeIfIdle()) return true;
  for (const pool of host.keyedPools.values())
    if (pool.priority === priority && pool.protocol !== rawPool && pool.closeIfIdle()) return true;
  return false;
}

function endUsers({ users }: UpstreamHost): void {
  if (users !== undefined) for (const it of users) it.onHostRemoved();
}
