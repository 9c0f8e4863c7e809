// The access log of the admin listener: its requests told to the same loggers as any other request.
import type { AdminLogEntry } from '#admin/server.ts';
import type { AccessLogData } from '#extension/access-logger.ts';
import { type AccessLogger, prepareAccessLogs } from '#extension/access-logger.ts';
import { AccessLogType } from '#extension/formatter.ts';
import type { Registry } from '#extension/registry.ts';
import type { ConnectionInfo } from '#extension/stream-info.ts';
import type { WorkerServices } from '#extension/worker-services.ts';
import { HeaderMap } from '#http/header-map.ts';
import { headerName } from '#http/header-names.ts';
import { RequestInfo } from '../http/request-info.ts';

/** They go no further than the codec. */
const ofConnection: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'upgrade',
]);

export class AdminAccessLog {
  readonly #loggers: readonly AccessLogger[];
  readonly #localAddress: string;

  /** `localAddress`: what stands in x-forwarded-for for a client on this machine. */
  constructor(
    data: readonly AccessLogData[],
    registry: Registry,
    services: WorkerServices,
    localAddress: string,
  ) {
    this.#loggers = prepareAccessLogs(data, registry, services);
    this.#localAddress = localAddress;
  }

  log(entry: AdminLogEntry): void {
    if (this.#loggers.length === 0) return;
    const info = new RequestInfo(connectionInfo(entry), entry.startMs);
    info.protocol = 'HTTP/1.1';
    info.responseCode = entry.status;
    info.bytesReceived = entry.bytesReceived;
    info.bytesSent = entry.bytesSent;
    info.bytes.headerBytesReceived = entry.headerBytes;
    info.bytes.decompressedHeaderBytesReceived = entry.headerBytes;
    info.bytes.wireBytesReceived = entry.wireBytes;
    info.routeResolutions = 1;
    info.requestId = String(entry.headers['x-request-id'] ?? '');
    info.lastDownstreamRxMs = entry.startMs;
    info.endMs = entry.startMs + entry.durationMs;
    info.lastDownstreamTxMs = info.endMs;
    info.details = 'admin_filter_response';
    const responseHeaders = new HeaderMap();
    responseHeaders.status = entry.status;
    responseHeaders.add('content-type', entry.contentType);
    responseHeaders.add('server', 'envoy');
    const context = {
      info,
      requestHeaders: this.#requestHeaders(entry),
      responseHeaders,
      responseTrailers: undefined,
      logType: AccessLogType.DownstreamEnd,
    };
    for (const logger of this.#loggers) logger.log(context);
  }

  #requestHeaders({ method, path, headers, remoteAddress }: AdminLogEntry): HeaderMap {
    const map = new HeaderMap();
    map.method = method;
    map.path = path;
    map.scheme = 'http';
    for (const [name, value] of Object.entries(headers)) {
      if (ofConnection.has(name)) continue;
      if (name === 'host') map.authority = String(value);
      else
        for (const it of typeof value === 'string' ? [value] : (value ?? [])) map.add(headerName(name), it);
    }
    const ip = remoteAddress.slice(0, remoteAddress.lastIndexOf(':'));
    const isLocal = ip.startsWith('127.') || ip === '[::1]' || ip === '';
    // No address is internal here.
    const client = isLocal ? this.#localAddress : ip;
    const before = headers['x-forwarded-for'];
    map.set(headerName('x-forwarded-for'), before === undefined ? client : `${before},${client}`);
    map.set(headerName('x-forwarded-proto'), 'http');
    if (ip !== '') map.set(headerName('x-envoy-external-address'), ip.replace(/^\[|\]$/g, ''));
    return map;
  }
}

function connectionInfo({
  localAddress,
  remoteAddress,
  connectionId,
  startMs,
}: AdminLogEntry): ConnectionInfo {
  return {
    id: connectionId,
    localAddress,
    directLocalAddress: localAddress,
    isLocalAddressRestored: false,
    directRemoteAddress: remoteAddress,
    remoteAddress,
    startMs,
    handshakeEndMs: 0,
    requestedServerName: '',
    applicationProtocol: '',
    transportProtocol: 'raw_buffer',
    ja3: '',
    ja4: '',
    listenerName: '',
    filterChainName: '',
    filterChainMetadata: undefined,
    listenerMetadata: undefined,
    listenerDirection: '',
    tls: undefined,
    terminationDetails: '',
    transportFailureReason: '',
    detectedCloseType: 'Normal',
    localCloseReason: '',
    httpProtocol: '',
    filterState: undefined,
    proxyTlvs: undefined,
    dynamicMetadata: undefined,
  };
}
