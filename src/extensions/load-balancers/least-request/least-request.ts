// LEAST_REQUEST: of a few random hosts the one with the fewest requests under way. Hosts that differ in weight, or are new, take
// turns by weight and load.
import { randomAfter } from '#base/random.ts';
import type { Host, HostChooser, PickContext } from '#extension/load-balancer.ts';
import { DeadlineTurns } from '../deadline-turns.ts';
import { SlowStart, type SlowStartConfig } from '../slow-start.ts';

export interface LeastRequestConfig {
  /** How many random hosts are compared. */
  readonly choiceCount: number;
  /** All hosts are compared. */
  readonly scansAll: boolean;
  /** How much the load counts beside the weight; 0: not at all. */
  readonly bias: number;
  readonly slowStart: SlowStartConfig;
}

export class LeastRequest implements HostChooser {
  readonly #config: LeastRequestConfig;
  readonly #hosts: readonly Host[];
  readonly #isWeighted: boolean;
  readonly #slowStart: SlowStart;
  /** Undefined: no host can differ from the others. */
  readonly #turns: DeadlineTurns | undefined;

  constructor(config: LeastRequestConfig, hosts: readonly Host[]) {
    this.#config = config;
    this.#hosts = hosts;
    this.#isWeighted = hosts.some((it) => it.weight !== hosts[0]!.weight);
    this.#slowStart = new SlowStart(config.slowStart, hosts);
    this.#turns =
      this.#isWeighted || config.slowStart.windowMs > 0
        ? new DeadlineTurns(hosts.length, (i) => this.#weight(hosts[i]!))
        : undefined;
  }

  choose(context: PickContext): Host | undefined {
    const hosts = this.#hosts;
    if (hosts.length < 2) return hosts[0];
    let random = context.random;
    if (this.#isWeighted || this.#slowStart.isRunning) return hosts[this.#turns!.next()];
    if (this.#config.scansAll) return this.#least(random);
    let best = hosts[random % hosts.length]!;
    for (let i = 1; i < this.#config.choiceCount; i++) {
      random = randomAfter(random);
      const other = hosts[(random >>> 3) % hosts.length]!;
      if (other.activeRequests < best.activeRequests) best = other;
    }
    return best;
  }

  /** Of several with as few requests each has the same chance. */
  #least(random: number): Host {
    const hosts = this.#hosts;
    let best = hosts[0]!;
    let equals = 1;
    let next = random;
    for (let i = 1; i < hosts.length; i++) {
      const other = hosts[i]!;
      if (other.activeRequests > best.activeRequests) continue;
      if (other.activeRequests < best.activeRequests) equals = 0;
      equals++;
      next = randomAfter(next);
      if ((next >>> 3) % equals === 0) best = other;
    }
    return best;
  }

  #weight(host: Host): number {
    const { bias } = this.#config;
    const load = host.activeRequests + 1;
    const share = host.weight / (bias === 1 ? load : bias === 0 ? 1 : load ** bias);
    return share * this.#slowStart.factor(host);
  }
}
