// What a worker knows of a DNS cache, and the requests that wait for a host of it.
import { turnMs } from '#base/turn.ts';
import type { Scope } from '#stats/store.ts';
import type { DnsHost } from './dns-cache.ts';
import type { DnsCacheConfig } from './dns-cache-config.ts';
import { DnsCacheCounts } from './dns-cache-counts.ts';
import { WorkerDnsCacheStats } from './dns-cache-stats.ts';

export interface DnsWaiter {
  onDnsHost(host: DnsHost): void;
}

export interface DnsCacheUser {
  /** `undefined`: the host is gone. */
  onDnsHostChanged(name: string, host: DnsHost | undefined): void;
}

/** Why a host is not there now. */
export const DnsLoad = { Loading: 0, HostOverflow: 1 } as const;
export type DnsLoad = (typeof DnsLoad)[keyof typeof DnsLoad];

interface KnownHost {
  host: DnsHost;
  toldUsedMs: number;
}

export class WorkerDnsCache {
  readonly config: DnsCacheConfig;
  readonly #worker: number;
  readonly #counts: DnsCacheCounts;
  readonly #stats: WorkerDnsCacheStats;
  readonly #load: (name: string) => void;
  readonly #use: (name: string) => void;
  readonly #known = new Map<string, KnownHost>();
  readonly #waiting = new Map<string, Set<DnsWaiter>>();
  readonly #users: DnsCacheUser[] = [];
  /** Requests that hold the circuit breaker. */
  #admitted = 0;

  /** `load` and `use` tell the main thread. */
  constructor(
    config: DnsCacheConfig,
    counts: SharedArrayBuffer,
    worker: number,
    root: Scope,
    load: (name: string) => void,
    use: (name: string) => void,
  ) {
    this.config = config;
    this.#worker = worker;
    this.#counts = new DnsCacheCounts(counts);
    this.#stats = root.scope(`dns_cache.${config.name}`).stats(WorkerDnsCacheStats);
    this.#load = load;
    this.#use = use;
    this.refreshStats();
  }

  /** What is known comes at once. */
  addUser(user: DnsCacheUser): void {
    this.#users.push(user);
    for (const { host } of this.#known.values()) user.onDnsHostChanged(host.name, host);
  }

  /** False, and counted: too many requests wait. Every request asks, also for a host that is known. */
  admits(): boolean {
    if (this.#counts.waiting < this.config.maxPending) return true;
    this.#stats.pendingOverflow.value++;
    return false;
  }

  /** `name`: with its port. While it is loading, `waiter` is told unless it leaves. */
  find(name: string, waiter: DnsWaiter): DnsHost | DnsLoad {
    const known = this.#known.get(name)?.host;
    if (known !== undefined && (this.config.refreshesFailures || !known.failed)) return known;
    if (this.#counts.hosts >= this.config.maxHosts) {
      this.#stats.hostOverflow.value++;
      return DnsLoad.HostOverflow;
    }
    const waiting = this.#waiting.get(name);
    if (waiting === undefined) {
      this.#waiting.set(name, new Set([waiter]));
      this.#load(name);
    } else waiting.add(waiter);
    return DnsLoad.Loading;
  }

  leave(name: string, waiter: DnsWaiter): void {
    this.#waiting.get(name)?.delete(waiter);
  }

  /** A request that was admitted waits, or has waited. */
  hold(by: 1 | -1): void {
    this.#admitted += by;
    this.#counts.setWaiting(this.#worker, this.#admitted);
  }

  /** The host was chosen. The main thread need not know to the millisecond. */
  touch(name: string): void {
    const known = this.#known.get(name);
    const now = turnMs();
    if (known === undefined || now - known.toldUsedMs < Math.min(1000, this.config.hostTtlMs / 20)) return;
    known.toldUsedMs = now;
    this.#use(name);
  }

  /** From the main thread. */
  set(name: string, host: DnsHost | undefined): void {
    if (host === undefined) this.#known.delete(name);
    else {
      const known = this.#known.get(name);
      if (known === undefined) this.#known.set(name, { host, toldUsedMs: turnMs() });
      else known.host = host;
    }
    for (const user of this.#users) user.onDnsHostChanged(name, host);
    const waiting = host === undefined ? undefined : this.#waiting.get(name);
    if (host === undefined || waiting === undefined) return;
    this.#waiting.delete(name);
    for (const it of waiting) it.onDnsHost(host);
  }

  /** Other workers may have changed what this one saw last. */
  refreshStats(): void {
    const waiting = this.#counts.waiting;
    const { maxPending } = this.config;
    if (waiting > 0 || this.#stats.pendingOpen.used)
      this.#stats.pendingOpen.value = waiting >= maxPending ? 1 : 0;
    this.#stats.pendingRemaining.value = Math.max(0, maxPending - waiting);
  }
}
