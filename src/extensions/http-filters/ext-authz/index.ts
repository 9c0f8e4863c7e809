import { ClusterCounters } from '#extension/cluster-counters.ts';
import { HeaderRules } from '#extension/header-mutation-rules.ts';
import { defineHttpFilter } from '#extension/http-filter.ts';
import { compileMetadataMatcher, compileStringMatcher } from '#extension/matchers/compile.ts';
import type { WorkerServices } from '#extension/worker-services.ts';
import { labelsOf } from '../../ext-authz/check-request.ts';
import {
  type ExtAuthzConfig,
  type ExtAuthzRouteConfig,
  parseExtAuthz,
  parseExtAuthzPerRoute,
  type ServiceData,
} from './config.ts';
import { ExtAuthzFilter, type ExtAuthzShared, ExtAuthzStats } from './filter.ts';
import { GrpcChecker } from './grpc-checker.ts';
import { HttpChecker } from './http-checker.ts';
import type { Checker } from './verdict.ts';

export const extAuthz = defineHttpFilter({
  kind: 'http_filter',
  name: 'envoy.filters.http.ext_authz',
  type: 'envoy.extensions.filters.http.ext_authz.v3.ExtAuthz',
  routeType: 'envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute',
  parse: parseExtAuthz,
  parseRoute: parseExtAuthzPerRoute,
  prepare(config: ExtAuthzConfig, context) {
    const prefix = config.statPrefix === '' ? 'ext_authz' : `ext_authz.${config.statPrefix}`;
    const shared: ExtAuthzShared = {
      name: context.name,
      config,
      checker: checkerOf(config.service!, context),
      stats: context.stats.scope(`${context.statPrefix}${prefix}`).stats(ExtAuthzStats),
      clusters: new ClusterCounters(context.stats),
      clusterStatPrefix: `${prefix}.`,
      runtime: context.runtime,
      requestHeaderRules: config.requestHeaderRules && new HeaderRules(config.requestHeaderRules),
      enabledMetadata: config.enabledMetadata && compileMetadataMatcher(config.enabledMetadata),
      labels: labelsOf(context.node.metadata ?? {}, config.labelsKey),
      allowed: config.allowedHeaders?.map(compileStringMatcher),
      disallowed: config.disallowedHeaders.map(compileStringMatcher),
    };
    return () => new ExtAuthzFilter(shared);
  },
  prepareRoute: (config: ExtAuthzRouteConfig, services) => ({
    config,
    checker: config.service && checkerOf(config.service, services),
  }),
});

function checkerOf(service: ServiceData, services: WorkerServices): Checker {
  return service.kind === 'grpc'
    ? new GrpcChecker(service.grpc, services)
    : new HttpChecker(service.http, services);
}
