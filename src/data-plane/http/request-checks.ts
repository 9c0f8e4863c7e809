// What the connection manager refuses before any filter sees the request, and how it tidies host and path. Envoy's order.
import { closesConnection } from '#http/connection-header.ts';
import type { HeaderMap } from '#http/header-map.ts';
import { normalizePath, PathVerdict } from '#http/path.ts';
import type { ConnectionManagerConfig } from './manager-config.ts';
import { findEarlyRoute, isGrpcContentType } from './request-headers.ts';
import type { Stream } from './stream.ts';

/** False when the request was answered here. */
export function passesChecks(stream: Stream, headers: HeaderMap): boolean {
  const { manager } = stream;
  const { config, pathOptions, runtime, stats } = manager.shared;
  const isConnect = headers.method === 'CONNECT';
  if (headers.authority === '' && !headers.isAuthorityEmpty) {
    refuse(stream, 'missing_host_header');
    return false;
  }
  const { path } = headers;
  if (path === '') {
    if (!isConnect) {
      answer(stream, 404, 'missing_path_rejected');
      return false;
    }
  } else if (path.charCodeAt(0) !== 47) {
    stats.downstreamRqNonRelativePath.value++;
    answer(stream, 404, 'absolute_path_rejected');
    return false;
  }
  const fragment = path.indexOf('#');
  if (fragment >= 0) {
    // A fragment has no business in a request (RFC 9110 7.1).
    if (runtime.boolean('envoy.reloadable_features.http_reject_path_with_fragment', true)) {
      stats.downstreamRqFailedPathNormalization.value++;
      refuse(stream, 'path_normalization_failed');
      return false;
    }
    headers.path = path.slice(0, fragment);
  }
  if (pathOptions !== undefined && path !== '') {
    const verdict = normalizePath(headers, pathOptions);
    if (verdict === PathVerdict.Reject || (verdict === PathVerdict.Redirect && isGrpc(headers))) {
      stats.downstreamRqFailedPathNormalization.value++;
      refuse(stream, 'path_normalization_failed');
      return false;
    }
    if (verdict === PathVerdict.Redirect) {
      stats.downstreamRqRedirectedWithNormalizedPath.value++;
      answer(stream, 307, 'path_normalization_failed', (response) => response.add('location', headers.path));
      return false;
    }
  }
  if (config.stripTrailingHostDot || config.stripPort !== 0)
    normalizeHost(stream, headers, config, manager.localPort);
  return true;
}

/** Its clients do not follow redirects. */
function isGrpc(headers: HeaderMap): boolean {
  return isGrpcContentType(headers.get('content-type') ?? '');
}

function refuse(stream: Stream, details: string): void {
  stream.isRefused = true;
  answer(stream, 400, details);
}

/** Before the headers were looked at otherwise: what the client asked for counts, and its route when it says how it was forwarded. */
function answer(
  stream: Stream,
  status: number,
  details: string,
  modify?: (response: HeaderMap) => void,
): void {
  const { manager, requestHeaders } = stream;
  stream.info.requestId = requestHeaders.get('x-request-id') ?? '';
  if (
    manager.protocol !== 'HTTP/2' &&
    closesConnection(stream.info.protocol !== 'HTTP/1.0', requestHeaders)
  ) {
    manager.isClosing = true;
    manager.sawConnectionClose = true;
  }
  findEarlyRoute(stream);
  stream.sendLocalReply(status, '', details, -1, modify);
}

function normalizeHost(
  stream: Stream,
  headers: HeaderMap,
  config: ConnectionManagerConfig,
  localPort: string,
): void {
  let host = headers.authority;
  let port = '';
  const colon = host.lastIndexOf(':');
  // Inside of brackets a colon belongs to an IPv6 address.
  if (colon >= 0 && host.indexOf(']', colon) < 0 && (host[0] === '[' || host.indexOf(':') === colon)) {
    port = host.slice(colon);
    host = host.slice(0, colon);
  }
  if (config.stripTrailingHostDot && host.endsWith('.')) host = host.slice(0, -1);
  if (port !== '' && isPort(port)) {
    if (config.stripPort === 2 || (config.stripPort === 1 && port.slice(1) === localPort)) {
      if (wasConnect(stream, headers)) stream.connectPort = port;
      port = '';
    }
  }
  headers.authority = host + port;
  if (headers.authority === '') headers.isAuthorityEmpty = true;
}

/** Over HTTP/2 every upgrade comes as CONNECT. */
function wasConnect(stream: Stream, headers: HeaderMap): boolean {
  return (
    headers.method === 'CONNECT' ||
    (stream.manager.protocol === 'HTTP/2' && headers.get('upgrade') !== undefined)
  );
}

function isPort(text: string): boolean {
  for (let i = 1; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 48 || code > 57) return false;
  }
  return text.length > 1;
}
