// The metrics of udp_proxy: `udp.<stat_prefix>.`, and `cluster.<name>.udp.` of each cluster it sends to.
import type { Counter, Gauge } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';

export class UdpProxyStats {
  readonly downstreamSessActive: Gauge;
  readonly downstreamSessNoRoute: Counter;
  readonly downstreamSessRxBytes: Counter;
  readonly downstreamSessRxDatagrams: Counter;
  readonly downstreamSessRxErrors: Counter;
  readonly downstreamSessTotal: Counter;
  readonly downstreamSessTxBytes: Counter;
  readonly downstreamSessTxDatagrams: Counter;
  readonly downstreamSessTxErrors: Counter;
  readonly idleTimeout: Counter;

  constructor(scope: Scope) {
    this.downstreamSessActive = scope.gauge('downstream_sess_active');
    this.downstreamSessNoRoute = scope.counter('downstream_sess_no_route');
    this.downstreamSessRxBytes = scope.counter('downstream_sess_rx_bytes');
    this.downstreamSessRxDatagrams = scope.counter('downstream_sess_rx_datagrams');
    this.downstreamSessRxErrors = scope.counter('downstream_sess_rx_errors');
    this.downstreamSessTotal = scope.counter('downstream_sess_total');
    this.downstreamSessTxBytes = scope.counter('downstream_sess_tx_bytes');
    this.downstreamSessTxDatagrams = scope.counter('downstream_sess_tx_datagrams');
    this.downstreamSessTxErrors = scope.counter('downstream_sess_tx_errors');
    this.idleTimeout = scope.counter('idle_timeout');
    scope.counter('session_filter_config_missing');
  }
}

export class UdpClusterStats {
  readonly sessRxDatagrams: Counter;
  readonly sessRxDatagramsDropped: Counter;
  readonly sessRxErrors: Counter;
  readonly sessTxDatagrams: Counter;
  readonly sessTxErrors: Counter;

  constructor(scope: Scope) {
    this.sessRxDatagrams = scope.counter('sess_rx_datagrams');
    this.sessRxDatagramsDropped = scope.counter('sess_rx_datagrams_dropped');
    this.sessRxErrors = scope.counter('sess_rx_errors');
    this.sessTxDatagrams = scope.counter('sess_tx_datagrams');
    this.sessTxErrors = scope.counter('sess_tx_errors');
    for (const name of ['sess_tunnel_buffer_overflow', 'sess_tunnel_failure', 'sess_tunnel_success']) {
      scope.counter(name);
    }
  }
}
