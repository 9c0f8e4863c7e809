// One bootstrap for all cases: a listener for each, on 21300 and up, and the clusters they name.
import type { TcpCase } from './cases.ts';

const extensions = 'type.googleapis.com/envoy.extensions';

/** Everything that can be said about a connection, without times and client ports. */
const format = [
  'FLAGS %RESPONSE_FLAGS%',
  'DETAILS %RESPONSE_CODE_DETAILS%',
  'TERMINATION %CONNECTION_TERMINATION_DETAILS%',
  'LOCAL_CLOSE %DOWNSTREAM_LOCAL_CLOSE_REASON%',
  'CLOSE_TYPE %DOWNSTREAM_DETECTED_CLOSE_TYPE%',
  'UPSTREAM_LOCAL_CLOSE %UPSTREAM_LOCAL_CLOSE_REASON%',
  'UPSTREAM_CLOSE_TYPE %UPSTREAM_DETECTED_CLOSE_TYPE%',
  'DOWNSTREAM_FAILURE %DOWNSTREAM_TRANSPORT_FAILURE_REASON%',
  'UPSTREAM_FAILURE %UPSTREAM_TRANSPORT_FAILURE_REASON%',
  'RECEIVED %BYTES_RECEIVED% %DOWNSTREAM_WIRE_BYTES_RECEIVED% %UPSTREAM_WIRE_BYTES_RECEIVED%',
  'SENT %BYTES_SENT% %DOWNSTREAM_WIRE_BYTES_SENT% %UPSTREAM_WIRE_BYTES_SENT%',
  'ATTEMPTS %UPSTREAM_REQUEST_ATTEMPT_COUNT%',
  'UPSTREAM %UPSTREAM_HOST% %UPSTREAM_CLUSTER%',
  'SNI %REQUESTED_SERVER_NAME%',
  'STATE %FILTER_STATE(first)% %FILTER_STATE(second:PLAIN)%',
  'UPSTREAM_STATE %UPSTREAM_FILTER_STATE(first)% %UPSTREAM_FILTER_STATE(second:PLAIN)% %UPSTREAM_FILTER_STATE(third)%',
  'TUNNEL %FILTER_STATE(envoy.tcp_proxy.propagate_response_headers)% %FILTER_STATE(envoy.tcp_proxy.propagate_response_trailers:TYPED)%',
  'IDS %DYNAMIC_METADATA(envoy.filters.network.tcp_proxy)%',
  'PROTOCOLS %PROTOCOL% %UPSTREAM_PROTOCOL%',
  'TLS %UPSTREAM_TLS_VERSION% %UPSTREAM_TLS_CIPHER%',
  'ADDRESSES %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% %UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% %UPSTREAM_REMOTE_ADDRESS%',
  'ATTEMPTED %UPSTREAM_HOSTS_ATTEMPTED% %UPSTREAM_HOST_NAME%',
  'CODE %RESPONSE_CODE%',
  'TYPE %ACCESS_LOG_TYPE%',
].join(' ');

export function accessLog(name: string, prefix: string): string {
  return fileLog(name, `${prefix} ${format}`);
}

export function fileLog(name: string, line: string): string {
  return `[{name: l, typed_config: {"@type": ${extensions}.access_loggers.file.v3.FileAccessLog, path: ${name}.log, log_format: {text_format_source: {inline_string: "${line}\\n"}}}}]`;
}

export function network(name: string, config: string): string {
  return `{name: ${name}, typed_config: {"@type": ${extensions}.filters.network.${config}}}`;
}

export function listenerFilter(name: string, config: string): string {
  return `{name: ${name}, typed_config: {"@type": ${extensions}.filters.listener.${config}}}`;
}

/** A tcp_proxy whose statistics carry the case's name. */
export function tcpProxy(name: string, fields: string): string {
  return network(
    'tcp',
    `tcp_proxy.v3.TcpProxy, stat_prefix: ${name}, access_log: ${accessLog(name, 'TCP')}, ${fields}`,
  );
}

export function cluster(name: string, port: number, fields = ''): string {
  return `{name: ${name}, connect_timeout: 1s, load_assignment: {cluster_name: ${name}, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}}}]}]}${fields === '' ? '' : `, ${fields}`}}`;
}

export function configuration(cases: readonly TcpCase[]): string {
  const listeners = cases.map(
    (it, i) =>
      `  - {name: ${it.name}, stat_prefix: ${it.name}, address: {socket_address: {address: 127.0.0.1, port_value: ${21300 + i}}}, access_log: ${accessLog(it.name, 'LISTENER')}, ${it.listener === undefined ? '' : `${it.listener}, `}filter_chains: [${it.chain ?? `{filters: [${it.filters!.join(', ')}]}`}]}`,
  );
  const clusters = cases
    .flatMap((it) => [
      ...(it.upstream === undefined ? [] : [cluster(it.name, it.upstream)]),
      ...(it.clusters ?? []),
    ])
    .map((it) => `  - ${it}`);
  return `admin: {address: {socket_address: {address: 127.0.0.1, port_value: 21001}}}
static_resources:
  listeners:
${listeners.join('\n')}
  clusters:
  - ${cluster('echo', 21201)}
  - ${cluster('greeter', 21202)}
  - ${cluster('breaker', 21203)}
  - ${cluster('sink', 21204)}
  - ${cluster('refused', 21999)}
  - ${'{name: empty, connect_timeout: 1s}'}
${clusters.join('\n')}
`;
}
