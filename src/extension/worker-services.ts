// What a worker offers to everything prepared in it.
import type { TimerWheel } from '#base/timer-wheel.ts';
import type { Scope } from '#stats/store.ts';
import type { Runtime } from './runtime.ts';

export interface WorkerServices {
  /** The scope without a prefix; `stats.scope('cluster.web')` is the usual way down. */
  readonly stats: Scope;
  readonly runtime: Runtime;
  /** For everything that is usually cancelled. */
  readonly timers: TimerWheel;
}
