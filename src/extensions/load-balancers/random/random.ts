// RANDOM: any host, all alike; weights do not count, as in Envoy.
import type { Host, HostSet, LoadBalancer, PickContext } from '#extension/load-balancer.ts';

export class RandomBalancer implements LoadBalancer {
  #hosts: readonly Host[] = [];

  update(hosts: HostSet): void {
    if (hosts.priority > 0 && (hosts.healthy.length === 0 || this.#hosts.length > 0)) return;
    this.#hosts = hosts.healthy.length > 0 ? hosts.healthy : hosts.hosts;
  }

  pick(context: PickContext): Host | undefined {
    const hosts = this.#hosts;
    return hosts.length === 0 ? undefined : hosts[context.random % hosts.length];
  }
}
