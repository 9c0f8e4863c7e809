// The contract of substitution formatters (`%REQ(:PATH)%` and friends): compiled once, then run by access loggers, header
// mutations, local replies and direct responses.
import type { HeaderMap } from '#http/header-map.ts';
import type { StreamInfo } from './stream-info.ts';

/** `%ACCESS_LOG_TYPE%` and the log_type filter: the names are those of `envoy.data.accesslog.v3.AccessLogType`. */
export const AccessLogType = {
  NotSet: 0,
  TcpUpstreamConnected: 1,
  TcpPeriodic: 2,
  TcpConnectionEnd: 3,
  DownstreamStart: 4,
  DownstreamPeriodic: 5,
  DownstreamEnd: 6,
  UpstreamPoolReady: 7,
  UpstreamPeriodic: 8,
  UpstreamEnd: 9,
  DownstreamTunnelSuccessfullyEstablished: 10,
  UdpTunnelUpstreamConnected: 11,
  UdpPeriodic: 12,
  UdpSessionEnd: 13,
  TcpConnectionStart: 14,
} as const;
export type AccessLogType = (typeof AccessLogType)[keyof typeof AccessLogType];

/**
 * What a formatter may read. Whoever formats owns one and keeps it as long as it likes: formatters read it before they return
 * and keep nothing. Headers that do not exist (no response yet, TCP) are undefined.
 */
export interface FormatContext {
  readonly info: StreamInfo;
  readonly requestHeaders: HeaderMap | undefined;
  readonly responseHeaders: HeaderMap | undefined;
  readonly responseTrailers: HeaderMap | undefined;
  readonly logType: AccessLogType;
}

/** A compiled format string. Hot: no closure, no promise; allocates only the result. */
export interface Formatter {
  format(context: FormatContext): string;
}
