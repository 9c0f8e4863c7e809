// `DnsCacheConfig` -> plain data, and the caches of a whole configuration: those of one name are one cache.
import { Cidr } from '#base/cidr.ts';
import { ParseContext } from '#config/parse-context.ts';
import { durationMs, onlyFields, warnOthers } from '#extension/message-fields.ts';
import type { DnsCacheConfig as DnsCacheMessage } from '#schema/messages/envoy/extensions/common/dynamic_forward_proxy/v3.ts';
import { visitPacked } from '../observe/config-dump-sections.ts';
import type { LookupFamily } from '../upstream/discovery-config.ts';
import { lookupFamilies } from '../upstream/parse-discovery.ts';
import { type AskedResolvers, parseResolvers } from '../upstream/parse-resolvers.ts';

export interface DnsCacheConfig {
  readonly name: string;
  readonly family: LookupFamily;
  readonly resolvers: AskedResolvers;
  readonly refreshMs: number;
  /** The least that an answer's TTL counts for. */
  readonly minRefreshMs: number;
  /** Of the wait after a failure; undefined: `refreshMs`. */
  readonly failureBackoff: { readonly baseMs: number; readonly maxMs: number } | undefined;
  /** False: after a failure the next request asks again, nobody before. */
  readonly refreshesFailures: boolean;
  /** A host that nobody has used for so long leaves. */
  readonly hostTtlMs: number;
  readonly maxHosts: number;
  /** Requests that may wait for an answer at the same time. */
  readonly maxPending: number;
  /** 0: none. */
  readonly queryTimeoutMs: number;
  readonly preresolved: readonly { readonly host: string; readonly port: number }[];
  /** Addresses that answers must not have: those inside of `ranges`, or with `inverted` those outside. */
  readonly addressFilter: { readonly ranges: readonly string[]; readonly inverted: boolean } | undefined;
}

/** `resolvers`: those of the bootstrap, for a message that names none. */
export function parseDnsCache(
  message: DnsCacheMessage | undefined,
  at: ParseContext,
  resolvers: AskedResolvers = { servers: [], searches: true },
): DnsCacheConfig {
  if (message !== undefined)
    onlyFields(message, at, [
      'name',
      'dns_lookup_family',
      'dns_refresh_rate',
      'dns_min_refresh_rate',
      'host_ttl',
      'max_hosts',
      'disable_dns_refresh_on_failure',
      'dns_failure_refresh_rate',
      'dns_cache_circuit_breaker',
      'dns_resolution_config',
      'typed_dns_resolver_config',
      'preresolve_hostnames',
      'dns_query_timeout',
      'resolved_address_filter',
    ]);
  warnOthers(message?.dns_cache_circuit_breaker, at.field('dns_cache_circuit_breaker'), [
    'max_pending_requests',
  ]);
  const failure = message?.dns_failure_refresh_rate;
  const baseMs = durationMs(failure?.base_interval, 0);
  const filter = message?.resolved_address_filter;
  return {
    name: message?.name ?? '',
    family: lookupFamilies[message?.dns_lookup_family ?? 'AUTO']!,
    resolvers: namesResolvers(message) ? parseResolvers(message, at) : resolvers,
    refreshMs: durationMs(message?.dns_refresh_rate, 60_000),
    minRefreshMs: durationMs(message?.dns_min_refresh_rate, 5000),
    failureBackoff: failure && { baseMs, maxMs: durationMs(failure.max_interval, baseMs * 10) },
    refreshesFailures: !(message?.disable_dns_refresh_on_failure ?? false),
    hostTtlMs: durationMs(message?.host_ttl, 300_000),
    maxHosts: message?.max_hosts ?? 1024,
    maxPending: message?.dns_cache_circuit_breaker?.max_pending_requests ?? 1024,
    queryTimeoutMs: durationMs(message?.dns_query_timeout, 5000),
    preresolved: (message?.preresolve_hostnames ?? []).map((it) => ({
      host: it.address,
      port: it.port_value ?? 0,
    })),
    addressFilter: filter && {
      ranges: filter.ranges.map((it, i) => {
        const range = `${it.address_prefix}/${it.prefix_len ?? 0}`;
        if (Cidr.parse(range) === undefined)
          at.field('resolved_address_filter').field('ranges', i).fail(`${range} is no range of addresses`);
        return range;
      }),
      inverted: filter.invert_match,
    },
  };
}

function namesResolvers(message: DnsCacheMessage | undefined): boolean {
  return message?.typed_dns_resolver_config !== undefined || message?.dns_resolution_config !== undefined;
}

const users =
  /\.(dynamic_forward_proxy\.v3\.(FilterConfig|ClusterConfig)|sni_dynamic_forward_proxy\.v3\.FilterConfig)$/;

/** What is wrong with them is told where each stands. */
export function parseDnsCaches(config: unknown, resolvers: AskedResolvers): DnsCacheConfig[] {
  const at = new ParseContext('', []);
  const caches = new Map<string, DnsCacheConfig>();
  visitPacked(config, (type, value) => {
    if (!users.test(type)) return;
    const { dns_cache_config: message } = value as { readonly dns_cache_config?: DnsCacheMessage };
    const name = message?.name ?? '';
    if (!caches.has(name)) caches.set(name, parseDnsCache(message, at, resolvers));
  });
  return [...caches.values()];
}
