// `overload_manager`: of its monitors the limit of downstream connections is there, which acts by itself. Others, and actions, are not.
import type { ParseContext } from '#config/parse-context.ts';
import { warnOthers } from '#extension/message-fields.ts';
import { typeOf } from '#extension/registry.ts';
import type { OverloadManager } from '#schema/messages/envoy/config/overload/v3.ts';
import type { DownstreamConnectionsConfig } from '#schema/messages/envoy/extensions/resource_monitors/downstream_connections/v3.ts';

const connectionsType =
  'envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig';

/** How many downstream connections may be open in the process; -1: any number. */
export function parseMaxConnections(message: OverloadManager | undefined, at: ParseContext): number {
  if (message === undefined) return -1;
  warnOthers(message, at, ['resource_monitors', 'refresh_interval']);
  let max = -1;
  message.resource_monitors.forEach((monitor, i) => {
    if (typeOf(monitor.typed_config) === connectionsType) {
      const config = monitor.typed_config as unknown as DownstreamConnectionsConfig;
      max = Number(config.max_active_downstream_connections);
    } else
      at.field('resource_monitors', i).warn(`${monitor.name} is not monitored by chancery yet`, {
        rule: 'unsupported',
      });
  });
  return max;
}
