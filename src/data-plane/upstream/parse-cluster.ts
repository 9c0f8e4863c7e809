// `Cluster` -> plain data, on the main thread.

import { Alike } from '#base/alike.ts';
import { canonicalIp } from '#base/cidr.ts';
import type { ParseContext } from '#config/parse-context.ts';
import { parseHashPolicies } from '#extension/hash-policy-config.ts';
import { durationMs, onlyFields, warnOthers } from '#extension/message-fields.ts';
import { parseTlvs } from '#extension/proxy-protocol-config.ts';
import { type Configured, type Registry, typeOf } from '#extension/registry.ts';
import type {
  CircuitBreakers_Thresholds,
  Cluster,
  LoadBalancingPolicy,
} from '#schema/messages/envoy/config/cluster/v3.ts';
import type {
  HttpProtocolOptions as CommonOptions,
  Metadata,
  PerHostConfig,
  UpstreamHttpProtocolOptions,
} from '#schema/messages/envoy/config/core/v3.ts';
import type {
  ClusterLoadAssignment,
  Endpoint_HealthCheckConfig,
} from '#schema/messages/envoy/config/endpoint/v3.ts';
import type { ClusterConfig as ForwardProxyConfig } from '#schema/messages/envoy/extensions/clusters/dynamic_forward_proxy/v3.ts';
import type { OverrideHost as OverrideHostMessage } from '#schema/messages/envoy/extensions/load_balancing_policies/override_host/v3.ts';
import type { Subset } from '#schema/messages/envoy/extensions/load_balancing_policies/subset/v3.ts';
import type { HttpProtocolOptions } from '#schema/messages/envoy/extensions/upstreams/http/v3.ts';
import type { MetadataKey } from '#schema/messages/envoy/type/metadata/v3.ts';
import { parseAddress } from '../address.ts';
import { parseDnsCache } from '../dynamic-forward-proxy/dns-cache-config.ts';
import { parseHttp1Options, parseHttp2Options } from '../http/codec-options.ts';
import { parseMirrorPolicies, parseRetryPolicy } from '../http/route-action-parse.ts';
import { parseUpstreamFilters } from '../http/upstream-filters.ts';
import {
  type ClusterConfig,
  type ClusterHttpOptions,
  type ClusterPolicies,
  type HostConfig,
  type LocalityConfig,
  type OriginalDstConfig,
  type Thresholds,
  UpstreamProtocol,
} from './cluster-config.ts';
import { flagsOfStatus } from './health-flags.ts';
import type { OverrideHostConfig } from './override-host.ts';
import { parseSubset, type SubsetConfig } from './subset-config.ts';

const supported = [
  'name',
  'alt_stat_name',
  'type',
  'cluster_type',
  'connect_timeout',
  'per_connection_buffer_limit_bytes',
  'lb_policy',
  'load_balancing_policy',
  'load_assignment',
  'eds_cluster_config',
  'circuit_breakers',
  'max_requests_per_connection',
  'common_http_protocol_options',
  'http_protocol_options',
  'http2_protocol_options',
  'upstream_http_protocol_options',
  'typed_extension_protocol_options',
  'transport_socket',
  'transport_socket_matches',
  'metadata',
  'protocol_selection',
  'dns_lookup_family',
  'dns_refresh_rate',
  'dns_jitter',
  'dns_failure_refresh_rate',
  'respect_dns_ttl',
  'dns_resolvers',
  'dns_resolution_config',
  'typed_dns_resolver_config',
  'wait_for_warm_on_init',
  'least_request_lb_config',
  'round_robin_lb_config',
  'ring_hash_lb_config',
  'maglev_lb_config',
  'lb_subset_config',
  'common_lb_config',
  'upstream_connection_options',
  'upstream_bind_config',
  'cleanup_interval',
  'original_dst_lb_config',
  'connection_pool_per_downstream_connection',
  'preconnect_policy',
  'track_cluster_stats',
  'track_timeout_budgets',
  'health_checks',
  'ignore_health_on_host_removal',
  'close_connections_on_host_health_failure',
];

export const forwardProxyType = 'envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig';

const commonLbFields = [
  'healthy_panic_threshold',
  'locality_weighted_lb_config',
  'close_connections_on_host_set_change',
  'ignore_new_hosts_until_first_hc',
  'update_merge_window',
  // These have no other effect without a local cluster, hash policies or stateful sessions.
  'zone_aware_lb_config',
  'consistent_hashing_lb_config',
  'override_host_status',
];

/** The lb_policy enum, as the extension that does it. */
const policies: Readonly<Record<string, string>> = {
  ROUND_ROBIN: 'envoy.load_balancing_policies.round_robin',
  LEAST_REQUEST: 'envoy.load_balancing_policies.least_request',
  RANDOM: 'envoy.load_balancing_policies.random',
  RING_HASH: 'envoy.load_balancing_policies.ring_hash',
  MAGLEV: 'envoy.load_balancing_policies.maglev',
};

/** What most clusters of a configuration have in common. */
const alike = new Alike(64);

export function parseCluster(message: Cluster, at: ParseContext, registry: Registry): ClusterConfig {
  onlyFields(message, at, supported);
  const isOriginalDst = message.type === 'ORIGINAL_DST';
  const dnsCache = parseForwardProxy(message, at);
  // There is no panic: a host that is wanted is there.
  const providesHosts = isOriginalDst || dnsCache !== undefined;
  warnOthers(message.common_lb_config, at.field('common_lb_config'), commonLbFields);
  const options = at.field('upstream_connection_options');
  warnOthers(message.upstream_connection_options, options, ['tcp_keepalive']);
  const keepalive = message.upstream_connection_options?.tcp_keepalive;
  warnOthers(keepalive, options.field('tcp_keepalive'), ['keepalive_time']);
  warnOthers(message.upstream_bind_config, at.field('upstream_bind_config'), ['source_address']);
  const preconnect = message.preconnect_policy;
  if (preconnect !== undefined) {
    const known = ['per_upstream_preconnect_ratio'];
    // One stream ahead is what there is anyway.
    if (preconnect.predictive_preconnect_ratio === 1) known.push('predictive_preconnect_ratio');
    onlyFields(preconnect, at.field('preconnect_policy'), known);
  }
  const breakers = at.field('circuit_breakers');
  warnOthers(message.circuit_breakers, breakers, ['thresholds', 'per_host_thresholds']);
  message.circuit_breakers?.thresholds.forEach((it, i) => {
    const known = [
      'priority',
      'max_connections',
      'max_pending_requests',
      'max_requests',
      'max_retries',
      'retry_budget',
      'max_connection_pools',
      'track_remaining',
    ];
    const at = breakers.field('thresholds', i);
    warnOthers(it, at, known);
    warnOthers(it.retry_budget, at.field('retry_budget'), ['budget_percent', 'min_retry_concurrency']);
  });
  message.circuit_breakers?.per_host_thresholds.forEach((it, i) => {
    warnOthers(it, breakers.field('per_host_thresholds', i), ['priority', 'max_connections']);
  });
  return {
    name: message.name,
    statName: message.alt_stat_name === '' ? message.name : message.alt_stat_name,
    connectTimeoutMs: durationMs(message.connect_timeout, 5000),
    bufferLimitBytes: message.per_connection_buffer_limit_bytes ?? 1024 * 1024,
    lbPolicy: alike.of(providesHosts ? noPolicy : parsePolicy(message, at, registry)),
    subset: providesHosts ? undefined : parseSubsets(message, at),
    override: providesHosts ? undefined : parseOverride(message, at),
    weighsLocalities: message.common_lb_config?.locality_weighted_lb_config !== undefined,
    overprovisioningFactor: message.load_assignment?.policy?.overprovisioning_factor ?? 140,
    drainsOnChange: message.common_lb_config?.close_connections_on_host_set_change ?? false,
    updateMergeMs: durationMs(message.common_lb_config?.update_merge_window, 1000),
    closesFailed: message.close_connections_on_host_health_failure,
    checksHealth: message.health_checks.length > 0,
    poolPerDownstream: message.connection_pool_per_downstream_connection,
    preconnectRatio: message.preconnect_policy?.per_upstream_preconnect_ratio ?? 1,
    tracked: alike.of({
      timeoutBudgets: message.track_cluster_stats?.timeout_budgets ?? message.track_timeout_budgets,
      sizes: message.track_cluster_stats?.request_response_sizes ?? false,
      perEndpoint: message.track_cluster_stats?.per_endpoint_stats ?? false,
    }),
    originalDst: isOriginalDst ? parseOriginalDst(message, at) : undefined,
    thresholds: alike.of<ClusterConfig['thresholds']>([
      thresholdsOf(message, 'DEFAULT'),
      thresholdsOf(message, 'HIGH'),
    ]),
    http: alike.of(parseHttp(message, at, dnsCache !== undefined, registry)),
    transportSocket: alike.of(parseTransport(message, at, registry)),
    transportSocketMatches: alike.of(
      message.transport_socket_matches.map((it, i) => ({
        name: it.name,
        match: it.match ?? {},
        socket: parseTransport(it, at.field('transport_socket_matches', i), registry),
      })),
    ),
    metadata: message.metadata?.filter_metadata as ClusterConfig['metadata'],
    bindAddress: message.upstream_bind_config?.source_address?.address ?? '',
    keepAliveMs: keepalive === undefined ? 0 : (keepalive.keepalive_time ?? 7200) * 1000,
    dnsCache,
    failsInPanic: message.common_lb_config?.zone_aware_lb_config?.fail_traffic_on_panic ?? false,
    healthyPanicPercent: providesHosts ? 0 : (message.common_lb_config?.healthy_panic_threshold?.value ?? 50),
  };
}

function parseOriginalDst(message: Cluster, at: ParseContext): OriginalDstConfig {
  const own = message.original_dst_lb_config;
  const here = at.field('original_dst_lb_config');
  if (own !== undefined)
    onlyFields(own, here, ['use_http_header', 'http_header_name', 'upstream_port_override', 'metadata_key']);
  const key = own?.metadata_key;
  return {
    httpHeader: own?.use_http_header ? own.http_header_name.toLowerCase() || 'x-envoy-original-dst-host' : '',
    metadataKey: key && { key: key.key, path: key.path.map((it) => it.key ?? '') },
    portOverride: own?.upstream_port_override ?? -1,
    cleanupMs: durationMs(message.cleanup_interval, 5000),
  };
}

function parsePolicy(message: Cluster, at: ParseContext, registry: Registry): Configured {
  if (message.load_balancing_policy !== undefined)
    return parseTypedPolicy(message.load_balancing_policy, at.field('load_balancing_policy'), registry);
  const name = policies[message.lb_policy];
  if (name === undefined) {
    at.field('lb_policy').unsupported(`${message.lb_policy} is not supported by chancery`);
    return noPolicy;
  }
  const extension = registry.byName('load_balancer', name);
  const [field, config] = legacyConfig(message);
  return { name, extension: name, config: extension?.parse(config as never, at.field(field), registry) };
}

/** What stands for the message of the extension, and where. */
function legacyConfig(message: Cluster): readonly [field: string, config: object] {
  const { consistent_hashing_lb_config, locality_weighted_lb_config } = message.common_lb_config ?? {};
  const hashing = {
    ...(consistent_hashing_lb_config && { consistent_hashing_lb_config }),
    ...(locality_weighted_lb_config && { locality_weighted_lb_config }),
  };
  switch (message.lb_policy) {
    case 'RING_HASH':
      return ['ring_hash_lb_config', { ...message.ring_hash_lb_config, ...hashing }];
    case 'MAGLEV':
      return ['maglev_lb_config', { ...message.maglev_lb_config, ...hashing }];
    case 'LEAST_REQUEST':
      return ['least_request_lb_config', message.least_request_lb_config ?? {}];
    default:
      return [
        'round_robin_lb_config',
        message.lb_policy === 'RANDOM' ? {} : (message.round_robin_lb_config ?? {}),
      ];
  }
}

type TypedPolicy = NonNullable<LoadBalancingPolicy['policies'][number]['typed_extension_config']>;

/** The first one that Envoy knows is meant; names that it does not know are passed over. */
function knownPolicy(
  message: LoadBalancingPolicy | undefined,
  at: ParseContext,
): readonly [policy: TypedPolicy, type: string, at: ParseContext] | undefined {
  for (const [i, { typed_extension_config: it }] of (message?.policies ?? []).entries()) {
    const type = typeOf(it?.typed_config);
    if (type.startsWith('envoy.extensions.load_balancing_policies.'))
      return [it!, type, at.field('policies', i).field('typed_extension_config')];
  }
  return undefined;
}

const subsetType = 'envoy.extensions.load_balancing_policies.subset.v3.Subset';
const overrideType = 'envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost';

/** `isWithin`: another policy, which may be around this one. */
function parseTypedPolicy(
  message: LoadBalancingPolicy,
  at: ParseContext,
  registry: Registry,
  isWithin = false,
): Configured {
  const found = knownPolicy(message, at);
  if (found === undefined) {
    at.fail('none of these load balancing policies exists');
    return noPolicy;
  }
  const [policy, type, here] = found;
  const isAround = type === subsetType || type === overrideType;
  if (!isAround || isWithin) return registry.parse('load_balancer', policy, here) ?? noPolicy;
  const field = type === subsetType ? 'subset_lb_policy' : 'fallback_policy';
  const inner = (policy.typed_config as unknown as Partial<Subset & OverrideHostMessage>)[field];
  return parseTypedPolicy(
    inner ?? ({ policies: [] } as never),
    here.field('typed_config').field(field),
    registry,
    true,
  );
}

function parseSubsets(message: Cluster, at: ParseContext): SubsetConfig | undefined {
  const own = message.lb_subset_config;
  if (own !== undefined)
    // Without selectors Envoy does not look at it.
    return own.subset_selectors.length === 0 ? undefined : parseSubset(own, at.field('lb_subset_config'));
  const found = knownPolicy(message.load_balancing_policy, at.field('load_balancing_policy'));
  if (found?.[1] !== subsetType) return undefined;
  return parseSubset(found[0].typed_config as unknown as Subset, found[2].field('typed_config'));
}

function parseOverride(message: Cluster, at: ParseContext): OverrideHostConfig | undefined {
  const found = knownPolicy(message.load_balancing_policy, at.field('load_balancing_policy'));
  if (found?.[1] !== overrideType) return undefined;
  const own = found[0].typed_config as unknown as OverrideHostMessage;
  const here = found[2].field('typed_config');
  const pathOf = (key: MetadataKey | undefined) =>
    key && { key: key.key, path: key.path.map((it) => it.key ?? '') };
  return {
    sources: own.override_host_sources.map(({ header, metadata }, i) => {
      const source = here.field('override_host_sources', i);
      if (header === '' && metadata === undefined)
        source.fail('needs one of: header, metadata', { envoy: 'Empty override source' });
      if (header !== '' && metadata !== undefined)
        source.fail('has both: header, metadata', { envoy: 'Only one override source must be set' });
      return { header: header.toLowerCase(), metadata: pathOf(metadata) };
    }),
    selectedHostKey: pathOf(own.selected_host_key),
  };
}

const noPolicy: Configured = { name: '', extension: '', config: undefined };

function thresholdsOf(message: Cluster, priority: 'DEFAULT' | 'HIGH'): Thresholds {
  const all = message.circuit_breakers?.thresholds ?? [];
  const found: CircuitBreakers_Thresholds | undefined = all.find((it) => it.priority === priority);
  const budget = found?.retry_budget;
  return {
    maxConnections: found?.max_connections ?? 1024,
    maxPendingRequests: found?.max_pending_requests ?? 1024,
    maxRequests: found?.max_requests ?? 1024,
    maxRetries: found?.max_retries ?? 3,
    maxConnectionsPerHost:
      message.circuit_breakers?.per_host_thresholds.find((it) => it.priority === priority)?.max_connections ??
      Number.POSITIVE_INFINITY,
    maxConnectionPools: found?.max_connection_pools ?? Number.POSITIVE_INFINITY,
    tracksRemaining: found?.track_remaining ?? false,
    retryBudget:
      budget === undefined
        ? undefined
        : { percent: budget.budget_percent?.value ?? 20, minConcurrency: budget.min_retry_concurrency ?? 3 },
  };
}

/** The name of its DNS cache; undefined for clusters of another type. */
function parseForwardProxy({ cluster_type: custom }: Cluster, at: ParseContext): string | undefined {
  if (custom === undefined || typeOf(custom.typed_config) !== forwardProxyType) return undefined;
  const here = at.field('cluster_type').field('typed_config');
  const config = custom.typed_config as unknown as ForwardProxyConfig;
  onlyFields(config, here, [
    'dns_cache_config',
    'allow_insecure_cluster_options',
    'allow_coalesced_connections',
  ]);
  if (config.allow_coalesced_connections)
    here
      .field('allow_coalesced_connections')
      .warn('is not acted on by chancery yet', { rule: 'unsupported' });
  return parseDnsCache(config.dns_cache_config, here.field('dns_cache_config')).name;
}

/** `checksOwnHost`: unless something else is said. */
function parseHttp(
  message: Cluster,
  at: ParseContext,
  checksOwnHost: boolean,
  registry: Registry,
): ClusterHttpOptions {
  let policies: ClusterPolicies | undefined;
  let filters: ClusterHttpOptions['filters'];
  let common: CommonOptions | undefined = message.common_http_protocol_options;
  let http1 = message.http_protocol_options;
  let http2 = message.http2_protocol_options;
  let upstream: UpstreamHttpProtocolOptions | undefined =
    message.upstream_http_protocol_options ??
    (checksOwnHost ? { auto_sni: true, auto_san_validation: true, override_auto_sni_header: '' } : undefined);
  let protocol: UpstreamProtocol = http2 !== undefined ? UpstreamProtocol.Http2 : UpstreamProtocol.Http1;
  if (message.protocol_selection === 'USE_DOWNSTREAM_PROTOCOL') protocol = UpstreamProtocol.Downstream;
  for (const [key, any] of Object.entries(message.typed_extension_protocol_options)) {
    const here = at.field('typed_extension_protocol_options').key(key);
    // How long connections wait unused: a TCP connection upstream is made when it is needed, and never waits.
    if (typeOf(any) === 'envoy.extensions.upstreams.tcp.v3.TcpProtocolOptions') continue;
    if (typeOf(any) !== 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions') {
      here.unsupported();
      continue;
    }
    const options = any as object as HttpProtocolOptions;
    onlyFields(options, here, [
      'common_http_protocol_options',
      'upstream_http_protocol_options',
      'explicit_http_config',
      'use_downstream_protocol_config',
      'auto_config',
      'retry_policy',
      'request_mirror_policies',
      'hash_policy',
      'http_filters',
    ]);
    filters = parseUpstreamFilters(options.http_filters, here, 'http_filters', registry);
    policies = parsePolicies(options, here, registry);
    common = options.common_http_protocol_options;
    upstream = options.upstream_http_protocol_options;
    const chosen =
      options.explicit_http_config ?? options.use_downstream_protocol_config ?? options.auto_config;
    http1 = chosen?.http_protocol_options;
    http2 = chosen?.http2_protocol_options;
    if (chosen?.http3_protocol_options !== undefined) here.field('http3_protocol_options').unsupported();
    if (options.auto_config !== undefined) protocol = UpstreamProtocol.Auto;
    else if (options.use_downstream_protocol_config !== undefined) protocol = UpstreamProtocol.Downstream;
    else protocol = http2 === undefined ? UpstreamProtocol.Http1 : UpstreamProtocol.Http2;
  }
  return {
    protocol,
    idleTimeoutMs: durationMs(common?.idle_timeout, 3_600_000),
    maxConnectionDurationMs: durationMs(common?.max_connection_duration, 0),
    maxRequestsPerConnection: common?.max_requests_per_connection ?? message.max_requests_per_connection ?? 0,
    maxStreamDurationMs: durationMs(common?.max_stream_duration, 0),
    autoSni:
      upstream?.auto_sni || upstream?.auto_san_validation
        ? {
            setsServerName: upstream.auto_sni,
            checksName: upstream.auto_san_validation,
            header: upstream.override_auto_sni_header.toLowerCase(),
          }
        : undefined,
    http1: parseHttp1Options(
      http1,
      common,
      (common?.max_response_headers_kb ?? 80) * 1024,
      at.field('http_protocol_options'),
      'client',
    ),
    http2: parseHttp2Options(
      http2,
      common,
      (common?.max_response_headers_kb ?? 60) * 1024,
      undefined,
      at.field('http2_protocol_options'),
    ),
    filters,
    policies,
  };
}

function parsePolicies(
  { retry_policy: retry, request_mirror_policies: mirrors, hash_policy: hash }: HttpProtocolOptions,
  at: ParseContext,
  registry: Registry,
): ClusterPolicies | undefined {
  if (retry === undefined && mirrors.length === 0 && hash.length === 0) return undefined;
  return {
    retryPolicy: retry && parseRetryPolicy(retry, at.field('retry_policy'), registry),
    mirrorPolicies: parseMirrorPolicies(mirrors, at),
    hashPolicies: parseHashPolicies(hash, at),
  };
}

function parseTransport(
  message: Pick<Cluster, 'transport_socket'>,
  at: ParseContext,
  registry: Registry,
): Configured {
  if (message.transport_socket === undefined) return rawBuffer;
  return (
    registry.parse('upstream_transport_socket', message.transport_socket, at.field('transport_socket')) ??
    rawBuffer
  );
}

const rawBuffer: Configured = {
  name: 'envoy.transport_sockets.raw_buffer',
  extension: 'envoy.transport_sockets.raw_buffer',
  config: {},
};

/** `load_assignment` with addresses as they stand: names are for DNS to resolve. */
export function parseLoadAssignment(
  message: ClusterLoadAssignment | undefined,
  at: ParseContext,
): readonly LocalityConfig[] {
  if (message === undefined) return [];
  if (message.policy !== undefined)
    onlyFields(message.policy, at.field('policy'), ['overprovisioning_factor']);
  return message.endpoints.map((locality, i) => {
    const here = at.field('endpoints', i);
    onlyFields(locality, here, ['locality', 'lb_endpoints', 'load_balancing_weight', 'priority', 'metadata']);
    const hosts: HostConfig[] = [];
    locality.lb_endpoints.forEach((it, k) => {
      const host = here.field('lb_endpoints', k);
      if (it.endpoint === undefined) {
        host.field('endpoint_name').unsupported();
        return;
      }
      onlyFields(it.endpoint, host.field('endpoint'), ['address', 'hostname', 'health_check_config']);
      const address = parseAddress(it.endpoint.address, host.field('endpoint').field('address'));
      if (address === undefined) return;
      hosts.push({
        address: address.address,
        port: address.port,
        hostname: it.endpoint.hostname,
        weight: it.load_balancing_weight ?? 1,
        flags: flagsOfStatus(it.health_status),
        healthStatus: it.health_status,
        metadata: it.metadata?.filter_metadata as HostConfig['metadata'],
        ...hostHealthCheck(it.endpoint.health_check_config, address, host.field('endpoint')),
        ...hostTlvs(it.metadata, host.field('metadata').field('typed_filter_metadata')),
      });
    });
    return {
      region: locality.locality?.region ?? '',
      zone: locality.locality?.zone ?? '',
      subZone: locality.locality?.sub_zone ?? '',
      weight: locality.load_balancing_weight ?? 0,
      priority: locality.priority,
      // Without the room to grow.
      hosts: hosts.slice(),
    };
  });
}

/** A STATIC cluster's addresses must be IP addresses. */
export function isResolved(host: HostConfig): boolean {
  return host.port < 0 || canonicalIp(host.address) !== undefined;
}

/** Nothing where checks go to the host as requests do. */
function hostHealthCheck(
  message: Endpoint_HealthCheckConfig | undefined,
  host: Pick<HostConfig, 'address' | 'port'>,
  at: ParseContext,
): Pick<HostConfig, 'healthCheck'> {
  if (message === undefined) return {};
  const { address, port_value: port, hostname, disable_active_health_check: isDisabled } = message;
  const here = at.field('health_check_config');
  let to: { readonly address: string; readonly port: number } = { address: '', port: host.port };
  if (address !== undefined) to = parseAddress(address, here.field('address')) ?? to;
  if (port > 0) {
    if (host.port < 0) {
      const envoy = `Invalid host configuration: non-zero port for non-IP address`;
      here.field('port_value').fail('a Unix socket has no port', { envoy });
    }
    to = { address: to.address, port };
  }
  if (to.address === '' && to.port === host.port && hostname === '' && !isDisabled) return {};
  return { healthCheck: { address: to.address, port: to.port, hostname, isDisabled } };
}

/** Typed metadata of a host: only TLVs for its PROXY header are read. */
function hostTlvs(metadata: Metadata | undefined, at: ParseContext): Pick<HostConfig, 'proxyTlvs'> {
  let found: Pick<HostConfig, 'proxyTlvs'> = {};
  for (const [key, any] of Object.entries<object>(metadata?.typed_filter_metadata ?? {})) {
    const here = at.key(key);
    if (
      key !== 'envoy.transport_sockets.proxy_protocol' ||
      typeOf(any) !== 'envoy.config.core.v3.PerHostConfig'
    )
      here.warn('is read by no extension of chancery');
    else {
      const { added_tlvs: tlvs } = any as PerHostConfig;
      tlvs.forEach((tlv, i) => {
        if (tlv.format_string !== undefined)
          here.field('added_tlvs', i).field('format_string').warn('has no effect here, in Envoy neither', {});
      });
      found = { proxyTlvs: parseTlvs(tlvs, here, 'added_tlvs', false) };
    }
  }
  return found;
}
