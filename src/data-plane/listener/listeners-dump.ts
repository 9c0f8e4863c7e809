// Listeners as `/config_dump` shows them: with every state that each is in.
import type { ConfigDumpSection } from '#admin/owners.ts';
import { timestamp } from '../observe/config-dump-sections.ts';
import type { ListenerError, ListenerManager } from './listener-manager.ts';
import type { ManagedListener } from './managed-listener.ts';

type Dumped = Record<string, unknown>;

/** What LDS knows beside the listeners: the version of its last response, and what it could not take of it. */
export interface ListenerSource {
  readonly version: string;
  readonly errors: readonly Pick<ListenerError, 'message' | 'details'>[];
}

export function listenersSection(
  manager: () => ListenerManager,
  source: () => ListenerSource | undefined,
): ConfigDumpSection {
  return {
    order: 40,
    type: 'envoy.admin.v3.ListenersConfigDump',
    dump(matches) {
      const { active, warming, draining, errors, areWorkersStarted } = manager();
      const byName = new Map<string, Dumped>();
      const of = (name: string) => {
        let found = byName.get(name);
        if (found === undefined) {
          found = { name };
          byName.set(name, found);
        }
        return found;
      };
      const shown = (list: readonly ManagedListener[]) => list.filter(({ message }) => matches(message.name));
      const dynamic = (list: readonly ManagedListener[], state: string) => {
        for (const it of shown(list)) if (!it.isStatic) of(it.name)[state] = stateOf(it);
      };
      dynamic(active, areWorkersStarted ? 'active_state' : 'warming_state');
      dynamic(warming, 'warming_state');
      dynamic(draining, 'draining_state');
      for (const [name, error] of errors)
        of(name).error_state = { ...errorState(error), last_update_attempt: timestamp(error.atMs) };
      const { version = '', errors: unnamed = [] } = source() ?? {};
      return {
        version_info: version,
        static_listeners: shown(active)
          .filter(({ isStatic }) => isStatic)
          .map(({ message, updatedMs }) => ({
            listener: packed(message),
            last_updated: timestamp(updatedMs),
          })),
        dynamic_listeners: [...byName.values(), ...unnamed.map((it) => ({ error_state: errorState(it) }))],
      };
    },
  };
}

function stateOf({ version, message, updatedMs }: ManagedListener): Dumped {
  return { version_info: version, listener: packed(message), last_updated: timestamp(updatedMs) };
}

function errorState({ message, details }: Pick<ListenerError, 'message' | 'details'>): Dumped {
  return { failed_configuration: packed(message), details };
}

function packed(message: object): object {
  return { '@type': 'type.googleapis.com/envoy.config.listener.v3.Listener', ...message };
}
