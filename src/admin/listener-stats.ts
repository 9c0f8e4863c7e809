// The statistics of the admin listener, under the names of any listener and connection manager with the prefix `admin`.
import type { Counter, Gauge, Histogram } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';

/** `http.admin.` What an operator's listener does not do is listed as zero, as in Envoy. */
export class AdminHttpStats {
  readonly cxActive: Gauge;
  readonly cxDestroy: Counter;
  readonly cxDestroyLocal: Counter;
  readonly cxDestroyRemote: Counter;
  readonly cxHttp1Active: Gauge;
  readonly cxHttp1Total: Counter;
  readonly cxProtocolError: Counter;
  readonly cxRxBytesBuffered: Gauge;
  readonly cxRxBytesTotal: Counter;
  readonly cxTotal: Counter;
  readonly cxTxBytesTotal: Counter;
  readonly rqActive: Gauge;
  readonly rqCompleted: Counter;
  readonly rqHttp1Total: Counter;
  readonly rqTotal: Counter;
  /** By the first digit of the status. */
  readonly rqByClass: readonly Counter[];
  readonly cxLengthMs: Histogram;
  readonly rqTime: Histogram;

  constructor(scope: Scope) {
    this.cxActive = scope.gauge('downstream_cx_active');
    this.cxDestroy = scope.counter('downstream_cx_destroy');
    this.cxDestroyLocal = scope.counter('downstream_cx_destroy_local');
    this.cxDestroyRemote = scope.counter('downstream_cx_destroy_remote');
    this.cxHttp1Active = scope.gauge('downstream_cx_http1_active');
    this.cxHttp1Total = scope.counter('downstream_cx_http1_total');
    this.cxProtocolError = scope.counter('downstream_cx_protocol_error');
    this.cxRxBytesBuffered = scope.gauge('downstream_cx_rx_bytes_buffered');
    this.cxRxBytesTotal = scope.counter('downstream_cx_rx_bytes_total');
    this.cxTotal = scope.counter('downstream_cx_total');
    this.cxTxBytesTotal = scope.counter('downstream_cx_tx_bytes_total');
    this.rqActive = scope.gauge('downstream_rq_active');
    this.rqCompleted = scope.counter('downstream_rq_completed');
    this.rqHttp1Total = scope.counter('downstream_rq_http1_total');
    this.rqTotal = scope.counter('downstream_rq_total');
    this.rqByClass = ['1xx', '2xx', '3xx', '4xx', '5xx'].map((it) => scope.counter(`downstream_rq_${it}`));
    this.cxLengthMs = scope.histogram('downstream_cx_length_ms', 'milliseconds');
    this.rqTime = scope.histogram('downstream_rq_time', 'milliseconds');
    const cx = `delayed_close_timeout destroy_active_rq destroy_local_active_rq destroy_remote_active_rq drain_close
      http2_total http3_total idle_timeout max_duration_reached max_requests_reached
      overload_disable_keepalive ssl_total upgrades_total`;
    const rq = `failed_path_normalization header_timeout http2_total http3_total idle_timeout max_duration_reached
      non_relative_path overload_close redirected_with_normalized_path rejected_via_ip_detection
      response_before_rq_complete rx_reset timeout too_large too_many_premature_resets tx_reset ws_on_non_ws_route`;
    for (const name of cx.split(/\s+/)) scope.counter(`downstream_cx_${name}`);
    for (const name of rq.split(/\s+/)) scope.counter(`downstream_rq_${name}`);
    for (const name of [
      'http1_soft_drain',
      'http2_active',
      'http3_active',
      'ssl_active',
      'tx_bytes_buffered',
      'upgrades_active',
    ]) {
      scope.gauge(`downstream_cx_${name}`);
    }
    scope.counter('downstream_flow_control_paused_reading_total');
    scope.counter('downstream_flow_control_resumed_reading_total');
    scope.counter('rs_too_large');
  }
}

/** `listener.admin.` */
export class AdminListenerStats {
  readonly cxActive: Gauge;
  readonly cxDestroy: Counter;
  readonly cxTotal: Counter;
  readonly preCxActive: Gauge;
  readonly mainThreadCxActive: Gauge;
  readonly mainThreadCxTotal: Counter;
  readonly rqCompleted: Counter;
  readonly rqByClass: readonly Counter[];
  readonly cxLengthMs: Histogram;
  readonly connectionsAcceptedPerSocketEvent: Histogram;

  constructor(scope: Scope) {
    this.cxActive = scope.gauge('downstream_cx_active');
    this.cxDestroy = scope.counter('downstream_cx_destroy');
    this.cxTotal = scope.counter('downstream_cx_total');
    this.preCxActive = scope.gauge('downstream_pre_cx_active');
    this.mainThreadCxActive = scope.gauge('main_thread.downstream_cx_active');
    this.mainThreadCxTotal = scope.counter('main_thread.downstream_cx_total');
    this.rqCompleted = scope.counter('http.admin.downstream_rq_completed');
    this.rqByClass = ['1xx', '2xx', '3xx', '4xx', '5xx'].map((it) =>
      scope.counter(`http.admin.downstream_rq_${it}`),
    );
    this.cxLengthMs = scope.histogram('downstream_cx_length_ms', 'milliseconds');
    this.connectionsAcceptedPerSocketEvent = scope.histogram('connections_accepted_per_socket_event');
    const counters = `downstream_cx_overflow downstream_cx_overload_reject
      downstream_cx_transport_socket_connect_timeout downstream_global_cx_overflow downstream_listener_filter_error
      downstream_listener_filter_remote_close downstream_pre_cx_timeout no_filter_chain_match`;
    for (const name of counters.split(/\s+/)) scope.counter(name);
  }
}
