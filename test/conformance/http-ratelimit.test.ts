import { test } from 'node:test';
import { missing } from '#testing/peers.ts';
import { GrpcRecorder } from './grpc-recorder.ts';
import { compareHttp, type HttpCase, typeUrl } from './http-services.ts';

const name = 'envoy.filters.http.ratelimit';

const filter = (to: string, fields: object = {}, grpc: object = {}) => [
  {
    name,
    typed_config: {
      '@type': typeUrl('extensions.filters.http.ratelimit.v3.RateLimit'),
      domain: 'edge',
      timeout: '5s',
      rate_limit_service: {
        transport_api_version: 'V3',
        grpc_service: {
          envoy_grpc: { cluster_name: 'service' },
          initial_metadata: [{ key: 'x-case', value: to }],
          ...grpc,
        },
      },
      ...fields,
    },
  },
];

const key = (value: string, more: object = {}) => ({
  actions: [{ generic_key: { descriptor_value: value } }],
  ...more,
});
const routed = (limits: readonly object[], more: object = {}) => ({
  route: { route: { cluster: 'upstream', rate_limits: limits, ...more } },
});
const perRoute = (fields: object) => ({
  typed_per_filter_config: {
    [name]: { '@type': typeUrl('extensions.filters.http.ratelimit.v3.RateLimitPerRoute'), ...fields },
  },
});

test('ratelimit with formats and runtime values', { skip: missing('envoy') }, async (t) => {
  const rules = [
    {
      actions: [
        { generic_key: { descriptor_value: '%REQ(x-one)%' } },
        { generic_key: { descriptor_value: '%REQ(x-none)%', default_value: 'none' } },
        {
          header_value_match: {
            descriptor_value: '%REQ(:path)%',
            headers: [{ name: ':method', present_match: true }],
          },
        },
        {
          query_parameter_value_match: {
            descriptor_value: '%PROTOCOL% %%',
            query_parameters: [{ name: 'q', present_match: true }],
          },
        },
      ],
    },
    { actions: [{ generic_key: { descriptor_value: '%REQ(x-none)%' } }] },
    {
      actions: [{ generic_key: { descriptor_value: 'limited' } }],
      limit: {
        dynamic_metadata: { metadata_key: { key: 'envoy.filters.http.ratelimit', path: [{ key: 'limit' }] } },
      },
    },
    { actions: [{ generic_key: { descriptor_value: 'at the end' } }], apply_on_stream_done: true },
  ];
  const at = (to: string, more: Partial<HttpCase> = {}): HttpCase => ({
    name: to,
    // The first leaves metadata for the second.
    filters: [...filter('metadata', { rate_limits: [key('first')] }), ...filter(to)],
    ...routed(rules),
    request: { path: '/p?q=1', headers: { 'x-one': 'caf\xc3\xa9' } },
    ...more,
  });
  const cases: HttpCase[] = [
    at('of_route', { calls: 3 }),
    at('of_filter', { filters: filter('of_filter', { rate_limits: rules }), route: {}, calls: 2 }),
  ];
  const grpc = new GrpcRecorder(
    '/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit',
    'envoy.service.ratelimit.v3.RateLimitRequest',
    'envoy.service.ratelimit.v3.RateLimitResponse',
    () => ({
      message: { overall_code: 'OK', dynamic_metadata: { limit: { requests_per_unit: 42, unit: 'HOUR' } } },
    }),
  );
  await compareHttp(t, cases, { grpc: grpc as never }, 'ratelimit', {
    'envoy.reloadable_features.enable_formatter_for_ratelimit_action_descriptor_value': true,
  });
});

test('ratelimit', { skip: missing('envoy') }, async (t) => {
  const simple = (to: string, more: Partial<HttpCase> = {}, fields: object = {}): HttpCase => ({
    name: to,
    filters: filter(to, fields),
    ...routed([key('one')]),
    ...more,
  });
  const cases: HttpCase[] = [
    simple('allowed'),
    simple('without_limits', { route: {} }),
    simple('actions', {
      ...routed([
        {
          actions: [
            {
              remote_address_match: {
                descriptor_value: '<%REQ(x-one)%>',
                address_matcher: { ranges: [{ address_prefix: '127.0.0.0', prefix_len: 8 }] },
              },
            },
            { source_cluster: {} },
            { destination_cluster: {} },
            { remote_address: {} },
            { masked_remote_address: { v4_prefix_mask_len: 16 } },
            { request_headers: { header_name: 'x-one', descriptor_key: 'one' } },
            { request_headers: { header_name: 'x-none', descriptor_key: 'none', skip_if_absent: true } },
            { request_headers: { header_name: ':path', descriptor_key: 'path' } },
            { query_parameters: { query_parameter_name: 'q', descriptor_key: 'query' } },
            { generic_key: { descriptor_value: 'é', descriptor_key: 'text' } },
            { generic_key: { descriptor_value: '%REQ(x-one)%', descriptor_key: 'formatted' } },
            {
              header_value_match: {
                descriptor_value: 'get',
                headers: [{ name: ':method', string_match: { exact: 'GET' } }],
              },
            },
            {
              query_parameter_value_match: {
                descriptor_value: 'asked',
                query_parameters: [{ name: 'q', present_match: true }],
              },
            },
            {
              metadata: {
                descriptor_key: 'route',
                metadata_key: { key: 'of.route', path: [{ key: 'a' }] },
                source: 'ROUTE_ENTRY',
              },
            },
            {
              metadata: {
                descriptor_key: 'cluster',
                metadata_key: { key: 'of.cluster', path: [{ key: 'a' }] },
                source: 'CLUSTER_ENTRY',
              },
            },
            {
              metadata: {
                descriptor_key: 'nothing',
                metadata_key: { key: 'x', path: [{ key: 'a' }] },
                default_value: 'default',
              },
            },
          ],
        },
        { actions: [{ request_headers: { header_name: 'x-none', descriptor_key: 'none' } }] },
        {
          actions: [
            {
              header_value_match: {
                descriptor_value: 'post',
                expect_match: false,
                headers: [{ name: ':method', string_match: { exact: 'GET' } }],
              },
            },
          ],
        },
        key('with limit', {
          limit: { dynamic_metadata: { metadata_key: { key: 'x', path: [{ key: 'a' }] } } },
        }),
      ]),
      request: { path: '/p?q=1', headers: { 'x-one': ['1', '2'] } },
    }),
    simple(
      'hits',
      routed([
        key('number', { hits_addend: { number: 3 } }),
        key('zero', { hits_addend: { number: 0 } }),
        key('format', { hits_addend: { format: '%REQ(x-hits)%' } }),
        key('bad format', { hits_addend: { format: '%REQ(x-none)%' } }),
      ]) as never,
    ),
    simple('over'),
    simple('over_grpc', { request: { method: 'POST', headers: { 'content-type': 'application/grpc' } } }),
    simple(
      'over_exhausted',
      { request: { method: 'POST', headers: { 'content-type': 'application/grpc' } } },
      { rate_limited_as_resource_exhausted: true },
    ),
    simple(
      'over_details',
      {},
      {
        enable_x_ratelimit_headers: 'DRAFT_VERSION_03',
        disable_x_envoy_ratelimited_header: true,
        rate_limited_status: { code: 'ServiceUnavailable' },
        response_headers_to_add: [
          { header: { key: 'x-added', value: '%PROTOCOL%' } },
          { header: { key: 'x-service', value: 'ours' }, append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' },
        ],
      },
    ),
    simple('over_retry_after', {}, { enable_retry_after_header: true }),
    simple(
      'over_retry_after_limits',
      {},
      { enable_retry_after_header: true, enable_x_ratelimit_headers: 'DRAFT_VERSION_03' },
    ),
    simple('over_low_status', {}, { rate_limited_status: { code: 'OK' } }),
    simple('over_unenforced', {}, { filter_enforced: { default_value: { numerator: 0 } } }),
    simple(
      'allowed_details',
      {},
      { enable_x_ratelimit_headers: 'DRAFT_VERSION_03', enable_retry_after_header: true },
    ),
    simple('allowed_windows', {}, { enable_x_ratelimit_headers: 'DRAFT_VERSION_03' }),
    ...['OFF', 'DRAFT_VERSION_03'].flatMap((ofFilter) =>
      [
        ['OFF', 'UNSPECIFIED'],
        ['UNSPECIFIED', 'OFF'],
        ['DRAFT_VERSION_03', 'OFF'],
        ['UNSPECIFIED', 'DRAFT_VERSION_03'],
      ].map(([one, two], i) =>
        simple(
          `allowed_windows_${ofFilter.slice(0, 3).toLowerCase()}_${i}`,
          routed([key('one', { x_ratelimit_option: one }), key('two', { x_ratelimit_option: two })]) as never,
          { enable_x_ratelimit_headers: ofFilter },
        ),
      ),
    ),
    simple('metadata'),
    simple('metadata_elsewhere', {}, { metadata_namespace: 'envoy.filters.http.ext_authz' }),
    simple('failing'),
    simple('failing_closed', {}, { failure_mode_deny: true }),
    simple(
      'failing_closed_status',
      {},
      { failure_mode_deny: true, status_on_error: { code: 'ServiceUnavailable' } },
    ),
    simple('failing_share', {}, { failure_mode_deny_percent: { default_value: { numerator: 100 } } }),
    simple('unknown_code'),
    {
      name: 'unknown',
      filters: filter('unknown', {}, { envoy_grpc: { cluster_name: 'unknown' } }),
      ...routed([key('one')]),
    },
    simple('stat_prefix', {}, { stat_prefix: 'mine' }),
    simple('disabled', {}, { filter_enabled: { default_value: { numerator: 0 } } }),
    simple('disabled_by_key', routed([key('one', { disable_key: 'never' }), key('two')]) as never),
    simple('stages', routed([key('one', { stage: 1 }), key('two'), key('three', { stage: 1 })]) as never, {
      stage: 1,
    }),
    simple('internal_only', {}, { request_type: 'internal' }),
    simple('external_only', {}, { request_type: 'external' }),
    simple('virtual_host', { ...routed([]), virtualHost: { rate_limits: [key('host')] } }),
    simple('virtual_host_overridden', { virtualHost: { rate_limits: [key('host')] } }),
    simple('virtual_host_included', {
      ...routed([key('one')], { include_vh_rate_limits: true }),
      virtualHost: { rate_limits: [key('host')] },
    }),
    simple('virtual_host_included_by_filter', {
      route: { ...routed([key('one')]).route, ...perRoute({ vh_rate_limits: 'INCLUDE' }) },
      virtualHost: { rate_limits: [key('host')] },
    }),
    simple('virtual_host_ignored', {
      route: { ...routed([]).route, ...perRoute({ vh_rate_limits: 'IGNORE' }) },
      virtualHost: { rate_limits: [key('host')] },
    }),
    simple('of_filter', {}, { rate_limits: [key('filter', { hits_addend: { number: 2 } })] }),
    simple('of_filter_route', {
      route: { ...routed([key('one')]).route, ...perRoute({ domain: 'other', rate_limits: [key('own')] }) },
    }),
    simple('domain_of_route', { route: { ...routed([key('one')]).route, ...perRoute({ domain: 'other' }) } }),
    simple('direct', {
      virtualHost: {
        rate_limits: [key('host')],
        routes: [{ match: { prefix: '/' }, direct_response: { status: 200 } }],
      },
    }),
    simple('posted', { request: { method: 'POST', body: ['one', 'two'] } }),
  ];
  const limit = (
    requests_per_unit: number,
    unit: 'SECOND' | 'MINUTE' | 'WEEK' | 'YEAR',
    more: object = {},
  ) => ({
    requests_per_unit,
    unit,
    ...more,
  });
  const statuses = [
    {
      code: 'OK',
      current_limit: limit(10, 'SECOND', { name: 'per second' }),
      limit_remaining: 5,
      duration_until_reset: '1s',
    },
    {
      code: 'OVER_LIMIT',
      current_limit: limit(100, 'MINUTE'),
      limit_remaining: 0,
      duration_until_reset: '30.5s',
    },
    { code: 'OK', limit_remaining: 0 },
  ] as const;
  const headers = {
    response_headers_to_add: [
      { key: 'X-Service', value: 'é' },
      { key: 'x-twice', value: '1' },
      { key: 'x-twice', value: '2' },
    ],
    request_headers_to_add: [{ key: 'X-For-Upstream', value: 'yes' }],
  };
  const grpc = new GrpcRecorder(
    '/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit',
    'envoy.service.ratelimit.v3.RateLimitRequest',
    'envoy.service.ratelimit.v3.RateLimitResponse',
    (metadata) => {
      const to = metadata['x-case']!;
      if (to.startsWith('failing')) return { status: 13 };
      if (to === 'unknown_code') return { message: {} };
      if (to === 'over_details')
        return {
          message: {
            overall_code: 'OVER_LIMIT',
            statuses,
            ...headers,
            response_headers_to_add: [
              ...headers.response_headers_to_add,
              { key: 'content-type', value: 'text/html' },
            ],
            raw_body: Buffer.from('too <b>much</b>'),
          },
        };
      if (to.startsWith('over'))
        return { message: { overall_code: 'OVER_LIMIT', statuses, raw_body: Buffer.from('too much') } };
      if (to === 'allowed_details') return { message: { overall_code: 'OK', statuses, ...headers } };
      if (to.startsWith('allowed_windows'))
        return {
          message: {
            overall_code: 'OK',
            statuses: [
              { code: 'OK', current_limit: limit(7, 'WEEK'), limit_remaining: 3 },
              { code: 'OK', current_limit: limit(8, 'YEAR', { unit_multiplier: 2 }), limit_remaining: 3 },
            ],
          },
        };
      if (to.startsWith('metadata'))
        return { message: { overall_code: 'OK', dynamic_metadata: { who: 'me' } } };
      return { message: { overall_code: 'OK' } };
    },
  );
  await compareHttp(
    t,
    cases,
    { grpc: grpc as never },
    '(ratelimit|^cluster\\.upstream\\.(internal\\.|external\\.)?upstream_rq_(\\d|completed))',
  );
});
