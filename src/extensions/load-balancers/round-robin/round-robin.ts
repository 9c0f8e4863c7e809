// ROUND_ROBIN: hosts in turn from a random start, in proportion to their weights.
import type { Host, HostSet, LoadBalancer } from '#extension/load-balancer.ts';

/** Weights above this are scaled down: the table has one entry per unit of weight. */
const maxTable = 4096;

/** The first priority that has hosts; see `data-plane/upstream` for the place of priorities. */
export class RoundRobin implements LoadBalancer {
  #hosts: readonly Host[] = [];
  #next = 0;

  update(hosts: HostSet): void {
    if (hosts.priority > 0 && (hosts.healthy.length === 0 || this.#hosts.length > 0)) return;
    this.#hosts = schedule(hosts.healthy.length > 0 ? hosts.healthy : hosts.hosts);
    this.#next = Math.floor(Math.random() * this.#hosts.length);
  }

  pick(): Host | undefined {
    const hosts = this.#hosts;
    if (this.#next >= hosts.length) this.#next = 0;
    return hosts[this.#next++];
  }
}

/** One round: every host as often as its weight says, spread evenly (the earliest deadline comes first). */
function schedule(hosts: readonly Host[]): readonly Host[] {
  if (hosts.every((it) => it.weight === hosts[0]!.weight)) return hosts;
  const divisor = hosts.reduce((all, it) => gcd(all, it.weight), 0);
  const total = hosts.reduce((sum, it) => sum + it.weight / divisor, 0);
  const scale = total > maxTable ? maxTable / total : 1;
  const left = hosts.map((host) => {
    const times = Math.max(1, Math.round((host.weight / divisor) * scale));
    return { host, times, deadline: 1 / times, step: 1 / times };
  });
  const round: Host[] = [];
  const length = left.reduce((sum, it) => sum + it.times, 0);
  for (let i = 0; i < length; i++) {
    let first = left[0]!;
    for (const it of left) if (it.deadline < first.deadline) first = it;
    round.push(first.host);
    first.deadline += first.step;
  }
  return round;
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}
