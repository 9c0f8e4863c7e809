// Everything that may be set for an HTTP/1 codec, as plain data. Defaults are Envoy 1.40's.

export const HeaderKeyFormat = { Default: 0, ProperCase: 1, PreserveCase: 2 } as const;
export type HeaderKeyFormat = (typeof HeaderKeyFormat)[keyof typeof HeaderKeyFormat];

export const UnderscoreAction = { Allow: 0, RejectRequest: 1, DropHeader: 2 } as const;
export type UnderscoreAction = (typeof UnderscoreAction)[keyof typeof UnderscoreAction];

export interface Http1Options {
  /** A larger head or trailer block is refused with 431. `max_request_headers_kb` (60), `max_response_headers_kb` (80) in bytes. */
  readonly maxHeadersBytes: number;
  /** `common_http_protocol_options.max_headers_count`, 100. */
  readonly maxHeadersCount: number;
  /** `common_http_protocol_options.headers_with_underscores_action`; servers only. */
  readonly underscores: UnderscoreAction;
  /** `allow_absolute_url`, true: `GET http://host/path` becomes authority and path. */
  readonly allowAbsoluteUrl: boolean;
  /** `accept_http_10`, false: 426 for anything below HTTP/1.1. */
  readonly acceptHttp10: boolean;
  /** `default_host_for_http_10`, empty: none. */
  readonly defaultHostForHttp10: string;
  /** `header_key_format`: proper case is how names are written; preserving case is keeping how names were read, for whoever writes them. */
  readonly headerKeyFormat: HeaderKeyFormat;
  /** `preserve_case` with `forward_reason_phrase`: the phrase of a response that is read is kept with its spelling. */
  readonly forwardReasonPhrase: boolean;
  /** `preserve_case` with `formatter_type_on_envoy_headers: PROPER_CASE`: so are names added to a message whose spelling is kept. */
  readonly properCaseOnOwnHeaders: boolean;
  /** `enable_trailers`, false: trailers are checked and dropped. */
  readonly enableTrailers: boolean;
  /** `allow_chunked_length`, false: `transfer-encoding: chunked` with `content-length` is refused instead of preferred. */
  readonly allowChunkedLength: boolean;
  /** `allow_custom_methods`, false: only the methods of the registry are accepted. */
  readonly allowCustomMethods: boolean;
  /** `ignore_http_11_upgrade`: is this value of `upgrade` treated as if it were not there? `h2c` always is. */
  readonly ignoresUpgrade: ((protocol: string) => boolean) | undefined;
  /** `send_fully_qualified_url`, false; clients only. */
  readonly sendFullyQualifiedUrl: boolean;
  /** 403 for an `https://` target. Envoy does so on plaintext connections when `use_remote_address` is on and no hop is trusted. */
  readonly refuseHttpsTarget: boolean;
  /** `http1.*` counters, shared by all codecs of a listener or cluster. */
  readonly counts: Http1Counts;
}

/** What a codec counts; satisfied by counters of the stats room. */
export interface Http1Counts {
  readonly droppedHeadersWithUnderscores: { value: number };
  readonly requestsRejectedWithUnderscoresInHeaders: { value: number };
}

export const defaultHttp1Options: Http1Options = {
  maxHeadersBytes: 60 * 1024,
  maxHeadersCount: 100,
  underscores: UnderscoreAction.Allow,
  allowAbsoluteUrl: true,
  acceptHttp10: false,
  defaultHostForHttp10: '',
  headerKeyFormat: HeaderKeyFormat.Default,
  forwardReasonPhrase: false,
  properCaseOnOwnHeaders: false,
  enableTrailers: false,
  allowChunkedLength: false,
  allowCustomMethods: false,
  ignoresUpgrade: undefined,
  sendFullyQualifiedUrl: false,
  refuseHttpsTarget: false,
  counts: {
    droppedHeadersWithUnderscores: { value: 0 },
    requestsRejectedWithUnderscoresInHeaders: { value: 0 },
  },
};
