// RDS: the route configurations that connection managers name, on the main thread. Those that name the same one of the same source share it.
// Steps 3 to 7 of a config update's way.
import type { ConfigDumpSection } from '#admin/owners.ts';
import { logger } from '#base/logger.ts';
import { collectTakings, onRelease } from '#base/takings.ts';
import type { Registry } from '#extension/registry.ts';
import { encodeMessage } from '#schema/binary.ts';
import type { RouteConfiguration } from '#schema/messages/envoy/config/route/v3.ts';
import { message as messageType } from '#schema/registry.ts';
import type { Counter, Gauge } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';
import type { DiscoveredResource } from '#xds/decode-resources.ts';
import { type FileSourceContext, FileSubscription, type SubscriptionOwner } from '#xds/file-source.ts';
import { SubscriptionStats } from '#xds/subscription-stats.ts';
import { httpConnectionManager } from '../core-extension-names.ts';
import type { ListenerConfig } from '../listener/listener-config.ts';
import { timestamp } from '../observe/config-dump-sections.ts';
import type { ToWorker } from '../worker-protocol.ts';
import type { ConnectionManagerConfig, RdsConfig } from './manager-config.ts';
import type { RouteConfigData } from './route-config.ts';
import { parseRouteConfiguration } from './route-parse.ts';

const log = logger('rds');

interface Followed {
  readonly routes: DiscoveredRoutes;
  readonly first: Promise<void>;
  /** Gives back what was taken for all. */
  readonly release: () => void;
  users: number;
}

export class RouteConfigs {
  readonly #registry: Registry;
  readonly #root: Scope;
  readonly #context: FileSourceContext;
  readonly #post: (message: ToWorker) => void;
  readonly #followed = new Map<string, Followed>();

  constructor(
    registry: Registry,
    root: Scope,
    context: FileSourceContext,
    post: (message: ToWorker) => void,
  ) {
    this.#registry = registry;
    this.#root = root;
    this.#context = context;
    this.#post = post;
  }

  /** Those of a listener, until they are given back. Each resolves when it was read for the first time. */
  follow({ filterChains, defaultFilterChain }: ListenerConfig): Promise<void>[] {
    const chains = defaultFilterChain === undefined ? filterChains : [...filterChains, defaultFilterChain];
    return chains.flatMap(({ filters }) =>
      filters.flatMap(({ extension, config }) => {
        const { rds, statPrefix } = config as ConnectionManagerConfig;
        return extension === httpConnectionManager.name && rds !== undefined
          ? this.#follow(rds, statPrefix)
          : [];
      }),
    );
  }

  #follow(rds: RdsConfig, statPrefix: string): Promise<void> {
    let followed = this.#followed.get(rds.key);
    if (followed === undefined) {
      // Not a taking of whoever is the first.
      const { value: routes, release } = collectTakings(() => {
        const scope = this.#root.scope(`http.${statPrefix}.rds.${rds.routeConfigName}`);
        return new DiscoveredRoutes(rds, this.#registry, scope, this.#context, (config) =>
          this.#post({ type: 'routes', key: rds.key, config }),
        );
      });
      followed = { routes, first: routes.start(), release, users: 0 };
      this.#followed.set(rds.key, followed);
    }
    const own = followed;
    own.users++;
    onRelease(() => {
      if (--own.users > 0) return;
      own.routes.close();
      own.release();
      this.#followed.delete(rds.key);
      this.#post({ type: 'routes', key: rds.key, config: undefined });
    });
    return own.first;
  }

  /** What has come so far. */
  *current(): Iterable<ToWorker> {
    for (const [key, { routes }] of this.#followed)
      if (routes.config !== undefined) yield { type: 'routes', key, config: routes.config };
  }

  /** What `/config_dump` shows of them. */
  dynamic(matches: Parameters<ConfigDumpSection['dump']>[0]): object[] {
    return [...this.#followed.values()].flatMap(({ routes: { message, version, updatedMs } }) =>
      message === undefined || !matches(message.name)
        ? []
        : {
            version_info: version,
            route_config: {
              '@type': 'type.googleapis.com/envoy.config.route.v3.RouteConfiguration',
              ...message,
            },
            last_updated: timestamp(updatedMs),
          },
    );
  }

  close(): void {
    for (const { routes } of this.#followed.values()) routes.close();
  }
}

/** `http.<prefix>.rds.<name>.`, beside those of the subscription. */
class RdsStats {
  readonly configReload: Counter;
  readonly configReloadTimeMs: Gauge;
  readonly updateEmpty: Counter;

  constructor(scope: Scope) {
    this.configReload = scope.counter('config_reload');
    this.configReloadTimeMs = scope.gauge('config_reload_time_ms', 'never_import');
    this.updateEmpty = scope.counter('update_empty');
  }
}

class DiscoveredRoutes implements SubscriptionOwner {
  readonly type = 'envoy.config.route.v3.RouteConfiguration';
  message: RouteConfiguration | undefined = undefined;
  config: RouteConfigData | undefined = undefined;
  version = '';
  updatedMs = 0;
  #bytes: Buffer | undefined = undefined;
  readonly #name: string;
  readonly #registry: Registry;
  readonly #stats: RdsStats;
  readonly #subscription: FileSubscription;
  readonly #onConfig: (config: RouteConfigData) => void;

  constructor(
    rds: RdsConfig,
    registry: Registry,
    scope: Scope,
    context: FileSourceContext,
    onConfig: (config: RouteConfigData) => void,
  ) {
    this.#name = rds.routeConfigName;
    this.#registry = registry;
    this.#stats = scope.stats(RdsStats);
    this.#onConfig = onConfig;
    this.#subscription = new FileSubscription(rds.source, this, scope.stats(SubscriptionStats), context);
  }

  start(): Promise<void> {
    return this.#subscription.start();
  }

  close(): void {
    this.#subscription.close();
  }

  onUpdate(resources: readonly DiscoveredResource[], version: string): string | undefined {
    const [resource] = resources;
    if (resource === undefined) {
      this.#stats.updateEmpty.value++;
      return undefined;
    }
    if (resources.length > 1) return this.#refuse(`Unexpected RDS resource length: ${resources.length}`);
    const message = resource.message as RouteConfiguration;
    if (message.name !== this.#name) {
      const words = `Unexpected RDS configuration (expecting ${this.#name}): ${message.name}`;
      resource.at.field('name').fail(`this is the route configuration "${message.name}"`, {
        got: message.name,
        expected: `"${this.#name}", the "route_config_name" of the connection manager`,
        envoy: words,
      });
      return this.#refuse(words);
    }
    const bytes = Buffer.from(
      encodeMessage(messageType('envoy.config.route.v3.RouteConfiguration'), message),
    );
    if (this.#bytes !== undefined && bytes.equals(this.#bytes)) return undefined;
    let problem = resource.problems.find((it) => it.severity === 'error');
    if (problem !== undefined) return problem.envoy ?? problem.message;
    const before = resource.at.problems.length;
    const config = parseRouteConfiguration(message, resource.at, this.#registry);
    problem = resource.at.problems.slice(before).find((it) => it.severity === 'error');
    if (problem !== undefined) return problem.envoy ?? problem.message;
    this.#bytes = bytes;
    this.message = message;
    this.config = config;
    this.version = version;
    this.updatedMs = Date.now();
    this.#stats.configReload.value++;
    this.#stats.configReloadTimeMs.value = this.updatedMs;
    this.#onConfig(config);
    return undefined;
  }

  onUpdateFailed(): void {}

  #refuse(words: string): string {
    log.warn(`rds: route config '${this.#name}' rejected: ${words}`);
    return words;
  }
}
