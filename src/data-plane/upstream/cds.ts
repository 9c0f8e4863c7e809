// CDS: the clusters that a discovery response has are those that there are. Steps 3 to 5 of a config update's way.
import { logger } from '#base/logger.ts';
import type { Cluster } from '#schema/messages/envoy/config/cluster/v3.ts';
import type { Counter, Gauge } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';
import type { DiscoveredResource } from '#xds/decode-resources.ts';
import {
  type FileSourceConfig,
  type FileSourceContext,
  FileSubscription,
  type SubscriptionOwner,
} from '#xds/file-source.ts';
import { SubscriptionStats } from '#xds/subscription-stats.ts';
import type { ClusterManager } from './cluster-manager.ts';

const log = logger('upstream');

/** `cluster_manager.cds.`, beside those of the subscription. */
class CdsStats {
  readonly configReload: Counter;
  readonly configReloadTimeMs: Gauge;

  constructor(scope: Scope) {
    this.configReload = scope.counter('config_reload');
    this.configReloadTimeMs = scope.gauge('config_reload_time_ms', 'never_import');
  }
}

export class Cds implements SubscriptionOwner {
  readonly type = 'envoy.config.cluster.v3.Cluster';
  /** Of the last response that changed anything. */
  version = '';
  readonly #manager: ClusterManager;
  readonly #stats: CdsStats;
  readonly #subscription: FileSubscription;

  constructor(config: FileSourceConfig, manager: ClusterManager, root: Scope, context: FileSourceContext) {
    this.#manager = manager;
    const scope = root.scope('cluster_manager.cds');
    this.#stats = scope.stats(CdsStats);
    this.#subscription = new FileSubscription(config, this, scope.stats(SubscriptionStats), context);
  }

  start(): Promise<void> {
    return this.#subscription.start();
  }

  close(): void {
    this.#subscription.close();
  }

  onUpdate(resources: readonly DiscoveredResource[], version: string): string | undefined {
    const manager = this.#manager;
    const names = new Set(resources.map(({ name }) => name));
    const known = new Set([...manager.clusters, ...manager.warming].map(({ name }) => name));
    const gone = [...known].filter((it) => !names.has(it));
    log.info(
      `cds: response indicates ${resources.length} added/updated cluster(s), ${gone.length} removed cluster(s); applying changes`,
    );
    const seen = new Set<string>();
    const refused: string[] = [];
    let applied = 0;
    let skipped = 0;
    for (const { message: resource, problems, at } of resources) {
      const message = resource as Cluster;
      const { name } = message;
      if (seen.has(name)) {
        const words = `${name}: duplicate cluster ${name} found`;
        log.warn(`cds: cluster '${name}' config rejected: ${words}`);
        refused.push(words);
        continue;
      }
      seen.add(name);
      const outcome = manager.addOrUpdate(message, version, problems, at);
      if (typeof outcome === 'object') {
        log.warn(`cds: cluster '${name}' config rejected: ${outcome.refused}`);
        refused.push(`${name}: ${outcome.refused}`);
      } else if (outcome === 'applied') {
        log.debug(`cds: add/update cluster '${name}'`);
        applied++;
      } else {
        log.debug(`cds: add/update cluster '${name}' skipped`);
        skipped++;
      }
    }
    const removed = gone.filter((it) => manager.remove(it)).length;
    log.info(
      `cds: added/updated ${applied} cluster(s) (skipped ${skipped} unmodified cluster(s)); removed ${removed} cluster(s)`,
    );
    const isChanged = applied + removed > 0;
    if (isChanged) this.version = version;
    if (refused.length > 0) return `Error adding/updating cluster(s) ${refused.join(', ')}`;
    if (isChanged) {
      this.#stats.configReload.value++;
      this.#stats.configReloadTimeMs.value = Date.now();
    }
    return undefined;
  }

  onUpdateFailed(): void {}
}
