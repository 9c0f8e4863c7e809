import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countsBelow, filledBuckets, quantiles, sampleCount, sampleSum } from './buckets.ts';
import { MergedStats } from './merged.ts';
import { type Counter, type Gauge, Histogram } from './metric.ts';
import { SnapshotWriter } from './snapshot.ts';
import { type Scope, StatsStore } from './store.ts';

class ClusterStats {
  readonly total: Counter;
  readonly active: Gauge;
  readonly time: Histogram;

  constructor(scope: Scope) {
    this.total = scope.counter('upstream_rq_total');
    this.active = scope.gauge('upstream_rq_active');
    this.time = scope.histogram('upstream_rq_time', 'milliseconds');
  }
}

const recorded = [
  { name: 'nothing but zeros', values: [0, 0], p: [0, 0, 0], sum: 0 },
  // As Envoy printed them for one sample each.
  { name: 'a one', values: [1], p: [1.05, 1.05, 1.05], sum: 1.0476190476190477 },
  { name: 'a 14', values: [14], p: [14.5, 14.5, 14.5], sum: 14.482758620689655 },
  { name: 'a 52 and a 53 twice', values: [52, 53, 52], p: [52 + 1 / 3, 52 + 2 / 3, 53.5], sum: 158.486 },
  { name: 'a 105', values: [105], p: [105, 105, 105], sum: 104.76190476190476 },
  {
    name: 'a 235',
    values: [235],
    p: [234.99999999999997, 234.99999999999997, 234.99999999999997],
    sum: 234.89,
  },
];

for (const { name, values, p, sum } of recorded) {
  test(`quantiles of ${name}`, () => {
    const histogram = new Histogram('h');
    for (const value of values) histogram.record(value);
    quantiles(histogram.counts, [0, 0.5, 1]).forEach((it, i) => {
      assert.ok(Math.abs(it - p[i]!) < 1e-12, `${it} is not ${p[i]}`);
    });
    assert.equal(sampleCount(histogram.counts), values.length);
    assert.ok(Math.abs(sampleSum(histogram.counts) - sum) < 0.01);
  });
}

test('a histogram without samples has no quantiles', () => {
  assert.deepEqual(quantiles(new Histogram('h').counts, [0.5]), [Number.NaN]);
});

test('every value falls into the bucket that holds it', () => {
  const edges = [
    0,
    1,
    9,
    10,
    99,
    100,
    109,
    110,
    999,
    1000,
    1099,
    1100,
    123456,
    9999999,
    2 ** 31,
    2 ** 40,
    1e15,
  ];
  for (const value of edges) {
    const histogram = new Histogram('h');
    histogram.record(value);
    const [bucket, ...others] = filledBuckets(histogram.counts);
    assert.equal(others.length, 0);
    assert.ok(
      bucket!.low <= value + 1e-9 && (value === 0 || value < bucket!.low + bucket!.width),
      `${value}`,
    );
  }
});

test('a bound counts its own bucket in', () => {
  const histogram = new Histogram('h');
  for (const value of [0, 1, 2, 5, 10, 250, 259, 260, 1_800_000]) histogram.record(value);
  assert.deepEqual(countsBelow(histogram.counts, [0.5, 1, 5, 10, 250, 1_800_000]), [1, 2, 4, 5, 7, 9]);
});

test('a scope shares its metrics among its owners and goes with the last of them', () => {
  const store = new StatsStore();
  const first = store.scope('cluster.web');
  const second = store.root.scope('cluster').scope('web');
  first.stats(ClusterStats).total.value++;
  second.counter('upstream_rq_total').value++;
  const names = () => new MergedStats(store).read().counters.map((it) => `${it.name}: ${it.value}`);
  assert.deepEqual(names(), ['cluster.web.upstream_rq_total: 2']);
  first.release();
  assert.deepEqual(names(), ['cluster.web.upstream_rq_total: 2']);
  second.release();
  assert.deepEqual(names(), []);
});

test('two kinds live side by side under one name', () => {
  const { root } = new StatsStore();
  root.counter('x').value = 1;
  root.gauge('x').value = 2;
  assert.equal(root.counter('x').value, 1);
  assert.equal(root.gauge('x').value, 2);
  assert.equal([...root.metrics()].length, 2);
});

test('colons in a name become underscores', () => {
  assert.equal(new StatsStore().scope('listener.[::1]:80').prefix, 'listener.[__1]_80.');
});

test('declared metrics are listed as unused zeros until they are created', () => {
  const store = new StatsStore();
  const scope = store.scope('cluster.web');
  scope.declare(ClusterStats);
  const merged = new MergedStats(store);
  assert.deepEqual(merged.read().counters, [
    { name: 'cluster.web.upstream_rq_total', value: 0, used: false },
  ]);
  assert.deepEqual(merged.read().gauges[0]?.used, false);
  assert.deepEqual(merged.read().histograms[0]?.used, false);
  assert.equal([...scope.metrics()].length, 0);
  scope.stats(ClusterStats).total.value = 3;
  assert.deepEqual(merged.read().counters, [{ name: 'cluster.web.upstream_rq_total', value: 3, used: true }]);
});

test('what stats_matcher refuses is neither listed nor kept', () => {
  const store = new StatsStore((name) => !name.startsWith('cluster.'));
  store.scope('cluster.web').stats(ClusterStats).total.value++;
  store.scope('cluster.web').declare(ClusterStats);
  store.root.counter('server.live').value++;
  assert.deepEqual(
    new MergedStats(store).read().counters.map((it) => it.name),
    ['server.live'],
  );
});

test('a gauge that fell back to zero is used, a counter that was reset too', () => {
  const store = new StatsStore();
  const stats = store.scope('cluster.web').stats(ClusterStats);
  const merged = new MergedStats(store);
  stats.active.value++;
  stats.active.value--;
  stats.total.value++;
  merged.resetCounters();
  assert.deepEqual(merged.read().counters, [{ name: 'cluster.web.upstream_rq_total', value: 0, used: true }]);
  assert.deepEqual(merged.read().gauges, [
    { name: 'cluster.web.upstream_rq_active', value: 0, mode: 'accumulate', used: true },
  ]);
});

test('workers are added up, and keep what they counted when they are gone', () => {
  const main = new StatsStore();
  main.scope('cluster.web').declare(ClusterStats);
  const merged = new MergedStats(main);
  const workers = [0, 1].map((id) => {
    const store = new StatsStore();
    const stats = store.scope('cluster.web').stats(ClusterStats);
    const writer = new SnapshotWriter(store);
    const send = () => merged.update(id, structuredClone(writer.take()));
    return { store, stats, send };
  });
  for (const { stats, send } of workers) {
    stats.total.value += 2;
    stats.active.value++;
    stats.time.record(0);
    send();
  }
  merged.flush();
  workers[0]!.stats.time.record(700);
  workers[0]!.stats.total.value++;
  for (const { send } of workers) send();
  merged.flush();
  const reading = merged.read();
  assert.equal(reading.counters[0]?.value, 5);
  assert.equal(reading.gauges[0]?.value, 2);
  assert.deepEqual(
    filledBuckets(reading.histograms[0]!.interval).map((it) => it.count),
    [1],
  );
  assert.deepEqual(
    filledBuckets(reading.histograms[0]!.cumulative).map((it) => it.count),
    [2, 1],
  );

  merged.retire(0);
  assert.equal(merged.read().counters[0]?.value, 5);
  assert.equal(merged.read().gauges[0]?.value, 1);
  merged.flush();
  assert.equal(sampleCount(merged.read().histograms[0]!.cumulative), 3);
});

test('names travel only when they changed', () => {
  const store = new StatsStore();
  const writer = new SnapshotWriter(store);
  assert.notEqual(writer.take().scopes, undefined);
  assert.equal(writer.take().scopes, undefined);
  const scope = store.scope('cluster.web');
  scope.counter('x');
  assert.deepEqual(writer.take().scopes?.[1]?.counters, ['x']);
  scope.release();
  assert.equal(writer.take().scopes?.length, 1);
});

test('a histogram that went and came again starts anew', () => {
  const store = new StatsStore();
  const merged = new MergedStats(store);
  const scope = store.scope('cluster.web');
  for (let i = 0; i < 3; i++) scope.histogram('t').record(7);
  merged.flush();
  scope.release();
  store.scope('cluster.web').histogram('t').record(7);
  merged.flush();
  assert.equal(sampleCount(merged.read().histograms[0]!.interval), 1);
});

test('what a worker counted outlives it, until the main thread lets go of the scope', () => {
  const main = new StatsStore();
  const cluster = main.scope('cluster.web');
  const merged = new MergedStats(main);
  const worker = new StatsStore();
  worker.scope('cluster.web').counter('a').value = 1;
  worker.scope('http.in').counter('b').value = 2;
  merged.update(0, new SnapshotWriter(worker).take());
  merged.retire(0);
  const names = () => merged.read().counters.map((it) => `${it.name}: ${it.value}`);
  assert.deepEqual(names(), ['cluster.web.a: 1', 'http.in.b: 2']);
  cluster.release();
  assert.deepEqual(names(), ['http.in.b: 2']);
  merged.resetCounters();
  assert.deepEqual(names(), ['http.in.b: 0']);
});
