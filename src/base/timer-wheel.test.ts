import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '#testing/manual-clock.ts';
import { systemClock } from './clock.ts';
import { TimerWheel, WheelTimer } from './timer-wheel.ts';

function setUp() {
  const clock = new ManualClock();
  const wheel = new TimerWheel(clock, 4);
  const fired: { id: number; atMs: number }[] = [];
  const startMs = clock.monotonicMs();
  const owner = { onTimeout: (id: number) => void fired.push({ id, atMs: clock.monotonicMs() - startMs }) };
  return { clock, wheel, fired, owner };
}

for (const delayMs of [0, 1, 4, 5, 1019, 1020, 1024, 1025, 15_000, 262_144, 300_000, 3_600_000, 90_000_000]) {
  test(`a timer of ${delayMs} ms runs out on time`, () => {
    const { clock, wheel, fired, owner } = setUp();
    wheel.start(new WheelTimer(owner), delayMs);
    clock.advance(delayMs - 1);
    assert.equal(fired.length, 0);
    clock.advance(9);
    assert.equal(fired.length, 1);
    assert.equal(wheel.active, 0);
    assert.equal(clock.pending, 0);
  });
}

test('timers run out in order, and a cancelled one does not', () => {
  const { clock, wheel, fired, owner } = setUp();
  const timers = [30, 10, 20, 2000].map((delayMs, id) => {
    const timer = new WheelTimer(owner, id);
    wheel.start(timer, delayMs);
    return timer;
  });
  wheel.cancel(timers[2]!);
  wheel.cancel(timers[2]!);
  clock.advance(3000);
  assert.deepEqual(
    fired.map(({ id }) => id),
    [1, 0, 3],
  );
});

test('a timer that is started again runs out once, later or earlier', () => {
  const { clock, wheel, fired, owner } = setUp();
  const later = new WheelTimer(owner, 1);
  const earlier = new WheelTimer(owner, 2);
  wheel.start(later, 100);
  wheel.start(earlier, 5000);
  clock.advance(80);
  wheel.start(later, 100);
  wheel.start(earlier, 40);
  clock.advance(10_000);
  assert.deepEqual(
    fired.map(({ id, atMs }) => [id, atMs]),
    [
      [2, 120],
      [1, 180],
    ],
  );
});

test('a callback may start and cancel timers, its own too', () => {
  const clock = new ManualClock();
  const wheel = new TimerWheel(clock, 4);
  let calls = 0;
  const other = new WheelTimer({ onTimeout: () => assert.fail('cancelled') });
  const timer: WheelTimer = new WheelTimer({
    onTimeout() {
      assert.equal(timer.isActive, false);
      wheel.cancel(other);
      if (++calls < 5) wheel.start(timer, calls === 2 ? 0 : 1024);
    },
  });
  wheel.start(timer, 8);
  wheel.start(other, 8);
  clock.advance(10_000);
  assert.equal(calls, 5);
  assert.equal(wheel.active, 0);
});

test('an empty wheel wakes nobody, however long it was idle', () => {
  const { clock, wheel, fired, owner } = setUp();
  const timer = new WheelTimer(owner);
  wheel.start(timer, 10);
  wheel.cancel(timer);
  clock.advance(10_000_000);
  assert.equal(clock.pending, 0);
  wheel.start(timer, 10);
  clock.advance(12);
  assert.equal(fired.length, 1);
});

test('agrees with a sorted list over a random run', () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  let state = seed;
  const random = (below: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return state % below;
  };
  const { clock, wheel, owner, fired } = setUp();
  const timers = Array.from({ length: 50 }, (_, id) => new WheelTimer(owner, id));
  const dueMs = new Map<number, number>();
  for (let step = 0; step < 2000; step++) {
    const id = random(timers.length);
    const delayMs = random(4) === 0 ? random(2_000_000) : random(2000);
    if (random(3) === 0) {
      wheel.cancel(timers[id]!);
      dueMs.delete(id);
    } else {
      wheel.start(timers[id]!, delayMs);
      dueMs.set(id, clock.monotonicMs() + delayMs);
    }
    fired.length = 0;
    clock.advance(random(300));
    for (const { id: late, atMs } of fired) {
      assert.ok(dueMs.get(late)! <= atMs + 1000, `seed ${seed}: early`);
      dueMs.delete(late);
    }
    for (const due of dueMs.values()) assert.ok(due + 4 > clock.monotonicMs(), `seed ${seed}: missed`);
    assert.equal(wheel.active, dueMs.size, `seed ${seed}`);
  }
});

test('runs on the system clock', async () => {
  const wheel = new TimerWheel(systemClock, 1);
  const keepAlive = setTimeout(() => {}, 5000);
  await new Promise<void>((resolve) => wheel.start(new WheelTimer({ onTimeout: () => resolve() }), 3));
  clearTimeout(keepAlive);
  assert.equal(wheel.active, 0);
});
