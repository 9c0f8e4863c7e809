// A clock that stands still until a test moves it.
import type { Clock } from '#base/clock.ts';

export class ManualClock implements Clock {
  #monotonicMs = 1000;
  #wallMs: number;
  #wakes: { readonly atMs: number; readonly wake: () => void }[] = [];

  constructor(wallMs = Date.UTC(2026, 0, 1)) {
    this.#wallMs = wallMs;
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  wallMs(): number {
    return this.#wallMs;
  }

  wakeIn(delayMs: number, wake: () => void): () => void {
    const entry = { atMs: this.#monotonicMs + Math.max(delayMs, 0), wake };
    this.#wakes.push(entry);
    return () => {
      this.#wakes = this.#wakes.filter((it) => it !== entry);
    };
  }

  /** How many wakes are waiting. */
  get pending(): number {
    return this.#wakes.length;
  }

  /** Moves time on and calls what is due, in order, each at its own time. */
  advance(ms: number): void {
    const untilMs = this.#monotonicMs + ms;
    for (;;) {
      const due = this.#wakes.filter((it) => it.atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (due === undefined) break;
      this.#wakes = this.#wakes.filter((it) => it !== due);
      this.#moveTo(due.atMs);
      due.wake();
    }
    this.#moveTo(untilMs);
  }

  #moveTo(monotonicMs: number): void {
    this.#wallMs += monotonicMs - this.#monotonicMs;
    this.#monotonicMs = monotonicMs;
  }
}
