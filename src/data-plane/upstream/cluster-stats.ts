// The metrics of one cluster under `cluster.<stat name>.`: every name that Envoy lists for a cluster without optional parts.
import type { Counter, Gauge, Histogram } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';

export class ClusterStats {
  readonly assignmentStale: Counter;
  readonly assignmentTimeoutReceived: Counter;
  readonly assignmentUseCached: Counter;
  readonly bindErrors: Counter;
  readonly lbHealthyPanic: Counter;
  readonly lbLocalClusterNotOk: Counter;
  readonly lbRecalculateZoneStructures: Counter;
  readonly lbSubsetsActive: Gauge;
  readonly lbSubsetsCreated: Counter;
  readonly lbSubsetsFallback: Counter;
  readonly lbSubsetsFallbackPanic: Counter;
  readonly lbSubsetsRemoved: Counter;
  readonly lbSubsetsSelected: Counter;
  readonly lbZoneClusterTooSmall: Counter;
  readonly lbZoneNoCapacityLeft: Counter;
  readonly lbZoneRoutingAllDirectly: Counter;
  readonly lbZoneRoutingCrossZone: Counter;
  readonly lbZoneRoutingSampled: Counter;
  readonly maxHostWeight: Gauge;
  readonly membershipChange: Counter;
  readonly membershipDegraded: Gauge;
  readonly membershipExcluded: Gauge;
  readonly membershipHealthy: Gauge;
  readonly membershipTotal: Gauge;
  readonly originalDstHostInvalid: Counter;
  readonly retryOrShadowAbandoned: Counter;
  readonly updateAttempt: Counter;
  readonly updateEmpty: Counter;
  readonly updateFailure: Counter;
  readonly updateNoRebuild: Counter;
  readonly updateSuccess: Counter;
  readonly upstreamCxActive: Gauge;
  readonly upstreamCxCloseNotify: Counter;
  readonly upstreamCxConnectAttemptsExceeded: Counter;
  readonly upstreamCxConnectFail: Counter;
  readonly upstreamCxConnectTimeout: Counter;
  readonly upstreamCxConnectWith0Rtt: Counter;
  readonly upstreamCxDestroy: Counter;
  readonly upstreamCxDestroyLocal: Counter;
  readonly upstreamCxDestroyLocalWithActiveRq: Counter;
  readonly upstreamCxDestroyRemote: Counter;
  readonly upstreamCxDestroyRemoteWithActiveRq: Counter;
  readonly upstreamCxDestroyWithActiveRq: Counter;
  readonly upstreamCxHttp1Total: Counter;
  readonly upstreamCxHttp2Total: Counter;
  readonly upstreamCxHttp3Total: Counter;
  readonly upstreamCxIdleTimeout: Counter;
  readonly upstreamCxMaxDurationReached: Counter;
  readonly upstreamCxMaxRequests: Counter;
  readonly upstreamCxNoneHealthy: Counter;
  readonly upstreamCxOverflow: Counter;
  readonly upstreamCxPoolOverflow: Counter;
  readonly upstreamCxPreconnectSkipped: Counter;
  readonly upstreamCxProtocolError: Counter;
  readonly upstreamCxRxBytesBuffered: Gauge;
  readonly upstreamCxRxBytesTotal: Counter;
  readonly upstreamCxTotal: Counter;
  readonly upstreamCxTxBytesBuffered: Gauge;
  readonly upstreamCxTxBytesTotal: Counter;
  readonly upstreamFlowControlBackedUpTotal: Counter;
  readonly upstreamFlowControlDrainedTotal: Counter;
  readonly upstreamFlowControlPausedReadingTotal: Counter;
  readonly upstreamFlowControlResumedReadingTotal: Counter;
  readonly upstreamHttp3Broken: Counter;
  readonly upstreamInternalRedirectFailedTotal: Counter;
  readonly upstreamInternalRedirectSucceededTotal: Counter;
  readonly upstreamQueueOverloaded: Gauge;
  readonly upstreamRq0rtt: Counter;
  readonly upstreamRqActive: Gauge;
  readonly upstreamRqActiveOverflow: Counter;
  readonly upstreamRqCancelled: Counter;
  readonly upstreamRqCompleted: Counter;
  readonly upstreamRqMaintenanceMode: Counter;
  readonly upstreamRqMaxDurationReached: Counter;
  readonly upstreamRqPendingActive: Gauge;
  readonly upstreamRqPendingFailureEject: Counter;
  readonly upstreamRqPendingOverflow: Counter;
  readonly upstreamRqPendingTotal: Counter;
  readonly upstreamRqPerTryIdleTimeout: Counter;
  readonly upstreamRqPerTryTimeout: Counter;
  readonly upstreamRqRetry: Counter;
  readonly upstreamRqRetryBackoffExponential: Counter;
  readonly upstreamRqRetryBackoffRatelimited: Counter;
  readonly upstreamRqRetryLimitExceeded: Counter;
  readonly upstreamRqRetryOverflow: Counter;
  readonly upstreamRqRetrySuccess: Counter;
  readonly upstreamRqRxReset: Counter;
  readonly upstreamRqRxResetNoError: Counter;
  readonly upstreamRqTimeout: Counter;
  readonly upstreamRqTotal: Counter;
  readonly upstreamRqTxReset: Counter;
  readonly version: Gauge;
  readonly warmingState: Gauge;
  readonly upstreamCxConnectMs: Histogram;
  readonly upstreamCxLengthMs: Histogram;
  readonly upstreamRqPerCx: Histogram;

  constructor(scope: Scope) {
    this.assignmentStale = scope.counter('assignment_stale');
    this.assignmentTimeoutReceived = scope.counter('assignment_timeout_received');
    this.assignmentUseCached = scope.counter('assignment_use_cached');
    this.bindErrors = scope.counter('bind_errors');
    this.lbHealthyPanic = scope.counter('lb_healthy_panic');
    this.lbLocalClusterNotOk = scope.counter('lb_local_cluster_not_ok');
    this.lbRecalculateZoneStructures = scope.counter('lb_recalculate_zone_structures');
    this.lbSubsetsActive = scope.gauge('lb_subsets_active');
    this.lbSubsetsCreated = scope.counter('lb_subsets_created');
    this.lbSubsetsFallback = scope.counter('lb_subsets_fallback');
    this.lbSubsetsFallbackPanic = scope.counter('lb_subsets_fallback_panic');
    this.lbSubsetsRemoved = scope.counter('lb_subsets_removed');
    this.lbSubsetsSelected = scope.counter('lb_subsets_selected');
    this.lbZoneClusterTooSmall = scope.counter('lb_zone_cluster_too_small');
    this.lbZoneNoCapacityLeft = scope.counter('lb_zone_no_capacity_left');
    this.lbZoneRoutingAllDirectly = scope.counter('lb_zone_routing_all_directly');
    this.lbZoneRoutingCrossZone = scope.counter('lb_zone_routing_cross_zone');
    this.lbZoneRoutingSampled = scope.counter('lb_zone_routing_sampled');
    this.maxHostWeight = scope.gauge('max_host_weight');
    this.membershipChange = scope.counter('membership_change');
    this.membershipDegraded = scope.gauge('membership_degraded');
    this.membershipExcluded = scope.gauge('membership_excluded');
    this.membershipHealthy = scope.gauge('membership_healthy');
    this.membershipTotal = scope.gauge('membership_total');
    this.originalDstHostInvalid = scope.counter('original_dst_host_invalid');
    this.retryOrShadowAbandoned = scope.counter('retry_or_shadow_abandoned');
    this.updateAttempt = scope.counter('update_attempt');
    this.updateEmpty = scope.counter('update_empty');
    this.updateFailure = scope.counter('update_failure');
    this.updateNoRebuild = scope.counter('update_no_rebuild');
    this.updateSuccess = scope.counter('update_success');
    this.upstreamCxActive = scope.gauge('upstream_cx_active');
    this.upstreamCxCloseNotify = scope.counter('upstream_cx_close_notify');
    this.upstreamCxConnectAttemptsExceeded = scope.counter('upstream_cx_connect_attempts_exceeded');
    this.upstreamCxConnectFail = scope.counter('upstream_cx_connect_fail');
    this.upstreamCxConnectTimeout = scope.counter('upstream_cx_connect_timeout');
    this.upstreamCxConnectWith0Rtt = scope.counter('upstream_cx_connect_with_0_rtt');
    this.upstreamCxDestroy = scope.counter('upstream_cx_destroy');
    this.upstreamCxDestroyLocal = scope.counter('upstream_cx_destroy_local');
    this.upstreamCxDestroyLocalWithActiveRq = scope.counter('upstream_cx_destroy_local_with_active_rq');
    this.upstreamCxDestroyRemote = scope.counter('upstream_cx_destroy_remote');
    this.upstreamCxDestroyRemoteWithActiveRq = scope.counter('upstream_cx_destroy_remote_with_active_rq');
    this.upstreamCxDestroyWithActiveRq = scope.counter('upstream_cx_destroy_with_active_rq');
    this.upstreamCxHttp1Total = scope.counter('upstream_cx_http1_total');
    this.upstreamCxHttp2Total = scope.counter('upstream_cx_http2_total');
    this.upstreamCxHttp3Total = scope.counter('upstream_cx_http3_total');
    this.upstreamCxIdleTimeout = scope.counter('upstream_cx_idle_timeout');
    this.upstreamCxMaxDurationReached = scope.counter('upstream_cx_max_duration_reached');
    this.upstreamCxMaxRequests = scope.counter('upstream_cx_max_requests');
    this.upstreamCxNoneHealthy = scope.counter('upstream_cx_none_healthy');
    this.upstreamCxOverflow = scope.counter('upstream_cx_overflow');
    this.upstreamCxPoolOverflow = scope.counter('upstream_cx_pool_overflow');
    this.upstreamCxPreconnectSkipped = scope.counter('upstream_cx_preconnect_skipped');
    this.upstreamCxProtocolError = scope.counter('upstream_cx_protocol_error');
    this.upstreamCxRxBytesBuffered = scope.gauge('upstream_cx_rx_bytes_buffered');
    this.upstreamCxRxBytesTotal = scope.counter('upstream_cx_rx_bytes_total');
    this.upstreamCxTotal = scope.counter('upstream_cx_total');
    this.upstreamCxTxBytesBuffered = scope.gauge('upstream_cx_tx_bytes_buffered');
    this.upstreamCxTxBytesTotal = scope.counter('upstream_cx_tx_bytes_total');
    this.upstreamFlowControlBackedUpTotal = scope.counter('upstream_flow_control_backed_up_total');
    this.upstreamFlowControlDrainedTotal = scope.counter('upstream_flow_control_drained_total');
    this.upstreamFlowControlPausedReadingTotal = scope.counter('upstream_flow_control_paused_reading_total');
    this.upstreamFlowControlResumedReadingTotal = scope.counter(
      'upstream_flow_control_resumed_reading_total',
    );
    this.upstreamHttp3Broken = scope.counter('upstream_http3_broken');
    this.upstreamInternalRedirectFailedTotal = scope.counter('upstream_internal_redirect_failed_total');
    this.upstreamInternalRedirectSucceededTotal = scope.counter('upstream_internal_redirect_succeeded_total');
    this.upstreamQueueOverloaded = scope.gauge('upstream_queue_overloaded');
    this.upstreamRq0rtt = scope.counter('upstream_rq_0rtt');
    this.upstreamRqActive = scope.gauge('upstream_rq_active');
    this.upstreamRqActiveOverflow = scope.counter('upstream_rq_active_overflow');
    this.upstreamRqCancelled = scope.counter('upstream_rq_cancelled');
    this.upstreamRqCompleted = scope.counter('upstream_rq_completed');
    this.upstreamRqMaintenanceMode = scope.counter('upstream_rq_maintenance_mode');
    this.upstreamRqMaxDurationReached = scope.counter('upstream_rq_max_duration_reached');
    this.upstreamRqPendingActive = scope.gauge('upstream_rq_pending_active');
    this.upstreamRqPendingFailureEject = scope.counter('upstream_rq_pending_failure_eject');
    this.upstreamRqPendingOverflow = scope.counter('upstream_rq_pending_overflow');
    this.upstreamRqPendingTotal = scope.counter('upstream_rq_pending_total');
    this.upstreamRqPerTryIdleTimeout = scope.counter('upstream_rq_per_try_idle_timeout');
    this.upstreamRqPerTryTimeout = scope.counter('upstream_rq_per_try_timeout');
    this.upstreamRqRetry = scope.counter('upstream_rq_retry');
    this.upstreamRqRetryBackoffExponential = scope.counter('upstream_rq_retry_backoff_exponential');
    this.upstreamRqRetryBackoffRatelimited = scope.counter('upstream_rq_retry_backoff_ratelimited');
    this.upstreamRqRetryLimitExceeded = scope.counter('upstream_rq_retry_limit_exceeded');
    this.upstreamRqRetryOverflow = scope.counter('upstream_rq_retry_overflow');
    this.upstreamRqRetrySuccess = scope.counter('upstream_rq_retry_success');
    this.upstreamRqRxReset = scope.counter('upstream_rq_rx_reset');
    this.upstreamRqRxResetNoError = scope.counter('upstream_rq_rx_reset_no_error');
    this.upstreamRqTimeout = scope.counter('upstream_rq_timeout');
    this.upstreamRqTotal = scope.counter('upstream_rq_total');
    this.upstreamRqTxReset = scope.counter('upstream_rq_tx_reset');
    this.version = scope.gauge('version');
    this.warmingState = scope.gauge('warming_state');
    this.upstreamCxConnectMs = scope.histogram('upstream_cx_connect_ms', 'milliseconds');
    this.upstreamCxLengthMs = scope.histogram('upstream_cx_length_ms', 'milliseconds');
    this.upstreamRqPerCx = scope.histogram('upstream_rq_per_cx', 'unspecified');
  }
}

/** `circuit_breakers.<priority>.`: 1 while a limit is reached. */
export class CircuitBreakerStats {
  readonly cxOpen: Gauge;
  readonly cxPoolOpen: Gauge;
  readonly rqOpen: Gauge;
  readonly rqPendingOpen: Gauge;
  readonly rqRetryOpen: Gauge;

  constructor(scope: Scope) {
    // Every worker knows what all of them use: it does not add up.
    this.cxOpen = scope.gauge('cx_open', 'never_import');
    this.cxPoolOpen = scope.gauge('cx_pool_open', 'never_import');
    this.rqOpen = scope.gauge('rq_open', 'never_import');
    this.rqPendingOpen = scope.gauge('rq_pending_open', 'never_import');
    this.rqRetryOpen = scope.gauge('rq_retry_open', 'never_import');
  }
}

/** `circuit_breakers.<priority>.`, beside the others, with `track_remaining`. */
export class RemainingStats {
  readonly remainingCx: Gauge;
  readonly remainingCxPools: Gauge;
  readonly remainingPending: Gauge;
  readonly remainingRetries: Gauge;
  readonly remainingRq: Gauge;

  constructor(scope: Scope) {
    this.remainingCx = scope.gauge('remaining_cx');
    this.remainingCxPools = scope.gauge('remaining_cx_pools');
    this.remainingPending = scope.gauge('remaining_pending');
    this.remainingRetries = scope.gauge('remaining_retries');
    this.remainingRq = scope.gauge('remaining_rq');
  }
}

/** `track_cluster_stats.request_response_sizes` */
export class SizeStats {
  readonly upstreamRqHeadersSize: Histogram;
  readonly upstreamRqHeadersCount: Histogram;
  readonly upstreamRqBodySize: Histogram;
  readonly upstreamRsHeadersSize: Histogram;
  readonly upstreamRsHeadersCount: Histogram;
  readonly upstreamRsBodySize: Histogram;

  constructor(scope: Scope) {
    this.upstreamRqHeadersSize = scope.histogram('upstream_rq_headers_size', 'bytes');
    this.upstreamRqHeadersCount = scope.histogram('upstream_rq_headers_count');
    this.upstreamRqBodySize = scope.histogram('upstream_rq_body_size', 'bytes');
    this.upstreamRsHeadersSize = scope.histogram('upstream_rs_headers_size', 'bytes');
    this.upstreamRsHeadersCount = scope.histogram('upstream_rs_headers_count');
    this.upstreamRsBodySize = scope.histogram('upstream_rs_body_size', 'bytes');
  }
}

/** `track_cluster_stats.timeout_budgets` */
export class TimeoutBudgetStats {
  readonly upstreamRqTimeoutBudgetPercentUsed: Histogram;
  readonly upstreamRqTimeoutBudgetPerTryPercentUsed: Histogram;

  constructor(scope: Scope) {
    this.upstreamRqTimeoutBudgetPercentUsed = scope.histogram('upstream_rq_timeout_budget_percent_used');
    this.upstreamRqTimeoutBudgetPerTryPercentUsed = scope.histogram(
      'upstream_rq_timeout_budget_per_try_percent_used',
    );
  }
}
