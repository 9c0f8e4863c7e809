// What the request knows of its attempts, and what an attempt changes in the request, beside the real Envoy.
import { once } from 'node:events';
import { createServer, get } from 'node:http';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { missing } from '#testing/peers.ts';
import { type Behaviour, connectionKey, type Exchange, expectSameOutcomes } from './http-exchanges.ts';
import { expectSame } from './side-by-side.ts';
import { accessLog, address, endpoint, frontYaml, type } from './side-by-side-configuration.ts';

/** First the host that answers, then one where nobody is. */
const two = {
  name: 'two',
  type: 'STATIC',
  connect_timeout: '1s',
  load_assignment: {
    cluster_name: 'two',
    endpoints: [21201, 21999].map((port, priority) => ({
      priority,
      lb_endpoints: [{ endpoint: { address: address(port), hostname: `host${priority}.com` } }],
    })),
  },
};
const plain = { name: 'plain', type: 'STATIC', load_assignment: endpoint('plain', 21201) };

const retry = (more: object = {}) => ({
  retry_on: '5xx',
  num_retries: 1,
  retry_back_off: { base_interval: '0.001s' },
  retry_priority: {
    name: 'envoy.retry_priorities.previous_priorities',
    typed_config: {
      '@type': type('extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig'),
      update_frequency: 1,
    },
  },
  ...more,
});
const route = (path: string, action: object, more: object = {}) => ({
  match: { prefix: `/${path}/` },
  route: { timeout: '2s', ...action },
  ...more,
});
const hedging = { cluster: 'two', hedge_policy: { hedge_on_per_try_timeout: true } };
const routes = [
  route('hedge', { ...hedging, retry_policy: retry({ per_try_timeout: '0.1s' }) }),
  // Nothing is tried again, but a second attempt is made.
  route('beside', {
    cluster: 'plain',
    hedge_policy: { hedge_on_per_try_timeout: true },
    retry_policy: {
      retry_on: '5xx',
      per_try_timeout: '0.1s',
      retriable_request_headers: [{ name: 'x-absent', present_match: true }],
    },
  }),
  route('fail', { cluster: 'two', retry_policy: retry() }),
  route('host', { cluster: 'two', auto_host_rewrite: true, retry_policy: retry() }),
  route('mirror', {
    cluster: 'two',
    auto_host_rewrite: true,
    request_mirror_policies: [{ cluster: 'plain' }],
  }),
  route('none', { cluster: 'two', retry_policy: retry() }, { per_request_buffer_limit_bytes: 0 }),
];

const log =
  '%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_REQUEST_ATTEMPT_COUNT% %REQ(:AUTHORITY)% %UPSTREAM_HOST_NAME% %UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% %UPSTREAM_PROTOCOL% %UPSTREAM_TRANSPORT_FAILURE_REASON%';
const yaml = frontYaml(
  routes,
  [two, plain],
  {},
  {
    use_remote_address: true,
    internal_address_config: { cidr_ranges: [{ address_prefix: '127.0.0.0', prefix_len: 8 }] },
    access_log: accessLog('access.log', `${connectionKey} ${log}`),
  },
);

const failing: Behaviour = (socket) => socket.write('HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n');
const behaviours: Readonly<Record<string, Behaviour>> = {
  slow: (socket) => setTimeout(() => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'), 300),
  fails: failing,
};

test('the attempt that answers is the one that is logged', { skip: missing('envoy') }, async () => {
  const exchange = (path: string, body = ''): Exchange => ({
    name: path,
    port: 21000,
    send: [`POST ${path} HTTP/1.1\r\nhost: a.com\r\ncontent-length: ${body.length}\r\n\r\n${body}`],
    waitMs: 700,
  });
  const exchanges = [
    ...['/hedge/slow', '/beside/slow', '/fail/fails', '/host/fails', '/mirror/x'].map((it) => exchange(it)),
    exchange('/none/fails', 'a'),
    exchange('/none/x', 'a'),
  ];
  await expectSameOutcomes(yaml, behaviours, exchanges);
});

test('a mirror has the time that the request asks for', { skip: missing('envoy') }, async (t) => {
  await expectSame(t, yaml, async (side) => {
    const upstream = createServer((request, response) => {
      if (!request.headers.host!.includes('-shadow')) response.end();
    }).listen(side.port(21201), '127.0.0.1');
    t.after(() => upstream.close());
    const headers = { 'x-envoy-upstream-rq-timeout-ms': '50' };
    const asked = get({ host: '127.0.0.1', port: side.port(21000), path: '/mirror/', headers, agent: false });
    const [response] = await once(asked, 'response');
    response.resume();
    for (let i = 0; i < 100; i++) {
      const stats = await side.stats('^cluster.plain.upstream_rq_timeout');
      if (stats[0] === 'cluster.plain.upstream_rq_timeout: 1') break;
      await sleep(10);
    }
    upstream.closeAllConnections();
    return side.stats('^cluster.plain.upstream_rq_(timeout|504|total)');
  });
});
