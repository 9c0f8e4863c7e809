// What the router makes of requests by their headers, and what it counts of them, beside the real Envoy.
import { once } from 'node:events';
import { createServer, type OutgoingHttpHeaders, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { missing } from '#testing/peers.ts';
import { expectSame, type Side } from './side-by-side.ts';
import {
  accessLog,
  address,
  connectionManager,
  endpoint,
  type,
  typed,
} from './side-by-side-configuration.ts';

const skip = { skip: missing('envoy'), timeout: 60_000 };

type Asked = readonly [path: string, headers?: OutgoingHttpHeaders];

/** Asks all of each of the managers, which are by port. */
async function compare(
  t: TestContext,
  managers: Readonly<
    Record<number, { manager?: object; router?: object; host?: object; table?: object; filters?: object[] }>
  >,
  clusters: readonly object[],
  asked: readonly Asked[],
  stats: string,
): Promise<void> {
  const yaml = JSON.stringify({
    node: { id: 'me', cluster: 'mine', locality: { region: 'r', zone: 'here' } },
    admin: { address: address(21001) },
    static_resources: {
      listeners: Object.entries(managers).map(([port, { manager, router, host, table, filters }]) => ({
        address: address(Number(port)),
        filter_chains: [
          {
            filters: [
              connectionManager(
                {
                  access_log: accessLog(
                    'access.log',
                    '%REQ(:SCHEME)% %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_REQUEST_ATTEMPT_COUNT% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%',
                  ),
                  ...manager,
                  route_config: { virtual_hosts: [{ name: 'all', domains: ['*'], ...host }], ...table },
                },
                filters ?? [],
                router,
              ),
            ],
          },
        ],
      })),
      clusters,
    },
  });
  await expectSame(
    t,
    yaml,
    async (side) => {
      const seen: string[][] = [];
      const upstream = createServer((request, response) => {
        seen.push([`${request.method} ${request.url}`, ...pairs(request.rawHeaders)]);
        answer(request.url!.slice(request.url!.lastIndexOf('/') + 1), response);
      });
      upstream.listen(side.port(21201), '127.0.0.1');
      await once(upstream, 'listening');
      const answers: unknown[] = [];
      for (const port of Object.keys(managers))
        for (const [path, headers = {}] of asked) answers.push(await ask(side, Number(port), path, headers));
      const counted = (await side.stats(stats)).map((it) => it.replace(/: (No|P).*/, ''));
      upstream.closeAllConnections();
      upstream.close();
      await side.stop();
      // Mirrors race with what they mirror.
      return {
        answers,
        seen: seen.map(String).sort(),
        counted,
        log: side.lines('access.log').map(withOneScheme),
      };
    },
    { ports: [21201] },
  );
}

/** Envoy has the scheme twice when an internal redirect was not followed. */
const withOneScheme = (line: string) => line.replace(/^http,http /, 'http ');

function answer(how: string, response: import('node:http').ServerResponse): void {
  response.sendDate = false;
  if (how === 'never') return;
  if (how === 'reset') response.socket!.resetAndDestroy();
  else if (how === 'underscore') response.writeHead(200, { a_b: '1', 'c-d': '2' }).end();
  else if (how === 'nowhere') response.writeHead(302, { location: 'http://b/nowhere' }).end();
  else if (how === 'ftp') response.writeHead(302, { location: 'ftp://b/found' }).end();
  else if (how === 'cookies')
    response.writeHead(302, { location: 'http://b/found', 'set-cookie': ['a=1', 'b=2'], 'x-one': '1' }).end();
  else if (how === 'early') {
    response.writeEarlyHints({ link: '</a>' });
    response.end('ok');
  } else response.writeHead(Number(how) || 200).end('ok');
}

const varying = /^(x-request-id|x-envoy-expected-rq-timeout-ms|x-envoy-upstream-service-time|date): /i;
const pairs = (raw: readonly string[]) =>
  raw.flatMap((name, i) => (i % 2 === 0 ? [`${name}: ${raw[i + 1]}`] : [])).filter((it) => !varying.test(it));

async function ask(side: Side, port: number, path: string, headers: OutgoingHttpHeaders) {
  const all = { host: 'asked', ...headers };
  const sent = request({ host: '127.0.0.1', port: side.port(port), path, headers: all, agent: false });
  sent.end();
  const [response] = await once(sent, 'response');
  return [port, path, response.statusCode, pairs(response.rawHeaders), await text(response)];
}

const internal = {
  use_remote_address: true,
  internal_address_config: { cidr_ranges: [{ address_prefix: '127.0.0.0', prefix_len: 8 }] },
};
const up = { name: 'up', load_assignment: endpoint('up', 21201) };

test('headers that say how long, how often and under which name', skip, async (t) => {
  const host = { routes: [{ match: { prefix: '/' }, route: { cluster: 'up' } }] };
  const strict = ['x-envoy-upstream-rq-timeout-ms', 'x-envoy-max-retries', 'x-envoy-retry-on'];
  await compare(
    t,
    {
      21100: { manager: internal, host },
      21101: { host },
      21102: {
        manager: internal,
        host,
        router: { strict_check_headers: [...strict, 'x-envoy-retry-grpc-on'] },
      },
    },
    [up],
    [
      ['/', { 'x-envoy-upstream-stream-duration-ms': '20000' }],
      ['/', { 'x-envoy-upstream-stream-duration-ms': 'soon' }],
      ['/503', { 'x-envoy-upstream-alt-stat-name': 'alt' }],
      ...['5xx,reset', '5xx, reset', 'unavailable', '5xx,x', ''].flatMap((words): Asked[] => [
        ['/', { 'x-envoy-retry-on': words }],
        ['/', { 'x-envoy-retry-grpc-on': words }],
      ]),
      ...['+2', '2.5', '-1', '99999999999999999999'].flatMap((number): Asked[] => [
        ['/', { 'x-envoy-max-retries': number }],
        ['/', { 'x-envoy-upstream-rq-timeout-ms': number === '+2' ? '+20000' : number }],
      ]),
    ],
    '^cluster.up.*upstream_rq_(time|[0-9]|completed)',
  );
});

test('a stream upstream ends when its request says so', skip, async (t) => {
  const host = { routes: [{ match: { prefix: '/' }, route: { cluster: 'up' } }] };
  await compare(
    t,
    { 21100: { manager: internal, host } },
    [up],
    [['/never', { 'x-envoy-upstream-stream-duration-ms': '50' }]],
    'upstream_rq_max_duration',
  );
});

test('responses are counted by zone and as those of a canary', skip, async (t) => {
  const lb = { filter_metadata: { 'envoy.lb': { canary: true } } };
  const canary = {
    name: 'canary',
    load_assignment: {
      cluster_name: 'canary',
      endpoints: [
        {
          locality: { region: 'r', zone: 'there' },
          lb_endpoints: [{ endpoint: { address: address(21201) }, metadata: lb }],
        },
      ],
    },
  };
  const host = {
    virtual_clusters: [{ name: 'some', headers: [{ name: ':path', string_match: { prefix: '/' } }] }],
    routes: [{ match: { prefix: '/' }, route: { cluster: 'canary', timeout: '0.1s' }, stat_prefix: 'all' }],
  };
  await compare(
    t,
    { 21100: { manager: internal, host } },
    [canary],
    ['/', '/503', '/reset', '/never', '/early'].flatMap((path): Asked[] => [
      [path],
      [path, { 'x-envoy-upstream-alt-stat-name': 'alt' }],
    ]),
    '^(cluster.canary|vhost).*upstream_rq_(time|[0-9]|completed)',
  );
});

test('the scheme is that of the connection to the host', skip, async (t) => {
  const whole = {
    '@type': type('extensions.upstreams.http.v3.HttpProtocolOptions'),
    explicit_http_config: { http_protocol_options: { send_fully_qualified_url: true } },
  };
  const tls = {
    transport_socket: {
      name: 'tls',
      typed_config: { '@type': type('extensions.transport_sockets.tls.v3.UpstreamTlsContext') },
    },
  };
  const options = { 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': whole };
  const host = {
    routes: [
      { match: { prefix: '/tls' }, route: { cluster: 'tls' } },
      { match: { prefix: '/' }, route: { cluster: 'up' } },
    ],
  };
  await compare(
    t,
    {
      21100: { manager: { scheme_header_transformation: { match_upstream: true } }, host },
      21101: {
        manager: { scheme_header_transformation: { scheme_to_overwrite: 'https', match_upstream: true } },
        host,
      },
      21102: { manager: { scheme_header_transformation: { scheme_to_overwrite: 'https' } }, host },
    },
    [
      { ...up, typed_extension_protocol_options: options },
      {
        name: 'tls',
        ...tls,
        typed_extension_protocol_options: options,
        load_assignment: endpoint('tls', 21201),
      },
    ],
    [['/'], ['/', { 'x-forwarded-proto': 'https' }], ['/tls']],
    'none',
  );
});

test('a header chooses the virtual host, or none', skip, async (t) => {
  const direct = (status: number) => [{ match: { prefix: '/' }, direct_response: { status } }];
  const virtual_hosts = [
    { name: 'any', domains: ['*'], routes: direct(201) },
    { name: 'a', domains: ['a.com'], routes: direct(202) },
  ];
  const table = { virtual_hosts, vhost_header: 'x-host' };
  await compare(
    t,
    { 21100: { table }, 21101: { table: { ...table, virtual_hosts: virtual_hosts.slice(0, 1) } } },
    [],
    [
      ['/', { host: 'a.com' }],
      ['/', { 'x-host': 'a.com' }],
      ['/', { 'x-host': 'b.com' }],
      ['/', { 'x-host': '' }],
    ],
    'no_route',
  );
});

test('internal redirects to any scheme, with all values of a header', skip, async (t) => {
  const internal_redirect_policy = {
    allow_cross_scheme_redirect: true,
    response_headers_to_copy: ['Set-Cookie', 'x-one', 'x-none'],
  };
  const host = {
    routes: [
      { match: { prefix: '/found' }, route: { cluster: 'up' } },
      { match: { prefix: '/' }, route: { cluster: 'up', internal_redirect_policy } },
    ],
  };
  await compare(
    t,
    { 21100: { host } },
    [up],
    [
      ['/ftp'],
      ['/cookies', { 'x-none': '1', 'set-cookie': 'before' }],
      // Who the client was said to be is forgotten.
      ['/cookies', { 'x-forwarded-for': '1.2.3.4' }],
    ],
    'internal_redirect',
  );
});

test('flags are listed as they were raised', skip, async (t) => {
  const retry_policy = { retry_on: '5xx', retry_back_off: { base_interval: '0.001s' } };
  const host = {
    routes: [
      { match: { prefix: '/none' }, route: { cluster: 'none', retry_policy } },
      { match: { prefix: '/' }, route: { cluster: 'up', retry_policy } },
    ],
  };
  const none = { ...up, name: 'none', circuit_breakers: { thresholds: [{ max_retries: 0 }] } };
  await compare(t, { 21100: { host } }, [up, none], [['/reset'], ['/none/reset'], ['/none/503']], 'retry');
});

test('the matcher of a virtual host looks at headers and filter state', skip, async (t) => {
  const leads = (status: number) => ({
    action: {
      name: 'route',
      typed_config: {
        '@type': type('config.route.v3.Route'),
        match: { prefix: '/' },
        direct_response: { status },
      },
    },
  });
  const state = typed('extensions.filters.http.set_filter_state.v3.Config', {
    on_request_headers: [
      {
        object_key: 'kind',
        factory_key: 'envoy.string',
        format_string: { text_format_source: { inline_string: '%REQ(x-kind)%' } },
      },
    ],
  });
  const byState = typed('extensions.matching.common_inputs.network.v3.FilterStateInput', { key: 'kind' });
  const byStatus = typed('type.matcher.v3.HttpRequestHeaderMatchInput', { header_name: 'x-status' });
  const matcher = {
    matcher_tree: {
      input: byState,
      exact_match_map: { map: { a: leads(201), b: leads(202) } },
    },
    on_no_match: {
      matcher: {
        matcher_tree: { input: byStatus, prefix_match_map: { map: { '2': leads(203) } } },
        on_no_match: leads(204),
      },
    },
  };
  await compare(
    t,
    { 21100: { host: { matcher }, filters: [state] } },
    [],
    [['/', { 'x-kind': 'a' }], ['/', { 'x-kind': 'b' }], ['/', { 'x-status': '200' }], ['/']],
    'no_route',
  );
});

test('raw_value of a header has no effect', skip, async (t) => {
  const raw_value = Buffer.from('raw').toString('base64');
  const headers = [
    { header: { key: 'x-raw', raw_value } },
    { header: { key: 'x-both', value: 'text', raw_value } },
    { header: { key: 'x-kept', raw_value }, keep_empty_value: true },
  ];
  const host = {
    request_headers_to_add: headers,
    response_headers_to_add: headers,
    routes: [{ match: { prefix: '/' }, route: { cluster: 'up' } }],
  };
  await compare(t, { 21100: { host } }, [up], [['/']], 'none');
});

test('an upgrade that is refused is logged twice', skip, async (t) => {
  const host = { routes: [{ match: { prefix: '/' }, route: { cluster: 'up' } }] };
  const manager = { access_log_options: { flush_access_log_on_new_request: true } };
  await compare(
    t,
    { 21100: { manager, host } },
    [up],
    [['/', { connection: 'upgrade', upgrade: 'some' }]],
    'upgrade|non_ws',
  );
});

test('names of response headers may have underscores whatever the cluster says', skip, async (t) => {
  const own = (headers_with_underscores_action: string, more: object) => ({
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': type('extensions.upstreams.http.v3.HttpProtocolOptions'),
        common_http_protocol_options: { headers_with_underscores_action },
        explicit_http_config: { http_protocol_options: more },
      },
    },
  });
  const host = {
    routes: [
      { match: { prefix: '/other' }, route: { cluster: 'other' } },
      { match: { prefix: '/' }, route: { cluster: 'up' } },
    ],
  };
  const clusters = [
    { ...up, ...own('DROP_HEADER', {}) },
    { ...up, name: 'other', ...own('REJECT_REQUEST', { ignore_http_11_upgrade: [{ exact: 'a' }] }) },
  ];
  await compare(t, { 21100: { host } }, clusters, [['/underscore'], ['/other/underscore']], 'underscore');
});

test('policies of a cluster go before those of routes', skip, async (t) => {
  const retry = (num_retries: number) => ({
    retry_policy: { retry_on: '5xx', num_retries, retry_back_off: { base_interval: '0.001s' } },
  });
  const policies = {
    ...retry(2),
    request_mirror_policies: [{ cluster: 'other', host_rewrite_literal: 'of.cluster' }],
  };
  const own = {
    '@type': type('extensions.upstreams.http.v3.HttpProtocolOptions'),
    explicit_http_config: { http_protocol_options: {} },
    ...policies,
  };
  const clusters = [
    {
      ...up,
      typed_extension_protocol_options: { 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': own },
    },
    { ...up, name: 'other' },
  ];
  const host = {
    include_request_attempt_count: true,
    routes: [
      { match: { prefix: '/bare' }, route: { cluster: 'up' } },
      { match: { prefix: '/other' }, route: { cluster: 'other', ...retry(1) } },
      {
        match: { prefix: '/' },
        route: {
          cluster: 'up',
          ...retry(1),
          request_mirror_policies: [{ cluster: 'other', host_rewrite_literal: 'of.route' }],
        },
      },
    ],
  };
  await compare(
    t,
    { 21100: { host } },
    clusters,
    [['/bare/503'], ['/503'], ['/other/503'], ['/bare'], ['/']],
    'retry',
  );
});

test('of an internal redirect to nowhere no cluster is known', skip, async (t) => {
  const says = (value: string) => ({ header: { key: 'x-says', value } });
  const host = {
    response_headers_to_add: [
      says('%UPSTREAM_CLUSTER%'),
      says('%CLUSTER_METADATA(m:a)%'),
      says('%ROUTE_NAME%'),
    ],
    routes: [
      { match: { path: '/nowhere' }, name: 'from', route: { cluster: 'up', internal_redirect_policy: {} } },
      {
        match: { path: '/from/nowhere' },
        name: 'to',
        route: { cluster: 'up', internal_redirect_policy: {} },
      },
    ],
  };
  const known = { ...up, metadata: { filter_metadata: { m: { a: 'of the cluster' } } } };
  await compare(
    t,
    { 21100: { host: { ...host, routes: host.routes.slice(1) } }, 21101: { host } },
    [known],
    [['/from/nowhere'], ['/nowhere']],
    'passthrough_internal_redirect',
  );
});
