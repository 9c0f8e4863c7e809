// `cluster.<name>.health_check.`, with `name.<name of the check>.` behind it where a check has a name.
import type { Counter, Gauge } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';

export class HealthCheckStats {
  readonly attempt: Counter;
  readonly failure: Counter;
  readonly networkFailure: Counter;
  readonly passiveFailure: Counter;
  readonly success: Counter;
  readonly verifyCluster: Counter;
  readonly degraded: Gauge;
  readonly healthy: Gauge;

  constructor(scope: Scope) {
    this.attempt = scope.counter('attempt');
    this.failure = scope.counter('failure');
    this.networkFailure = scope.counter('network_failure');
    this.passiveFailure = scope.counter('passive_failure');
    this.success = scope.counter('success');
    this.verifyCluster = scope.counter('verify_cluster');
    this.degraded = scope.gauge('degraded');
    this.healthy = scope.gauge('healthy');
  }
}

/** Of a cluster with several checks: what they say together. */
export class CombinedCheckStats {
  readonly degraded: Gauge;
  readonly healthy: Gauge;

  constructor(scope: Scope) {
    this.degraded = scope.gauge('degraded');
    this.healthy = scope.gauge('healthy');
  }
}
