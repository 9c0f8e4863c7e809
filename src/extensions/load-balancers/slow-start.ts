// Hosts that are new get their share bit by bit.
import { turnMs } from '#base/turn.ts';
import type { Host } from '#extension/load-balancer.ts';

export interface SlowStartConfig {
  /** 0: there is none. */
  readonly windowMs: number;
  readonly aggression: number;
  /** Of one. */
  readonly minWeight: number;
}

export class SlowStart {
  readonly #config: SlowStartConfig;
  /** When the last host has its whole weight. */
  readonly #endMs: number;

  constructor(config: SlowStartConfig, hosts: readonly Host[]) {
    this.#config = config;
    let latest = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < hosts.length; i++) latest = Math.max(latest, hosts[i]!.addedMs);
    this.#endMs = config.windowMs === 0 ? Number.NEGATIVE_INFINITY : latest + config.windowMs;
  }

  get isRunning(): boolean {
    return turnMs() < this.#endMs;
  }

  /** Of one. */
  factor(host: Host): number {
    const { windowMs, aggression, minWeight } = this.#config;
    if (windowMs === 0) return 1;
    const elapsedMs = turnMs() - host.addedMs;
    if (elapsedMs >= windowMs) return 1;
    const part = Math.max(elapsedMs, 1) / windowMs;
    return Math.max(aggression === 1 ? part : part ** (1 / aggression), minWeight);
  }
}
