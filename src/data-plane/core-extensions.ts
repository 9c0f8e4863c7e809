// The extensions that are part of the data plane: they need more of it than the contracts offer. tcp_proxy and udp_proxy belong here.
import { defineNetworkFilter, type NetworkFilterExtension } from '#extension/network-filter.ts';
import type { Extension } from '#extension/registry.ts';
import { ConnectionManager } from './http/connection-manager.ts';
import { parseConnectionManager } from './http/parse-manager.ts';
import { prepareConnectionManager } from './http/prepare-manager.ts';
import type { DataPlaneFilterContext } from './worker-context.ts';

export const httpConnectionManager: NetworkFilterExtension = defineNetworkFilter({
  kind: 'network_filter',
  name: 'envoy.filters.network.http_connection_manager',
  type: 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
  terminal: true,
  parse: parseConnectionManager,
  prepare(config, context) {
    const shared = prepareConnectionManager(config, context as DataPlaneFilterContext);
    return (downstream) => new ConnectionManager(shared, downstream);
  },
});

export const coreExtensions: readonly Extension[] = [httpConnectionManager];
