// What an HTTP/2 codec counts: Envoy's `http2.*`, under its names. The owner passes counters and gauges; the codec only
// adds to their values.

export interface Tally {
  value: number;
}

export const h2CounterNames = [
  'cookies_total_bytes_too_large',
  'dropped_headers_with_underscores',
  'goaway_sent',
  'header_list_size_too_large',
  'header_overflow',
  'headers_cb_no_stream',
  'inbound_empty_frames_flood',
  'inbound_priority_frames_flood',
  'inbound_window_update_frames_flood',
  'keepalive_timeout',
  'metadata_empty_frames',
  'nghttp2_downstream_connections',
  'nghttp2_upstream_connections',
  'oghttp2_downstream_connections',
  'oghttp2_upstream_connections',
  'outbound_control_flood',
  'outbound_flood',
  'requests_rejected_with_underscores_in_headers',
  'rx_messaging_error',
  'rx_reset',
  'stream_refused_errors',
  'trailers',
  'tx_flush_timeout',
  'tx_reset',
] as const;

export const h2GaugeNames = [
  'deferred_stream_close',
  'outbound_control_frames_active',
  'outbound_frames_active',
  'pending_send_bytes',
  'streams_active',
] as const;

export type H2CodecStats = {
  readonly [name in (typeof h2CounterNames)[number] | (typeof h2GaugeNames)[number]]: Tally;
};
