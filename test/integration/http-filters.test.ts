// The HTTP filters through a whole proxy: what clients and the upstream see of each.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Http1Upstream } from '#testing/http1-upstream.ts';
import { frontProxyYaml, startProxy } from '#testing/start-proxy.ts';

const type = (name: string) => `type.googleapis.com/envoy.extensions.filters.http.${name}`;
const always = { default_value: { numerator: 100, denominator: 'HUNDRED' } };

async function proxyWith(t: TestContext, name: string, message: string, config: object, route: object = {}) {
  const upstream = await new Http1Upstream().start(t);
  const filter = { name: `envoy.filters.http.${name}`, typed_config: { '@type': type(message), ...config } };
  const proxy = await startProxy(t, frontProxyYaml({ to: upstream.port, httpFilters: [filter], route }));
  return { proxy, upstream };
}

test('buffer sends a request on with its length, and refuses one that is too long', async (t) => {
  const { proxy, upstream } = await proxyWith(t, 'buffer', 'buffer.v3.Buffer', { max_request_bytes: 10 });
  const chunked = { method: 'POST', headers: { 'transfer-encoding': 'chunked' } };
  assert.equal((await proxy.request('/', { ...chunked, body: 'hello' })).status, 200);
  assert.equal(upstream.requests[0]!.headers['content-length'], '5');
  assert.equal(upstream.requests[0]!.body, 'hello');
  assert.equal((await proxy.request('/', { ...chunked, body: 'far too long for it' })).status, 413);
  assert.equal(upstream.requests.length, 1);
});

test('csrf lets reading and the own origin pass', async (t) => {
  const { proxy } = await proxyWith(t, 'csrf', 'csrf.v3.CsrfPolicy', {
    filter_enabled: always,
    additional_origins: [{ suffix: '.friend.test' }],
  });
  const post = async (headers: Record<string, string>) =>
    (await proxy.request('/', { method: 'POST', headers: { host: 'shop.test', ...headers } })).status;
  assert.equal((await proxy.get('/', { host: 'shop.test', origin: 'http://evil.test' })).status, 200);
  assert.equal(await post({ origin: 'http://shop.test' }), 200);
  assert.equal(await post({ origin: 'https://a.friend.test' }), 200);
  assert.equal(await post({ referer: 'http://shop.test/page?x' }), 200);
  assert.equal(await post({ origin: 'http://evil.test' }), 403);
  assert.equal(await post({}), 403);
  const { body } = await proxy.admin.get('/stats?filter=csrf');
  assert.match(
    body,
    /csrf\.missing_source_origin: 1\n.*csrf\.request_invalid: 1\n.*csrf\.request_valid: 3\n/s,
  );
});

test('fault aborts, delays and slows down', async (t) => {
  const all = { numerator: 100, denominator: 'HUNDRED' };
  const aborting = await proxyWith(t, 'fault', 'fault.v3.HTTPFault', {
    abort: { http_status: 418, percentage: all },
    headers: [{ name: 'x-fault', string_match: { exact: 'yes' } }],
  });
  assert.equal((await aborting.proxy.get('/', { 'x-fault': 'yes' })).status, 418);
  assert.equal((await aborting.proxy.get('/')).status, 200);
  assert.equal(aborting.upstream.requests.length, 1);

  const slow = await proxyWith(t, 'fault', 'fault.v3.HTTPFault', {
    delay: { fixed_delay: '0.05s', percentage: all },
    response_rate_limit: { fixed_limit: { limit_kbps: '512' }, percentage: all },
  });
  slow.upstream.answer('/', { body: 'x'.repeat(100_000) });
  const before = performance.now();
  const answer = await slow.proxy.request('/', { method: 'POST', body: 'held meanwhile' });
  // 50 ms of delay; 100,000 bytes at 512 KiB/s are four waits of a sixteenth of a second at least.
  assert.ok(performance.now() - before >= 50 + 3 * 62, `${performance.now() - before} ms`);
  assert.equal(answer.body.length, 100_000);
  assert.equal(slow.upstream.requests[0]!.body, 'held meanwhile');
  const { body } = await slow.proxy.admin.get('/stats?filter=fault');
  assert.match(body, /fault\.active_faults: 0\n/);
  assert.match(body, /fault\.delays_injected: 1\n/);
  assert.match(body, /fault\.response_rl_injected: 1\n/);
});

test('header_mutation changes requests and responses, also per route', async (t) => {
  const append = (key: string, value: string) => ({ append: { header: { key, value } } });
  const { proxy, upstream } = await proxyWith(t, 'header_mutation', 'header_mutation.v3.HeaderMutation', {
    mutations: {
      request_mutations: [append('x-a', '%REQ(x-in)%'), { remove: 'x-out' }],
      response_mutations: [append('x-code', '%RESPONSE_CODE%')],
    },
  });
  const answer = await proxy.get('/', { 'x-in': 'v', 'x-out': 'v' });
  assert.equal(answer.headers['x-code'], '200');
  assert.equal(upstream.requests[0]!.headers['x-a'], 'v');
  assert.equal(upstream.requests[0]!.headers['x-out'], undefined);
});

test('health_check answers itself, and fails when it is told to', async (t) => {
  const { proxy, upstream } = await proxyWith(t, 'health_check', 'health_check.v3.HealthCheck', {
    pass_through_mode: false,
    headers: [{ name: ':path', string_match: { exact: '/healthz' } }],
  });
  assert.equal((await proxy.get('/healthz')).status, 200);
  assert.equal((await proxy.get('/')).headers['x-envoy-immediate-health-check-fail'], undefined);
  await proxy.admin.post('/healthcheck/fail');
  assert.equal((await proxy.get('/healthz')).status, 503);
  assert.equal((await proxy.get('/')).headers['x-envoy-immediate-health-check-fail'], 'true');
  assert.deepEqual(
    upstream.requests.map((it) => it.path),
    ['/', '/'],
  );
});

test('local_ratelimit counts tokens, by descriptor too', async (t) => {
  const { proxy } = await proxyWith(
    t,
    'local_ratelimit',
    'local_ratelimit.v3.LocalRateLimit',
    {
      stat_prefix: 'lrl',
      filter_enabled: always,
      filter_enforced: always,
      token_bucket: { max_tokens: 3, fill_interval: '3600s' },
      enable_x_ratelimit_headers: 'DRAFT_VERSION_03',
      descriptors: [
        { entries: [{ key: 'user', value: 'bob' }], token_bucket: { max_tokens: 1, fill_interval: '3600s' } },
      ],
    },
    { rate_limits: [{ actions: [{ request_headers: { header_name: 'x-user', descriptor_key: 'user' } }] }] },
  );
  const status = async (user: string) => (await proxy.get('/', { 'x-user': user })).status;
  assert.deepEqual(
    [await status('bob'), await status('bob'), await status('eve'), await status('eve'), await status('eve')],
    [200, 429, 200, 200, 429],
  );
});

test('rbac refuses by path and address, and names the policy', async (t) => {
  const { proxy } = await proxyWith(t, 'rbac', 'rbac.v3.RBAC', {
    rules: {
      action: 'DENY',
      policies: {
        admin: {
          permissions: [
            {
              and_rules: {
                rules: [
                  { url_path: { path: { prefix: '/admin' } } },
                  { not_rule: { header: { name: ':method', string_match: { exact: 'GET' } } } },
                ],
              },
            },
          ],
          principals: [{ direct_remote_ip: { address_prefix: '127.0.0.0', prefix_len: 8 } }],
        },
      },
    },
  });
  assert.equal((await proxy.get('/admin')).status, 200);
  const refused = await proxy.request('/admin?x', { method: 'DELETE' });
  assert.equal(refused.status, 403);
  assert.equal(refused.body, 'RBAC: access denied');
  const { body } = await proxy.admin.get('/stats?filter=rbac');
  assert.match(body, /rbac\.allowed: 1\n.*rbac\.denied: 1\n/s);
});
