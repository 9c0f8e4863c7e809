// A DNS cache on the main thread: the hosts that requests have asked for, resolved at once and again and again until nobody has used
// them for a while. Workers ask for hosts and hear of every change; so do the clusters that live on the cache.
import { onRelease } from '#base/takings.ts';
import { Cidr, CidrList } from '#base/cidr.ts';
import type { Clock } from '#base/clock.ts';
import type { Scope } from '#stats/store.ts';
import type { Resolve } from '../upstream/dns-discovery.ts';
import { DnsError, resolverFor } from '../upstream/dns-resolver.ts';
import { parseAuthority } from './authority.ts';
import type { DnsCacheConfig } from './dns-cache-config.ts';
import { DnsCacheCounts, sharedDnsCacheCounts } from './dns-cache-counts.ts';
import { DnsCacheStats } from './dns-cache-stats.ts';

/** A host whose first query has ended, as workers know it. */
export interface DnsHost {
  /** `host:port` as it was asked for. */
  readonly name: string;
  /** Empty: there is none. */
  readonly ip: string;
  readonly port: number;
  /** How the query failed, as response code details have it. */
  readonly details: string;
  /** The last query was a failure, and not a name without addresses. */
  readonly failed: boolean;
}

interface Entry {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  addresses: readonly string[];
  details: string;
  failed: boolean;
  isKnown: boolean;
  usedMs: number;
  failures: number;
  /** Ends the query or the wait for the next one. */
  cancel: () => void;
}

/** `undefined`: the host is gone. */
export type DnsHostListener = (name: string, host: DnsHost | undefined) => void;

export class DnsCache {
  readonly config: DnsCacheConfig;
  readonly counts: SharedArrayBuffer;
  readonly #own: DnsCacheCounts;
  readonly #stats: DnsCacheStats;
  readonly #clock: Clock;
  readonly #resolve: Resolve;
  readonly #isRefused: (address: string) => boolean;
  readonly #entries = new Map<string, Entry>();
  readonly #listeners: DnsHostListener[] = [];

  constructor(
    config: DnsCacheConfig,
    workers: number,
    root: Scope,
    clock: Clock,
    resolve: Resolve = resolverOf(config),
  ) {
    this.config = config;
    this.counts = sharedDnsCacheCounts(workers);
    this.#own = new DnsCacheCounts(this.counts);
    this.#stats = root.scope(`dns_cache.${config.name}`).stats(DnsCacheStats);
    this.#clock = clock;
    this.#resolve = resolve;
    this.#isRefused = addressFilter(config.addressFilter);
  }

  /** From now on, until it is given back. */
  listen(listener: DnsHostListener): void {
    this.#listeners.push(listener);
    onRelease(() => this.#listeners.splice(this.#listeners.indexOf(listener), 1));
  }

  start(): void {
    for (const { host, port } of this.config.preresolved) this.load(`${host}:${port}`);
  }

  /** The hosts that have an answer. */
  known(): DnsHost[] {
    return [...this.#entries.values()].filter(({ isKnown }) => isKnown).map(hostOf);
  }

  /** Somebody waits for it. What is known, or on its way, has been or will be told. */
  load(name: string): void {
    const before = this.#entries.get(name);
    if (before !== undefined) {
      if (!before.isKnown || this.config.refreshesFailures || !before.failed) return;
      this.#remove(before);
    }
    const { host, port } = parseAuthority(name, 0);
    const entry: Entry = {
      name,
      host,
      port,
      addresses: [],
      details: '',
      failed: false,
      isKnown: false,
      usedMs: this.#clock.monotonicMs(),
      failures: 0,
      cancel: () => {},
    };
    this.#entries.set(name, entry);
    this.#own.hosts = this.#entries.size;
    this.#stats.hostAdded.value++;
    this.#stats.numHosts.value++;
    this.#ask(entry);
  }

  touch(name: string): void {
    const entry = this.#entries.get(name);
    if (entry !== undefined) entry.usedMs = this.#clock.monotonicMs();
  }

  forgetWorker(worker: number): void {
    this.#own.setWaiting(worker, 0);
  }

  close(): void {
    for (const entry of this.#entries.values()) entry.cancel();
  }

  #ask(entry: Entry): void {
    const { queryTimeoutMs, family } = this.config;
    let isOver = false;
    const end = (addresses: readonly string[], ttlMs: number | undefined, error: DnsError | undefined) => {
      if (isOver) return;
      entry.cancel();
      this.#finish(entry, addresses, ttlMs, error);
    };
    const stopTimeout =
      queryTimeoutMs === 0
        ? () => {}
        : this.#clock.wakeIn(queryTimeoutMs, () => {
            this.#stats.queryTimeout.value++;
            end([], undefined, new DnsError(entry.host, 'resolve_timeout', false));
          });
    entry.cancel = () => {
      isOver = true;
      stopTimeout();
    };
    this.#stats.queryAttempt.value++;
    this.#resolve(entry.host, family).then(
      ({ addresses, ttlMs }) => end(addresses, ttlMs, undefined),
      (error: unknown) => {
        if (!(error instanceof DnsError)) throw error;
        end([], undefined, error);
      },
    );
  }

  #finish(
    entry: Entry,
    answer: readonly string[],
    ttlMs: number | undefined,
    error: DnsError | undefined,
  ): void {
    const { refreshMs, minRefreshMs, refreshesFailures } = this.config;
    const stats = this.#stats;
    const failed = error !== undefined && !error.isEmpty;
    if (failed) stats.queryFailure.value++;
    else stats.querySuccess.value++;
    const addresses = answer.filter((it) => !this.#isRefused(it));
    stats.addressFilterOut.value += answer.length - addresses.length;
    const isFirst = !entry.isKnown;
    entry.isKnown = true;
    // What a host has had it keeps until there is something better.
    const isChanged =
      addresses.length > 0 &&
      (addresses.length !== entry.addresses.length || addresses.some((it, i) => it !== entry.addresses[i]));
    if (isChanged) {
      entry.addresses = addresses;
      stats.hostAddressChanged.value++;
    }
    if (entry.addresses.length === 0) {
      entry.details = failureDetails(error);
      entry.failed = failed;
    } else entry.failed = false;
    if (isFirst || isChanged) this.#tell(entry.name, hostOf(entry));
    entry.failures = failed ? entry.failures + 1 : 0;
    if (failed && !refreshesFailures) return;
    const seconds = (ms: number) => Math.floor(ms / 1000) * 1000;
    const waitMs = failed
      ? this.#backoffMs(entry.failures)
      : addresses.length === 0
        ? refreshMs
        : Math.max(seconds(minRefreshMs), ttlMs ?? 0);
    entry.cancel = this.#clock.wakeIn(waitMs, () => this.#refresh(entry));
  }

  #refresh(entry: Entry): void {
    if (this.#clock.monotonicMs() - entry.usedMs > this.config.hostTtlMs) this.#remove(entry);
    else this.#ask(entry);
  }

  #remove(entry: Entry): void {
    entry.cancel();
    this.#entries.delete(entry.name);
    this.#own.hosts = this.#entries.size;
    this.#stats.hostRemoved.value++;
    this.#stats.numHosts.value--;
    this.#tell(entry.name, undefined);
  }

  #backoffMs(failures: number): number {
    const { failureBackoff, refreshMs } = this.config;
    if (failureBackoff === undefined) return refreshMs;
    const { baseMs, maxMs } = failureBackoff;
    return Math.random() * Math.min(maxMs, baseMs * 2 ** Math.min(failures - 1, 30));
  }

  #tell(name: string, host: DnsHost | undefined): void {
    for (const listener of this.#listeners) listener(name, host);
  }
}

function hostOf({ name, addresses, port, details, failed }: Entry): DnsHost {
  return { name, ip: addresses[0] ?? '', port, details, failed };
}

function resolverOf({ resolvers }: DnsCacheConfig): Resolve {
  const resolver = resolverFor(resolvers);
  return (name, family) => resolver.resolve(name, family);
}

function addressFilter(filter: DnsCacheConfig['addressFilter']): (address: string) => boolean {
  if (filter === undefined) return () => false;
  const ranges = new CidrList(filter.ranges.flatMap((it) => Cidr.parse(it) ?? []));
  return (address) => ranges.contains(address) !== filter.inverted;
}

/** In the words of c-ares. */
const failures: Readonly<Record<string, string>> = {
  ENODATA: 'DNS server returned answer with no data',
  EFORMERR: 'DNS server claims query was misformatted',
  ESERVFAIL: 'DNS server returned general failure',
  ENOTFOUND: 'Domain name not found',
  ENOTIMP: 'DNS server does not implement requested operation',
  EREFUSED: 'DNS server refused query',
  EBADQUERY: 'Misformatted DNS query',
  EBADNAME: 'Misformatted domain name',
  EBADRESP: 'Misformatted DNS reply',
  ECONNREFUSED: 'Could not contact DNS servers',
  ETIMEOUT: 'Timeout while contacting DNS servers',
  ECANCELLED: 'DNS query cancelled',
};

function failureDetails(error: DnsError | undefined): string {
  let why = 'cares_success:Successful completion';
  if (error?.code === 'resolve_timeout') why = error.code;
  else if (error !== undefined)
    why = `${error.isEmpty ? 'cares_norecords' : 'cares_failure'}:${failures[error.code] ?? error.code}`;
  return `dns_resolution_failure{${why.replaceAll(' ', '_')}}`;
}
