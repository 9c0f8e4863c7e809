// The hosts of a STRICT_DNS or LOGICAL_DNS cluster: resolved at once, then again and again. The last good answer of a name stays
// when resolving it fails.
import type { Clock } from '#base/clock.ts';
import type { HostConfig, LocalityConfig } from './cluster-config.ts';
import type { ClusterStats } from './cluster-stats.ts';
import type { DiscoveryConfig, DnsConfig, LookupFamily } from './discovery-config.ts';
import { type DnsAnswer, DnsError, type DnsResolver, resolverFor } from './dns-resolver.ts';
import type { AskedResolvers } from './parse-resolvers.ts';
import type { TransportMatchCounts } from './transport-matches.ts';

/** Rejects with a `DnsError`. */
export type Resolve = (name: string, family: LookupFamily) => Promise<DnsAnswer>;

type DiscoveryStats = Pick<
  ClusterStats,
  'updateAttempt' | 'updateSuccess' | 'updateFailure' | 'updateNoRebuild' | 'maxHostWeight'
>;

/** By configuration: clusters that ask alike share what is under way and the hosts file. */
const resolvers = new Map<string, DnsResolver>();

function resolveAs(asked: AskedResolvers): Resolve {
  const key = JSON.stringify(asked);
  const resolver = resolvers.get(key) ?? resolverFor(asked);
  resolvers.set(key, resolver);
  return (name, family) => resolver.resolve(name, family);
}

export class DnsDiscovery {
  readonly #config: DiscoveryConfig;
  readonly #dns: DnsConfig;
  readonly #stats: DiscoveryStats;
  readonly #matches: TransportMatchCounts;
  readonly #clock: Clock;
  readonly #resolve: Resolve;
  readonly #onHosts: (hosts: readonly LocalityConfig[]) => void;
  /** By configured host: the addresses of the last good answer. */
  readonly #answers = new Map<HostConfig, readonly string[]>();
  readonly #cancels = new Map<HostConfig, () => void>();
  #isClosed = false;
  #hasTried = false;

  constructor(
    config: DiscoveryConfig,
    dns: DnsConfig,
    stats: DiscoveryStats,
    matches: TransportMatchCounts,
    clock: Clock,
    onHosts: (hosts: readonly LocalityConfig[]) => void,
    resolve: Resolve = resolveAs(dns.resolvers),
  ) {
    this.#config = config;
    this.#dns = dns;
    this.#stats = stats;
    this.#matches = matches;
    this.#clock = clock;
    this.#onHosts = onHosts;
    this.#resolve = resolve;
  }

  /** Resolves when the first name was tried. Others may have no address yet. */
  async start(): Promise<void> {
    const hosts = this.#config.assignment.flatMap((it) => it.hosts).filter((it) => !isPath(it));
    const tries = hosts.map((it) => this.#refresh(it, this.#dns.failureBaseMs));
    if (tries.length > 0) await Promise.race(tries);
  }

  /** Hosts that come now are no first ones. */
  get hasTried(): boolean {
    return this.#hasTried;
  }

  /** The hosts as they are known now. */
  hosts(): readonly LocalityConfig[] {
    return this.#config.assignment.map((locality) => ({
      ...locality,
      hosts: locality.hosts.flatMap((host): HostConfig[] => {
        if (isPath(host)) return [host];
        const answers = this.#answers.get(host) ?? [];
        const used = this.#dns.isLogical ? answers.slice(0, 1) : answers;
        const hostname = host.hostname === '' ? host.address : host.hostname;
        return used.map((address) => ({ ...host, address, hostname }));
      }),
    }));
  }

  close(): void {
    this.#isClosed = true;
    for (const cancel of this.#cancels.values()) cancel();
  }

  /** A name without addresses is an answer, but not for a logical host. A server that does not answer is a failure. */
  async #answer({ address }: HostConfig): Promise<DnsAnswer> {
    try {
      return await this.#resolve(address, this.#dns.family);
    } catch (error) {
      if (error instanceof DnsError && error.isEmpty && !this.#dns.isLogical)
        return { addresses: [], ttlMs: undefined };
      throw error;
    }
  }

  async #refresh(host: HostConfig, failureMs: number): Promise<void> {
    const stats = this.#stats;
    stats.updateAttempt.value++;
    let nextMs = this.#dns.refreshMs;
    let nextFailureMs = this.#dns.failureBaseMs;
    try {
      const { addresses, ttlMs } = await this.#answer(host);
      if (this.#isClosed) return;
      if (this.#dns.respectTtl && ttlMs !== undefined && ttlMs > 0) nextMs = ttlMs;
      stats.updateSuccess.value++;
      const before = this.#answers.get(host) ?? [];
      // A logical host is made anew when anything has changed, be it the order.
      const isSame =
        before.length === addresses.length &&
        addresses.every((it, i) => (this.#dns.isLogical ? it === before[i] : before.includes(it)));
      if (!this.#dns.isLogical) this.#matches.add(host, addresses.length);
      else if (!isSame) this.#matches.add(host, 1);
      if (isSame) stats.updateNoRebuild.value++;
      else {
        this.#answers.set(host, addresses);
        this.#onHosts(this.hosts());
      }
      if (!this.#dns.isLogical) stats.maxHostWeight.value = addresses.length === 0 ? 1 : host.weight;
    } catch {
      if (this.#isClosed) return;
      stats.updateFailure.value++;
      nextMs = this.#dns.spreadsFailures ? Math.random() * failureMs : failureMs;
      nextFailureMs = Math.min(failureMs * 2, this.#dns.failureMaxMs);
    }
    this.#hasTried = true;
    const jitterMs = this.#dns.jitterMs > 0 ? Math.random() * this.#dns.jitterMs : 0;
    this.#cancels.set(
      host,
      this.#clock.wakeIn(nextMs + jitterMs, () => void this.#refresh(host, nextFailureMs)),
    );
  }
}

/** Of a Unix socket. */
function isPath(host: HostConfig): boolean {
  return host.port < 0;
}
