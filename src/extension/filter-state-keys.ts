/** Well-known keys that this proxy acts on. */
export const filterStateKeys = {
  tcpCluster: 'envoy.tcp_proxy.cluster',
  tcpIdleTimeout: 'envoy.tcp_proxy.per_connection_idle_timeout_ms',
  disableTunneling: 'envoy.tcp_proxy.disable_tunneling',
  serverName: 'envoy.network.upstream_server_name',
  applicationProtocols: 'envoy.network.application_protocols',
  subjectAltNames: 'envoy.network.upstream_subject_alt_names',
} as const;
