// How much of a cluster's requests each priority gets, and which of them are in panic: Envoy's arithmetic. Worked out when hosts
// have changed.
import type { HostSet, PriorityShares } from '#extension/load-balancer.ts';

export interface PriorityLoad {
  readonly set: HostSet;
  /** Of a hundred picks. */
  healthyLoad: number;
  degradedLoad: number;
  isPanicking: boolean;
}

const counted = ({ hosts, excluded }: HostSet) => hosts.length - excluded;

/** How much of all requests each priority could take, in percent. */
export function availabilityOf(sets: readonly HostSet[]): PriorityShares {
  const available = (usable: number, set: HostSet) =>
    counted(set) === 0 ? 0 : Math.min(100, Math.floor((set.overprovisioningFactor * usable) / counted(set)));
  return {
    healthy: sets.map((set) => available(set.healthy.length, set)),
    degraded: sets.map((set) => available(set.degraded.length, set)),
  };
}

/** A priority counts as whole while `overprovisioningFactor` times its usable hosts are enough; what it lacks goes to the next. */
export function distribute(priorities: readonly PriorityLoad[], panicThreshold: number): void {
  const { healthy, degraded } = availabilityOf(priorities.map(({ set }) => set));
  const total = Math.min(
    100,
    [...healthy, ...degraded].reduce((sum, it) => sum + it, 0),
  );
  const threshold = Math.min(100, panicThreshold);
  for (const it of priorities) {
    const { healthy: fit, degraded: half } = it.set;
    const percent = counted(it.set) === 0 ? 0 : (100 * (fit.length + half.length)) / counted(it.set);
    it.isPanicking = total < 100 && percent < threshold;
  }
  if (priorities.every((it) => it.isPanicking)) shareByHosts(priorities);
  else if (total > 0) shareByAvailability(priorities, healthy, degraded, total);
}

function shareByAvailability(
  priorities: readonly PriorityLoad[],
  healthy: readonly number[],
  degraded: readonly number[],
  total: number,
): void {
  let left = 100;
  const share = (availability: number) => {
    const load = Math.min(left, Math.floor((availability * 100) / total));
    left -= load;
    return load;
  };
  priorities.forEach((it, i) => {
    it.healthyLoad = share(healthy[i]!);
  });
  priorities.forEach((it, i) => {
    it.degradedLoad = share(degraded[i]!);
  });
  // What rounding left.
  const first = healthy.findIndex((it) => it > 0);
  if (first >= 0) priorities[first]!.healthyLoad += left;
  else priorities[degraded.findIndex((it) => it > 0)]!.degradedLoad += left;
}

/** All are in panic. */
function shareByHosts(priorities: readonly PriorityLoad[]): void {
  const hosts = priorities.reduce((sum, { set }) => sum + set.hosts.length, 0);
  let left = 100;
  for (const it of priorities) {
    it.healthyLoad = hosts === 0 ? 0 : Math.floor((100 * it.set.hosts.length) / hosts);
    left -= it.healthyLoad;
  }
  const first = priorities.find(({ set }) => set.hosts.length > 0) ?? priorities[0];
  if (first !== undefined) first.healthyLoad += left;
}
