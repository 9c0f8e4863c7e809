// Envoy's shares between priorities, healthy and degraded hosts, localities, and panic.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Host, HostHealth, type HostSet } from '#extension/load-balancer.ts';
import { Runtime } from '#extension/runtime.ts';
import { Counter } from '#stats/metric.ts';
import { PrioritySet } from './priority-set.ts';

/** Of a priority: how many hosts are healthy, degraded and neither. */
type Hosts = readonly [healthy: number, degraded: number, unhealthy: number];

function hostsOf(prefix: string, [healthy, degraded, unhealthy]: Hosts): Host[] {
  const some = (count: number, state: string, health: HostHealth) =>
    Array.from({ length: count }, () => ({ address: `${prefix}${state}`, health }) as Host);
  return [
    ...some(healthy, 'healthy', HostHealth.Healthy),
    ...some(degraded, 'degraded', HostHealth.Degraded),
    ...some(unhealthy, 'unhealthy', HostHealth.Unhealthy),
  ];
}

function setOf(priority: number, hosts: readonly Host[], localities: HostSet['localities'] = []): HostSet {
  return {
    priority,
    hosts,
    healthy: hosts.filter((it) => it.health === HostHealth.Healthy),
    degraded: hosts.filter((it) => it.health === HostHealth.Degraded),
    excluded: 0,
    localities,
    overprovisioningFactor: 140,
  };
}

/** How many of 10,000 picks each kind of host gets, in percent, and how many were made in panic. */
function shares(sets: readonly HostSet[], { panic = 50, weighsLocalities = false } = {}) {
  const lbHealthyPanic = new Counter('lb_healthy_panic');
  let turn = 0;
  const policy = {
    weighsLocalities,
    chooserOf: (hosts: readonly Host[]) => ({ choose: () => hosts[turn++ % hosts.length] }),
  };
  const set = new PrioritySet(
    policy,
    { healthyPanicPercent: panic, weighsLocalities: false, failsInPanic: false },
    { lbHealthyPanic },
    new Runtime(),
  );
  set.update(sets);
  const counts: Record<string, number> = {};
  for (let i = 0; i < 10_000; i++) {
    const host = set.pick({ random: (i % 100) << 16, metadataMatch: undefined });
    const name = host?.address ?? 'none';
    counts[name] = (counts[name] ?? 0) + 1;
  }
  const percent = Object.fromEntries(
    Object.entries(counts).map(([name, it]) => [name, Math.round(it / 100)]),
  );
  return { percent, panics: lbHealthyPanic.value };
}

const cases: readonly {
  name: string;
  priorities: readonly Hosts[];
  panic?: number;
  percent: object;
  panics?: number;
}[] = [
  {
    name: 'all are healthy',
    priorities: [
      [3, 0, 0],
      [3, 0, 0],
    ],
    percent: { '0 healthy': 100 },
  },
  { name: 'three of four are enough', priorities: [[3, 0, 1]], percent: { '0 healthy': 100 } },
  { name: 'half of them, alone', priorities: [[2, 0, 2]], percent: { '0 healthy': 100 } },
  {
    name: 'a third of them, alone',
    priorities: [[1, 0, 2]],
    percent: { '0 healthy': 33, '0 unhealthy': 67 },
    panics: 10_000,
  },
  { name: 'a third of them without panic', priorities: [[1, 0, 2]], panic: 0, percent: { '0 healthy': 100 } },
  { name: 'none of them', priorities: [[0, 0, 3]], percent: { '0 unhealthy': 100 }, panics: 10_000 },
  { name: 'none of them without panic', priorities: [[0, 0, 3]], panic: 0, percent: { none: 100 } },
  { name: 'no hosts at all', priorities: [[0, 0, 0]], percent: { none: 100 }, panics: 10_000 },
  {
    name: 'the next priority helps',
    priorities: [
      [2, 0, 2],
      [4, 0, 0],
    ],
    percent: { '0 healthy': 70, '1 healthy': 30 },
  },
  {
    name: 'the next priority takes over',
    priorities: [
      [0, 0, 4],
      [4, 0, 0],
    ],
    percent: { '1 healthy': 100 },
  },
  { name: 'degraded hosts help', priorities: [[1, 1, 0]], percent: { '0 healthy': 70, '0 degraded': 30 } },
  {
    name: 'healthy hosts of the next priority come before degraded ones',
    priorities: [
      [1, 1, 0],
      [1, 0, 1],
    ],
    percent: { '0 healthy': 70, '1 healthy': 30 },
  },
  {
    name: 'two priorities that are enough together',
    priorities: [
      [1, 0, 3],
      [1, 0, 1],
    ],
    percent: { '0 healthy': 35, '1 healthy': 65 },
  },
  {
    name: 'two priorities in panic',
    priorities: [
      [1, 0, 9],
      [1, 0, 9],
    ],
    percent: { '0 healthy': 5, '0 unhealthy': 45, '1 healthy': 5, '1 unhealthy': 45 },
    panics: 10_000,
  },
];

for (const { name, priorities, panic = 50, percent, panics = 0 } of cases) {
  test(`shares: ${name}`, () => {
    const sets = priorities.map((it, i) => setOf(i, hostsOf(`${i} `, it)));
    assert.deepEqual(shares(sets, { panic }), { percent, panics });
  });
}

test('shares: localities by weight, less for those that lack hosts', () => {
  const localities = [
    { weight: 3, excluded: 0, hosts: hostsOf('a ', [2, 0, 0]) },
    { weight: 1, excluded: 0, hosts: hostsOf('b ', [2, 0, 0]) },
    { weight: 2, excluded: 0, hosts: hostsOf('c ', [1, 0, 6]) },
    { weight: 0, excluded: 0, hosts: hostsOf('d ', [2, 0, 0]) },
  ];
  const hosts = localities.flatMap((it) => it.hosts);
  const weighed = shares([setOf(0, hosts, localities)], { weighsLocalities: true, panic: 0 });
  assert.deepEqual(weighed, { percent: { 'a healthy': 68, 'b healthy': 23, 'c healthy': 9 }, panics: 0 });
  const plain = shares([setOf(0, hosts, localities)], { panic: 0 });
  assert.equal(plain.percent['d healthy'], 29);
});
