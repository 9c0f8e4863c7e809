// Options of the codecs, from `http_protocol_options` and its sisters: plain data that a worker completes with its counters.
import type { ParseContext } from '#config/parse-context.ts';
import { durationMs, onlyFields } from '#extension/message-fields.ts';
import {
  defaultHttp1Options,
  HeaderKeyFormat,
  type Http1Options,
  UnderscoreAction,
} from '#http/h1-options.ts';
import { defaultH2Options, type H2KeepaliveOptions, type H2Options } from '#http/h2-options.ts';
import type {
  Http1ProtocolOptions,
  Http2ProtocolOptions,
  HttpProtocolOptions,
  KeepaliveSettings,
} from '#schema/messages/envoy/config/core/v3.ts';

export type Http1OptionsData = Omit<Http1Options, 'counts' | 'ignoresUpgrade'>;

const ofServers = ['ignore_http_11_upgrade', 'override_stream_error_on_invalid_http_message'] as const;

export function parseHttp1Options(
  message: Http1ProtocolOptions | undefined,
  common: HttpProtocolOptions | undefined,
  maxHeadersBytes: number,
  at: ParseContext,
  side: 'server' | 'client' = 'server',
): Http1OptionsData {
  const { counts: _counts, ignoresUpgrade: _ignores, ...defaults } = defaultHttp1Options;
  if (message !== undefined) {
    onlyFields(message, at, [
      'allow_absolute_url',
      'accept_http_10',
      'default_host_for_http_10',
      'header_key_format',
      'enable_trailers',
      'allow_chunked_length',
      'allow_custom_methods',
      'send_fully_qualified_url',
      'use_balsa_parser',
      ...ofServers,
    ]);
    for (const name of ofServers)
      if (side === 'client' && Object.hasOwn(message, name))
        at.field(name).warn('has no effect, in Envoy neither');
  }
  const format = message?.header_key_format;
  const preserve = format?.stateful_formatter?.typed_config as
    | { '@type'?: string; forward_reason_phrase?: boolean; formatter_type_on_envoy_headers?: string }
    | undefined;
  if (format?.stateful_formatter !== undefined && preserve?.['@type']?.endsWith(preserveCase) !== true)
    at.field('header_key_format').field('stateful_formatter').unsupported();
  return {
    ...defaults,
    maxHeadersBytes,
    maxHeadersCount: common?.max_headers_count ?? 100,
    // Of responses every name is taken.
    underscores: side === 'server' ? underscoreAction(common) : UnderscoreAction.Allow,
    allowAbsoluteUrl: message?.allow_absolute_url ?? true,
    acceptHttp10: message?.accept_http_10 ?? false,
    defaultHostForHttp10: message?.default_host_for_http_10 ?? '',
    headerKeyFormat:
      format === undefined
        ? HeaderKeyFormat.Default
        : format.stateful_formatter === undefined
          ? HeaderKeyFormat.ProperCase
          : HeaderKeyFormat.PreserveCase,
    forwardReasonPhrase: preserve?.forward_reason_phrase ?? false,
    properCaseOnOwnHeaders: preserve?.formatter_type_on_envoy_headers === 'PROPER_CASE',
    enableTrailers: message?.enable_trailers ?? false,
    allowChunkedLength: message?.allow_chunked_length ?? false,
    allowCustomMethods: message?.allow_custom_methods ?? false,
    sendFullyQualifiedUrl: message?.send_fully_qualified_url ?? false,
  };
}

/** The only formatter that there is, whatever its name. */
const preserveCase = '/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig';

/** `streamError`: the connection manager's `stream_error_on_invalid_http_message`, for when the codec's own is not set. */
export function parseHttp2Options(
  message: Http2ProtocolOptions | undefined,
  common: HttpProtocolOptions | undefined,
  maxHeadersBytes: number,
  streamError: boolean | undefined,
  at: ParseContext,
): H2Options {
  const defaults = defaultH2Options;
  if (message !== undefined) {
    onlyFields(message, at, [
      'hpack_table_size',
      'max_concurrent_streams',
      'initial_stream_window_size',
      'initial_connection_window_size',
      'allow_connect',
      'max_outbound_frames',
      'max_outbound_control_frames',
      'max_consecutive_inbound_frames_with_empty_payload',
      'max_inbound_priority_frames_per_stream',
      'max_inbound_window_update_frames_per_data_frame_sent',
      'stream_error_on_invalid_http_messaging',
      'override_stream_error_on_invalid_http_message',
      'custom_settings_parameters',
      'connection_keepalive',
      'enable_huffman_encoding',
      'stream_reset_burst',
      'stream_reset_rate',
      'disallow_obs_text',
      'max_header_field_size_kb',
    ]);
  }
  return {
    maxHeaderBytes: maxHeadersBytes,
    maxHeaderCount: common?.max_headers_count ?? defaults.maxHeaderCount,
    underscoreAction: underscoreAction(common),
    allowConnect: message?.allow_connect ?? false,
    allowObsText: !(message?.disallow_obs_text ?? false),
    maxFieldBytes:
      message?.max_header_field_size_kb === undefined
        ? defaults.maxFieldBytes
        : message.max_header_field_size_kb * 1024,
    hpackTableSize: message?.hpack_table_size ?? defaults.hpackTableSize,
    huffman: message?.enable_huffman_encoding ?? true,
    maxConcurrentStreams: message?.max_concurrent_streams ?? defaults.maxConcurrentStreams,
    initialStreamWindowSize: message?.initial_stream_window_size ?? defaults.initialStreamWindowSize,
    initialConnectionWindowSize:
      message?.initial_connection_window_size ?? defaults.initialConnectionWindowSize,
    customSettings: (message?.custom_settings_parameters ?? []).map((it) => ({
      id: it.identifier ?? 0,
      value: it.value ?? 0,
    })),
    maxOutboundFrames: message?.max_outbound_frames ?? defaults.maxOutboundFrames,
    maxOutboundControlFrames: message?.max_outbound_control_frames ?? defaults.maxOutboundControlFrames,
    maxConsecutiveInboundFramesWithEmptyPayload:
      message?.max_consecutive_inbound_frames_with_empty_payload ??
      defaults.maxConsecutiveInboundFramesWithEmptyPayload,
    maxInboundPriorityFramesPerStream:
      message?.max_inbound_priority_frames_per_stream ?? defaults.maxInboundPriorityFramesPerStream,
    maxInboundWindowUpdateFramesPerDataFrameSent:
      message?.max_inbound_window_update_frames_per_data_frame_sent ??
      defaults.maxInboundWindowUpdateFramesPerDataFrameSent,
    streamResetBurst: Number(message?.stream_reset_burst ?? defaults.streamResetBurst),
    streamResetRate: Number(message?.stream_reset_rate ?? defaults.streamResetRate),
    streamErrorOnInvalidMessage:
      message?.override_stream_error_on_invalid_http_message ??
      streamError ??
      message?.stream_error_on_invalid_http_messaging ??
      false,
    keepalive:
      message?.connection_keepalive === undefined ? undefined : keepaliveOf(message.connection_keepalive),
  };
}

function underscoreAction(common: HttpProtocolOptions | undefined): UnderscoreAction {
  switch (common?.headers_with_underscores_action) {
    case 'REJECT_REQUEST':
      return UnderscoreAction.RejectRequest;
    case 'DROP_HEADER':
      return UnderscoreAction.DropHeader;
    default:
      return UnderscoreAction.Allow;
  }
}

function keepaliveOf(message: KeepaliveSettings): H2KeepaliveOptions {
  return {
    intervalMs: durationMs(message.interval, 0),
    timeoutMs: durationMs(message.timeout, 0),
    jitterPercent: message.interval_jitter?.value ?? 15,
    connectionIdleIntervalMs: durationMs(message.connection_idle_interval, 0),
  };
}
