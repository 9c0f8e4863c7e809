// The hosts of a STRICT_DNS or LOGICAL_DNS cluster: resolved at once, then again and again. The last good answer of a name stays
// when resolving it fails.
import { canonicalIp } from '#base/cidr.ts';
import type { Clock } from '#base/clock.ts';
import type { HostConfig, LocalityConfig } from './cluster-config.ts';
import type { ClusterStats } from './cluster-stats.ts';
import type { DiscoveryConfig, DnsConfig, LookupFamily } from './discovery-config.ts';
import { type DnsAnswer, DnsError, DnsResolver } from './dns-resolver.ts';
import type { TransportMatchCounts } from './transport-matches.ts';

/** Rejects with a `DnsError`. */
export type Resolve = (name: string, family: LookupFamily) => Promise<DnsAnswer>;

type DiscoveryStats = Pick<
  ClusterStats,
  'updateAttempt' | 'updateSuccess' | 'updateFailure' | 'updateNoRebuild' | 'updateEmpty'
>;

const system = new DnsResolver();
const resolveBySystem: Resolve = (name, family) => system.resolve(name, family);

export class DnsDiscovery {
  readonly #config: DiscoveryConfig;
  readonly #dns: DnsConfig;
  readonly #stats: DiscoveryStats;
  readonly #matches: TransportMatchCounts;
  readonly #clock: Clock;
  readonly #resolve: Resolve;
  readonly #onHosts: (hosts: readonly LocalityConfig[]) => void;
  /** By name: the addresses of the last good answer. */
  readonly #answers = new Map<string, readonly string[]>();
  readonly #cancels = new Map<string, () => void>();
  #isClosed = false;

  constructor(
    config: DiscoveryConfig,
    dns: DnsConfig,
    stats: DiscoveryStats,
    matches: TransportMatchCounts,
    clock: Clock,
    onHosts: (hosts: readonly LocalityConfig[]) => void,
    resolve: Resolve = resolveBySystem,
  ) {
    this.#config = config;
    this.#dns = dns;
    this.#stats = stats;
    this.#matches = matches;
    this.#clock = clock;
    this.#onHosts = onHosts;
    this.#resolve = resolve;
  }

  /** Resolves when every name was tried once. */
  async start(): Promise<void> {
    const names = new Set<string>();
    for (const locality of this.#config.assignment)
      for (const host of locality.hosts) if (!isAddress(host)) names.add(host.address);
    await Promise.all([...names].map((name) => this.#refresh(name, this.#dns.failureBaseMs)));
  }

  /** The hosts as they are known now. */
  hosts(): readonly LocalityConfig[] {
    return this.#config.assignment.map((locality) => ({
      ...locality,
      hosts: locality.hosts.flatMap((host): HostConfig[] => {
        if (isAddress(host)) return [host];
        const answers = this.#answers.get(host.address) ?? [];
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

  #made(name: string, count: number): void {
    const host = this.#config.assignment.flatMap((it) => it.hosts).find((it) => it.address === name);
    if (host !== undefined) this.#matches.add(host, count);
  }

  /** A name without addresses is an answer, a server that does not answer is a failure. */
  async #answer(name: string): Promise<DnsAnswer> {
    try {
      return await this.#resolve(name, this.#dns.family);
    } catch (error) {
      if (error instanceof DnsError && error.isEmpty) return { addresses: [], ttlMs: undefined };
      throw error;
    }
  }

  async #refresh(name: string, failureMs: number): Promise<void> {
    const stats = this.#stats;
    stats.updateAttempt.value++;
    let nextMs = this.#dns.refreshMs;
    let nextFailureMs = this.#dns.failureBaseMs;
    try {
      const { addresses, ttlMs } = await this.#answer(name);
      if (this.#isClosed) return;
      if (this.#dns.respectTtl && ttlMs !== undefined && ttlMs > 0) nextMs = ttlMs;
      stats.updateSuccess.value++;
      if (addresses.length === 0) stats.updateEmpty.value++;
      const before = this.#answers.get(name);
      // A logical host keeps its address while the name still has it.
      const isSame =
        before !== undefined &&
        (this.#dns.isLogical
          ? addresses.includes(before[0] ?? '')
          : before.length === addresses.length && addresses.every((it) => before.includes(it)));
      // Hosts are made at every resolution, a logical one once.
      if (!this.#dns.isLogical) this.#made(name, addresses.length);
      else if (before === undefined && addresses.length > 0) this.#made(name, 1);
      if (isSame) stats.updateNoRebuild.value++;
      else {
        this.#answers.set(name, addresses);
        this.#onHosts(this.hosts());
      }
    } catch {
      if (this.#isClosed) return;
      stats.updateFailure.value++;
      nextMs = failureMs;
      nextFailureMs = Math.min(failureMs * 2, this.#dns.failureMaxMs);
    }
    const jitterMs = this.#dns.jitterMs > 0 ? Math.random() * this.#dns.jitterMs : 0;
    this.#cancels.set(
      name,
      this.#clock.wakeIn(nextMs + jitterMs, () => void this.#refresh(name, nextFailureMs)),
    );
  }
}

function isAddress(host: HostConfig): boolean {
  return host.port < 0 || canonicalIp(host.address) !== undefined;
}
