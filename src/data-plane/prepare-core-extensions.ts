// The extensions of `core-extensions.ts` as workers need them: with what is prepared from their configuration.
import { prepareAccessLogs } from '#extension/access-logger.ts';
import { defineNetworkFilter } from '#extension/network-filter.ts';
import { compileTlvs } from '#extension/proxy-protocol-config.ts';
import type { Extension } from '#extension/registry.ts';
import { defineUdpFilter } from '#extension/udp-filter.ts';
import { httpConnectionManager, tcpProxy, udpProxy } from './core-extensions.ts';
import { ConnectionManager } from './http/connection-manager.ts';
import { prepareConnectionManager } from './http/prepare-manager.ts';
import { TcpSession } from './tcp/tcp-proxy.ts';
import { TcpProxyStats } from './tcp/tcp-proxy-stats.ts';
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
      const { worker } = context as DataPlaneFilterContext;
      const shared = {
        config,
        stats: context.stats.scope(`tcp.${config.statPrefix}`).stats(TcpProxyStats),
        worker,
        accessLogs: prepareAccessLogs(config.accessLogs, context.registry, context),
        proxyTlvs: compileTlvs(config.proxyTlvs),
      };
      return (downstream) => new TcpSession(shared, downstream);
    },
  }),
  defineUdpFilter({
    ...udpProxy,
    prepare: (config, context) => prepareUdpProxy(config, context as DataPlaneUdpContext),
  }),
];
