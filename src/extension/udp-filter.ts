// The contract of UDP filters: what runs on the datagrams of a UDP listener, in the order of its `listener_filters`.
import type { ParseContext } from '#config/parse-context.ts';
import type { Extension, Registry } from './registry.ts';
import type { WorkerServices } from './worker-services.ts';

export const UdpFilterStatus = { Continue: 0, StopIteration: 1 } as const;
export type UdpFilterStatus = (typeof UdpFilterStatus)[keyof typeof UdpFilterStatus];

/** One per listener and worker: it serves every peer. StopIteration: later filters see nothing of this datagram. */
export interface UdpFilter {
  /** Hot. `bytes` may be kept; `address` and `port` are the sender's. What is answered goes out through `listener`. */
  onDatagram(bytes: Buffer, address: string, port: number, listener: UdpListener): UdpFilterStatus;
  /** Reading the listener's socket failed. */
  onReceiveError?(): UdpFilterStatus;
  /** The listener is gone. The last call. */
  onClose?(): void;
}

/** An address of the listener as its filters see it. */
export interface UdpListener {
  /** Tells the addresses of one listener apart; empty for the only or first one. */
  readonly key: string;
  /** Hot. To a peer. False: it could not be sent. `bytes` must not change any more. */
  send(bytes: Buffer, address: string, port: number): boolean;
  /** The address that a peer sees as this listener's: on a wildcard address the one its answers come from. */
  localIp(peer: string): string;
  readonly localPort: number;
}

export interface UdpFilterContext extends WorkerServices {
  readonly name: string;
  readonly registry: Registry;
  readonly listenerName: string;
  /** `listener.<address>.`, with the trailing dot. */
  readonly statPrefix: string;
}

export interface UdpFilterExtension<Message = never, Config = never> extends Extension<'udp_filter'> {
  parse(message: Message, at: ParseContext, registry: Registry): Config;
  prepare(config: Config, context: UdpFilterContext): UdpFilter;
}

/** Only carries the types. */
export function defineUdpFilter<Message, Config>(
  extension: UdpFilterExtension<Message, Config>,
): UdpFilterExtension {
  return extension as unknown as UdpFilterExtension;
}
