// Time as the proxy sees it. Whoever needs time is given a clock, so that tests can stop it.

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
    const timeout = setTimeout(wake, delayMs).unref();
    return () => clearTimeout(timeout);
  },
};
