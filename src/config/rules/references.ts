// Names of clusters in places that Envoy does not look at when it loads: it starts, and fails later. Here they are warnings.

import type { MessageTypes } from '#schema/messages/type-map.ts';
import type { ParseContext } from '../parse-context.ts';
import { type Rule, rule } from './rule.ts';
import type { RuleScope } from './scope.ts';

type TcpProxy = MessageTypes['envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy'];

export const referenceRules: readonly Rule[] = [
  rule('envoy.config.core.v3.GrpcService.EnvoyGrpc', (grpc, at, scope, around) => {
    // Discovery sources are checked for real, by another rule.
    if (
      around.inside('envoy.config.core.v3.ApiConfigSource') !== undefined ||
      isKnown(grpc.cluster_name, scope)
    )
      return;
    at.field('cluster_name').warn(`Unknown gRPC client cluster '${grpc.cluster_name}'`, {
      rule: 'unknown-grpc-cluster',
      got: grpc.cluster_name,
      envoy: `Unknown gRPC client cluster '${grpc.cluster_name}'`,
      ...hint(grpc.cluster_name, scope),
    });
  }),
  rule('envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy', (proxy, at, scope) => {
    for (const [name, here] of tcpClusters(proxy, at)) warnUnknown(name, here, scope);
  }),
  rule('envoy.config.core.v3.HttpUri', (uri, at, scope) => {
    if (uri.cluster !== undefined && uri.cluster !== '') warnUnknown(uri.cluster, at.field('cluster'), scope);
  }),
  rule('envoy.config.trace.v3.ZipkinConfig', (zipkin, at, scope) => {
    if (
      zipkin.collector_service === undefined &&
      (zipkin.collector_cluster === '' || zipkin.collector_endpoint === '')
    ) {
      at.fail('"collector_cluster" and "collector_endpoint" are both needed', {
        rule: 'tracing-config',
        envoy: 'collector_cluster and collector_endpoint must be specified when not using collector_service',
        suggestion: `add "${zipkin.collector_cluster === '' ? 'collector_cluster' : 'collector_endpoint'}"`,
      });
    }
    if (zipkin.collector_cluster === '' || scope.isPartial || scope.clusters.has(zipkin.collector_cluster))
      return;
    at.field('collector_cluster').fail(`the cluster "${zipkin.collector_cluster}" is not defined`, {
      rule: 'unknown-cluster',
      got: zipkin.collector_cluster,
      envoy: `envoy.tracers.zipkin: unknown cluster '${zipkin.collector_cluster}'`,
      ...hint(zipkin.collector_cluster, scope),
    });
  }),
];

function* tcpClusters(proxy: TcpProxy, at: ParseContext): Generator<readonly [string, () => ParseContext]> {
  if (proxy.cluster !== undefined) yield [proxy.cluster, () => at.field('cluster')];
  const weighted = proxy.weighted_clusters?.clusters ?? [];
  for (let i = 0; i < weighted.length; i++) {
    yield [weighted[i]!.name, () => at.field('weighted_clusters').field('clusters', i).field('name')];
  }
}

function isKnown(name: string, scope: RuleScope): boolean {
  return (
    name === '' ||
    scope.clusters.has('') ||
    scope.clusters.has(name) ||
    scope.hasDynamicClusters ||
    (scope.isPartial && scope.clusters.size === 0)
  );
}

function warnUnknown(name: string, at: ParseContext | (() => ParseContext), scope: RuleScope): void {
  if (isKnown(name, scope)) return;
  const here = typeof at === 'function' ? at() : at;
  here.warn(`the cluster "${name}" is not defined: every connection to it fails`, {
    rule: 'unknown-cluster-unchecked',
    got: name,
    ...hint(name, scope),
  });
}

function hint(name: string, scope: RuleScope): { readonly suggestion: string } {
  const similar = scope.nearestCluster(name);
  if (similar !== undefined) return { suggestion: `did you mean "${similar}"?` };
  if (scope.clusters.size === 1) {
    return { suggestion: `"${name}" is not defined; the cluster here is "${[...scope.clusters.keys()][0]}"` };
  }
  return { suggestion: `define the cluster "${name}"` };
}
