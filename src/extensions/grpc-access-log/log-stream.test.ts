import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TimerWheel } from '#base/timer-wheel.ts';
import type { WorkerServices } from '#extension/worker-services.ts';
import type { AsyncCallbacks } from '#http/async-client.ts';
import { HeaderMap } from '#http/header-map.ts';
import { decodeMessage } from '#schema/binary.ts';
import { message } from '#schema/registry.ts';
import { StatsStore } from '#stats/store.ts';
import { ManualClock } from '#testing/manual-clock.ts';
import { EntryField, LogStream } from './log-stream.ts';

interface Sent {
  readonly log: string | undefined;
  readonly entries: number;
}

/** A log stream whose service is the test. */
function setUp(bufferBytes: number) {
  const clock = new ManualClock();
  const store = new StatsStore();
  const service = {
    sent: [] as Sent[],
    streams: 0,
    isBackedUp: false,
    isAbsent: false,
    callbacks: undefined as AsyncCallbacks | undefined,
  };
  const type = message('envoy.service.accesslog.v3.StreamAccessLogsMessage');
  const services = {
    stats: store.root,
    timers: new TimerWheel(clock),
    node: { id: 'me' },
    asyncClient: {
      start(_cluster: string, _options: object, callbacks: AsyncCallbacks) {
        if (service.isAbsent) return undefined;
        service.streams++;
        service.callbacks = callbacks;
        return {
          get isBackedUp() {
            return service.isBackedUp;
          },
          sendHeaders() {},
          sendData(data: Buffer) {
            const { identifier, http_logs: logs } = decodeMessage(type, data.subarray(5));
            service.sent.push({ log: identifier?.log_name, entries: logs!.log_entry.length });
          },
          sendTrailers() {},
          reset() {},
        };
      },
    },
  } as unknown as WorkerServices;
  const config = {
    logName: 'front',
    service: {
      cluster: 'c',
      authority: 'c',
      maxReceiveBytes: 0,
      initialMetadata: [],
      options: { timeoutMs: 0, retryPolicy: undefined, addsInternal: true, addsForwardedFor: true },
    },
    flushIntervalMs: 1000,
    bufferBytes,
    customTags: [],
  };
  const log = new LogStream(config, EntryField.Http, services);
  const count = (name: string) => store.scope('access_logs.grpc_access_log').counter(name).value;
  return { clock, log, service, count };
}

/** An empty entry whose encoding is two bytes long. */
const entry = new Uint8Array([0x10, 0x02]);

test('entries are sent together when the time is over', () => {
  const { clock, log, service } = setUp(100);
  log.write(entry);
  log.write(entry);
  assert.deepEqual(service.sent, []);
  clock.advance(1100);
  log.write(entry);
  clock.advance(1100);
  assert.deepEqual(service.sent, [
    { log: 'front', entries: 2 },
    { log: undefined, entries: 1 },
  ]);
  assert.equal(service.streams, 1);
});

test('entries are sent at once when there are enough', () => {
  const { log, service } = setUp(4);
  for (let i = 0; i < 5; i++) log.write(entry);
  assert.deepEqual(
    service.sent.map((it) => it.entries),
    [2, 2],
  );
});

test('a stream that broke is begun anew, and says again whose log it is', () => {
  const { log, service } = setUp(0);
  log.write(entry);
  service.callbacks!.onReset();
  log.write(entry);
  assert.deepEqual(service.sent, [
    { log: 'front', entries: 1 },
    { log: 'front', entries: 1 },
  ]);
  service.callbacks!.onHeaders(Object.assign(new HeaderMap(), { status: 503 }), true);
  log.write(entry);
  assert.equal(service.streams, 3);
});

test('entries wait while the service takes nothing, and what is too much is dropped', () => {
  const { clock, log, service, count } = setUp(4);
  log.write(entry);
  log.write(entry);
  service.isBackedUp = true;
  for (let i = 0; i < 5; i++) log.write(entry);
  assert.equal(count('logs_dropped'), 3);
  service.isBackedUp = false;
  clock.advance(1100);
  log.write(entry);
  clock.advance(1100);
  assert.deepEqual(
    service.sent.map((it) => it.entries),
    [2, 2, 1],
  );
  assert.equal(count('logs_written'), 5);
  assert.equal(count('grpc_entries_flushed'), 5);
});

test('without the cluster entries are lost', () => {
  const { log, service, count } = setUp(0);
  service.isAbsent = true;
  log.write(entry);
  assert.equal(count('grpc_entries_flush_failed'), 1);
});
