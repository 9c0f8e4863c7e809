// LEAST_REQUEST: of a few random hosts the one with the fewest requests under way. With different weights Envoy instead takes turns
// by weight divided by load; here the comparison itself is weighted, which gives the same proportions.
import { randomAfter } from '#base/random.ts';
import type { Host, HostSet, LoadBalancer, PickContext } from '#extension/load-balancer.ts';
import type { LeastRequestConfig } from './config.ts';

export class LeastRequest implements LoadBalancer {
  readonly #choices: number;
  readonly #scansAll: boolean;
  #hosts: readonly Host[] = [];
  #weights = 0;
  #isWeighted = false;

  constructor(config: LeastRequestConfig) {
    this.#choices = config.choiceCount;
    this.#scansAll = config.scansAll;
  }

  update(hosts: HostSet): void {
    if (hosts.priority > 0 && (hosts.healthy.length === 0 || this.#hosts.length > 0)) return;
    this.#hosts = hosts.healthy.length > 0 ? hosts.healthy : hosts.hosts;
    this.#weights = this.#hosts.reduce((sum, it) => sum + it.weight, 0);
    this.#isWeighted = this.#hosts.some((it) => it.weight !== this.#hosts[0]!.weight);
  }

  pick(context: PickContext): Host | undefined {
    const hosts = this.#hosts;
    if (hosts.length < 2) return hosts[0];
    if (this.#scansAll) return this.#least(context.random);
    let random = context.random;
    let best = this.#choose(random);
    for (let i = 1; i < this.#choices; i++) {
      random = randomAfter(random);
      const other = this.#choose(random >>> 3);
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

  #choose(random: number): Host {
    const hosts = this.#hosts;
    if (!this.#isWeighted) return hosts[random % hosts.length]!;
    let at = random % this.#weights;
    for (let i = 0; i < hosts.length; i++) {
      at -= hosts[i]!.weight;
      if (at < 0) return hosts[i]!;
    }
    return hosts[0]!;
  }
}
