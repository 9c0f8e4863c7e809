// What configures an HTTP/2 codec: `Http2ProtocolOptions` and the limits of its owner, as plain numbers.
import { UnderscoreAction } from './h1-options.ts';
import type { MessageLimits } from './h2-message.ts';

export interface H2Options extends MessageLimits {
  /** `max_header_field_size_kb` in bytes: what one name or one value may have. Longer ones end the connection. */
  readonly maxFieldBytes: number;
  /** `hpack_table_size`, for both directions. */
  readonly hpackTableSize: number;
  /** `enable_huffman_encoding`: shorten literals that way when it does. */
  readonly huffman: boolean;
  readonly maxConcurrentStreams: number;
  readonly initialStreamWindowSize: number;
  readonly initialConnectionWindowSize: number;
  readonly customSettings: readonly { readonly id: number; readonly value: number }[];
  readonly maxOutboundFrames: number;
  /** PING and SETTINGS acknowledgements and RST_STREAM. */
  readonly maxOutboundControlFrames: number;
  readonly maxConsecutiveInboundFramesWithEmptyPayload: number;
  readonly maxInboundPriorityFramesPerStream: number;
  readonly maxInboundWindowUpdateFramesPerDataFrameSent: number;
  /** RST_STREAM frames a client may send at once, and how many more per second: a rapid reset. */
  readonly streamResetBurst: number;
  readonly streamResetRate: number;
  /** `override_stream_error_on_invalid_http_message`: a malformed message ends its stream, not the connection. */
  readonly streamErrorOnInvalidMessage: boolean;
  readonly keepalive: H2KeepaliveOptions | undefined;
}

/** `connection_keepalive`. */
export interface H2KeepaliveOptions {
  /** 0: no PING by interval. */
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly jitterPercent: number;
  /** A new stream on a connection that heard nothing for so long sends a PING ahead. 0: never. */
  readonly connectionIdleIntervalMs: number;
}

/** Envoy's defaults. */
export const defaultH2Options: H2Options = {
  maxHeaderBytes: 60 * 1024,
  maxHeaderCount: 100,
  underscoreAction: UnderscoreAction.Allow,
  allowConnect: false,
  allowObsText: true,
  maxFieldBytes: 65536,
  hpackTableSize: 4096,
  huffman: true,
  maxConcurrentStreams: 1024,
  initialStreamWindowSize: 16 * 1024 * 1024,
  initialConnectionWindowSize: 24 * 1024 * 1024,
  customSettings: [],
  maxOutboundFrames: 10000,
  maxOutboundControlFrames: 1000,
  maxConsecutiveInboundFramesWithEmptyPayload: 1,
  maxInboundPriorityFramesPerStream: 100,
  maxInboundWindowUpdateFramesPerDataFrameSent: 10,
  streamResetBurst: 1000,
  streamResetRate: 33,
  streamErrorOnInvalidMessage: false,
  keepalive: undefined,
};
