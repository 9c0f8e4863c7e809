// What the connection manager does to every request before a route is asked for: find out who the client
// is, take away what a client must not say, add what upstreams rely on. The order of the steps is Envoy's.

import { truncate } from '#base/truncate.ts';
import { hasToken } from '#http/connection-header.ts';
import { addressFromEnd } from '#http/forwarded-for.ts';
import type { HeaderMap } from '#http/header-map.ts';
import { setForwardedClientCert } from './forwarded-client-cert.ts';
import { newRequestId, withoutTraceReason } from './request-id.ts';
import { appendVia } from './response-headers.ts';
import type { Stream } from './stream.ts';

const Action = {
  Keep: 0,
  Drop: 1,
  /** Only trusted clients may send it: dropped unless the request is internal. */
  Internal: 2,
  /** Dropped from external clients at the edge (`use_remote_address`). */
  Edge: 3,
  Xff: 4,
  Proto: 5,
  RequestId: 6,
  Upgrade: 7,
  Connection: 12,
  ProxyConnection: 13,
  Te: 8,
  ContentType: 9,
  Xfcc: 10,
  Via: 11,
} as const;

/** What to do with a header by name; others are kept. */
const actions = new Map<string, number>([
  ['connection', Action.Connection],
  ['upgrade', Action.Upgrade],
  ['te', Action.Te],
  ['keep-alive', Action.Drop],
  ['proxy-connection', Action.ProxyConnection],
  ['transfer-encoding', Action.Drop],
  ['x-envoy-internal', Action.Drop],
  ['content-type', Action.ContentType],
  ['x-forwarded-for', Action.Xff],
  ['x-forwarded-proto', Action.Proto],
  ['x-request-id', Action.RequestId],
  ['x-forwarded-client-cert', Action.Xfcc],
  ['via', Action.Via],
  ['x-envoy-decorator-operation', Action.Edge],
  ['x-envoy-downstream-service-cluster', Action.Edge],
  ['x-envoy-downstream-service-node', Action.Edge],
  ['x-envoy-original-path', Action.Edge],
  ['x-envoy-original-host', Action.Edge],
  ['x-envoy-retriable-status-codes', Action.Internal],
  ['x-envoy-retriable-header-names', Action.Internal],
  ['x-envoy-retry-on', Action.Internal],
  ['x-envoy-retry-grpc-on', Action.Internal],
  ['x-envoy-max-retries', Action.Internal],
  ['x-envoy-upstream-alt-stat-name', Action.Internal],
  ['x-envoy-upstream-rq-timeout-ms', Action.Internal],
  ['x-envoy-upstream-rq-per-try-timeout-ms', Action.Internal],
  ['x-envoy-upstream-rq-timeout-alt-response', Action.Internal],
  ['x-envoy-expected-rq-timeout-ms', Action.Internal],
  ['x-envoy-force-trace', Action.Internal],
  ['x-envoy-ip-tags', Action.Internal],
  ['x-envoy-original-url', Action.Internal],
  ['x-envoy-upstream-stream-duration-ms', Action.Internal],
  ['x-envoy-hedge-on-per-try-timeout', Action.Internal],
]);

/** False when the request was answered: nobody knows where it is from. */
export function mutateRequestHeaders(stream: Stream, headers: HeaderMap): boolean {
  const { manager } = stream;
  const { shared, connectionInfo } = manager;
  const { config } = shared;
  const list = headers.list;
  let wasGrpc: boolean | undefined;
  if (shared.earlyMutations !== null) {
    wasGrpc = isGrpcContentType(headers.get('content-type') ?? '');
    stream.info.requestId = headers.get('x-request-id') ?? '';
    shared.earlyMutations.apply(headers, stream);
  }

  // One look at every header: what is there, and what goes in any case.
  let xff = '';
  let hasXff = false;
  let proto = '';
  let hasRequestId = false;
  let sanitize = 0;
  let hasXfcc = false;
  let te = false;
  const isUpgrade = stream.upgrade !== '';
  const isHttp1 = manager.protocol !== 'HTTP/2';
  let keepsAlive = false;
  const isHttp10 = stream.info.protocol === 'HTTP/1.0';
  let closes = false;
  let kept = 0;
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i]!;
    const action = actions.get(name);
    if (action !== undefined) {
      const value = list[i + 1]!;
      switch (action) {
        case Action.Drop:
          continue;
        case Action.ProxyConnection:
          if (isHttp1 && hasToken(value, 'close')) closes = true;
          continue;
        case Action.Connection:
          if (isHttp1) {
            if (hasToken(value, 'keep-alive')) keepsAlive = true;
            // HTTP/1.0 asks to be kept alive or is not.
            if (!isHttp10 && hasToken(value, 'close')) closes = true;
          }
          if (!isUpgrade) continue;
          break;
        case Action.Upgrade:
          if (!isUpgrade) continue;
          break;
        case Action.Te:
          te = true;
          break;
        case Action.Xff:
          xff = hasXff ? `${xff},${value}` : value;
          hasXff = true;
          break;
        case Action.Proto:
          proto = value;
          break;
        case Action.RequestId:
          hasRequestId = true;
          stream.info.requestId = value;
          break;
        case Action.ContentType:
          stream.isGrpc = isGrpcContentType(value);
          break;
        case Action.Xfcc:
          hasXfcc = true;
          break;
        case Action.Internal:
          if (name === 'x-envoy-force-trace') stream.isTraceForced = true;
          sanitize |= 1;
          break;
        case Action.Edge:
          sanitize |= 2;
          break;
      }
    }
    if (kept !== i) {
      list[kept] = name;
      list[kept + 1] = list[i + 1]!;
    }
    kept += 2;
  }
  truncate(list, kept);
  // As it came decides how it is answered.
  if (wasGrpc !== undefined) stream.isGrpc = wasGrpc;
  if (te && !isUpgrade) sanitizeTe(headers);
  if (closes || (!keepsAlive && isHttp10)) {
    manager.isClosing = true;
    manager.sawConnectionClose = true;
  }

  // Who is the client?
  const directIp = manager.remoteIp;
  const hops = config.xffNumTrustedHops;
  let clientIp = '';
  let isSingle = false;
  if (config.useRemoteAddress) {
    isSingle = !hasXff;
    if (hops > 0 && hasXff) clientIp = addressFromEnd(xff, hops - 1);
    if (clientIp === '') clientIp = directIp;
    if (!config.skipXffAppend) appendXff(stream, headers, hasXff);
    if (hops === 0 || proto === '') {
      const scheme = manager.forwardedProto;
      if (proto === '') list.push('x-forwarded-proto', scheme);
      else if (proto !== scheme) headers.set('x-forwarded-proto', scheme);
      proto = scheme;
    }
    if (config.appendXForwardedPort && (hops === 0 || !headers.has('x-forwarded-port')))
      headers.set('x-forwarded-port', manager.localPort);
  } else if (shared.ipDetections.length > 0) {
    const detections = shared.ipDetections;
    for (let i = 0; i < detections.length && clientIp === ''; i++) {
      const detection = detections[i]!;
      clientIp = detection.detect(headers, directIp);
      if (clientIp === '' && detection.rejectStatus !== 0) {
        shared.stats.downstreamRqRejectedViaIpDetection.value++;
        findEarlyRoute(stream);
        stream.sendLocalReply(detection.rejectStatus, '', 'rejecting_because_detection_failed');
        return false;
      }
      isSingle = detection.isTrusted;
      if (detection.appendsXff) appendXff(stream, headers, hasXff);
    }
    if (clientIp !== '')
      stream.info.remoteAddress = clientIp.includes(':') ? `[${clientIp}]:0` : `${clientIp}:0`;
  } else if (hasXff) {
    clientIp = addressFromEnd(xff, hops);
    isSingle = clientIp !== '' && !xff.includes(',');
    if (clientIp !== '')
      stream.info.remoteAddress = clientIp.includes(':') ? `[${clientIp}]:0` : `${clientIp}:0`;
  }
  if (config.useRemoteAddress && clientIp !== directIp && clientIp !== '')
    stream.info.remoteAddress = clientIp.includes(':') ? `[${clientIp}]:0` : `${clientIp}:0`;
  if (proto === '') {
    proto = manager.forwardedProto;
    list.push('x-forwarded-proto', proto);
  }
  if (config.appendXForwardedPort && !headers.has('x-forwarded-port'))
    list.push('x-forwarded-port', manager.localPort);
  if (config.schemeOverwrite !== '') {
    headers.scheme = config.schemeOverwrite;
    headers.set('x-forwarded-proto', config.schemeOverwrite);
  } else if (headers.scheme === '')
    headers.scheme = proto === 'https' || proto === 'http' ? proto : manager.isTls ? 'https' : 'http';

  // Is it one of ours?
  const isInternal =
    isSingle &&
    (clientIp === ''
      ? manager.isUnixPeer && config.internalUnixSockets
      : shared.isInternalAddress?.(clientIp) === true);
  const isEdge = !isInternal && config.useRemoteAddress;
  stream.isInternal = isInternal;
  if (isInternal) list.push('x-envoy-internal', 'true');
  else if (sanitize !== 0) {
    stream.isTraceForced = false;
    removeUntrusted(headers, isEdge);
  }
  if (!isInternal) {
    const internalOnly = shared.routes.internalOnlyHeaders;
    for (let i = 0; i < internalOnly.length; i++) headers.remove(internalOnly[i]!);
  }
  if (config.addsUserAgent) {
    headers.set('x-envoy-downstream-service-cluster', shared.nodeCluster);
    if ((headers.get('user-agent') ?? '') === '') headers.set('user-agent', shared.nodeCluster);
    if (shared.nodeName !== '') headers.set('x-envoy-downstream-service-node', shared.nodeName);
  }
  if (config.via !== '') appendVia(headers, config.via);
  if (isEdge && clientIp !== '') headers.set('x-envoy-external-address', clientIp);
  if (config.generateRequestId) {
    if (!hasRequestId) {
      stream.info.requestId = newRequestId();
      list.push('x-request-id', stream.info.requestId);
    } else if (stream.info.requestId === '' || (isEdge && !config.preserveExternalRequestId)) {
      stream.info.requestId = newRequestId();
      headers.set('x-request-id', stream.info.requestId);
    } else if (isEdge && config.packTraceReason) {
      stream.info.requestId = withoutTraceReason(stream.info.requestId);
      headers.set('x-request-id', stream.info.requestId);
    }
  }
  if (hasXfcc || (connectionInfo.tls !== undefined && shared.addsClientCert))
    setForwardedClientCert(stream, headers);
  return true;
}

/** Of a request that is answered before it was looked at: it has a route when it says itself how it was forwarded. */
export function findEarlyRoute(stream: Stream): void {
  const { manager, requestHeaders } = stream;
  const hasHost = requestHeaders.authority !== '' || manager.shared.routes.takesAnyHost;
  if (hasHost && (requestHeaders.get('x-forwarded-proto') ?? '') !== '') stream.findRoute();
  else {
    // Envoy looks and forgets what it found.
    stream.info.routeResolutions++;
    if (hasHost) stream.noteVirtualHost();
  }
}

function appendXff({ manager }: Stream, headers: HeaderMap, hasXff: boolean): void {
  const own = manager.isLoopbackPeer ? manager.shared.localAddress : manager.remoteIp;
  if (own === '') return;
  const before = hasXff ? headers.joined('x-forwarded-for')! : '';
  if (hasXff) headers.set('x-forwarded-for', before === '' ? own : `${before},${own}`);
  else headers.list.push('x-forwarded-for', own);
}

function removeUntrusted(headers: HeaderMap, isEdge: boolean): void {
  const list = headers.list;
  let kept = 0;
  for (let i = 0; i < list.length; i += 2) {
    const action = actions.get(list[i]!);
    if (action === Action.Internal || (isEdge && action === Action.Edge)) continue;
    if (kept !== i) {
      list[kept] = list[i]!;
      list[kept + 1] = list[i + 1]!;
    }
    kept += 2;
  }
  truncate(list, kept);
}

/** Only `trailers` may pass on. */
function sanitizeTe(headers: HeaderMap): void {
  const parts = headers.joined('te')!.toLowerCase().split(',');
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i]!.trim();
    const end = part.indexOf(';');
    if ((end < 0 ? part : part.slice(0, end).trim()) === 'trailers') {
      headers.set('te', 'trailers');
      return;
    }
  }
  headers.remove('te');
}

export function isGrpcContentType(value: string): boolean {
  return (
    value.startsWith('application/grpc') && (value.length === 16 || value[16] === '+' || value[16] === ';')
  );
}
