// Plain configuration of the buffer filter.
import type { ParseContext } from '#config/parse-context.ts';
import type {
  Buffer as BufferMessage,
  BufferPerRoute,
} from '#schema/messages/envoy/extensions/filters/http/buffer/v3.ts';

/** Undefined: the filter does nothing here. */
export interface BufferConfig {
  readonly maxRequestBytes: number | undefined;
}

export function parseBuffer(message: BufferMessage, _at: ParseContext): BufferConfig {
  return { maxRequestBytes: message.max_request_bytes };
}

export function parseBufferPerRoute(message: BufferPerRoute, _at: ParseContext): BufferConfig {
  return { maxRequestBytes: message.disabled ? undefined : message.buffer?.max_request_bytes };
}
