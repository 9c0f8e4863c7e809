import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConfigError } from '#config/config-error.ts';
import { ParseContext } from '#config/parse-context.ts';
import type { FormatContext } from '#extension/formatter.ts';
import { Registry } from '#extension/registry.ts';
import { Runtime } from '#extension/runtime.ts';
import type { StreamInfo } from '#extension/stream-info.ts';
import { HeaderMap } from '#http/header-map.ts';
import { create } from '#schema/create.ts';
import type { RouteConfigurationInit, RouteInit } from '#schema/messages/envoy/config/route/v3.ts';
import { StatsStore } from '#stats/store.ts';
import { compileRoutes } from './route-compile.ts';
import type { RouteContext, RouteTable } from './route-entry.ts';
import { parseRouteConfiguration } from './route-parse.ts';
import { finalizeRequestHeaders, finalizeResponseHeaders } from './route-rewrite.ts';

const info = {
  connection: { tls: undefined },
  dynamicMetadata: undefined,
  filterState: undefined,
} as unknown as StreamInfo;

function parse(init: RouteConfigurationInit, problems: ConfigError[] = []) {
  const message = create('envoy.config.route.v3.RouteConfiguration', init);
  return parseRouteConfiguration(message, new ParseContext('', problems), new Registry([]));
}

function compile(init: RouteConfigurationInit, runtime = new Runtime()): RouteTable {
  const problems: ConfigError[] = [];
  const data = parse(init, problems);
  assert.deepEqual(
    problems.map((it) => it.message),
    [],
  );
  return compileRoutes(structuredClone(data), {
    runtime,
    stats: new StatsStore().root,
    localCluster: 'me',
    registry: new Registry([]),
  });
}

/** One virtual host for all domains; a route's name is its place unless it has one. */
function table(routes: RouteInit[], more: Partial<RouteConfigurationInit> = {}): RouteTable {
  const named = routes.map((it, i) => ({ route: { cluster: 'c' }, name: String(i), ...it }) as RouteInit);
  return compile({ ...more, virtual_hosts: [{ name: 'v', domains: ['*'], routes: named }] });
}

function request(path: string, headers: Record<string, string> = {}): HeaderMap {
  const map = new HeaderMap();
  map.method = 'GET';
  map.scheme = 'http';
  map.authority = 'example.com';
  map.path = path;
  for (const [name, value] of Object.entries(headers)) {
    if (name === ':method') map.method = value;
    else if (name === ':authority') map.authority = value;
    else map.add(name, value);
  }
  return map;
}

function twice(name: string, first: string, second: string): HeaderMap {
  const headers = request('/');
  headers.list.push(name, first, name, second);
  return headers;
}

const context: RouteContext = { random: 0, info };
const named = (routes: RouteTable, headers: HeaderMap, random = 0) =>
  routes.route(headers, { random, info })?.name;

test('the first route that matches wins, whatever its kind', () => {
  const routes = table([
    { match: { prefix: '/api/v1' } },
    { match: { path: '/api/v2/users' } },
    { match: { safe_regex: { regex: '/api/v[0-9]+/users' } } },
    { match: { path_separated_prefix: '/api/v3' } },
    { match: { prefix: '/API', case_sensitive: false } },
    { match: { prefix: '/' } },
  ]);
  const expected: Record<string, string> = {
    '/api/v1': '0',
    '/api/v11/x': '0',
    '/api/v2/users?x=1': '1',
    '/api/v2/users#f': '1',
    '/api/v22/users': '2',
    '/api/v3/users': '2',
    '/api/v3/other': '3',
    '/api/v3': '3',
    '/api/v3?x': '3',
    '/api/v33': '4',
    '/Api': '4',
    '/ap': '5',
    '/': '5',
  };
  for (const [path, name] of Object.entries(expected)) assert.equal(named(routes, request(path)), name, path);
});

test('parameters of every segment are left out when they are to be ignored', () => {
  const routes: RouteInit[] = [{ match: { path: '/x/y' } }, { match: { prefix: '/x' } }];
  const ignoring = table(routes, { ignore_path_parameters_in_path_matching: true });
  assert.equal(named(ignoring, request('/x;p=1/y;q?a;b')), '0');
  assert.equal(named(table(routes), request('/x;p=1/y')), '1');
});

test('domains go from exact over the longest suffix and the longest prefix to the catch-all', () => {
  const domains = ['www.foo.com', '*.foo.com', '*-bar.foo.com', 'www.foo.*', 'www.*', '*'];
  const routes = compile({
    virtual_hosts: domains.map((domain) => ({
      name: domain,
      domains: [domain],
      routes: [{ match: { prefix: '/' }, route: { cluster: 'c' } }],
    })),
  });
  const expected: Record<string, string> = {
    'www.foo.com': 'www.foo.com',
    'WWW.FOO.COM': 'www.foo.com',
    'www.foo.com:80': 'www.foo.*',
    'a.foo.com': '*.foo.com',
    'a-bar.foo.com': '*-bar.foo.com',
    '-bar.foo.com': '*.foo.com',
    '.foo.com': '*',
    'www.foo.org': 'www.foo.*',
    'www.foo.': 'www.*',
    'www.bar': 'www.*',
    'www.': '*',
    other: '*',
  };
  for (const [host, name] of Object.entries(expected))
    assert.equal(routes.virtualHost(request('/', { ':authority': host }))?.name, name, host);
});

test('a port in the host counts unless it is to be ignored', () => {
  const hosts = [
    { name: 'v', domains: ['a.com', '[::1]'], routes: [{ match: { prefix: '/' }, route: { cluster: 'c' } }] },
  ];
  const find = (host: string, ignore: boolean) =>
    compile({ ignore_port_in_host_matching: ignore, virtual_hosts: hosts }).virtualHost(
      request('/', { ':authority': host }),
    )?.name;
  assert.equal(find('a.com:80', false), undefined);
  assert.equal(find('a.com:80', true), 'v');
  assert.equal(find('[::1]:80', true), 'v');
  assert.equal(find('a.com:x', true), undefined);
});

const conditions: { name: string; match: RouteInit['match']; yes: HeaderMap[]; no: HeaderMap[] }[] = [
  {
    name: 'an exact header',
    match: { prefix: '/', headers: [{ name: 'X-A', string_match: { exact: '1,2' } }] },
    yes: [request('/', { 'x-a': '1,2' }), twice('x-a', '3', '1,2')],
    no: [request('/'), twice('x-a', '1', '2')],
  },
  {
    name: 'an inverted header: a missing one does not match',
    match: { prefix: '/', headers: [{ name: 'x-a', string_match: { exact: '1' }, invert_match: true }] },
    yes: [request('/', { 'x-a': '2' })],
    no: [request('/'), request('/', { 'x-a': '1' })],
  },
  {
    name: 'an inverted header that counts as empty when missing',
    match: {
      prefix: '/',
      headers: [
        {
          name: 'x-a',
          string_match: { exact: '1' },
          invert_match: true,
          treat_missing_header_as_empty: true,
        },
      ],
    },
    yes: [request('/'), request('/', { 'x-a': '2' })],
    no: [request('/', { 'x-a': '1' })],
  },
  {
    name: 'a range, with its end excluded',
    match: { prefix: '/', headers: [{ name: 'x-a', range_match: { start: -10, end: 10 } }] },
    yes: [request('/', { 'x-a': '-10' }), request('/', { 'x-a': '9' })],
    no: [request('/', { 'x-a': '10' }), request('/', { 'x-a': '1x' }), request('/', { 'x-a': '' })],
  },
  {
    name: 'the absence of a header',
    match: { prefix: '/', headers: [{ name: 'x-a', present_match: false }] },
    yes: [request('/')],
    no: [request('/', { 'x-a': '' })],
  },
  {
    name: 'pseudo-headers',
    match: { prefix: '/', headers: [{ name: ':method', string_match: { exact: 'POST' } }] },
    yes: [request('/', { ':method': 'POST' })],
    no: [request('/')],
  },
  {
    name: 'a header ignoring case',
    match: { prefix: '/', headers: [{ name: 'x-a', string_match: { prefix: 'AbC', ignore_case: true } }] },
    yes: [request('/', { 'x-a': 'aBcd' })],
    no: [request('/', { 'x-a': 'ab' })],
  },
  {
    name: 'a query parameter',
    match: { prefix: '/', query_parameters: [{ name: 'a', string_match: { exact: '1' } }] },
    yes: [request('/?a=1'), request('/?b&a=1&a=2')],
    no: [request('/'), request('/?a=2&a=1'), request('/?aa=1'), request('/?a')],
  },
  {
    name: 'the presence of a query parameter',
    match: { prefix: '/', query_parameters: [{ name: 'a', present_match: true }] },
    yes: [request('/?a'), request('/?b=1&a=')],
    no: [request('/?b=a'), request('/a')],
  },
  {
    name: 'a cookie',
    match: { prefix: '/', cookies: [{ name: 'id', string_match: { exact: '7' } }] },
    yes: [request('/', { cookie: 'x=1; id=7' }), request('/', { cookie: 'id="7"' })],
    no: [request('/'), request('/', { cookie: 'xid=7' }), request('/', { cookie: 'id=8' })],
  },
  {
    name: 'gRPC',
    match: { prefix: '/', grpc: {} },
    yes: [
      request('/', { 'content-type': 'application/grpc' }),
      request('/', { 'content-type': 'application/grpc+proto' }),
    ],
    no: [request('/'), request('/', { 'content-type': 'application/grpc-web' })],
  },
  {
    name: 'a URI template',
    match: {
      path_match_policy: {
        name: 't',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig',
          path_template: '/media/{country}/{lang=*}/{rest=**}',
        },
      },
    },
    yes: [request('/media/de/en/a/b/c'), request('/media/de/en/')],
    no: [request('/media/de/en'), request('/media//en/x'), request('/x/media/de/en/')],
  },
];

for (const { name, match, yes, no } of conditions) {
  test(`a condition on ${name}`, () => {
    const routes = table([{ match } as RouteInit]);
    for (const headers of yes) assert.equal(named(routes, headers), '0', headers.path + headers.list);
    for (const headers of no) assert.equal(named(routes, headers), undefined, headers.path + headers.list);
  });
}

test('a share of the requests takes a route, as the runtime says', () => {
  const routes: RouteInit[] = [
    {
      match: { prefix: '/', runtime_fraction: { default_value: { numerator: 30 }, runtime_key: 'k' } },
      route: { cluster: 'c' },
      name: 'some',
    },
  ];
  const runtime = new Runtime();
  const some = compile({ virtual_hosts: [{ name: 'v', domains: ['*'], routes }] }, runtime);
  assert.equal(named(some, request('/'), 129), 'some');
  assert.equal(named(some, request('/'), 130), undefined);
  runtime.values = new Map([['k', 50]]);
  assert.equal(named(some, request('/'), 149), 'some');
});

test('weighted clusters are chosen by weight, a header or the runtime', () => {
  const weighted = (header_name?: string): RouteInit => ({
    match: { prefix: '/' },
    route: {
      weighted_clusters: {
        clusters: [
          { name: 'a', weight: 10 },
          { name: 'b', weight: 90, request_headers_to_add: [{ header: { key: 'x', value: 'b' } }] },
        ],
        ...(header_name === undefined ? {} : { header_name }),
      },
    },
  });
  const routes = compile({ virtual_hosts: [{ name: 'v', domains: ['*'], routes: [weighted()] }] });
  const cluster = (random: number) => routes.route(request('/'), { random, info })?.clusterName;
  assert.deepEqual([0, 9, 10, 99, 100, 110].map(cluster), ['a', 'a', 'b', 'b', 'a', 'b']);
  const byHeader = compile({ virtual_hosts: [{ name: 'v', domains: ['*'], routes: [weighted('x-rand')] }] });
  const entry = byHeader.route(request('/', { 'x-rand': '50' }), context)!;
  assert.equal(entry.clusterName, 'b');
  assert.notEqual(entry.requestHeaderMutations, null);
  assert.deepEqual([...routes.clusterNames], ['a', 'b']);
});

test('CONNECT without a path meets only connect_matcher', () => {
  const routes = table([{ match: { prefix: '/' } }, { match: { connect_matcher: {} } }]);
  assert.equal(named(routes, request('', { ':method': 'CONNECT' })), '1');
  assert.equal(named(routes, request('/', { ':method': 'GET' })), '0');
});

const format = (headers: HeaderMap): FormatContext => ({
  info,
  requestHeaders: headers,
  responseHeaders: undefined,
  responseTrailers: undefined,
  logType: 0,
});

function sent(
  route: Partial<RouteInit>,
  path: string,
  more: Partial<RouteConfigurationInit> = {},
): HeaderMap {
  const routes = table([{ match: { prefix: '/' }, ...route } as RouteInit], more);
  const headers = request(path, { 'x-old': '1', 'x-host': 'from-header' });
  const entry = routes.route(headers, context)!;
  finalizeRequestHeaders(entry, headers, format(headers), true, '');
  return headers;
}

const rewrites: [string, RouteInit, string, string][] = [
  [
    'a prefix',
    { match: { prefix: '/a' }, route: { cluster: 'c', prefix_rewrite: '/b' } },
    '/ax?q=1',
    '/bx?q=1',
  ],
  ['an exact path', { match: { path: '/a' }, route: { cluster: 'c', prefix_rewrite: '/b' } }, '/a?q', '/b?q'],
  [
    'a regular expression',
    {
      match: { prefix: '/' },
      route: {
        cluster: 'c',
        regex_rewrite: { pattern: { regex: '^/service/([^/]+)(/.*)$' }, substitution: '\\2/instance/\\1' },
      },
    },
    '/service/foo/v1/api?x=/service',
    '/v1/api/instance/foo?x=/service',
  ],
  [
    'a template',
    {
      match: {
        path_match_policy: {
          name: 'm',
          typed_config: {
            '@type': 'type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig',
            path_template: '/api/{user}/{rest=**}',
          },
        },
      },
      route: {
        cluster: 'c',
        path_rewrite_policy: {
          name: 'r',
          typed_config: {
            '@type':
              'type.googleapis.com/envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig',
            path_template_rewrite: '/{rest}/of/{user}',
          },
        },
      },
    },
    '/api/me/a/b?q=1',
    '/a/b/of/me?q=1',
  ],
];
for (const [name, route, path, expected] of rewrites) {
  test(`rewrites ${name}`, () => {
    const headers = sent(route, path);
    assert.equal(headers.path, expected);
    assert.equal(headers.get('x-envoy-original-path'), path);
  });
}

test('rewrites the host: literally, from a header, from the path', () => {
  assert.equal(sent({ route: { cluster: 'c', host_rewrite_literal: 'h' } }, '/').authority, 'h');
  assert.equal(
    sent({ route: { cluster: 'c', host_rewrite_header: 'X-Host' } }, '/').authority,
    'from-header',
  );
  assert.equal(
    sent({ route: { cluster: 'c', host_rewrite_header: 'x-none' } }, '/').authority,
    'example.com',
  );
  const host_rewrite_path_regex = { pattern: { regex: '^/(.+)/.+$' }, substitution: '\\1' };
  const headers = sent(
    { route: { cluster: 'c', host_rewrite_path_regex, append_x_forwarded_host: true } },
    '/a.b/c?x',
  );
  assert.equal(headers.authority, 'a.b');
  assert.equal(headers.get('x-forwarded-host'), 'example.com');
});

test('header mutations go from the route up, or the most specific wins', () => {
  const add = (value: string) => [
    { header: { key: 'x-level', value }, append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' as const },
  ];
  const level = (most_specific_header_mutations_wins: boolean) =>
    sent({ request_headers_to_add: add('route') }, '/', {
      most_specific_header_mutations_wins,
      request_headers_to_add: add('configuration'),
      request_headers_to_remove: ['x-old'],
    });
  assert.equal(level(false).get('x-level'), 'configuration');
  assert.equal(level(true).get('x-level'), 'route');
  assert.equal(level(true).has('x-old'), false);
});

test('header actions, empty values and formatters', () => {
  const headers = sent(
    {
      request_headers_to_add: [
        { header: { key: 'x-old', value: '2' } },
        { header: { key: 'X-Absent', value: 'a' }, append_action: 'ADD_IF_ABSENT' },
        { header: { key: 'x-old', value: 'b' }, append_action: 'ADD_IF_ABSENT' },
        { header: { key: 'x-none', value: 'c' }, append_action: 'OVERWRITE_IF_EXISTS' },
        { header: { key: 'x-path', value: 'p=%REQ(:PATH)%%%' } },
        { header: { key: 'x-empty', value: '%REQ(x-nothing)%' } },
        { header: { key: 'x-kept', value: '%REQ(x-nothing)%' }, keep_empty_value: true },
      ],
    },
    '/p',
  );
  assert.deepEqual(headers.list, [
    'x-old',
    '1',
    'x-host',
    'from-header',
    'x-old',
    '2',
    'x-absent',
    'a',
    'x-path',
    'p=/p%',
    'x-kept',
    '',
  ]);
});

test('response headers are changed too', () => {
  const routes = table([
    {
      match: { prefix: '/' },
      response_headers_to_add: [{ header: { key: 'x-r', value: '%REQ(:METHOD)%' } }],
    },
  ]);
  const headers = request('/');
  const response = new HeaderMap();
  finalizeResponseHeaders(routes.route(headers, context)!, response, format(headers));
  assert.deepEqual(response.list, ['x-r', 'GET']);
});

type Redirect = NonNullable<RouteInit['redirect']>;
const redirects: [Redirect, HeaderMap, string][] = [
  [{ https_redirect: true }, request('/a?b=c'), 'https://example.com/a?b=c'],
  [
    { https_redirect: true },
    request('/', { ':authority': 'a:80', 'x-forwarded-proto': 'http' }),
    'https://a/',
  ],
  [
    { https_redirect: true },
    request('/', { ':authority': 'a:8080', 'x-forwarded-proto': 'http' }),
    'https://a:8080/',
  ],
  [{ port_redirect: 8443 }, request('/', { ':authority': '[::1]:80' }), 'http://[::1]:8443/'],
  [{ host_redirect: 'new', path_redirect: '/p' }, request('/a?b=c'), 'http://new/p?b=c'],
  [{ path_redirect: '/p?x=1', strip_query: true }, request('/a?b=c'), 'http://example.com/p?x=1'],
  [{ prefix_rewrite: '/new/', strip_query: true }, request('/a?b=c'), 'http://example.com/new/a'],
  [
    { regex_rewrite: { pattern: { regex: '^/(.*)$' }, substitution: '/x/\\1' } },
    request('/a?b=c'),
    'http://example.com/x/a?b=c',
  ],
];
for (const [redirect, headers, location] of redirects) {
  test(`redirects to ${location}`, () => {
    const routes = compile({
      virtual_hosts: [{ name: 'v', domains: ['*'], routes: [{ match: { prefix: '/' }, redirect }] }],
    });
    const entry = routes.route(headers, context)!;
    assert.equal(entry.redirect!.location(headers, format(headers), true), location);
    assert.equal(entry.responseStatus, 301);
  });
}

test('a virtual host that requires TLS redirects plaintext', () => {
  const routes = compile({
    virtual_hosts: [
      {
        name: 'v',
        domains: ['*'],
        require_tls: 'EXTERNAL_ONLY',
        routes: [{ match: { prefix: '/' }, route: { cluster: 'c' } }],
      },
    ],
  });
  const status = (headers: Record<string, string>) =>
    routes.route(request('/', headers), context)?.responseStatus;
  assert.equal(status({ 'x-forwarded-proto': 'http' }), 301);
  assert.equal(status({ 'x-forwarded-proto': 'http', 'x-envoy-internal': 'true' }), 0);
  assert.equal(status({ 'x-forwarded-proto': 'https' }), 0);
});

test('a matcher tree leads to routes', () => {
  const route = (name: string, prefix: string) => ({
    name: 'r',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.config.route.v3.Route' as const,
      name,
      match: { prefix },
      route: { cluster: 'c' },
    },
  });
  const header = (header_name: string) => ({
    name: 'i',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput' as const,
      header_name,
    },
  });
  const routes = compile({
    virtual_hosts: [
      {
        name: 'v',
        domains: ['*'],
        matcher: {
          matcher_tree: {
            input: header(':path'),
            prefix_match_map: {
              map: {
                '/a': {
                  matcher: {
                    matcher_list: {
                      matchers: [
                        {
                          predicate: {
                            single_predicate: { input: header('x-env'), value_match: { exact: 'test' } },
                          },
                          on_match: { action: route('test', '/') },
                        },
                      ],
                    },
                  },
                },
                '/': { action: route('rest', '/') },
              },
            },
          },
        },
      },
    ],
  });
  assert.equal(named(routes, request('/a/b', { 'x-env': 'test' })), 'test');
  assert.equal(named(routes, request('/a/b')), 'rest');
  assert.equal(named(routes, request('/b')), 'rest');
});

test('rate limits describe a request, or leave it out', () => {
  const range = { address_prefix: '10.0.0.0', prefix_len: 8 };
  const routes = table([
    {
      match: { prefix: '/' },
      route: {
        cluster: 'c',
        rate_limits: [
          {
            actions: [
              { source_cluster: {} },
              { generic_key: { descriptor_value: 'p-%REQ(:METHOD)%' } },
              { request_headers: { header_name: 'X-A', descriptor_key: 'a', skip_if_absent: true } },
              { masked_remote_address: { v4_prefix_mask_len: 16 } },
              {
                remote_address_match: {
                  descriptor_value: 'in-%REQ(:METHOD)%',
                  address_matcher: { ranges: [range] },
                },
              },
            ],
          },
          { actions: [{ header_value_match: { descriptor_value: 'v', headers: [{ name: 'x-b' }] } }] },
        ],
      },
    },
  ]);
  const headers = request('/');
  const [first, second] = routes.route(headers, context)!.rateLimits;
  const from = (remoteAddress: string) => ({
    ...format(headers),
    info: { ...info, remoteAddress } as StreamInfo,
  });
  assert.deepEqual(first!.descriptor(from('10.1.2.3:4')), [
    ...['source_cluster', 'me'],
    // A text, unless a runtime value makes it a format.
    ...['generic_key', 'p-%REQ(:METHOD)%'],
    ...['masked_remote_address', '10.1.0.0/16'],
    ...['remote_address_match', 'in-GET'],
  ]);
  assert.equal(first!.descriptor(from('11.1.2.3:4')), undefined);
  assert.equal(second!.descriptor(from('10.1.2.3:4')), undefined);
});

test('what has no effect yet is warned about by name', () => {
  const problems: ConfigError[] = [];
  const match = { prefix: '/' };
  const route = {
    cluster: 'c',
    retry_policy: { retry_on: '5xx,typo', refresh_cluster_on_retry: true },
    request_mirror_policies: [{ cluster: 'd', trace_sampled: true }],
  };
  const routes = [{ match, route, tracing: {} }];
  parse({ virtual_hosts: [{ name: 'v', domains: ['*'], routes }] }, problems);
  const at = 'virtual_hosts[0].routes[0]';
  const text = 'has no effect yet in chancery';
  assert.deepEqual(problems.map((it) => `${it.severity} ${it.message}`).sort(), [
    `warning ${at}.route.request_mirror_policies[0].trace_sampled: ${text}`,
    `warning ${at}.route.retry_policy.refresh_cluster_on_retry: ${text}`,
    `warning ${at}.route.retry_policy.retry_on: "typo" is no retry condition and has no effect`,
    `warning ${at}.tracing: ${text}`,
  ]);
});

test('the index finds what a scan in order finds', () => {
  const seed = Number(process.env.SEED ?? 11);
  let state = seed;
  const random = (below: number) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % below;
  };
  const pick = <T>(list: readonly T[]) => list[random(list.length)]!;
  const path = () => {
    let text = '';
    for (let i = random(4); i >= 0; i--) text += `/${pick(['a', 'ab', 'abc', 'B', 'x.y', ''])}`;
    return text;
  };
  const match = (): NonNullable<RouteInit['match']> => {
    const headers = random(4) === 0 ? [{ name: 'x-a', string_match: { exact: pick(['1', '2']) } }] : [];
    const case_sensitive = random(4) !== 0;
    switch (random(5)) {
      case 0:
        return { path: path(), headers, case_sensitive };
      case 1:
        return { path_separated_prefix: `${path()}z`, headers, case_sensitive };
      case 2:
        return { safe_regex: { regex: `${path()}${pick(['.*', '[a-c]*', '/?', ''])}` }, headers };
      default:
        return { prefix: path(), headers, case_sensitive };
    }
  };
  for (let round = 0; round < 60; round++) {
    const routes = Array.from({ length: 1 + random(40) }, () => ({ match: match() }) as RouteInit);
    const whole = table(routes);
    const single = routes.map((it) => table([it]));
    for (let i = 0; i < 40; i++) {
      const headers = request(
        path() + pick(['', '?q=1', '#f', 'z', 'z/a']),
        random(2) ? { 'x-a': pick(['1', '2']) } : {},
      );
      const first = single.findIndex((it) => it.route(headers, context) !== undefined);
      const expected = first < 0 ? undefined : String(first);
      assert.equal(named(whole, headers), expected, `seed ${seed}, round ${round}: ${headers.path}`);
    }
  }
});
