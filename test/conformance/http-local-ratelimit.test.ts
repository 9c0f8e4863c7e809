import { once } from 'node:events';
import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { missing } from '#testing/peers.ts';
import { compareHttp, type HttpCase, typeUrl } from './http-services.ts';
import { expectSame } from './side-by-side.ts';
import { address, connectionManager } from './side-by-side-configuration.ts';

const name = 'envoy.filters.http.local_ratelimit';
const always = { default_value: { numerator: 100 } };

/** Nothing grows while the test runs. */
const bucket = (tokens: number, seconds = 1000) => ({
  max_tokens: tokens,
  tokens_per_fill: 1,
  fill_interval: `${seconds}s`,
});
const descriptor = (value: string, tokens: number, more: object = {}, seconds = 1000) => ({
  entries: [{ key: 'generic_key', value }],
  token_bucket: bucket(tokens, seconds),
  ...more,
});
const limit = (value: string, more: object = {}) => ({
  actions: [{ generic_key: { descriptor_value: value } }],
  ...more,
});
const config = (to: string, fields: object) => ({
  '@type': typeUrl('extensions.filters.http.local_ratelimit.v3.LocalRateLimit'),
  stat_prefix: to,
  filter_enabled: always,
  filter_enforced: always,
  enable_x_ratelimit_headers: 'DRAFT_VERSION_03',
  ...fields,
});
const simple = (to: string, fields: object, more: Partial<HttpCase> = {}): HttpCase => ({
  name: to,
  filters: [{ name, typed_config: config(to, fields) }],
  times: 4,
  ...more,
});
const routed = (limits: readonly object[], more: object = {}) => ({
  route: { route: { cluster: 'upstream', rate_limits: limits, ...more } },
});

test('local_ratelimit counts as Envoy counts', { skip: missing('envoy') }, async (t) => {
  const cases: HttpCase[] = [
    simple('plain', { token_bucket: bucket(2) }),
    simple('retry_after', { token_bucket: bucket(1), enable_retry_after_header: true }),
    simple('no_headers', { token_bucket: bucket(1), enable_x_ratelimit_headers: 'OFF' }),
    simple('not_enabled', { token_bucket: bucket(1), filter_enabled: undefined }),
    simple('not_enforced', {
      token_bucket: bucket(1),
      filter_enforced: undefined,
      request_headers_to_add_when_not_enforced: [{ header: { key: 'x-limited', value: 'yes' } }],
    }),
    simple('answer', {
      token_bucket: bucket(1),
      status: { code: 'ServiceUnavailable' },
      response_headers_to_add: [{ header: { key: 'x-limited', value: 'yes' } }],
    }),
    simple(
      'grpc',
      { token_bucket: bucket(1), rate_limited_as_resource_exhausted: true },
      { request: { method: 'POST', headers: { 'content-type': 'application/grpc' } } },
    ),
    simple('no_bucket', {}),
    simple('only_descriptors', { descriptors: [descriptor('a', 2)], rate_limits: [limit('a')] }),
    simple('unmatched', { descriptors: [descriptor('a', 1)], rate_limits: [limit('b')] }),
    simple('both', {
      token_bucket: bucket(3),
      descriptors: [descriptor('a', 9)],
      rate_limits: [limit('a')],
    }),
    simple('not_both', {
      token_bucket: bucket(3),
      descriptors: [descriptor('a', 9)],
      rate_limits: [limit('a')],
      always_consume_default_token_bucket: false,
    }),
    simple('slowest_first', {
      token_bucket: bucket(100),
      descriptors: [descriptor('a', 9, {}, 1000), descriptor('b', 3, {}, 2000), descriptor('c', 5, {}, 500)],
      rate_limits: [limit('c'), limit('a'), limit('b')],
    }),
    simple('twice', {
      token_bucket: bucket(100),
      descriptors: [descriptor('a', 5)],
      rate_limits: [limit('a'), limit('a')],
    }),
    simple('shadow', {
      token_bucket: bucket(100),
      descriptors: [descriptor('a', 1, { shadow_mode: true }), descriptor('b', 9, {}, 100)],
      rate_limits: [limit('b'), limit('a')],
      request_headers_to_add_when_not_enforced: [{ header: { key: 'x-limited', value: 'yes' } }],
    }),
    simple('before_shadow', {
      token_bucket: bucket(100),
      descriptors: [descriptor('a', 1, { shadow_mode: true }), descriptor('b', 2, {}, 2000)],
      rate_limits: [limit('b'), limit('a')],
      enable_retry_after_header: true,
    }),
    simple('hits', {
      token_bucket: bucket(100),
      descriptors: [descriptor('a', 9)],
      rate_limits: [limit('a', { hits_addend: { number: 4 } })],
    }),
    simple('no_hits', {
      token_bucket: bucket(100),
      descriptors: [descriptor('a', 1)],
      rate_limits: [limit('a', { hits_addend: { number: 0 } })],
    }),
    simple('formatted_hits', {
      token_bucket: bucket(100),
      descriptors: [descriptor('a', 9)],
      rate_limits: [limit('a', { hits_addend: { format: '%BYTES_RECEIVED%' } })],
    }),
    simple('given_back', {
      token_bucket: bucket(100),
      descriptors: [descriptor('a', 9)],
      rate_limits: [
        limit('a', { hits_addend: { number: 4 } }),
        limit('a', { hits_addend: { number: 3, is_negative_hits: true } }),
      ],
    }),
    simple('option_off', {
      token_bucket: bucket(100),
      descriptors: [descriptor('a', 2)],
      rate_limits: [limit('a', { x_ratelimit_option: 'OFF' })],
    }),
    simple('option_on', {
      token_bucket: bucket(100),
      enable_x_ratelimit_headers: 'OFF',
      descriptors: [descriptor('a', 2)],
      rate_limits: [limit('a', { x_ratelimit_option: 'DRAFT_VERSION_03' })],
    }),
    simple('option_of_default', {
      token_bucket: bucket(1),
      descriptors: [descriptor('a', 9)],
      rate_limits: [limit('a', { x_ratelimit_option: 'OFF' })],
    }),
    simple(
      'route',
      { token_bucket: bucket(100), descriptors: [descriptor('a', 2)] },
      routed([limit('b', { stage: 1 }), limit('a', { x_ratelimit_option: 'OFF' })]),
    ),
    simple(
      'route_stage',
      { token_bucket: bucket(100), stage: 1, descriptors: [descriptor('a', 2), descriptor('b', 3)] },
      routed([limit('a'), limit('b', { stage: 1 })]),
    ),
    simple(
      'route_disable_key',
      { token_bucket: bucket(100), descriptors: [descriptor('a', 2)] },
      routed([limit('a', { disable_key: 'some' })]),
    ),
    simple(
      'route_hits',
      { token_bucket: bucket(100), descriptors: [descriptor('a', 9)] },
      routed([limit('a', { hits_addend: { number: 4 } })]),
    ),
    simple(
      'host',
      { token_bucket: bucket(100), descriptors: [descriptor('a', 9), descriptor('b', 8)] },
      {
        ...routed([limit('a')], { include_vh_rate_limits: true }),
        virtualHost: { rate_limits: [limit('b')] },
      },
    ),
    simple(
      'host_overridden',
      { token_bucket: bucket(100), descriptors: [descriptor('a', 9), descriptor('b', 8)] },
      { ...routed([limit('c')]), virtualHost: { rate_limits: [limit('b')] } },
    ),
    simple(
      'host_alone',
      { token_bucket: bucket(100), descriptors: [descriptor('a', 9), descriptor('b', 8)] },
      { virtualHost: { rate_limits: [limit('b')] } },
    ),
    simple(
      'host_ignored',
      { token_bucket: bucket(100), vh_rate_limits: 'IGNORE', descriptors: [descriptor('b', 8)] },
      { virtualHost: { rate_limits: [limit('b')] } },
    ),
    {
      ...simple('of_route', { token_bucket: bucket(1) }),
      route: {
        typed_per_filter_config: { [name]: config('own', { token_bucket: bucket(2), stat_prefix: 'own' }) },
      },
    },
    simple('per_connection', {
      token_bucket: bucket(1),
      local_rate_limit_per_downstream_connection: true,
    }),
  ];
  await compareHttp(t, cases, {}, 'http_local_rate_limit');
});

test('a descriptor for any value has a bucket for each', { skip: missing('envoy') }, async (t) => {
  const entries = (key: string, value: string, user: string) => [
    { key, value },
    { key: 'user', value: user },
  ];
  const limits = config('any', {
    token_bucket: bucket(100),
    max_dynamic_descriptors: 2,
    descriptors: [
      { entries: entries('one', 'a', ''), token_bucket: bucket(1) },
      { entries: entries('one', 'a', 'known'), token_bucket: bucket(3) },
      // Of two for any value that fit, Envoy takes one or the other.
      { entries: entries('two', '', 'other'), token_bucket: bucket(2), shadow_mode: true },
    ],
    rate_limits: ['one', 'two'].map((key) => ({
      actions: [
        { generic_key: { descriptor_key: key, descriptor_value: 'a' } },
        { request_headers: { header_name: 'user', descriptor_key: 'user' } },
      ],
    })),
  });
  const routes = [{ match: { prefix: '/' }, direct_response: { status: 200 } }];
  const manager = connectionManager(
    { route_config: { virtual_hosts: [{ name: 'all', domains: ['*'], routes }] } },
    [{ name, typed_config: limits }],
  );
  const yaml = JSON.stringify({
    admin: { address: address(21001) },
    static_resources: {
      listeners: [{ name: 'front', address: address(21000), filter_chains: [{ filters: [manager] }] }],
    },
  });
  await expectSame(t, yaml, async (side) => {
    const answers: unknown[] = [];
    for (const user of [
      'x',
      'x',
      'y',
      'x',
      'y',
      'z',
      'x',
      'y',
      'known',
      'known',
      'other',
      'other',
      'other',
      '',
    ]) {
      const asked = request({
        ...{ host: '127.0.0.1', port: side.port(21000), agent: false },
        headers: { user },
      });
      asked.end();
      const [response] = await once(asked, 'response');
      const { date, 'x-ratelimit-reset': reset, ...headers } = response.headers;
      answers.push([user, response.statusCode, headers, await text(response)]);
    }
    return { answers, stats: await side.stats('http_local_rate_limit') };
  });
});
