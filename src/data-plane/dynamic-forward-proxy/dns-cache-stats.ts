// What is counted of a cache, `dns_cache.<name>.`: by the main thread, which asks, and by workers, whose requests wait.
import type { Counter, Gauge } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';

export class DnsCacheStats {
  readonly addressFilterOut: Counter;
  readonly queryAttempt: Counter;
  readonly queryFailure: Counter;
  readonly querySuccess: Counter;
  readonly queryTimeout: Counter;
  readonly hostAdded: Counter;
  readonly hostAddressChanged: Counter;
  readonly hostRemoved: Counter;
  readonly numHosts: Gauge;

  constructor(scope: Scope) {
    this.addressFilterOut = scope.counter('dns_address_filter_out');
    this.queryAttempt = scope.counter('dns_query_attempt');
    this.queryFailure = scope.counter('dns_query_failure');
    this.querySuccess = scope.counter('dns_query_success');
    this.queryTimeout = scope.counter('dns_query_timeout');
    this.hostAdded = scope.counter('host_added');
    this.hostAddressChanged = scope.counter('host_address_changed');
    this.hostRemoved = scope.counter('host_removed');
    this.numHosts = scope.gauge('num_hosts');
    // There is no `key_value_config` to load from.
    scope.counter('cache_load');
  }
}

export class WorkerDnsCacheStats {
  readonly pendingOverflow: Counter;
  readonly hostOverflow: Counter;
  readonly pendingOpen: Gauge;
  readonly pendingRemaining: Gauge;

  constructor(scope: Scope) {
    this.pendingOverflow = scope.counter('dns_rq_pending_overflow');
    this.hostOverflow = scope.counter('host_overflow');
    // Of all workers: every one knows.
    const breaker = scope.scope('circuit_breakers');
    this.pendingOpen = breaker.gauge('rq_pending_open', 'never_import');
    this.pendingRemaining = breaker.gauge('rq_pending_remaining', 'never_import');
  }
}
