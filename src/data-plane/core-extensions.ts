// The extensions that are part of the data plane: they need more of it than the contracts offer.
import { prepareAccessLogs } from '#extension/access-logger.ts';
import { defineNetworkFilter, type NetworkFilterExtension } from '#extension/network-filter.ts';
import { compileTlvs } from '#extension/proxy-protocol-config.ts';
import type { Extension } from '#extension/registry.ts';
import { defineUdpFilter, type UdpFilterExtension } from '#extension/udp-filter.ts';
import { ConnectionManager } from './http/connection-manager.ts';
import { parseConnectionManager } from './http/parse-manager.ts';
import { prepareConnectionManager } from './http/prepare-manager.ts';
import { TcpSession } from './tcp/tcp-proxy.ts';
import { parseTcpProxy } from './tcp/tcp-proxy-config.ts';
import { TcpProxyStats } from './tcp/tcp-proxy-stats.ts';
import { type DataPlaneUdpContext, prepareUdpProxy } from './udp/prepare-udp-proxy.ts';
import { parseUdpProxy } from './udp/udp-proxy-config.ts';
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

export const tcpProxy: NetworkFilterExtension = defineNetworkFilter({
  kind: 'network_filter',
  name: 'envoy.filters.network.tcp_proxy',
  type: 'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
  terminal: true,
  parse: parseTcpProxy,
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
});

export const udpProxy: UdpFilterExtension = defineUdpFilter({
  kind: 'udp_filter',
  name: 'envoy.filters.udp_listener.udp_proxy',
  type: 'envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig',
  parse: parseUdpProxy,
  prepare: (config, context) => prepareUdpProxy(config, context as DataPlaneUdpContext),
});

export const coreExtensions: readonly Extension[] = [httpConnectionManager, tcpProxy, udpProxy];
