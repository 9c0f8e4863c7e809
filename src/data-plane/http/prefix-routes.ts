// Routes by prefix for any host: as much as the first proxied request needs. The compiled route table takes its place and this file
// goes; whatever is not a prefix and a cluster is refused until then.
import type { ParseContext } from '#config/parse-context.ts';
import { onlyFields } from '#extension/message-fields.ts';
import type { HeaderMap } from '#http/header-map.ts';
import type { RouteConfiguration } from '#schema/messages/envoy/config/route/v3.ts';
import {
  RequireTls,
  RouteActionKind,
  type RouteEntry,
  type RouteTable,
  type VirtualHost,
} from './route-entry.ts';

export interface PrefixRoutesData {
  readonly name: string;
  readonly routes: readonly { readonly prefix: string; readonly cluster: string }[];
}

export function parsePrefixRoutes(message: RouteConfiguration, at: ParseContext): PrefixRoutesData {
  onlyFields(message, at, ['name', 'virtual_hosts']);
  const routes: { prefix: string; cluster: string }[] = [];
  message.virtual_hosts.forEach((host, i) => {
    const here = at.field('virtual_hosts', i);
    onlyFields(host, here, ['name', 'domains', 'routes']);
    if (host.domains.length !== 1 || host.domains[0] !== '*') here.field('domains').unsupported();
    host.routes.forEach((route, k) => {
      const there = here.field('routes', k);
      onlyFields(route, there, ['match', 'route']);
      onlyFields(route.match ?? {}, there.field('match'), ['prefix']);
      onlyFields(route.route ?? {}, there.field('route'), ['cluster']);
      routes.push({ prefix: route.match?.prefix ?? '', cluster: route.route?.cluster ?? '' });
    });
  });
  return { name: message.name, routes };
}

export function compilePrefixRoutes(data: PrefixRoutesData): RouteTable {
  const virtualHost: VirtualHost = {
    name: '*',
    routeConfigName: data.name,
    requireTls: RequireTls.None,
    metadata: undefined,
    includeRequestAttemptCount: false,
    includeAttemptCountInResponse: false,
    includeIsTimeoutRetryHeader: false,
    virtualClusters: [],
    rateLimits: [],
  };
  const entries = data.routes.map(({ prefix, cluster }) => ({
    prefix,
    entry: entryOf(virtualHost, cluster),
  }));
  return {
    name: data.name,
    virtualHosts: [virtualHost],
    route(headers: HeaderMap) {
      for (let i = 0; i < entries.length; i++)
        if (headers.path.startsWith(entries[i]!.prefix)) return entries[i]!.entry;
      return undefined;
    },
    virtualHost: () => virtualHost,
    clusterNames: [...new Set(data.routes.map((it) => it.cluster))],
    internalOnlyHeaders: [],
  };
}

function entryOf(virtualHost: VirtualHost, clusterName: string): RouteEntry {
  return {
    action: RouteActionKind.Forward,
    name: '',
    virtualHost,
    metadata: undefined,
    perFilterConfigs: null,
    statPrefix: '',
    requestHeaderMutations: null,
    responseHeaderMutations: null,
    requestBodyBufferLimit: -1,
    decorator: null,
    tracing: null,
    clusterName,
    clusterHeader: '',
    clusterNotFoundStatus: 503,
    metadataMatch: undefined,
    priority: 'default',
    timeoutMs: 15_000,
    idleTimeoutMs: -1,
    flushTimeoutMs: -1,
    maxStreamDurationMs: -1,
    grpcTimeoutHeaderMaxMs: -1,
    grpcTimeoutHeaderOffsetMs: 0,
    maxGrpcTimeoutMs: -1,
    grpcTimeoutOffsetMs: 0,
    retryPolicy: null,
    hedgePolicy: null,
    mirrorPolicies: [],
    hashPolicies: [],
    internalRedirectPolicy: null,
    upgrades: null,
    rateLimits: [],
    includeVirtualHostRateLimits: true,
    appendXForwardedHost: false,
    autoHostRewrite: false,
    rewrite: null,
    redirect: null,
    responseStatus: 0,
    directBody: undefined,
    directBodyFormat: null,
    directContentType: '',
  };
}
