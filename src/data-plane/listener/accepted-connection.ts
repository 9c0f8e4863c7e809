// An accepted connection and the network filters of its chain. Step 3 of a request's way. With the connection manager alone, the
// usual case, a byte passes one call here.
import { type TimerOwner, WheelTimer } from '#base/timer-wheel.ts';
import { turnMs } from '#base/turn.ts';
import type { DownstreamConnection, NetworkFilter } from '#extension/network-filter.ts';
import { NetworkFilterStatus } from '#extension/network-filter.ts';
import type { ConnectionInfo, FilterStateObject, StreamInfo, TlsInfo } from '#extension/stream-info.ts';
import type { DownstreamTransport } from '#extension/transport-socket.ts';
import { CloseEvent, CloseType, type Connection, type ConnectionOwner } from '#net/connection.ts';
import { RequestInfo } from '../http/request-info.ts';
import type { ActiveFilterChain } from './active-filter-chain.ts';
import type { ActiveListener } from './active-listener.ts';

export class AcceptedConnectionInfo implements ConnectionInfo {
  readonly id: number;
  /** Changed by listener filters, as is `remoteAddress`. */
  localAddress: string;
  /** Somebody before us had taken the connection to another address: `localAddress` is the one it was meant for. */
  isLocalAddressRestored = false;
  /** From the listener that accepted it to that of its original destination. */
  wasHandedOver = false;
  readonly directLocalAddress: string;
  readonly directRemoteAddress: string;
  remoteAddress: string;
  readonly startMs: number = turnMs();
  handshakeEndMs = 0;
  requestedServerName = '';
  applicationProtocol = '';
  transportProtocol = '';
  ja3 = '';
  ja4 = '';
  /** What listener filters found: filter name -> plain data. */
  metadata: Record<string, Record<string, unknown>> | undefined = undefined;
  listenerName: string;
  filterChainName = '';
  filterChainMetadata: ConnectionInfo['filterChainMetadata'] = undefined;
  listenerMetadata: ConnectionInfo['listenerMetadata'] = undefined;
  listenerDirection = '';
  tls: TlsInfo | undefined = undefined;
  terminationDetails = '';
  transportFailureReason = '';
  detectedCloseType = 'Normal';
  localCloseReason = '';
  httpProtocol = '';
  filterState: Map<string, FilterStateObject> | undefined = undefined;
  proxyTlvs: ConnectionInfo['proxyTlvs'] = undefined;
  #streamInfo: RequestInfo | undefined = undefined;

  constructor(id: number, localAddress: string, remoteAddress: string, listenerName: string) {
    this.id = id;
    this.localAddress = localAddress;
    this.directLocalAddress = localAddress;
    this.directRemoteAddress = remoteAddress;
    this.remoteAddress = remoteAddress;
    this.listenerName = listenerName;
  }

  /** Of the connection itself, for its filters and the listener's access log. */
  streamInfo(): RequestInfo {
    if (this.#streamInfo === undefined) {
      const info = new RequestInfo(this, this.startMs);
      // The connection's own, not a copy as a request has it.
      this.filterState ??= new Map();
      info.filterState = this.filterState;
      this.#streamInfo = info;
    }
    // Listener filters may have changed these since it was asked for last.
    this.#streamInfo.remoteAddress = this.remoteAddress;
    this.#streamInfo.dynamicMetadata ??= this.metadata;
    return this.#streamInfo;
  }

  get dynamicMetadata(): StreamInfo['dynamicMetadata'] {
    return this.#streamInfo === undefined ? this.metadata : this.#streamInfo.dynamicMetadata;
  }
}

export class AcceptedConnection implements DownstreamConnection, ConnectionOwner, TimerOwner {
  readonly listener: ActiveListener;
  readonly info: AcceptedConnectionInfo;
  readonly chain: ActiveFilterChain;
  connection: Connection = undefined as never;
  filters: readonly NetworkFilter[] = [];
  isTls = false;
  transport: DownstreamTransport | undefined = undefined;
  closeReason = '';
  #handshakeTimer: WheelTimer | undefined = undefined;
  /** The filter that stopped reading, and what it has kept; -1 when none. */
  #stoppedAt = -1;
  #held: Buffer[] | undefined = undefined;
  #heldBytes = 0;
  #heldEnd = false;
  /** More is held than may be: reading is stopped. */
  #isFull = false;
  /** Filters below this know of the connection. */
  #opened = 0;

  constructor(listener: ActiveListener, info: AcceptedConnectionInfo, chain: ActiveFilterChain) {
    this.listener = listener;
    this.info = info;
    this.chain = chain;
  }

  /** `timeoutMs`: 0 for none. */
  startHandshake(timeoutMs: number): void {
    if (timeoutMs <= 0) return;
    this.#handshakeTimer = new WheelTimer(this, 0);
    this.listener.worker.timers.start(this.#handshakeTimer, timeoutMs);
  }

  endHandshake(): void {
    this.info.handshakeEndMs = turnMs();
    this.#cancelHandshakeTimer();
    for (let i = 0; i < this.filters.length && !this.connection.isClosing; i++)
      this.filters[i]!.onHandshake?.();
  }

  #cancelHandshakeTimer(): void {
    if (this.#handshakeTimer === undefined) return;
    this.listener.worker.timers.cancel(this.#handshakeTimer);
    this.#handshakeTimer = undefined;
  }

  /** `transport_socket_connect_timeout` */
  onTimeout(): void {
    this.listener.stats.downstreamCxTransportSocketConnectTimeout.value++;
    this.info.terminationDetails = 'transport socket timeout was reached';
    this.close(CloseType.NoFlush, 'transport_socket_timeout');
  }

  /** Reading begins. */
  start(): void {
    this.#open();
  }

  /** Tells the filters that do not know of the connection, up to the one that stops. */
  #open(): void {
    const { filters } = this;
    while (this.#opened < filters.length) {
      const i = this.#opened++;
      if (filters[i]!.onNewConnection?.() === NetworkFilterStatus.StopIteration) {
        this.#stoppedAt = i;
        return;
      }
      if (this.connection.isClosing) return;
    }
  }

  get streamInfo(): StreamInfo {
    return this.info.streamInfo();
  }

  get filterState(): Map<string, FilterStateObject> {
    return (this.info.filterState ??= new Map());
  }

  get isDraining(): boolean {
    return this.listener.isDraining || this.chain.drain.saysGoodbye;
  }

  write(data: Buffer): void {
    for (let i = this.filters.length - 1; i >= 0; i--) {
      if (this.filters[i]!.onWrite?.(data, false) === NetworkFilterStatus.StopIteration) return;
    }
    this.connection.write(data);
  }

  end(): void {
    for (let i = this.filters.length - 1; i >= 0; i--) {
      if (this.filters[i]!.onWrite?.(noBytes, true) === NetworkFilterStatus.StopIteration) return;
    }
    this.connection.end();
  }

  close(type: CloseType, reason: string): void {
    if (this.closeReason === '') this.closeReason = reason;
    if (type === CloseType.Abort) this.info.detectedCloseType = 'LocalReset';
    this.connection.close(type);
  }

  continueReading(filter: NetworkFilter): void {
    const at = this.filters.indexOf(filter);
    if (at < 0 || at !== this.#stoppedAt) return;
    this.#stoppedAt = -1;
    this.#open();
    if (this.#stoppedAt >= 0 && this.#stoppedAt < this.filters.length - 1) return;
    const held = this.#held;
    this.#held = undefined;
    if (held === undefined) return;
    this.#heldBytes = 0;
    if (this.#isFull) {
      this.#isFull = false;
      this.connection.readDisable(false);
    }
    this.#run(at + 1, Buffer.concat(held), this.#heldEnd);
  }

  // ConnectionOwner ---------------------------------------------------------------------------------------------------------

  /** Only TLS: the listener answers, see `ActiveListener`. */
  onConnected(): void {}

  onData(bytes: Buffer): void {
    const filters = this.filters;
    if (filters.length === 1 && this.#stoppedAt < 0) filters[0]!.onData?.(bytes, false);
    else this.#run(0, bytes, false);
  }

  onEnd(): void {
    this.#run(0, noBytes, true);
  }

  #run(from: number, bytes: Buffer, end: boolean): void {
    const filters = this.filters;
    for (let i = from; i < filters.length; i++) {
      if (i > this.#stoppedAt && this.#stoppedAt >= 0) {
        this.#hold(bytes, end);
        return;
      }
      const status = filters[i]!.onData?.(bytes, end);
      if (status === NetworkFilterStatus.StopIteration) {
        if (i < filters.length - 1) {
          this.#stoppedAt = i;
          this.#hold(bytes, end);
        }
        return;
      }
      if (this.connection.isClosing) return;
    }
  }

  /** Above the listener's limit the client has to wait, too. */
  #hold(bytes: Buffer, end: boolean): void {
    const limit = this.listener.config.bufferLimitBytes;
    (this.#held ??= []).push(bytes);
    this.#heldBytes += bytes.length;
    this.#heldEnd = end;
    if (this.#isFull || limit === 0 || this.#heldBytes <= limit) return;
    this.#isFull = true;
    this.connection.readDisable(true);
  }

  onClose(event: CloseEvent): void {
    this.#cancelHandshakeTimer();
    const isUnfinished = this.isTls && this.info.handshakeEndMs === 0;
    if (isUnfinished) this.info.tls ??= this.transport?.tlsInfo(this.connection.socket);
    if (this.connection.hasCloseTimedOut) this.closeReason = 'triggered_delayed_close_timeout';
    if (event === CloseEvent.Remote && this.connection.failureCode === 'ECONNRESET' && !isUnfinished)
      this.info.detectedCloseType = 'RemoteReset';
    if (this.isTls) this.listener.explainEnd(this, isUnfinished);
    for (let i = 0; i < this.filters.length; i++) this.filters[i]!.onClose?.(event);
    this.info.localCloseReason = this.closeReason;
    this.listener.onConnectionClosed(this);
  }

  onAboveWriteBufferHighWatermark(): void {
    for (let i = 0; i < this.filters.length; i++) this.filters[i]!.onAboveWriteBufferHighWatermark?.();
  }

  onBelowWriteBufferLowWatermark(): void {
    for (let i = 0; i < this.filters.length; i++) this.filters[i]!.onBelowWriteBufferLowWatermark?.();
  }
}

const noBytes = Buffer.alloc(0);
