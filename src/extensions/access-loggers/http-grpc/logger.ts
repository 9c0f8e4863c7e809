// An entry for each request, as a message of envoy.data.accesslog.v3.
import { utf8OfLatin1 } from '#base/utf8.ts';
import type { AccessLogger } from '#extension/access-logger.ts';
import type { CustomTags } from '#extension/custom-tags.ts';
import type { FormatContext } from '#extension/formatter.ts';
import { headerField, joinedValue } from '#http/header-field.ts';
import type { HeaderMap } from '#http/header-map.ts';
import { headerBytes } from '#http/header-size.ts';
import { encodeMessage } from '#schema/binary.ts';
import type {
  HTTPAccessLogEntry_HTTPVersion,
  HTTPAccessLogEntryInit,
  HTTPRequestPropertiesInit,
  HTTPResponsePropertiesInit,
} from '#schema/messages/envoy/data/accesslog/v3.ts';
import { enumType, message } from '#schema/registry.ts';
import { commonProperties } from '../../grpc-access-log/common-properties.ts';
import type { LogStream } from '../../grpc-access-log/log-stream.ts';

/** Names in lower case. */
export interface LoggedHeaders {
  readonly request: readonly string[];
  readonly response: readonly string[];
  readonly trailers: readonly string[];
}

export class HttpGrpcLogger implements AccessLogger {
  readonly #stream: LogStream;
  readonly #tags: CustomTags;
  readonly #headers: LoggedHeaders;
  readonly #type = message('envoy.data.accesslog.v3.HTTPAccessLogEntry');
  readonly #methods = enumType('envoy.config.core.v3.RequestMethod')!;

  constructor(stream: LogStream, tags: CustomTags, headers: LoggedHeaders) {
    this.#stream = stream;
    this.#tags = tags;
    this.#headers = headers;
  }

  log(context: FormatContext): void {
    const entry: HTTPAccessLogEntryInit = {
      common_properties: commonProperties(context, this.#tags),
      protocol_version: protocols[context.info.protocol] ?? 'PROTOCOL_UNSPECIFIED',
      request: this.#request(context),
      response: this.#response(context),
    };
    this.#stream.write(encodeMessage(this.#type, entry));
  }

  #request({ info, requestHeaders: headers }: FormatContext): HTTPRequestPropertiesInit {
    const method = headers?.method ?? '';
    return {
      request_method: this.#methods.numberOf(method) === undefined ? 'METHOD_UNSPECIFIED' : (method as 'GET'),
      scheme: utf8OfLatin1(headers?.scheme ?? ''),
      authority: utf8OfLatin1(headers?.authority ?? ''),
      path: utf8OfLatin1(headers?.path ?? ''),
      user_agent: text(headers, 'user-agent'),
      referer: text(headers, 'referer'),
      forwarded_for: text(headers, 'x-forwarded-for'),
      request_id: text(headers, 'x-request-id'),
      original_path: text(headers, 'x-envoy-original-path'),
      request_headers_bytes: headerBytes(headers),
      request_body_bytes: info.bytesReceived,
      request_headers: named(headers, this.#headers.request),
      upstream_header_bytes_sent: info.upstream.bytes.headerBytesSent,
      downstream_header_bytes_received: info.bytes.headerBytesReceived,
    };
  }

  #response({ info, responseHeaders, responseTrailers }: FormatContext): HTTPResponsePropertiesInit {
    return {
      response_code: info.responseCode === 0 ? undefined : info.responseCode,
      response_code_details: info.details,
      response_headers_bytes: headerBytes(responseHeaders),
      response_body_bytes: info.bytesSent,
      response_headers: named(responseHeaders, this.#headers.response),
      response_trailers: named(responseTrailers, this.#headers.trailers),
      upstream_header_bytes_received: info.upstream.bytes.headerBytesReceived,
      downstream_header_bytes_sent: info.bytes.headerBytesSent,
    };
  }
}

const protocols: Readonly<Record<string, HTTPAccessLogEntry_HTTPVersion>> = {
  'HTTP/1.0': 'HTTP10',
  'HTTP/1.1': 'HTTP11',
  'HTTP/2': 'HTTP2',
};

function text(headers: HeaderMap | undefined, name: string): string {
  return utf8OfLatin1(headers?.joined(name) ?? '');
}

function named(headers: HeaderMap | undefined, names: readonly string[]): Record<string, string> {
  const found: Record<string, string> = {};
  if (headers === undefined) return found;
  for (const name of names) {
    const value = joinedValue(headers, headerField(name), name);
    if (value !== undefined) found[name] = utf8OfLatin1(value);
  }
  return found;
}
