// What the three simple policies promise: proportions and fairness, from plain hosts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { turnMs } from '#base/turn.ts';
import { type Host, type HostChooser, HostHealth, type PickContext } from '#extension/load-balancer.ts';
import { LeastRequest, type LeastRequestConfig } from './least-request/least-request.ts';
import { RandomHost } from './random/random.ts';
import { RoundRobin } from './round-robin/round-robin.ts';
import type { SlowStartConfig } from './slow-start.ts';

function host(address: string, weight = 1, activeRequests = 0, ageMs = 1e6): Host {
  return {
    address,
    weight,
    activeRequests,
    addedMs: turnMs() - ageMs,
    health: HostHealth.Healthy,
    hostname: '',
    priority: 0,
    locality: undefined,
    metadata: undefined,
  };
}

const atOnce: SlowStartConfig = { windowMs: 0, aggression: 1, minWeight: 0.1 };
const slowly: SlowStartConfig = { windowMs: 10_000, aggression: 1, minWeight: 0.1 };
const leastRequest = (own: Partial<LeastRequestConfig>, hosts: readonly Host[]) =>
  new LeastRequest({ choiceCount: 2, scansAll: false, bias: 1, slowStart: atOnce, ...own }, hosts);

/** Seeded, so that a failure can be seen again. */
function contexts(seed: number): () => PickContext {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return { random: state >>> 4, metadataMatch: undefined };
  };
}

/** How often each host comes. */
function shares(picks: number, chooser: HostChooser, seed = 42): Record<string, number> {
  const next = contexts(seed);
  const counts: Record<string, number> = {};
  for (let i = 0; i < picks; i++) {
    const { address } = chooser.choose(next())!;
    counts[address] = (counts[address] ?? 0) + 1;
  }
  return counts;
}

function assertNear(actual: number | undefined, expected: number, by: number): void {
  assert.ok(Math.abs((actual ?? 0) - expected) < by, `${actual} is not ${expected}, give or take ${by}`);
}

test('round robin takes turns', () => {
  const chooser = new RoundRobin(atOnce, [host('a'), host('b'), host('c')]);
  assert.deepEqual(shares(300, chooser), { a: 100, b: 100, c: 100 });
});

test('round robin keeps the proportion of weights, without runs of one host', () => {
  const chooser = new RoundRobin(atOnce, [host('a', 1), host('b', 2), host('c', 3)]);
  assert.deepEqual(shares(600, chooser), { a: 100, b: 200, c: 300 });
  const next = contexts(1);
  let run = 0;
  let longest = 0;
  let last = '';
  for (let i = 0; i < 60; i++) {
    const { address } = chooser.choose(next())!;
    run = address === last ? run + 1 : 1;
    last = address;
    longest = Math.max(longest, run);
  }
  assert.ok(longest <= 2, `c came ${longest} times in a row`);
});

test('weights beyond the table are scaled down', () => {
  const counts = shares(4097, new RoundRobin(atOnce, [host('a', 1), host('b', 100_000)]));
  assert.ok(counts.a! >= 1 && counts.a! <= 2, JSON.stringify(counts));
});

for (const [name, chooser] of [
  ['round robin', new RoundRobin(slowly, [])],
  ['random', new RandomHost([])],
  ['least request', leastRequest({ slowStart: slowly }, [])],
] as const) {
  test(`${name} has none of no hosts`, () => {
    assert.equal(chooser.choose(contexts(7)()), undefined);
  });
}

test('random spreads evenly, whatever the weights', () => {
  assertNear(shares(10_000, new RandomHost([host('a', 1), host('b', 50)])).a, 5000, 300);
});

test('least request with a full scan takes the host with the least to do', () => {
  const hosts = [host('busy', 1, 10), host('a', 1, 1), host('less', 1, 2), host('b', 1, 1), host('c', 1, 1)];
  const counts = shares(9000, leastRequest({ scansAll: true }, hosts));
  assert.deepEqual(Object.keys(counts).sort(), ['a', 'b', 'c']);
  for (const it of Object.values(counts)) assertNear(it, 3000, 300);
});

test('least request prefers the host with less to do', () => {
  const counts = shares(10_000, leastRequest({}, [host('busy', 1, 10), host('idle', 1, 0)]));
  // Busy is taken only when both choices fall on it: one time in four.
  assertNear(counts.busy, 2500, 400);
});

test('least request takes weight by load where hosts differ in weight', () => {
  const hosts = [host('light', 1, 0), host('heavy and busy', 4, 3), host('heavy', 4, 0)];
  const counts = shares(12_000, leastRequest({}, hosts));
  assertNear(counts.light, 2000, 300);
  assertNear(counts['heavy and busy'], 2000, 300);
  assertNear(shares(9000, leastRequest({ bias: 0 }, hosts)).light, 1000, 200);
});

test('hosts of different weights have turns as recorded of Envoy', () => {
  const chooser = leastRequest({}, [host('1', 1), host('2', 2), host('3', 3)]);
  const next = contexts(1);
  const sequence = Array.from({ length: 60 }, () => chooser.choose(next())!.address).join('');
  assert.match(sequence, /^(?:[123]{0,5})(?:233231)+[123]{0,5}$/);
});

test('a new host gets its share bit by bit', () => {
  const hosts = [host('old', 1, 0, 20_000), host('half', 1, 0, 5000)];
  assertNear(shares(9000, new RoundRobin(slowly, hosts)).half, 3000, 300);
  assertNear(shares(9000, leastRequest({ slowStart: slowly }, hosts)).half, 3000, 300);
  // The square root of a quarter is a half.
  const faster = { ...slowly, aggression: 2 };
  const quarter = [host('old', 1, 0, 20_000), host('new', 1, 0, 2500)];
  assertNear(shares(9000, new RoundRobin(faster, quarter)).new, 3000, 300);
  const brandNew = [host('old', 1, 0, 20_000), host('new', 1, 0, 0)];
  assertNear(shares(11_000, new RoundRobin(slowly, brandNew)).new, 1000, 200);
});

test('when all hosts have been there long enough they take turns again', () => {
  const chooser = new RoundRobin(slowly, [host('a', 1, 0, 11_000), host('b', 1, 0, 12_000)]);
  assert.deepEqual(shares(100, chooser), { a: 50, b: 50 });
});
