// Every command operator of Envoy 1.40: from its name and argument to an operator. Problems come back in Envoy's words.
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { celProblem } from '#base/cel-problem.ts';
import { ipOfAddress, ipVersion, maskedIp } from '#base/cidr.ts';
import { latin1OfUtf8, utf8OfLatin1 } from '#base/utf8.ts';
import { headerField } from '#http/header-field.ts';
import { headerBytes } from '#http/header-size.ts';
import { celOptionsOfWords } from '../cel/cel-config.ts';
import type { FormatContext } from '../formatter.ts';
import { AccessLogType } from '../formatter.ts';
import { longFlagNames, ResponseFlag, shortFlagNames } from '../response-flag.ts';
import { routeResolutionTimes } from '../route-resolution.ts';
import type { CertificateInfo, StreamInfo, TlsInfo, UpstreamInfo } from '../stream-info.ts';
import { CelOperator } from './cel-operator.ts';
import { forwardedCertValue } from './forwarded-cert-value.ts';
import {
  CoalesceOperator,
  CutOperator,
  HeaderOperator,
  type HeaderSource,
  isPath,
  MetadataOperator,
  NumberOperator,
  type Operator,
  PortOperator,
  TextOperator,
  ValueOperator,
} from './operator.ts';
import { IsoTime, TimeFormat, timeFormatProblem } from './time-format.ts';

export interface Problem {
  readonly problem: string;
}

/** Commands that exist only when a formatter extension is listed: `REQ_WITHOUT_QUERY`. */
export type ExtensionCommands = readonly string[];

export function operator(
  command: string,
  argument: string | undefined,
  maxLength: number,
  extensions: ExtensionCommands = [],
): Operator | Problem {
  const plain = plainCommands[command];
  if (plain !== undefined) {
    if (argument || maxLength >= 0) return { problem: `${command} does not take any parameters or length` };
    if (command === 'ROUTE_RESOLUTION_TIME_US') routeResolutionTimes.areWanted = true;
    return plain;
  }
  if (Object.hasOwn(extensionCommands, command) && !extensions.includes(command)) return unknown(command);
  const make = parameterCommands[command] ?? extensionCommands[command];
  if (make === undefined) return unknown(command);
  if (!argument && needArgument.has(command)) return { problem: `${command} requires parameters` };
  if (maxLength >= 0 && takeNoLength.has(command))
    return { problem: `${command} does not allow length to be specified.` };
  const made = make(argument ?? '', command, extensions);
  return 'problem' in made || maxLength < 0 ? made : new CutOperator(made, maxLength);
}

const needArgument: ReadonlySet<string> = new Set(
  `REQ REQUEST_HEADER RESP RESPONSE_HEADER TRAILER RESPONSE_TRAILER STREAM_INFO_REQ REQ_WITHOUT_QUERY COMMON_DURATION
  DYNAMIC_METADATA CLUSTER_METADATA UPSTREAM_METADATA ENVIRONMENT QUERY_PARAM COALESCE`.split(/\s+/),
);
const takeNoLength: ReadonlySet<string> = new Set(
  `START_TIME START_TIME_LOCAL EMIT_TIME EMIT_TIME_LOCAL DOWNSTREAM_PEER_CERT_V_START DOWNSTREAM_PEER_CERT_V_END
  UPSTREAM_PEER_CERT_V_START UPSTREAM_PEER_CERT_V_END COMMON_DURATION CLUSTER_METADATA UPSTREAM_METADATA GRPC_STATUS
  REQUESTED_SERVER_NAME RESPONSE_CODE_DETAILS DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT
  DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT
  UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT`.split(/\s+/),
);

function unknown(command: string): Problem {
  return { problem: `Not supported field in StreamInfo: ${command}` };
}

// Commands without parameters ------------------------------------------------------------------------------------------------

type Read<T> = (context: FormatContext) => T;
const text = (read: Read<string | undefined>) => new TextOperator(read);
const number = (read: Read<number | undefined>) => new NumberOperator(read);
const info = (read: (info: StreamInfo) => string | undefined) => text((context) => read(context.info));
/** A name of the configuration: Unicode there, bytes here. */
const name = (read: (info: StreamInfo) => string | undefined) =>
  info((it) => {
    const name = read(it);
    return name === undefined ? undefined : latin1OfUtf8(name);
  });
const count = (read: (info: StreamInfo) => number | undefined) => number((context) => read(context.info));

const port = (read: (info: StreamInfo) => string) => new PortOperator((context) => read(context.info));

/** Between two clocks of one stream, in whole ms; undefined until both happened. */
function between(from: number, to: number): number | undefined {
  return from > 0 && to > 0 && to >= from ? Math.floor(to - from) : undefined;
}

const logTypeNames = Object.fromEntries(Object.entries(AccessLogType).map(([name, value]) => [value, name]));

/** `RESPONSE_FLAGS`: names joined by commas, `-` when there is none (also in JSON). */
export function flagText({ flags, protocol }: StreamInfo, names: readonly string[]): string {
  if (flags === 0) return '-';
  // Envoy lists them as they were raised. For a request, a delay was injected and a retry refused before the reason of the last
  // failure is raised; for a TCP session that comes first.
  let all = '';
  let rest = flags;
  if (protocol !== '') {
    for (let i = 0; i < raisedFirst.length; i++) {
      const bit = raisedFirst[i]!;
      if ((flags & (1 << bit)) !== 0) all += all === '' ? names[bit] : `,${names[bit]}`;
      rest &= ~(1 << bit);
    }
  }
  for (let bit = 0; bit < names.length; bit++)
    if ((rest & (1 << bit)) !== 0) all += all === '' ? names[bit] : `,${names[bit]}`;
  return all;
}

const raisedFirst: readonly ResponseFlag[] = [
  ResponseFlag.DelayInjected,
  ResponseFlag.UpstreamRetryLimitExceeded,
  ResponseFlag.UpstreamOverflow,
];

const iso = new IsoTime();
const host = hostname();
const now = () => performance.timeOrigin + performance.now();
const sum = (list: readonly string[]) => list.join(',');

const plainCommands: Readonly<Record<string, Operator>> = {
  LOCAL_REPLY_BODY: new TextOperator((context) => context.info.localReplyBody, true),
  ACCESS_LOG_TYPE: text((context) => logTypeNames[context.logType]),
  GRPC_STATUS_NUMBER: grpcStatusNumber(),
  REQUEST_HEADERS_BYTES: number((context) => headerBytes(context.requestHeaders)),
  RESPONSE_HEADERS_BYTES: number((context) => headerBytes(context.responseHeaders)),
  RESPONSE_TRAILERS_BYTES: number((context) => headerBytes(context.responseTrailers)),
  TRACE_ID: info((it) => it.traceId),
  SPAN_ID: info((it) => it.spanId),
  UNIQUE_ID: text(() => randomUUID()),
  STREAM_ID: info((it) => it.requestId),

  REQUEST_DURATION: count((it) => between(it.startMs, it.lastDownstreamRxMs)),
  REQUEST_TX_DURATION: count((it) => between(it.startMs, it.upstream.lastTxByteMs)),
  UPSTREAM_CONNECTION_POOL_READY_DURATION: count((it) =>
    between(it.upstream.startMs, it.upstream.poolReadyMs),
  ),
  RESPONSE_DURATION: count((it) => between(it.startMs, it.upstream.firstRxByteMs)),
  RESPONSE_TX_DURATION: count((it) => between(it.upstream.firstRxByteMs, it.lastDownstreamTxMs)),
  DOWNSTREAM_HANDSHAKE_DURATION: count((it) => between(it.connection.startMs, it.connection.handshakeEndMs)),
  // Only QUIC tells when the last byte was acknowledged.
  ROUNDTRIP_DURATION: number(() => undefined),
  DURATION: count((it) => Math.floor((it.endMs > 0 ? it.endMs : performance.now()) - it.startMs)),

  BYTES_RECEIVED: count((it) => it.bytesReceived),
  BYTES_SENT: count((it) => it.bytesSent),
  BYTES_RETRANSMITTED: count((it) => it.retransmittedBytes),
  PACKETS_RETRANSMITTED: number(() => 0),
  UPSTREAM_WIRE_BYTES_RECEIVED: count((it) => it.upstream.bytes.wireBytesReceived),
  UPSTREAM_WIRE_BYTES_SENT: count((it) => it.upstream.bytes.wireBytesSent),
  UPSTREAM_HEADER_BYTES_RECEIVED: count((it) => it.upstream.bytes.headerBytesReceived),
  UPSTREAM_HEADER_BYTES_SENT: count((it) => it.upstream.bytes.headerBytesSent),
  UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED: count(
    (it) => it.upstream.bytes.decompressedHeaderBytesReceived,
  ),
  UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT: count((it) => it.upstream.bytes.decompressedHeaderBytesSent),
  DOWNSTREAM_WIRE_BYTES_RECEIVED: count((it) => it.bytes.wireBytesReceived),
  DOWNSTREAM_WIRE_BYTES_SENT: count((it) => it.bytes.wireBytesSent),
  DOWNSTREAM_HEADER_BYTES_RECEIVED: count((it) => it.bytes.headerBytesReceived),
  DOWNSTREAM_HEADER_BYTES_SENT: count((it) => it.bytes.headerBytesSent),
  DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED: count((it) => it.bytes.decompressedHeaderBytesReceived),
  DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT: count((it) => it.bytes.decompressedHeaderBytesSent),

  PROTOCOL: info((it) => it.protocol),
  UPSTREAM_PROTOCOL: info((it) => it.upstream.protocol),
  RESPONSE_CODE: count((it) => it.responseCode),
  CONNECTION_TERMINATION_DETAILS: info((it) => it.connection.terminationDetails),
  RESPONSE_FLAGS: info((it) => flagText(it, shortFlagNames)),
  RESPONSE_FLAGS_LONG: info((it) => flagText(it, longFlagNames)),
  CUSTOM_FLAGS: new TextOperator((context) => context.info.customFlags, true),
  ROUTE_NAME: name((it) => it.routeName),
  VIRTUAL_CLUSTER_NAME: name((it) => it.virtualClusterName),
  FILTER_CHAIN_NAME: name((it) => it.connection.filterChainName),
  LISTENER_NAME: name((it) => it.connection.listenerName),
  HOSTNAME: text(() => host),
  CONNECTION_ID: count((it) => it.connection.id),

  UPSTREAM_CLUSTER: name((it) => it.upstream.clusterStatName),
  UPSTREAM_CLUSTER_RAW: name((it) => it.upstream.clusterName),
  UPSTREAM_HOST: info((it) => it.upstream.hostAddress),
  UPSTREAM_HOST_NAME: name((it) => it.upstream.hostname || it.upstream.hostAddress),
  UPSTREAM_HOST_NAME_WITHOUT_PORT: info((it) => ipOfAddress(it.upstream.hostname || it.upstream.hostAddress)),
  UPSTREAM_HOSTS_ATTEMPTED: info((it) => attempted(it, (address) => address)),
  UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT: info((it) => attempted(it, ipOfAddress)),
  UPSTREAM_HOST_NAMES_ATTEMPTED: info((it) => attemptedNames(it, (name) => name)),
  UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT: info((it) => attemptedNames(it, ipOfAddress)),
  UPSTREAM_CONNECTION_IDS_ATTEMPTED: info((it) =>
    it.upstream.connectionIdsAttempted === undefined
      ? idText(it.upstream.connectionId)
      : it.upstream.connectionIdsAttempted.join(','),
  ),
  UPSTREAM_CONNECTION_ID: count((it) => it.upstream.connectionId),
  UPSTREAM_REQUEST_ATTEMPT_COUNT: count((it) => it.attemptCount),
  UPSTREAM_LOCAL_ADDRESS: info((it) => it.upstream.localAddress),
  UPSTREAM_LOCAL_PORT: port((it) => it.upstream.localAddress),
  UPSTREAM_REMOTE_ADDRESS: info((it) => connectedAddress(it)),
  UPSTREAM_REMOTE_PORT: port((it) => connectedAddress(it)),
  UPSTREAM_TRANSPORT_FAILURE_REASON: info((it) => it.upstream.transportFailureReason.replaceAll(/\s/g, '_')),
  UPSTREAM_SERVER_NAME: info((it) => it.upstream.serverName),
  UPSTREAM_DETECTED_CLOSE_TYPE: info((it) => it.upstream.detectedCloseType),
  UPSTREAM_LOCAL_CLOSE_REASON: info((it) => it.upstream.localCloseReason),

  DOWNSTREAM_LOCAL_ADDRESS: info((it) => it.connection.localAddress),
  DOWNSTREAM_LOCAL_PORT: port((it) => it.connection.localAddress),
  DOWNSTREAM_DIRECT_LOCAL_ADDRESS: info((it) => it.connection.directLocalAddress),
  DOWNSTREAM_DIRECT_LOCAL_PORT: port((it) => it.connection.directLocalAddress),
  DOWNSTREAM_REMOTE_ADDRESS: info((it) => it.remoteAddress),
  DOWNSTREAM_REMOTE_PORT: port((it) => it.remoteAddress),
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS: info((it) => it.connection.directRemoteAddress),
  DOWNSTREAM_DIRECT_REMOTE_PORT: port((it) => it.connection.directRemoteAddress),
  // Node does not ask the socket.
  DOWNSTREAM_CX_RTT: number(() => undefined),
  ROUTE_RESOLUTION_COUNT: count((it) => it.routeResolutions),
  ROUTE_RESOLUTION_TIME_US: count((it) => Math.floor(it.routeResolutionUs)),
  // Internal listeners, which have endpoint ids, do not exist here.
  UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID: new TextOperator(
    ({ info }) => (info.upstream.hostAddress === '' ? undefined : ''),
    true,
  ),
  DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID: text(() => undefined),
  DOWNSTREAM_DIRECT_LOCAL_ADDRESS_ENDPOINT_ID: text(() => undefined),
  DOWNSTREAM_TRANSPORT_FAILURE_REASON: info((it) => it.connection.transportFailureReason),
  // A stream is logged before it is known how its connection ended.
  DOWNSTREAM_DETECTED_CLOSE_TYPE: text(({ info, logType }) =>
    logType === AccessLogType.DownstreamEnd ? 'Normal' : info.connection.detectedCloseType,
  ),
  DOWNSTREAM_LOCAL_CLOSE_REASON: info((it) => it.connection.localCloseReason),
  TLS_JA3_FINGERPRINT: info((it) => it.connection.ja3),
  TLS_JA4_FINGERPRINT: info((it) => it.connection.ja4),

  ...tlsCommands('DOWNSTREAM', (it) => it.connection.tls, [
    'PEER_URI_SAN',
    'PEER_DNS_SAN',
    'PEER_IP_SAN',
    'PEER_EMAIL_SAN',
    'PEER_OTHERNAME_SAN',
    'LOCAL_URI_SAN',
    'LOCAL_DNS_SAN',
    'LOCAL_IP_SAN',
    'LOCAL_EMAIL_SAN',
    'LOCAL_OTHERNAME_SAN',
    'PEER_SUBJECT',
    'LOCAL_SUBJECT',
    'PEER_ISSUER',
    'PEER_SERIAL',
    'PEER_ISSUER_FINGERPRINT_256',
    'PEER_ISSUER_SERIAL',
    'PEER_CERT',
    'PEER_FINGERPRINT_256',
    'PEER_FINGERPRINT_1',
    'PEER_CHAIN_FINGERPRINTS_256',
    'PEER_CHAIN_FINGERPRINTS_1',
    'PEER_CHAIN_SERIALS',
    'TLS_VERSION',
    'TLS_CIPHER',
    'TLS_GROUP',
    'TLS_SESSION_ID',
  ]),
  ...tlsCommands('UPSTREAM', (it) => it.upstream.tls, [
    'PEER_URI_SAN',
    'PEER_DNS_SAN',
    'PEER_IP_SAN',
    'LOCAL_URI_SAN',
    'LOCAL_DNS_SAN',
    'LOCAL_IP_SAN',
    'PEER_SUBJECT',
    'PEER_ISSUER',
    'PEER_CERT',
    'TLS_VERSION',
    'TLS_CIPHER',
    'TLS_GROUP',
    'TLS_SESSION_ID',
  ]),
};

/** The other end of a connection that came about; `hostAddress` alone is only what was chosen. */
function connectedAddress(it: StreamInfo): string {
  // UDP sessions have an address of their own and no connection.
  return it.upstream.connectionId === 0 && it.upstream.localAddress === '' ? '' : it.upstream.hostAddress;
}

function attempted(it: StreamInfo, form: (address: string) => string): string {
  const all = it.upstream.hostsAttempted;
  if (all !== undefined) return sum(all.map(form));
  const only = connectedAddress(it);
  return only === '' ? '' : form(only);
}

function attemptedNames(it: StreamInfo, form: (name: string) => string): string {
  if (it.upstream.hostsAttempted !== undefined) return attempted(it, form);
  return connectedAddress(it) === '' ? '' : form(it.upstream.hostname || it.upstream.hostAddress);
}

function idText(id: number): string {
  return id === 0 ? '' : String(id);
}

function tlsCommands(
  side: 'DOWNSTREAM' | 'UPSTREAM',
  tls: (info: StreamInfo) => TlsInfo | undefined,
  fields: readonly (keyof typeof tlsFields)[],
): Record<string, Operator> {
  return Object.fromEntries(
    fields.map((field) => [
      `${side}_${field}`,
      info((it) => {
        const of = tls(it);
        return of === undefined ? undefined : tlsFields[field](of);
      }),
    ]),
  );
}

const tlsFields = {
  PEER_URI_SAN: (tls: TlsInfo) => names(tls.peerCertificate()?.uriSans),
  PEER_DNS_SAN: (tls: TlsInfo) => names(tls.peerCertificate()?.dnsSans),
  PEER_IP_SAN: (tls: TlsInfo) => names(tls.peerCertificate()?.ipSans),
  PEER_EMAIL_SAN: (tls: TlsInfo) => names(tls.peerCertificate()?.emailSans),
  // Node does not decode otherName.
  PEER_OTHERNAME_SAN: () => undefined,
  LOCAL_URI_SAN: (tls: TlsInfo) => names(tls.localCertificate()?.uriSans),
  LOCAL_DNS_SAN: (tls: TlsInfo) => names(tls.localCertificate()?.dnsSans),
  LOCAL_IP_SAN: (tls: TlsInfo) => names(tls.localCertificate()?.ipSans),
  LOCAL_EMAIL_SAN: (tls: TlsInfo) => names(tls.localCertificate()?.emailSans),
  LOCAL_OTHERNAME_SAN: () => undefined,
  PEER_SUBJECT: (tls: TlsInfo) => tls.peerCertificate()?.subject,
  LOCAL_SUBJECT: (tls: TlsInfo) => tls.localCertificate()?.subject,
  PEER_ISSUER: (tls: TlsInfo) => tls.peerCertificate()?.issuer,
  PEER_SERIAL: (tls: TlsInfo) => tls.peerCertificate()?.serial,
  PEER_ISSUER_FINGERPRINT_256: (tls: TlsInfo) => tls.issuerCertificate()?.sha256,
  PEER_ISSUER_SERIAL: (tls: TlsInfo) => tls.issuerCertificate()?.serial,
  PEER_CERT: (tls: TlsInfo) => encodedPem(tls.peerCertificate()),
  PEER_FINGERPRINT_256: (tls: TlsInfo) => tls.peerCertificate()?.sha256,
  PEER_FINGERPRINT_1: (tls: TlsInfo) => tls.peerCertificate()?.sha1,
  PEER_CHAIN_FINGERPRINTS_256: (tls: TlsInfo) => chain(tls, (it) => it.sha256),
  PEER_CHAIN_FINGERPRINTS_1: (tls: TlsInfo) => chain(tls, (it) => it.sha1),
  PEER_CHAIN_SERIALS: (tls: TlsInfo) => chain(tls, (it) => it.serial),
  TLS_VERSION: (tls: TlsInfo) => tls.version,
  TLS_CIPHER: (tls: TlsInfo) => tls.cipher,
  TLS_GROUP: (tls: TlsInfo) => tls.group,
  TLS_SESSION_ID: (tls: TlsInfo) => tls.sessionId,
} as const;

function names(of: readonly string[] | undefined): string | undefined {
  return of === undefined || of.length === 0 ? undefined : sum(of);
}

function chain(tls: TlsInfo, read: (certificate: CertificateInfo) => string): string {
  return sum(tls.peerChain().map(read));
}

/** PEM with everything but letters, digits and a few marks percent-encoded, as in x-forwarded-client-cert. */
function encodedPem(certificate: CertificateInfo | undefined): string | undefined {
  return certificate === undefined ? undefined : encodeURIComponent(certificate.pem);
}

// Commands with parameters ---------------------------------------------------------------------------------------------------

type Make = (argument: string, command: string, extensions: ExtensionCommands) => Operator | Problem;

const parameterCommands: Readonly<Record<string, Make>> = {
  REQ: headerCommand('requestHeaders'),
  REQUEST_HEADER: headerCommand('requestHeaders'),
  RESP: headerCommand('responseHeaders'),
  RESPONSE_HEADER: headerCommand('responseHeaders'),
  TRAILER: headerCommand('responseTrailers'),
  RESPONSE_TRAILER: headerCommand('responseTrailers'),
  STREAM_INFO_REQ: headerCommand('requestHeaders'),
  START_TIME: timeCommand((context) => context.info.startTime, false),
  START_TIME_LOCAL: timeCommand((context) => context.info.startTime, true),
  EMIT_TIME: timeCommand(now, false),
  EMIT_TIME_LOCAL: timeCommand(now, true),
  DOWNSTREAM_PEER_CERT_V_START: certificateTime((it) => it.connection.tls, 'validFromMs'),
  DOWNSTREAM_PEER_CERT_V_END: certificateTime((it) => it.connection.tls, 'validToMs'),
  UPSTREAM_PEER_CERT_V_START: certificateTime((it) => it.upstream.tls, 'validFromMs'),
  UPSTREAM_PEER_CERT_V_END: certificateTime((it) => it.upstream.tls, 'validToMs'),
  COMMON_DURATION: commonDuration,
  DYNAMIC_METADATA: metadataCommand((context) => context.info.dynamicMetadata),
  CLUSTER_METADATA: metadataCommand((context) => context.info.clusterMetadata),
  UPSTREAM_METADATA: metadataCommand((context) => context.info.hostMetadata),
  METADATA: anyMetadata,
  FILTER_STATE: filterState((context) => context.info.filterState),
  UPSTREAM_FILTER_STATE: filterState((context) => context.info.upstream.filterState),
  GRPC_STATUS: grpcStatusCommand,
  ENVIRONMENT: (name) => {
    // As in Envoy the text is "-" even in JSON when the variable is not set.
    const value = latin1OfUtf8(process.env[name] ?? '-');
    return new TextOperator(() => value, true);
  },
  REQUESTED_SERVER_NAME: requestedServerName,
  RESPONSE_CODE_DETAILS: (option) =>
    option === 'ALLOW_WHITESPACES'
      ? info((it) => it.details)
      : info((it) => it.details.replaceAll(/\s/g, '_')),
  PATH: pathCommand,
  QUERY_PARAM: (name) =>
    new TextOperator((context) => queryParameter(context.requestHeaders?.path ?? '', name), true),
  QUERY_PARAMS: (option) => {
    if (option !== '' && option !== 'ORIG' && option !== 'DECODED')
      return { problem: `Invalid QUERY_PARAMS option: '${option}', only 'ORIG'/'DECODED' are allowed` };
    return new TextOperator((context) => {
      const query = queryOf(context.requestHeaders?.path ?? '');
      return query !== undefined && option === 'DECODED' ? readableQuery(query) : query;
    }, true);
  },
  XFCC_VALUE: clientCertValue,
  CEL: cel,
  TYPED_CEL: cel,
  COALESCE: coalesce,
  DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: addressCommand((it) => it.remoteAddress),
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT: addressCommand((it) => it.connection.directRemoteAddress),
  DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT: addressCommand((it) => it.connection.localAddress),
  DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT: addressCommand((it) => it.connection.directLocalAddress),
  UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT: addressCommand((it) => it.upstream.localAddress),
  UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: addressCommand((it) => connectedAddress(it)),
};

const extensionCommands: Readonly<Record<string, Make>> = {
  REQ_WITHOUT_QUERY: (argument, command) => {
    const header = headerCommand('requestHeaders')(argument, command, []);
    if ('problem' in header) return header;
    return text((context) => header.text(context)?.replace(/\?.*$/s, ''));
  },
};

function headerCommand(source: HeaderSource): Make {
  return (argument) => {
    const headers = argument.toLowerCase().split('?');
    if (headers.length > 2)
      return { problem: `More than 1 alternative header specified in token: ${argument}` };
    const [name = '', other = ''] = headers;
    if (!headers.every((it) => /^:?[0-9a-z!#$%&'*+.^_|~`-]*$/.test(it) && it !== ':'))
      return { problem: 'Invalid header configuration. Format string contains invalid characters.' };
    return new HeaderOperator(source, headerField(name), name, headerField(other), other);
  };
}

function timeCommand(read: Read<number>, isLocal: boolean): Make {
  return (format) => {
    const problem = timeFormatProblem(format);
    if (problem !== undefined) return { problem };
    if (format === '' && !isLocal) return text((context) => iso.format(read(context)));
    const time = new TimeFormat(format === '' ? '%Y-%m-%dT%H:%M:%E3S%z' : format, isLocal);
    return text((context) => time.format(read(context)));
  };
}

function certificateTime(
  tls: (info: StreamInfo) => TlsInfo | undefined,
  end: 'validFromMs' | 'validToMs',
): Make {
  return (format) => {
    const problem = timeFormatProblem(format);
    if (problem !== undefined) return { problem };
    const time = new TimeFormat(format === '' ? '%Y-%m-%dT%H:%M:%E3SZ' : format, false);
    return info((it) => {
      const certificate = tls(it)?.peerCertificate();
      return certificate === undefined ? undefined : time.format(certificate[end]);
    });
  };
}

const timePoints: Readonly<Record<string, (info: StreamInfo) => number>> = {
  DS_RX_BEG: (it) => it.startMs,
  DS_RX_END: (it) => it.lastDownstreamRxMs,
  US_CX_BEG: (it) => it.upstream.connectStartMs,
  US_CX_END: (it) => it.upstream.connectEndMs,
  US_HS_END: (it) => it.upstream.tlsEndMs,
  US_TX_BEG: (it) => it.upstream.firstTxByteMs,
  US_TX_END: (it) => it.upstream.lastTxByteMs,
  US_RX_BEG: (it) => it.upstream.firstRxByteMs,
  US_RX_END: (it) => it.upstream.lastRxByteMs,
  DS_TX_BEG: (it) => it.firstDownstreamTxMs,
  DS_TX_END: (it) => it.lastDownstreamTxMs,
};
const precisions: Readonly<Record<string, number>> = { ms: 1, us: 1_000, ns: 1_000_000 };

/** Points that nobody records (custom ones in Envoy) have no value. */
function commonDuration(argument: string): Operator | Problem {
  const [from, to, precision = 'ms', ...rest] = argument.split(':');
  const scale = precisions[precision];
  if (from === undefined || to === undefined || rest.length > 0)
    return { problem: `Invalid common duration configuration: ${argument}.` };
  if (scale === undefined) return { problem: `Invalid common duration precision: ${precision}.` };
  const start = timePoints[from] ?? (() => 0);
  const end = timePoints[to] ?? (() => 0);
  return count((it) => {
    const startMs = start(it);
    const endMs = end(it);
    return startMs > 0 && endMs > 0 && endMs >= startMs ? Math.floor((endMs - startMs) * scale) : undefined;
  });
}

type Metadata = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

function metadataCommand(read: Read<Metadata | undefined>): Make {
  return (argument) => new MetadataOperator(read, utf8OfLatin1(argument).split(':'));
}

const metadataKinds: Readonly<Record<string, Read<Metadata | undefined>>> = {
  DYNAMIC: (context) => context.info.dynamicMetadata,
  CLUSTER: (context) => context.info.clusterMetadata,
  ROUTE: (context) => context.info.routeMetadata,
  UPSTREAM_HOST: (context) => context.info.hostMetadata,
  LISTENER: (context) => context.info.connection.listenerMetadata,
  LISTENER_FILTER_CHAIN: (context) => context.info.connection.filterChainMetadata,
  VIRTUAL_HOST: (context) => context.info.virtualHostMetadata,
};

function anyMetadata(argument: string): Operator | Problem {
  const [kind = '', ...path] = utf8OfLatin1(argument).split(':');
  const read = metadataKinds[kind];
  if (read === undefined) return { problem: `${kind} is not supported type of metadata` };
  return new MetadataOperator(read, path.length === 0 ? [''] : path);
}

function filterState(read: Read<UpstreamInfo['filterState']>): Make {
  return (argument) => {
    const [key = '', given, field = ''] = utf8OfLatin1(argument).split(':');
    const form = given || 'TYPED';
    if (key === '') return { problem: 'Invalid filter state configuration, key cannot be empty.' };
    if (!['PLAIN', 'TYPED', 'FIELD'].includes(form))
      return { problem: 'Invalid filter state serialize type, only support PLAIN/TYPED/FIELD.' };
    if ((form === 'FIELD') !== (field !== ''))
      return { problem: 'Invalid filter state serialize type, FIELD should be used with the field name.' };
    if (form === 'FIELD') {
      return new ValueOperator((context) => read(context)?.get(key)?.field(field));
    }
    if (form === 'PLAIN')
      return new TextOperator((context) => {
        const object = read(context)?.get(key);
        return object?.isHidden === true ? undefined : object?.text;
      }, true);
    return new TypedFilterState(read, key);
  };
}

/** Without a form the object is shown as a message, if it is one: a text in quotes, in JSON the text itself. */
class TypedFilterState implements Operator {
  readonly isWholeInJson = true;
  readonly #read: Read<UpstreamInfo['filterState']>;
  readonly #key: string;

  constructor(read: Read<UpstreamInfo['filterState']>, key: string) {
    this.#read = read;
    this.#key = key;
  }

  text(context: FormatContext): string | undefined {
    const value = this.value(context);
    return value === undefined ? undefined : JSON.stringify(value);
  }

  value(context: FormatContext): unknown {
    return this.#read(context)?.get(this.#key)?.typed;
  }
}

const grpcCodes = [
  'OK',
  'Canceled',
  'Unknown',
  'InvalidArgument',
  'DeadlineExceeded',
  'NotFound',
  'AlreadyExists',
  'PermissionDenied',
  'ResourceExhausted',
  'FailedPrecondition',
  'Aborted',
  'OutOfRange',
  'Unimplemented',
  'Internal',
  'Unavailable',
  'DataLoss',
  'Unauthenticated',
];
const snakeGrpcCodes = grpcCodes.map((name) =>
  name === 'OK'
    ? 'OK'
    : name === 'Canceled'
      ? 'CANCELLED'
      : name.replace(/(?<=[a-z])(?=[A-Z])/g, '_').toUpperCase(),
);

function grpcStatusCommand(form: string): Operator | Problem {
  if (form === 'NUMBER') return grpcStatusNumber();
  if (form !== '' && form !== 'CAMEL_STRING' && form !== 'SNAKE_STRING')
    return {
      problem: `GrpcStatusFormatter only supports CAMEL_STRING, SNAKE_STRING or NUMBER. Got: ${form}`,
    };
  const codes = form === 'SNAKE_STRING' ? snakeGrpcCodes : grpcCodes;
  return text((context) => {
    const status = grpcStatus(context);
    return status === undefined ? undefined : (codes[status] ?? String(status));
  });
}

const httpToGrpc: Readonly<Record<number, number>> = {
  400: 13,
  401: 16,
  403: 7,
  404: 12,
  429: 14,
  502: 14,
  503: 14,
  504: 14,
};

function grpcStatusNumber(): Operator {
  return new NumberOperator(grpcStatus, -1);
}

/** Undefined when the request is not gRPC. */
function grpcStatus(context: FormatContext): number | undefined {
  if (!isGrpc(context.requestHeaders?.get('content-type'))) return undefined;
  return responseGrpcStatus(context);
}

/** From trailers, then headers, then the HTTP status; -1 for what is no number, undefined when there is none. */
export function responseGrpcStatus(
  context: Pick<FormatContext, 'info' | 'responseHeaders' | 'responseTrailers'>,
): number | undefined {
  const told =
    context.responseTrailers?.get('grpc-status') ?? context.responseHeaders?.get('grpc-status') ?? '';
  if (told !== '') return /^\d{1,9}$/.test(told) ? Number(told) : -1;
  const code = context.info.responseCode;
  return code === 0 ? undefined : (httpToGrpc[code] ?? 2);
}

function isGrpc(contentType: string | undefined): boolean {
  return (
    contentType?.startsWith('application/grpc') === true &&
    (contentType.length === 16 || contentType[16] === '+')
  );
}

function requestedServerName(argument: string): Operator | Problem {
  const [option = '', given = ''] = argument.split(':');
  const header = given || 'ORIG_OR_HOST';
  const sni = (context: FormatContext) => context.info.connection.requestedServerName;
  const host = (context: FormatContext) => {
    if (!context.info.isRequestAccepted) return undefined;
    const headers = context.requestHeaders;
    const original = header === 'HOST' ? undefined : headers?.get('x-envoy-original-host');
    return original ?? (header === 'ORIG' ? undefined : headers?.authority);
  };
  if (!['', 'SNI_ONLY', 'SNI_FIRST', 'HOST_FIRST'].includes(option))
    return {
      problem: `Invalid REQUESTED_SERVER_NAME option: '${option}', only 'SNI_ONLY'/'SNI_FIRST'/'HOST_FIRST' are allowed`,
    };
  if (!['ORIG_OR_HOST', 'HOST', 'ORIG'].includes(header))
    return {
      problem: `Invalid REQUESTED_SERVER_NAME option: '${header}', only 'ORIG_OR_HOST'/'HOST'/'ORIG' are allowed`,
    };
  if (option === '' || option === 'SNI_ONLY') return text(sni);
  if (option === 'SNI_FIRST') return new TextOperator((context) => sni(context) || host(context), true);
  return new TextOperator((context) => host(context) ?? (sni(context) || undefined), true);
}

function pathCommand(argument: string): Operator | Problem {
  const [query = '', given = ''] = argument.split(':');
  const header = given || 'ORIG_OR_PATH';
  if (query !== '' && query !== 'WQ' && query !== 'NQ')
    return { problem: `Invalid PATH option: '${query}', only 'WQ'/'NQ' are allowed` };
  if (header !== 'ORIG' && header !== 'PATH' && header !== 'ORIG_OR_PATH')
    return { problem: `Invalid PATH option: '${header}', only 'ORIG'/'PATH'/'ORIG_OR_PATH' are allowed` };
  return text((context) => {
    const headers = context.requestHeaders;
    const original = header === 'PATH' ? undefined : headers?.get('x-envoy-original-path');
    const path = original ?? (header === 'ORIG' ? undefined : headers?.path);
    const end = query === 'NQ' && path !== undefined ? path.indexOf('?') : -1;
    return end < 0 ? path : path!.slice(0, end);
  });
}

/** Undefined: the path has none. */
function queryOf(path: string): string | undefined {
  const start = path.indexOf('?');
  return start < 0 ? undefined : path.slice(start + 1);
}

/** The first value of a parameter, both decoded. */
function queryParameter(path: string, name: string): string | undefined {
  const query = queryOf(path);
  if (query === undefined) return undefined;
  for (const part of query.split('&')) {
    const equals = part.indexOf('=');
    if (percentDecoded(equals < 0 ? part : part.slice(0, equals)) === name)
      return equals < 0 ? '' : percentDecoded(part.slice(equals + 1));
  }
  return undefined;
}

function percentDecoded(text: string): string {
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

/** As Envoy shows it: escapes of visible ASCII are undone, others stay, a percent sign in front of something else goes. */
function readableQuery(text: string): string {
  return text.replace(/%(?:([0-9A-Fa-f]{2})|(?=..))/g, (sequence: string, hex: string | undefined) => {
    if (hex === undefined) return '';
    const code = Number.parseInt(hex, 16);
    return code > 0x20 && code < 0x7f ? String.fromCharCode(code) : sequence;
  });
}

/** `extensions` may have words of `celWords`. */
function cel(argument: string, command: string, extensions: ExtensionCommands): Operator | Problem {
  // Formats are latin1 by now, expressions are Unicode.
  const text = utf8OfLatin1(argument);
  const options = celOptionsOfWords(extensions);
  const problem = celProblem(text, options);
  return problem === undefined ? new CelOperator({ text, options }, command === 'TYPED_CEL') : { problem };
}

const clientCertKeys = ['by', 'hash', 'cert', 'chain', 'subject', 'uri', 'dns'];

/** The first value of a key of x-forwarded-client-cert. */
function clientCertValue(argument: string, command: string): Operator | Problem {
  if (argument === '') return { problem: `${command} command requires a subcommand` };
  const key = argument.toLowerCase();
  if (!clientCertKeys.includes(key))
    return { problem: `${command} command does not support subcommand: ${argument}` };
  return new TextOperator(
    (context) => forwardedCertValue(context.requestHeaders?.get('x-forwarded-client-cert') ?? '', key),
    true,
  );
}

function coalesce(argument: string): Operator | Problem {
  let config: unknown;
  try {
    config = JSON.parse(argument);
  } catch (error) {
    return { problem: `COALESCE: failed to parse JSON configuration: ${(error as Error).message}` };
  }
  if (typeof config !== 'object' || config === null || !Object.hasOwn(config, 'operators'))
    return { problem: "COALESCE: JSON configuration must contain 'operators' array" };
  const listed = (config as { operators: unknown }).operators;
  if (!Array.isArray(listed))
    return { problem: `COALESCE: 'operators' must be an array: ${notOfType('operators', 'an array')}` };
  if (listed.length === 0) return { problem: "COALESCE: 'operators' array must not be empty" };
  const operators: Operator[] = [];
  for (const [index, entry] of listed.entries()) {
    const made = coalesced(entry);
    if ('problem' in made) {
      const why = made.problem.startsWith('Not supported field')
        ? `unknown command: '${typeof entry === 'string' ? entry : entry.command}'`
        : made.problem;
      return { problem: `COALESCE: failed to parse operator at index ${index}: ${why}` };
    }
    operators.push(made);
  }
  return new CoalesceOperator(operators);
}

function coalesced(entry: unknown): Operator | Problem {
  if (typeof entry === 'string') return operator(entry, undefined, -1);
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry))
    return {
      problem: "operator entry must be either a string (command name) or an object with 'command' field",
    };
  const { command, param, max_length: length } = entry as Record<string, unknown>;
  if (typeof command !== 'string')
    return { problem: `operator object must have 'command' field: ${notOfType('command', 'a string')}` };
  if (param !== undefined && typeof param !== 'string')
    return { problem: `'param' field must be a string: ${notOfType('param', 'a string')}` };
  if (length !== undefined && !Number.isInteger(length))
    return { problem: `'max_length' field must be an integer: ${notOfType('max_length', 'an integer')}` };
  if (length !== undefined && (length as number) <= 0)
    return { problem: "'max_length' must be a positive integer" };
  return operator(command, param, (length as number | undefined) ?? -1);
}

function notOfType(key: string, type: string): string {
  return `key '${key}' missing or not ${type} from lines 1-1`;
}

/** The argument is a prefix length: the address with the rest of its bits zero. One that is no number is as none. */
function addressCommand(read: (info: StreamInfo) => string): Make {
  return (argument) => {
    const bits = /^\s*[+-]?\d+\s*$/.test(argument) ? Number(argument) : Number.NaN;
    if (!(Math.abs(bits) < 2 ** 31)) return info((it) => ipOfAddress(read(it)));
    const masked = (it: StreamInfo) => {
      const ip = ipOfAddress(read(it));
      const version = ipVersion(ip);
      if (isPath(ip)) return '';
      if (version === 0) return undefined;
      if (bits < 0) return '';
      const own = Math.min(bits, version === 4 ? 32 : 128);
      return `${maskedIp(ip, own)}/${own}`;
    };
    return new TextOperator((context) => masked(context.info), true);
  };
}
