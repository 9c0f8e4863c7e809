import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Http1Upstream } from '#testing/http1-upstream.ts';
import { frontProxyYaml, startProxy } from '#testing/start-proxy.ts';

test('requests follow the health of the host, which two workers learn from one check', async (t) => {
  const upstream = await new Http1Upstream().start(t);
  upstream.answer('/ready', { status: 503 });
  const bootstrap = JSON.parse(frontProxyYaml({ to: upstream.port }));
  Object.assign(bootstrap.static_resources.clusters[0], {
    common_lb_config: { healthy_panic_threshold: { value: 0 }, update_merge_window: '0s' },
    health_checks: [
      {
        timeout: '5s',
        interval: '0.02s',
        no_traffic_interval: '0.02s',
        unhealthy_threshold: 1,
        healthy_threshold: 1,
        http_health_check: { path: '/ready' },
      },
    ],
  });
  const proxy = await startProxy(t, JSON.stringify(bootstrap), { workers: 2 });
  assert.equal((await proxy.get('/')).body, 'no healthy upstream');
  upstream.answer('/ready', { status: 200 });
  await answers(200);
  upstream.answer('/ready', { status: 500 });
  await answers(503);
  assert.match((await proxy.admin.get('/clusters')).body, /health_flags::\/failed_active_hc\n/);
  const checks = upstream.requests.filter(({ path }) => path === '/ready');
  assert.equal(checks[0]!.headers['user-agent'], 'Envoy/HC');

  /** Ten in a row: connections go to either worker. */
  async function answers(status: number): Promise<void> {
    for (let same = 0; same < 10; ) {
      if ((await proxy.get('/')).status === status) same++;
      else {
        same = 0;
        await sleep(5);
      }
    }
  }
});
