// A UDP listener in a worker: its sockets, and the filters that run on what they receive. Workers share an address by `reusePort`: the
// system keeps the datagrams of one peer on one of them.
import { networkInterfaces } from 'node:os';
import { logger } from '#base/logger.ts';
import { collectTakings } from '#base/takings.ts';
import {
  type UdpFilter,
  type UdpFilterContext,
  type UdpFilterExtension,
  UdpFilterStatus,
  type UdpListener,
} from '#extension/udp-filter.ts';
import { inodeOf, udpDrops } from '#net/udp-drops.ts';
import { type DatagramReader, type UdpBindOptions, UdpSocket } from '#net/udp-socket.ts';
import type { Counter } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';
import type { SocketAddressData } from '../address.ts';
import type { ListenerConfig, UdpListenerConfig } from '../listener/listener-config.ts';
import { ListenerStats, ListenerWorkerStats } from '../listener/listener-stats.ts';
import type { WorkerContext } from '../worker-context.ts';
import type { DataPlaneUdpContext } from './prepare-udp-proxy.ts';

const log = logger('conn_handler');

/** `listener.<address>.udp.` */
export class UdpListenerStats {
  readonly downstreamRxDatagramDropped: Counter;

  constructor(scope: Scope) {
    this.downstreamRxDatagramDropped = scope.counter('downstream_rx_datagram_dropped');
  }
}

export class ActiveUdpListener {
  readonly #config: ListenerConfig;
  readonly #udp: UdpListenerConfig;
  readonly #worker: WorkerContext;
  readonly #scope: Scope;
  readonly #stats: UdpListenerStats;
  readonly #endpoints: UdpEndpoint[] = [];
  readonly #filters: UdpFilter[] = [];
  readonly #releases: (() => void)[] = [];

  constructor(config: ListenerConfig, udp: UdpListenerConfig, worker: WorkerContext) {
    this.#config = config;
    this.#udp = udp;
    this.#worker = worker;
    this.#scope = worker.store.root.scope(`listener.${config.statPrefix}`);
    // Envoy lists them for every listener.
    this.#scope.stats(ListenerStats);
    this.#scope.scope(`worker_${worker.index}`).stats(ListenerWorkerStats);
    this.#stats = this.#scope.scope('udp').stats(UdpListenerStats);
  }

  /** As `ActiveListener.listen`. */
  listen(
    addresses: readonly SocketAddressData[],
    _descriptors: readonly number[],
    onListening: (ports: readonly number[], descriptors: readonly number[]) => void,
    onError: (error: NodeJS.ErrnoException, address: SocketAddressData) => void,
  ): void {
    const ports: number[] = [];
    const openNext = () => {
      const address = addresses[ports.length];
      if (address === undefined) {
        onListening(ports, []);
        return;
      }
      const filters = this.#prepareFilters();
      const options = { ...address, reusePort: this.#config.reusePort };
      this.#open(
        options,
        filters,
        (port) => {
          ports.push(port);
          this.#openInterfaces({ ...options, port }, filters, openNext);
        },
        (error) => onError(error, address),
      );
    };
    openNext();
  }

  /** Each address of a listener has its own filters. */
  #prepareFilters(): readonly UdpFilter[] {
    const { services, registry } = this.#worker;
    if (this.#udp.filters.length === 0) log.warn('UDP listener has no filters. Packets will be dropped.');
    const context: Omit<DataPlaneUdpContext, 'name'> = {
      ...services,
      registry,
      listenerName: this.#config.name,
      statPrefix: this.#scope.prefix,
      worker: this.#worker,
    };
    const { value: filters, release } = collectTakings(() =>
      this.#udp.filters.map((it) =>
        registry
          .byName<UdpFilterExtension>('udp_filter', it.extension)!
          .prepare(it.config as never, { ...context, name: it.name } as UdpFilterContext),
      ),
    );
    this.#releases.push(release);
    this.#filters.push(...filters);
    return filters;
  }

  #open(
    options: UdpBindOptions,
    filters: readonly UdpFilter[],
    onBound: (port: number) => void,
    onError: (error: NodeJS.ErrnoException) => void,
  ): void {
    const key = this.#endpoints.length === 0 ? '' : ` ${this.#endpoints.length}`;
    const endpoint = new UdpEndpoint(key, options, filters, this.#udp.maxDatagramBytes, this.#stats);
    UdpSocket.bind(
      options,
      endpoint,
      (socket, port) => {
        this.#endpoints.push(endpoint);
        endpoint.start(socket, port);
        onBound(port);
      },
      onError,
    );
  }

  /**
   * Beside a wildcard address a socket for each address that the machine has now, so that answers come from where the question went: one
   * socket for all would leave that to the system. What has no socket of its own, such as a later address, is the wildcard's.
   */
  #openInterfaces(options: UdpBindOptions, filters: readonly UdpFilter[], onDone: () => void): void {
    const found = options.reusePort ? interfaceAddresses(options) : [];
    const own = found.length <= maxInterfaceAddresses ? found : [];
    const openNext = () => {
      const address = own.pop();
      if (address === undefined) onDone();
      // Somebody else may have it: then it is theirs.
      else this.#open({ ...options, address }, filters, openNext, openNext);
    };
    openNext();
  }

  /** Brings the counter of dropped datagrams up to date, before the metrics are read. */
  countDrops(): void {
    if (this.#endpoints.length === 0) return;
    const drops = udpDrops();
    if (drops.size > 0) for (const it of this.#endpoints) it.countDrops(drops);
  }

  /** Sessions have no goodbye to say. */
  drain(): void {}

  /** There is nothing to go on without the sockets: sessions end. */
  stopListening(): void {
    for (const it of this.#filters.splice(0)) it.onClose?.();
    for (const it of this.#endpoints.splice(0)) it.close();
  }

  close(): void {
    this.stopListening();
    for (const it of this.#releases) it();
  }
}

/** A machine with more is a router of some kind; it is not worth so many sockets. */
const maxInterfaceAddresses = 64;

/** Those that a wildcard address stands for. */
function interfaceAddresses({ address, ipv4Compat }: UdpBindOptions): string[] {
  if (!isWildcard(address)) return [];
  return Object.values(networkInterfaces()).flatMap((all) =>
    (all ?? []).flatMap((it) => {
      // One of a link needs the name of the link too, and IPv4 in IPv6 the other kind of socket.
      if (it.family === 'IPv6') return address === '::' && !it.address.startsWith('fe80:') ? it.address : [];
      return address === '0.0.0.0' ? it.address : ipv4Compat ? `${mapped}${it.address}` : [];
    }),
  );
}

const isWildcard = (address: string) => address === '0.0.0.0' || address === '::';

/** How IPv4 addresses look on an IPv6 socket. */
const mapped = '::ffff:';

/** One socket of a listener. */
class UdpEndpoint implements DatagramReader, UdpListener {
  readonly key: string;
  localPort = 0;
  readonly #address: string;
  readonly #isDualStack: boolean;
  readonly #filters: readonly UdpFilter[];
  readonly #maxDatagramBytes: number;
  readonly #stats: UdpListenerStats;
  #socket: UdpSocket | undefined = undefined;
  #inode = '';
  #countedDrops = 0;

  constructor(
    key: string,
    { address, ipv4Compat }: UdpBindOptions,
    filters: readonly UdpFilter[],
    maxDatagramBytes: number,
    stats: UdpListenerStats,
  ) {
    this.key = key;
    this.#address = address;
    this.#isDualStack = ipv4Compat && address.includes(':');
    this.#filters = filters;
    this.#maxDatagramBytes = maxDatagramBytes;
    this.#stats = stats;
  }

  start(socket: UdpSocket, port: number): void {
    this.#socket = socket;
    this.#inode = inodeOf(socket.descriptor);
    this.localPort = port;
  }

  countDrops(drops: ReadonlyMap<string, number>): void {
    const all = drops.get(this.#inode) ?? 0;
    this.#stats.downstreamRxDatagramDropped.value += all - this.#countedDrops;
    this.#countedDrops = all;
  }

  onDatagram(bytes: Buffer, from: string, port: number): void {
    if (bytes.length > this.#maxDatagramBytes) {
      this.#stats.downstreamRxDatagramDropped.value++;
      return;
    }
    const address = this.#isDualStack && from.startsWith(mapped) ? from.slice(mapped.length) : from;
    const filters = this.#filters;
    for (let i = 0; i < filters.length; i++) {
      if (filters[i]!.onDatagram(bytes, address, port, this) === UdpFilterStatus.StopIteration) return;
    }
  }

  onReceiveError(): void {
    const filters = this.#filters;
    for (let i = 0; i < filters.length; i++) {
      if (filters[i]!.onReceiveError?.() === UdpFilterStatus.StopIteration) return;
    }
  }

  send(bytes: Buffer, address: string, port: number): boolean {
    const to = this.#isDualStack && !address.includes(':') ? `${mapped}${address}` : address;
    return this.#socket?.sendTo(bytes, to, port) === true;
  }

  localIp(peer: string): string {
    if (isWildcard(this.#address)) return UdpSocket.sourceAddress(peer) ?? this.#address;
    return this.#address.startsWith(mapped) ? this.#address.slice(mapped.length) : this.#address;
  }

  close(): void {
    this.#socket?.close();
    this.#socket = undefined;
  }
}
