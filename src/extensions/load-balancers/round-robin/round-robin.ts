// ROUND_ROBIN: hosts in turn from a random start, in proportion to their weights.
import { weightedTurns } from '#base/weighted-turns.ts';
import type { Host, HostChooser, PickContext } from '#extension/load-balancer.ts';
import { DeadlineTurns } from '../deadline-turns.ts';
import { SlowStart, type SlowStartConfig } from '../slow-start.ts';

export class RoundRobin implements HostChooser {
  readonly #hosts: readonly Host[];
  readonly #turns: readonly Host[];
  readonly #slowStart: SlowStart;
  readonly #slowTurns: DeadlineTurns | undefined;
  #next: number;

  constructor(slowStart: SlowStartConfig, hosts: readonly Host[]) {
    this.#hosts = hosts;
    this.#turns = weightedTurns(hosts.map((it) => it.weight)).map((i) => hosts[i]!);
    this.#next = Math.floor(Math.random() * this.#turns.length);
    this.#slowStart = new SlowStart(slowStart, hosts);
    this.#slowTurns =
      slowStart.windowMs === 0
        ? undefined
        : new DeadlineTurns(hosts.length, (i) => hosts[i]!.weight * this.#slowStart.factor(hosts[i]!));
  }

  choose(_context: PickContext): Host | undefined {
    if (this.#slowStart.isRunning) return this.#hosts[this.#slowTurns!.next()];
    const hosts = this.#turns;
    if (this.#next >= hosts.length) this.#next = 0;
    return hosts[this.#next++];
  }
}
