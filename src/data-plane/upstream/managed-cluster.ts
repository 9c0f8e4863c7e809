// A cluster on the main thread: its accepted message, how it finds its members, what is told to the workers about them.
import { addressText } from '#base/address-text.ts';
import type { Clock } from '#base/clock.ts';
import type { Registry } from '#extension/registry.ts';
import type { WorkerServices } from '#extension/worker-services.ts';
import { HostHealth } from '#extension/load-balancer.ts';
import { encodeMessage } from '#schema/binary.ts';
import type { Runtime } from '#extension/runtime.ts';
import type { Cluster } from '#schema/messages/envoy/config/cluster/v3.ts';
import { message as messageType } from '#schema/registry.ts';
import type { Scope } from '#stats/store.ts';
import type { FileSourceContext } from '#xds/file-source.ts';
import type { DnsHost } from '../dynamic-forward-proxy/dns-cache.ts';
import { ClusterHealth } from '../health-check/cluster-health.ts';
import type { HealthCheckConfig } from '../health-check/health-check-config.ts';
import { type ClusterManagerStats, MembershipStats } from '../observe/server-stats.ts';
import type { ClusterData, ToWorker } from '../worker-protocol.ts';
import { maxRetries, RemainingResources } from './circuit-breaker.ts';
import {
  type ClusterConfig,
  type HostConfig,
  hostKey,
  keyedHosts,
  type LocalityConfig,
  type Thresholds,
} from './cluster-config.ts';
import type { ClusterSlot } from './cluster-slots.ts';
import {
  CircuitBreakerStats,
  ClusterStats,
  RemainingStats,
  SizeStats,
  TimeoutBudgetStats,
} from './cluster-stats.ts';
import type { DiscoveryConfig } from './discovery-config.ts';
import { DnsDiscovery } from './dns-discovery.ts';
import { hostConfigOf } from './dynamic-forward-proxy.ts';
import { EdsDiscovery } from './eds-discovery.ts';
import { healthOf, isExcluded } from './health-flags.ts';
import { HostUpdates } from './host-updates.ts';
import { LiveThresholds, priorityNames } from './live-thresholds.ts';
import { TransportMatchCounts } from './transport-matches.ts';

/** As the configuration has it. */
export interface ClusterSource {
  readonly message: Cluster;
  readonly config: ClusterConfig;
  readonly discovery: DiscoveryConfig;
  readonly healthChecks: readonly HealthCheckConfig[];
}

/** What finds members. */
interface Discovery {
  /** Resolves when it was tried once. */
  start(): Promise<void>;
  close(): void;
}

export interface ManagedClusterServices {
  readonly clock: Clock;
  readonly files: FileSourceContext;
  readonly runtime: Runtime;
  readonly registry: Registry;
  /** Of the main thread. */
  readonly services: WorkerServices;
  post(message: ToWorker): void;
  readonly stats: ClusterManagerStats;
  /** Of a policy that makes tables or subsets. */
  readonly tables: MemberCounts | undefined;
}

/** What is counted of members, in a way that depends on the policy. */
export interface MemberCounts {
  update(localities: readonly LocalityConfig[]): void;
}

export class ManagedCluster {
  readonly source: ClusterSource;
  /** From the bootstrap: no update may change it. */
  readonly isStatic: boolean;
  readonly version: string;
  readonly updatedMs = Date.now();
  /** Workers know it. */
  isActive = false;
  /** Gives back what was taken for it. */
  release: () => void = () => {};
  /** Its place among what the workers count. */
  readonly slot: number;
  readonly #usage: ClusterSlot['usage'];
  readonly #limits: readonly [LiveThresholds, LiveThresholds];
  readonly config: ClusterConfig;
  #hosts: readonly LocalityConfig[] = [];
  /** Their health flags are others now. */
  #areHostsStale = false;
  readonly #stats: MembershipStats;
  readonly #matches: TransportMatchCounts;
  readonly #discovery: Discovery | undefined;
  /** Undefined: there are no checks. */
  readonly #health: ClusterHealth | undefined;
  readonly #remaining: readonly (RemainingResources | undefined)[];
  readonly #services: ManagedClusterServices;
  readonly #updates: HostUpdates;
  #bytes = '';
  #ownHosts: Map<number, readonly HostConfig[]> | undefined = undefined;
  #dnsHosts: Map<string, HostConfig> | undefined = undefined;

  constructor(
    source: ClusterSource,
    isStatic: boolean,
    version: string,
    { slot, usage }: ClusterSlot,
    scope: Scope,
    services: ManagedClusterServices,
  ) {
    this.source = source;
    this.isStatic = isStatic;
    this.version = version;
    this.slot = slot;
    this.#usage = usage;
    this.config = source.config;
    this.#limits = [
      new LiveThresholds(source.config, 0, services.runtime),
      new LiveThresholds(source.config, 1, services.runtime),
    ];
    this.#services = services;
    this.#stats = scope.stats(MembershipStats);
    this.#matches = new TransportMatchCounts(source.config.transportSocketMatches, scope);
    scope.declare(ClusterStats);
    scope.scope('circuit_breakers.default').declare(CircuitBreakerStats);
    scope.scope('circuit_breakers.high').declare(CircuitBreakerStats);
    const { sizes, timeoutBudgets } = source.config.tracked;
    if (sizes) scope.declare(SizeStats);
    if (timeoutBudgets) scope.declare(TimeoutBudgetStats);
    this.#remaining = ([0, 1] as const).map((priority) => {
      const limits = this.#limits[priority];
      if (!limits.now.tracksRemaining) return undefined;
      const ofPriority = scope.scope(`circuit_breakers.${priorityNames[priority]}`);
      return new RemainingResources(limits, usage[priority], ofPriority.stats(RemainingStats));
    });
    const { dns, eds } = source.discovery;
    const { name, updateMergeMs } = source.config;
    this.#updates = new HostUpdates(updateMergeMs, services.clock, services.stats, () =>
      services.post({ type: 'hosts', cluster: name, hosts: this.hosts }),
    );
    this.#health = this.#createHealth(scope);
    const onHosts = (hosts: readonly LocalityConfig[]) => {
      if (this.#health?.update(hosts) === false) {
        this.#areHostsStale = true;
        return false;
      }
      this.#postHosts(this.#set(this.#health?.localities() ?? hosts), false);
      return true;
    };
    if (eds !== undefined) {
      this.#discovery = new EdsDiscovery(source.config.name, eds, scope, services.files, onHosts);
    } else if (dns === undefined) {
      this.#discovery = undefined;
      const { assignment } = source.discovery;
      this.#health?.update(assignment);
      this.#set(this.#health?.localities() ?? assignment);
    } else {
      this.#discovery = new DnsDiscovery(
        source.discovery,
        dns,
        {
          updateAttempt: scope.counter('update_attempt'),
          updateSuccess: scope.counter('update_success'),
          updateFailure: scope.counter('update_failure'),
          updateNoRebuild: scope.counter('update_no_rebuild'),
          maxHostWeight: this.#stats.maxHostWeight,
        },
        this.#matches,
        services.clock,
        onHosts,
      );
    }
  }

  get name(): string {
    return this.config.name;
  }

  /** What workers get. */
  get data(): ClusterData {
    return { config: this.config, hosts: this.hosts, slot: this.slot };
  }

  isMadeFrom(message: Cluster): boolean {
    if (this.#bytes === '') this.#bytes = bytesOf(this.source.message);
    return this.#bytes === bytesOf(message);
  }

  get hosts(): readonly LocalityConfig[] {
    if (this.#areHostsStale) this.#hosts = this.#health!.localities();
    this.#areHostsStale = false;
    return this.#hosts;
  }

  /** Resolves when the first hosts are known, or were tried for; undefined: they are known. */
  warm(): Promise<void> | undefined {
    const first = this.#discovery?.start();
    return this.source.discovery.waitsForWarm ? first : undefined;
  }

  /** Resolves when every host was checked once; undefined: there is nothing to wait for. */
  checkHealth(): Promise<void> | undefined {
    return this.#health?.start();
  }

  /** A response of that host has asked for it. */
  failPassively(key: string): void {
    this.#health?.failPassively(key);
  }

  /** What is counted in the workers and shown by the main thread. */
  refreshStats(): void {
    for (const it of this.#remaining) it?.refresh();
  }

  close(): void {
    this.#discovery?.close();
    this.#health?.close();
    this.#updates.close();
  }

  /** ORIGINAL_DST: what a worker has now. The members are those of all workers. */
  setOwnHosts(worker: number, hosts: readonly HostConfig[]): void {
    this.#ownHosts ??= new Map();
    if (hosts.length === 0) this.#ownHosts.delete(worker);
    else this.#ownHosts.set(worker, hosts);
    const all = new Map<string, HostConfig>();
    for (const own of this.#ownHosts.values())
      for (const it of own) all.set(addressText(it.address, it.port), it);
    this.#set([{ ...oneLocality, hosts: [...all.values()] }]);
  }

  /** Of a DNS cache: a host that keeps its name stays the same, whatever its address. */
  setDnsHost(name: string, host: DnsHost | undefined): void {
    this.#dnsHosts ??= new Map();
    if (host === undefined || host.ip === '') this.#dnsHosts.delete(name);
    else this.#dnsHosts.set(name, hostConfigOf(host));
    this.#set([{ ...oneLocality, hosts: [...this.#dnsHosts.values()] }]);
  }

  /** At the moment: the runtime may say otherwise than the configuration. */
  limits(priority: 0 | 1): Thresholds {
    return this.#limits[priority].now;
  }

  /** With a budget it follows what is under way. */
  maxRetries(priority: 0 | 1): number {
    return maxRetries(this.limits(priority), this.#usage[priority]);
  }

  #createHealth(scope: Scope): ClusterHealth | undefined {
    const { config, healthChecks, message } = this.source;
    if (healthChecks.length === 0) return undefined;
    const { registry, services, clock } = this.#services;
    return new ClusterHealth(config, healthChecks, scope, this.#matches, {
      ignoresHealthOnRemoval: message.ignore_health_on_host_removal,
      ignoresUnchecked: message.common_lb_config?.ignore_new_hosts_until_first_hc ?? false,
      registry,
      services,
      clock,
      hasTraffic: () => this.#usage[0].hasTraffic || this.#usage[1].hasTraffic,
      onFlags: () => {
        this.#areHostsStale = true;
      },
      onChange: () => {
        const changed = this.#set(this.#health!.localities(), true);
        this.#postHosts(changed, changed === 0);
      },
      onFailed: (host) => {
        if (this.isActive)
          this.#services.post({ type: 'host_failed', cluster: config.name, key: hostKey(config, host) });
      },
    });
  }

  /** `changed`: priorities that have other members now. */
  #postHosts(changed: number, isOnlyHealth: boolean): void {
    if (!this.isActive) {
      const isUpdate = this.#discovery instanceof DnsDiscovery && this.#discovery.hasTried;
      if (isUpdate && this.#health === undefined)
        this.#services.stats.clusterUpdated.value += Math.max(changed, 1);
      return;
    }
    const priorities = 1 + Math.max(0, ...this.hosts.map(({ priority }) => priority));
    if (this.#updates.update(isOnlyHealth, isOnlyHealth ? priorities : Math.max(changed, 1))) return;
    const { total, healthy, degraded } = this.#stats;
    this.#services.post({
      type: 'membership',
      cluster: this.name,
      total: total.value,
      usable: healthy.value + degraded.value,
    });
  }

  /** Returns in how many priorities members have come or gone. */
  #set(localities: readonly LocalityConfig[], isOnlyHealth = false): number {
    const knownBefore = placesOf(this.config, this.#hosts);
    this.#hosts = localities;
    this.#areHostsStale = false;
    const known = placesOf(this.config, localities);
    const hosts = new Map<string, HostConfig>();
    for (const [key, host] of keyedHosts(this.config, localities)) hosts.set(key, host);
    const stats = this.#stats;
    const added = [...hosts].filter(([key]) => !knownBefore.has(key)).map(([, host]) => host);
    // Each priority is updated by itself.
    const changed = new Set<number>();
    for (const [host, { priority, place }] of known) {
      const before = knownBefore.get(host);
      if (before?.priority !== priority || before.place !== place)
        changed.add(priority).add(before?.priority ?? priority);
    }
    for (const [host, { priority }] of knownBefore) if (!known.has(host)) changed.add(priority);
    const { dns, eds } = this.source.discovery;
    // A logical host is another one, even where it has the same address.
    if (dns?.isLogical && !isOnlyHealth) for (const { priority } of known.values()) changed.add(priority);
    // A cluster that never had members shows none of this.
    if (changed.size === 0 && hosts.size === 0) return 0;
    stats.change.value += changed.size;
    if (dns === undefined) for (const host of added) this.#matches.add(host, 1);
    if (eds !== undefined)
      stats.maxHostWeight.value = Math.max(0, ...[...hosts.values()].map((it) => it.weight));
    this.#services.tables?.update(localities);
    const count = (health: number) =>
      [...hosts.values()].filter((it) => healthOf(it.flags) === health).length;
    stats.total.value = hosts.size;
    stats.healthy.value = count(HostHealth.Healthy);
    stats.degraded.value = count(HostHealth.Degraded);
    stats.excluded.value = [...hosts.values()].filter((it) => isExcluded(it.flags)).length;
    return changed.size;
  }
}

/** Where a host is, and where it is checked; elsewhere it is another host. */
interface KnownPlace {
  readonly priority: number;
  readonly place: string;
}

function placesOf(config: ClusterConfig, localities: readonly LocalityConfig[]): Map<string, KnownPlace> {
  const places = new Map<string, KnownPlace>();
  for (const [key, { healthCheck }, { priority, region, zone, subZone }] of keyedHosts(config, localities)) {
    let place = `${region}\n${zone}\n${subZone}`;
    if (config.checksHealth && healthCheck !== undefined) {
      const { address, port, isDisabled } = healthCheck;
      place += `\n${address} ${port} ${isDisabled}`;
    }
    places.set(key, { priority, place });
  }
  return places;
}

function bytesOf(message: Cluster): string {
  const bytes = encodeMessage(messageType('envoy.config.cluster.v3.Cluster'), message);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

const oneLocality = { region: '', zone: '', subZone: '', weight: 0, priority: 0 };
