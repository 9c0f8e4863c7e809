// Answers health checks of this proxy itself, or passes them on and remembers the answer for a while.
import type { Clock } from '#base/clock.ts';
import { FilterStatus, type HttpFilter, type HttpStream } from '#extension/http-filter.ts';
import { allHeadersMatch, type HeaderMatcher } from '#extension/matchers/header-matcher.ts';
import { ResponseFlag } from '#extension/response-flag.ts';
import type { Lifecycle } from '#extension/worker-services.ts';
import type { HeaderMap } from '#http/header-map.ts';
import type { Counter } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';
import type { HealthCheckConfig } from './config.ts';

/** The last answer of the upstream, for all requests of a worker. */
export class HealthCheckCache {
  status = 0;
  isDegraded = false;
  /** As Envoy's timer: every period begins without an answer, whenever the last one came. */
  #period = -1;
  readonly #cacheMs: number;
  readonly #startMs: number;
  readonly #clock: Clock;

  constructor(cacheMs: number, clock: Clock) {
    this.#cacheMs = cacheMs;
    this.#clock = clock;
    this.#startMs = clock.monotonicMs();
  }

  get isFresh(): boolean {
    return this.#period === this.#now;
  }

  get #now(): number {
    return Math.floor((this.#clock.monotonicMs() - this.#startMs) / this.#cacheMs);
  }

  keep(status: number, isDegraded: boolean): void {
    this.status = status;
    this.isDegraded = isDegraded;
    this.#period = this.#now;
  }
}

/** `http.<stat_prefix>.health_check.`, of the requests that are answered here. */
export class HealthCheckStats {
  readonly requestTotal: Counter;
  readonly failed: Counter;
  readonly ok: Counter;
  readonly cachedResponse: Counter;
  readonly failedClusterNotFound: Counter;
  readonly failedClusterEmpty: Counter;
  readonly failedClusterUnhealthy: Counter;
  readonly degraded: Counter;

  constructor(scope: Scope) {
    this.requestTotal = scope.counter('request_total');
    this.failed = scope.counter('failed');
    this.ok = scope.counter('ok');
    this.cachedResponse = scope.counter('cached_response');
    this.failedClusterNotFound = scope.counter('failed_cluster_not_found');
    this.failedClusterEmpty = scope.counter('failed_cluster_empty');
    this.failedClusterUnhealthy = scope.counter('failed_cluster_unhealthy');
    this.degraded = scope.counter('degraded');
  }
}

/** What all requests of one configured filter share. */
export interface HealthCheckShared {
  readonly config: HealthCheckConfig;
  readonly headers: readonly HeaderMatcher[];
  /** Only when passing through with a cache time. */
  readonly cache: HealthCheckCache | undefined;
  readonly lifecycle: Lifecycle;
  readonly localCluster: string;
  readonly stats: HealthCheckStats;
}

export class HealthCheckFilter implements HttpFilter {
  readonly #shared: HealthCheckShared;
  #isHealthCheck = false;
  /** This filter answers, when the request has ended. */
  #answers = false;

  constructor(shared: HealthCheckShared) {
    this.#shared = shared;
  }

  decodeHeaders(stream: HttpStream, headers: HeaderMap, endStream: boolean): FilterStatus {
    const { config, cache } = this.#shared;
    if (!allHeadersMatch(this.#shared.headers, headers)) return FilterStatus.Continue;
    this.#isHealthCheck = true;
    stream.info.isHealthCheck = true;
    if (config.passThrough) {
      // While the proxy fails its own checks, no upstream makes it healthy.
      this.#answers = this.#shared.lifecycle.isHealthCheckFailed || (cache?.isFresh ?? false);
    } else this.#answers = true;
    if (!this.#answers) return FilterStatus.Continue;
    if (endStream) this.#answer(stream);
    return FilterStatus.StopIteration;
  }

  decodeData(stream: HttpStream, _data: Buffer, endStream: boolean): FilterStatus {
    if (!this.#answers) return FilterStatus.Continue;
    if (endStream) this.#answer(stream);
    return FilterStatus.StopNoBuffer;
  }

  decodeTrailers(stream: HttpStream): FilterStatus {
    if (!this.#answers) return FilterStatus.Continue;
    this.#answer(stream);
    return FilterStatus.StopIteration;
  }

  encodeHeaders(_stream: HttpStream, headers: HeaderMap): FilterStatus {
    const { cache, lifecycle, localCluster } = this.#shared;
    if (this.#isHealthCheck) {
      cache?.keep(headers.status, headers.has('x-envoy-degraded'));
      headers.set('x-envoy-upstream-healthchecked-cluster', localCluster);
    }
    // Peers that check passively learn it from every response.
    if (lifecycle.isHealthCheckFailed) headers.set('x-envoy-immediate-health-check-fail', 'true');
    return FilterStatus.Continue;
  }

  #answer(stream: HttpStream): void {
    const { config, cache, lifecycle, stats } = this.#shared;
    let status = 200;
    let details = 'health_check_ok';
    let isDegraded = false;
    if (lifecycle.isHealthCheckFailed) {
      stream.info.flags |= 1 << ResponseFlag.FailedLocalHealthCheck;
      status = 503;
      details = 'health_check_failed';
    } else {
      if (cache !== undefined) {
        status = cache.status;
        isDegraded = cache.isDegraded;
        details = 'health_check_cached';
        stats.cachedResponse.value++;
      } else if (config.minHealthyPercent.length > 0) {
        details = this.#clusterDetails();
        if (details !== clusterHealthy) status = 503;
      }
      if (isDegraded) stats.degraded.value++;
      if (status < 200 || status > 299) stream.info.flags |= 1 << ResponseFlag.FailedLocalHealthCheck;
    }
    stats.requestTotal.value++;
    if (status < 200 || status > 299) stats.failed.value++;
    else stats.ok.value++;
    stream.sendLocalReply(status, '', details, -1, (answer) => {
      if (isDegraded) answer.set('x-envoy-degraded', '');
    });
  }

  /** `health_check_ok_cluster_healthy`, or what is wrong with the first cluster that is not. */
  #clusterDetails(): string {
    const { config, lifecycle, stats } = this.#shared;
    for (const { cluster, percent } of config.minHealthyPercent) {
      const members = lifecycle.membership(cluster);
      if (members === undefined) {
        stats.failedClusterNotFound.value++;
        return 'health_check_failed_no_cluster_found';
      }
      if (members.total === 0) {
        if (percent === 0) continue;
        stats.failedClusterEmpty.value++;
        return 'health_check_failed_cluster_empty';
      }
      if (100 * members.usable < members.total * percent) {
        stats.failedClusterUnhealthy.value++;
        return 'health_check_failed_cluster_unhealthy';
      }
    }
    return clusterHealthy;
  }
}

const clusterHealthy = 'health_check_ok_cluster_healthy';
