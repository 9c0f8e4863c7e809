import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadBootstrap } from '../load.ts';

const typeUrl = (name: string) => `type.googleapis.com/envoy.${name}`;
const filters = 'extensions.filters.http';
const service = { envoy_grpc: { cluster_name: 'c' } };
const bucket = (fill_interval = '1s') => ({ max_tokens: 1, fill_interval });
const patterns = { patterns: [{ exact: 'a' }] };
const actions = [{ remote_address: {} }];
const descriptor = (value: string, fill?: string) => ({
  entries: [{ key: 'a', value }],
  token_bucket: bucket(fill),
});

interface Case {
  readonly name: string;
  readonly filter: object;
  readonly route: object | undefined;
}

const extAuthz = (fields: object, route?: object): Case => ({
  name: 'ext_authz',
  filter: {
    '@type': typeUrl(`${filters}.ext_authz.v3.ExtAuthz`),
    transport_api_version: 'V3',
    grpc_service: service,
    ...fields,
  },
  route: route && { '@type': typeUrl(`${filters}.ext_authz.v3.ExtAuthzPerRoute`), ...route },
});
const http = (fields: object, more: object = {}): Case =>
  extAuthz({
    grpc_service: undefined,
    http_service: { server_uri: { uri: 'http://a', cluster: 'c', timeout: '1s' }, ...fields },
    ...more,
  });
const rateLimit = (fields: object, route?: object): Case => ({
  name: 'ratelimit',
  filter: {
    '@type': typeUrl(`${filters}.ratelimit.v3.RateLimit`),
    domain: 'd',
    rate_limit_service: { transport_api_version: 'V3', grpc_service: service },
    ...fields,
  },
  route: route && { '@type': typeUrl(`${filters}.ratelimit.v3.RateLimitPerRoute`), ...route },
});
const localType = typeUrl(`${filters}.local_ratelimit.v3.LocalRateLimit`);
const local = (fields: object, route?: object): Case => ({
  name: 'local_ratelimit',
  filter: { '@type': localType, stat_prefix: 'p', token_bucket: bucket(), ...fields },
  route: route && { '@type': localType, stat_prefix: 'p', ...route },
});

const cases: readonly [Case, string | undefined][] = [
  [extAuthz({}), undefined],
  [http({ path_prefix: '/a' }), undefined],
  [http({ path_prefix: 'a' }), 'path_prefix should start with "/".'],
  [http({ path_override: 'a' }), 'path_override should start with "/".'],
  [
    http({ path_prefix: '/a', path_override: '/b' }),
    'Only one of path_prefix or path_override may be set, not both.',
  ],
  [
    http({ authorization_request: { headers_to_add: [{ key: ':path', value: 'a' }] } }),
    ':-prefixed or host headers may not be modified',
  ],
  [
    http({ authorization_request: { allowed_headers: patterns } }, { allowed_headers: patterns }),
    'Invalid duplicate configuration for allowed_headers.',
  ],
  [
    extAuthz(
      {},
      {
        check_settings: { disable_request_body_buffering: true, with_request_body: { max_request_bytes: 1 } },
      },
    ),
    'Invalid configuration for check_settings. Only one of disable_request_body_buffering or with_request_body can be set.',
  ],
  [rateLimit({ rate_limits: [{ actions, hits_addend: { number: 1 } }] }), undefined],
  [
    rateLimit({ rate_limits: [{ actions, stage: 0 }] }),
    "'stage' field and 'disable_key' field are not supported",
  ],
  [
    rateLimit({}, { rate_limits: [{ actions, disable_key: 'a' }] }),
    "'stage' field and 'disable_key' field are not supported",
  ],
  [
    rateLimit({ rate_limits: [{ actions, hits_addend: {} }] }),
    'hits_addend must contain either a format or a number',
  ],
  [local({ descriptors: [descriptor('a'), descriptor('b')] }, { token_bucket: bucket() }), undefined],
  [local({ token_bucket: undefined }), undefined],
  [local({ token_bucket: bucket('0.049s') }), 'local rate limit token bucket fill timer must be >= 50ms'],
  [
    local({ descriptors: [descriptor('a', '0.049s')] }),
    'local rate limit descriptor token bucket fill timer must be >= 50ms',
  ],
  [
    local({ descriptors: [descriptor('b'), descriptor('b')] }),
    'duplicate descriptor in the local rate descriptor: a=b',
  ],
  [local({}, {}), 'local rate limit token bucket must be set for per filter configs'],
  [
    local({
      rate_limits: [
        { actions, limit: { dynamic_metadata: { metadata_key: { key: 'a', path: [{ key: 'b' }] } } } },
      ],
    }),
    "'limit' field is not supported",
  ],
  [
    local({ local_cluster_rate_limit: {} }),
    'local_cluster_rate_limit is set but no local cluster name is present',
  ],
  [
    local({ local_cluster_rate_limit: {}, local_rate_limit_per_downstream_connection: true }),
    'local_cluster_rate_limit is set and local_rate_limit_per_downstream_connection is set to true',
  ],
];

for (const [i, [{ name, filter, route }, expected]] of cases.entries())
  test(`${name} ${i}: ${expected ?? 'nothing wrong'}`, async () => {
    const id = `envoy.filters.http.${name}`;
    const routes = [
      {
        match: { prefix: '/' },
        route: { cluster: 'c' },
        ...(route && { typed_per_filter_config: { [id]: route } }),
      },
    ];
    const manager = {
      '@type': typeUrl('extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'),
      stat_prefix: 'p',
      route_config: { virtual_hosts: [{ name: 'v', domains: ['*'], routes }] },
      http_filters: [
        { name: id, typed_config: filter },
        { name: 'router', typed_config: { '@type': typeUrl(`${filters}.router.v3.Router`) } },
      ],
    };
    const address = { socket_address: { address: '127.0.0.1', port_value: 1 } };
    const yaml = JSON.stringify({
      static_resources: {
        clusters: [{ name: 'c', connect_timeout: '1s' }],
        listeners: [
          { name: 'l', address, filter_chains: [{ filters: [{ name: 'hcm', typed_config: manager }] }] },
        ],
      },
    });
    const { problems } = await loadBootstrap({ yaml });
    assert.deepEqual(
      problems.filter((it) => it.severity === 'error').map((it) => it.envoy ?? it.message),
      expected === undefined ? [] : [expected],
    );
  });
