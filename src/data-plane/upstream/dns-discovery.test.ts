import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StatsStore } from '#stats/store.ts';
import { ManualClock } from '#testing/manual-clock.ts';
import type { LocalityConfig } from './cluster-config.ts';
import { ClusterStats } from './cluster-stats.ts';
import { type DnsConfig, LookupFamily } from './discovery-config.ts';
import { DnsDiscovery } from './dns-discovery.ts';
import { TransportMatchCounts } from './transport-matches.ts';

const host = {
  address: 'up.test',
  port: 80,
  hostname: '',
  weight: 1,
  flags: 0,
  healthStatus: 'HEALTHY' as const,
  metadata: undefined,
};
const assignment: readonly LocalityConfig[] = [
  { region: '', zone: '', subZone: '', weight: 0, priority: 0, hosts: [host] },
];
const dns: DnsConfig = {
  resolvers: { servers: [], searches: true },
  family: LookupFamily.Auto,
  refreshMs: 1000,
  jitterMs: 0,
  failureBaseMs: 100,
  failureMaxMs: 400,
  spreadsFailures: false,
  respectTtl: true,
  isLogical: false,
};

function setUp(config: DnsConfig, answers: (string[] | Error)[], ttlMs?: number) {
  const clock = new ManualClock();
  const { root } = new StatsStore();
  const stats = new ClusterStats(root);
  const seen: string[][] = [];
  let asked = 0;
  const discovery = new DnsDiscovery(
    { assignment, dns: config, eds: undefined, waitsForWarm: true },
    config,
    stats,
    new TransportMatchCounts([], root),
    clock,
    (hosts) => seen.push(hosts.flatMap((it) => it.hosts.map((one) => one.address))),
    async () => {
      const answer = answers[asked++] ?? answers.at(-1)!;
      if (answer instanceof Error) throw answer;
      return { addresses: answer, ttlMs };
    },
  );
  const turn = async (ms: number) => {
    clock.advance(ms);
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { discovery, stats, seen, turn, asked: () => asked };
}

test('every address of a name is a host, and only changes are told', async () => {
  const { discovery, stats, seen, turn } = setUp(dns, [
    ['10.0.0.1', '10.0.0.2'],
    ['10.0.0.2', '10.0.0.1'],
    ['10.0.0.3'],
  ]);
  await discovery.start();
  await turn(1000);
  await turn(1000);
  assert.deepEqual(seen, [['10.0.0.1', '10.0.0.2'], ['10.0.0.3']]);
  assert.equal(stats.updateNoRebuild.value, 1);
  discovery.close();
});

test('keeps the last good hosts while resolving fails, and asks again at a growing interval', async () => {
  const { discovery, stats, turn, asked } = setUp(dns, [['10.0.0.1'], new Error('SERVFAIL')]);
  await discovery.start();
  await turn(1000);
  assert.equal(stats.updateFailure.value, 1);
  assert.equal(discovery.hosts()[0]!.hosts[0]!.address, '10.0.0.1');
  await turn(100);
  assert.equal(asked(), 3);
  await turn(199);
  assert.equal(asked(), 3);
  await turn(1);
  assert.equal(asked(), 4);
  discovery.close();
});

test('a logical host has the first address of the latest answer', async () => {
  const logical = { ...dns, isLogical: true };
  const { discovery, seen, turn } = setUp(logical, [
    ['10.0.0.1', '10.0.0.2'],
    ['10.0.0.2', '10.0.0.1'],
    ['10.0.0.2', '10.0.0.1'],
    ['10.0.0.2'],
  ]);
  await discovery.start();
  await turn(1000);
  await turn(1000);
  await turn(1000);
  assert.deepEqual(seen, [['10.0.0.1'], ['10.0.0.2'], ['10.0.0.2']]);
  discovery.close();
});

test('the time to live of the records replaces the refresh rate', async () => {
  const { discovery, turn, asked } = setUp(dns, [['10.0.0.1']], 30_000);
  await discovery.start();
  await turn(29_999);
  assert.equal(asked(), 1);
  await turn(1);
  assert.equal(asked(), 2);
  discovery.close();
});
