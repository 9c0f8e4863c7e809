// The contract of listener filters: what looks at an accepted socket before a filter chain is chosen for it.
import type { ParseContext } from '#config/parse-context.ts';
import type { Extension, Registry } from './registry.ts';
import type { ConnectionInfo, StreamInfo } from './stream-info.ts';
import type { WorkerServices } from './worker-services.ts';

export const ListenerFilterStatus = {
  /** The next filter, or the choice of a chain. */
  Continue: 0,
  /** Not enough bytes to tell: again when more have come. */
  NeedMore: 1,
  /** The connection is closed. */
  Close: 2,
} as const;
export type ListenerFilterStatus = (typeof ListenerFilterStatus)[keyof typeof ListenerFilterStatus];

/** The socket as its filters see it. What is written to `info` is what chains, filters and logs see of the connection. */
export interface AcceptedSocket {
  readonly info: ConnectionInfo;
  /** Info of the connection as a whole, for formatters. */
  readonly streamInfo: StreamInfo;
  /** Application protocols that the client offers or speaks, for the choice of a chain. */
  offeredProtocols: readonly string[];
  /** Takes the first `bytes` away: nobody behind this filter sees them. */
  consume(bytes: number): void;
  /** Dynamic metadata of the connection, under the name of the filter: for access logs and network filters. */
  setMetadata(name: string, values: Record<string, unknown>): void;
  /** The addresses before a load balancer: `ip:port`. */
  restoreAddresses(remote: string, local: string): void;
  /**
   * Where a connection wanted to go before rules of the system redirected it. Undefined without such rules; where there are some, also
   * connections that none of them touched have one.
   */
  originalDestination(): string | undefined;
  restoreLocalAddress(local: string): void;
}

/** One prepared filter serves all connections of a listener: it keeps nothing of one. */
export interface ListenerFilter {
  /** False: asked once, with no bytes, before anything is read. */
  readonly needsBytes: boolean;
  /** `bytes`: everything received and not consumed so far. `end`: no more will come. */
  inspect(socket: AcceptedSocket, bytes: Buffer, end: boolean): ListenerFilterStatus;
}

export interface ListenerFilterContext extends WorkerServices {
  /** `listener.<address>.`, with the trailing dot. */
  readonly statPrefix: string;
}

export interface ListenerFilterExtension<Message = never, Config = never>
  extends Extension<'listener_filter'> {
  parse(message: Message, at: ParseContext, registry: Registry): Config;
  prepare(config: Config, context: ListenerFilterContext): ListenerFilter;
}

/** Only carries the types. */
export function defineListenerFilter<Message, Config>(
  extension: ListenerFilterExtension<Message, Config>,
): ListenerFilterExtension {
  return extension as unknown as ListenerFilterExtension;
}
