// Route configurations as `/config_dump` shows them: those inside of listeners, and those that came by RDS.
import type { ConfigDumpSection } from '#admin/owners.ts';
import type { ListenerManager } from '../listener/listener-manager.ts';
import { timestamp, visitPacked } from '../observe/config-dump-sections.ts';
import type { RouteConfigs } from './route-configs.ts';

interface Named {
  readonly name: string;
}

/** Before there was a connection manager nothing is said of routes at all. */
export function routesSections(
  listeners: () => ListenerManager,
  discovered: () => RouteConfigs,
): ConfigDumpSection[] {
  let hadManager = false;
  const look = () => {
    const { active, warming, draining } = listeners();
    return [...active, ...warming, ...draining].flatMap(({ message, updatedMs }) => {
      const found: { config: Named; updatedMs: number }[] = [];
      visitPacked(message, (type, value) => {
        if (!type.endsWith('.HttpConnectionManager')) return;
        hadManager = true;
        const { route_config: config } = value as { readonly route_config?: Named };
        if (config !== undefined) found.push({ config, updatedMs });
      });
      return found;
    });
  };
  return [
    {
      order: 50,
      type: 'envoy.admin.v3.ScopedRoutesConfigDump',
      dump() {
        look();
        return hadManager ? {} : undefined;
      },
    },
    {
      order: 60,
      type: 'envoy.admin.v3.RoutesConfigDump',
      dump(matches) {
        const inline = look();
        if (!hadManager) return undefined;
        return {
          static_route_configs: inline
            .filter(({ config }) => matches(config.name))
            .map(({ config, updatedMs }) => ({
              route_config: {
                '@type': 'type.googleapis.com/envoy.config.route.v3.RouteConfiguration',
                ...config,
              },
              last_updated: timestamp(updatedMs),
            })),
          dynamic_route_configs: discovered().dynamic(matches),
        };
      },
    },
  ];
}
