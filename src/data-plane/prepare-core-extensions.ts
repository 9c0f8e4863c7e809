// The extensions of `core-extensions.ts` as workers need them: with what is prepared from their configuration, and without the readers
// of it, which load the schema.
import { defineHttpFilter } from '#extension/http-filter.ts';
import { defineNetworkFilter } from '#extension/network-filter.ts';
import type { Extension } from '#extension/registry.ts';
import { defineUdpFilter } from '#extension/udp-filter.ts';
import {
  dnsFilter,
  forwardProxy,
  httpConnectionManager,
  sniForwardProxy,
  tcpProxy,
  udpProxy,
} from './core-extension-names.ts';
import type { DnsFilterConfig } from './dns-filter/dns-filter-config.ts';
import { prepareDnsFilter } from './dns-filter/prepare-dns-filter.ts';
import type { ForwardProxyConfig } from './dynamic-forward-proxy/forward-proxy-config.ts';
import { ForwardProxyFilter } from './dynamic-forward-proxy/forward-proxy-filter.ts';
import { ConnectionManager } from './http/connection-manager.ts';
import type { ConnectionManagerConfig } from './http/manager-config.ts';
import { prepareConnectionManager } from './http/prepare-manager.ts';
import { SniForwardProxy } from './sni-dynamic-forward-proxy/sni-forward-proxy.ts';
import type { SniForwardProxyConfig } from './sni-dynamic-forward-proxy/sni-forward-proxy-config.ts';
import { prepareTcpProxy } from './tcp/prepare-tcp-proxy.ts';
import { TcpSession } from './tcp/tcp-proxy.ts';
import type { TcpProxyConfig } from './tcp/tcp-proxy-config.ts';
import { type DataPlaneUdpContext, prepareUdpProxy } from './udp/prepare-udp-proxy.ts';
import type { UdpProxyConfig } from './udp/udp-proxy-config.ts';
import type { DataPlaneFilterContext, DataPlaneHttpFilterContext } from './worker-context.ts';

export const preparedCoreExtensions: readonly Extension[] = [
  defineNetworkFilter<never, ConnectionManagerConfig>({
    ...httpConnectionManager,
    parse,
    prepare(config, context) {
      const shared = prepareConnectionManager(config, context as DataPlaneFilterContext);
      return (downstream) => new ConnectionManager(shared, downstream);
    },
  }),
  defineNetworkFilter<never, TcpProxyConfig>({
    ...tcpProxy,
    parse,
    prepare(config, context) {
      const shared = prepareTcpProxy(config, context as DataPlaneFilterContext);
      return (downstream) => new TcpSession(shared, downstream);
    },
  }),
  defineUdpFilter<never, UdpProxyConfig>({
    ...udpProxy,
    parse,
    prepare: (config, context) => prepareUdpProxy(config, context as DataPlaneUdpContext),
  }),
  defineUdpFilter<never, DnsFilterConfig>({
    ...dnsFilter,
    parse,
    prepare: (config, context) => prepareDnsFilter(config, context as DataPlaneUdpContext),
  }),
  defineHttpFilter<never, ForwardProxyConfig>({
    ...forwardProxy,
    parse,
    prepare(config, context) {
      const { clusters, dnsCaches } = (context as DataPlaneHttpFilterContext).worker;
      const shared = { name: context.name, config, clusters, cache: dnsCaches.get(config.dnsCache)! };
      return () => new ForwardProxyFilter(shared);
    },
  }),
  defineNetworkFilter<never, SniForwardProxyConfig>({
    ...sniForwardProxy,
    parse,
    prepare(config, context) {
      const cache = (context as DataPlaneFilterContext).worker.dnsCaches.get(config.dnsCache)!;
      return (downstream) => new SniForwardProxy(config, cache, downstream);
    },
  }),
];

function parse(): never {
  throw new Error('workers get what the main thread has parsed');
}
