// Where configuration comes from: discovery services, files, and the identity that they are asked with.

import { existsSync } from 'node:fs';
import type { MessageTypes } from '#schema/messages/type-map.ts';
import type { ParseContext } from '../parse-context.ts';
import { type Rule, rule } from './rule.ts';
import type { RuleScope } from './scope.ts';
import { watchProblem } from './watched-path.ts';

type ApiConfigSource = MessageTypes['envoy.config.core.v3.ApiConfigSource'];

export const xdsRules: readonly Rule[] = [
  rule('envoy.config.core.v3.ConfigSource', (source, at, scope, around) => {
    const dynamic = around.inside('envoy.config.bootstrap.v3.Bootstrap.DynamicResources') as
      | MessageTypes['envoy.config.bootstrap.v3.Bootstrap.DynamicResources']
      | undefined;
    if (dynamic?.lds_config !== source || scope.options.isStart) checkFileSource(source, at);
  }),
  rule('envoy.config.cluster.v3.Cluster.EdsClusterConfig', (eds, at, scope) => {
    const source = eds.eds_config;
    if (eds.eds_config === undefined && eds.service_name.startsWith('xdstp:')) return;
    if (source === undefined || !hasSource(source)) {
      at.fail('"eds_config" says from where the endpoints come, and is missing', {
        rule: 'xds-config',
        point: 'key',
        envoy: 'Missing config source specifier in envoy::config::core::v3::ConfigSource',
        suggestion: 'add "eds_config: {path_config_source: {path: ...}}"',
      });
      return;
    }
    if (eds.eds_config !== undefined) {
      needNode(
        at.field('eds_config'),
        scope,
        'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment',
      );
    }
  }),
  rule('envoy.config.bootstrap.v3.Bootstrap.DynamicResources', (dynamic, at, scope) => {
    if (dynamic.ads_config !== undefined) needNode(at.field('ads_config'), scope, 'ads');
    if (dynamic.cds_config !== undefined) {
      needNode(at.field('cds_config'), scope, 'type.googleapis.com/envoy.config.cluster.v3.Cluster');
    }
    if (dynamic.lds_config !== undefined && scope.options.isStart) {
      needNode(at.field('lds_config'), scope, 'type.googleapis.com/envoy.config.listener.v3.Listener');
    }
  }),
  rule('envoy.extensions.filters.network.http_connection_manager.v3.Rds', (rds, at, scope) => {
    if (rds.config_source === undefined && !rds.route_config_name.startsWith('xdstp:')) {
      at.fail('"config_source" is missing', {
        rule: 'xds-config',
        point: 'key',
        envoy: `An RDS config must have either a 'config_source' or an xDS-TP based 'route_config_name'. Error while parsing RDS config`,
        suggestion: 'add "config_source: {ads: {}}"',
      });
      return;
    }
    needNode(at, scope, 'type.googleapis.com/envoy.config.route.v3.RouteConfiguration');
  }),
  rule('envoy.config.core.v3.ApiConfigSource', checkApiSource),
  rule('envoy.config.core.v3.ApiConfigSource', checkVersion),
  rule('envoy.extensions.filters.http.ext_authz.v3.ExtAuthz', checkVersion),
  rule('envoy.extensions.filters.network.ext_authz.v3.ExtAuthz', checkVersion),
  rule('envoy.config.ratelimit.v3.RateLimitServiceConfig', checkVersion),
  rule('envoy.extensions.access_loggers.grpc.v3.CommonGrpcAccessLogConfig', checkVersion),
];

/** The version of the protocol to a service. */
function checkVersion(service: { readonly transport_api_version: string | number }, at: ParseContext): void {
  if (service.transport_api_version !== 'V2') return;
  at.field('transport_api_version').fail('the v2 protocol is gone', {
    rule: 'xds-config',
    got: 'V2',
    envoy:
      'V2 xDS transport protocol version is deprecated. The v2 xDS major version has been removed and is no longer supported. See the advice in https://www.envoyproxy.io/docs/envoy/latest/faq/api/envoy_v3.',
    suggestion: 'write "transport_api_version: V3"',
  });
}

function hasSource(source: MessageTypes['envoy.config.core.v3.ConfigSource']): boolean {
  const { path, path_config_source, api_config_source, ads, self } = source;
  return [path, path_config_source, api_config_source, ads, self].some((it) => it !== undefined);
}

export function needNode(at: ParseContext, scope: RuleScope, words: string): void {
  if (scope.isPartial || scope.isNodeReported || (scope.nodeId !== '' && scope.nodeCluster !== '')) return;
  scope.isNodeReported = true;
  const missing = [scope.nodeId === '' ? 'id' : '', scope.nodeCluster === '' ? 'cluster' : ''].filter(
    (it) => it !== '',
  );
  at.fail(`discovery needs "node.${missing.join('" and "node.')}"`, {
    rule: 'xds-node-id',
    point: 'key',
    envoy: `${words}: node 'id' and 'cluster' are required. Set it either in 'node' config or via --service-node and --service-cluster options.`,
    expected: 'node: {id: ..., cluster: ...}',
    suggestion:
      'add "node: {id: my-id, cluster: my-cluster}" at the top level, or use --service-node and --service-cluster',
  });
}

/** The file of a source has to be there, and so has the folder that is watched. */
function checkFileSource(source: MessageTypes['envoy.config.core.v3.ConfigSource'], at: ParseContext): void {
  if (source.path !== undefined) checkPath(source.path, at.field('path'));
  const { path_config_source: file } = source;
  if (file === undefined) return;
  const here = at.field('path_config_source');
  checkPath(file.path, here.field('path'));
  const directory = file.watched_directory?.path;
  const envoy = directory && watchProblem(`${directory}/`);
  if (!envoy) return;
  here.field('watched_directory').field('path').fail(`the directory "${directory}" cannot be watched`, {
    rule: 'missing-file',
    got: directory,
    envoy,
    suggestion: 'it has to be there when the proxy starts',
  });
}

function checkPath(path: string, at: ParseContext): void {
  if (path === '') return;
  if (existsSync(path)) {
    if (path.includes('/')) return;
    at.fail(`Envoy wants a directory in this path`, {
      rule: 'missing-file',
      got: path,
      envoy: `invalid file path ${path}`,
      suggestion: `write "./${path}"`,
    });
    return;
  }
  at.fail(`the file "${path}" does not exist`, {
    rule: 'missing-file',
    got: path,
    envoy: `paths must refer to an existing path in the system: '${path}' does not exist`,
    suggestion: path.startsWith('/')
      ? 'check the path'
      : 'relative paths start at the directory the proxy is started in',
  });
}

function checkApiSource(source: ApiConfigSource, at: ParseContext, scope: RuleScope): void {
  const fail = (field: string, problem: string, envoy: string, suggestion?: string) =>
    at
      .field(field)
      .fail(problem, { rule: 'xds-config', envoy, ...(suggestion !== undefined && { suggestion }) });
  const use = useOf(source, at.path);
  const isGrpc = source.api_type === 'GRPC' || source.api_type === 'DELTA_GRPC';
  if (isGrpc && source.cluster_names.length > 0) {
    fail(
      'cluster_names',
      'a gRPC source names its cluster in "grpc_services"',
      'envoy.config.core.v3.ApiConfigSource::(AGGREGATED_)(DELTA_)GRPC must not have a cluster name specified',
      'write "grpc_services: [{envoy_grpc: {cluster_name: ...}}]"',
    );
  } else if (isGrpc && source.grpc_services.length === 0) {
    fail(
      'api_type',
      '"grpc_services" is missing',
      'API configs must have either a gRPC service or a cluster name defined',
      'add "grpc_services"',
    );
  }
  if (isGrpc && source.grpc_services.length > 1) {
    fail(
      'grpc_services',
      'only one service can be asked',
      'envoy.config.core.v3.ApiConfigSource::(AGGREGATED_)(DELTA_)GRPC must have no more than 1 gRPC services specified',
      'keep one element',
    );
  }
  if (!isGrpc && !source.api_type.startsWith('AGGREGATED') && source.grpc_services.length > 0) {
    fail(
      'grpc_services',
      `a source of type ${source.api_type} is not asked over gRPC`,
      'envoy.config.core.v3.ApiConfigSource, if not a gRPC type, must not have a gRPC service specified',
      'write "api_type: GRPC"',
    );
  }
  if (source.api_type.startsWith('AGGREGATED')) {
    fail(
      'api_type',
      '"AGGREGATED_GRPC" is not for use here',
      `Unsupported config source ${source.api_type}`,
      'write "ads: {}" in the place of "api_config_source"',
    );
  }
  if (source.api_type === 'REST') {
    if (source.cluster_names.length === 0) {
      fail(
        'api_type',
        '"cluster_names" is missing',
        'API configs must have either a gRPC service or a cluster name defined',
        'add "cluster_names"',
      );
    }
    if (source.refresh_delay === undefined) {
      fail(
        'api_type',
        'REST needs "refresh_delay"',
        'refresh_delay is required for REST API configuration sources',
        'add "refresh_delay: 5s"',
      );
    }
    for (const [i, name] of source.cluster_names.entries()) {
      checkSourceCluster(name, at.field('cluster_names', i), scope, use);
    }
  }
  source.grpc_services.forEach((service, i) => {
    const name = service.envoy_grpc?.cluster_name;
    if (name === undefined) return;
    checkSourceCluster(
      name,
      at.field('grpc_services', i).field('envoy_grpc').field('cluster_name'),
      scope,
      use,
    );
  });
}

/** `unchecked`: Envoy 1.40 looks when it connects, not when it loads. */
type Use = 'ads' | 'checked' | 'unchecked';

function useOf(source: ApiConfigSource, path: string): Use {
  if (path.endsWith('ads_config')) return 'ads';
  return source.api_type === 'DELTA_GRPC' || path.endsWith('lds_config.api_config_source')
    ? 'unchecked'
    : 'checked';
}

/** The cluster of a discovery service must be there from the start. */
function checkSourceCluster(name: string, at: ParseContext, scope: RuleScope, use: Use): void {
  if (scope.isPartial) return;
  const cluster = scope.clusters.get(name);
  const isEds =
    cluster?.type === 'EDS' && cluster.eds_cluster_config?.eds_config?.path_config_source === undefined;
  if (cluster !== undefined && (!isEds || use === 'unchecked')) return;
  const similar = scope.nearestCluster(name);
  const details = {
    got: name,
    expected: 'a static cluster that is not of type EDS',
    ...(similar !== undefined && cluster === undefined && { suggestion: `did you mean "${similar}"?` }),
  };
  const words = `Unknown gRPC client cluster '${name}'`;
  if (use === 'unchecked') {
    at.warn(words, { rule: 'unknown-grpc-cluster', envoy: words, ...details });
    return;
  }
  const problem =
    cluster === undefined
      ? `the cluster "${name}" is not defined`
      : `the cluster "${name}" gets its own endpoints by discovery`;
  const envoy =
    use === 'ads' && cluster === undefined
      ? words
      : `envoy.config.core.v3.ApiConfigSource must have a statically defined non-EDS cluster: '${name}' does not exist, was added via api, or is an EDS cluster`;
  at.fail(problem, { rule: 'xds-config', envoy, ...details });
}
