// A listener in a worker: its sockets, its prepared filter chains, its connections. Steps 1 and 2 of a request's way.
// Listener filters run between accept and the choice of a chain (`inspected-socket.ts`, `filter-chain-match.ts`).
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { addressText } from '#base/address-text.ts';
import { ReadPlace } from '#base/read-buffers.ts';
import { turnMs } from '#base/turn.ts';
import { type AccessLogger, prepareAccessLogs } from '#extension/access-logger.ts';
import { AccessLogType } from '#extension/formatter.ts';
import type { ListenerFilterExtension } from '#extension/listener-filter.ts';
import { ResponseFlag } from '#extension/response-flag.ts';
import { CloseType, Connection } from '#net/connection.ts';
import { nextConnectionId } from '#net/dial.ts';
import { ListeningSocket } from '#net/listening-socket.ts';
import { readByCall } from '#net/read-by-call.ts';
import { resetSocket } from '#net/reset-socket.ts';
import { tlsResetText } from '#net/tls-error.ts';
import type { SocketAddressData } from '../address.ts';
import type { RequestInfo } from '../http/request-info.ts';
import type { WorkerContext } from '../worker-context.ts';
import { AcceptedConnection, AcceptedConnectionInfo } from './accepted-connection.ts';
import { ActiveFilterChain } from './active-filter-chain.ts';
import { ChainMatcher } from './chain-matcher.ts';
import type { ChainUpdate } from './chain-update.ts';
import type { ConnectionCounts } from './connection-counts.ts';
import { Drain } from './drain.ts';
import { type ConnectionFacts, FilterChainMatch } from './filter-chain-match.ts';
import {
  InspectedSocket,
  type InspectionFailure,
  type InspectionOwner,
  type InspectionStep,
} from './inspected-socket.ts';
import type { FilterChainConfig, ListenerAddress, ListenerConfig } from './listener-config.ts';
import { compileListenerFilterPredicate } from './listener-filter-predicate.ts';
import { ListenerStats, ListenerWorkerStats } from './listener-stats.ts';

export class ActiveListener implements InspectionOwner {
  config: ListenerConfig;
  readonly worker: WorkerContext;
  readonly stats: ListenerStats;
  readonly workerStats: ListenerWorkerStats;
  readonly connections = new Set<AcceptedConnection>();
  readonly #drain = new Drain();
  #chains: readonly ActiveFilterChain[];
  #defaultChain: ActiveFilterChain | undefined;
  #match: { match(facts: ConnectionFacts): ActiveFilterChain | undefined };
  /** What in-place updates have left behind, by the number of the update. */
  readonly #leftChains = new Map<number, ReadonlySet<ActiveFilterChain>>();
  readonly #filters: readonly InspectionStep[];
  readonly #accessLogs: readonly AccessLogger[];
  readonly #inspections = new Set<InspectedSocket>();
  readonly #sockets: ListeningSocket[] = [];
  /** As bound. */
  addresses: readonly ListenerAddress[];
  /** It accepts no more: another may have its addresses. */
  isStopped = false;
  readonly #scopePrefix: string;
  readonly #limitKey: string;
  readonly #counts: ConnectionCounts;
  readonly #allCounts: ConnectionCounts;
  /** Among all. */
  readonly #isCounted: boolean;
  #acceptedNow = 0;

  /** `counts`: of this listener, over all workers. */
  constructor(config: ListenerConfig, worker: WorkerContext, counts: ConnectionCounts) {
    this.config = config;
    this.worker = worker;
    this.addresses = config.addresses;
    this.#limitKey = `envoy.resource_limits.listener.${config.name}.connection_limit`;
    this.#counts = counts;
    this.#allCounts = worker.connectionCounts;
    this.#isCounted = worker.connectionLimit === undefined || !config.ignoresGlobalLimit;
    const scope = worker.store.root.scope(`listener.${config.statPrefix}`);
    this.stats = scope.stats(ListenerStats);
    this.workerStats = scope.scope(`worker_${worker.index}`).stats(ListenerWorkerStats);
    this.#scopePrefix = scope.prefix;
    this.#chains = config.filterChains.map((it) => this.#prepareChain(it));
    this.#defaultChain = config.defaultFilterChain && this.#prepareChain(config.defaultFilterChain);
    this.#match = this.#compileMatch();
    this.#filters = config.listenerFilters.map((it) => ({
      filter: worker.registry
        .byName<ListenerFilterExtension>('listener_filter', it.extension)!
        .prepare(it.config as never, { ...worker.services, statPrefix: scope.prefix }),
      isDisabled: it.disabled && compileListenerFilterPredicate(it.disabled),
    }));
    this.#accessLogs = prepareAccessLogs(config.accessLogs, worker.registry, worker.services);
  }

  #compileMatch(): { match(facts: ConnectionFacts): ActiveFilterChain | undefined } {
    const chains = this.#chains;
    const { chainMatcher } = this.config;
    return chainMatcher === undefined
      ? new FilterChainMatch(chains, this.#defaultChain)
      : new ChainMatcher(
          chainMatcher,
          new Map(chains.map((it) => [it.config.name, it])),
          this.#defaultChain,
          this.worker.runtime,
        );
  }

  /**
   * `addresses` replaces those of the configuration, when another worker has found out what a port 0 became. `descriptors`: sockets of
   * another worker for them, where they cannot be bound twice; empty otherwise.
   */
  listen(
    addresses: readonly ListenerAddress[],
    descriptors: readonly number[],
    onListening: (ports: readonly number[], descriptors: readonly number[]) => void,
    onError: (error: NodeJS.ErrnoException, address: SocketAddressData) => void,
  ): void {
    this.addresses = addresses;
    const sockets = this.#sockets;
    const openNext = () => {
      const at = sockets.length;
      const address = addresses[at];
      if (address === undefined || !this.config.bindsToPort) {
        onListening(this.ports, this.descriptors);
        return;
      }
      ListeningSocket.open(
        {
          ...address,
          reusePort: this.config.reusePort,
          backlog: this.config.backlog,
          descriptor: descriptors[at] ?? -1,
        },
        (socket) => this.#onAccept(socket, address),
        (listening) => {
          sockets.push(listening);
          this.addresses = this.addresses.map((it, i) => (i === at ? { ...it, port: listening.port } : it));
          openNext();
        },
        (error) => onError(error, address),
      );
    };
    openNext();
  }

  /** Of its sockets. */
  get ports(): number[] {
    return this.#sockets.map((it) => it.port);
  }

  get descriptors(): number[] {
    return this.#sockets.map((it) => it.descriptor);
  }

  /** Goes on with the sockets of the listener that it replaces, which loses nothing that waits in them. */
  takeSockets(from: ActiveListener): void {
    this.addresses = from.addresses;
    for (const [i, socket] of from.#sockets.splice(0).entries()) {
      const address = this.addresses[i]!;
      socket.onAccept = (accepted) => this.#onAccept(accepted, address);
      this.#sockets.push(socket);
    }
  }

  /** Other filter chains for connections to come. Those on chains that stay are not touched, others drain. */
  updateChains(config: ListenerConfig, update: ChainUpdate): void {
    const before = new Set(this.#chains);
    if (this.#defaultChain !== undefined) before.add(this.#defaultChain);
    const chains = this.#chains;
    this.config = config;
    this.#chains = config.filterChains.map((it, i) => chains[update.keeps[i]!] ?? this.#prepareChain(it));
    if (!update.keepsDefault)
      this.#defaultChain = config.defaultFilterChain && this.#prepareChain(config.defaultFilterChain);
    this.#match = this.#compileMatch();
    for (const it of this.#chains) before.delete(it);
    if (this.#defaultChain !== undefined) before.delete(this.#defaultChain);
    for (const it of before) it.drain.start(update.drainMs);
    this.#leftChains.set(update.id, before);
  }

  /** The drain of what the update left behind is over. */
  removeChains(update: number): void {
    const left = this.#leftChains.get(update);
    if (left === undefined) return;
    this.#leftChains.delete(update);
    for (const it of this.#latestFirst())
      if (left.has(it.chain)) it.close(CloseType.NoFlush, 'filter_chain_is_being_removed');
    for (const it of left) it.release();
  }

  drain(drainMs: number): void {
    this.#drain.start(drainMs);
  }

  /** Asked once per response: true for more and more of them while the drain time passes. */
  get isDraining(): boolean {
    if (this.worker.isHealthCheckFailed && !this.config.drainsOnlyOnModify) return true;
    return this.#drain.saysGoodbye;
  }

  /** Accepts no more; what is open goes on. */
  stopListening(): void {
    this.isStopped = true;
    for (const socket of this.#sockets.splice(0)) socket.close();
  }

  close(): void {
    this.stopListening();
    for (const it of this.#inspections) it.abandon();
    for (const it of this.#latestFirst())
      it.close(CloseType.NoFlush, 'purging_socket_that_have_not_progressed_to_connections');
    for (const it of this.#chains) it.release();
    this.#defaultChain?.release();
    for (const update of [...this.#leftChains.keys()]) this.removeChains(update);
  }

  /** As Envoy ends them, and logs what they did. */
  #latestFirst(): AcceptedConnection[] {
    return [...this.connections].reverse();
  }

  #prepareChain(config: FilterChainConfig): ActiveFilterChain {
    return new ActiveFilterChain(config, this.config, this.#scopePrefix, this.worker);
  }

  #onAccept(socket: Socket, { address, port }: ListenerAddress): void {
    if (this.#acceptedNow++ === 0) setImmediate(() => this.#recordAccepts());
    if (this.#isFull()) {
      socket.on('error', () => {});
      socket.destroy();
      return;
    }
    // The clients of a Unix socket have no names: the system says that of the socket, and so does Envoy.
    let local = address;
    let remote = address;
    if (port >= 0) {
      const { localAddress = unknownIp, localPort = 0, remoteAddress = unknownIp, remotePort = 0 } = socket;
      // Where IPv4 was asked for as IPv6, it stays that.
      const shown = address.startsWith('::ffff:') ? asItIs : plainIp;
      local = addressText(shown(localAddress), localPort);
      remote = addressText(shown(remoteAddress), remotePort);
    }
    const info = new AcceptedConnectionInfo(nextConnectionId(), local, remote, this.config.name);
    if (this.#isCounted) this.#allCounts.add(1);
    this.#inspect(socket, info, noBytes);
  }

  /** Global limits count what is open, this listener's own what it has not passed on. */
  #isFull(): boolean {
    const { runtime, connectionLimit } = this.worker;
    const { stats } = this;
    if (!this.config.ignoresGlobalLimit) {
      const max = connectionLimit?.max ?? runtime.integer('overload.global_downstream_max_connections', -1);
      if (max >= 0 && this.#allCounts.total >= max) {
        if (connectionLimit !== undefined) connectionLimit.stats.failedUpdates.value++;
        stats.downstreamGlobalCxOverflow.value++;
        return true;
      }
    }
    const own = runtime.integer(this.#limitKey, -1);
    if (own < 0 || this.#counts.total < own) return false;
    stats.downstreamCxOverflow.value++;
    return true;
  }

  #release(): void {
    this.#counts.add(-1);
    if (this.#isCounted) this.#allCounts.add(-1);
  }

  /** How many each wake-up of the socket brought, as if there had been no more than allowed. */
  #recordAccepts(): void {
    const { maxAcceptsPerEvent } = this.config;
    let left = this.#acceptedNow;
    this.#acceptedNow = 0;
    for (; maxAcceptsPerEvent > 0 && left > maxAcceptsPerEvent; left -= maxAcceptsPerEvent)
      this.stats.connectionsAcceptedPerSocketEvent.record(maxAcceptsPerEvent);
    this.stats.connectionsAcceptedPerSocketEvent.record(left);
  }

  /** A connection that another listener accepted, for an address of this one. */
  takeOver(socket: Socket, info: AcceptedConnectionInfo, received: Buffer): void {
    info.listenerName = this.config.name;
    this.#inspect(socket, info, received);
  }

  #inspect(socket: Socket, info: AcceptedConnectionInfo, received: Buffer): void {
    info.listenerMetadata = this.config.metadata;
    info.listenerDirection = this.config.trafficDirection;
    this.#counts.add(1);
    this.stats.downstreamPreCxActive.value++;
    if (this.#filters.length === 0) {
      this.stats.downstreamPreCxActive.value--;
      this.#serve(socket, info, [], received);
      return;
    }
    const inspected = new InspectedSocket(
      socket,
      info,
      this.#filters,
      this.worker.timers,
      this.config.continueOnListenerFiltersTimeout,
      received,
      this,
    );
    this.#inspections.add(inspected);
    inspected.start(this.config.listenerFiltersTimeoutMs);
  }

  onInspected(inspected: InspectedSocket, rest: Buffer): void {
    this.#inspections.delete(inspected);
    this.stats.downstreamPreCxActive.value--;
    const { info } = inspected;
    if (this.config.usesOriginalDst && info.isLocalAddressRestored) {
      const other = this.worker.listenerOf(info.localAddress);
      // One that hands on does not get it back.
      if (other !== undefined && other !== this && !info.wasHandedOver) {
        info.wasHandedOver = true;
        this.#counts.add(-1);
        other.takeOver(inspected.socket, info, rest);
        return;
      }
    }
    this.#serve(inspected.socket, inspected.info, inspected.offeredProtocols, rest);
  }

  onInspectionTimeout(): void {
    this.stats.downstreamPreCxTimeout.value++;
  }

  onInspectionFailed(inspected: InspectedSocket, reason: InspectionFailure): void {
    const { stats } = this;
    this.#inspections.delete(inspected);
    stats.downstreamPreCxActive.value--;
    if (reason === 'remote_close') stats.downstreamListenerFilterRemoteClose.value++;
    else if (reason === 'read_error') stats.downstreamListenerFilterError.value++;
    this.#release();
    this.#log(inspected.info.streamInfo());
  }

  /** The chain is chosen and its filters begin. `rest`: what listener filters have read and left. */
  #serve(
    socket: Socket,
    info: AcceptedConnectionInfo,
    applicationProtocols: readonly string[],
    rest: Buffer,
  ): void {
    if (info.transportProtocol === '') info.transportProtocol = 'raw_buffer';
    const chain = this.#match.match({ info, applicationProtocols });
    if (chain === undefined) {
      this.stats.noFilterChainMatch.value++;
      const streamInfo = info.streamInfo();
      streamInfo.flags |= 1 << ResponseFlag.NoRouteFound;
      streamInfo.details = 'filter_chain_not_found';
      this.#log(streamInfo);
      this.#release();
      socket.on('error', () => {});
      // What was sent and not wanted makes it a reset, as if it had not been read.
      if (rest.length > 0) resetSocket(socket);
      else socket.destroy();
      return;
    }
    const { stats, workerStats } = this;
    stats.downstreamCxTotal.value++;
    stats.downstreamCxActive.value++;
    workerStats.downstreamCxTotal.value++;
    workerStats.downstreamCxActive.value++;
    const accepted = new AcceptedConnection(this, info, chain);
    this.connections.add(accepted);
    info.filterChainName = chain.config.name;
    info.filterChainMetadata = chain.config.metadata;
    if (chain.factories.length === 0) {
      accepted.connection = new Connection(info.id, socket, accepted, 0, undefined);
      if (rest.length > 0) accepted.connection.unread(rest);
      stats.networkExtensionConfigMissing.value++;
      accepted.close(CloseType.NoFlush, 'no_filters');
      return;
    }
    const isPlain = chain.transport.wrap(socket, noBytes) === socket;
    if (socket.destroyed) {
      // The transport has no certificate yet.
      accepted.connection = new Connection(info.id, socket, accepted, 0, undefined);
      return;
    }
    const place = new ReadPlace();
    const connection = new Connection(
      info.id,
      socket,
      accepted,
      this.config.bufferLimitBytes,
      readByCall(socket, place, () => accepted.connection) ? place : undefined,
    );
    accepted.connection = connection;
    connection.observer = chain.transport.observe?.(info);
    if (!isPlain) {
      accepted.isTls = true;
      accepted.transport = chain.transport;
      accepted.startHandshake(chain.config.transportConnectTimeoutMs);
      this.#awaitTls(accepted, chain);
    }
    if (rest.length > 0) connection.unread(rest);
    this.#begin(accepted, chain);
    if (rest.length > 0 && !connection.isClosed) connection.readDisable(false);
    // Inspection has paused it.
    if (socket.isPaused() && !connection.isReadDisabled) socket.resume();
  }

  /** The transport sees what the client says first, and takes the socket over when that is enough. */
  #awaitTls(accepted: AcceptedConnection, { transport }: ActiveFilterChain): void {
    const { connection, info } = accepted;
    let first = noBytes;
    const received = (bytes: Buffer): void => {
      first = first.length === 0 ? bytes : Buffer.concat([first, bytes]);
      const tls = transport.wrap(connection.socket, first) as TLSSocket | undefined;
      if (tls === undefined) return;
      const place = new ReadPlace();
      connection.secure(tls, readByCall(tls, place, () => connection) ? place : undefined);
      tls.once('secure', () => {
        // A transport that refuses its peer destroys the socket at the end of the handshake.
        if (connection.isClosed || tls.destroyed) return;
        info.tls = transport.tlsInfo(tls);
        info.applicationProtocol = connection.applicationProtocol;
        accepted.endHandshake();
      });
    };
    connection.awaitTls({ received });
  }

  #begin(accepted: AcceptedConnection, chain: ActiveFilterChain): void {
    accepted.info.transportProtocol = chain.transport.protocol;
    accepted.filters = chain.factories.map((make) => make(accepted));
    accepted.start();
  }

  /** What TLS died of, before filters and logs are told of the end. */
  explainEnd({ connection, info }: AcceptedConnection, isUnfinished: boolean): void {
    const { failureReason, failureCode } = connection;
    const reason = isUnfinished && failureCode === 'ECONNRESET' ? tlsResetText : failureReason;
    if (reason.startsWith('TLS_error')) info.transportFailureReason = reason.replaceAll(' ', '_');
  }

  onConnectionClosed(accepted: AcceptedConnection): void {
    if (!this.connections.delete(accepted)) return;
    this.#count(accepted.info);
    if (this.#accessLogs.length === 0) return;
    const info = accepted.streamInfo as RequestInfo;
    info.bytesReceived = accepted.connection.bytesReceived;
    info.bytesSent = accepted.connection.bytesSent;
    if (info.protocol === '') info.protocol = accepted.info.httpProtocol;
    this.#log(info);
  }

  #log(info: RequestInfo): void {
    const accessLogs = this.#accessLogs;
    if (accessLogs.length === 0) return;
    info.endMs = turnMs();
    const context = {
      info,
      requestHeaders: undefined,
      responseHeaders: undefined,
      responseTrailers: undefined,
      logType: AccessLogType.NotSet,
    };
    for (let i = 0; i < accessLogs.length; i++) accessLogs[i]!.log(context);
  }

  #count(info: AcceptedConnectionInfo): void {
    const { stats, workerStats } = this;
    stats.downstreamCxActive.value--;
    workerStats.downstreamCxActive.value--;
    stats.downstreamCxDestroy.value++;
    stats.downstreamCxLengthMs.record(turnMs() - info.startMs);
    this.#release();
  }
}

const noBytes: Buffer = Buffer.alloc(0);

/** Of a socket whose client is gone before anybody could ask. */
const unknownIp = '0.0.0.0';

const asItIs = (ip: string): string => ip;

/** IPv4 as a dual-stack socket shows it. */
function plainIp(ip: string): string {
  return ip.startsWith('::ffff:') && ip.includes('.') ? ip.slice(7) : ip;
}
