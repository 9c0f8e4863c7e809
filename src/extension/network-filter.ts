// The contract of network filters: what runs on the bytes of an accepted connection, in the order of the chain. The connection
// manager and tcp_proxy are network filters that end a chain.
import type { ParseContext } from '#config/parse-context.ts';
import type { CloseEvent, CloseType, Connection } from '#net/connection.ts';
import type { Extension, Registry } from './registry.ts';
import type { ConnectionInfo, FilterStateObject, StreamInfo } from './stream-info.ts';
import type { WorkerServices } from './worker-services.ts';

export const NetworkFilterStatus = { Continue: 0, StopIteration: 1 } as const;
export type NetworkFilterStatus = (typeof NetworkFilterStatus)[keyof typeof NetworkFilterStatus];

/** One filter of one connection. Read callbacks run in the order of the chain, write callbacks in reverse. */
export interface NetworkFilter {
  /** Before the first byte. StopIteration: later filters see nothing of the connection until `continueReading(this)`. */
  onNewConnection?(): NetworkFilterStatus;
  /** TLS is agreed on: certificates, server name and protocol are known. Comes after `onNewConnection` and before the first byte. */
  onHandshake?(): void;
  /** StopIteration keeps the bytes: they are held and come to the next filter with `continueReading(this)`. `end`: FIN, half close. */
  onData?(data: Buffer, end: boolean): NetworkFilterStatus;
  /** Bytes on their way to the peer. StopIteration drops them: the filter has its own plan for them. */
  onWrite?(data: Buffer, end: boolean): NetworkFilterStatus;
  onAboveWriteBufferHighWatermark?(): void;
  onBelowWriteBufferLowWatermark?(): void;
  /** The connection is gone. The last call. */
  onClose?(event: CloseEvent): void;
}

/** The connection as its filters see it. */
export interface DownstreamConnection {
  readonly info: ConnectionInfo;
  /** For bytes: `write` and `end` here pass the write filters of the chain, those of `connection` do not. */
  readonly connection: Connection;
  /** Info of the connection as a whole: what tcp_proxy fills and the listener's access log reads. */
  readonly streamInfo: StreamInfo;
  /** Written by earlier filters (sni_cluster, set_filter_state), read by tcp_proxy and the connection manager. */
  readonly filterState: Map<string, FilterStateObject>;
  write(data: Buffer): void;
  end(): void;
  /** `reason`: `%DOWNSTREAM_LOCAL_CLOSE_REASON%`; empty to leave it. */
  close(type: CloseType, reason: string): void;
  /** What `close` was told; logs that filters write when the connection closes do not see it, those that come later do. */
  readonly closeReason: string;
  /** Resumes after StopIteration of `filter`. */
  continueReading(filter: NetworkFilter): void;
  /** Also while the handshake lasts, when `info.tls` is not known yet. */
  readonly isTls: boolean;
  /** True while the listener drains: new work is refused politely. */
  readonly isDraining: boolean;
}

/** Called once per connection. */
export type NetworkFilterFactory = (connection: DownstreamConnection) => NetworkFilter;

/** What a network filter gets to prepare with, once per filter chain and worker. */
export interface NetworkFilterContext extends WorkerServices {
  /** From 0; a worker that replaces another has its number. */
  readonly workerIndex: number;
  readonly name: string;
  readonly registry: Registry;
  readonly listenerName: string;
  readonly filterChainName: string;
  /** `INBOUND`, `OUTBOUND` or empty. */
  readonly trafficDirection: string;
  readonly listenerMetadata: Readonly<Record<string, Readonly<Record<string, unknown>>>> | undefined;
  /** `per_connection_buffer_limit_bytes` of the listener. */
  readonly bufferLimitBytes: number;
}

export interface NetworkFilterExtension<Message = never, Config = never> extends Extension<'network_filter'> {
  parse(message: Message, at: ParseContext, registry: Registry): Config;
  /** Ends a chain: nothing may stand behind it. */
  readonly terminal?: boolean;
  prepare(config: Config, context: NetworkFilterContext): NetworkFilterFactory;
}

/** Only carries the types. */
export function defineNetworkFilter<Message, Config>(
  extension: NetworkFilterExtension<Message, Config>,
): NetworkFilterExtension {
  return extension as unknown as NetworkFilterExtension;
}
