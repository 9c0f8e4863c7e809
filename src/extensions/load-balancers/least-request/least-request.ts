// LEAST_REQUEST: of a few random hosts the one with the fewest requests under way. Hosts that differ in weight, or are new, are
// taken in proportion to weight by load, which is what Envoy's turns come to.
import { randomAfter } from '#base/random.ts';
import type { Host, HostChooser, PickContext } from '#extension/load-balancer.ts';
import { byChance, SlowStart, type SlowStartConfig } from '../slow-start.ts';

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
  readonly #weights: Float64Array;

  constructor(config: LeastRequestConfig, hosts: readonly Host[]) {
    this.#config = config;
    this.#hosts = hosts;
    this.#isWeighted = hosts.some((it) => it.weight !== hosts[0]!.weight);
    this.#slowStart = new SlowStart(config.slowStart, hosts);
    this.#weights = new Float64Array(this.#isWeighted || config.slowStart.windowMs > 0 ? hosts.length : 0);
  }

  choose(context: PickContext): Host | undefined {
    const hosts = this.#hosts;
    if (hosts.length < 2) return hosts[0];
    let random = context.random;
    if (this.#isWeighted || this.#slowStart.isRunning) return this.#byWeight(random);
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

  #byWeight(random: number): Host {
    const hosts = this.#hosts;
    const { bias } = this.#config;
    for (let i = 0; i < hosts.length; i++) {
      const host = hosts[i]!;
      const load = host.activeRequests + 1;
      this.#weights[i] =
        (host.weight / (bias === 1 ? load : bias === 0 ? 1 : load ** bias)) * this.#slowStart.factor(host);
    }
    return byChance(hosts, this.#weights, random);
  }
}
