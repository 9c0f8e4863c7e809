// The contract of transport sockets: what stands between a TCP (or Unix) socket and the bytes that filters and codecs see.
// `raw_buffer` is the identity, `tls` wraps into a `node:tls` socket.
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { ParseContext } from '#config/parse-context.ts';
import type { ConnectionObserver } from '#net/connection.ts';
import type { Scope } from '#stats/store.ts';
import type { FormatContext } from './formatter.ts';
import type { Host } from './load-balancer.ts';
import type { ProxiedConnection } from './proxy-protocol-config.ts';
import type { Extension, Registry } from './registry.ts';
import type { FilterStateObject, TlsInfo } from './stream-info.ts';
import type { WorkerServices } from './worker-services.ts';

/** For accepted connections; one per filter chain and worker. */
export interface DownstreamTransport {
  /** `tls`, `raw_buffer`, ... as filter-chain matching names it. */
  readonly protocol: string;
  /**
   * Called when the chain is known, without bytes, and destroys the socket if it cannot be served. Returns `socket` itself when nothing
   * is wrapped. Undefined: it wants to see the client's first bytes, and is called again with all that have come, until it returns a TLS
   * socket that has taken them, and that will emit `secure` or fail.
   */
  wrap(socket: Socket, first: Buffer): Socket | TLSSocket | undefined;
  /** Facts of an established TLS connection; undefined when `socket` is plain. */
  tlsInfo(socket: Socket | TLSSocket): TlsInfo | undefined;
  /** Called once for a connection, before `wrap`. */
  observe?(connection: ObservedConnection): ConnectionObserver | undefined;
}

/** A connection, for those who record it. */
export interface ObservedConnection {
  readonly id: number;
  /** Empty: not known yet. */
  readonly localAddress: string;
  readonly remoteAddress: string;
}

/** What the client's connection says about the connection to the host. Empty: as configured. */
export interface TransportOptions {
  readonly serverName: string;
  readonly applicationProtocols: readonly string[];
  /** The host's certificate must have one of these names besides. */
  readonly subjectAltNames: readonly string[];
  /** For a PROXY header. */
  readonly proxied: ProxiedConnection | undefined;
  /** Filter state that goes on to the connection. */
  readonly shared: ReadonlyMap<string, FilterStateObject> | undefined;
  /** Of the hashable ones among it: connections with others are kept apart. */
  readonly sharedKey: string;
}

/** For opened connections; one per cluster (later: per transport socket match) and worker. */
export interface UpstreamTransport {
  readonly isTls: boolean;
  /** Bytes that go before all others, when the socket is connected. `own`: this connection, for formats; it knows nothing of the client. */
  greeting?(
    socket: Socket,
    host: Host,
    options: TransportOptions | undefined,
    own: () => FormatContext,
  ): Buffer;
  /** Connections with different keys are kept apart; empty for those that are like any other. */
  poolKey?(options: TransportOptions): string;
  /** Wraps a socket that is connecting. `alpn`: what the pool can speak, empty to leave it to the configuration. */
  wrap(
    socket: Socket,
    host: Host,
    alpn: readonly string[],
    options: TransportOptions | undefined,
  ): Socket | TLSSocket;
  tlsInfo(socket: Socket | TLSSocket): TlsInfo | undefined;
  observe?(connection: ObservedConnection, host: Host): ConnectionObserver | undefined;
}

export interface TransportSocketContext extends WorkerServices {
  /** `listener.<address>.` or `cluster.<name>.`: where `ssl.*` goes. */
  readonly statPrefix: string;
  readonly registry: Registry;
}

export interface DownstreamTransportExtension<Message = never, Config = never>
  extends Extension<'downstream_transport_socket'> {
  parse(message: Message, at: ParseContext, registry: Registry): Config;
  prepare(config: Config, context: TransportSocketContext): DownstreamTransport;
}

export interface UpstreamTransportExtension<Message = never, Config = never>
  extends Extension<'upstream_transport_socket'> {
  parse(message: Message, at: ParseContext, registry: Registry): Config;
  /** On the main thread: what of `scope`, the cluster's, is listed before a worker needs the cluster. */
  declare?(scope: Scope): void;
  prepare(config: Config, context: TransportSocketContext): UpstreamTransport;
}

/** Only carries the types. */
export function defineDownstreamTransport<Message, Config>(
  extension: DownstreamTransportExtension<Message, Config>,
): DownstreamTransportExtension {
  return extension as unknown as DownstreamTransportExtension;
}

export function defineUpstreamTransport<Message, Config>(
  extension: UpstreamTransportExtension<Message, Config>,
): UpstreamTransportExtension {
  return extension as unknown as UpstreamTransportExtension;
}
