// Options of the codecs, from `http_protocol_options` and its sisters: plain data that a worker completes with its counters.
import type { ParseContext } from '#config/parse-context.ts';
import { onlyFields } from '#extension/message-fields.ts';
import {
  defaultHttp1Options,
  HeaderKeyFormat,
  type Http1Options,
  UnderscoreAction,
} from '#http/h1-options.ts';
import type { Http1ProtocolOptions, HttpProtocolOptions } from '#schema/messages/envoy/config/core/v3.ts';

export type Http1OptionsData = Omit<Http1Options, 'counts' | 'ignoresUpgrade'>;

export function parseHttp1Options(
  message: Http1ProtocolOptions | undefined,
  common: HttpProtocolOptions | undefined,
  maxHeadersBytes: number,
  at: ParseContext,
): Http1OptionsData {
  const { counts: _counts, ignoresUpgrade: _ignores, ...defaults } = defaultHttp1Options;
  const underscores = common?.headers_with_underscores_action;
  if (message !== undefined)
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
    ]);
  const format = message?.header_key_format;
  if (format?.stateful_formatter !== undefined) {
    const formatter = format.stateful_formatter;
    if (formatter.name !== 'preserve_case')
      at.field('header_key_format').field('stateful_formatter').unsupported();
  }
  const preserve = format?.stateful_formatter?.typed_config as
    | { forward_reason_phrase?: boolean; formatter_type_on_envoy_headers?: string }
    | undefined;
  return {
    ...defaults,
    maxHeadersBytes,
    maxHeadersCount: common?.max_headers_count ?? 100,
    underscores:
      underscores === 'REJECT_REQUEST'
        ? UnderscoreAction.RejectRequest
        : underscores === 'DROP_HEADER'
          ? UnderscoreAction.DropHeader
          : UnderscoreAction.Allow,
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
