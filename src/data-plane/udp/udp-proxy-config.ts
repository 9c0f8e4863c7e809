// Plain configuration of udp_proxy, and what its matcher may contain: addresses as inputs, clusters as actions.
import type { ParseContext } from '#config/parse-context.ts';
import { type AccessLogData, parseAccessLogs } from '#extension/access-logger.ts';
import type { MatcherData, OnMatchData } from '#extension/matchers/matcher-tree-config.ts';
import { type MatcherTreeReader, parseMatcherTree } from '#extension/matchers/matcher-tree-parse.ts';
import { durationMs, onlyFields } from '#extension/message-fields.ts';
import type { Registry } from '#extension/registry.ts';
import type { UdpSocketConfig } from '#schema/messages/envoy/config/core/v3.ts';
import type {
  UdpProxyConfig as Message,
  Route,
} from '#schema/messages/envoy/extensions/filters/udp/udp_proxy/v3.ts';

export interface UdpProxyConfig {
  readonly statPrefix: string;
  /** One for all datagrams, or what leads to it. */
  readonly route: string | MatcherData<UdpInput, string>;
  /** Every cluster that is named. */
  readonly clusters: readonly string[];
  readonly idleTimeoutMs: number;
  readonly hashPolicy: UdpHashPolicy | undefined;
  readonly usesPerPacketLoadBalancing: boolean;
  /** Of what upstreams send. */
  readonly maxUpstreamDatagramBytes: number;
  readonly accessLogs: readonly AccessLogData[];
  readonly proxyAccessLogs: readonly AccessLogData[];
  /** Also while a session lasts; 0: not. */
  readonly logIntervalMs: number;
}

export type UdpInput = 'source_ip' | 'source_port' | 'destination_ip' | 'destination_port';

export type UdpHashPolicy = { readonly kind: 'source_ip' } | { readonly kind: 'key'; readonly key: string };

export function parseUdpProxy(message: Message, at: ParseContext, registry: Registry): UdpProxyConfig {
  onlyFields(message, at, [
    'stat_prefix',
    'cluster',
    'matcher',
    'idle_timeout',
    'hash_policies',
    'upstream_socket_config',
    'use_per_packet_load_balancing',
    'access_log',
    'proxy_access_log',
    'access_log_options',
  ]);
  const { access_log_options: logging, matcher } = message;
  if (logging !== undefined)
    onlyFields(logging, at.field('access_log_options'), ['access_log_flush_interval']);
  const route =
    matcher === undefined ? (message.cluster ?? '') : parseMatcherTree(matcher, at.field('matcher'), reader);
  const [policy] = message.hash_policies;
  return {
    statPrefix: message.stat_prefix,
    route,
    clusters: typeof route === 'string' ? [route] : [...new Set(clustersOf(route))],
    idleTimeoutMs: durationMs(message.idle_timeout, 60_000),
    hashPolicy:
      policy === undefined
        ? undefined
        : policy.key === undefined
          ? { kind: 'source_ip' }
          : { kind: 'key', key: policy.key },
    usesPerPacketLoadBalancing: message.use_per_packet_load_balancing,
    maxUpstreamDatagramBytes: maxDatagramBytes(message.upstream_socket_config, true),
    accessLogs: parseAccessLogs(message.access_log, at.field('access_log'), registry),
    proxyAccessLogs: parseAccessLogs(message.proxy_access_log, at.field('proxy_access_log'), registry),
    logIntervalMs: durationMs(logging?.access_log_flush_interval, 0),
  };
}

/** With GRO Envoy reads into buffers for many datagrams, and any datagram finds room there. */
export function maxDatagramBytes(message: UdpSocketConfig | undefined, prefersGro: boolean): number {
  return (message?.prefer_gro ?? prefersGro) ? 65_535 : Number(message?.max_rx_datagram_size ?? 1500n);
}

const inputs: Readonly<Record<string, UdpInput>> = {
  'envoy.extensions.matching.common_inputs.network.v3.SourceIPInput': 'source_ip',
  'envoy.extensions.matching.common_inputs.network.v3.SourcePortInput': 'source_port',
  'envoy.extensions.matching.common_inputs.network.v3.DestinationIPInput': 'destination_ip',
  'envoy.extensions.matching.common_inputs.network.v3.DestinationPortInput': 'destination_port',
};

const routeType = 'envoy.extensions.filters.udp.udp_proxy.v3.Route';

const reader: MatcherTreeReader<UdpInput, string> = {
  input(type, _config, at) {
    const known = inputs[type];
    if (known === undefined)
      at.unsupported(`matching input ${type} is not supported by chancery`, {
        expected: Object.keys(inputs).join(', '),
      });
    return known ?? 'source_ip';
  },
  action(type, config, at) {
    if (type === routeType) return (config as Route).cluster;
    at.unsupported(`action ${type} is not supported here`, { expected: routeType });
    return undefined;
  },
};

function clustersOf(tree: MatcherData<UdpInput, string>): string[] {
  const of = (it: OnMatchData<UdpInput, string> | undefined): string[] => [
    ...(it?.action === undefined ? [] : [it.action]),
    ...(it?.matcher === undefined ? [] : clustersOf(it.matcher)),
  ];
  const table = tree.tree?.table;
  const targets =
    table === undefined
      ? []
      : table.kind === 'ip'
        ? table.ranges.map((it) => it.onMatch)
        : Object.values(table.map);
  return [...tree.list.map((it) => it.onMatch), ...targets, tree.onNoMatch].flatMap(of);
}
