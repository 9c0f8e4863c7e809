// How long until the next check of a host.
import type { Runtime } from '#extension/runtime.ts';
import type { CheckIntervals } from './health-check-config.ts';

export const Transition = { Unchanged: 0, Changed: 1, Pending: 2 } as const;
export type Transition = (typeof Transition)[keyof typeof Transition];

/** `random`: a number below its argument. */
export type Random = (below: number) => number;

/** A check had this result, and that made of its host. `hasTraffic`: the cluster was connected to for something else than a check. */
export function nextCheckMs(
  intervals: CheckIntervals,
  passed: boolean,
  transition: Transition,
  hasTraffic: boolean,
  runtime: Runtime,
  random: Random,
): number {
  const isPending = transition === Transition.Pending;
  let ms: number;
  if (!hasTraffic) ms = passed && !isPending ? intervals.noTrafficHealthyMs : intervals.noTrafficMs;
  else if (passed) ms = isPending ? intervals.healthyEdgeMs : intervals.intervalMs;
  else ms = isPending ? intervals.unhealthyEdgeMs : intervals.unhealthyMs;
  return jittered(ms, intervals.jitterMs, intervals.jitterPercent, runtime, random);
}

export function initialDelayMs(intervals: CheckIntervals, runtime: Runtime, random: Random): number {
  if (intervals.initialJitterMs === 0) return 0;
  return jittered(0, intervals.initialJitterMs, intervals.jitterPercent, runtime, random);
}

function jittered(base: number, jitterMs: number, percent: number, runtime: Runtime, random: Random): number {
  let ms = base;
  const share = Math.floor((percent * base) / 100);
  if (share > 0) ms += random(share);
  if (jitterMs > 0) ms += random(jitterMs);
  const most = runtime.integer('health_check.max_interval', Number.POSITIVE_INFINITY);
  // Not zero: nobody could do anything else.
  return Math.max(1, Math.min(ms, most), runtime.integer('health_check.min_interval', 0));
}
