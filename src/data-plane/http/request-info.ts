// Stream info of HTTP requests: what `extension/stream-info.ts` promises, as fields that the stream and the router write.
import type {
  ConnectionInfo,
  FilterStateObject,
  StreamInfo,
  TlsInfo,
  UpstreamInfo,
} from '#extension/stream-info.ts';
import { addBytes, type ByteCounts, ByteMeter, noByteCounts } from '#http/byte-counts.ts';
import type { Metadata } from './route-entry.ts';

export class RequestUpstreamInfo implements UpstreamInfo {
  clusterName = '';
  clusterStatName = '';
  hostAddress = '';
  hostname = '';
  localAddress = '';
  connectionId = 0;
  protocol = '';
  transportFailureReason = '';
  tls: TlsInfo | undefined = undefined;
  /** When the latest attempt began to look for a connection. */
  startMs = 0;
  connectStartMs = 0;
  connectEndMs = 0;
  tlsEndMs = 0;
  firstTxByteMs = 0;
  lastTxByteMs = 0;
  firstRxByteMs = 0;
  lastRxByteMs = 0;
  poolReadyMs = 0;
  /** Those of the present attempt have those of earlier ones in them. */
  bytes: ByteCounts = noByteCounts;
  attempts = 0;
  requestsOnConnection = 0;
  hostsAttempted: string[] | undefined = undefined;
  connectionIdsAttempted: number[] | undefined = undefined;
  serverName = '';
  /** Empty where no host was chosen. */
  detectedCloseType = '';
  localCloseReason = '';
  filterState: UpstreamInfo['filterState'] = undefined;
}

/** Of another attempt, of which only the cluster is known yet. */
export function nextUpstream({
  clusterName,
  clusterStatName,
  bytes,
  attempts,
}: RequestUpstreamInfo): RequestUpstreamInfo {
  const next = new RequestUpstreamInfo();
  next.clusterName = clusterName;
  next.clusterStatName = clusterStatName;
  next.bytes = bytes;
  next.attempts = attempts;
  return next;
}

export class RequestInfo implements StreamInfo {
  startMs: number;
  flags = 0;
  details = '';
  responseCode = 0;
  protocol = '';
  routeName = '';
  routeResolutions = 0;
  isRequestAccepted = false;
  routeResolutionUs = 0;
  virtualHostName = '';
  virtualClusterName = '';
  requestId = '';
  remoteAddress: string;
  readonly connection: ConnectionInfo;
  /** Of the attempt that answers, or the latest. */
  upstream: RequestUpstreamInfo = new RequestUpstreamInfo();
  bytesReceived = 0;
  bytesSent = 0;
  bytes: ByteCounts;
  retransmittedBytes = 0;
  lastDownstreamRxMs = 0;
  firstDownstreamTxMs = 0;
  lastDownstreamTxMs = 0;
  endMs = 0;
  localReplyBody = '';
  dynamicMetadata: Record<string, Record<string, unknown>> | undefined = undefined;
  filterState: Map<string, FilterStateObject> | undefined = undefined;
  routeMetadata: Metadata | undefined = undefined;
  clusterMetadata: Metadata | undefined = undefined;
  hostMetadata: Metadata | undefined = undefined;
  virtualHostMetadata: Metadata | undefined = undefined;
  traceId = '';
  spanId = '';
  isTraced = false;
  isHealthCheck = false;
  attemptCount = 0;
  customFlags = '';

  constructor(connection: ConnectionInfo, startMs: number, bytes: ByteCounts = new ByteMeter()) {
    this.connection = connection;
    this.bytes = bytes;
    this.startMs = startMs;
    this.remoteAddress = connection.remoteAddress;
    if (connection.filterState !== undefined) this.filterState = new Map(connection.filterState);
  }

  /** After an internal redirect the request is still the one that the client has sent, but from the address of its connection. */
  continueFrom(before: RequestInfo): void {
    this.startMs = before.startMs;
    this.lastDownstreamRxMs = before.lastDownstreamRxMs;
    this.bytesReceived = before.bytesReceived;
    this.requestId = before.requestId;
  }

  /** What was said is still to be written. */
  forgetSent(): void {
    const bytes = new ByteMeter();
    addBytes(bytes, this.bytes);
    bytes.wireBytesSent = 0;
    bytes.headerBytesSent = 0;
    this.bytes = bytes;
    this.lastDownstreamTxMs = 0;
  }

  get startTime(): number {
    return performance.timeOrigin + this.startMs;
  }
}
