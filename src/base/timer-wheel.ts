// Timers that are usually cancelled: request, idle and per-try timeouts. Starting, restarting and cancelling cost a few
// assignments and no allocation; one native timer serves them all. The wheel does not keep the process alive: sockets do.
//
//     level 0   256 slots of one tick each
//     level 1   256 slots of 256 ticks; a slot moves down to level 0 when its first tick comes
//     level 2   256 slots of 65,536 ticks, and level 3 likewise
import type { Clock } from './clock.ts';

export interface TimerOwner {
  /** The timer ran out and is no longer active; it may be started again from here. `id` is the one it was made with. */
  onTimeout(id: number): void;
}

/** One timer of one owner, made once and started as often as needed. `id` tells the timers of an owner apart. */
export class WheelTimer {
  readonly owner: TimerOwner;
  readonly id: number;
  /** For the wheel. Neighbours in the slot's ring; null while the timer is not active. */
  previous: WheelTimer | null = null;
  next: WheelTimer | null = null;
  /** For the wheel. The tick it is due, and the tick of the slot it stands in, which may be earlier. */
  dueTick = 0;
  slotTick = 0;

  constructor(owner: TimerOwner, id = 0) {
    this.owner = owner;
    this.id = id;
  }

  get isActive(): boolean {
    return this.next !== null;
  }
}

const levels = 4;
const horizon = 2 ** 32 - 1;

export class TimerWheel {
  readonly #clock: Clock;
  readonly #tickMs: number;
  /** The heads of `levels * 256` rings. */
  readonly #heads: WheelTimer[] = [];
  /** Everything due up to this tick has been called. */
  #tick = 0;
  #active = 0;
  /** The tick for which the native timer is set; Infinity when it is not. */
  #wakeTick = Number.POSITIVE_INFINITY;
  #cancelWake: (() => void) | null = null;
  #isAdvancing = false;
  readonly #onWake = () => {
    this.#wakeTick = Number.POSITIVE_INFINITY;
    this.#cancelWake = null;
    this.#advance();
  };

  /** `tickMs`: timers are up to this much late, never early. */
  constructor(clock: Clock, tickMs = 4) {
    this.#clock = clock;
    this.#tickMs = tickMs;
    const nobody: TimerOwner = { onTimeout() {} };
    for (let i = 0; i < levels * 256; i++) {
      const head = new WheelTimer(nobody);
      head.previous = head.next = head;
      this.#heads.push(head);
    }
  }

  /** How many timers are active. */
  get active(): number {
    return this.#active;
  }

  /** Starts the timer, or starts it again from now when it is active. */
  start(timer: WheelTimer, delayMs: number): void {
    const nowMs = this.#clock.monotonicMs();
    if (this.#active === 0 && !this.#isAdvancing) this.#tick = Math.floor(nowMs / this.#tickMs);
    const due = Math.min(
      Math.max(Math.ceil((nowMs + delayMs) / this.#tickMs), this.#tick + 1),
      this.#tick + horizon,
    );
    timer.dueTick = due;
    if (timer.next !== null) {
      // Later than before, as when an idle timeout restarts: it moves on when its slot comes.
      if (due >= timer.slotTick) return;
      this.#unlink(timer);
    }
    this.#active++;
    this.#insert(timer);
    if (due < this.#wakeTick && !this.#isAdvancing) this.#wakeAt(due);
  }

  cancel(timer: WheelTimer): void {
    if (timer.next === null) return;
    this.#unlink(timer);
  }

  /** Lets go of the native timer. Active timers never run out. */
  close(): void {
    this.#cancelWake?.();
    this.#cancelWake = null;
  }

  #insert(timer: WheelTimer): void {
    const due = timer.dueTick;
    const ahead = due - this.#tick;
    let slot: number;
    if (ahead < 256) slot = due % 256;
    else if (ahead < 65_536) slot = 256 + (Math.floor(due / 256) % 256);
    else if (ahead < 16_777_216) slot = 512 + (Math.floor(due / 65_536) % 256);
    else slot = 768 + (Math.floor(due / 16_777_216) % 256);
    timer.slotTick = due;
    const head = this.#heads[slot]!;
    const last = head.previous!;
    timer.previous = last;
    timer.next = head;
    last.next = timer;
    head.previous = timer;
  }

  #unlink(timer: WheelTimer): void {
    timer.previous!.next = timer.next;
    timer.next!.previous = timer.previous;
    timer.previous = timer.next = null;
    this.#active--;
  }

  #advance(): void {
    const nowTick = Math.floor(this.#clock.monotonicMs() / this.#tickMs);
    this.#isAdvancing = true;
    while (this.#tick < nowTick && this.#active > 0) {
      this.#tick = Math.min(this.#nextTick(), nowTick);
      const tick = this.#tick;
      if (tick % 256 === 0) {
        if (tick % 65_536 === 0) {
          if (tick % 16_777_216 === 0) this.#moveDown(768 + (Math.floor(tick / 16_777_216) % 256));
          this.#moveDown(512 + (Math.floor(tick / 65_536) % 256));
        }
        this.#moveDown(256 + (Math.floor(tick / 256) % 256));
      }
      this.#expire(this.#heads[tick % 256]!);
    }
    this.#isAdvancing = false;
    if (this.#active > 0) this.#wakeAt(this.#nextTick());
  }

  /** The next tick at which a timer of level 0 is due or a slot has to move down. */
  #nextTick(): number {
    let tick = this.#tick + 1;
    while (tick % 256 !== 0) {
      const head = this.#heads[tick % 256]!;
      if (head.next !== head) break;
      tick++;
    }
    return tick;
  }

  #moveDown(slot: number): void {
    const head = this.#heads[slot]!;
    for (let timer = head.next!; timer !== head; timer = head.next!) {
      this.#unlink(timer);
      this.#active++;
      this.#insert(timer);
    }
  }

  #expire(head: WheelTimer): void {
    for (let timer = head.next!; timer !== head; timer = head.next!) {
      this.#unlink(timer);
      if (timer.dueTick > this.#tick) {
        this.#active++;
        this.#insert(timer);
      } else timer.owner.onTimeout(timer.id);
    }
  }

  #wakeAt(tick: number): void {
    this.#cancelWake?.();
    this.#wakeTick = tick;
    this.#cancelWake = this.#clock.wakeIn(tick * this.#tickMs - this.#clock.monotonicMs(), this.#onWake);
  }
}
