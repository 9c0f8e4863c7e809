// What is counted of a subscription, under the prefix of its owner: `listener_manager.lds.`, `cluster.<name>.`.
import type { Counter, Gauge, TextReadout } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';

export class SubscriptionStats {
  readonly updateAttempt: Counter;
  readonly updateFailure: Counter;
  readonly updateRejected: Counter;
  readonly updateSuccess: Counter;
  readonly updateTime: Gauge;
  readonly version: Gauge;
  readonly versionText: TextReadout;

  constructor(scope: Scope) {
    this.updateAttempt = scope.counter('update_attempt');
    this.updateFailure = scope.counter('update_failure');
    this.updateRejected = scope.counter('update_rejected');
    this.updateSuccess = scope.counter('update_success');
    this.updateTime = scope.gauge('update_time', 'never_import');
    this.version = scope.gauge('version', 'never_import');
    this.versionText = scope.textReadout('version_text');
    scope.counter('init_fetch_timeout');
    scope.histogram('update_duration', 'milliseconds');
  }
}
