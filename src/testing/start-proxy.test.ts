import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Http1Upstream } from './http1-upstream.ts';
import { frontProxyYaml, startProxy } from './start-proxy.ts';

test('starts a proxy from text, and asks it', async (t) => {
  const upstream = await new Http1Upstream()
    .answer('/teapot', { status: 418, body: 'short and stout' })
    .start(t);
  const proxy = await startProxy(t, frontProxyYaml({ to: upstream.port }));
  const answer = await proxy.get('/teapot', { 'x-abc': '1' });
  assert.deepEqual([answer.status, answer.body, answer.headers.server], [418, 'short and stout', 'envoy']);
  assert.equal(upstream.requests[0]?.headers['x-abc'], '1');
  assert.equal((await proxy.request('/', { method: 'POST', body: 'hello' })).status, 200);
  assert.equal(upstream.requests[1]?.body, 'hello');
});

test('drains: a request under way finishes, new connections are refused', async (t) => {
  const upstream = await new Http1Upstream().slow('/hold').start(t);
  const proxy = await startProxy(t, frontProxyYaml({ to: upstream.port }));
  const held = proxy.get('/hold');
  await upstream.arrival('/hold');
  await proxy.admin.post('/drain_listeners');
  upstream.release('/hold');
  assert.equal((await held).status, 200);
  await assert.rejects(proxy.get('/'), { code: 'ECONNREFUSED' });
});

test('a refused configuration fails with its problems', async (t) => {
  const yaml = frontProxyYaml({ to: 1, route: { cluster: 'upstream', timeuot: '1s' } });
  await assert.rejects(startProxy(t, yaml), /timeuot/);
});
