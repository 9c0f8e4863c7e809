// Plain configuration of dns_filter: the table of names, and where other names are asked.
import { canonicalIp } from '#base/cidr.ts';
import { logger } from '#base/logger.ts';
import type { ParseContext } from '#config/parse-context.ts';
import { type AccessLogData, parseAccessLogs } from '#extension/access-logger.ts';
import { durationMs, onlyFields } from '#extension/message-fields.ts';
import type { Registry } from '#extension/registry.ts';
import type { DataSource } from '#schema/messages/envoy/config/core/v3.ts';
import type { DnsTable, DnsTable_DnsService } from '#schema/messages/envoy/data/dns/v3.ts';
import type {
  DnsFilterConfig_ClientContextConfig,
  DnsFilterConfig_ServerContextConfig,
  DnsFilterConfig as Message,
} from '#schema/messages/envoy/extensions/filters/udp/dns_filter/v3.ts';
import { parseResolvers } from '../upstream/parse-resolvers.ts';
import { withMetadataOperators } from './dns-filter-log-format.ts';
import { defaultTtlSeconds, domainSuffix } from './dns-table.ts';

const log = logger('filter');

export interface DnsFilterConfig {
  readonly statPrefix: string;
  /** The last two labels of a name -> what is known below them -> what it leads to. */
  readonly suffixes: readonly (readonly [
    suffix: string,
    domains: readonly (readonly [string, DnsEndpoint])[],
  ])[];
  /** Of answers, by name; others have 300 s. */
  readonly ttlSeconds: readonly (readonly [name: string, seconds: number])[];
  /** Undefined: what is not in the table does not exist. */
  readonly forward: DnsForwardConfig | undefined;
  readonly ignoresCase: boolean;
  readonly accessLogs: readonly AccessLogData[];
}

export interface DnsForwardConfig {
  readonly timeoutMs: number;
  readonly maxPending: number;
  readonly retries: number;
  /** `ip:port`; empty: those of the system. */
  readonly servers: readonly string[];
  /** The search list of resolv.conf is used. */
  readonly searches: boolean;
}

/** Where a name leads: one of these. */
export interface DnsEndpoint {
  addresses: string[] | undefined;
  readonly cluster: string | undefined;
  readonly service: DnsService | undefined;
}

export interface DnsService {
  readonly ttlSeconds: number;
  readonly targets: readonly DnsTarget[];
}

export interface DnsTarget {
  /** A host or a cluster. */
  readonly name: string;
  readonly isCluster: boolean;
  readonly priority: number;
  readonly weight: number;
  readonly port: number;
}

export function parseDnsFilter(message: Message, at: ParseContext, registry: Registry): DnsFilterConfig {
  onlyFields(message, at, [
    'stat_prefix',
    'server_config',
    'client_config',
    'access_log',
    'case_insensitive',
  ]);
  const table = dnsTable(message.server_config, at.field('server_config'), registry);
  const { client_config: client } = message;
  return {
    statPrefix: message.stat_prefix,
    ...parseTable(table, message.case_insensitive, at.field('server_config').field('inline_dns_table')),
    forward:
      client === undefined
        ? undefined
        : { ...parseClient(client, at.field('client_config')), retries: table.external_retry_count },
    ignoresCase: message.case_insensitive,
    accessLogs: parseAccessLogs(
      withMetadataOperators(message.access_log, at.field('access_log')),
      at.field('access_log'),
      registry,
    ),
  };
}

// The table --------------------------------------------------------------------------------------------------------------------

const noTable: DnsTable = { external_retry_count: 0, virtual_domains: [], known_suffixes: [] };

function dnsTable(
  message: DnsFilterConfig_ServerContextConfig | undefined,
  at: ParseContext,
  registry: Registry,
): DnsTable {
  if (message?.inline_dns_table !== undefined) return message.inline_dns_table;
  if (message?.external_dns_table === undefined) return noTable;
  return externalTable(message.external_dns_table, at.field('external_dns_table'), registry);
}

/** A file that cannot be read leaves the table empty, with a warning, as in Envoy. */
function externalTable({ filename }: DataSource, at: ParseContext, registry: Registry): DnsTable {
  if (filename === undefined) {
    at.unsupported('only a file name is supported here', { expected: 'filename' });
    return noTable;
  }
  try {
    return registry.readMessageFile(filename, 'envoy.data.dns.v3.DnsTable') as DnsTable;
  } catch (error) {
    log.warn(`Filesystem DNS Filter config update failure: ${(error as Error).message}`);
    return noTable;
  }
}

function parseTable(
  table: DnsTable,
  ignoresCase: boolean,
  at: ParseContext,
): Pick<DnsFilterConfig, 'suffixes' | 'ttlSeconds'> {
  const suffixes = new Map<string, Map<string, DnsEndpoint>>();
  const ttls = new Map<string, number>();
  const cased = (name: string) => (ignoresCase ? name.toLowerCase() : name);
  table.virtual_domains.forEach((domain, i) => {
    // `*.example.com` is found by what stands behind the star.
    const name = cased(domain.name.replace(/^\*/, ''));
    const suffix = domainSuffix(name);
    const { endpoint } = domain;
    const known = suffixes.get(suffix);
    const add = (it: DnsEndpoint) => {
      if (known === undefined) suffixes.set(suffix, new Map([[name, it]]));
      else if (!known.has(name)) known.set(name, it);
    };
    if (endpoint?.address_list !== undefined) {
      const here = at.field('virtual_domains', i).field('endpoint').field('address_list');
      const addresses = endpoint.address_list.address.flatMap((address, k) => {
        const ip = canonicalIp(address);
        if (ip === undefined)
          here
            .field('address', k)
            .fail(`malformed IP address: ${address}`, { envoy: `malformed IP address: ${address}` });
        return ip ?? [];
      });
      const before = known?.get(name)?.addresses;
      if (before !== undefined) before.push(...addresses);
      else add({ addresses, cluster: undefined, service: undefined });
    }
    for (const service of endpoint?.service_list?.services ?? []) {
      const protocol = protocolName(service);
      // Envoy takes a service only below a suffix that an earlier domain has brought.
      if (protocol === '' || known === undefined) continue;
      const full = cased([underscored(service.service_name), underscored(protocol), domain.name].join('.'));
      if (!known.has(full))
        known.set(full, { addresses: undefined, cluster: undefined, service: parseService(service, cased) });
    }
    if (endpoint?.cluster_name !== undefined && endpoint.cluster_name !== '')
      add({ addresses: undefined, cluster: endpoint.cluster_name, service: undefined });
    if (!ttls.has(name)) ttls.set(name, domain.answer_ttl?.seconds ?? defaultTtlSeconds);
  });
  return {
    suffixes: [...suffixes].map(([suffix, domains]) => [suffix, [...domains]]),
    ttlSeconds: [...ttls],
  };
}

function parseService(service: DnsTable_DnsService, cased: (name: string) => string): DnsService {
  return {
    ttlSeconds: service.ttl?.seconds ?? 0,
    targets: service.targets.map((it) => ({
      name: it.host_name === undefined ? (it.cluster_name ?? '') : cased(it.host_name),
      isCluster: it.host_name === undefined,
      priority: it.priority,
      weight: it.weight,
      port: it.port,
    })),
  };
}

const underscored = (name: string) => (name.startsWith('_') ? name : `_${name}`);

/** As /etc/protocols has them. */
const protocols: Readonly<Record<number, string>> = {
  1: 'icmp',
  6: 'tcp',
  17: 'udp',
  33: 'dccp',
  58: 'ipv6-icmp',
  132: 'sctp',
  136: 'udplite',
};

function protocolName({ protocol }: DnsTable_DnsService): string {
  return protocol?.name ?? protocols[protocol?.number ?? 0] ?? '';
}

// Other resolvers ----------------------------------------------------------------------------------------------------------------

function parseClient(
  message: DnsFilterConfig_ClientContextConfig,
  at: ParseContext,
): Omit<DnsForwardConfig, 'retries'> {
  const own = { resolvers: message.upstream_resolvers, at: at.field('upstream_resolvers') };
  return {
    timeoutMs: durationMs(message.resolver_timeout, 500),
    maxPending: Number(message.max_pending_lookups),
    ...parseResolvers(message, at, own),
  };
}
