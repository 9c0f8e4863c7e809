// On the main thread: how large the tables of a policy of consistent hashing are, as gauges. The workers make the tables.
import { addressText } from '#base/address-text.ts';
import type { Host, TableGauges } from '#extension/load-balancer.ts';
import type { Runtime } from '#extension/runtime.ts';
import type { Gauge } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';
import type { ClusterConfig, HostConfig, LocalityConfig } from './cluster-config.ts';
import { loadsOf, weightedHosts } from './hash-balancer.ts';
import { healthOf, isExcluded } from './health-flags.ts';
import { hostSets } from './host-sets.ts';

export class TableSizes {
  readonly #config: ClusterConfig;
  readonly #tables: TableGauges<unknown>;
  readonly #gauges: readonly Gauge[];
  readonly #runtime: Runtime;

  constructor(config: ClusterConfig, tables: TableGauges<unknown>, scope: Scope, runtime: Runtime) {
    this.#config = config;
    this.#tables = tables;
    this.#gauges = tables.names.map((it) => scope.gauge(it));
    this.#runtime = runtime;
  }

  update(localities: readonly LocalityConfig[]): void {
    const { lbPolicy, overprovisioningFactor, healthyPanicPercent } = this.#config;
    const sets = hostSets(
      localities.map((config) => ({ config, hosts: config.hosts.map((it) => hostOf(it, config)) })),
      overprovisioningFactor,
      ({ isExcluded }) => isExcluded,
    );
    const threshold = this.#runtime.integer('upstream.healthy_panic_threshold', healthyPanicPercent);
    const weighsLocalities = this.#tables.weighsLocalities(lbPolicy.config);
    // The last priority that has hosts is the one that is seen.
    for (const load of loadsOf(sets, threshold)) {
      const hosts = weightedHosts(load, weighsLocalities);
      if (hosts.length === 0) continue;
      const values = this.#tables.values(lbPolicy.config, hosts);
      this.#gauges.forEach((it, i) => {
        it.value = values[i]!;
      });
    }
  }
}

/** What can be said of a host on the main thread. */
export function hostOf(
  config: HostConfig,
  { priority }: LocalityConfig,
): Host & { readonly isExcluded: boolean } {
  return {
    address: addressText(config.address, config.port),
    hostname: config.hostname,
    weight: config.weight,
    priority,
    health: healthOf(config.flags),
    locality: undefined,
    metadata: config.metadata,
    activeRequests: 0,
    addedMs: 0,
    isExcluded: isExcluded(config.flags),
  };
}
