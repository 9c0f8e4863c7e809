// Which extension may stand where: Envoy finds the code for a typed_config by its type and category.

import type { Message } from '#schema/descriptor.ts';
import type { Surroundings } from '../check-message.ts';
import { nearest } from '../edit-distance.ts';
import type { ParseContext } from '../parse-context.ts';
import { registeredTypes } from './registered-types.ts';
import { type Rule, rule } from './rule.ts';

const terminalNetworkFilters = new Set([
  'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
  'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
  'envoy.extensions.filters.network.echo.v3.Echo',
  'envoy.extensions.filters.network.direct_response.v3.Config',
  'envoy.extensions.filters.network.dubbo_proxy.v3.DubboProxy',
  'envoy.extensions.filters.network.thrift_proxy.v3.ThriftProxy',
  'envoy.extensions.filters.network.redis_proxy.v3.RedisProxy',
  'envoy.extensions.filters.network.generic_proxy.v3.GenericProxy',
  'envoy.extensions.filters.network.reverse_tunnel.v3.ReverseTunnel',
]);
const terminalHttpFilters = new Set(['envoy.extensions.filters.http.router.v3.Router']);
const upstreamCodec = 'envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec';
const terminalUpstreamFilters = new Set([upstreamCodec]);
/** Whether these are terminal is a field of theirs, or the business of their plug-in. */
const maybeTerminal = new Set([
  'envoy.extensions.filters.network.dynamic_modules.v3.DynamicModuleNetworkFilter',
  'envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter',
]);

interface NamedFilter {
  readonly name: string;
  readonly typed_config?: { readonly '@type': string } | undefined;
  readonly config_discovery?: unknown;
  readonly disabled?: boolean;
}

/** What ends a kind of filter chain, and what messages call it. */
interface ChainKind {
  readonly words: string;
  readonly category: string;
  readonly terminal: ReadonlySet<string>;
  readonly ending: string;
  /** Behind Envoy's words. */
  readonly advice: string;
}

const networkChain: ChainKind = {
  words: 'network',
  category: 'envoy.filters.network',
  terminal: terminalNetworkFilters,
  ending: 'a terminal filter such as tcp_proxy',
  advice: '',
};
const httpChain: ChainKind = {
  words: 'http',
  category: 'envoy.filters.http',
  terminal: terminalHttpFilters,
  ending: 'envoy.filters.http.router',
  advice: '',
};
const upstreamChain: ChainKind = {
  words: 'upstream http',
  category: 'envoy.filters.http.upstream',
  terminal: terminalUpstreamFilters,
  ending: 'envoy.filters.http.upstream_codec',
  advice: '',
};
const routerUpstreamChain: ChainKind = {
  ...upstreamChain,
  words: 'router upstream http',
  advice: ' When upstream_http_filters are specified, they must explicitly end with an UpstreamCodec filter.',
};

export const extensionRules: readonly Rule[] = [
  rule('envoy.config.listener.v3.Filter', (filter, at) => {
    if (filter.config_discovery === undefined) checkExtension(filter, 'envoy.filters.network', at);
  }),
  rule(
    'envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter',
    (filter, at, _scope, around) => {
      // Filters of a cluster and of the router run on the way to the upstream.
      const isUpstream =
        around.inside('envoy.extensions.upstreams.http.v3.HttpProtocolOptions') !== undefined ||
        around.inside('envoy.extensions.filters.http.router.v3.Router') !== undefined;
      const category = isUpstream ? 'envoy.filters.http.upstream' : 'envoy.filters.http';
      if (filter.config_discovery === undefined) checkExtension(filter, category, at, filter.is_optional);
    },
  ),
  rule('envoy.config.listener.v3.ListenerFilter', (filter, at, _scope, around) => {
    const listener = around.inside('envoy.config.listener.v3.Listener');
    const isUdp = protocolOf(listener) === 'UDP';
    if (filter.config_discovery === undefined && !isUdp) checkExtension(filter, 'envoy.filters.listener', at);
    else if (filter.config_discovery === undefined) checkExtension(filter, 'envoy.filters.udp_listener', at);
  }),
  rule('envoy.config.accesslog.v3.AccessLog', (log, at) => checkExtension(log, 'envoy.access_loggers', at)),
  rule('envoy.config.core.v3.TransportSocket', (socket, at, _scope, around) => {
    const isDownstream = around.inside('envoy.config.listener.v3.FilterChain') !== undefined;
    const isUpstream = around.inside('envoy.config.cluster.v3.Cluster') !== undefined;
    if (isDownstream || isUpstream) {
      checkExtension(socket, `envoy.transport_sockets.${isDownstream ? 'downstream' : 'upstream'}`, at);
    }
  }),
  rule('envoy.config.trace.v3.Tracing.Http', (tracer, at) => checkExtension(tracer, 'envoy.tracers', at)),
  rule('envoy.config.metrics.v3.StatsSink', (sink, at) => checkExtension(sink, 'envoy.stats_sinks', at)),
  rule('envoy.config.cluster.v3.Cluster.CustomClusterType', (cluster, at) => {
    const type = typeOf(cluster.typed_config as Message | undefined);
    if (type !== undefined && registeredTypes['envoy.clusters']!.includes(type)) return;
    if (
      type === undefined &&
      /^envoy\.cluster\.(?:static|strict_dns|logical_dns|eds|original_dst)$/.test(cluster.name)
    )
      return;
    const words = `Didn't find a registered cluster factory implementation for name: '${cluster.name}'`;
    at.field('name').fail(words, { rule: 'unknown-extension', got: cluster.name, envoy: words });
  }),
  rule('envoy.config.cluster.v3.LoadBalancingPolicy', (policy, at, _scope, around) => {
    const known = registeredTypes['envoy.load_balancing_policies']!;
    const types = policy.policies.map((it) =>
      typeOf(it.typed_extension_config?.typed_config as Message | undefined),
    );
    if (types.some((type) => type !== undefined && known.includes(type))) return;
    const cluster = around.inside('envoy.config.cluster.v3.Cluster');
    if (cluster === undefined) return;
    const names = policy.policies.map((it) => it.typed_extension_config?.name ?? '').join(', ');
    const words = `cluster: didn't find a registered load balancer factory implementation for cluster: '${cluster.name}' with names from [${names}]`;
    at.fail('none of these load balancing policies exists', {
      rule: 'unknown-extension',
      got: names,
      envoy: words,
    });
  }),
  rule('envoy.config.route.v3.RetryPolicy.RetryHostPredicate', (predicate, at) =>
    checkExtension(predicate, 'envoy.retry_host_predicates', at),
  ),
  rule('envoy.config.route.v3.RetryPolicy.RetryPriority', (priority, at) =>
    checkExtension(priority, 'envoy.retry_priorities', at),
  ),
  rule('envoy.extensions.filters.network.http_connection_manager.v3.RequestIDExtension', (extension, at) => {
    if (extension.typed_config === undefined || extension.typed_config['@type'] !== '') return;
    at.field('typed_config').fail('the extension is empty', {
      rule: 'unknown-extension',
      point: 'key',
      envoy: "Didn't find a registered implementation for type: ''",
      suggestion: 'add "@type"',
    });
  }),
  rule('envoy.config.overload.v3.ResourceMonitor', (monitor, at) =>
    checkExtension(monitor, 'envoy.resource_monitors', at),
  ),
  rule('envoy.config.core.v3.TypedExtensionConfig', checkTyped),
  rule('xds.core.v3.TypedExtensionConfig', checkTyped),
  rule('envoy.config.listener.v3.FilterChain', (chain, at) => {
    checkTerminal(chain.filters, at, 'filters', networkChain);
  }),
  rule('envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager', (manager, at) => {
    if (manager.http_filters.length === 0) {
      at.warn('there are no HTTP filters, so no request is ever answered', {
        rule: 'missing-router',
        expected: 'http_filters with envoy.filters.http.router as the last one',
        suggestion: 'add envoy.filters.http.router to "http_filters"',
      });
    }
    checkTerminal(manager.http_filters, at, 'http_filters', httpChain);
  }),
  rule('envoy.extensions.filters.http.router.v3.Router', (router, at) =>
    checkTerminal(router.upstream_http_filters, at, 'upstream_http_filters', routerUpstreamChain),
  ),
  rule('envoy.extensions.upstreams.http.v3.HttpProtocolOptions', (options, at) => {
    const last = options.http_filters.at(-1);
    if (last === undefined || typeOf(last.typed_config as Message | undefined) === upstreamCodec)
      checkTerminal(options.http_filters, at, 'http_filters', upstreamChain);
    else
      at.field('http_filters', options.http_filters.length - 1).fail(
        `"${last.name}" is the last filter: nothing sends requests to the upstream`,
        {
          rule: 'terminal-filter',
          envoy: `The codec filter is the only valid terminal upstream HTTP filter, use '${upstreamCodec}'`,
          expected: 'envoy.filters.http.upstream_codec at the end',
          suggestion: 'add envoy.filters.http.upstream_codec at the end',
        },
      );
  }),
  rule('envoy.config.route.v3.VirtualHost', (host, at) => checkPerFilter(host.typed_per_filter_config, at)),
  rule('envoy.config.route.v3.RouteConfiguration', (config, at) =>
    checkPerFilter(config.typed_per_filter_config, at),
  ),
  rule('envoy.config.route.v3.Route', (route, at) => checkPerFilter(route.typed_per_filter_config, at)),
  rule('envoy.config.route.v3.WeightedCluster.ClusterWeight', (weight, at) =>
    checkPerFilter(weight.typed_per_filter_config, at),
  ),
];

/** Where the category is not known here, a type there has to be. */
function checkTyped(it: NamedFilter, at: ParseContext, _scope: unknown, around: Surroundings): void {
  // Empty means the default resolver.
  if (around.field?.name === 'typed_dns_resolver_config') return;
  if (it.typed_config === undefined || typeOf(it.typed_config as Message) !== undefined) return;
  at.field('typed_config').fail(`"${it.name}" has an empty "typed_config"`, {
    rule: 'unknown-extension',
    point: 'key',
    envoy: `Didn't find a registered implementation for '${it.name}' with type URL: ''`,
    suggestion: 'add "@type"',
  });
}

function protocolOf(listener: Message | undefined): string {
  const address = listener?.address as { socket_address?: { protocol?: string } } | undefined;
  return address?.socket_address?.protocol ?? 'TCP';
}

/** The type that counts: a TypedStruct stands for what it names. */
export function typeOf(config: Message | undefined): string | undefined {
  if (config === undefined) return undefined;
  const url = config['@type'] as string;
  const type = url.slice(url.lastIndexOf('/') + 1);
  if (type !== 'xds.type.v3.TypedStruct' && type !== 'udpa.type.v1.TypedStruct')
    return type === '' ? undefined : type;
  const inner = (config.type_url as string | undefined) ?? '';
  return inner.slice(inner.lastIndexOf('/') + 1);
}

/** `envoy.filters.network.rbac` for `envoy.extensions.filters.network.rbac.v3.RBAC`. */
function factoryName(type: string): string {
  return type.replace('.extensions.', '.').replace(/\.v\d\w*\.\w+$/, '');
}

function checkExtension(it: NamedFilter, category: string, at: ParseContext, isOptional = false): void {
  const type = typeOf(it.typed_config as Message | undefined);
  const known = registeredTypes[category]!;
  if (type !== undefined && known.includes(type)) return;
  if (isOptional) return;
  const words = `Didn't find a registered implementation for '${it.name}' with type URL: '${type ?? ''}'`;
  const kind = category.replace(/^envoy\./, '').replace(/[_.]/g, ' ');
  if (type === undefined) {
    const guess =
      known.find((name) => factoryName(name) === it.name) ?? nearest(it.name, known.map(factoryName));
    const full = known.find((name) => name === guess || factoryName(name) === guess);
    at.fail(`"${it.name}" has no "typed_config": it is what says which extension this is`, {
      rule: 'unknown-extension',
      envoy: words,
      expected: `"typed_config" with the "@type" of an extension in ${kind}`,
      suggestion:
        full === undefined
          ? 'add "typed_config"'
          : `add "typed_config: {"@type": type.googleapis.com/${full}}"`,
    });
    return;
  }
  const elsewhere = Object.keys(registeredTypes).find((other) => registeredTypes[other]!.includes(type));
  const similar = nearest(type, known);
  at.field('typed_config')
    .field('@type')
    .fail(`${type} is not an extension for ${kind}`, {
      rule: 'unknown-extension',
      got: type,
      envoy: words,
      expected: `an extension in ${category}`,
      ...(elsewhere !== undefined
        ? { suggestion: `this one belongs to ${elsewhere.replace(/^envoy\./, '')}` }
        : similar !== undefined && { suggestion: `did you mean "${similar}"?` }),
    });
}

function checkTerminal(
  filters: readonly NamedFilter[],
  at: ParseContext,
  field: string,
  { words: kind, category, terminal, ending, advice }: ChainKind,
): void {
  for (let i = 0; i < filters.length; i++) {
    const filter = filters[i]!;
    const type = typeOf(filter.typed_config as Message | undefined);
    if (type === undefined || maybeTerminal.has(type)) continue;
    const isLast = i === filters.length - 1;
    const isTerminal = terminal.has(type);
    if (isLast && isTerminal && filter.disabled === true) {
      const words = `Error: the last (terminal) filter (${filter.name}) in the chain cannot be disabled by default.`;
      at.field(field, i).field('disabled').fail(`"${filter.name}" ends the chain and cannot be disabled`, {
        rule: 'terminal-filter',
        envoy: words,
        suggestion: 'remove "disabled"',
      });
    }
    if (isTerminal === isLast) continue;
    const named = `filter named ${filter.name} of type ${factoryName(type)}`;
    if (isTerminal) {
      const words = `Error: terminal ${named} must be the last filter in a ${kind} filter chain.`;
      at.field(field, i).fail(`"${filter.name}" ends the chain: what follows it never runs`, {
        rule: 'terminal-filter',
        envoy: words,
        expected: 'a terminal filter as the last one only',
        suggestion: `move "${filter.name}" to the end of "${field}"`,
      });
    } else {
      const words = `Error: non-terminal ${named} is the last filter in a ${kind} filter chain.${advice}`;
      if (!registeredTypes[category]!.includes(type)) continue;
      at.field(field, i).fail(`"${filter.name}" is the last filter, but it passes on what it gets`, {
        rule: 'terminal-filter',
        envoy: words,
        expected: 'a terminal filter at the end',
        suggestion: `add ${ending} at the end`,
      });
    }
  }
}

function checkPerFilter(
  configs: Readonly<Record<string, { readonly '@type': string }>>,
  at: ParseContext,
): void {
  for (const name of Object.keys(configs)) {
    let config = configs[name] as Message | undefined;
    let isOptional = false;
    if (typeOf(config) === 'envoy.config.route.v3.FilterConfig') {
      isOptional = config!.is_optional === true;
      if (config!.disabled === true) continue;
      config = config!.config as Message | undefined;
      if (config === undefined) {
        const words = `Empty route/virtual host per filter configuration for ${name} filter`;
        at.field('typed_per_filter_config').key(name).fail(words, { envoy: words });
        continue;
      }
      // Says that the filter runs here.
      if (!typeOf(config)) continue;
    }
    const type = typeOf(config);
    if (isOptional || (type !== undefined && registeredTypes['envoy.filters.http']!.includes(type))) continue;
    const similar = nearest(type ?? name, registeredTypes['envoy.filters.http']!);
    at.field('typed_per_filter_config')
      .key(name)
      .field('@type')
      .fail(
        type === undefined
          ? `the configuration of "${name}" is empty`
          : `${type} does not configure an HTTP filter`,
        {
          rule: 'unknown-extension',
          ...(type !== undefined && { got: type }),
          envoy: `Didn't find a registered implementation for '${name}' with type URL: '${type ?? ''}'`,
          ...(similar !== undefined && { suggestion: `did you mean "${similar}"?` }),
        },
      );
  }
}
