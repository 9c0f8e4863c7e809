import { filterStateKeys } from '#extension/filter-state-keys.ts';
import { filterStatePlain } from '#extension/filter-state-text.ts';
import { defineNetworkFilter, NetworkFilterStatus } from '#extension/network-filter.ts';

/** The server name that the client asks for is the cluster that tcp_proxy connects to. */
export const sniCluster = defineNetworkFilter({
  kind: 'network_filter',
  name: 'envoy.filters.network.sni_cluster',
  type: 'envoy.extensions.filters.network.sni_cluster.v3.SniCluster',
  parse: () => ({}),
  prepare: () => (downstream) => ({
    onNewConnection() {
      const name = downstream.info.requestedServerName;
      if (name !== '') downstream.filterState.set(filterStateKeys.tcpCluster, filterStatePlain(name));
      return NetworkFilterStatus.Continue;
    },
  }),
});
