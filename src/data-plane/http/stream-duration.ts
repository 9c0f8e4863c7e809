// How long a request may take from its first byte to the last of its response, as its route says: `max_stream_duration`, or what the
// client asks for with `grpc-timeout`.
import type { HeaderMap } from '#http/header-map.ts';
import { grpcTimeoutMs } from './grpc-timeout.ts';
import type { RouteEntry } from './route-entry.ts';

/** The connection manager's limit holds. */
export const NOT_SET = -1;
export const UNLIMITED = -2;

/** In ms. gRPC upstreams are told. */
export function streamDurationMs(route: RouteEntry, headers: HeaderMap, isGrpc: boolean): number {
  const maxMs = route.grpcTimeoutHeaderMaxMs;
  const asked = maxMs < 0 ? undefined : grpcTimeoutMs(headers.get('grpc-timeout'));
  let durationMs = route.maxStreamDurationMs;
  if (asked === undefined) {
    if (durationMs < 0) return NOT_SET;
    if (durationMs === 0) {
      if (isGrpc) headers.remove('grpc-timeout');
      return UNLIMITED;
    }
  } else {
    durationMs = maxMs > 0 && asked > maxMs ? maxMs : asked;
    const offsetMs = route.grpcTimeoutHeaderOffsetMs;
    if (offsetMs > 0) durationMs = offsetMs < durationMs ? durationMs - offsetMs : 0;
  }
  if (isGrpc) headers.set('grpc-timeout', `${durationMs}m`);
  return durationMs;
}
