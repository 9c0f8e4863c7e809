// One endpoint of a cluster in a worker: what policies see of it, its counters, and its pools. Outlier detection will change
// `health` here; the main thread says what active health checks have found.
import { addressText } from '#base/address-text.ts';
import { turnMs } from '#base/turn.ts';
import type { Host, HostHealth, Locality } from '#extension/load-balancer.ts';
import { Counter, Gauge } from '#stats/metric.ts';
import type { HostConfig, Metadata } from './cluster-config.ts';
import { healthOf, isExcluded } from './health-flags.ts';
import type { HttpPool } from './http-pool.ts';

/** Who wants to know what becomes of the host: a UDP session, a TCP session that ends with the host's health. */
export interface HostUser {
  /** The host has left its cluster, or the cluster is closed. */
  onHostRemoved(): void;
  /** It fails its health checks. */
  onHostFailed(): void;
}

export class UpstreamHost implements Host {
  address: string;
  ip: string;
  /** -1: `ip` is the path of a Unix socket. */
  readonly port: number;
  readonly hostname: string;
  weight: number;
  priority: number;
  health: HostHealth;
  /** About to leave or not checked yet, which is not held against the cluster. */
  isExcluded: boolean;
  readonly locality: Locality | undefined;
  metadata: Metadata | undefined;
  proxyTlvs: HostConfig['proxyTlvs'];
  activeRequests = 0;
  readonly addedMs = turnMs();
  /** Waiting for a connection. */
  pendingRequests = 0;
  /** Removed from its cluster: connections finish what they carry and close. */
  isRemoved = false;
  users: Set<HostUser> | undefined = undefined;
  /** By protocol and priority; see `Cluster.pool`. */
  readonly pools: (HttpPool | undefined)[] = [
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
  ];

  /** Pools for transport options of their own, by these. */
  readonly keyedPools = new Map<string, HttpPool>();

  // `/clusters` shows these.
  readonly cxActive = new Gauge('cx_active');
  readonly cxConnectFail = new Counter('cx_connect_fail');
  readonly cxTotal = new Counter('cx_total');
  readonly rqError = new Counter('rq_error');
  readonly rqSuccess = new Counter('rq_success');
  readonly rqTimeout = new Counter('rq_timeout');
  readonly rqTotal = new Counter('rq_total');

  /** `canary` of its metadata: responses are counted as such, too. */
  get isCanary(): boolean {
    return this.metadata !== undefined && this.metadata['envoy.lb']?.canary === true;
  }

  /** Where it is; empty: nobody says. */
  get zone(): string {
    return this.locality === undefined ? '' : this.locality.zone;
  }

  /** Its connections take no new streams. */
  drain(): void {
    for (let i = 0; i < this.pools.length; i++) this.pools[i]?.drain();
    for (const pool of this.keyedPools.values()) pool.drain();
  }

  constructor(config: HostConfig, locality: Locality | undefined, priority: number) {
    this.ip = config.address;
    this.port = config.port;
    this.address = addressText(config.address, config.port);
    this.hostname = config.hostname;
    this.weight = config.weight;
    this.priority = priority;
    this.health = healthOf(config.flags);
    this.isExcluded = isExcluded(config.flags);
    this.locality = locality;
    this.metadata = config.metadata;
    this.proxyTlvs = config.proxyTlvs;
  }

  /** Connections that are there stay; new ones go to the new address. */
  move(ip: string): void {
    this.ip = ip;
    this.address = addressText(ip, this.port);
  }
}
