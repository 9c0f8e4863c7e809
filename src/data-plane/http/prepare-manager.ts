// Plain connection manager -> what its connections share, in a worker.
import { Cidr, CidrList } from '#base/cidr.ts';
import { turnClock } from '#base/clock.ts';
import { prepareAccessLogs } from '#extension/access-logger.ts';
import type { EarlyHeaderMutationExtension } from '#extension/early-header-mutation.ts';
import { HeaderMutationLevels, type HeaderMutations } from '#extension/header-mutations.ts';
import type { HttpFilterExtension } from '#extension/http-filter.ts';
import { compileStringMatcher } from '#extension/matchers/compile.ts';
import { compileMatcherTree } from '#extension/matchers/matcher-tree-compile.ts';
import { compileCelPredicate, compileStreamInput } from '#extension/matchers/stream-input.ts';
import type { OriginalIpDetectionExtension } from '#extension/original-ip-detection.ts';
import type { Registry } from '#extension/registry.ts';
import type { Http1Options } from '#http/h1-options.ts';
import { H1ServerCodec } from '#http/h1-server-codec.ts';
import { H2Session } from '#http/h2-session.ts';
import type { DataPlaneFilterContext, DataPlaneHttpFilterContext } from '../worker-context.ts';
import { http1Counts, http2Counts } from './codec-stats.ts';
import type { ConnectionManager } from './connection-manager.ts';
import { FilterPlan } from './filter-plan.ts';
import type { ClientCertData } from './forwarded-client-cert-config.ts';
import {
  ConnectionManagerStats,
  ListenerHttpStats,
  RouteResolutionStats,
  RouterStats,
  TracingStats,
} from './http-stats.ts';
import { ConfiguredLocalReply } from './local-reply-mapper.ts';
import { type ConnectionManagerConfig, ForwardClientCert } from './manager-config.ts';
import type { ManagerShared } from './manager-shared.ts';
import { pathOptions } from './path-options.ts';
import { addProxyStatus } from './proxy-status.ts';
import { type CompileServices, compileRoutes } from './route-compile.ts';
import { noRoutes } from './route-config.ts';
import type { RouteTable } from './route-entry.ts';
import { compileScopedRoutes } from './scoped-routes-compile.ts';
import { prepareUpstreamFilters } from './upstream-filters.ts';
import type { WorkerRoutes } from './worker-routes.ts';

export function prepareConnectionManager(
  config: ConnectionManagerConfig,
  context: DataPlaneFilterContext,
): ManagerShared {
  const { worker, stats } = context;
  const statPrefix = `http.${config.statPrefix}.`;
  const scope = stats.scope(`http.${config.statPrefix}`);
  const filterContext = (name: string): DataPlaneHttpFilterContext => ({
    ...worker.services,
    worker,
    name,
    statPrefix,
    registry: context.registry,
  });
  const planOf = (filters: ConnectionManagerConfig['filters']) =>
    new FilterPlan(
      filters.map((it) => it.name),
      filters.map((it) =>
        context.registry
          .byName<HttpFilterExtension>('http_filter', it.extension)!
          .prepare(it.config as never, filterContext(it.name)),
      ),
      filters.map((it) => it.disabled),
    );
  const http1: Http1Options = {
    ...config.http1,
    ignoresUpgrade: ignoresUpgrade(config),
    counts: http1Counts(stats.scope('http1')),
  };
  const plainHttp1: Http1Options = {
    ...http1,
    refuseHttpsTarget: config.useRemoteAddress && config.xffNumTrustedHops === 0,
  };
  const http2Scope = stats.scope('http2');
  const cidrs =
    config.internalCidrs === undefined
      ? undefined
      : new CidrList(config.internalCidrs.flatMap((it) => Cidr.parse(it) ?? []));
  const compileServices: CompileServices = {
    localCluster: context.localCluster,
    runtime: context.runtime,
    stats,
    registry: context.registry,
    prepareRoute: (extension, routeConfig) =>
      context.registry
        .byName<HttpFilterExtension>('http_filter', extension)!
        .prepareRoute?.(routeConfig as never, context) ?? routeConfig,
  };
  const { upstreamLog } = config.routerConfig;
  const shared: ManagerShared = {
    config,
    stats: scope.stats(ConnectionManagerStats),
    routerStats: scope.stats(RouterStats),
    tracingStats: scope.scope('tracing').stats(TracingStats),
    routeResolution: config.recordsRouteResolution ? scope.stats(RouteResolutionStats) : null,
    asyncClient: worker.asyncClient,
    listenerStats: stats
      .scope(`${context.listenerStatPrefix}http.${config.statPrefix}`)
      .stats(ListenerHttpStats),
    plan: planOf(config.filters),
    upgradePlans: new Map(
      config.upgrades.flatMap((it) => (it.filters !== undefined ? [[it.type, planOf(it.filters)]] : [])),
    ),
    routes: routesOf(config, compileServices, worker.routes, (routes) => {
      shared.routes = routes;
    }),
    clusters: worker.clusters,
    accessLogs: prepareAccessLogs(config.accessLogs, context.registry, context),
    upstreamFilters: prepareUpstreamFilters(
      config.routerConfig.upstreamFilters,
      context.registry,
      filterContext,
    ),
    upstreamLogs:
      upstreamLog.logs.length === 0
        ? null
        : {
            loggers: prepareAccessLogs(upstreamLog.logs, context.registry, context),
            poolReady: upstreamLog.poolReady,
            intervalMs: upstreamLog.intervalMs,
          },
    timers: context.timers,
    runtime: context.runtime,
    earlyMutations: earlyMutations(config, context.registry),
    ipDetections: config.ipDetections.map((it) =>
      context.registry
        .byName<OriginalIpDetectionExtension>('original_ip_detection', it.extension)!
        .prepare(it.config as never),
    ),
    clientCertMatcher:
      config.clientCertMatcher === undefined
        ? null
        : compileMatcherTree(config.clientCertMatcher, {
            runtime: context.runtime,
            input: compileStreamInput,
            cel: compileCelPredicate,
            action: (it: ClientCertData) => it,
          }),
    addsClientCert:
      config.clientCertMatcher !== undefined || config.clientCert.mode >= ForwardClientCert.AppendForward,
    pathOptions: pathOptions(config.path, context.runtime, Math.floor(Math.random() * 100)),
    addProxyStatus: config.proxyStatus === undefined ? null : addProxyStatus,
    localReplies: config.localReply && new ConfiguredLocalReply(config.localReply, context.runtime),
    bufferLimitBytes: context.bufferLimitBytes,
    streamIdleTimeoutMs: config.streamIdleTimeoutMs,
    requestTimeoutMs: config.requestTimeoutMs,
    maxStreamDurationMs: config.maxStreamDurationMs,
    isInternalAddress: cidrs === undefined ? undefined : (ip) => cidrs.contains(ip),
    localAddress: worker.localAddress,
    nodeName: worker.nodeId,
    nodeCluster: worker.nodeCluster,
    connections: new Set<ConnectionManager>(),
    newCodec: (isHttp2, isTls, owner, sink) =>
      isHttp2
        ? new H2Session(
            owner,
            undefined,
            sink,
            config.http2,
            http2Counts(http2Scope),
            context.timers,
            turnClock,
          )
        : new H1ServerCodec(owner, sink, isTls ? http1 : plainHttp1),
  };
  return shared;
}

function routesOf(
  config: ConnectionManagerConfig,
  services: CompileServices,
  discovered: WorkerRoutes,
  onRoutes: (routes: RouteTable) => void,
): RouteTable {
  if (config.rds !== undefined) return discovered.use(config.rds.key, services, onRoutes);
  return config.scopedRoutes === undefined
    ? compileRoutes(config.routeConfig ?? noRoutes, services)
    : compileScopedRoutes(config.scopedRoutes, services);
}

function earlyMutations(config: ConnectionManagerConfig, registry: Registry): HeaderMutations | null {
  const all = config.earlyMutations.flatMap(
    (it) =>
      registry
        .byName<EarlyHeaderMutationExtension>('early_header_mutation', it.extension)!
        .prepare(it.config as never) ?? [],
  );
  return all.length > 1 ? new HeaderMutationLevels(all) : (all[0] ?? null);
}

function ignoresUpgrade({ ignoredUpgrades }: ConnectionManagerConfig): Http1Options['ignoresUpgrade'] {
  if (ignoredUpgrades.length === 0) return undefined;
  const matchers = ignoredUpgrades.map(compileStringMatcher);
  return (protocol) => matchers.some((it) => it.matches(protocol));
}
