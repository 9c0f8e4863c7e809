import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadBootstrap } from '../load.ts';

async function errors(checks: readonly object[], cluster: object): Promise<string[]> {
  const rest = { timeout: '1s', interval: '1s', unhealthy_threshold: 1, healthy_threshold: 1 };
  const clusters = [{ name: 'up', health_checks: checks.map((it) => ({ ...rest, ...it })), ...cluster }];
  const { problems } = await loadBootstrap({ yaml: JSON.stringify({ static_resources: { clusters } }) });
  return problems.filter((it) => it.severity === 'error').map((it) => it.envoy ?? it.message);
}

const http = (own: object) => ({ http_health_check: { path: '/', ...own } });
const tls = { '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext' };

/** With what Envoy 1.40 says. */
const cases: readonly {
  readonly name: string;
  readonly checks: readonly object[];
  readonly cluster?: object;
  readonly error?: string;
}[] = [
  {
    name: 'two checks of which one has no name',
    checks: [{ name: 'a', ...http({}) }, http({})],
    error:
      'health check at index 1 is missing a name; all health checks must have a name when multiple health checks are configured',
  },
  {
    name: 'two checks of one name',
    checks: [
      { name: 'a', ...http({}) },
      { name: 'a', tcp_health_check: {} },
    ],
    error:
      "duplicate health check name 'a' at index 1; all health check names must be unique within a cluster",
  },
  {
    name: 'a GET with a body',
    checks: [http({ send: { text: '61' } })],
    error:
      "HTTP health check cannot specify a request payload with method 'GET'. Only methods that support a request body (POST, PUT, PATCH, OPTIONS) can be used with payload.",
  },
  { name: 'an OPTIONS with a body', checks: [http({ method: 'OPTIONS', send: { text: '61' } })] },
  {
    name: 'a range that begins too early',
    checks: [http({ expected_statuses: [{ start: 99, end: 200 }] })],
    error: 'Invalid http expected status range: expecting start >= 100, but found start=99',
  },
  {
    name: 'a range that ends too late',
    checks: [http({ retriable_statuses: [{ start: 500, end: 601 }] })],
    error: 'Invalid http retriable status range: expecting end <= 600, but found end=601',
  },
  {
    name: 'more than is looked at',
    checks: [http({ receive: [{ text: '6162' }, { text: '63' }], response_buffer_size: 2 })],
    error: "The expected response length '3' is over than http health response buffer size '2'",
  },
  { name: 'all of a body', checks: [http({ receive: [{ text: '616263' }], response_buffer_size: 0 })] },
  {
    name: 'ALPN without TLS',
    checks: [http({ use_alpn_protocol: true })],
    error:
      'use_alpn_protocol configured for the health check of cluster up which has a non-ALPN transport socket',
  },
  {
    name: 'ALPN with TLS',
    checks: [http({ use_alpn_protocol: true })],
    cluster: { transport_socket: { name: 'tls', typed_config: tls } },
  },
  {
    name: 'gRPC without HTTP/2',
    checks: [{ grpc_health_check: {} }],
    error: 'up cluster must support HTTP/2 for gRPC healthchecking',
  },
];

for (const { name, checks, cluster = {}, error } of cases) {
  test(`${error === undefined ? 'accepts' : 'refuses'} ${name}`, async () => {
    assert.deepEqual(await errors(checks, cluster), error === undefined ? [] : [error]);
  });
}
