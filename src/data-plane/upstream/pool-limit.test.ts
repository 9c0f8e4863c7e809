// `max_connection_pools`: an idle pool makes room for another one (here Envoy 1.40 crashes; its intention is followed).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Http1Upstream } from '#testing/http1-upstream.ts';
import { frontProxyYaml, startProxy } from '#testing/start-proxy.ts';

test('an idle pool goes when another one is wanted and there may be no more', async (t) => {
  const upstream = await new Http1Upstream().start(t);
  const yaml = JSON.parse(frontProxyYaml({ to: upstream.port }));
  Object.assign(yaml.static_resources.clusters[0], {
    connection_pool_per_downstream_connection: true,
    circuit_breakers: { thresholds: [{ max_connection_pools: 1, track_remaining: true }] },
  });
  const proxy = await startProxy(t, JSON.stringify(yaml));
  for (let i = 0; i < 3; i++) assert.equal((await proxy.get('/')).status, 200);
  const { body } = await proxy.admin.get('/stats?filter=upstream_cx_(total|active|pool_overflow)|cx_pool');
  assert.deepEqual(
    body.split('\n').filter((line) => line.startsWith('cluster.') && !line.includes('.high.')),
    [
      'cluster.upstream.circuit_breakers.default.cx_pool_open: 1',
      'cluster.upstream.circuit_breakers.default.remaining_cx_pools: 0',
      'cluster.upstream.upstream_cx_active: 1',
      'cluster.upstream.upstream_cx_pool_overflow: 0',
      'cluster.upstream.upstream_cx_total: 3',
    ],
  );
});
