// What is known about one request (or one TCP / UDP session) while it runs and when it has ended: the input of access loggers,
// tracers and formatters. Fields are written on the request path and read by whoever formats; nothing here is computed early.
import type { ByteCounts } from '#http/byte-counts.ts';
import type { ProxyTlv } from '#net/proxy-protocol.ts';

/** Facts of a downstream connection, shared by all of its streams. Certificates and the like are asked for, not stored. */
export interface ConnectionInfo {
  readonly id: number;
  /** `ip:port`, `[ip6]:port` or a UDS path. */
  readonly localAddress: string;
  /** The socket's own end, when listener filters changed `localAddress` (original_dst, proxy_protocol); else the same. */
  readonly directLocalAddress: string;
  /** `localAddress` is where the client wanted to go: something before us had taken the connection elsewhere. */
  readonly isLocalAddressRestored: boolean;
  /** The peer of the socket, before `x-forwarded-for` or PROXY protocol. */
  readonly directRemoteAddress: string;
  /** Changed by listener filters (original_dst, proxy_protocol). */
  remoteAddress: string;
  readonly startMs: number;
  /** End of the TLS handshake; 0 for plaintext. */
  handshakeEndMs: number;
  requestedServerName: string;
  /** Negotiated ALPN protocol, or what the TLS inspector saw. */
  applicationProtocol: string;
  /** `tls`, `raw_buffer` or empty before it is known. */
  transportProtocol: string;
  ja3: string;
  ja4: string;
  listenerName: string;
  filterChainName: string;
  filterChainMetadata: Readonly<Record<string, Readonly<Record<string, unknown>>>> | undefined;
  listenerMetadata: Readonly<Record<string, Readonly<Record<string, unknown>>>> | undefined;
  /** `traffic_direction`: `INBOUND`, `OUTBOUND` or empty. */
  listenerDirection: string;
  /** Undefined for a plaintext connection. */
  readonly tls: TlsInfo | undefined;
  /** `%CONNECTION_TERMINATION_DETAILS%`. */
  terminationDetails: string;
  transportFailureReason: string;
  /** `HTTP/1.1` and the like once it is known what is spoken; empty for what is not HTTP. */
  httpProtocol: string;
  /** `Normal`, `LocalReset` or `RemoteReset`. */
  detectedCloseType: string;
  /** `%DOWNSTREAM_LOCAL_CLOSE_REASON%`, empty when we did not close. */
  localCloseReason: string;
  /** Of the PROXY header it came with, those that may go on. Undefined: there was no header with addresses. */
  proxyTlvs: readonly ProxyTlv[] | undefined;
  /** What listener and network filters leave for those behind them. Undefined until one leaves something. */
  filterState: Map<string, FilterStateObject> | undefined;
  /** What listener and network filters left. */
  readonly dynamicMetadata: StreamInfo['dynamicMetadata'];
}

/** Of an established TLS connection. Methods parse on demand: an access log that does not ask pays nothing. */
export interface TlsInfo {
  /** `TLSv1.3`. */
  readonly version: string;
  /** As OpenSSL names it in `%DOWNSTREAM_TLS_CIPHER%`. */
  readonly cipher: string;
  /** Key exchange group: `X25519`. */
  readonly group: string;
  readonly sessionId: string;
  /** The server name that was asked for in the handshake. */
  readonly serverName: string;
  readonly peerPresented: boolean;
  readonly peerValidated: boolean;
  peerCertificate(): CertificateInfo | undefined;
  localCertificate(): CertificateInfo | undefined;
  peerChain(): readonly CertificateInfo[];
  /** Who has signed the peer's: sent along, or one of the trusted. */
  issuerCertificate(): CertificateInfo | undefined;
}

export interface CertificateInfo {
  readonly subject: string;
  readonly issuer: string;
  readonly serial: string;
  readonly sha256: string;
  readonly sha1: string;
  readonly pem: string;
  readonly validFromMs: number;
  readonly validToMs: number;
  readonly uriSans: readonly string[];
  readonly dnsSans: readonly string[];
  readonly ipSans: readonly string[];
  readonly emailSans: readonly string[];
}

/** What the upstream side of the (last) attempt looked like. */
export interface UpstreamInfo {
  clusterName: string;
  /** `observability name`: alt_stat_name or the cluster's name. */
  clusterStatName: string;
  /** Address of the chosen host, empty before one was chosen. */
  hostAddress: string;
  hostname: string;
  /** Our end of the upstream connection. */
  localAddress: string;
  connectionId: number;
  protocol: string;
  transportFailureReason: string;
  tls: TlsInfo | undefined;
  /** Times as `StreamInfo.startMs`; 0 until it happened. */
  /** When the latest attempt began to look for a connection; 0 where that is not known. */
  startMs: number;
  connectStartMs: number;
  connectEndMs: number;
  tlsEndMs: number;
  firstTxByteMs: number;
  lastTxByteMs: number;
  firstRxByteMs: number;
  lastRxByteMs: number;
  poolReadyMs: number;
  readonly bytes: Readonly<ByteCounts>;
  attempts: number;
  requestsOnConnection: number;
  /** Every host an attempt went to, for `%UPSTREAM_HOSTS_ATTEMPTED%`. Undefined unless there was a retry. */
  hostsAttempted: string[] | undefined;
  connectionIdsAttempted: number[] | undefined;
  /** SNI that was sent. */
  serverName: string;
  /** `Normal`, `LocalReset` or `RemoteReset`. */
  detectedCloseType: string;
  localCloseReason: string;
  /** What the connection got of somebody's filter state when it was opened. */
  filterState: ReadonlyMap<string, FilterStateObject> | undefined;
}

export interface StreamInfo {
  /** Wall clock of the start, ms since the epoch, with microseconds as fraction; all other times are `performance.now()` ms. */
  readonly startTime: number;
  readonly startMs: number;
  /** Bits of `ResponseFlag`. */
  flags: number;
  /** Response code details (`via_upstream`), empty until known. */
  details: string;
  /** 0 when no response was sent. */
  responseCode: number;
  /** `HTTP/1.1`, or empty for TCP. */
  protocol: string;
  routeName: string;
  virtualHostName: string;
  virtualClusterName: string;
  requestId: string;
  /** The client as trusted: from `x-forwarded-for` if so configured. */
  remoteAddress: string;
  readonly connection: ConnectionInfo;
  /** One object for the life of the stream; `upstream.clusterName` is empty before a route chose one. */
  readonly upstream: UpstreamInfo;
  /** Body bytes. */
  bytesReceived: number;
  bytesSent: number;
  readonly bytes: Readonly<ByteCounts>;
  retransmittedBytes: number;
  lastDownstreamRxMs: number;
  firstDownstreamTxMs: number;
  lastDownstreamTxMs: number;
  /** 0 while it runs. */
  endMs: number;
  localReplyBody: string;
  /** Filter name -> plain data. Undefined until a filter writes some. */
  dynamicMetadata: Record<string, Record<string, unknown>> | undefined;
  filterState: Map<string, FilterStateObject> | undefined;
  /** Metadata of what was chosen, filter name -> plain data. */
  routeMetadata: Readonly<Record<string, Readonly<Record<string, unknown>>>> | undefined;
  clusterMetadata: Readonly<Record<string, Readonly<Record<string, unknown>>>> | undefined;
  hostMetadata: Readonly<Record<string, Readonly<Record<string, unknown>>>> | undefined;
  virtualHostMetadata: Readonly<Record<string, Readonly<Record<string, unknown>>>> | undefined;
  traceId: string;
  spanId: string;
  isTraced: boolean;
  isHealthCheck: boolean;
  attemptCount: number;
  /** The request was not refused before filters and routes saw it. */
  isRequestAccepted: boolean;
  /** How often a route was looked for, and how long that took, where somebody wants to know. */
  routeResolutions: number;
  routeResolutionUs: number;
  /** `%CUSTOM_FLAGS%`: what filters added, joined by commas. */
  customFlags: string;
}

/** Something filters leave for each other under a name. */
/** Of filter state: the address of the host, as a dynamic forward proxy has found it. */
export const upstreamAddressKey = 'envoy.stream.upstream_address';

export interface FilterStateObject {
  readonly text: string;
  /** For `%FILTER_STATE(key:FIELD:name)%`. */
  field(name: string): string | number | undefined;
  /** Policies of hashing may take the text. */
  readonly isHashable?: boolean;
  /** As a message, which is what is shown where nothing else is asked for: plain data. Undefined: it is none. */
  readonly typed?: unknown;
  /** It goes on to the connection to the host. */
  readonly isShared?: boolean;
  /** The text is an address. */
  readonly isAddress?: boolean;
  /** The text is not for access logs. */
  readonly isHidden?: boolean;
}
