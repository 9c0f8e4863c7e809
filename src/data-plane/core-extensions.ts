// The extensions that are part of the data plane: they need more of it than the contracts offer. What the main thread needs of them;
// `prepare-core-extensions.ts` has the rest, which loads all that a request touches.
import type { NetworkFilterExtension } from '#extension/network-filter.ts';
import type { Extension } from '#extension/registry.ts';
import type { UdpFilterExtension } from '#extension/udp-filter.ts';
import { parseDnsFilter } from './dns-filter/dns-filter-config.ts';
import { parseConnectionManager } from './http/parse-manager.ts';
import { parseTcpProxy } from './tcp/tcp-proxy-config.ts';
import { parseUdpProxy } from './udp/udp-proxy-config.ts';

export const httpConnectionManager = {
  kind: 'network_filter',
  name: 'envoy.filters.network.http_connection_manager',
  type: 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
  terminal: true,
  parse: parseConnectionManager,
} as const satisfies Omit<NetworkFilterExtension<never, unknown>, 'prepare'>;

export const tcpProxy = {
  kind: 'network_filter',
  name: 'envoy.filters.network.tcp_proxy',
  type: 'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
  terminal: true,
  parse: parseTcpProxy,
} as const satisfies Omit<NetworkFilterExtension<never, unknown>, 'prepare'>;

export const udpProxy = {
  kind: 'udp_filter',
  name: 'envoy.filters.udp_listener.udp_proxy',
  type: 'envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig',
  parse: parseUdpProxy,
} as const satisfies Omit<UdpFilterExtension<never, unknown>, 'prepare'>;

export const dnsFilter = {
  kind: 'udp_filter',
  name: 'envoy.filters.udp.dns_filter',
  type: 'envoy.extensions.filters.udp.dns_filter.v3.DnsFilterConfig',
  parse: parseDnsFilter,
} as const satisfies Omit<UdpFilterExtension<never, unknown>, 'prepare'>;

export const coreExtensions: readonly Extension[] = [httpConnectionManager, tcpProxy, udpProxy, dnsFilter];
