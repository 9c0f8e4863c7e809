// Filters that ask services, through a whole proxy: what the conformance tests beside Envoy do not reach.
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { type TestContext, test } from 'node:test';
import { Http1Upstream } from '#testing/http1-upstream.ts';
import { frontProxyYaml, startProxy, type TestProxyOptions } from '#testing/start-proxy.ts';
import { type GrpcAnswer, GrpcRecorder } from '../conformance/grpc-recorder.ts';

const type = (name: string) => `type.googleapis.com/envoy.extensions.filters.http.${name}`;
const grpc_service = { envoy_grpc: { cluster_name: 'service' }, timeout: '30s' };
const authz = {
  name: 'authz',
  typed_config: {
    '@type': type('ext_authz.v3.ExtAuthz'),
    grpc_service,
    with_request_body: { max_request_bytes: 1_000_000 },
  },
};

type Answer = GrpcAnswer<'envoy.service.auth.v3.CheckResponse'>;

async function setUp(t: TestContext, answer: () => Answer | Promise<Answer>, options: TestProxyOptions = {}) {
  const service = await new GrpcRecorder(
    '/envoy.service.auth.v3.Authorization/Check',
    'envoy.service.auth.v3.CheckRequest',
    'envoy.service.auth.v3.CheckResponse',
    answer,
  ).start(t);
  const upstream = await new Http1Upstream().start(t);
  const bootstrap = JSON.parse(frontProxyYaml({ to: upstream.port, httpFilters: [authz] }));
  bootstrap.static_resources.clusters.push({
    name: 'service',
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        explicit_http_config: { http2_protocol_options: {} },
      },
    },
    load_assignment: {
      cluster_name: 'service',
      endpoints: [
        {
          lb_endpoints: [
            { endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: service.port } } } },
          ],
        },
      ],
    },
  });
  const proxy = await startProxy(t, JSON.stringify(bootstrap), options);
  return { proxy, service, upstream };
}

const allowed: Answer = { message: { status: { code: 0 } } };

test('a call ends with the client who waits for it', async (t) => {
  const { proxy, service, upstream } = await setUp(t, () => 'never');
  const waiting = request({ host: '127.0.0.1', port: proxy.port(), agent: false });
  waiting.on('error', () => {});
  waiting.end();
  await service.untilCalled(1);
  waiting.destroy();
  await service.untilCancelled();
  assert.equal(upstream.requests.length, 0);
  const { body } = await proxy.admin.get('/stats?filter=cluster.service.upstream_rq_(active|tx_reset)$');
  assert.equal(body, 'cluster.service.upstream_rq_active: 0\ncluster.service.upstream_rq_tx_reset: 1\n');
});

test('many requests wait at the same time, in every worker', async (t) => {
  const release = Promise.withResolvers<Answer>();
  const { proxy, service, upstream } = await setUp(t, () => release.promise, { workers: 2 });
  const body = 'x'.repeat(100_000);
  const answers = Array.from({ length: 50 }, () => proxy.request('/', { method: 'POST', body }));
  await service.untilCalled(50);
  release.resolve(allowed);
  for (const it of await Promise.all(answers)) assert.equal(it.status, 200);
  assert.ok(upstream.requests.every((it) => it.body === body));
  assert.equal(
    (await proxy.admin.get('/stats?filter=front.ext_authz.ok')).body,
    'http.front.ext_authz.ok: 50\n',
  );
});
