// Every extension that is built in, beside those that are part of the data plane itself (`data-plane/core-extensions.ts`).
import type { Extension } from '#extension/registry.ts';
import { fileAccessLogger } from './access-loggers/file/index.ts';
import { httpGrpcAccessLogger } from './access-loggers/http-grpc/index.ts';
import { stderrAccessLogger, stdoutAccessLogger } from './access-loggers/stream/index.ts';
import { tcpGrpcAccessLogger } from './access-loggers/tcp-grpc/index.ts';
import { earlyHeaderMutation } from './early-header-mutations/header-mutation/index.ts';
import { basicAuth } from './http-filters/basic-auth/index.ts';
import { buffer } from './http-filters/buffer/index.ts';
import { cors } from './http-filters/cors/index.ts';
import { csrf } from './http-filters/csrf/index.ts';
import { extAuthz } from './http-filters/ext-authz/index.ts';
import { fault } from './http-filters/fault/index.ts';
import { headerMutation } from './http-filters/header-mutation/index.ts';
import { healthCheck } from './http-filters/health-check/index.ts';
import { localRateLimit } from './http-filters/local-ratelimit/index.ts';
import { rateLimit } from './http-filters/ratelimit/index.ts';
import { rbac } from './http-filters/rbac/index.ts';
import { httpSetFilterState } from './http-filters/set-filter-state/index.ts';
import {
  allowListedRoutes,
  filterStateRedirect,
  previousRoutes,
  safeCrossScheme,
} from './internal-redirects/predicates/index.ts';
import { httpInspector } from './listener-filters/http-inspector/index.ts';
import { listenerLocalRateLimit } from './listener-filters/local-ratelimit/index.ts';
import { originalDst } from './listener-filters/original-dst/index.ts';
import { proxyProtocol } from './listener-filters/proxy-protocol/index.ts';
import { listenerSetFilterState } from './listener-filters/set-filter-state/index.ts';
import { tlsInspector } from './listener-filters/tls-inspector/index.ts';
import { leastRequest } from './load-balancers/least-request/index.ts';
import { maglev } from './load-balancers/maglev/index.ts';
import { random } from './load-balancers/random/index.ts';
import { ringHash } from './load-balancers/ring-hash/index.ts';
import { roundRobin } from './load-balancers/round-robin/index.ts';
import { connectionLimit } from './network-filters/connection-limit/index.ts';
import { networkDirectResponse } from './network-filters/direct-response/index.ts';
import { echo } from './network-filters/echo/index.ts';
import { networkExtAuthz } from './network-filters/ext-authz/index.ts';
import { networkLocalRateLimit } from './network-filters/local-ratelimit/index.ts';
import { networkRateLimit } from './network-filters/ratelimit/index.ts';
import { networkRbac } from './network-filters/rbac/index.ts';
import { networkSetFilterState } from './network-filters/set-filter-state/index.ts';
import { sniCluster } from './network-filters/sni-cluster/index.ts';
import { customHeaderDetection } from './original-ip-detection/custom-header/index.ts';
import { xffDetection } from './original-ip-detection/xff/index.ts';
import { uuidRequestId } from './request-ids/uuid/index.ts';
import { omitCanaryHosts, omitHostMetadata, previousHosts } from './retry/host-predicates/index.ts';
import { previousPriorities } from './retry/priorities/index.ts';
import { downstreamRawBuffer, upstreamRawBuffer } from './transport-sockets/raw-buffer/index.ts';
import { downstreamStartTls, upstreamStartTls } from './transport-sockets/starttls/index.ts';
import { downstreamTap, upstreamTap } from './transport-sockets/tap/index.ts';
import { downstreamTls, upstreamTls } from './transport-sockets/tls/index.ts';
import { upstreamProxyProtocol } from './transport-sockets/upstream-proxy-protocol/index.ts';

export const extensions: readonly Extension[] = [
  downstreamRawBuffer,
  upstreamRawBuffer,
  downstreamTls,
  upstreamTls,
  upstreamProxyProtocol,
  downstreamTap,
  upstreamTap,
  downstreamStartTls,
  upstreamStartTls,
  fileAccessLogger,
  stdoutAccessLogger,
  stderrAccessLogger,
  httpGrpcAccessLogger,
  tcpGrpcAccessLogger,
  roundRobin,
  leastRequest,
  ringHash,
  maglev,
  random,
  earlyHeaderMutation,
  xffDetection,
  customHeaderDetection,
  uuidRequestId,
  previousHosts,
  previousPriorities,
  omitCanaryHosts,
  omitHostMetadata,
  previousRoutes,
  allowListedRoutes,
  safeCrossScheme,
  filterStateRedirect,
  basicAuth,
  buffer,
  cors,
  csrf,
  extAuthz,
  fault,
  headerMutation,
  healthCheck,
  localRateLimit,
  rateLimit,
  rbac,
  httpSetFilterState,
  httpInspector,
  tlsInspector,
  originalDst,
  proxyProtocol,
  listenerLocalRateLimit,
  listenerSetFilterState,
  connectionLimit,
  networkLocalRateLimit,
  networkSetFilterState,
  networkRbac,
  networkExtAuthz,
  networkRateLimit,
  echo,
  networkDirectResponse,
  sniCluster,
];
