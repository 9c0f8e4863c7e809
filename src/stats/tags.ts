// Tags taken out of metric names, as Prometheus and other sinks want them: `cluster.web.upstream_rq_200` is `cluster.upstream_rq`
// with the cluster and the code as tags. The default rules are Envoy's.
import { RE2JS } from 're2js';

export interface Tag {
  readonly name: string;
  readonly value: string;
}

export interface TaggedName {
  /** The name without what became a tag. */
  readonly name: string;
  /** In the order the rules found them. */
  readonly tags: readonly Tag[];
}

/** `StatsConfig` as plain data. */
export interface TagSettings {
  readonly useAllDefaultTags: boolean;
  /** A rule takes the place of the default ones of its name. Else both are tried, the default ones first. */
  readonly overridesDefaults?: boolean;
  /** A rule with neither regex nor value turns the default rule of that name on. */
  readonly tags: readonly { readonly name: string; readonly regex?: string; readonly fixedValue?: string }[];
}

/** What a rule found: a value, and the part of the name to take out. */
interface Found {
  readonly value: string;
  readonly from: number;
  readonly to: number;
}

interface TagRule {
  readonly tag: string;
  /** The first segment of the names it may match; undefined: any. */
  readonly prefix: string | undefined;
  find(name: string, segments: readonly string[]): Found | undefined;
}

const address = String.raw`(?:(?:\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[[a-fA-F_\d]+\])_\d+)`;

/**
 * The default rules: segments, where `$` is the value, `*` one segment and `**` one or more; or a regular expression, whose
 * first group is taken out and whose second is the value. `needs` is a part without which it cannot match.
 */
const defaults: readonly {
  readonly tag: string;
  readonly segments?: string;
  readonly regex?: RegExp;
  readonly needs?: string;
  readonly not?: string;
}[] = [
  { tag: 'response_code', regex: /_rq(_(\d{3}))$/d, needs: '_rq_' },
  { tag: 'response_code_class', regex: /_rq_((\d))xx$/d, needs: '_rq_' },
  { tag: 'grpc_bridge_method', segments: 'cluster.*.grpc.*.$.**' },
  { tag: 'http_user_agent', segments: 'http.*.user_agent.$.**' },
  { tag: 'virtual_cluster', segments: 'vhost.*.vcluster.$.**' },
  { tag: 'fault_downstream_cluster', segments: 'http.*.fault.$.**' },
  { tag: 'ssl_cipher', regex: /^listener\..*?\.ssl\.ciphers(\.([\w-]+))$/d, needs: '.ssl.ciphers.' },
  { tag: 'ssl_curve', regex: /^(?:listener|cluster)\..*?\.ssl\.curves(\.([\w-]+))$/d, needs: '.ssl.curves.' },
  {
    tag: 'ssl_sigalg',
    regex: /^(?:listener|cluster)\..*?\.ssl\.sigalgs(\.([\w-]+))$/d,
    needs: '.ssl.sigalgs.',
  },
  {
    tag: 'ssl_version',
    regex: /^(?:listener|cluster)\..*?\.ssl\.versions(\.(TLSv\d\.\d))$/d,
    needs: '.ssl.versions.',
  },
  {
    tag: 'tls_certificate',
    regex: /^(?:listener|cluster)\..*?\.ssl\.certificate\.(([^.]+)\.).*$/d,
    needs: '.ssl.certificate.',
  },
  { tag: 'ssl_cipher_suite', regex: /^cluster\.[^.]+\.ssl\.ciphers(\.([\w-]+))$/d, needs: '.ssl.ciphers.' },
  { tag: 'grpc_bridge_service', segments: 'cluster.*.grpc.$.**' },
  { tag: 'tcp_prefix', segments: 'tcp.$.**' },
  { tag: 'udp_prefix', segments: 'udp.$.**' },
  { tag: 'clientssl_prefix', segments: 'auth.clientssl.$.**' },
  { tag: 'ratelimit_prefix', segments: 'ratelimit.$.**' },
  {
    tag: 'health_check_name',
    regex: /^cluster\.[^.]+\.health_check\.(name\.([^.]+)\.)/d,
    needs: '.health_check.name.',
  },
  { tag: 'cluster_name', segments: 'cluster.$.**' },
  { tag: 'http_conn_manager_prefix', regex: /^listener\..*?\.http\.(([^.]+)\.)/d, needs: '.http.' },
  { tag: 'ext_authz_prefix', segments: 'cluster.*.ext_authz.$.**' },
  { tag: 'ext_authz_prefix', segments: 'http.*.ext_authz.$.**' },
  { tag: 'rbac_policy_name', segments: 'http.*.rbac.*.policy.$.**' },
  { tag: 'rbac_http_prefix', segments: 'http.*.rbac.$.**' },
  { tag: 'http_conn_manager_prefix', segments: 'http.$.**' },
  {
    tag: 'worker_id',
    regex: new RegExp(
      String.raw`^(?:listener\.(?:${address}|[^.]+)|server|listener_manager|thread_local_cluster_manager)\.worker_((\d+)\.)`,
      'd',
    ),
    needs: '.worker_',
  },
  {
    tag: 'listener_address',
    regex: new RegExp(String.raw`^listener\.((${address}|[^.]+)\.)`, 'd'),
    not: 'admin',
  },
  { tag: 'virtual_host', segments: 'vhost.$.**' },
  { tag: 'rds_route_config', regex: /^http\.[^.]+\.rds\.(([\w.-]+)\.)\w+?$/d, needs: '.rds.' },
  { tag: 'scoped_rds_config', segments: 'http.*.scoped_rds.$.**' },
  { tag: 'route', segments: 'vhost.*.route.$.**' },
  { tag: 'local_http_ratelimit_prefix', segments: '$.http_local_rate_limit.**' },
  { tag: 'local_network_ratelimit_prefix', segments: 'local_rate_limit.$.**' },
  { tag: 'local_listener_ratelimit_prefix', segments: 'listener_local_ratelimit.$.**' },
  { tag: 'connection_limit_prefix', segments: 'connection_limit.$.**' },
  { tag: 'dns_filter_prefix', segments: 'dns_filter.$.**' },
  { tag: 'rbac_prefix', segments: '$.rbac.**' },
  { tag: 'proxy_protocol_prefix', segments: 'proxy_proto.$.**' },
  { tag: 'proxy_protocol_version', regex: /^proxy_proto\.[^.]+\.(versions\.v(\d)\.)/d, needs: '.versions.v' },
];

/** Whether there is a default rule for the tag of that name. */
export function hasDefaultTag(name: string): boolean {
  return defaults.some(({ tag }) => `envoy.${tag}` === name);
}

export const defaultTagSettings: TagSettings = { useAllDefaultTags: true, tags: [] };

/** Applies the rules of one `stats_config`. */
export class TagExtractor {
  /** Rules for any name come first, as in Envoy. */
  readonly #general: readonly TagRule[];
  readonly #byPrefix = new Map<string, TagRule[]>();
  /** Tags of every metric. */
  readonly fixed: readonly Tag[];

  constructor(settings: TagSettings = defaultTagSettings) {
    const own =
      settings.overridesDefaults === true ? new Set(settings.tags.map(({ name }) => name)) : undefined;
    const used = defaults.filter(({ tag }) => own?.has(`envoy.${tag}`) !== true);
    const rules: TagRule[] = settings.useAllDefaultTags ? used.map(defaultRule) : [];
    this.fixed = settings.tags.flatMap(({ name, fixedValue }) =>
      fixedValue === undefined ? [] : { name, value: fixedValue },
    );
    for (const { name, regex, fixedValue } of settings.tags) {
      if (fixedValue !== undefined) rules.push(fixedRule(name, fixedValue));
      else if (regex !== undefined) rules.push(regexRule(name, regex));
      else rules.push(...defaults.filter(({ tag }) => `envoy.${tag}` === name).map(defaultRule));
    }
    this.#general = rules.filter(({ prefix }) => prefix === undefined);
    for (const rule of rules) {
      if (rule.prefix === undefined) continue;
      const known = this.#byPrefix.get(rule.prefix);
      if (known === undefined) this.#byPrefix.set(rule.prefix, [rule]);
      else known.push(rule);
    }
  }

  extract(name: string): TaggedName {
    const segments = name.split('.');
    const tags: Tag[] = [];
    const removed: Found[] = [];
    const apply = (rule: TagRule) => {
      const found = rule.find(name, segments);
      if (found === undefined || tags.some((it) => it.name === rule.tag)) return;
      tags.push({ name: rule.tag, value: found.value });
      if (found.to > found.from) removed.push(found);
    };
    for (const rule of this.#general) apply(rule);
    for (const rule of this.#byPrefix.get(segments[0]!) ?? []) apply(rule);
    return { name: without(name, removed), tags };
  }
}

function defaultRule({ tag, segments, regex, needs, not }: (typeof defaults)[number]): TagRule {
  if (segments !== undefined) return segmentsRule(`envoy.${tag}`, segments);
  const source = regex!.source;
  return {
    tag: `envoy.${tag}`,
    prefix: prefixOf(source),
    find(name) {
      if (needs !== undefined && !name.includes(needs)) return undefined;
      const match = regex!.exec(name);
      if (match === null || match[2] === not) return undefined;
      const [from, to] = match.indices![1]!;
      return { value: match[2]!, from, to };
    },
  };
}

function segmentsRule(tag: string, pattern: string): TagRule {
  const parts = pattern.split('.');
  const isOpen = parts.at(-1) === '**';
  const fixed = isOpen ? parts.slice(0, -1) : parts;
  const valueAt = parts.indexOf('$');
  return {
    tag,
    prefix: /^\w+$/.test(parts[0]!) ? parts[0] : undefined,
    find(_name, segments) {
      if (isOpen ? segments.length <= fixed.length : segments.length !== fixed.length) return undefined;
      for (let i = 0; i < fixed.length; i++) {
        const part = fixed[i]!;
        if (part !== '$' && part !== '*' && part !== segments[i]) return undefined;
      }
      let from = 0;
      for (let i = 0; i < valueAt; i++) from += segments[i]!.length + 1;
      const value = segments[valueAt]!;
      return { value, from, to: from + value.length + 1 };
    },
  };
}

function fixedRule(tag: string, value: string): TagRule {
  return {
    tag,
    prefix: undefined,
    // These are there before Envoy knows of tags.
    find: (name) =>
      /^filesystem\.|^server\.hot_restart_generation$/.test(name) ? undefined : { value, from: 0, to: 0 },
  };
}

function regexRule(tag: string, source: string): TagRule {
  const regex = RE2JS.compile(source);
  return {
    tag,
    prefix: prefixOf(source),
    find(name) {
      const matcher = regex.matcher(name);
      if (!matcher.find()) return undefined;
      if (regex.groupCount() === 0) return undefined;
      const value = matcher.group(regex.groupCount() > 1 ? 2 : 1);
      return { value: value ?? '', from: Math.max(matcher.start(1), 0), to: Math.max(matcher.end(1), 0) };
    },
  };
}

/** `^http\.` can only match names that begin with the segment http. */
function prefixOf(source: string): string | undefined {
  return /^\^(\w+)\\\./.exec(source)?.[1];
}

function without(name: string, removed: readonly Found[]): string {
  if (removed.length === 0) return name;
  let kept = '';
  let at = 0;
  for (const { from, to } of [...removed].sort((a, b) => a.from - b.from)) {
    if (from > at) kept += name.slice(at, from);
    at = Math.max(at, to);
  }
  return kept + name.slice(at);
}
