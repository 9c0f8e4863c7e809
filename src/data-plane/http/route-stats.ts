// What is counted beside the cluster: requests of a virtual cluster, and of a route with a `stat_prefix`.
import type { HeaderMap } from '#http/header-map.ts';
import type { Counter } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';
import { CodeStats } from '../upstream/code-stats.ts';
import type { RouteEntry, VirtualCluster } from './route-entry.ts';

/** `vhost.<virtual host>.vcluster.<name>.` or `vhost.<virtual host>.route.<stat_prefix>.` */
export class RouteStats {
  readonly rqRetry: Counter;
  readonly rqRetryLimitExceeded: Counter;
  readonly rqRetryOverflow: Counter;
  readonly rqRetrySuccess: Counter;
  readonly rqTimeout: Counter;
  readonly rqTotal: Counter;
  readonly codes: CodeStats;

  constructor(scope: Scope) {
    this.rqRetry = scope.counter('upstream_rq_retry');
    this.rqRetryLimitExceeded = scope.counter('upstream_rq_retry_limit_exceeded');
    this.rqRetryOverflow = scope.counter('upstream_rq_retry_overflow');
    this.rqRetrySuccess = scope.counter('upstream_rq_retry_success');
    this.rqTimeout = scope.counter('upstream_rq_timeout');
    this.rqTotal = scope.counter('upstream_rq_total');
    this.codes = new CodeStats(scope);
  }
}

/** The virtual cluster that counts the request: the first whose headers all match, else the one for the rest. */
export function virtualClusterOf({ virtualHost }: RouteEntry, headers: HeaderMap): VirtualCluster | null {
  const { virtualClusters } = virtualHost;
  for (let i = 0; i < virtualClusters.length; i++) {
    const it = virtualClusters[i]!;
    let k = 0;
    while (k < it.headers.length && it.headers[k]!.matches(headers)) k++;
    if (k === it.headers.length) return it;
  }
  return virtualHost.otherCluster;
}
