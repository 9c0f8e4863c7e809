import { defineNetworkFilter, NetworkFilterStatus } from '#extension/network-filter.ts';

/** Sends back what it gets. */
export const echo = defineNetworkFilter({
  kind: 'network_filter',
  name: 'envoy.filters.network.echo',
  type: 'envoy.extensions.filters.network.echo.v3.Echo',
  terminal: true,
  parse: () => ({}),
  prepare: () => (downstream) => ({
    onNewConnection() {
      downstream.connection.halfClose = true;
      return NetworkFilterStatus.Continue;
    },
    onData(data, end) {
      if (data.length > 0) downstream.write(data);
      if (end) downstream.end();
      return NetworkFilterStatus.StopIteration;
    },
  }),
});
