import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ResetReason } from '#http/codec.ts';
import { CloseEvent } from '#net/connection.ts';
import { StatsStore } from '#stats/store.ts';
import { CircuitBreaker } from './circuit-breaker.ts';
import type { Cluster } from './cluster.ts';
import type { Thresholds } from './cluster-config.ts';
import { CircuitBreakerStats, ClusterStats } from './cluster-stats.ts';
import { ClusterUsage, usageChunk } from './cluster-usage.ts';
import { UpstreamHost } from './host.ts';
import { HttpPool, type PoolClient, type PooledConnection } from './http-pool.ts';

interface Settings {
  readonly limits?: Partial<Thresholds>;
  readonly maxRequestsPerConnection?: number;
  readonly preconnectRatio?: number;
  readonly streamsPerConnection?: number;
}

/** A pool over connections and codecs that do nothing but what the test says. */
function poolOf(protocol: 0 | 1, settings: Settings = {}) {
  const { root } = new StatsStore();
  const limits: Thresholds = {
    maxConnections: 9,
    maxPendingRequests: 9,
    maxRequests: 9,
    maxRetries: 9,
    maxConnectionsPerHost: Number.POSITIVE_INFINITY,
    maxConnectionPools: Number.POSITIVE_INFINITY,
    tracksRemaining: false,
    retryBudget: undefined,
    ...settings.limits,
  };
  const usage = new ClusterUsage(new Int32Array(usageChunk(1)), 7, 0, 0);
  const breaker = new CircuitBreaker({ now: limits }, root.stats(CircuitBreakerStats), usage);
  const stats = root.stats(ClusterStats);
  const opened: PooledConnection[] = [];
  const cluster = {
    stats,
    timers: { start() {}, cancel() {} },
    transport: { tlsInfo: () => undefined },
    config: {
      connectTimeoutMs: 0,
      preconnectRatio: settings.preconnectRatio ?? 1,
      http: {
        http2: { maxConcurrentStreams: settings.streamsPerConnection ?? 100 },
        idleTimeoutMs: 0,
        maxConnectionDurationMs: 0,
        maxRequestsPerConnection: settings.maxRequestsPerConnection ?? 0,
      },
    },
    connect(_host: unknown, owner: PooledConnection) {
      opened.push(owner);
      return {
        id: opened.length,
        socket: {},
        failureReason: '',
        close: () => owner.onClose(CloseEvent.Local),
      };
    },
    countUnusedHttp2() {},
    newCodec: () => ({
      protocol: protocol === 1 ? 'HTTP/2' : 'HTTP/1.1',
      newStream: () => ({}),
      onConnectionClose() {},
      onEnd() {},
    }),
    onPoolEmpty() {},
  } as unknown as Cluster;
  const host = new UpstreamHost(
    {
      address: '192.0.2.1',
      port: 80,
      hostname: '',
      weight: 1,
      flags: 0,
      healthStatus: 'UNKNOWN',
      metadata: undefined,
    },
    undefined,
    0,
  );
  const pool = new HttpPool(cluster, host, breaker, protocol, 0, undefined, '');
  const told: string[] = [];
  const ask = (name: string) => {
    const client = {
      onPoolReady: (_encoder: unknown, connection: PooledConnection) =>
        told.push(`${name} on ${opened.indexOf(connection) + 1}`),
      onPoolFailure: (reason: ResetReason) => told.push(`${name} failed ${reason}`),
    } as unknown as PoolClient;
    pool.newStream(client);
    return client;
  };
  return { pool, opened, stats, told, ask, host };
}

test('HTTP/1 takes a connection for each stream, and the last used one again', () => {
  const { pool, opened, told, ask, stats, host } = poolOf(0);
  ask('a');
  ask('b');
  assert.equal(opened.length, 2);
  assert.equal(stats.upstreamRqPendingActive.value, 2);
  opened[0]!.onConnected();
  opened[1]!.onConnected();
  assert.deepEqual(told, ['a on 1', 'b on 2']);
  assert.equal(host.activeRequests, 2);
  opened[0]!.onStreamEnd(true);
  opened[1]!.onStreamEnd(true);
  ask('c');
  assert.deepEqual(told.slice(2), ['c on 2']);
  assert.equal(pool.all.length, 2);
  assert.equal(stats.upstreamRqActive.value, 1);
});

test('a waiting request takes the connection that is free first', () => {
  const { opened, told, ask } = poolOf(0);
  ask('a');
  opened[0]!.onConnected();
  ask('b');
  opened[0]!.onStreamEnd(true);
  assert.deepEqual(told, ['a on 1', 'b on 1']);
});

test('HTTP/2 shares a connection up to its streams', () => {
  const { opened, told, ask } = poolOf(1, { streamsPerConnection: 2 });
  ask('a');
  ask('b');
  assert.equal(opened.length, 1);
  ask('c');
  assert.equal(opened.length, 2);
  opened[0]!.onConnected();
  assert.deepEqual(told, ['a on 1', 'b on 1']);
  opened[0]!.onStreamEnd(true);
  assert.deepEqual(told.slice(2), ['c on 1']);
});

test('the peer may allow fewer streams', () => {
  const { opened, told, ask } = poolOf(1);
  ask('a');
  opened[0]!.onConnected();
  opened[0]!.onMaxStreams(1);
  ask('b');
  assert.equal(opened.length, 2);
  opened[0]!.onMaxStreams(2);
  assert.deepEqual(told, ['a on 1', 'b on 1']);
});

test('a connection that fails takes all that wait with it', () => {
  const { pool, opened, told, ask, stats } = poolOf(1);
  ask('a');
  ask('b');
  opened[0]!.onClose(CloseEvent.Remote);
  assert.deepEqual(told, [
    `a failed ${ResetReason.RemoteConnectionFailure}`,
    `b failed ${ResetReason.RemoteConnectionFailure}`,
  ]);
  assert.equal(pool.all.length, 0);
  assert.equal(stats.upstreamCxConnectFail.value, 1);
  assert.equal(stats.upstreamRqPendingFailureEject.value, 2);
  assert.equal(stats.upstreamRqPendingActive.value, 0);
});

test('the breaker refuses requests, waiting ones and connections, but never the first connection', () => {
  const waiting = poolOf(0, { limits: { maxPendingRequests: 1 } });
  waiting.ask('a');
  waiting.ask('b');
  assert.deepEqual(waiting.told, [`b failed ${ResetReason.Overflow}`]);
  assert.equal(waiting.stats.upstreamRqPendingOverflow.value, 1);

  const requests = poolOf(0, { limits: { maxRequests: 1 } });
  requests.ask('a');
  requests.ask('b');
  for (const connection of requests.opened) connection.onConnected();
  assert.deepEqual(requests.told, ['a on 1', `b failed ${ResetReason.Overflow}`]);

  const connections = poolOf(0, { limits: { maxConnections: 0 } });
  connections.ask('a');
  connections.ask('b');
  assert.equal(connections.opened.length, 1);
  assert.equal(connections.stats.upstreamCxOverflow.value, 2);
});

test('a request that waits can be taken back', () => {
  const { pool, opened, told, ask, stats } = poolOf(0);
  const client = ask('a');
  pool.cancel(client);
  pool.cancel(client);
  opened[0]!.onConnected();
  assert.deepEqual(told, []);
  assert.equal(stats.upstreamRqCancelled.value, 1);
  ask('b');
  assert.deepEqual(told, ['b on 1']);
});

test('a connection ends after its last request, and another takes its place', () => {
  const { pool, opened, told, ask, stats } = poolOf(0, { maxRequestsPerConnection: 1 });
  ask('a');
  opened[0]!.onConnected();
  assert.equal(opened[0]!.isDraining, true);
  opened[0]!.onStreamEnd(true);
  assert.equal(opened[0]!.isGone, true);
  assert.equal(pool.all.length, 0);
  assert.equal(stats.upstreamCxMaxRequests.value, 1);
  ask('b');
  opened[1]!.onConnected();
  assert.deepEqual(told, ['a on 1', 'b on 2']);
});

test('a connection that cannot be used again, or was told to go, ends with its last stream', () => {
  const { opened, ask } = poolOf(0);
  ask('a');
  opened[0]!.onConnected();
  opened[0]!.onStreamEnd(false);
  assert.equal(opened[0]!.isGone, true);

  const shared = poolOf(1);
  shared.ask('a');
  shared.opened[0]!.onConnected();
  shared.opened[0]!.onGoAway();
  assert.equal(shared.opened[0]!.isGone, false);
  shared.ask('b');
  assert.equal(shared.opened.length, 2);
  shared.opened[0]!.onStreamEnd(true);
  assert.equal(shared.opened[0]!.isGone, true);
  assert.equal(shared.stats.upstreamCxCloseNotify.value, 1);
});

test('what waits for a connection that is on its way gets it, though the host has left', () => {
  const { pool, opened, ask } = poolOf(0);
  ask('a');
  pool.shutDown();
  assert.equal(opened[0]!.isGone, false);
  opened[0]!.onConnected();
  assert.equal(opened[0]!.active, 1);
  opened[0]!.onStreamEnd(true);
  assert.equal(opened[0]!.isGone, true);
});

test('draining ends idle connections now and others when they are done', () => {
  const { pool, opened, ask } = poolOf(0);
  ask('a');
  ask('b');
  for (const connection of opened) connection.onConnected();
  opened[0]!.onStreamEnd(true);
  pool.drain();
  assert.deepEqual(
    opened.map((it) => it.isGone),
    [true, false],
  );
  opened[1]!.onStreamEnd(true);
  assert.equal(opened[1]!.isGone, true);
});
