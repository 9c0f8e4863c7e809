// A drain: more and more responses end their connections, so that few are left when its time is over.
import { turnMs } from '#base/turn.ts';

export class Drain {
  #sinceMs = 0;
  #durationMs = -1;

  /** A drain that has begun goes on as it was begun. */
  start(durationMs: number): void {
    if (this.#durationMs >= 0) return;
    this.#sinceMs = turnMs();
    this.#durationMs = durationMs;
  }

  /** Asked once per response. */
  get saysGoodbye(): boolean {
    if (this.#durationMs < 0) return false;
    return saysGoodbye(turnMs() - this.#sinceMs, this.#durationMs / 1000, Math.random());
  }
}

/**
 * Whether a response says goodbye `elapsedMs` into a drain of `drainSeconds`: as likely as time has passed, in whole seconds as Envoy
 * counts them: not in the first second, for certain in the last. `random` is at least 0 and below 1.
 */
export function saysGoodbye(elapsedMs: number, drainSeconds: number, random: number): boolean {
  if (drainSeconds > 0 && elapsedMs < 1000) return false;
  const remaining = Math.floor(drainSeconds - elapsedMs / 1000);
  return remaining <= 0 || drainSeconds - remaining > Math.floor(random * drainSeconds);
}
