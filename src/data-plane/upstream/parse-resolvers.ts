// Which name servers are asked: `typed_dns_resolver_config` (c-ares, getaddrinfo) and the older `dns_resolution_config` of whatever
// resolves names.
import { getServers } from 'node:dns';
import type { ParseContext } from '#config/parse-context.ts';
import { warnOthers } from '#extension/message-fields.ts';
import { typeOf } from '#extension/registry.ts';
import type {
  Address,
  DnsResolutionConfig,
  DnsResolverOptions,
  TypedExtensionConfig,
} from '#schema/messages/envoy/config/core/v3.ts';
import type { CaresDnsResolverConfig } from '#schema/messages/envoy/extensions/network/dns_resolver/cares/v3.ts';
import { parseAddress } from '../address.ts';

export interface AskedResolvers {
  /** `ip:port`; empty: those of the system. */
  readonly servers: readonly string[];
  /** The search domains of the system are tried. */
  readonly searches: boolean;
  /** The system is asked as any program asks it, without name servers of one's own. */
  readonly usesSystem?: boolean;
  /** Of one question to one server. */
  readonly timeoutMs?: number;
  readonly tries?: number;
}

interface ResolverFields {
  readonly typed_dns_resolver_config?: TypedExtensionConfig | undefined;
  readonly dns_resolution_config?: DnsResolutionConfig | undefined;
}

const getaddrinfoType = 'envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig';
const caresType = 'envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig';

/** `otherwise`: resolvers that a field of the message's own names. */
export function parseResolvers(
  message: ResolverFields | undefined,
  at: ParseContext,
  otherwise: { readonly resolvers: readonly Address[]; readonly at: ParseContext } = { resolvers: [], at },
): AskedResolvers {
  const { typed_dns_resolver_config: typed, dns_resolution_config: resolution } = message ?? {};
  if (typed === undefined && resolution === undefined)
    return { servers: serversOf(otherwise.resolvers, otherwise.at), searches: true };
  let here = at.field('dns_resolution_config');
  let limits: Pick<AskedResolvers, 'timeoutMs' | 'tries'> = {};
  let config: { readonly resolvers: readonly Address[]; readonly dns_resolver_options?: DnsResolverOptions };
  if (typed === undefined) config = resolution as typeof config;
  else {
    here = at.field('typed_dns_resolver_config').field('typed_config');
    const type = typeOf(typed.typed_config);
    if (type === getaddrinfoType) {
      warnOthers(typed.typed_config, here, ['num_resolver_threads']);
      return { servers: [], searches: true, usesSystem: true };
    }
    if (type !== caresType) {
      here.unsupported(`DNS resolver ${type} is not supported by chancery`, { expected: caresType });
      return { servers: [], searches: true };
    }
    const cares = typed.typed_config as unknown as CaresDnsResolverConfig;
    const own = [
      'resolvers',
      'dns_resolver_options',
      'use_resolvers_as_fallback',
      'query_timeout_seconds',
      'query_tries',
    ];
    warnOthers(cares, here, own);
    config = cares as typeof config;
    limits = {
      ...(cares.query_timeout_seconds !== undefined && {
        timeoutMs: Number(cares.query_timeout_seconds) * 1000,
      }),
      ...(cares.query_tries !== undefined && { tries: cares.query_tries }),
    };
    // Only where the system has no servers, and then there is nothing to fall back from.
    if (cares.use_resolvers_as_fallback && systemHasServers()) config = { ...config, resolvers: [] };
  }
  const options = config.dns_resolver_options;
  if (options?.use_tcp_for_dns_lookups)
    here.field('dns_resolver_options').field('use_tcp_for_dns_lookups').unsupported();
  return {
    servers: serversOf(config.resolvers, here.field('resolvers')),
    searches: options?.no_default_search_domain !== true,
    ...limits,
  };
}

function systemHasServers(): boolean {
  return getServers().some((it) => !it.startsWith('127.'));
}

function serversOf(resolvers: readonly Address[], at: ParseContext): string[] {
  return resolvers.flatMap((it, i) => {
    const address = parseAddress(it, at.index(i));
    if (address === undefined) return [];
    const ip = address.address.includes(':') ? `[${address.address}]` : address.address;
    return `${ip}:${address.port === 0 ? 53 : address.port}`;
  });
}
