// Time as the proxy sees it. Whoever needs time is given a clock, so that tests can stop it.

import { turnMs } from './turn.ts';

export interface Clock {
  /** Milliseconds, with a fraction, from an arbitrary start; never goes back. */
  monotonicMs(): number;
  /** Milliseconds since 1970. May jump. */
  wallMs(): number;
  /** Calls `wake` once after `delayMs`, unless the returned function is called first. Does not keep the process alive. */
  wakeIn(delayMs: number, wake: () => void): () => void;
}

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  wakeIn(delayMs, wake) {
    // What is due already has a negative delay by now, and Node would print a warning about that.
    const timeout = setTimeout(wake, Math.max(delayMs, 0)).unref();
    return () => clearTimeout(timeout);
  },
};

/** For worker threads, whose timers start several times per request: the time of the turn, as libuv's timers have it. */
export const turnClock: Clock = { ...systemClock, monotonicMs: turnMs };
