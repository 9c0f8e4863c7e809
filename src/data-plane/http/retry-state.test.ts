import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ResetReason } from '#http/codec.ts';
import { HeaderMap } from '#http/header-map.ts';
import { StatsStore } from '#stats/store.ts';
import { CircuitBreaker } from '../upstream/circuit-breaker.ts';
import type { Cluster } from '../upstream/cluster.ts';
import type { Thresholds } from '../upstream/cluster-config.ts';
import { CircuitBreakerStats, ClusterStats } from '../upstream/cluster-stats.ts';
import { ClusterUsage, usageChunk } from '../upstream/cluster-usage.ts';
import type { UpstreamHost } from '../upstream/host.ts';
import { parseRetryOn } from './retry-on.ts';
import { RetryVerdict, retryStateOf } from './retry-state.ts';
import type { RetryPolicy } from './route-entry.ts';

const plain: RetryPolicy = {
  retryOn: 0,
  numRetries: 1,
  perTryTimeoutMs: 0,
  perTryIdleTimeoutMs: 0,
  retriableStatusCodes: [],
  retriableHeaders: [],
  retriableRequestHeaders: [],
  baseIntervalMs: 25,
  maxIntervalMs: 250,
  resetHeaders: [],
  resetMaxIntervalMs: 300_000,
  hostSelectionMaxAttempts: 1,
  hostPredicates: [],
  retryPriority: null,
  refreshClusterOnRetry: false,
};

const limits: Thresholds = {
  maxConnections: 9,
  maxPendingRequests: 9,
  maxRequests: 9,
  maxRetries: 1,
  maxConnectionsPerHost: Number.POSITIVE_INFINITY,
  maxConnectionPools: Number.POSITIVE_INFINITY,
  tracksRemaining: false,
  retryBudget: undefined,
};

function headersOf(status: number, fields: Record<string, string> = {}): HeaderMap {
  const headers = new HeaderMap();
  headers.status = status;
  for (const [name, value] of Object.entries(fields)) headers.add(name, value);
  return headers;
}

/** What a retry state uses of its cluster. */
function clusterOf() {
  const { root } = new StatsStore();
  const usage = new ClusterUsage(new Int32Array(usageChunk(1)), 7, 0, 0);
  const breaker = new CircuitBreaker({ now: limits }, root.stats(CircuitBreakerStats), usage);
  const stats = root.stats(ClusterStats);
  return { cluster: { breakers: [breaker, breaker], stats } as unknown as Cluster, breaker, stats };
}

function stateOf(words: string, policy: Partial<RetryPolicy> = {}, request: Record<string, string> = {}) {
  const { cluster, breaker, stats } = clusterOf();
  const headers = headersOf(0, request);
  const state = retryStateOf({ ...plain, ...policy, retryOn: parseRetryOn(words) }, 0, headers, cluster, []);
  return { state: state!, headers, breaker, stats };
}

test('without a reason to retry there is no state, and its headers leave the request all the same', () => {
  const { state, headers } = stateOf('', {}, { 'x-envoy-max-retries': '3' });
  assert.equal(state, undefined);
  assert.deepEqual(headers.list, []);
});

test('a reason that is none makes a state for hedging alone', () => {
  const { state } = stateOf('', {}, { 'x-envoy-retry-on': 'nothing' });
  assert.equal(state?.isEnabled, false);
});

for (const [words, status, fields, wants] of [
  ['5xx', 500, {}, true],
  ['5xx', 499, {}, false],
  ['gateway-error', 502, {}, true],
  ['gateway-error', 504, {}, true],
  ['gateway-error', 500, {}, false],
  ['gateway-error', 505, {}, false],
  ['retriable-4xx', 409, {}, true],
  ['retriable-4xx', 404, {}, false],
  ['5xx', 503, { 'x-envoy-ratelimited': 'true' }, false],
  ['envoy-ratelimited', 200, { 'x-envoy-ratelimited': 'true' }, true],
  ['cancelled', 200, { 'grpc-status': '1' }, true],
  ['deadline-exceeded', 200, { 'grpc-status': '4' }, true],
  ['resource-exhausted', 200, { 'grpc-status': '8' }, true],
  ['internal', 200, { 'grpc-status': '13' }, true],
  ['unavailable', 200, { 'grpc-status': '14' }, true],
  ['unavailable', 200, { 'grpc-status': '13' }, false],
  ['retriable-headers', 200, {}, false],
] as const) {
  test(`${words} ${wants ? 'wants' : 'does not want'} another attempt after ${status} ${JSON.stringify(fields)}`, () => {
    const { state } = stateOf(words);
    assert.equal(state.onHeaders(headersOf(status, fields)), wants ? RetryVerdict.Yes : RetryVerdict.No);
  });
}

for (const [words, reason, requestSent, wants] of [
  ['connect-failure', ResetReason.RemoteConnectionFailure, false, true],
  ['connect-failure', ResetReason.ConnectionTimeout, false, true],
  ['connect-failure', ResetReason.RemoteReset, true, false],
  ['reset', ResetReason.RemoteReset, true, true],
  ['5xx', ResetReason.ConnectionTermination, true, true],
  ['gateway-error', ResetReason.ConnectionTermination, true, true],
  ['refused-stream', ResetReason.RemoteRefusedStreamReset, true, true],
  ['refused-stream', ResetReason.RemoteReset, true, false],
  ['reset-before-request', ResetReason.RemoteReset, false, true],
  ['reset-before-request', ResetReason.RemoteReset, true, false],
  ['reset,5xx,connect-failure', ResetReason.Overflow, false, false],
] as const) {
  test(`${words} ${wants ? 'wants' : 'does not want'} another attempt after reset ${reason}, sent: ${requestSent}`, () => {
    const { state } = stateOf(words);
    assert.equal(state.onReset(reason, requestSent), wants ? RetryVerdict.Yes : RetryVerdict.No);
  });
}

test('headers of the request add words, codes and names, and set how often', () => {
  const { state, headers } = stateOf(
    '5xx',
    {},
    {
      'x-envoy-retry-on': 'retriable-status-codes,retriable-headers',
      'x-envoy-retriable-status-codes': '404, 4o5',
      'x-envoy-retriable-header-names': 'X-Again',
      'x-envoy-max-retries': '3',
    },
  );
  assert.deepEqual(headers.list, []);
  assert.equal(state.onHeaders(headersOf(404)), RetryVerdict.Yes);
  assert.equal(state.onHeaders(headersOf(200, { 'x-again': '' })), RetryVerdict.Yes);
  assert.equal(state.onHeaders(headersOf(500)), RetryVerdict.Yes);
  assert.equal(state.onHeaders(headersOf(500)), RetryVerdict.LimitExceeded);
  assert.equal(state.onHeaders(headersOf(405)), RetryVerdict.No);
});

test('a retry holds one of the breaker, gives it back, and counts', () => {
  const { state, breaker, stats } = stateOf('5xx', { numRetries: 3 });
  assert.equal(state.onHeaders(headersOf(500)), RetryVerdict.Yes);
  assert.equal(breaker.allowsRetry, false);
  // The next decision gives the held one back first.
  assert.equal(state.onHeaders(headersOf(500)), RetryVerdict.Yes);
  assert.equal(state.onHeaders(headersOf(200)), RetryVerdict.No);
  assert.equal(breaker.allowsRetry, true);
  assert.equal(stats.upstreamRqRetry.value, 2);
  assert.equal(stats.upstreamRqRetrySuccess.value, 1);
  breaker.addRetries(1);
  assert.equal(state.onHeaders(headersOf(500)), RetryVerdict.Overflow);
  assert.equal(stats.upstreamRqRetryOverflow.value, 1);
  state.release();
  assert.equal(breaker.allowsRetry, false);
});

test('the wait grows from the base interval to the largest', () => {
  const { state } = stateOf('5xx', { numRetries: 200, baseIntervalMs: 10, maxIntervalMs: 40 });
  for (let i = 0; i < 200; i++) {
    assert.equal(state.onHeaders(headersOf(500)), RetryVerdict.Yes);
    assert.ok(state.backoffMs < [10, 20, 40][Math.min(i, 2)]!);
  }
});

test('the upstream says when to come back, within limits', () => {
  const { state, stats } = stateOf('5xx', {
    numRetries: 9,
    resetHeaders: [{ name: 'retry-after', format: 'SECONDS' }],
    resetMaxIntervalMs: 5000,
  });
  state.onHeaders(headersOf(503, { 'retry-after': '2' }));
  assert.ok(state.backoffMs >= 2000 && state.backoffMs < 3000, String(state.backoffMs));
  state.onHeaders(headersOf(503, { 'retry-after': '6' }));
  assert.ok(state.backoffMs < 250);
  state.onHeaders(headersOf(503, { 'retry-after': 'soon' }));
  assert.ok(state.backoffMs < 250);
  assert.equal(stats.upstreamRqRetryBackoffRatelimited.value, 1);
  assert.equal(stats.upstreamRqRetryBackoffExponential.value, 2);
});

test('predicates turn hosts down', () => {
  const [first, second] = [{ address: 'a' }, { address: 'b' }] as unknown as UpstreamHost[];
  const { state } = stateOf('5xx', {
    hostSelectionMaxAttempts: 4,
    hostPredicates: [
      { rejects: (host, tried) => tried.includes(host) },
      { rejects: (host) => host.address === 'b' },
    ],
  });
  // The first one, and four more.
  assert.equal(state.maxHostSelections, 5);
  assert.equal(state.rejects(first!), false);
  state.onHostTried(first!);
  assert.equal(state.rejects(first!), true);
  assert.equal(state.rejects(second!), true);
  assert.equal(stateOf('5xx').state.maxHostSelections, 1);
});
