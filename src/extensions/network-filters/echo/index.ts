import { defineNetworkFilter, NetworkFilterStatus } from '#extension/network-filter.ts';

/** Sends back what it gets. */
export const echo = defineNetworkFilter({
  kind: 'network_filter',
  name: 'envoy.filters.network.echo',
  type: 'envoy.extensions.filters.network.echo.v3.Echo',
  terminal: true,
  parse: () => ({}),
  prepare: () => (downstream) => ({
    /** A client that sends FIN is gone: there is no half close here. */
    onData(data) {
      downstream.write(data);
      return NetworkFilterStatus.StopIteration;
    },
  }),
});
