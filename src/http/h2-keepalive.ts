// `connection_keepalive`: a PING per interval, and an end when nothing comes back in time.
import type { Clock } from '#base/clock.ts';
import { type TimerOwner, type TimerWheel, WheelTimer } from '#base/timer-wheel.ts';
import type { H2KeepaliveOptions } from './h2-options.ts';

export interface KeepaliveOwner {
  /** `payload`: any number. */
  sendPing(payload: number): void;
  onPingTimeout(): void;
}

const intervalTimer = 1;

export class H2Keepalive implements TimerOwner {
  readonly #owner: KeepaliveOwner;
  readonly #options: H2KeepaliveOptions;
  readonly #wheel: TimerWheel;
  readonly #clock: Clock;
  readonly #interval = new WheelTimer(this, intervalTimer);
  readonly #timeout = new WheelTimer(this);
  #lastReceivedMs: number;

  constructor(owner: KeepaliveOwner, options: H2KeepaliveOptions, wheel: TimerWheel, clock: Clock) {
    this.#owner = owner;
    this.#options = options;
    this.#wheel = wheel;
    this.#clock = clock;
    this.#lastReceivedMs = clock.monotonicMs();
    this.#startInterval();
  }

  /** Any frame shows that the peer lives: its acknowledgement may be behind a long transfer. */
  onFrame(): void {
    this.#lastReceivedMs = this.#clock.monotonicMs();
    if (this.#timeout.isActive) this.#wheel.start(this.#timeout, this.#options.timeoutMs);
  }

  onAcknowledged(): void {
    this.#lastReceivedMs = this.#clock.monotonicMs();
    this.#wheel.cancel(this.#timeout);
    this.#startInterval();
  }

  /** A stream begins: after a long silence a PING goes ahead. */
  onNewStream(): void {
    const { connectionIdleIntervalMs } = this.#options;
    if (connectionIdleIntervalMs === 0) return;
    if (this.#clock.monotonicMs() - this.#lastReceivedMs > connectionIdleIntervalMs) this.#ping();
  }

  onTimeout(id: number): void {
    if (id === intervalTimer) this.#ping();
    else this.#owner.onPingTimeout();
  }

  stop(): void {
    this.#wheel.cancel(this.#interval);
    this.#wheel.cancel(this.#timeout);
  }

  #ping(): void {
    if (this.#timeout.isActive) return;
    this.#owner.sendPing(this.#clock.wallMs());
    this.#wheel.start(this.#timeout, this.#options.timeoutMs);
  }

  #startInterval(): void {
    const { intervalMs, jitterPercent } = this.#options;
    if (intervalMs === 0) return;
    const jitterMs = (jitterPercent * intervalMs) / 100;
    this.#wheel.start(this.#interval, intervalMs + Math.floor(Math.random() * jitterMs));
  }
}
