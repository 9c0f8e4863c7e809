// The extensions of `core-extensions.ts` as workers need them: with what is prepared from their configuration.
import { defineNetworkFilter } from '#extension/network-filter.ts';
import type { Extension } from '#extension/registry.ts';
import { defineUdpFilter } from '#extension/udp-filter.ts';
import { dnsFilter, httpConnectionManager, tcpProxy, udpProxy } from './core-extensions.ts';
import { prepareDnsFilter } from './dns-filter/prepare-dns-filter.ts';
import { ConnectionManager } from './http/connection-manager.ts';
import { prepareConnectionManager } from './http/prepare-manager.ts';
import { prepareTcpProxy } from './tcp/prepare-tcp-proxy.ts';
import { TcpSession } from './tcp/tcp-proxy.ts';
import { type DataPlaneUdpContext, prepareUdpProxy } from './udp/prepare-udp-proxy.ts';
import type { DataPlaneFilterContext } from './worker-context.ts';

export const preparedCoreExtensions: readonly Extension[] = [
  defineNetworkFilter({
    ...httpConnectionManager,
    prepare(config, context) {
      const shared = prepareConnectionManager(config, context as DataPlaneFilterContext);
      return (downstream) => new ConnectionManager(shared, downstream);
    },
  }),
  defineNetworkFilter({
    ...tcpProxy,
    prepare(config, context) {
      const shared = prepareTcpProxy(config, context as DataPlaneFilterContext);
      return (downstream) => new TcpSession(shared, downstream);
    },
  }),
  defineUdpFilter({
    ...udpProxy,
    prepare: (config, context) => prepareUdpProxy(config, context as DataPlaneUdpContext),
  }),
  defineUdpFilter({
    ...dnsFilter,
    prepare: (config, context) => prepareDnsFilter(config, context as DataPlaneUdpContext),
  }),
];
