// The metrics of one listener, under `listener.<address>.`.
import type { Counter, Gauge, Histogram } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';

export class ListenerStats {
  readonly downstreamCxActive: Gauge;
  readonly downstreamCxDestroy: Counter;
  readonly downstreamCxOverflow: Counter;
  readonly downstreamCxOverloadReject: Counter;
  readonly downstreamCxTotal: Counter;
  readonly downstreamCxTransportSocketConnectTimeout: Counter;
  readonly downstreamGlobalCxOverflow: Counter;
  readonly downstreamListenerFilterError: Counter;
  readonly downstreamListenerFilterRemoteClose: Counter;
  readonly downstreamPreCxActive: Gauge;
  readonly downstreamPreCxTimeout: Counter;
  readonly extensionConfigMissing: Counter;
  readonly networkExtensionConfigMissing: Counter;
  readonly noFilterChainMatch: Counter;
  readonly connectionsAcceptedPerSocketEvent: Histogram;
  readonly downstreamCxLengthMs: Histogram;

  constructor(scope: Scope) {
    this.downstreamCxActive = scope.gauge('downstream_cx_active');
    this.downstreamCxDestroy = scope.counter('downstream_cx_destroy');
    this.downstreamCxOverflow = scope.counter('downstream_cx_overflow');
    this.downstreamCxOverloadReject = scope.counter('downstream_cx_overload_reject');
    this.downstreamCxTotal = scope.counter('downstream_cx_total');
    this.downstreamCxTransportSocketConnectTimeout = scope.counter(
      'downstream_cx_transport_socket_connect_timeout',
    );
    this.downstreamGlobalCxOverflow = scope.counter('downstream_global_cx_overflow');
    this.downstreamListenerFilterError = scope.counter('downstream_listener_filter_error');
    this.downstreamListenerFilterRemoteClose = scope.counter('downstream_listener_filter_remote_close');
    this.downstreamPreCxActive = scope.gauge('downstream_pre_cx_active');
    this.downstreamPreCxTimeout = scope.counter('downstream_pre_cx_timeout');
    this.extensionConfigMissing = scope.counter('extension_config_missing');
    this.networkExtensionConfigMissing = scope.counter('network_extension_config_missing');
    this.noFilterChainMatch = scope.counter('no_filter_chain_match');
    this.connectionsAcceptedPerSocketEvent = scope.histogram(
      'connections_accepted_per_socket_event',
      'unspecified',
    );
    this.downstreamCxLengthMs = scope.histogram('downstream_cx_length_ms', 'milliseconds');
  }
}

/** `listener.<address>.worker_<n>.` */
export class ListenerWorkerStats {
  readonly downstreamCxActive: Gauge;
  readonly downstreamCxTotal: Counter;

  constructor(scope: Scope) {
    this.downstreamCxActive = scope.gauge('downstream_cx_active');
    this.downstreamCxTotal = scope.counter('downstream_cx_total');
  }
}
