// A UDP listener in a worker: for each of its addresses a socket and the filters that run on its datagrams. Workers share an address
// by `reusePort`: the system keeps the datagrams of one peer on one of them.
import type { Registry } from '#extension/registry.ts';
import {
  type UdpFilter,
  type UdpFilterContext,
  type UdpFilterExtension,
  UdpFilterStatus,
  type UdpListener,
} from '#extension/udp-filter.ts';
import { type DatagramReader, UdpSocket } from '#net/udp-socket.ts';
import type { Counter } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';
import type { SocketAddressData } from '../address.ts';
import type { ListenerConfig, UdpListenerConfig } from '../listener/listener-config.ts';
import { ListenerStats, ListenerWorkerStats } from '../listener/listener-stats.ts';
import type { WorkerContext } from '../worker-context.ts';
import type { DataPlaneUdpContext } from './prepare-udp-proxy.ts';

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
  readonly #endpoints: UdpEndpoint[] = [];

  constructor(config: ListenerConfig, udp: UdpListenerConfig, worker: WorkerContext) {
    this.#config = config;
    this.#udp = udp;
    this.#worker = worker;
    this.#scope = worker.store.root.scope(`listener.${config.statPrefix}`);
    // Envoy lists them for every listener.
    this.#scope.stats(ListenerStats);
    this.#scope.scope(`worker_${worker.index}`).stats(ListenerWorkerStats);
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
      const endpoint = new UdpEndpoint(address, this.#udp, this.#scope.scope('udp').stats(UdpListenerStats));
      UdpSocket.bind(
        { ...address, reusePort: this.#config.reusePort },
        endpoint,
        (socket, port) => {
          this.#endpoints.push(endpoint);
          endpoint.start(socket, port, this.#context(endpoint));
          ports.push(port);
          openNext();
        },
        (error) => onError(error, address),
      );
    };
    openNext();
  }

  #context(listener: UdpListener): Omit<DataPlaneUdpContext, 'name'> {
    const { services, registry } = this.#worker;
    return {
      ...services,
      registry,
      listenerName: this.#config.name,
      listener,
      statPrefix: this.#scope.prefix,
      worker: this.#worker,
    };
  }

  /** Sessions have no goodbye to say. */
  drain(): void {}

  /** There is nothing to go on without the socket: sessions end. */
  stopListening(): void {
    for (const it of this.#endpoints.splice(0)) it.close();
  }

  close(): void {
    this.stopListening();
  }
}

/** One address of a listener. */
class UdpEndpoint implements DatagramReader, UdpListener {
  localPort = 0;
  readonly #address: string;
  readonly #isWildcard: boolean;
  readonly #config: UdpListenerConfig;
  readonly #stats: UdpListenerStats;
  #socket: UdpSocket | undefined = undefined;
  #filters: readonly UdpFilter[] = [];

  constructor({ address }: SocketAddressData, config: UdpListenerConfig, stats: UdpListenerStats) {
    this.#address = address;
    this.#isWildcard = address === '0.0.0.0' || address === '::';
    this.#config = config;
    this.#stats = stats;
  }

  start(socket: UdpSocket, port: number, context: Omit<UdpFilterContext, 'name'>): void {
    this.#socket = socket;
    this.localPort = port;
    this.#filters = prepareFilters(this.#config, context.registry, context);
  }

  onDatagram(bytes: Buffer, address: string, port: number): void {
    if (bytes.length > this.#config.maxDatagramBytes) {
      this.#stats.downstreamRxDatagramDropped.value++;
      return;
    }
    const filters = this.#filters;
    for (let i = 0; i < filters.length; i++) {
      if (filters[i]!.onDatagram(bytes, address, port) === UdpFilterStatus.StopIteration) return;
    }
  }

  onReceiveError(): void {
    const filters = this.#filters;
    for (let i = 0; i < filters.length; i++) {
      if (filters[i]!.onReceiveError?.() === UdpFilterStatus.StopIteration) return;
    }
  }

  send(bytes: Buffer, address: string, port: number): boolean {
    return this.#socket?.sendTo(bytes, address, port) === true;
  }

  localIp(peer: string): string {
    return this.#isWildcard ? (UdpSocket.sourceAddress(peer) ?? this.#address) : this.#address;
  }

  close(): void {
    for (const it of this.#filters) it.onClose?.();
    this.#socket?.close();
    this.#socket = undefined;
  }
}

function prepareFilters(
  config: UdpListenerConfig,
  registry: Registry,
  context: Omit<UdpFilterContext, 'name'>,
): UdpFilter[] {
  return config.filters.map((it) =>
    registry
      .byName<UdpFilterExtension>('udp_filter', it.extension)!
      .prepare(it.config as never, { ...context, name: it.name }),
  );
}
