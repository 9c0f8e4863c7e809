import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ParseContext } from '#config/parse-context.ts';
import { Runtime } from '#extension/runtime.ts';
import { create } from '#schema/create.ts';
import type { HealthCheckInit } from '#schema/messages/envoy/config/core/v3.ts';
import { StatsStore } from '#stats/store.ts';
import { ManualClock } from '#testing/manual-clock.ts';
import { HealthFlag } from '../upstream/health-flags.ts';
import { Transition } from './check-interval.ts';
import { parseHealthChecks } from './health-check-config.ts';
import { HealthCheckStats } from './health-check-stats.ts';
import { HealthEvents } from './health-events.ts';
import { HostCheck } from './host-check.ts';
import { FailureType } from './probe.ts';

const { FailedActive, PendingActive, ActiveTimeout, DegradedActive, ExcludedImmediate } = HealthFlag;

/** A check of one host whose answers the test gives. */
function checked(own: Partial<HealthCheckInit> = {}, flags: number = FailedActive, hasTraffic = true) {
  const message = create('envoy.config.cluster.v3.Cluster', {
    name: 'web',
    health_checks: [
      {
        timeout: { seconds: 1, nanos: 0 },
        interval: { seconds: 10, nanos: 0 },
        unhealthy_threshold: 2,
        healthy_threshold: 2,
        tcp_health_check: {},
        ...own,
      } as HealthCheckInit,
    ],
  });
  const clock = new ManualClock();
  const store = new StatsStore();
  const stats = store.scope('cluster.web.health_check').stats(HealthCheckStats);
  const [config] = parseHealthChecks(message, new ParseContext('', []));
  const lines: string[] = [];
  const file = { write: (line: string) => lines.push(line) } as never;
  const host = {
    address: '10.0.0.1',
    port: 80,
    hostname: '',
    weight: 1,
    flags: 0,
    healthStatus: 'UNKNOWN',
    metadata: undefined,
  } as const;
  const locality = { region: '', zone: 'a', subZone: '' };
  const events = new HealthEvents({ cluster: 'web', checker: 'TCP', files: [file], clock }, host, locality);
  const transitions: Transition[] = [];
  const starts: number[] = [];
  const shared = {
    config: config!,
    stats,
    clock,
    runtime: new Runtime(),
    random: () => 5,
    hasTraffic: () => hasTraffic,
  };
  const check = new HostCheck(flags, shared, events, (it) => transitions.push(it));
  const beganMs = clock.monotonicMs();
  check.start({
    start: () => starts.push(clock.monotonicMs() - beganMs),
    onTimeout() {},
    close() {},
  });
  return {
    check,
    clock,
    stats,
    starts,
    transitions,
    lines,
    runtime: shared.runtime,
    pass: () => check.onSuccess(false),
    fail: (type: FailureType = FailureType.Network) => check.onFailure(type, false, 0),
  };
}

test('the first answer decides at once, the thresholds count from then on', () => {
  const host = checked();
  host.pass();
  assert.equal(host.check.flags, 0);
  host.fail();
  assert.equal(host.check.flags, 0);
  host.fail();
  assert.equal(host.check.flags, FailedActive);
  host.pass();
  assert.equal(host.check.flags, FailedActive);
  host.fail();
  host.pass();
  assert.equal(host.check.flags, FailedActive, 'a failure starts the count anew');
  host.pass();
  assert.equal(host.check.flags, 0);
  const { Changed, Pending, Unchanged } = Transition;
  assert.deepEqual(host.transitions, [Changed, Pending, Changed, Pending, Unchanged, Pending, Changed]);
  assert.equal(host.stats.healthy.value, 1);
});

test('a wrong answer needs no threshold, one that may be tried again does', () => {
  const host = checked();
  host.pass();
  host.check.onFailure(FailureType.Active, true, 429);
  assert.equal(host.check.flags, 0);
  host.check.onFailure(FailureType.Active, false, 500);
  assert.equal(host.check.flags, FailedActive);
  assert.equal(host.stats.networkFailure.value, 0);
});

test('a timeout marks a host that fails, until it fails otherwise', () => {
  const host = checked();
  host.clock.advance(1000);
  assert.equal(host.check.flags, FailedActive | ActiveTimeout);
  host.fail();
  assert.equal(host.check.flags, FailedActive);
});

test('a response that asks for it fails the host, and is taken back with its health', () => {
  const host = checked();
  host.pass();
  host.check.failPassively();
  assert.equal(host.check.flags, FailedActive | ExcludedImmediate);
  assert.equal(host.stats.passiveFailure.value, 1);
  host.pass();
  host.pass();
  assert.equal(host.check.flags, 0);
});

test('an unchecked host is pending until the first result, whatever that is', () => {
  const host = checked({}, FailedActive | PendingActive);
  host.fail();
  assert.equal(host.check.flags, FailedActive);
  assert.deepEqual(host.transitions, [Transition.Changed]);
});

test('degraded comes and goes with the answers', () => {
  const host = checked();
  host.check.onSuccess(true);
  assert.equal(host.check.flags, DegradedActive);
  host.check.onSuccess(false);
  assert.equal(host.check.flags, 0);
  assert.deepEqual(
    host.lines.map((it) =>
      Object.keys(JSON.parse(it)).find((key) => /event|host$/.test(key) && key !== 'host'),
    ),
    ['add_healthy_event', 'degraded_healthy_host', 'no_longer_degraded_host'],
  );
});

test('intervals follow what the last check made of the host', () => {
  const seconds = (n: number) => ({ seconds: n, nanos: 0 });
  const host = checked({
    unhealthy_interval: seconds(20),
    unhealthy_edge_interval: seconds(3),
    healthy_edge_interval: seconds(4),
  });
  const results = [host.pass, host.fail, host.fail, host.fail, host.pass, host.pass];
  for (const result of results) {
    result();
    // To the next check, and not to its timeout.
    const before = host.starts.length;
    for (let i = 0; i < 30 && host.starts.length === before; i++) host.clock.advance(1000);
  }
  const pauses = host.starts.slice(1).map((it, i) => (it - host.starts[i]!) / 1000);
  assert.deepEqual(pauses, [10, 3, 20, 20, 4, 10]);
});

test('without traffic there is no hurry', () => {
  const host = checked({ no_traffic_healthy_interval: { seconds: 120, nanos: 0 } }, FailedActive, false);
  host.fail();
  host.clock.advance(59_999);
  assert.equal(host.starts.length, 1);
  host.clock.advance(1);
  assert.equal(host.starts.length, 2);
  host.pass();
  host.clock.advance(60_000);
  assert.equal(host.starts.length, 3, 'one success of two');
  host.pass();
  host.clock.advance(119_999);
  assert.equal(host.starts.length, 3);
  host.clock.advance(1);
  assert.equal(host.starts.length, 4);
});

test('jitter is added, and runtime has the last word', () => {
  const host = checked({ interval_jitter: { seconds: 1, nanos: 0 }, interval_jitter_percent: 50 });
  host.pass();
  host.clock.advance(10_009);
  assert.equal(host.starts.length, 1);
  host.clock.advance(1);
  assert.equal(host.starts.length, 2);
  host.runtime.values = new Map([['health_check.max_interval', 100]]);
  host.pass();
  host.clock.advance(100);
  assert.equal(host.starts.length, 3);
});

test('ends without waking again, and lets go of who waits for its first result', () => {
  const host = checked();
  host.check.close();
  assert.deepEqual(host.transitions, [Transition.Unchanged]);
  assert.equal(host.clock.pending, 0);
  assert.equal(host.stats.healthy.value, 0);
});

test('events are written as Envoy writes them', () => {
  const host = checked();
  host.pass();
  assert.deepEqual(host.lines, [
    '{"health_checker_type":"TCP","host":{"socket_address":{"protocol":"TCP","address":"10.0.0.1","port_value":80,"resolver_name":"","ipv4_compat":false,"network_namespace_filepath":""}},"cluster_name":"web","add_healthy_event":{"first_check":true},"timestamp":"2026-01-01T00:00:00Z","locality":{"region":"","zone":"a","sub_zone":""}}\n',
  ]);
});
