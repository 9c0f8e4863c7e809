// What the three simple policies promise: proportions and fairness, from plain hosts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Host, HostHealth, type HostSet, type PickContext } from '#extension/load-balancer.ts';
import { LeastRequest } from './least-request/least-request.ts';
import { RandomBalancer } from './random/random.ts';
import { RoundRobin } from './round-robin/round-robin.ts';

function host(
  address: string,
  weight = 1,
  activeRequests = 0,
  health: HostHealth = HostHealth.Healthy,
): Host {
  return {
    address,
    weight,
    activeRequests,
    health,
    hostname: '',
    priority: 0,
    locality: undefined,
    metadata: undefined,
  };
}

function hostSet(hosts: readonly Host[], priority = 0): HostSet {
  return {
    priority,
    hosts,
    healthy: hosts.filter((it) => it.health === HostHealth.Healthy),
    degraded: [],
    localities: undefined,
    overprovisioningFactor: 140,
  };
}

/** Seeded, so that a failure can be seen again. */
function contexts(seed: number): () => PickContext {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return { random: state >>> 4, hash: undefined, metadataMatch: undefined };
  };
}

function count(picks: number, pick: () => Host | undefined): Record<string, number> {
  const counts: Record<string, number> = {};
  for (let i = 0; i < picks; i++) {
    const { address } = pick()!;
    counts[address] = (counts[address] ?? 0) + 1;
  }
  return counts;
}

test('round robin takes turns', () => {
  const lb = new RoundRobin();
  lb.update(hostSet([host('a'), host('b'), host('c')]));
  assert.deepEqual(
    count(300, () => lb.pick()),
    { a: 100, b: 100, c: 100 },
  );
});

test('round robin keeps the proportion of weights, without runs of one host', () => {
  const lb = new RoundRobin();
  lb.update(hostSet([host('a', 1), host('b', 2), host('c', 3)]));
  assert.deepEqual(
    count(600, () => lb.pick()),
    { a: 100, b: 200, c: 300 },
  );
  let run = 0;
  let longest = 0;
  let last = '';
  for (let i = 0; i < 60; i++) {
    const { address } = lb.pick()!;
    run = address === last ? run + 1 : 1;
    last = address;
    longest = Math.max(longest, run);
  }
  assert.ok(longest <= 2, `c came ${longest} times in a row`);
});

test('weights beyond the table are scaled down', () => {
  const lb = new RoundRobin();
  lb.update(hostSet([host('a', 1), host('b', 100_000)]));
  const counts = count(4097, () => lb.pick());
  assert.ok(counts.a! >= 1 && counts.a! <= 2, JSON.stringify(counts));
});

for (const [name, make] of [
  ['round robin', () => new RoundRobin()],
  ['random', () => new RandomBalancer()],
  ['least request', () => new LeastRequest({ choiceCount: 2, scansAll: false })],
] as const) {
  test(`${name} knows no host of an empty set, and leaves out unhealthy ones`, () => {
    const lb = make();
    const next = contexts(7);
    lb.update(hostSet([]));
    assert.equal(lb.pick(next()), undefined);
    lb.update(hostSet([host('a'), host('bad', 1, 0, HostHealth.Unhealthy)]));
    assert.deepEqual(
      count(50, () => lb.pick(next())),
      { a: 50 },
    );
  });
}

test('random spreads evenly, whatever the weights', () => {
  const lb = new RandomBalancer();
  lb.update(hostSet([host('a', 1), host('b', 50)]));
  const next = contexts(42);
  const counts = count(10_000, () => lb.pick(next()));
  assert.ok(Math.abs(counts.a! - 5000) < 300, JSON.stringify(counts));
});

test('least request with a full scan takes the host with the least to do', () => {
  const lb = new LeastRequest({ choiceCount: 2, scansAll: true });
  const hosts = [host('busy', 1, 10), host('a', 1, 1), host('less', 1, 2), host('b', 1, 1), host('c', 1, 1)];
  lb.update(hostSet(hosts));
  const next = contexts(3);
  const counts = count(9000, () => lb.pick(next()));
  assert.deepEqual(Object.keys(counts).sort(), ['a', 'b', 'c']);
  for (const it of Object.values(counts)) assert.ok(Math.abs(it - 3000) < 300, JSON.stringify(counts));
});

test('least request prefers the host with less to do', () => {
  const lb = new LeastRequest({ choiceCount: 2, scansAll: false });
  lb.update(hostSet([host('busy', 1, 10), host('idle', 1, 0)]));
  const next = contexts(3);
  const counts = count(10_000, () => lb.pick(next()));
  // Busy is taken only when both choices fall on it: one time in four.
  assert.ok(Math.abs(counts.busy! - 2500) < 400, JSON.stringify(counts));
});
