// What the main thread counts of itself: `server.`, `listener_manager.`, `cluster_manager.`.
import type { Counter, Gauge, Histogram } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';

/** The gauges here are of one process: two threads or processes that have them do not add up. */
export class ServerStats {
  readonly concurrency: Gauge;
  readonly daysUntilFirstCertExpiring: Gauge;
  readonly hotRestartEpoch: Gauge;
  readonly live: Gauge;
  readonly memoryAllocated: Gauge;
  readonly memoryHeapSize: Gauge;
  readonly memoryPhysicalSize: Gauge;
  readonly state: Gauge;
  readonly totalConnections: Gauge;
  readonly uptime: Gauge;
  /** `stats_server_version_override` */
  readonly version: Gauge;
  readonly wipProtos: Counter;
  readonly initializationTimeMs: Histogram;

  constructor(scope: Scope) {
    const gauge = (name: string) => scope.gauge(name, 'never_import');
    this.concurrency = gauge('concurrency');
    this.daysUntilFirstCertExpiring = gauge('days_until_first_cert_expiring');
    this.hotRestartEpoch = gauge('hot_restart_epoch');
    this.live = gauge('live');
    this.memoryAllocated = gauge('memory_allocated');
    this.memoryHeapSize = gauge('memory_heap_size');
    this.memoryPhysicalSize = gauge('memory_physical_size');
    this.state = gauge('state');
    this.totalConnections = gauge('total_connections');
    this.uptime = gauge('uptime');
    this.version = gauge('version');
    this.initializationTimeMs = scope.histogram('initialization_time_ms', 'milliseconds');
    // What cannot happen here, or not yet, is zero.
    for (const name of [
      'debug_assertion_failures',
      'dropped_stat_flushes',
      'envoy_bug_failures',
      'envoy_notifications',
    ])
      scope.counter(name);
    this.wipProtos = scope.counter('wip_protos');
    for (const it of ['dynamic_unknown_fields', 'static_unknown_fields'].map((name) => scope.counter(name)))
      scope.store.markUsed(it);
    scope.store.markUsed(this.wipProtos);
    for (const it of ['compilation_settings.fips_mode', 'parent_connections', 'stats_recent_lookups'].map(
      gauge,
    ))
      it.value = 0;
    this.totalConnections.value = 0;
    gauge('seconds_until_first_ocsp_response_expiring');
  }
}

/** The values of `server.state`. */
export const serverStates = ['LIVE', 'DRAINING', 'PRE_INITIALIZING', 'INITIALIZING'] as const;
export type ServerState = (typeof serverStates)[number];

export class ListenerManagerStats {
  readonly listenerAdded: Counter;
  readonly listenerCreateSuccess: Counter;
  readonly listenerCreateFailure: Counter;
  readonly listenerInPlaceUpdated: Counter;
  readonly listenerModified: Counter;
  readonly listenerRemoved: Counter;
  readonly listenerStopped: Counter;
  readonly totalFilterChainsDraining: Gauge;
  readonly totalListenersActive: Gauge;
  readonly totalListenersDraining: Gauge;
  readonly totalListenersWarming: Gauge;
  readonly workersStarted: Gauge;

  constructor(scope: Scope) {
    this.listenerAdded = scope.counter('listener_added');
    this.listenerCreateSuccess = scope.counter('listener_create_success');
    this.listenerCreateFailure = scope.counter('listener_create_failure');
    this.listenerInPlaceUpdated = scope.counter('listener_in_place_updated');
    this.listenerModified = scope.counter('listener_modified');
    this.listenerRemoved = scope.counter('listener_removed');
    this.listenerStopped = scope.counter('listener_stopped');
    this.totalFilterChainsDraining = scope.gauge('total_filter_chains_draining', 'never_import');
    this.totalListenersActive = scope.gauge('total_listeners_active', 'never_import');
    this.totalListenersDraining = scope.gauge('total_listeners_draining', 'never_import');
    this.workersStarted = scope.gauge('workers_started', 'never_import');
    this.totalListenersWarming = scope.gauge('total_listeners_warming', 'never_import');
    this.totalListenersWarming.value = 0;
    scope.gauge('workers_pinned', 'never_import');
  }
}

export class ClusterManagerStats {
  readonly activeClusters: Gauge;
  readonly clusterAdded: Counter;
  readonly clusterModified: Counter;
  readonly clusterRemoved: Counter;
  readonly clusterUpdated: Counter;
  readonly clusterUpdatedViaMerge: Counter;
  readonly updateMergeCancelled: Counter;
  readonly updateOutOfMergeWindow: Counter;
  readonly warmingClusters: Gauge;

  constructor(scope: Scope) {
    this.activeClusters = scope.gauge('active_clusters', 'never_import');
    this.clusterAdded = scope.counter('cluster_added');
    this.clusterModified = scope.counter('cluster_modified');
    this.clusterRemoved = scope.counter('cluster_removed');
    this.clusterUpdated = scope.counter('cluster_updated');
    this.warmingClusters = scope.gauge('warming_clusters', 'never_import');
    this.clusterUpdatedViaMerge = scope.counter('cluster_updated_via_merge');
    this.updateMergeCancelled = scope.counter('update_merge_cancelled');
    this.updateOutOfMergeWindow = scope.counter('update_out_of_merge_window');
  }
}

/** What the main thread knows of a cluster's members; workers count the rest under the same prefix. */
export class MembershipStats {
  readonly change: Counter;
  readonly total: Gauge;
  readonly healthy: Gauge;
  readonly degraded: Gauge;
  readonly excluded: Gauge;
  /** Only where hosts are discovered, as Envoy has it. */
  readonly maxHostWeight: Gauge;

  constructor(scope: Scope) {
    this.change = scope.counter('membership_change');
    this.total = scope.gauge('membership_total', 'never_import');
    this.healthy = scope.gauge('membership_healthy', 'never_import');
    this.degraded = scope.gauge('membership_degraded', 'never_import');
    this.excluded = scope.gauge('membership_excluded', 'never_import');
    this.maxHostWeight = scope.gauge('max_host_weight');
    scope.gauge('warming_state', 'never_import').value = 0;
  }
}
