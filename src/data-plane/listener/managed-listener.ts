// A listener as the main thread keeps it: the accepted message, what workers are told, and where it is open.
import { addressText } from '#base/address-text.ts';
import { nativeSockets } from '#net/native-sockets.ts';
import { encodeMessage } from '#schema/binary.ts';
import type { FilterChain, Listener } from '#schema/messages/envoy/config/listener/v3.ts';
import { message as messageType } from '#schema/registry.ts';
import type { ChainUpdate } from './chain-update.ts';
import type { ListenerConfig } from './listener-config.ts';

/** What all workers share of a listener's sockets, and its successors with them. */
export class ListenerSockets {
  /** In the order of the addresses; undefined before they are bound. */
  ports: readonly number[] | undefined = undefined;
  /** Our own copies of what the first worker has bound and the others listen on. */
  descriptors: readonly number[] = [];

  close(): void {
    for (const it of this.descriptors) nativeSockets().close(it);
    this.descriptors = [];
  }
}

export class ManagedListener {
  /** The same for what an in-place update makes of a listener. */
  readonly tag: number;
  readonly message: Listener;
  readonly config: ListenerConfig;
  /** From the bootstrap: no update may change it. */
  readonly isStatic: boolean;
  readonly version: string;
  readonly updatedMs = Date.now();
  /** Undefined once another listener has taken them over. */
  sockets: ListenerSockets | undefined;
  /** Open connections by worker; see `ConnectionCounts`. */
  connections: SharedArrayBuffer = none;
  /** Gives back what it was waiting for. */
  release: () => void = () => {};
  /** The listener that it goes on with the sockets of; 0: none. */
  takesOver = 0;
  /** Another one will, or does. */
  isTakenOver = false;
  /** Workers that know it. */
  readonly workers = new Set<number>();
  /** Nobody accepts for it any more. */
  isStopped = false;
  /** Of everything; empty until somebody asks. */
  #bytes = '';

  constructor(
    tag: number,
    message: Listener,
    config: ListenerConfig,
    isStatic: boolean,
    version: string,
    sockets: ListenerSockets,
  ) {
    this.tag = tag;
    this.message = message;
    this.config = config;
    this.isStatic = isStatic;
    this.version = version;
    this.sockets = sockets;
  }

  get name(): string {
    return this.config.name;
  }

  isMadeFrom(message: Listener): boolean {
    if (this.#bytes === '') this.#bytes = bytesOf(this.message);
    return this.#bytes === bytesOf(message);
  }

  /** Whether nothing but filter chains differs, so that the rest can stay as it is. */
  differsInChainsOnly(message: Listener): boolean {
    return message.filter_chains.length > 0 && withoutChains(this.message) === withoutChains(message);
  }

  /** What of the chains stays when `message` takes this one's place. */
  keptChains(message: Listener): Pick<ChainUpdate, 'keeps' | 'keepsDefault'> {
    const before = this.message.filter_chains.map(chainBytes);
    const defaultBefore = this.message.default_filter_chain;
    const defaultAfter = message.default_filter_chain;
    return {
      keeps: message.filter_chains.map((it) => before.indexOf(chainBytes(it))),
      keepsDefault:
        defaultBefore === undefined || defaultAfter === undefined
          ? defaultBefore === defaultAfter
          : chainBytes(defaultBefore) === chainBytes(defaultAfter),
    };
  }

  /** The same ones, with the same options. */
  hasAddressesOf({ config }: ManagedListener): boolean {
    const own = this.config;
    return (
      (own.udp === undefined) === (config.udp === undefined) &&
      JSON.stringify(own.addresses) === JSON.stringify(config.addresses)
    );
  }

  /** Whether its sockets can serve the other one as they are. Those of UDP belong to its sessions. */
  hasSocketsFor(other: ManagedListener): boolean {
    const own = this.config;
    return (
      this.sockets !== undefined &&
      !this.isTakenOver &&
      own.udp === undefined &&
      own.bindsToPort === other.config.bindsToPort &&
      own.reusePort === other.config.reusePort &&
      this.hasAddressesOf(other)
    );
  }

  /** Whether both cannot be open at the same time. Versions of one listener may have other socket options. */
  hasAddressOf(other: ManagedListener): boolean {
    if ((this.config.udp === undefined) !== (other.config.udp === undefined)) return false;
    const isVersion = this.name === other.name;
    return this.config.addresses.some((own) =>
      other.config.addresses.some(
        (it) =>
          own.address === it.address &&
          own.port === it.port &&
          (own.port !== 0 || !this.config.bindsToPort) &&
          !(isVersion && JSON.stringify(own.options) !== JSON.stringify(it.options)),
      ),
    );
  }

  get addressesText(): string {
    return this.config.addresses.map((it) => addressText(it.address, it.port)).join(',');
  }
}

const none = new SharedArrayBuffer(0);

function bytesOf(message: object): string {
  return latin1(encodeMessage(messageType('envoy.config.listener.v3.Listener')!, message));
}

const latin1 = (bytes: Uint8Array) =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');

function chainBytes(chain: FilterChain): string {
  return latin1(encodeMessage(messageType('envoy.config.listener.v3.FilterChain')!, chain));
}

const chainFields = ['filter_chains', 'default_filter_chain', 'filter_chain_matcher'];

function withoutChains(message: Listener): string {
  return bytesOf(Object.fromEntries(Object.entries(message).filter(([name]) => !chainFields.includes(name))));
}
