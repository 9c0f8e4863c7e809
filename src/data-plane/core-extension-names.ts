// What both halves of the data plane's own extensions say of them: `core-extensions.ts` parses, `prepare-core-extensions.ts` prepares.

export const httpConnectionManager = {
  kind: 'network_filter',
  name: 'envoy.filters.network.http_connection_manager',
  type: 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
  terminal: true,
} as const;

export const tcpProxy = {
  kind: 'network_filter',
  name: 'envoy.filters.network.tcp_proxy',
  type: 'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
  terminal: true,
} as const;

export const udpProxy = {
  kind: 'udp_filter',
  name: 'envoy.filters.udp_listener.udp_proxy',
  type: 'envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig',
} as const;

export const dnsFilter = {
  kind: 'udp_filter',
  name: 'envoy.filters.udp.dns_filter',
  type: 'envoy.extensions.filters.udp.dns_filter.v3.DnsFilterConfig',
} as const;

export const forwardProxy = {
  kind: 'http_filter',
  name: 'envoy.filters.http.dynamic_forward_proxy',
  type: 'envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig',
  routeType: 'envoy.extensions.filters.http.dynamic_forward_proxy.v3.PerRouteConfig',
} as const;

export const sniForwardProxy = {
  kind: 'network_filter',
  name: 'envoy.filters.network.sni_dynamic_forward_proxy',
  type: 'envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig',
} as const;
