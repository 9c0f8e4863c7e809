// What TCP proxying and its filters make of their values when they are configured.

import type { TlvEntry } from '#schema/messages/envoy/config/core/v3.ts';
import type { TokenBucket } from '#schema/messages/envoy/type/v3.ts';
import type { ParseContext } from '../parse-context.ts';
import { milliseconds, type Rule, rule } from './rule.ts';

/** Who makes objects of filter state from text. */
const filterStateFactories: ReadonlySet<string> = new Set([
  'envoy.string',
  'envoy.hashable_string',
  'envoy.bool',
  'envoy.tcp_proxy.cluster',
  'envoy.tcp_proxy.disable_tunneling',
  'envoy.tcp_proxy.per_connection_idle_timeout_ms',
  'envoy.network.upstream_server_name',
  'envoy.network.application_protocols',
  'envoy.network.upstream_subject_alt_names',
  'envoy.network.ip',
  'envoy.network.network_namespace',
  'envoy.network.transport_socket.original_dst_address',
  'envoy.network.transport_socket.http_11_proxy.info',
  'envoy.filters.listener.original_dst.local_ip',
  'envoy.filters.listener.original_dst.remote_ip',
  'envoy.upstream.dynamic_host',
  'envoy.upstream.dynamic_port',
  'envoy.ratelimit.hits_addend',
  'envoy.ai.llm_protocol.request',
  'envoy.ai.model.request',
]);

export const tcpRules: readonly Rule[] = [
  rule('envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy', (proxy, at) => {
    const { backoff_options: backoff, access_log_options: logging, tunneling_config: tunnel } = proxy;
    if (proxy.upstream_connect_mode !== 'IMMEDIATE' && proxy.max_early_data_bytes === undefined)
      refuse(
        at.field('upstream_connect_mode'),
        'max_early_data_bytes must be set when upstream_connect_mode is not IMMEDIATE',
      );
    if (logging !== undefined)
      for (const field of ['flush_access_log_on_connected', 'access_log_flush_interval'] as const)
        if (proxy[field] !== undefined && proxy[field] !== false)
          refuse(at.field(field), `Only one of ${field} or access_log_options can be specified.`);
    if (
      backoff?.base_interval !== undefined &&
      backoff.max_interval !== undefined &&
      milliseconds(backoff.max_interval) < milliseconds(backoff.base_interval)
    )
      refuse(
        at.field('backoff_options').field('max_interval'),
        'max_backoff_interval must be greater or equal to base_backoff_interval',
      );
    if (tunnel !== undefined && tunnel.post_path !== '' && !tunnel.use_post)
      refuse(
        at.field('tunneling_config').field('post_path'),
        "Can't set a post path when POST method isn't used",
      );
    proxy.proxy_protocol_tlvs.forEach((tlv, i) => {
      checkTlv(tlv, at.field('proxy_protocol_tlvs', i));
    });
  }),
  rule(
    'envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport',
    (socket, at) => {
      socket.config?.added_tlvs.forEach((tlv, i) => {
        checkTlv(tlv, at.field('config').field('added_tlvs', i));
      });
    },
  ),
  rule('envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit', (limit, at) => {
    if (limit.max_connections === undefined)
      refuse(at, `Field 'max_connections' is missing in: stat_prefix: "${limit.stat_prefix}"`);
  }),
  rule('envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit', checkFillInterval),
  rule('envoy.extensions.filters.listener.local_ratelimit.v3.LocalRateLimit', checkFillInterval),
  rule('envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol', (filter, at) => {
    if (filter.disallowed_versions.includes('V1') && filter.disallowed_versions.includes('V2'))
      refuse(
        at.field('disallowed_versions'),
        'Proxy Protocol filter is misconfigured: all proxy protocol versions are disallowed.',
      );
  }),
  rule('envoy.config.rbac.v3.Permission', ({ destination_port_range: range }, at) => {
    if (range === undefined) return;
    for (const side of ['start', 'end'] as const)
      if (range[side] > 65_536)
        return refuse(
          at.field('destination_port_range').field(side),
          `range ${side} ${range[side]} is out of bounds`,
        );
    if (range.start < range.end) return;
    refuse(
      at.field('destination_port_range'),
      `range start ${range.start} cannot be greater or equal than range end ${range.end}`,
    );
  }),
  ...(['Permission', 'Principal'] as const).map((type) =>
    rule(`envoy.config.rbac.v3.${type}`, ({ header }, at, _scope, around) => {
      if (
        header === undefined ||
        around.inside('envoy.extensions.filters.network.rbac.v3.RBAC') === undefined
      )
        return;
      refuse(
        at.field('header'),
        `Found header(name: "${header.name}") rule,not supported by RBAC network filter`,
      );
    }),
  ),
  rule('envoy.extensions.filters.common.set_filter_state.v3.FilterStateValue', (value, at) => {
    const key = value.object_key ?? '';
    const factory = value.factory_key === '' ? key : value.factory_key;
    if (!filterStateFactories.has(factory))
      refuse(
        at.field(value.factory_key === '' ? 'object_key' : 'factory_key'),
        `'${key}' does not have an object factory`,
      );
  }),
];

function checkTlv(tlv: TlvEntry, at: ParseContext): void {
  const hasFormat = tlv.format_string !== undefined;
  if (tlv.value.length > 0 !== hasFormat) return;
  refuse(
    at,
    hasFormat
      ? "Invalid TLV configuration: only one of 'value' or 'format_string' may be set."
      : "Invalid TLV configuration: one of 'value' or 'format_string' must be set.",
  );
}

function checkFillInterval(message: { readonly token_bucket?: TokenBucket }, at: ParseContext): void {
  const interval = message.token_bucket?.fill_interval;
  if (interval !== undefined && milliseconds(interval) < 50)
    refuse(
      at.field('token_bucket').field('fill_interval'),
      'local rate limit token bucket fill timer must be >= 50ms',
    );
}

function refuse(at: ParseContext, problem: string): void {
  at.fail(problem, { rule: 'invalid-config', envoy: problem });
}
