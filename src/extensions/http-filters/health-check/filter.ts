// Answers health checks of this proxy itself, or passes them on and remembers the answer for a while.
import type { Clock } from '#base/clock.ts';
import { FilterStatus, type HttpFilter, type HttpStream } from '#extension/http-filter.ts';
import { allHeadersMatch, type HeaderMatcher } from '#extension/matchers/header-matcher.ts';
import { ResponseFlag } from '#extension/response-flag.ts';
import type { Lifecycle } from '#extension/worker-services.ts';
import type { HeaderMap } from '#http/header-map.ts';
import type { HealthCheckConfig } from './config.ts';

/** The last answer of the upstream, for all requests of a worker. */
export class HealthCheckCache {
  status = 0;
  isDegraded = false;
  #untilMs = 0;
  readonly #cacheMs: number;
  readonly #clock: Clock;

  constructor(cacheMs: number, clock: Clock) {
    this.#cacheMs = cacheMs;
    this.#clock = clock;
  }

  get isFresh(): boolean {
    return this.#clock.monotonicMs() < this.#untilMs;
  }

  keep(status: number, isDegraded: boolean): void {
    this.status = status;
    this.isDegraded = isDegraded;
    this.#untilMs = this.#clock.monotonicMs() + this.#cacheMs;
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
      if (!this.#answers) cache?.keep(headers.status, headers.has('x-envoy-degraded'));
      headers.set('x-envoy-upstream-healthchecked-cluster', localCluster);
    } else if (lifecycle.isHealthCheckFailed) {
      // Peers that check passively learn it from every response.
      headers.set('x-envoy-immediate-health-check-fail', 'true');
    }
    return FilterStatus.Continue;
  }

  #answer(stream: HttpStream): void {
    const { config, cache, lifecycle } = this.#shared;
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
      } else if (config.minHealthyPercent.length > 0) {
        details = this.#clusterDetails();
        if (details !== clusterHealthy) status = 503;
      }
      if (status < 200 || status > 299) stream.info.flags |= 1 << ResponseFlag.FailedLocalHealthCheck;
    }
    stream.sendLocalReply(status, '', details, -1, (answer) => {
      if (isDegraded) answer.set('x-envoy-degraded', '');
    });
  }
  /** `health_check_ok_cluster_healthy`, or what is wrong with the first cluster that is not. */
  #clusterDetails(): string {
    const { config, lifecycle } = this.#shared;
    for (const { cluster, percent } of config.minHealthyPercent) {
      const members = lifecycle.membership(cluster);
      if (members === undefined) return 'health_check_failed_no_cluster_found';
      if (members.total === 0) {
        if (percent > 0) return 'health_check_failed_cluster_empty';
      } else if (100 * members.usable < members.total * percent)
        return 'health_check_failed_cluster_unhealthy';
    }
    return clusterHealthy;
  }
}

const clusterHealthy = 'health_check_ok_cluster_healthy';
