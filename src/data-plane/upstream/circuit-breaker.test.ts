import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StatsStore } from '#stats/store.ts';
import { CircuitBreaker } from './circuit-breaker.ts';
import type { Thresholds } from './cluster-config.ts';
import { CircuitBreakerStats } from './cluster-stats.ts';
import { ClusterUsage, forgetUsage, usageChunk } from './cluster-usage.ts';

const limits: Thresholds = {
  maxConnections: 2,
  maxPendingRequests: 2,
  maxRequests: 3,
  maxRetries: 1,
  maxConnectionsPerHost: Number.POSITIVE_INFINITY,
  maxConnectionPools: Number.POSITIVE_INFINITY,
  tracksRemaining: false,
  retryBudget: undefined,
};

/** The breakers of one cluster in two workers. */
function pair(own: Partial<Thresholds> = {}) {
  const chunk = usageChunk(2);
  const counts = new Int32Array(chunk);
  const breakers = [0, 1].map((worker) => {
    const stats = new StatsStore().root.stats(CircuitBreakerStats);
    return {
      stats,
      breaker: new CircuitBreaker(
        { now: { ...limits, ...own } },
        stats,
        new ClusterUsage(counts, 7, worker, 0),
      ),
    };
  });
  return { chunk, counts, first: breakers[0]!, second: breakers[1]! };
}

test('limits hold over all workers', () => {
  const { first, second } = pair();
  first.breaker.addRequests(2);
  assert.equal(second.breaker.allowsRequest, true);
  second.breaker.addRequests(1);
  assert.equal(first.breaker.allowsRequest, false);
  assert.equal(second.breaker.allowsRequest, false);
  first.breaker.addRequests(-1);
  assert.equal(second.breaker.allowsRequest, true);
});

test('each resource has a limit of its own', () => {
  const { first, second } = pair();
  first.breaker.addConnections(2);
  first.breaker.addPending(1);
  first.breaker.addRetries(1);
  assert.equal(second.breaker.allowsConnection(0), false);
  assert.equal(second.breaker.allowsPending, true);
  assert.equal(second.breaker.allowsRetry, false);
  assert.equal(second.breaker.allowsRequest, true);
});

test('a retry budget looks at the requests of all workers', () => {
  const { first, second } = pair({ maxRequests: 100, retryBudget: { percent: 20, minConcurrency: 1 } });
  second.breaker.addRetries(1);
  assert.equal(first.breaker.allowsRetry, false);
  first.breaker.addRequests(6);
  second.breaker.addRequests(4);
  assert.equal(first.breaker.allowsRetry, true);
  first.breaker.addRetries(1);
  assert.equal(second.breaker.allowsRetry, false);
});

test('other clusters and the other priority count for themselves', () => {
  const { counts, first } = pair();
  const stats = new StatsStore().root.stats(CircuitBreakerStats);
  first.breaker.addRequests(3);
  for (const usage of [new ClusterUsage(counts, 7, 0, 1), new ClusterUsage(counts, 8, 0, 0)])
    assert.equal(new CircuitBreaker({ now: limits }, stats, usage).allowsRequest, true);
});

test('what a worker was doing ends with it', () => {
  const { chunk, first, second } = pair();
  first.breaker.addRequests(2);
  second.breaker.addRequests(1);
  assert.equal(second.breaker.allowsRequest, false);
  forgetUsage(chunk, 0);
  second.breaker.addRequests(1);
  assert.equal(second.breaker.allowsRequest, true);
  second.breaker.addRequests(1);
  assert.equal(second.breaker.allowsRequest, false);
});

test('statistics follow what other workers did, when they are asked for', () => {
  const { first, second } = pair();
  first.breaker.addConnections(1);
  assert.equal(first.stats.cxOpen.value, 0);
  second.breaker.addConnections(1);
  assert.equal(second.stats.cxOpen.value, 1);
  first.breaker.refreshStats();
  assert.equal(first.stats.cxOpen.value, 1);
  first.breaker.addConnections(-1);
  second.breaker.refreshStats();
  assert.equal(second.stats.cxOpen.value, 0);
  assert.equal(second.stats.rqOpen.used, false);
});
