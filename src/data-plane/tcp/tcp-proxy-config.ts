// Plain configuration of tcp_proxy.
import type { ParseContext } from '#config/parse-context.ts';
import { type AccessLogData, parseAccessLogs } from '#extension/access-logger.ts';
import { durationMs, onlyFields } from '#extension/message-fields.ts';
import type { Registry } from '#extension/registry.ts';
import type { TcpProxy } from '#schema/messages/envoy/extensions/filters/network/tcp_proxy/v3.ts';

export interface TcpProxyConfig {
  readonly statPrefix: string;
  /** One cluster has the whole weight. */
  readonly clusters: readonly { readonly name: string; readonly weight: number }[];
  readonly totalWeight: number;
  /** 0: none. An hour unless set. */
  readonly idleTimeoutMs: number;
  /** 0: none. */
  readonly maxDurationMs: number;
  readonly maxConnectAttempts: number;
  /** Wait before the next attempt; undefined: none. */
  readonly backoff: { readonly baseMs: number; readonly maxMs: number } | undefined;
  readonly accessLogs: readonly AccessLogData[];
  /** Also when the upstream connection stands. */
  readonly logsConnected: boolean;
  /** Also while the session lasts; 0: not. */
  readonly logIntervalMs: number;
}

export function parseTcpProxy(message: TcpProxy, at: ParseContext, registry: Registry): TcpProxyConfig {
  onlyFields(message, at, [
    'stat_prefix',
    'cluster',
    'weighted_clusters',
    'idle_timeout',
    'access_log',
    'max_connect_attempts',
    'backoff_options',
    'max_downstream_connection_duration',
    'access_log_options',
    'access_log_flush_interval',
    'flush_access_log_on_connected',
    'hash_policy',
  ]);
  const weighted = message.weighted_clusters?.clusters ?? [];
  weighted.forEach((it, i) => {
    if (it.metadata_match !== undefined)
      at.field('weighted_clusters').field('clusters', i).field('metadata_match').unsupported();
  });
  const clusters =
    message.cluster === undefined
      ? weighted.map(({ name, weight }) => ({ name, weight }))
      : [{ name: message.cluster, weight: 1 }];
  if (message.hash_policy.length > 0) at.field('hash_policy').unsupported();
  const { backoff_options: backoff, access_log_options: logging } = message;
  const baseMs = durationMs(backoff?.base_interval, 0);
  return {
    statPrefix: message.stat_prefix,
    clusters,
    totalWeight: clusters.reduce((all, it) => all + it.weight, 0),
    idleTimeoutMs: durationMs(message.idle_timeout, 3_600_000),
    maxDurationMs: durationMs(message.max_downstream_connection_duration, 0),
    maxConnectAttempts: message.max_connect_attempts ?? 1,
    backoff: backoff && { baseMs, maxMs: durationMs(backoff.max_interval, baseMs * 10) },
    accessLogs: parseAccessLogs(message.access_log, at.field('access_log'), registry),
    logsConnected: message.flush_access_log_on_connected || (logging?.flush_access_log_on_connected ?? false),
    logIntervalMs: durationMs(logging?.access_log_flush_interval ?? message.access_log_flush_interval, 0),
  };
}
