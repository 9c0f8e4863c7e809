// Plain configuration of tcp_proxy.
import type { ParseContext } from '#config/parse-context.ts';
import { type AccessLogData, parseAccessLogs } from '#extension/access-logger.ts';
import { durationMs, onlyFields } from '#extension/message-fields.ts';
import { parseTlvs, type TlvData } from '#extension/proxy-protocol-config.ts';
import type { Registry } from '#extension/registry.ts';
import type { Metadata } from '#schema/messages/envoy/config/core/v3.ts';
import type { TcpProxy } from '#schema/messages/envoy/extensions/filters/network/tcp_proxy/v3.ts';
import { parseTunnel, type TunnelConfig } from './tunnel-config.ts';

export const ConnectMode = { Immediate: 0, OnDownstreamData: 1, OnDownstreamTlsHandshake: 2 } as const;
export type ConnectMode = (typeof ConnectMode)[keyof typeof ConnectMode];

export const TlvMergePolicy = { AddIfAbsent: 0, Overwrite: 1, Append: 2 } as const;
export type TlvMergePolicy = (typeof TlvMergePolicy)[keyof typeof TlvMergePolicy];

export interface TcpClusterConfig {
  readonly name: string;
  readonly weight: number;
  /** What a host must have; undefined: any will do. */
  readonly metadataMatch: Readonly<Record<string, unknown>> | undefined;
}

export interface TcpProxyConfig {
  readonly statPrefix: string;
  /** Never empty. */
  readonly clusters: readonly TcpClusterConfig[];
  /** 0: one cluster, which filter state may replace. */
  readonly totalWeight: number;
  /** 0: none. An hour unless set. */
  readonly idleTimeoutMs: number;
  /** 0: none. */
  readonly maxDurationMs: number;
  /** The most that is added to it, as a share of it. */
  readonly durationJitter: number;
  readonly connectMode: ConnectMode;
  /** What may be received before there is an upstream; -1: nothing is read before. */
  readonly maxEarlyBytes: number;
  /** What the choice of a host goes by: an object of filter state, or with an empty key the client's address. */
  readonly hash: { readonly filterStateKey: string } | undefined;
  readonly maxConnectAttempts: number;
  /** Wait before the next attempt; undefined: none. */
  readonly backoff: { readonly baseMs: number; readonly maxMs: number } | undefined;
  /** Closes when there is traffic while the listener drains. */
  readonly checksDrain: boolean;
  /** Through an HTTP proxy; undefined: not. */
  readonly tunnel: TunnelConfig | undefined;
  /** For a PROXY header to the host. */
  readonly proxyTlvs: readonly TlvData[];
  /** What becomes of those of the client. */
  readonly tlvMergePolicy: TlvMergePolicy;
  readonly accessLogs: readonly AccessLogData[];
  /** Also when the session begins. */
  readonly logsStart: boolean;
  /** Also when the upstream connection stands. */
  readonly logsConnected: boolean;
  /** Also while the session lasts; 0: not. */
  readonly logIntervalMs: number;
}

const connectModes = {
  IMMEDIATE: ConnectMode.Immediate,
  ON_DOWNSTREAM_DATA: ConnectMode.OnDownstreamData,
  ON_DOWNSTREAM_TLS_HANDSHAKE: ConnectMode.OnDownstreamTlsHandshake,
} as const;

const mergePolicies = {
  ADD_IF_ABSENT: TlvMergePolicy.AddIfAbsent,
  OVERWRITE_BY_TYPE_IF_EXISTS_OR_ADD: TlvMergePolicy.Overwrite,
  APPEND_IF_EXISTS_OR_ADD: TlvMergePolicy.Append,
} as const;

export function parseTcpProxy(message: TcpProxy, at: ParseContext, registry: Registry): TcpProxyConfig {
  onlyFields(message, at, [
    'stat_prefix',
    'cluster',
    'weighted_clusters',
    'metadata_match',
    'idle_timeout',
    'downstream_idle_timeout',
    'upstream_idle_timeout',
    'access_log',
    'max_connect_attempts',
    'backoff_options',
    'max_downstream_connection_duration',
    'max_downstream_connection_duration_jitter_percentage',
    'access_log_options',
    'access_log_flush_interval',
    'flush_access_log_on_connected',
    'hash_policy',
    'upstream_connect_mode',
    'max_early_data_bytes',
    'check_drain_close',
    'proxy_protocol_tlvs',
    'tunneling_config',
    'proxy_protocol_tlv_merge_policy',
  ]);
  for (const field of ['downstream_idle_timeout', 'upstream_idle_timeout'] as const)
    if (message[field] !== undefined) at.field(field).warn('has no effect, in Envoy neither', {});
  const [hash] = message.hash_policy;
  const own = subset(message.metadata_match);
  const weighted = message.weighted_clusters?.clusters ?? [];
  const clusters: TcpClusterConfig[] =
    message.cluster === undefined
      ? weighted.map((it) => ({
          name: it.name,
          weight: it.weight,
          metadataMatch: it.metadata_match === undefined ? own : { ...own, ...subset(it.metadata_match) },
        }))
      : [{ name: message.cluster, weight: 0, metadataMatch: own }];
  const { backoff_options: backoff, access_log_options: logging } = message;
  const baseMs = durationMs(backoff?.base_interval, 0);
  const maxMs = durationMs(backoff?.max_interval, baseMs * 10);
  return {
    statPrefix: message.stat_prefix,
    clusters,
    totalWeight: clusters.reduce((all, it) => all + it.weight, 0),
    idleTimeoutMs: durationMs(message.idle_timeout, 3_600_000),
    maxDurationMs: durationMs(message.max_downstream_connection_duration, 0),
    durationJitter: (message.max_downstream_connection_duration_jitter_percentage?.value ?? 0) / 100,
    connectMode: connectModes[message.upstream_connect_mode],
    maxEarlyBytes: message.max_early_data_bytes ?? -1,
    hash:
      hash === undefined
        ? undefined
        : { filterStateKey: hash.filter_state === undefined ? '' : hash.filter_state.key },
    maxConnectAttempts: message.max_connect_attempts ?? 1,
    backoff: backoff && { baseMs, maxMs },
    checksDrain: message.check_drain_close ?? false,
    tunnel: message.tunneling_config && parseTunnel(message.tunneling_config, at.field('tunneling_config')),
    proxyTlvs: parseTlvs(message.proxy_protocol_tlvs, at, 'proxy_protocol_tlvs', true),
    tlvMergePolicy: mergePolicies[message.proxy_protocol_tlv_merge_policy],
    accessLogs: parseAccessLogs(message.access_log, at.field('access_log'), registry),
    logsStart: logging?.flush_access_log_on_start ?? false,
    logsConnected: message.flush_access_log_on_connected || (logging?.flush_access_log_on_connected ?? false),
    logIntervalMs: durationMs(logging?.access_log_flush_interval ?? message.access_log_flush_interval, 0),
  };
}

function subset(metadata: Metadata | undefined): TcpClusterConfig['metadataMatch'] {
  return metadata?.filter_metadata['envoy.lb'] as TcpClusterConfig['metadataMatch'];
}
