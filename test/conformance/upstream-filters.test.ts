// Filters between router and upstream (`http_filters` of a cluster, `upstream_http_filters` of the router), and what else a cluster's
// HttpProtocolOptions say about attempts, beside the real Envoy.
import { test } from 'node:test';
import { missing } from '#testing/peers.ts';
import { type Behaviour, connectionKey, type Exchange, expectSameOutcomes } from './http-exchanges.ts';
import { accessLog, endpoint, frontYaml, type, typed } from './side-by-side-configuration.ts';

const codec = typed('extensions.filters.http.upstream_codec.v3.UpstreamCodec');
const append = (key: string, value: string) => ({ append: { header: { key, value } } });
const mutations = (name: string, parts: object, more: object = {}) => ({
  ...typed('extensions.filters.http.header_mutation.v3.HeaderMutation', { mutations: parts }),
  name,
  ...more,
});
const perRoute = (parts: object) => ({
  '@type': type('extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute'),
  mutations: parts,
});

const known =
  '%UPSTREAM_HOST% %UPSTREAM_CLUSTER% %ROUTE_NAME% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %PROTOCOL% %UPSTREAM_REQUEST_ATTEMPT_COUNT% %RESPONSE_CODE_DETAILS% %REQ(x-in)%';
const ofCluster = [
  mutations('change', {
    request_mutations: [append('x-known', known), { remove: 'x-in' }],
    response_mutations: [append('x-back', '%RESP(content-length)% %UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%')],
    request_trailers_mutations: [append('x-trailer', 'request')],
    response_trailers_mutations: [append('x-trailer', 'response')],
  }),
  mutations('off', { request_mutations: [append('x-off', 'on')] }, { disabled: true }),
  codec,
];
const ofRouter = [mutations('routers', { request_mutations: [append('x-router', known)] }), codec];

const cluster = (name: string, options: object) => ({
  name,
  type: 'STATIC',
  connect_timeout: '1s',
  load_assignment: endpoint(name, 21201),
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': type('extensions.upstreams.http.v3.HttpProtocolOptions'),
      explicit_http_config: { http_protocol_options: {} },
      ...options,
    },
  },
});

const retry = { retry_on: '5xx', num_retries: 2, retry_back_off: { base_interval: '0.001s' } };
const routes = [
  { name: 'again', match: { prefix: '/again/' }, route: { cluster: 'filtered', retry_policy: retry } },
  {
    name: 'redirect',
    match: { prefix: '/follow/' },
    route: { cluster: 'filtered', internal_redirect_policy: {} },
  },
  { name: 'plain', match: { prefix: '/plain/' }, route: { cluster: 'plain' } },
  {
    name: 'mirror',
    match: { prefix: '/mirror/' },
    route: { cluster: 'filtered', request_mirror_policies: [{ cluster: 'plain' }] },
  },
  {
    name: 'mirrored',
    match: { prefix: '/mirrored/' },
    route: { cluster: 'plain', request_mirror_policies: [{ cluster: 'filtered' }] },
  },
  {
    name: 'patient',
    match: { prefix: '/patient/' },
    route: { cluster: 'retried', retry_policy: { ...retry, num_retries: 0, per_try_timeout: '0.2s' } },
  },
  {
    name: 'twice',
    match: { prefix: '/twice/' },
    route: { cluster: 'plain', request_mirror_policies: [{ cluster: 'retried' }] },
  },
  {
    name: 'per-route',
    match: { prefix: '/here/' },
    route: { cluster: 'filtered' },
    typed_per_filter_config: {
      change: perRoute({ request_mutations: [append('x-here', 'yes')] }),
      off: {
        '@type': type('config.route.v3.FilterConfig'),
        config: perRoute({ request_mutations: [append('x-off', 'here')] }),
      },
    },
  },
  {
    name: 'without',
    match: { prefix: '/without/' },
    route: { cluster: 'filtered' },
    typed_per_filter_config: { change: { '@type': type('config.route.v3.FilterConfig'), disabled: true } },
  },
  { name: 'rest', match: { prefix: '/' }, route: { cluster: 'filtered' } },
];

const yaml = frontYaml(
  routes,
  [
    cluster('filtered', { http_filters: ofCluster }),
    cluster('plain', {}),
    // Its timeout does not count.
    cluster('retried', { retry_policy: { ...retry, per_try_timeout: '0.05s' } }),
  ],
  {},
  {
    access_log: accessLog(
      'access.log',
      `${connectionKey} %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %REQ(x-known)% %RESP(x-back)% %RESP(location)%`,
    ),
  },
  { router: { upstream_http_filters: ofRouter } },
);

const answer =
  (status: number, header = ''): Behaviour =>
  (socket) =>
    socket.write(`HTTP/1.1 ${status} So\r\n${header}content-length: 3\r\n\r\nok\n`);

const behaviours: Readonly<Record<string, Behaviour>> = {
  fails: answer(503),
  moved: answer(302, 'location: http://a.com/there\r\n'),
  // The request itself is fine; its mirrors fail twice.
  mixed: (socket, request) => {
    const tries = request.split('x-router').length - 1;
    answer(request.includes('-shadow') && tries < 3 ? 503 : 200)(socket, request);
  },
  slow: (socket, request) => setTimeout(() => answer(200)(socket, request), 100),
  trailers: (socket) =>
    socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nok\n\r\n0\r\nx-t: 1\r\n\r\n'),
};

const get = (path: string): Exchange => ({
  name: path,
  port: 21000,
  send: [`GET ${path} HTTP/1.1\r\nhost: a.com\r\nx-in: in\r\n\r\n`],
  waitMs: 500,
});

test('filters between router and upstream change every attempt, and mirrors', {
  skip: missing('envoy'),
}, async () => {
  const exchanges: Exchange[] = [
    ...[
      '/x',
      '/again/fails',
      '/follow/moved',
      '/plain/x',
      '/mirror/x',
      '/mirrored/x',
      '/here/x',
      '/without/x',
    ].map(get),
    ...['/patient/slow', '/twice/mixed'].map(get),
    {
      name: 'trailers',
      port: 21000,
      send: [
        'POST /trailers HTTP/1.1\r\nhost: a.com\r\nte: trailers\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-u: 1\r\n\r\n',
      ],
    },
  ];
  await expectSameOutcomes(yaml, behaviours, exchanges);
});
