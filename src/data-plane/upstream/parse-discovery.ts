// `type`, `cluster_type` and the DNS fields of a `Cluster` -> plain data.
import type { ParseContext } from '#config/parse-context.ts';
import { durationMs, onlyFields } from '#extension/message-fields.ts';
import { typeOf } from '#extension/registry.ts';
import type { Cluster } from '#schema/messages/envoy/config/cluster/v3.ts';
import type { DnsCluster } from '#schema/messages/envoy/extensions/clusters/dns/v3.ts';
import { parseConfigSource } from '../dynamic-resources.ts';
import type { LocalityConfig } from './cluster-config.ts';
import { type DiscoveryConfig, type DnsConfig, LookupFamily } from './discovery-config.ts';
import type { EdsConfig } from './eds-discovery.ts';
import { forwardProxyType, isResolved, parseLoadAssignment } from './parse-cluster.ts';
import { type AskedResolvers, parseResolvers } from './parse-resolvers.ts';

/** By the names of `DnsLookupFamily`. */
export const lookupFamilies: Readonly<Record<string, LookupFamily>> = {
  AUTO: LookupFamily.Auto,
  UNSPECIFIED: LookupFamily.Auto,
  V4_ONLY: LookupFamily.V4Only,
  V6_ONLY: LookupFamily.V6Only,
  V4_PREFERRED: LookupFamily.V4Preferred,
  ALL: LookupFamily.All,
};

/** `resolvers`: those of the bootstrap. */
export function parseDiscovery(
  message: Cluster,
  at: ParseContext,
  resolvers: AskedResolvers,
): DiscoveryConfig {
  const here = at.field('load_assignment');
  if (typeOf(message.cluster_type?.typed_config) === forwardProxyType) {
    if (message.load_assignment !== undefined) here.warn('has no effect, in Envoy neither', {});
    return { assignment: [], dns: undefined, eds: undefined, waitsForWarm: true };
  }
  const assignment = parseLoadAssignment(message.load_assignment, here);
  const waitsForWarm = message.wait_for_warm_on_init ?? true;
  const dns = parseDns(message, at, resolvers);
  const eds = parseEds(message, at);
  if (dns === undefined) {
    failUnresolved(assignment, here);
  } else if (dns.isLogical && assignment.reduce((sum, it) => sum + it.hosts.length, 0) !== 1) {
    const envoy = 'LOGICAL_DNS clusters must have a single locality_lb_endpoint and a single lb_endpoint';
    here.fail(envoy, { envoy });
  }
  return { assignment, dns, eds, waitsForWarm };
}

/** Members that are not found by DNS have IP addresses. `at`: of the load assignment. */
export function failUnresolved(assignment: readonly LocalityConfig[], at: ParseContext): void {
  assignment.forEach((locality, i) => {
    locality.hosts.forEach((host, k) => {
      if (isResolved(host)) return;
      at.field('endpoints', i)
        .field('lb_endpoints', k)
        .field('endpoint')
        .field('address')
        .fail(
          `malformed IP address: ${host.address}. Consider setting resolver_name or setting cluster type to 'STRICT_DNS' or 'LOGICAL_DNS'`,
          {
            got: host.address,
            envoy: `malformed IP address: ${host.address}. Consider setting resolver_name or setting cluster type to 'STRICT_DNS' or 'LOGICAL_DNS'`,
          },
        );
    });
  });
}

function parseEds(message: Cluster, at: ParseContext): EdsConfig | undefined {
  if (message.type !== 'EDS' || message.cluster_type !== undefined) return undefined;
  const eds = message.eds_cluster_config;
  const here = at.field('eds_cluster_config');
  if (eds?.eds_config === undefined) {
    here.fail('"eds_config" is missing', { envoy: 'cannot create an EDS cluster without an EDS config' });
    return undefined;
  }
  onlyFields(eds, here, ['eds_config', 'service_name']);
  const source = parseConfigSource(eds.eds_config, here.field('eds_config'));
  return source && { source, serviceName: eds.service_name || message.name };
}

function parseDns(message: Cluster, at: ParseContext, resolvers: AskedResolvers): DnsConfig | undefined {
  const custom = message.cluster_type;
  if (custom !== undefined) {
    const here = at.field('cluster_type').field('typed_config');
    if (typeOf(custom.typed_config) !== 'envoy.extensions.clusters.dns.v3.DnsCluster') {
      at.field('cluster_type').unsupported(`${custom.name} is not supported by chancery`);
      return undefined;
    }
    const dns = custom.typed_config as unknown as DnsCluster;
    onlyFields(dns, here, [
      'dns_refresh_rate',
      'dns_failure_refresh_rate',
      'respect_dns_ttl',
      'dns_jitter',
      'dns_lookup_family',
      'all_addresses_in_single_endpoint',
      'typed_dns_resolver_config',
    ]);
    return dnsOf(
      dns.dns_refresh_rate,
      dns.dns_failure_refresh_rate,
      dns.dns_jitter,
      lookupFamilies[dns.dns_lookup_family] ?? LookupFamily.Auto,
      dns.respect_dns_ttl,
      dns.all_addresses_in_single_endpoint,
      dns.typed_dns_resolver_config === undefined ? resolvers : parseResolvers(dns, here),
    );
  }
  const own =
    message.typed_dns_resolver_config !== undefined ||
    message.dns_resolution_config !== undefined ||
    message.dns_resolvers.length > 0;
  switch (message.type ?? 'STATIC') {
    case 'STATIC':
    case 'ORIGINAL_DST':
    case 'EDS':
      return undefined;
    case 'STRICT_DNS':
    case 'LOGICAL_DNS':
      return dnsOf(
        message.dns_refresh_rate,
        message.dns_failure_refresh_rate,
        message.dns_jitter,
        lookupFamilies[message.dns_lookup_family] ?? LookupFamily.Auto,
        message.respect_dns_ttl,
        message.type === 'LOGICAL_DNS',
        own
          ? parseResolvers(message, at, { resolvers: message.dns_resolvers, at: at.field('dns_resolvers') })
          : resolvers,
      );
    default:
      at.field('type').unsupported(`${message.type} is not supported by chancery`);
      return undefined;
  }
}

type Duration = { readonly seconds: number; readonly nanos: number } | undefined;

function dnsOf(
  refresh: Duration,
  failure: { readonly base_interval?: Duration; readonly max_interval?: Duration } | undefined,
  jitter: Duration,
  family: LookupFamily,
  respectTtl: boolean,
  isLogical: boolean,
  resolvers: AskedResolvers,
): DnsConfig {
  const refreshMs = durationMs(refresh, 5000);
  const failureBaseMs = durationMs(failure?.base_interval, refreshMs);
  return {
    resolvers,
    family,
    refreshMs,
    jitterMs: durationMs(jitter, 0),
    failureBaseMs,
    spreadsFailures: failure !== undefined,
    failureMaxMs: failure === undefined ? refreshMs : durationMs(failure.max_interval, failureBaseMs * 10),
    respectTtl,
    isLogical,
  };
}
