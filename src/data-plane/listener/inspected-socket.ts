// An accepted socket while listener filters look at its first bytes. Step 1 of a request's way.
import type { Socket } from 'node:net';
import { type TimerOwner, type TimerWheel, WheelTimer } from '#base/timer-wheel.ts';
import {
  type AcceptedSocket,
  type ListenerFilter,
  ListenerFilterStatus,
} from '#extension/listener-filter.ts';
import type { ConnectionInfo, StreamInfo } from '#extension/stream-info.ts';
import { nativeSockets } from '#net/native-sockets.ts';
import { resetSocket } from '#net/reset-socket.ts';
import type { AcceptedConnectionInfo } from './accepted-connection.ts';

/** What came of it. Called once. */
export interface InspectionOwner {
  /** Every filter let it pass, or the timeout did. `rest`: bytes received and not consumed; the socket is paused. */
  onInspected(socket: InspectedSocket, rest: Buffer): void;
  /** It took too long: one of the others follows. */
  onInspectionTimeout(): void;
  /** A filter refused it, the peer left, or it took too long; the socket is destroyed. */
  onInspectionFailed(socket: InspectedSocket, reason: InspectionFailure): void;
}

export type InspectionFailure = 'refused' | 'timeout' | 'remote_close' | 'read_error';

/** A filter of a listener, and who is spared it (`filter_disabled`). */
export interface InspectionStep {
  readonly filter: ListenerFilter;
  readonly isDisabled: ((info: ConnectionInfo) => boolean) | undefined;
}

function descriptorOf(socket: Socket): number {
  return (socket as unknown as { _handle?: { fd?: number } | null })._handle?.fd ?? -1;
}

export class InspectedSocket implements AcceptedSocket, TimerOwner {
  readonly info: AcceptedConnectionInfo;
  readonly socket: Socket;
  offeredProtocols: readonly string[] = [];
  readonly #steps: readonly InspectionStep[];
  readonly #owner: InspectionOwner;
  readonly #timers: TimerWheel;
  readonly #timer: WheelTimer;
  readonly #passesOnTimeout: boolean;
  #at = 0;
  #bytes: Buffer;
  #isOver = false;
  readonly #onData = (bytes: Buffer): void => this.#received(bytes);
  readonly #onEnd = (): void => this.#run(true);
  readonly #onError = (): void => this.#fail('read_error');
  readonly #onClose = (): void => this.#fail('remote_close');

  /** `received`: what another listener has read already. */
  constructor(
    socket: Socket,
    info: AcceptedConnectionInfo,
    steps: readonly InspectionStep[],
    timers: TimerWheel,
    passesOnTimeout: boolean,
    received: Buffer,
    owner: InspectionOwner,
  ) {
    this.socket = socket;
    this.info = info;
    this.#steps = steps;
    this.#timers = timers;
    this.#passesOnTimeout = passesOnTimeout;
    this.#bytes = received;
    this.#owner = owner;
    this.#timer = new WheelTimer(this);
  }

  /** `timeoutMs` 0: as long as it takes. */
  start(timeoutMs: number): void {
    this.socket.on('data', this.#onData);
    this.socket.on('end', this.#onEnd);
    this.socket.on('error', this.#onError);
    this.socket.on('close', this.#onClose);
    if (timeoutMs > 0) this.#timers.start(this.#timer, timeoutMs);
    this.#run(false);
  }

  get streamInfo(): StreamInfo {
    return this.info.streamInfo();
  }

  consume(bytes: number): void {
    this.#bytes = this.#bytes.subarray(bytes);
  }

  setMetadata(name: string, values: Record<string, unknown>): void {
    (this.info.metadata ??= {})[name] = values;
  }

  restoreAddresses(remote: string, local: string): void {
    this.info.remoteAddress = remote;
    if (local !== this.info.localAddress) this.restoreLocalAddress(local);
  }

  restoreLocalAddress(local: string): void {
    this.info.localAddress = local;
    this.info.isLocalAddressRestored = true;
  }

  originalDestination(): string | undefined {
    const { localAddress = '' } = this.socket;
    const descriptor = descriptorOf(this.socket);
    if (localAddress === '' || descriptor < 0) return undefined;
    const isIpv6 = localAddress.includes(':') && !localAddress.includes('.');
    const native = nativeSockets();
    // Of a transparent socket it is the local address itself.
    return native.isTransparent(descriptor, isIpv6)
      ? this.info.directLocalAddress
      : native.originalDestination(descriptor, isIpv6);
  }

  onTimeout(): void {
    this.#owner.onInspectionTimeout();
    if (this.#passesOnTimeout) this.#pass();
    else this.#fail('timeout');
  }

  /** The listener closes. */
  abandon(): void {
    if (this.#isOver) return;
    this.#leave();
    this.socket.destroy();
  }

  #received(bytes: Buffer): void {
    this.#bytes = this.#bytes.length === 0 ? bytes : Buffer.concat([this.#bytes, bytes]);
    this.#run(false);
  }

  #run(end: boolean): void {
    if (this.#isOver) return;
    while (this.#at < this.#steps.length) {
      const { filter, isDisabled } = this.#steps[this.#at]!;
      if (isDisabled?.(this.info)) {
        this.#at++;
        continue;
      }
      if (filter.needsBytes && this.#bytes.length === 0) {
        if (end) this.#fail('remote_close');
        return;
      }
      const status = filter.inspect(this, this.#bytes, end);
      if (status === ListenerFilterStatus.NeedMore) return;
      if (status === ListenerFilterStatus.Close) {
        this.#fail(end ? 'remote_close' : 'refused');
        return;
      }
      this.#at++;
    }
    this.#pass();
  }

  #pass(): void {
    if (this.#isOver) return;
    this.#leave();
    this.socket.pause();
    this.#owner.onInspected(this, this.#bytes);
  }

  #fail(reason: InspectionFailure): void {
    if (this.#isOver) return;
    this.#leave();
    this.socket.on('error', () => {}); // It is being destroyed: what else goes wrong with it concerns nobody.
    // What was sent and not wanted makes it a reset, as if it had not been read.
    if (this.#bytes.length > 0) resetSocket(this.socket);
    else this.socket.destroy();
    this.#owner.onInspectionFailed(this, reason);
  }

  #leave(): void {
    this.#isOver = true;
    this.#timers.cancel(this.#timer);
    this.socket.off('data', this.#onData);
    this.socket.off('end', this.#onEnd);
    this.socket.off('error', this.#onError);
    this.socket.off('close', this.#onClose);
  }
}
