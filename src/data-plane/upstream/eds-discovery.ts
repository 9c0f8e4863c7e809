// EDS: the members of a cluster from a `ClusterLoadAssignment`. Steps 3 to 5 of a config update's way.
import { isDeepStrictEqual } from 'node:util';
import { addressText } from '#base/address-text.ts';
import { logger } from '#base/logger.ts';
import type { ClusterLoadAssignment } from '#schema/messages/envoy/config/endpoint/v3.ts';
import type { Counter } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';
import type { DiscoveredResource } from '#xds/decode-resources.ts';
import {
  type FileSourceConfig,
  type FileSourceContext,
  FileSubscription,
  type SubscriptionOwner,
} from '#xds/file-source.ts';
import { SubscriptionStats } from '#xds/subscription-stats.ts';
import type { LocalityConfig } from './cluster-config.ts';
import { parseLoadAssignment } from './parse-cluster.ts';
import { failUnresolved } from './parse-discovery.ts';

const log = logger('upstream');

export interface EdsConfig {
  readonly source: FileSourceConfig;
  /** `service_name`, or the name of the cluster. */
  readonly serviceName: string;
}

export class EdsDiscovery implements SubscriptionOwner {
  readonly type = 'envoy.config.endpoint.v3.ClusterLoadAssignment';
  readonly #cluster: string;
  readonly #serviceName: string;
  readonly #subscription: FileSubscription;
  readonly #onHosts: (hosts: readonly LocalityConfig[]) => boolean;
  readonly #empty: Counter;
  readonly #noRebuild: Counter;
  #hosts: readonly LocalityConfig[] = [];

  /** `scope`: of the cluster. `onHosts`: false when they make no difference. */
  constructor(
    cluster: string,
    { source, serviceName }: EdsConfig,
    scope: Scope,
    context: FileSourceContext,
    onHosts: (hosts: readonly LocalityConfig[]) => boolean,
  ) {
    this.#cluster = cluster;
    this.#serviceName = serviceName;
    this.#onHosts = onHosts;
    this.#empty = scope.counter('update_empty');
    this.#noRebuild = scope.counter('update_no_rebuild');
    this.#subscription = new FileSubscription(source, this, scope.stats(SubscriptionStats), context);
  }

  start(): Promise<void> {
    return this.#subscription.start();
  }

  close(): void {
    this.#subscription.close();
  }

  onUpdate(resources: readonly DiscoveredResource[]): string | undefined {
    const [resource] = resources;
    if (resource === undefined) {
      this.#empty.value++;
      return undefined;
    }
    if (resources.length > 1) return this.#refuse(`Unexpected EDS resource length: ${resources.length}`);
    const message = resource.message as ClusterLoadAssignment;
    const expected = this.#serviceName;
    if (message.cluster_name !== expected) {
      const words = `Unexpected EDS cluster (expecting ${expected}): ${message.cluster_name}`;
      resource.at.field('cluster_name').fail(`these are the endpoints of "${message.cluster_name}"`, {
        got: message.cluster_name,
        expected: `"${expected}", the cluster's name or "service_name"`,
        envoy: words,
      });
      return this.#refuse(words);
    }
    let problem = resource.problems.find((it) => it.severity === 'error');
    if (problem !== undefined) return problem.envoy ?? problem.message;
    const before = resource.at.problems.length;
    const all = parseLoadAssignment(message, resource.at);
    failUnresolved(all, resource.at);
    const hosts = onlyFirst(all);
    problem = resource.at.problems.slice(before).find((it) => it.severity === 'error');
    if (problem !== undefined) return problem.envoy ?? problem.message;
    if (isDeepStrictEqual(hosts, this.#hosts)) this.#noRebuild.value++;
    else {
      this.#hosts = hosts;
      if (!this.#onHosts(hosts)) this.#noRebuild.value++;
    }
    return undefined;
  }

  onUpdateFailed(): void {}

  #refuse(words: string): string {
    log.warn(`eds: cluster '${this.#cluster}' config rejected: ${words}`);
    return words;
  }
}

/** Of several with one address. */
function onlyFirst(localities: readonly LocalityConfig[]): LocalityConfig[] {
  const seen = new Set<string>();
  return localities.map((locality) => ({
    ...locality,
    hosts: locality.hosts.filter(({ address, port }) => {
      const key = addressText(address, port);
      return !seen.has(key) && seen.add(key);
    }),
  }));
}
