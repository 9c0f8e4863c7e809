// The tables, by what Envoy's own look like: how many places hosts have, and who is next when a host is refused or full.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Uint64 } from '#base/uint64.ts';
import { xxHash64 } from '#base/xxhash64.ts';
import { type HashTable, type Host, HostHealth, type WeightedHost } from '#extension/load-balancer.ts';
import { MaglevTable, takeTurns } from '../maglev/table.ts';
import { hashesPerHost, Ring } from '../ring-hash/ring.ts';
import { BoundedLoad } from './bounded-load.ts';

const standard = { minimum: 1024, maximum: 8388608 };
const shares = (weights: readonly number[]) => {
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((it) => it / sum);
};
const keysOf = (count: number) => Array.from({ length: count }, (_, i) => `127.0.0.1:${21501 + i}`);

function chosen(table: HashTable, key: string, refusals = 0): number {
  const hash = new Uint64();
  xxHash64(key, hash);
  return table.choose(hash, refusals);
}

// As recorded of Envoy.
const rings = [
  { weights: [1, 1, 1, 1], size: standard, counts: [256, 256, 256, 256] },
  { weights: [1, 1, 1, 1, 1], size: standard, counts: [205, 205, 205, 205, 205] },
  { weights: [1, 2, 3, 4, 5], size: standard, counts: [69, 138, 207, 276, 345] },
  { weights: [1, 1, 1, 1], size: { minimum: 6, maximum: 6 }, counts: [2, 1, 2, 1] },
];

for (const { weights, size, counts } of rings) {
  test(`a ring of ${size.minimum} or more has ${counts} hashes for weights ${weights}`, () => {
    assert.deepEqual(hashesPerHost(shares(weights), size), counts);
  });
}

test('a table gives places by weight', () => {
  const counts = [0, 0, 0, 0, 0];
  takeTurns(shares([1, 2, 3, 4, 5]), 65537, (i) => counts[i]!++);
  assert.deepEqual([Math.min(...counts), Math.max(...counts)], [4370, 21845]);
});

test('the order in which hosts are told makes no difference to a table', () => {
  const keys = keysOf(5);
  const turned = [...keys].reverse();
  const [one, other] = [keys, turned].map((it) => new MaglevTable(it, shares([1, 1, 1, 1, 1]), 65537));
  for (let i = 0; i < 200; i++)
    assert.equal(keys[chosen(one!, `key-${i}`)], turned[chosen(other!, `key-${i}`)]);
});

test('tables without hosts have nobody', () => {
  assert.equal(chosen(new Ring([], [], false), 'a'), -1);
  assert.equal(chosen(new MaglevTable([], [], 65537), 'a'), -1);
});

test('a host that is refused leads to another one, the same every time', () => {
  const keys = keysOf(4);
  const tables = [
    new Ring(keys, hashesPerHost(shares([1, 1, 1, 1]), standard), false),
    new MaglevTable(keys, shares([1, 1, 1, 1]), 65537),
  ];
  for (const table of tables) {
    const seen = new Set(Array.from({ length: 12 }, (_, i) => chosen(table, 'key', i)));
    assert.ok(seen.size > 1);
    assert.equal(chosen(table, 'key', 3), chosen(table, 'key', 3));
  }
});

test('a table keeps the keys of the hosts that stay', () => {
  const keys = keysOf(5);
  const before = new Ring(keys, hashesPerHost(shares([1, 1, 1, 1, 1]), standard), false);
  const after = new Ring(keys.slice(1), hashesPerHost(shares([1, 1, 1, 1]), standard), false);
  let moved = 0;
  for (let i = 0; i < 1000; i++) {
    const old = chosen(before, `key-${i}`);
    if (old !== 0 && old !== chosen(after, `key-${i}`) + 1) moved++;
  }
  // The ring has 256 hashes of a host instead of 205.
  assert.ok(moved < 250, `${moved} of 1000 keys have moved`);
});

class Loaded implements Host {
  readonly hostname = '';
  readonly weight = 1;
  readonly priority = 0;
  readonly health = HostHealth.Healthy;
  readonly locality = undefined;
  readonly metadata = undefined;
  readonly addedMs = 0;
  readonly address: string;
  activeRequests = 0;

  constructor(address: string) {
    this.address = address;
  }
}

test('a host with more than its share passes on, in an order of the hash', () => {
  const hosts = keysOf(4).map((it) => new Loaded(it));
  const weighted: WeightedHost[] = hosts.map((host) => ({ host, weight: 0.25 }));
  const load = { activeRequests: 7 };
  const table = new MaglevTable(keysOf(4), [0.25, 0.25, 0.25, 0.25], 65537);
  const bounded = new BoundedLoad(table, weighted, 120, load);
  const first = chosen(table, 'key');
  assert.equal(chosen(bounded, 'key'), first);
  // ceil(((7 + 1) * 120 + 99) / 100 / 4) requests are its share.
  hosts[first]!.activeRequests = 3;
  assert.equal(chosen(bounded, 'key'), first);
  hosts[first]!.activeRequests = 4;
  const second = chosen(bounded, 'key');
  assert.notEqual(second, first);
  assert.equal(chosen(bounded, 'key'), second);
  for (const it of hosts) it.activeRequests = 9;
  hosts[second]!.activeRequests = 8;
  assert.equal(chosen(bounded, 'key'), second);
});
