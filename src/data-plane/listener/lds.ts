// LDS: the listeners that a discovery response has are those that there are. Steps 3 to 5 of a config update's way.
import { logger } from '#base/logger.ts';
import type { Listener } from '#schema/messages/envoy/config/listener/v3.ts';
import type { Scope } from '#stats/store.ts';
import type { DiscoveredResource } from '#xds/decode-resources.ts';
import {
  type FileSourceConfig,
  type FileSourceContext,
  FileSubscription,
  type SubscriptionOwner,
} from '#xds/file-source.ts';
import { SubscriptionStats } from '#xds/subscription-stats.ts';
import type { ListenerManager } from './listener-manager.ts';
import type { ListenerSource } from './listeners-dump.ts';

const log = logger('upstream');

export class Lds implements SubscriptionOwner, ListenerSource {
  readonly type = 'envoy.config.listener.v3.Listener';
  /** Of the last response that changed anything. */
  version = '';
  errors: ListenerSource['errors'] = [];
  readonly #manager: ListenerManager;
  readonly #subscription: FileSubscription;

  constructor(config: FileSourceConfig, manager: ListenerManager, root: Scope, context: FileSourceContext) {
    this.#manager = manager;
    const stats = root.scope('listener_manager.lds').stats(SubscriptionStats);
    this.#subscription = new FileSubscription(config, this, stats, context);
  }

  start(): Promise<void> {
    return this.#subscription.start();
  }

  close(): void {
    this.#subscription.close();
  }

  onUpdate(resources: readonly DiscoveredResource[], version: string): string | undefined {
    const manager = this.#manager;
    let isChanged = false;
    manager.beginUpdate();
    // First, as another may want the address.
    const names = new Set(resources.map((it) => it.name));
    for (const { name } of [...manager.warming, ...manager.active]) {
      if (names.has(name) || !manager.remove(name)) continue;
      log.info(`lds: remove listener '${name}'`);
      isChanged = true;
    }
    const seen = new Set<string>();
    const refused: { message: Listener; details: string }[] = [];
    for (const resource of resources) {
      const message = resource.message as Listener;
      const { name } = message;
      let outcome = seen.has(name) ? { refused: `duplicate listener ${name} found` } : undefined;
      seen.add(name);
      const applied = outcome ?? manager.addOrUpdate(message, version, resource.problems, resource.at);
      if (typeof applied === 'object') {
        outcome = applied;
        log.warn(`lds: listener '${name}' config rejected: ${outcome.refused}`);
        refused.push({ message, details: outcome.refused });
      } else if (applied === 'applied') {
        log.info(`lds: add/update listener '${name}'`);
        isChanged = true;
      } else log.debug(`lds: add/update listener '${name}' skipped`);
    }
    this.errors = refused;
    if (isChanged) this.version = version;
    if (refused.length === 0) return undefined;
    const lines = refused.map(({ message, details }) => `${message.name}: ${details}\n`);
    return `Error adding/updating listener(s) ${lines.join('')}`;
  }

  onUpdateFailed(): void {}
}
