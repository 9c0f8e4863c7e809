// Plain cluster -> the cluster of a worker, and its hosts as they come and go.

import { turnClock } from '#base/clock.ts';
import type { Takings } from '#base/takings.ts';
import { compileHashPolicies } from '#extension/hash-policy-config.ts';
import type { LoadBalancer, LoadBalancerExtension, Locality } from '#extension/load-balancer.ts';
import { H1ClientCodec } from '#http/h1-client-codec.ts';
import type { Http1Options } from '#http/h1-options.ts';
import { H2Session } from '#http/h2-session.ts';
import type { H2CodecStats } from '#http/h2-stats.ts';
import type { Scope } from '#stats/store.ts';
import { http1Counts, http2Counts } from '../http/codec-stats.ts';
import { compileMirrorPolicy, compileRetryPolicy } from '../http/route-compile.ts';
import { prepareUpstreamFilters } from '../http/upstream-filters.ts';
import type { WorkerContext } from '../worker-context.ts';
import { alpnOfHttp1, alpnOfHttp2, Cluster, type Dialer } from './cluster.ts';
import {
  type ClusterConfig,
  keyedHosts,
  type LocalityConfig,
  makesItsHosts,
  type TrackedStats,
} from './cluster-config.ts';
import { CircuitBreakerStats, ClusterStats, SizeStats, TimeoutBudgetStats } from './cluster-stats.ts';
import { ClusterTracking } from './cluster-tracking.ts';
import type { ClusterUsage } from './cluster-usage.ts';
import { ClusterCodeStats } from './code-stats.ts';
import { DynamicForwardProxy } from './dynamic-forward-proxy.ts';
import { HashBalancer } from './hash-balancer.ts';
import { UpstreamHost } from './host.ts';
import { hostSets } from './host-sets.ts';
import { LiveThresholds } from './live-thresholds.ts';
import { transportOf } from './matched-transport.ts';
import { openConnection, prepareTransport } from './open-connection.ts';
import { OriginalDst } from './original-dst.ts';
import { OverrideHost } from './override-host.ts';
import { PrioritySet } from './priority-set.ts';
import { SubsetBalancer } from './subset-balancer.ts';

export function prepareCluster(
  config: ClusterConfig,
  usage: readonly [ClusterUsage, ClusterUsage],
  worker: WorkerContext,
  takings: Takings,
): Cluster {
  const root = worker.store.root;
  const scope = root.scope(`cluster.${config.statName}`);
  const { services } = worker;
  const transport = prepareTransport(config, worker.registry, services);
  const stats = scope.stats(ClusterStats);
  const lb = balancerOf(config, worker, transportOf(transport, undefined).isTls, stats);
  let http1: Http1Options | undefined;
  let http2: H2CodecStats | undefined;
  const http1Options = () =>
    (http1 ??= {
      ...config.http.http1,
      ignoresUpgrade: undefined,
      counts: takings.collect(() => http1Counts(scope.scope('http1'))),
    });
  const http2Stats = () => (http2 ??= takings.collect(() => http2Counts(scope.scope('http2'))));
  const dialer: Dialer = {
    open(_cluster, host, owner, alpn, options) {
      // What a protocol counts is listed from the first attempt on.
      if (alpn === alpnOfHttp1) http1Options();
      else if (alpn === alpnOfHttp2) http2Stats();
      return openConnection(config, transport, host, host, owner, alpn, options);
    },
    http1(sink, owner) {
      return new H1ClientCodec(owner, sink, http1Options());
    },
    http2(sink, owner) {
      return new H2Session(undefined, owner, sink, config.http.http2, http2Stats(), worker.timers, turnClock);
    },
    countUnusedHttp2() {
      http2Stats().nghttp2_upstream_connections.value++;
    },
    reportImmediateFail: (key) => worker.reportImmediateFail(config.name, key),
  };
  const cluster = new Cluster(
    config,
    stats,
    new ClusterCodeStats(scope, takings, services.node.locality?.zone ?? ''),
    [
      scope.scope('circuit_breakers.default').stats(CircuitBreakerStats),
      scope.scope('circuit_breakers.high').stats(CircuitBreakerStats),
    ],
    [new LiveThresholds(config, 0, services.runtime), new LiveThresholds(config, 1, services.runtime)],
    usage,
    transport,
    lb,
    worker.timers,
    trackingOf(config.tracked, scope),
    dialer,
  );
  const { filters, policies } = config.http;
  cluster.upstreamFilters = prepareUpstreamFilters(filters, worker.registry, (name) => ({
    ...services,
    name,
    statPrefix: `cluster.${config.statName}.`,
    registry: worker.registry,
  }));
  if (policies !== undefined) {
    const { retryPolicy, mirrorPolicies, hashPolicies } = policies;
    if (retryPolicy !== undefined) cluster.retryPolicy = compileRetryPolicy(retryPolicy, worker.registry);
    cluster.mirrorPolicies = mirrorPolicies.map(compileMirrorPolicy);
    cluster.hashPolicies = compileHashPolicies(hashPolicies);
  }
  if (lb instanceof OriginalDst || lb instanceof DynamicForwardProxy) lb.cluster = cluster;
  return cluster;
}

function trackingOf({ sizes, timeoutBudgets }: TrackedStats, scope: Scope): ClusterTracking | undefined {
  if (!sizes && !timeoutBudgets) return undefined;
  return new ClusterTracking(
    sizes ? scope.stats(SizeStats) : undefined,
    timeoutBudgets ? scope.stats(TimeoutBudgetStats) : undefined,
  );
}

function balancerOf(
  config: ClusterConfig,
  worker: WorkerContext,
  isTls: boolean,
  stats: ClusterStats,
): LoadBalancer {
  if (config.originalDst !== undefined)
    return new OriginalDst(config, config.originalDst, worker.timers, (hosts) =>
      worker.reportHosts(config.name, hosts),
    );
  if (config.dnsCache !== undefined)
    return new DynamicForwardProxy(worker.dnsCaches.get(config.dnsCache)!, isTls);
  const { services } = worker;
  const policy = worker.registry
    .byName<LoadBalancerExtension>('load_balancer', config.lbPolicy.extension)!
    .prepare(config.lbPolicy.config as never, services, {
      get activeRequests() {
        return stats.upstreamRqActive.value;
      },
    });
  const create = () =>
    'tableOf' in policy
      ? new HashBalancer(policy, config, stats, services.runtime)
      : new PrioritySet(policy, config, stats, services.runtime);
  if (config.subset !== undefined) return new SubsetBalancer(config.subset, create, stats);
  return config.override === undefined ? create() : new OverrideHost(config.override, create());
}

/** Replaces the members. Hosts that stay keep their pools and counters. A cluster that makes its hosts itself keeps them. */
export function updateHosts(cluster: Cluster, localities: readonly LocalityConfig[]): void {
  if (makesItsHosts(cluster.config)) return;
  const before = cluster.hosts;
  const hosts = new Map<string, UpstreamHost>();
  const ownOf = new Map<LocalityConfig, UpstreamHost[]>(localities.map((it) => [it, []]));
  for (const [key, config, it] of keyedHosts(cluster.config, localities)) {
    const { region, zone, subZone } = it;
    const locality = region === '' && zone === '' && subZone === '' ? undefined : { region, zone, subZone };
    const fresh = new UpstreamHost(config, locality, it.priority);
    const same = before.get(key);
    // In another locality it is another host.
    const known = same !== undefined && isSamePlace(same.locality, locality) ? same : undefined;
    const host = known ?? fresh;
    if (known !== undefined) {
      known.weight = config.weight;
      known.health = fresh.health;
      known.isExcluded = fresh.isExcluded;
      known.priority = it.priority;
      known.metadata = config.metadata;
      known.proxyTlvs = config.proxyTlvs;
    }
    hosts.set(key, host);
    ownOf.get(it)!.push(host);
  }
  cluster.hosts = hosts;
  const own = [...ownOf].map(([config, hosts]) => ({ config, hosts }));
  cluster.lb.update(hostSets(own, cluster.config.overprovisioningFactor, (it) => it.isExcluded));
  const hasChanged = hosts.size !== before.size || [...hosts].some(([key, host]) => before.get(key) !== host);
  if (hasChanged && cluster.config.drainsOnChange) for (const host of hosts.values()) host.drain();
  for (const [key, host] of before) if (hosts.get(key) !== host) cluster.removeHost(host);
}

function isSamePlace(a: Locality | undefined, b: Locality | undefined): boolean {
  return a?.region === b?.region && a?.zone === b?.zone && a?.subZone === b?.subZone;
}
