// `Listener` -> plain data, on the main thread.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { addressText } from '#base/address-text.ts';
import type { ParseContext } from '#config/parse-context.ts';
import { parseAccessLogs } from '#extension/access-logger.ts';
import { durationMs, onlyFields } from '#extension/message-fields.ts';
import type { NetworkFilterExtension } from '#extension/network-filter.ts';
import { type Configured, type Registry, typeOf } from '#extension/registry.ts';
import type { FilterChain, Listener, ListenerFilter } from '#schema/messages/envoy/config/listener/v3.ts';
import { parseAddress, type SocketAddressData } from '../address.ts';
import { maxDatagramBytes } from '../udp/udp-proxy-config.ts';
import { parseChainMatcher } from './chain-matcher.ts';
import type {
  FilterChainConfig,
  ListenerAddress,
  ListenerConfig,
  ListenerFilterConfig,
  UdpListenerConfig,
} from './listener-config.ts';
import { parseListenerFilterPredicate } from './listener-filter-predicate.ts';
import { type OwnSocketOptions, parseSocketOptions } from './parse-socket-options.ts';

const supported = [
  'name',
  'address',
  'additional_addresses',
  'stat_prefix',
  'filter_chains',
  'default_filter_chain',
  'per_connection_buffer_limit_bytes',
  'metadata',
  'drain_type',
  'listener_filters',
  'listener_filters_timeout',
  'continue_on_listener_filters_timeout',
  'traffic_direction',
  'reuse_port',
  'enable_reuse_port',
  'access_log',
  'tcp_backlog_size',
  'bind_to_port',
  'ignore_global_conn_limit',
  'bypass_overload_manager',
  'tcp_keepalive',
  'udp_listener_config',
  'filter_chain_matcher',
  'socket_options',
  'transparent',
  'freebind',
  'tcp_fast_open_queue_length',
  'enable_mptcp',
  'use_original_dst',
  'max_connections_to_accept_per_socket_event',
  'connection_balance_config',
];

export function parseListener(message: Listener, at: ParseContext, registry: Registry): ListenerConfig {
  onlyFields(message, at, supported);
  const addresses: ListenerAddress[] = [];
  const ownOptions = { socketOptions: message.socket_options, keepAlive: message.tcp_keepalive };
  const first = parseAddress(message.address, at.field('address'));
  if (first !== undefined) addresses.push(withOptions(message, ownOptions, first, at));
  message.additional_addresses.forEach((it, i) => {
    const here = at.field('additional_addresses', i);
    onlyFields(it, here, ['address', 'socket_options', 'tcp_keepalive']);
    const address = parseAddress(it.address, here.field('address'));
    if (address === undefined) return;
    const options = {
      socketOptions: it.socket_options?.socket_options ?? ownOptions.socketOptions,
      keepAlive: it.tcp_keepalive ?? ownOptions.keepAlive,
    };
    addresses.push(withOptions(message, options, address, it.socket_options === undefined ? at : here));
  });
  const isUdp = first?.isUdp === true;
  if (addresses.some((it) => it.isUdp !== isUdp))
    at.field('additional_addresses').fail(
      `listener ${message.name}: has different socket type. The listener only support same socket type for all the addresses.`,
    );
  const listenerFilters = isUdp
    ? []
    : parseFilters(message.listener_filters, at.field('listener_filters'), registry);
  if (!isUdp && message.use_original_dst === true)
    listenerFilters.push(originalDst(at.field('use_original_dst'), registry));
  if (message.connection_balance_config !== undefined)
    at.field('connection_balance_config').warn(
      'has no effect: the system spreads connections over the workers',
    );
  if (!isUdp) warnWithoutInspector(message, listenerFilters, at);
  return {
    // Envoy gives one without a name a random one, which /listeners shows.
    name: message.name !== '' ? message.name : randomUUID(),
    addresses,
    statPrefix:
      message.stat_prefix !== ''
        ? message.stat_prefix
        : first === undefined
          ? ''
          : addressText(first.address, first.port),
    reusePort: message.enable_reuse_port ?? true,
    bindsToPort: message.bind_to_port ?? true,
    usesOriginalDst: message.use_original_dst ?? false,
    maxAcceptsPerEvent: message.max_connections_to_accept_per_socket_event ?? 0,
    ignoresGlobalLimit: message.ignore_global_conn_limit,
    backlog: message.tcp_backlog_size ?? defaultBacklog(),
    bufferLimitBytes: message.per_connection_buffer_limit_bytes ?? 1024 * 1024,
    filterChains: message.filter_chains.map((it, i) =>
      parseChain(it, at.field('filter_chains', i), registry),
    ),
    defaultFilterChain:
      message.default_filter_chain === undefined
        ? undefined
        : parseChain(message.default_filter_chain, at.field('default_filter_chain'), registry),
    chainMatcher:
      message.filter_chain_matcher &&
      parseChainMatcher(message.filter_chain_matcher, at.field('filter_chain_matcher')),
    listenerFilters,
    udp: isUdp ? parseUdp(message, at, registry) : undefined,
    listenerFiltersTimeoutMs: durationMs(message.listener_filters_timeout, 15_000),
    continueOnListenerFiltersTimeout: message.continue_on_listener_filters_timeout,
    trafficDirection: message.traffic_direction === 'UNSPECIFIED' ? '' : message.traffic_direction,
    accessLogs: parseAccessLogs(message.access_log, at.field('access_log'), registry),
    metadata: message.metadata?.filter_metadata as ListenerConfig['metadata'],
    drainsOnlyOnModify: message.drain_type === 'MODIFY_ONLY',
  };
}

function parseUdp(message: Listener, at: ParseContext, registry: Registry): UdpListenerConfig {
  if (message.bind_to_port === false) at.field('bind_to_port').unsupported();
  const { udp_listener_config: udp } = message;
  if (udp !== undefined) {
    const here = at.field('udp_listener_config');
    onlyFields(udp, here, ['downstream_socket_config', 'udp_packet_packet_writer_config']);
    const writer = typeOf(udp.udp_packet_packet_writer_config?.typed_config);
    if (writer !== '' && writer !== 'envoy.extensions.udp_packet_writer.v3.UdpDefaultWriterFactory')
      here.field('udp_packet_packet_writer_config').unsupported();
  }
  return {
    maxDatagramBytes: maxDatagramBytes(udp?.downstream_socket_config, false),
    filters: message.listener_filters.flatMap((it, i) => {
      const here = at.field('listener_filters', i);
      onlyFields(it, here, ['name', 'typed_config']);
      return registry.parse('udp_filter', it, here) ?? [];
    }),
  };
}

function withOptions(
  message: Listener,
  own: OwnSocketOptions,
  address: SocketAddressData,
  at: ParseContext,
): ListenerAddress {
  const options = parseSocketOptions(message, own, address, at);
  const { keepAlive } = own;
  return {
    ...address,
    keepAliveMs: keepAlive === undefined ? 0 : (keepAlive.keepalive_time ?? 7200) * 1000,
    options,
  };
}

function parseChain(message: FilterChain, at: ParseContext, registry: Registry): FilterChainConfig {
  onlyFields(message, at, [
    'filter_chain_match',
    'filters',
    'transport_socket',
    'transport_socket_connect_timeout',
    'name',
    'metadata',
  ]);
  const filters: Configured[] = [];
  message.filters.forEach((filter, i) => {
    const here = at.field('filters', i);
    const configured = registry.parse('network_filter', filter, here);
    if (configured === undefined) return;
    filters.push(configured);
    const isTerminal =
      registry.byName<NetworkFilterExtension>('network_filter', configured.extension)?.terminal === true;
    const isLast = i === message.filters.length - 1;
    if (isTerminal && !isLast)
      here.fail(
        `Error: terminal filter named ${filter.name} of type ${configured.extension} must be the last filter in a network filter chain.`,
      );
    if (!isTerminal && isLast)
      here.fail(
        `Error: non-terminal filter named ${filter.name} of type ${configured.extension} is the last filter in a network filter chain.`,
      );
  });
  const match = message.filter_chain_match;
  if (match !== undefined && match.address_suffix !== '')
    at.field('filter_chain_match').field('address_suffix').unsupported();
  const range = (it: { readonly address_prefix: string; readonly prefix_len?: number }) =>
    `${it.address_prefix}/${it.prefix_len ?? 0}`;
  return {
    name: message.name,
    match:
      match === undefined
        ? undefined
        : {
            destinationPort: match.destination_port ?? 0,
            prefixRanges: match.prefix_ranges.map(range),
            directSourcePrefixRanges: match.direct_source_prefix_ranges.map(range),
            sourceType: match.source_type,
            sourcePrefixRanges: match.source_prefix_ranges.map(range),
            sourcePorts: match.source_ports,
            serverNames: match.server_names,
            transportProtocol: match.transport_protocol,
            applicationProtocols: match.application_protocols,
          },
    filters,
    transportSocket:
      message.transport_socket === undefined
        ? rawBuffer
        : (registry.parse(
            'downstream_transport_socket',
            message.transport_socket,
            at.field('transport_socket'),
          ) ?? rawBuffer),
    metadata: message.metadata?.filter_metadata as FilterChainConfig['metadata'],
    transportConnectTimeoutMs: durationMs(message.transport_socket_connect_timeout, 0),
  };
}

/** What a chain matches on has to be read by somebody. Earlier releases of Envoy added the inspector by themselves; 1.40 does not. */
function warnWithoutInspector(message: Listener, filters: readonly ListenerFilterConfig[], at: ParseContext) {
  if (filters.some((it) => it.extension === 'envoy.filters.listener.tls_inspector')) return;
  message.filter_chains.forEach(({ filter_chain_match: match }, i) => {
    if (match === undefined || (match.server_names.length === 0 && match.transport_protocol !== 'tls'))
      return;
    at.field('filter_chains', i)
      .field('filter_chain_match')
      .warn('never matches: the listener has no tls_inspector among its listener filters', {
        rule: 'listener-config',
        suggestion: 'add envoy.filters.listener.tls_inspector to "listener_filters"',
      });
  });
}

/**
 * `net.core.somaxconn`, as Envoy, 128 where there is none. With a shorter queue a burst of clients is answered with SYN cookies, and
 * then the first bytes of a client can be lost for good.
 */
function defaultBacklog(): number {
  try {
    return Number(readFileSync('/proc/sys/net/core/somaxconn', 'utf8'));
  } catch {
    return 128;
  }
}

const rawBuffer: Configured = {
  name: 'envoy.transport_sockets.raw_buffer',
  extension: 'envoy.transport_sockets.raw_buffer',
  config: {},
};

/** What `use_original_dst` brings along. */
function originalDst(at: ParseContext, registry: Registry): ListenerFilterConfig {
  const name = 'envoy.filters.listener.original_dst';
  const config = registry.byName('listener_filter', name)?.parse({} as never, at, registry);
  return { name, extension: name, config, disabled: undefined };
}

function parseFilters(
  messages: readonly ListenerFilter[],
  at: ParseContext,
  registry: Registry,
): ListenerFilterConfig[] {
  const all: ListenerFilterConfig[] = [];
  messages.forEach((message, i) => {
    const here = at.index(i);
    onlyFields(message, here, ['name', 'typed_config', 'filter_disabled']);
    const configured = registry.parse('listener_filter', message, here);
    if (configured === undefined) return;
    const disabled =
      message.filter_disabled &&
      parseListenerFilterPredicate(message.filter_disabled, here.field('filter_disabled'));
    all.push({ ...configured, disabled });
  });
  return all;
}
