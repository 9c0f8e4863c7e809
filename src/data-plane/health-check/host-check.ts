// One health check of one host: when it is made, and what its results make of the host's health.
import type { Clock } from '#base/clock.ts';
import type { Runtime } from '#extension/runtime.ts';
import { HealthFlag } from '../upstream/health-flags.ts';
import { initialDelayMs, nextCheckMs, type Random, Transition } from './check-interval.ts';
import type { HealthCheckConfig } from './health-check-config.ts';
import type { HealthCheckStats } from './health-check-stats.ts';
import type { HealthEvents } from './health-events.ts';
import { FailureType, type Probe, type ProbeOwner } from './probe.ts';

/** What the checks of all hosts share. */
export interface CheckShared {
  readonly config: HealthCheckConfig;
  readonly stats: HealthCheckStats;
  readonly clock: Clock;
  readonly runtime: Runtime;
  readonly random: Random;
  /** The cluster was connected to for something else than a check. */
  hasTraffic(): boolean;
}

export class HostCheck implements ProbeOwner {
  /** Bits of `HealthFlag`: what this check knows. */
  flags: number;
  readonly #shared: CheckShared;
  readonly #events: HealthEvents;
  readonly #onResult: (transition: Transition) => void;
  #probe: Probe | undefined = undefined;
  #isFirst = true;
  #isClosed = false;
  #passes = 0;
  #failures = 0;
  #cancelInterval: () => void = () => {};
  #cancelTimeout: () => void = () => {};

  /** `onResult`: after each check, and when there will be none. */
  constructor(
    flags: number,
    shared: CheckShared,
    events: HealthEvents,
    onResult: (transition: Transition) => void,
  ) {
    this.flags = flags;
    this.#shared = shared;
    this.#events = events;
    this.#onResult = onResult;
    if (!this.#has(HealthFlag.FailedActive)) shared.stats.healthy.value++;
    if (this.#has(HealthFlag.DegradedActive)) shared.stats.degraded.value++;
  }

  start(probe: Probe): void {
    this.#probe = probe;
    const { config, clock, runtime, random } = this.#shared;
    const delayMs = initialDelayMs(config.intervals, runtime, random);
    if (delayMs === 0) this.#check();
    else this.#cancelInterval = clock.wakeIn(delayMs, () => this.#check());
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#cancelInterval();
    this.#cancelTimeout();
    const { stats } = this.#shared;
    if (!this.#has(HealthFlag.FailedActive)) stats.healthy.value--;
    if (this.#has(HealthFlag.DegradedActive)) stats.degraded.value--;
    this.#probe?.close();
    if (this.#isFirst) this.#onResult(Transition.Unchanged);
  }

  /** A response to a request asked for it. */
  failPassively(): void {
    if (this.#isClosed) return;
    this.onImmediateFail();
    this.#fail(FailureType.Passive, false, 0);
  }

  onImmediateFail(): void {
    this.flags |= HealthFlag.ExcludedImmediate;
  }

  onSuccess(isDegraded: boolean): void {
    if (this.#isClosed) return;
    const { config, stats } = this.#shared;
    this.#failures = 0;
    let transition: Transition = Transition.Unchanged;
    if (this.#has(HealthFlag.FailedActive)) {
      // The first answer of all counts at once, whatever the threshold.
      if (this.#isFirst || ++this.#passes === config.healthyThreshold) {
        this.flags &= ~(HealthFlag.FailedActive | HealthFlag.ActiveTimeout | HealthFlag.ExcludedImmediate);
        stats.healthy.value++;
        transition = Transition.Changed;
        this.#events.addHealthy(this.#isFirst);
      } else transition = Transition.Pending;
    }
    if (transition !== Transition.Changed && config.logsEverySuccess) this.#events.successful();
    transition = this.#noLongerPending(transition);
    if (isDegraded !== this.#has(HealthFlag.DegradedActive)) {
      this.flags ^= HealthFlag.DegradedActive;
      if (isDegraded) {
        // It does not go down before the host leaves, in Envoy neither.
        stats.degraded.value++;
        this.#events.degraded();
      } else this.#events.noLongerDegraded();
      if (transition === Transition.Unchanged) transition = Transition.Changed;
    }
    stats.success.value++;
    this.#isFirst = false;
    this.#onResult(transition);
    this.#next(true, transition);
  }

  onFailure(type: FailureType, isRetriable: boolean, status: number): void {
    if (this.#isClosed) return;
    this.#next(false, this.#fail(type, isRetriable, status));
  }

  #fail(type: FailureType, isRetriable: boolean, status: number): Transition {
    const { config, stats } = this.#shared;
    const isNetwork = type === FailureType.Network || type === FailureType.NetworkTimeout;
    this.#passes = 0;
    let transition: Transition = Transition.Unchanged;
    if (!this.#has(HealthFlag.FailedActive)) {
      if ((!isNetwork && !isRetriable) || ++this.#failures === config.unhealthyThreshold) {
        this.flags |= HealthFlag.FailedActive;
        stats.healthy.value--;
        transition = Transition.Changed;
        this.#events.ejectUnhealthy(type, status);
      } else transition = Transition.Pending;
    }
    if (type === FailureType.NetworkTimeout && this.#has(HealthFlag.FailedActive))
      this.flags |= HealthFlag.ActiveTimeout;
    else this.flags &= ~HealthFlag.ActiveTimeout;
    transition = this.#noLongerPending(transition);
    if (this.#isFirst || config.logsEveryFailure) this.#events.failure(type, this.#isFirst, status);
    stats.failure.value++;
    if (isNetwork) stats.networkFailure.value++;
    else if (type === FailureType.Passive) stats.passiveFailure.value++;
    this.#isFirst = false;
    this.#onResult(transition);
    return transition;
  }

  #check(): void {
    const { config, stats, clock } = this.#shared;
    this.#probe!.start();
    const dueMs = clock.monotonicMs() + config.timeoutMs;
    this.#cancelTimeout = clock.wakeIn(config.timeoutMs, () => {
      // A thread that was busy has not looked for the answer yet: it gets the time back that it has lost.
      const lateMs = Math.min(clock.monotonicMs() - dueMs, config.timeoutMs);
      this.#cancelTimeout = clock.wakeIn(lateMs, () => {
        this.#probe!.onTimeout();
        this.onFailure(FailureType.NetworkTimeout, false, 0);
      });
    });
    stats.attempt.value++;
  }

  #next(passed: boolean, transition: Transition): void {
    if (this.#isClosed) return;
    const { config, clock, runtime, random } = this.#shared;
    const hasTraffic = this.#shared.hasTraffic();
    const ms = nextCheckMs(config.intervals, passed, transition, hasTraffic, runtime, random);
    this.#cancelTimeout();
    this.#cancelInterval();
    this.#cancelInterval = clock.wakeIn(ms, () => this.#check());
  }

  #noLongerPending(transition: Transition): Transition {
    if (!this.#has(HealthFlag.PendingActive)) return transition;
    this.flags &= ~HealthFlag.PendingActive;
    return Transition.Changed;
  }

  #has(flag: HealthFlag): boolean {
    return (this.flags & flag) !== 0;
  }
}
