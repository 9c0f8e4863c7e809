// Answers the proxy makes itself, for a filter, the router or the connection manager.
import { HeaderMap } from '#http/header-map.ts';
import { isGrpcContentType } from './request-headers.ts';
import { RouteActionKind } from './route-entry.ts';
import { finalizeResponseHeaders } from './route-rewrite.ts';
import type { Stream } from './stream.ts';

/** gRPC status of an HTTP status, as gRPC's own mapping has it. */
export function grpcStatusOf(status: number): number {
  switch (status) {
    case 400:
      return 13;
    case 401:
      return 16;
    case 403:
      return 7;
    case 404:
      return 12;
    case 429:
    case 502:
    case 503:
    case 504:
      return 14;
    default:
      return 2;
  }
}

/** Builds the reply and sends it through the encode callbacks of the chain. `grpcStatus` below 0: derived from `status`. */
export function localReply(
  stream: Stream,
  status: number,
  body: string,
  grpcStatus: number,
  modify: ((headers: HeaderMap) => void) | undefined,
): void {
  const headers = new HeaderMap();
  headers.status = status;
  const mapper = stream.manager.shared.localReplies;
  let text = body;
  const route = stream.knownRoute;
  if (route !== undefined && route.action === RouteActionKind.Forward) {
    stream.responseHeaders = headers;
    finalizeResponseHeaders(route, headers, stream);
  }
  if (modify !== undefined) {
    stream.responseHeaders = headers;
    modify(headers);
  }
  const typeBefore = headers.get('content-type') ?? '';
  if (mapper !== undefined) {
    stream.info.responseCode = status;
    text = mapper.map(stream, headers, body);
  }
  // A request that was refused before its headers were looked at may be gRPC as well.
  if (isGrpc(stream)) {
    headers.set('content-type', 'application/grpc');
    if (!headers.get('grpc-status'))
      headers.set('grpc-status', String(grpcStatus >= 0 ? grpcStatus : grpcStatusOf(headers.status)));
    if (mapper?.contentType === 'application/json' && text.endsWith('\n')) text = text.slice(0, -1);
    if (text !== '' && !stream.isHead) headers.add('grpc-message', percentEncode(text));
    const code = headers.status;
    headers.status = 200;
    headers.remove('content-length');
    stream.encodeHeaders(headers, true, code);
    return;
  }
  if (text === '') {
    headers.remove('content-length');
    headers.remove('content-type');
    stream.encodeHeaders(headers, true);
    return;
  }
  const bytes = Buffer.from(text, 'latin1');
  headers.set('content-length', String(bytes.length));
  const type = headers.get('content-type');
  // What a mapper's headers say stays, and what others said as long as the text does.
  if ((type ?? '') === typeBefore && (type === undefined || text !== body))
    headers.set('content-type', mapper?.contentType || 'text/plain');
  if (stream.isHead) {
    stream.encodeHeaders(headers, true);
    return;
  }
  stream.encodeHeaders(headers, false);
  if (!stream.isDestroyed) stream.encodeData(bytes, true);
}

/** What the client asked with: the headers may have been changed since. */
function isGrpc(stream: Stream): boolean {
  if (stream.isGrpc || stream.info.isRequestAccepted) return stream.isGrpc;
  return isGrpcContentType(stream.requestHeaders.get('content-type') ?? '');
}

/** gRPC over HTTP/2: what is not printable ASCII, and the percent sign. */
export function percentEncode(text: string): string {
  const bytes = Buffer.from(text, 'latin1');
  let out = '';
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!;
    if (byte >= 0x20 && byte <= 0x7e && byte !== 0x25) out += String.fromCharCode(byte);
    else out += `%${byte < 16 ? '0' : ''}${byte.toString(16).toUpperCase()}`;
  }
  return out;
}
