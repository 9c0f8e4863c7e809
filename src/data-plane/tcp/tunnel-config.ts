// `tunneling_config` of tcp_proxy: from the message to plain data, and from there to what sessions use.
import type { ParseContext } from '#config/parse-context.ts';
import { checkFormat, parseFormatters } from '#extension/format-config.ts';
import type { Formatter } from '#extension/formatter.ts';
import {
  compileLevel,
  type HeaderMutationData,
  parseHeaderValueOption,
} from '#extension/header-mutation-config.ts';
import type { HeaderMutations } from '#extension/header-mutations.ts';
import { onlyFields } from '#extension/message-fields.ts';
import { typeOf } from '#extension/registry.ts';
import { compileFormat } from '#extension/substitution/compile.ts';
import type { TcpProxy_TunnelingConfig } from '#schema/messages/envoy/extensions/filters/network/tcp_proxy/v3.ts';

export interface TunnelConfig {
  /** A format string. */
  readonly hostname: string;
  /** Of the `formatters`, for it. */
  readonly commands: readonly string[];
  /** Of a POST; empty: CONNECT. */
  readonly postPath: string;
  readonly headersToAdd: readonly HeaderMutationData[];
  readonly keepsHeaders: boolean;
  readonly keepsTrailers: boolean;
  /** Each tunnel gets an id, under these names; undefined: none does. */
  readonly requestId: { readonly header: string; readonly metadataKey: string } | undefined;
}

export interface Tunnel {
  readonly config: TunnelConfig;
  readonly hostname: Formatter;
  readonly headersToAdd: HeaderMutations | null;
}

export function parseTunnel(message: TcpProxy_TunnelingConfig, at: ParseContext): TunnelConfig {
  onlyFields(message, at, [
    'hostname',
    'use_post',
    'headers_to_add',
    'propagate_response_headers',
    'post_path',
    'propagate_response_trailers',
    'request_id_extension',
    'request_id_header',
    'request_id_metadata_key',
    'formatters',
  ]);
  const commands = parseFormatters(message.formatters, at.field('formatters'));
  checkFormat(message.hostname, at.field('hostname'), commands);
  return {
    hostname: message.hostname,
    commands,
    postPath: message.use_post ? message.post_path || '/' : '',
    headersToAdd: message.headers_to_add.map((option, i) => {
      const here = at.field('headers_to_add', i);
      const name = option.header?.key ?? '';
      if (name.startsWith(':') || name.toLowerCase() === 'host') {
        const problem = ':-prefixed or host headers may not be modified';
        here.field('header').field('key').fail(problem, { got: name, envoy: problem });
      }
      return parseHeaderValueOption(option, here);
    }),
    keepsHeaders: message.propagate_response_headers,
    keepsTrailers: message.propagate_response_trailers,
    requestId: parseRequestId(message, at),
  };
}

function parseRequestId(message: TcpProxy_TunnelingConfig, at: ParseContext): TunnelConfig['requestId'] {
  const config = message.request_id_extension?.typed_config;
  if (config === undefined) return undefined;
  const type = typeOf(config);
  if (type !== 'envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig')
    at.field('request_id_extension').field('typed_config').unsupported();
  return {
    header: message.request_id_header.toLowerCase() || 'x-request-id',
    metadataKey: message.request_id_metadata_key || 'tunnel_request_id',
  };
}

export function compileTunnel(config: TunnelConfig): Tunnel {
  return {
    config,
    hostname: compileFormat(config.hostname, { extensions: config.commands }),
    headersToAdd: compileLevel(config.headersToAdd),
  };
}
