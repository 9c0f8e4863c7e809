// The response header proxy-status (RFC 9209), where `proxy_status_config` asks for it: what went wrong here.
import { ResponseFlag, shortFlagNames } from '#extension/response-flag.ts';
import { flagText } from '#extension/substitution/commands.ts';
import type { HeaderMap } from '#http/header-map.ts';
import type { HttpConnectionManager_ProxyStatusConfig } from '#schema/messages/envoy/extensions/filters/network/http_connection_manager/v3.ts';
import type { Stream } from './stream.ts';

export interface ProxyStatusData {
  readonly hasDetails: boolean;
  readonly hasTerminationDetails: boolean;
  readonly hasFlags: boolean;
  readonly setsRecommendedCode: boolean;
  readonly usesNodeId: boolean;
  /** Empty: the server's name. */
  readonly name: string;
}

export function parseProxyStatus(message: HttpConnectionManager_ProxyStatusConfig): ProxyStatusData {
  return {
    hasDetails: !message.remove_details,
    hasTerminationDetails: !message.remove_connection_termination_details,
    hasFlags: !message.remove_response_flags,
    setsRecommendedCode: message.set_recommended_response_code,
    usesNodeId: message.use_node_id ?? false,
    name: message.literal_proxy_name ?? '',
  };
}

/** What RFC 9209 calls a flag, and the status it recommends (0: none). The first flag that is raised counts. */
const errors: readonly (readonly [flag: number, error: string, status: number])[] = [
  [ResponseFlag.FailedLocalHealthCheck, 'destination_unavailable', 503],
  [ResponseFlag.NoHealthyUpstream, 'destination_unavailable', 503],
  [ResponseFlag.UpstreamRequestTimeout, 'http_response_timeout', 504],
  [ResponseFlag.LocalReset, 'connection_timeout', 504],
  [ResponseFlag.UpstreamRemoteReset, 'connection_terminated', 502],
  [ResponseFlag.UpstreamConnectionFailure, 'connection_refused', 502],
  [ResponseFlag.UpstreamConnectionTermination, 'connection_terminated', 502],
  [ResponseFlag.UpstreamOverflow, 'connection_limit_reached', 503],
  [ResponseFlag.NoRouteFound, 'destination_not_found', 500],
  [ResponseFlag.FaultInjected, 'http_request_error', 0],
  [ResponseFlag.RateLimited, 'connection_limit_reached', 503],
  [ResponseFlag.RateLimitServiceError, 'connection_limit_reached', 503],
  [ResponseFlag.UpstreamRetryLimitExceeded, 'destination_unavailable', 503],
  [ResponseFlag.StreamIdleTimeout, 'http_response_timeout', 504],
  [ResponseFlag.InvalidEnvoyRequestHeaders, 'http_request_error', 0],
  [ResponseFlag.DownstreamProtocolError, 'http_request_error', 0],
  [ResponseFlag.UpstreamMaxStreamDurationReached, 'http_response_timeout', 504],
  [ResponseFlag.NoFilterConfigFound, 'proxy_configuration_error', 500],
  [ResponseFlag.UpstreamProtocolError, 'http_protocol_error', 502],
  [ResponseFlag.NoClusterFound, 'destination_unavailable', 503],
  [ResponseFlag.DnsResolutionFailed, 'dns_error', 502],
];

export function addProxyStatus(stream: Stream, headers: HeaderMap): void {
  const { shared } = stream.manager;
  const config = shared.config.proxyStatus!;
  const { info } = stream;
  const found = errors.find(([flag]) => (info.flags & (1 << flag)) !== 0);
  if (found === undefined) return;
  const [, error, status] = found;
  const name = config.usesNodeId ? shared.nodeName : config.name || shared.config.serverName;
  let value = `${name}; error=${error}`;
  if (config.hasDetails && info.details !== '') {
    const parts = [info.details];
    if (config.hasTerminationDetails && info.connection.terminationDetails !== '')
      parts.push(info.connection.terminationDetails);
    if (config.hasFlags) parts.push(flagText(info, shortFlagNames));
    value += `; details="${escaped(parts.join('; '))}"`;
  }
  const before = headers.get('proxy-status');
  headers.set('proxy-status', before === undefined || before === '' ? value : `${before}, ${value}`);
  if (config.setsRecommendedCode && status !== 0) headers.status = status;
}

const escapes: Readonly<Record<string, string>> = {
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '"': '\\"',
  "'": "\\'",
  '\\': '\\\\',
};

/** As a string of C. */
function escaped(text: string): string {
  return text.replace(
    /["'\\]|[^ -~]/g,
    (it) => escapes[it] ?? `\\${it.charCodeAt(0).toString(8).padStart(3, '0')}`,
  );
}
