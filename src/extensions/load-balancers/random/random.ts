// RANDOM: any host, all alike; weights do not count, as in Envoy.
import type { Host, HostChooser, PickContext } from '#extension/load-balancer.ts';

export class RandomHost implements HostChooser {
  readonly #hosts: readonly Host[];

  constructor(hosts: readonly Host[]) {
    this.#hosts = hosts;
  }

  choose(context: PickContext): Host | undefined {
    const hosts = this.#hosts;
    return hosts.length === 0 ? undefined : hosts[context.random % hosts.length];
  }
}
