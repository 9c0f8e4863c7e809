// ROUND_ROBIN: hosts in turn from a random start, in proportion to their weights.
import { weightedTurns } from '#base/weighted-turns.ts';
import type { Host, HostChooser, PickContext } from '#extension/load-balancer.ts';
import { byChance, SlowStart, type SlowStartConfig } from '../slow-start.ts';

export class RoundRobin implements HostChooser {
  readonly #hosts: readonly Host[];
  readonly #turns: readonly Host[];
  readonly #slowStart: SlowStart;
  readonly #weights: Float64Array;
  #next: number;

  constructor(slowStart: SlowStartConfig, hosts: readonly Host[]) {
    this.#hosts = hosts;
    this.#turns = weightedTurns(hosts.map((it) => it.weight)).map((i) => hosts[i]!);
    this.#next = Math.floor(Math.random() * this.#turns.length);
    this.#slowStart = new SlowStart(slowStart, hosts);
    this.#weights = new Float64Array(slowStart.windowMs === 0 ? 0 : hosts.length);
  }

  choose(context: PickContext): Host | undefined {
    if (this.#slowStart.isRunning) return this.#chooseSlowly(context.random);
    const hosts = this.#turns;
    if (this.#next >= hosts.length) this.#next = 0;
    return hosts[this.#next++];
  }

  #chooseSlowly(random: number): Host {
    const hosts = this.#hosts;
    for (let i = 0; i < hosts.length; i++)
      this.#weights[i] = hosts[i]!.weight * this.#slowStart.factor(hosts[i]!);
    return byChance(hosts, this.#weights, random);
  }
}
