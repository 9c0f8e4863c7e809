// Active health checks of one cluster, on the main thread: which hosts are checked, and what several checks of a host say together.
// Steps 5 and 6 of a config update's way.
import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '#base/clock.ts';
import { nextRandom } from '#base/random.ts';
import type { Registry } from '#extension/registry.ts';
import type { WorkerServices } from '#extension/worker-services.ts';
import type { Scope } from '#stats/store.ts';
import {
  type ClusterConfig,
  type HostConfig,
  keyedHosts,
  type LocalityConfig,
} from '../upstream/cluster-config.ts';
import { HealthFlag } from '../upstream/health-flags.ts';
import type { TransportMatchCounts } from '../upstream/transport-matches.ts';
import { Transition } from './check-interval.ts';
import type { HealthCheckConfig } from './health-check-config.ts';
import { CombinedCheckStats, HealthCheckStats } from './health-check-stats.ts';
import { type EventLog, HealthEvents } from './health-events.ts';
import { type CheckShared, HostCheck } from './host-check.ts';
import type { MakeProbe } from './start-probes.ts';

export interface ClusterHealthOptions {
  /** `ignore_health_on_host_removal` */
  readonly ignoresHealthOnRemoval: boolean;
  /** `common_lb_config.ignore_new_hosts_until_first_hc` */
  readonly ignoresUnchecked: boolean;
  readonly registry: Registry;
  readonly services: WorkerServices;
  readonly clock: Clock;
  /** See `CheckShared`. */
  hasTraffic(): boolean;
  /** There is something else to be said of a host. `onChange` may follow. */
  onFlags(): void;
  /** Hosts have become healthy or unhealthy, or have left. */
  onChange(): void;
  /** A host fails its checks now. */
  onFailed(host: HostConfig): void;
}

interface CheckedHost {
  /** As discovered. */
  config: HostConfig;
  locality: LocalityConfig;
  /** Of all its checks: bits of `HealthFlag`. */
  flags: number;
  readonly checks: HostCheck[];
  /** Checks that had no result yet: bits. Until all had one the host stays as it is. */
  awaited: number;
  hasStarted: boolean;
}

interface Shown {
  readonly weights: readonly object[];
  readonly hosts: ReadonlyMap<CheckedHost, object>;
}

const ofChecks =
  HealthFlag.FailedActive |
  HealthFlag.DegradedActive |
  HealthFlag.PendingActive |
  HealthFlag.ActiveTimeout |
  HealthFlag.ExcludedImmediate;
/** What a host keeps that is another one only because its locality has changed. */
const kept = ofChecks & ~HealthFlag.ExcludedImmediate;
const thatMatter = HealthFlag.FailedActive | HealthFlag.DegradedActive | HealthFlag.PendingActive;

export class ClusterHealth {
  readonly #config: ClusterConfig;
  readonly #options: ClusterHealthOptions;
  readonly #scope: Scope;
  readonly #matches: TransportMatchCounts;
  readonly #shared: readonly CheckShared[];
  readonly #logs: readonly EventLog[];
  readonly #combined: CombinedCheckStats | undefined;
  #localities: readonly LocalityConfig[] = [];
  #hosts = new Map<string, CheckedHost>();
  /** Discovery has forgotten them, but they pass their checks. */
  readonly #leaving = new Map<string, CheckedHost>();
  #probes: readonly MakeProbe[] | undefined = undefined;
  /** Results until the first round is over. */
  #pending = 0;
  #onFirstRound: (() => void) | undefined = undefined;
  #isClosed = false;

  /** `scope`: of the cluster. */
  constructor(
    config: ClusterConfig,
    checks: readonly HealthCheckConfig[],
    scope: Scope,
    matches: TransportMatchCounts,
    options: ClusterHealthOptions,
  ) {
    this.#config = config;
    this.#options = options;
    this.#scope = scope;
    this.#matches = matches;
    const { clock, services } = options;
    const own = scope.scope('health_check');
    this.#shared = checks.map((check) => ({
      config: check,
      stats: (check.name === '' ? own : own.scope(`name.${check.name}`)).stats(HealthCheckStats),
      clock,
      runtime: services.runtime,
      random: (below) => nextRandom() % below,
      hasTraffic: () => options.hasTraffic(),
    }));
    this.#combined = checks.length > 1 ? own.stats(CombinedCheckStats) : undefined;
    this.#logs = checks.map(({ eventLogs, probe }) => ({
      cluster: config.name,
      checker: probe.kind,
      files: eventLogs.map((path) => services.accessLogFiles.file(path)),
      clock,
    }));
  }

  /** What discovery says. False: the same hosts serve as before, be it that some are only there because they are well. */
  update(localities: readonly LocalityConfig[]): boolean {
    const shownBefore = this.#shown();
    this.#localities = localities;
    const before = this.#hosts;
    this.#hosts = new Map();
    for (const [key, config, locality] of keyedHosts(this.#config, localities)) {
      const own = before.get(key);
      const known = own ?? this.#leaving.get(key);
      if (known !== undefined && isSameCheck(known, config) && isSamePlace(known.locality, locality)) {
        (own === undefined ? this.#leaving : before).delete(key);
        known.config = config;
        known.locality = locality;
        known.flags &= ~HealthFlag.PendingRemoval;
        this.#hosts.set(key, known);
      } else {
        this.#hosts.set(key, this.#newHost(config, locality, known));
        // At another address for its checks it is one that discovery has forgotten.
        if (
          known === undefined ||
          (isSamePlace(known.locality, locality) && isDisabled(known.config) === isDisabled(config))
        )
          continue;
        for (const hosts of [before, this.#leaving]) {
          const other = hosts.get(key);
          hosts.delete(key);
          if (other !== undefined) this.#end(other);
        }
      }
    }
    for (const [key, host] of before) {
      if (this.#maySurvive(host)) {
        const other = this.#leaving.get(key);
        if (other !== undefined) this.#end(other);
        host.flags |= HealthFlag.PendingRemoval;
        this.#leaving.set(key, host);
      } else this.#end(host);
    }
    for (const [key, host] of this.#leaving) {
      if (this.#maySurvive(host)) continue;
      this.#leaving.delete(key);
      this.#end(host);
    }
    if (this.#probes !== undefined) for (const it of this.#hosts.values()) this.#start(it);
    return !isSame(this.#shown(), shownBefore);
  }

  /** What makes a difference to load balancing. */
  #shown(): Shown {
    const hosts = [...this.#hosts.values(), ...this.#leaving.values()].map((host) => {
      const { weight, flags, metadata } = host.config;
      return [host, { weight, flags, metadata, priority: host.locality.priority }] as const;
    });
    return { weights: this.#localities.map(({ hosts: _, ...it }) => it), hosts: new Map(hosts) };
  }

  /** With their health. */
  localities(): LocalityConfig[] {
    const all = this.#localities.map((it) => ({ ...it, hosts: [] as HostConfig[] }));
    const own = new Map(this.#localities.map((it, i) => [it, all[i]!]));
    const place = (locality: LocalityConfig) => {
      const found =
        own.get(locality) ?? all.find((it) => isSamePlace(it, locality) && it.priority === locality.priority);
      if (found !== undefined) return found;
      const fresh = { ...locality, weight: 0, hosts: [] as HostConfig[] };
      all.push(fresh);
      return fresh;
    };
    for (const hosts of [this.#hosts, this.#leaving])
      for (const { config, locality, flags } of hosts.values())
        place(locality).hosts.push(flags === 0 ? config : { ...config, flags: config.flags | flags });
    return all;
  }

  /** Resolves when every host has been checked once. */
  async start(): Promise<void> {
    const { startProbes } = await import('./start-probes.ts');
    if (this.#isClosed) return;
    const { registry, services } = this.#options;
    this.#probes = startProbes(this.#config, this.#shared, this.#scope, this.#matches, registry, services);
    const hosts = [...this.#hosts.values()].filter(({ checks }) => checks.length > 0);
    this.#pending = hosts.length;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onFirstRound = resolve;
    if (hosts.length === 0) resolve();
    for (const it of hosts) this.#start(it);
    await promise;
  }

  /** A response of that host said that it fails. */
  failPassively(key: string): void {
    (this.#hosts.get(key) ?? this.#leaving.get(key))?.checks.at(-1)?.failPassively();
  }

  close(): void {
    this.#isClosed = true;
    this.#onFirstRound?.();
    for (const it of [...this.#hosts.values(), ...this.#leaving.values()]) this.#end(it);
    this.#hosts.clear();
    this.#leaving.clear();
  }

  #newHost(config: HostConfig, locality: LocalityConfig, known: CheckedHost | undefined): CheckedHost {
    const host: CheckedHost = { config, locality, flags: 0, checks: [], awaited: 0, hasStarted: false };
    if (isDisabled(config)) return host;
    host.flags =
      known !== undefined && isSameCheck(known, config)
        ? known.flags & kept
        : HealthFlag.FailedActive | (this.#options.ignoresUnchecked ? HealthFlag.PendingActive : 0);
    host.awaited = 2 ** this.#shared.length - 1;
    this.#shared.forEach((shared, i) => {
      const events = new HealthEvents(this.#logs[i]!, config, locality);
      host.checks.push(
        new HostCheck(host.flags, shared, events, (transition) => this.#onResult(host, i, transition)),
      );
    });
    this.#countCombined(host.flags, 1);
    return host;
  }

  #start(host: CheckedHost): void {
    if (host.hasStarted) return;
    host.hasStarted = true;
    host.checks.forEach((check, i) => {
      check.start(this.#probes![i]!(host.config, host.locality, check));
    });
  }

  #end(host: CheckedHost): void {
    if (host.checks.length > 0) this.#countCombined(host.flags, -1);
    for (const it of host.checks.splice(0)) it.close();
  }

  #maySurvive({ checks, config, flags }: CheckedHost): boolean {
    return (
      !this.#options.ignoresHealthOnRemoval &&
      checks.length > 0 &&
      (flags & HealthFlag.FailedActive) === 0 &&
      (config.flags & HealthFlag.FailedEds) === 0
    );
  }

  #onResult(host: CheckedHost, check: number, transition: Transition): void {
    host.awaited &= ~(1 << check);
    if (host.awaited !== 0) return;
    const before = host.flags;
    if (host.checks.length > 0) {
      let now = before & ~ofChecks;
      for (const it of host.checks) now |= it.flags;
      // Who asks to be left out is heard by one check, not by several: in Envoy neither.
      host.flags = this.#combined === undefined ? now : now & ~HealthFlag.ExcludedImmediate;
    }
    this.#countCombined(before, -1);
    this.#countCombined(host.flags, 1);
    if (host.flags !== before) this.#options.onFlags();
    const hasChanged =
      this.#combined === undefined
        ? transition === Transition.Changed
        : ((before ^ host.flags) & thatMatter) !== 0;
    if (this.#pending > 0 && --this.#pending === 0) {
      this.#options.onChange();
      this.#onFirstRound!();
    } else if (hasChanged) this.#onChange(host);
  }

  #onChange(host: CheckedHost): void {
    if ((host.flags & HealthFlag.FailedActive) !== 0) {
      this.#options.onFailed(host.config);
      for (const [key, it] of this.#leaving) {
        if (it !== host) continue;
        this.#leaving.delete(key);
        this.#end(host);
      }
    }
    // While the first round is under way nobody uses the cluster.
    if (this.#pending === 0) this.#options.onChange();
  }

  #countCombined(flags: number, by: 1 | -1): void {
    if (this.#combined === undefined || this.#isClosed) return;
    if ((flags & HealthFlag.FailedActive) === 0) this.#combined.healthy.value += by;
    if ((flags & HealthFlag.DegradedActive) !== 0) this.#combined.degraded.value += by;
  }
}

function isSame(a: Shown, b: Shown): boolean {
  return (
    a.hosts.size === b.hosts.size &&
    isDeepStrictEqual(a.weights, b.weights) &&
    [...a.hosts].every(([host, it]) => isDeepStrictEqual(it, b.hosts.get(host)))
  );
}

function isSameCheck({ config }: CheckedHost, other: HostConfig): boolean {
  const a = config.healthCheck;
  const b = other.healthCheck;
  return (
    (a?.address || config.address) === (b?.address || other.address) &&
    (a?.port ?? config.port) === (b?.port ?? other.port) &&
    isDisabled(config) === isDisabled(other)
  );
}

function isDisabled({ healthCheck }: HostConfig): boolean {
  return healthCheck?.isDisabled ?? false;
}

function isSamePlace(a: LocalityConfig, b: LocalityConfig): boolean {
  return a.region === b.region && a.zone === b.zone && a.subZone === b.subZone;
}
