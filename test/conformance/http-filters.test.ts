// Filters of HTTP in the ways that the other suites do not ask them: the same answers and the same counters as the real Envoy.
import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:http2';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { missing } from '#testing/peers.ts';
import { expectSame, type Side } from './side-by-side.ts';
import { address, connectionManager, endpoint, type, typed } from './side-by-side-configuration.ts';

const skip = { skip: missing('envoy'), timeout: 60_000 };

function yamlWith(filters: readonly object[], host: object, options: object = {}): string {
  const manager = connectionManager(
    { ...options, route_config: { virtual_hosts: [{ name: 'all', domains: ['*'], ...host }] } },
    filters,
  );
  return JSON.stringify({
    admin: { address: address(21001) },
    static_resources: {
      listeners: [{ name: 'front', address: address(21000), filter_chains: [{ filters: [manager] }] }],
      clusters: [{ name: 'none', load_assignment: { cluster_name: 'none' } }],
    },
  });
}

async function ask(side: Side, method: string, path: string, headers: Record<string, string>) {
  const asked = request({ host: '127.0.0.1', port: side.port(21000), method, path, headers, agent: false });
  asked.end();
  const [response] = await once(asked, 'response');
  const { date, ...others } = response.headers;
  return [method, path, headers, response.statusCode, others, await text(response)];
}

test('cors: levels add up, asterisks are answered with what was asked for', skip, async (t) => {
  const policy = (config: object) => ({
    typed_per_filter_config: {
      it: { '@type': type('extensions.filters.http.cors.v3.CorsPolicy'), ...config },
    },
  });
  const all = { allow_origin_string_match: [{ prefix: 'http' }] };
  const routes = Object.entries({
    star: { ...all, allow_headers: '*', allow_methods: '*' },
    inherits: { max_age: '7' },
    off: {
      ...all,
      filter_enabled: { default_value: { numerator: 0 } },
      shadow_enabled: { default_value: { numerator: 100 } },
    },
    strict: {
      allow_origin_string_match: [{ exact: 'x' }],
      forward_not_matching_preflights: false,
      allow_credentials: false,
    },
  }).map(([path, config]) => ({
    match: { prefix: `/${path}` },
    route: { cluster: 'none' },
    ...policy(config),
  }));
  const host = {
    routes,
    ...policy({
      allow_origin_string_match: [{ safe_regex: { regex: 'https?://[a-z]+\\.test' } }],
      ...{ allow_methods: 'GET', allow_headers: 'x-a', expose_headers: 'x-b', max_age: '5' },
      ...{ allow_credentials: true, allow_private_network_access: true },
    }),
  };
  const preflight = {
    'access-control-request-method': 'PUT',
    'access-control-request-private-network': 'true',
  };
  await expectSame(t, yamlWith([typed('extensions.filters.http.cors.v3.Cors')], host), async (side) => {
    const answers: unknown[] = [];
    for (const path of ['/star', '/inherits', '/off', '/strict'])
      for (const origin of ['http://a.test', 'ftp://b', 'x', '']) {
        answers.push(await ask(side, 'GET', path, { origin }));
        answers.push(await ask(side, 'OPTIONS', path, { origin, ...preflight }));
        const asks = { 'access-control-request-headers': 'x-c' };
        answers.push(await ask(side, 'OPTIONS', path, { origin, ...preflight, ...asks }));
      }
    return { answers, stats: await side.stats('cors') };
  });
});

test('buffer: a body that comes in one frame of HTTP/2 is never too large', skip, async (t) => {
  const buffer = typed('extensions.filters.http.buffer.v3.Buffer', { max_request_bytes: 20 });
  const host = { routes: [{ match: { prefix: '/' }, route: { cluster: 'none' } }] };
  await expectSame(t, yamlWith([buffer], host), async (side) => {
    const answers: unknown[] = [];
    for (const body of [20, 30, 20_000]) {
      const session = connect(`http://127.0.0.1:${side.port(21000)}`);
      const stream = session.request({ ':method': 'POST' });
      stream.end('x'.repeat(body));
      const [headers] = await once(stream, 'response');
      answers.push([body, headers[':status'], await text(stream)]);
      session.close();
    }
    return { answers, stats: await side.stats('rq_too_large') };
  });
});

test('rbac: URI templates, and ports that are none', skip, async (t) => {
  const template = (path_template: string) => ({
    uri_template: {
      name: 'it',
      typed_config: {
        '@type': type('extensions.path.match.uri_template.v3.UriTemplateMatchConfig'),
        path_template,
      },
    },
  });
  const rbac = typed('extensions.filters.http.rbac.v3.RBAC', {
    rules: {
      policies: {
        one: { permissions: [template('/a/{b}'), template('/*/{c=**}.txt')], principals: [{ any: true }] },
        ports: {
          permissions: [{ destination_port_range: { start: 65_535, end: 65_536 } }],
          principals: [{ any: true }],
        },
      },
    },
  });
  const host = { routes: [{ match: { prefix: '/' }, direct_response: { status: 200 } }] };
  await expectSame(t, yamlWith([rbac], host), async (side) => {
    const answers: unknown[] = [];
    for (const path of [
      '/a/b',
      '/a/b?c=d',
      '/a/',
      '/a/b/c',
      '/x/y/z.txt',
      '/x/y/z.txt?q',
      '/x.txt',
      '/a/b;c=d',
    ])
      answers.push(await ask(side, 'GET', path, {}));
    return { answers, stats: await side.stats('rbac') };
  });
});

test('an upgrade over HTTP/2 that is refused drains the connection', skip, async (t) => {
  const host = { routes: [{ match: { prefix: '/' }, route: { cluster: 'none' } }] };
  const options = { drain_timeout: '0.2s', http2_protocol_options: { allow_connect: true } };
  await expectSame(t, yamlWith([], host, options), async (side) => {
    const session = connect(`http://127.0.0.1:${side.port(21000)}`);
    const seen: unknown[] = [];
    session.on('goaway', (code, last) => seen.push(['goaway', code, last]));
    await once(session, 'remoteSettings');
    const stream = session.request({
      ':method': 'CONNECT',
      ':protocol': 'foo',
      ':path': '/',
      ':scheme': 'http',
    });
    const [headers] = await once(stream, 'response');
    seen.push(headers[':status']);
    await once(session, 'close');
    return { seen, stats: await side.stats('goaway|drain_close|non_ws') };
  });
});

const passing = { pass_through_mode: true };
const checks: Readonly<Record<string, object>> = {
  'answered here': { pass_through_mode: false },
  'passed on': passing,
  'passed on and kept': { ...passing, cache_time: '60s' },
  'by an empty cluster': { cluster_min_healthy_percentages: { none: { value: 50 } } },
  'by a cluster that may be empty': { cluster_min_healthy_percentages: { none: { value: 0 } } },
  'by an unknown cluster': { cluster_min_healthy_percentages: { nowhere: { value: 50 } } },
};
for (const [title, config] of Object.entries(checks)) {
  test(`health checks ${title}`, skip, async (t) => {
    const check = typed('extensions.filters.http.health_check.v3.HealthCheck', {
      pass_through_mode: false,
      headers: [{ name: ':path', string_match: { prefix: '/check' } }],
      ...config,
    });
    const host = {
      routes: [
        { match: { prefix: '/check/ok' }, direct_response: { status: 200 } },
        { match: { prefix: '/' }, route: { cluster: 'none' } },
      ],
    };
    await expectSame(t, yamlWith([check], host), async (side) => {
      const answers: unknown[] = [];
      for (const step of ['/check/ok', '/check', '/x', 'fail', '/check', '/x', 'ok', '/check/ok', '/check'])
        if (step.startsWith('/')) answers.push(await ask(side, 'GET', step, {}));
        else await side.proxy.admin(`/healthcheck/${step}`, 'POST');
      return {
        answers,
        stats: await side.stats('^(http.edge.(health_check|tracing|downstream_rq_(.xx|comp))|cluster.none)'),
      };
    });
  });
}

test('dynamic_stats: codes and times of the cluster do not count', skip, async (t) => {
  const host = {
    virtual_clusters: [{ name: 'all', headers: [{ name: ':path', present_match: true }] }],
    routes: [
      {
        match: { prefix: '/' },
        route: { cluster: 'none', retry_policy: { retry_on: 'connect-failure' } },
        stat_prefix: 'own',
      },
    ],
  };
  const manager = connectionManager({
    route_config: { virtual_hosts: [{ name: 'v', domains: ['*'], ...host }] },
  });
  Object.assign(manager.typed_config, {
    http_filters: [typed('extensions.filters.http.router.v3.Router', { dynamic_stats: false })],
  });
  const yaml = JSON.stringify({
    admin: { address: address(21001) },
    static_resources: {
      listeners: [{ name: 'front', address: address(21000), filter_chains: [{ filters: [manager] }] }],
      clusters: [{ name: 'none', load_assignment: endpoint('none', 21999) }],
    },
  });
  await expectSame(
    t,
    yaml,
    async (side) => ({
      answer: await ask(side, 'GET', '/', {}),
      stats: (await side.stats('^(cluster.none|vhost)')).filter((it) => !/_ms|_time|_length/.test(it)),
      hosts: (await side.proxy.admin('/clusters')).body.match(/rq_\w+::\d+/g),
    }),
    { ports: [21999] },
  );
});

test('filters that routes turn on and off', skip, async (t) => {
  const abort = (http_status: number) => ({ abort: { http_status, percentage: { numerator: 100 } } });
  const own = { '@type': type('extensions.filters.http.fault.v3.HTTPFault'), ...abort(429) };
  const route = (path: string, config: object) => ({
    match: { prefix: path },
    direct_response: { status: 200 },
    typed_per_filter_config: { fault: { '@type': type('config.route.v3.FilterConfig'), ...config } },
  });
  const host = {
    routes: [
      route('/on', { config: {} }),
      route('/off', { disabled: true }),
      route('/own', { config: own }),
      route('/neither', { disabled: true, config: own }),
      { match: { prefix: '/' }, direct_response: { status: 200 } },
    ],
  };
  for (const disabled of [false, true]) {
    const filter = typed('extensions.filters.http.fault.v3.HTTPFault', abort(418));
    const fault = { ...filter, name: 'fault', disabled };
    await expectSame(t, yamlWith([fault], host), async (side) => {
      const answers: unknown[] = [];
      for (const path of ['/on', '/off', '/own', '/neither', '/'])
        answers.push(await ask(side, 'GET', path, {}));
      return answers;
    });
  }
});

test('fault: statuses and shares of the runtime, for the cluster that the client names', skip, async (t) => {
  const all = { numerator: 100 };
  const fault = (config: object) => ({
    '@type': type('extensions.filters.http.fault.v3.HTTPFault'),
    abort_http_status_runtime: 'status',
    ...config,
  });
  const route = (path: string, config: object) => ({
    match: { prefix: path },
    direct_response: { status: 200 },
    typed_per_filter_config: { it: fault(config) },
  });
  const host = {
    routes: [
      route('/http', { abort: { http_status: 418, percentage: all } }),
      route('/grpc', { abort: { grpc_status: 5, percentage: all } }),
      route('/asked', { abort: { header_abort: {}, percentage: all } }),
      route('/never', { abort: { http_status: 418, percentage: {} } }),
    ],
  };
  const filter = typed('extensions.filters.http.fault.v3.HTTPFault', {
    disable_downstream_cluster_stats: true,
  });
  const yaml = JSON.parse(yamlWith([filter], host));
  const named = { 'fault.http.named.abort.abort_percent': 100, 'fault.http.named.abort.http_status': 430 };
  yaml.layered_runtime = { layers: [{ name: 'static', static_layer: { status: 444, ...named } }] };
  await expectSame(t, JSON.stringify(yaml), async (side) => {
    const answers: unknown[] = [];
    for (const path of ['/http', '/grpc', '/asked', '/never'])
      for (const cluster of ['', 'named', 'other'])
        for (const asked of ['', '451'])
          answers.push(
            await ask(side, 'GET', path, {
              ...(cluster && { 'x-envoy-downstream-service-cluster': cluster }),
              ...(asked && { 'x-envoy-fault-abort-request': asked, 'x-envoy-fault-abort-grpc-request': '7' }),
            }),
          );
    return { answers, stats: await side.stats('fault') };
  });
});

test('csrf: origins that are none, and URLs without a host', skip, async (t) => {
  const filter = typed('extensions.filters.http.csrf.v3.CsrfPolicy', {
    filter_enabled: { default_value: { numerator: 100 } },
  });
  const host = { routes: [{ match: { prefix: '/' }, direct_response: { status: 200 } }] };
  await expectSame(t, yamlWith([filter], host), async (side) => {
    const answers: unknown[] = [];
    for (const origin of ['', 'null', 'http://', 'http://a.com'])
      for (const referer of ['', 'http://a.com/x'])
        answers.push(
          await ask(side, 'POST', '/', {
            host: 'a.com',
            ...(origin && { origin }),
            ...(referer && { referer }),
          }),
        );
    return { answers, stats: await side.stats('csrf') };
  });
});

test('rbac: a route without prefixes leaves its verdict under those of the filter', skip, async (t) => {
  const rules = {
    rules: { action: 'DENY', policies: {} },
    shadow_rules: { policies: { all: { permissions: [{ any: true }], principals: [{ any: true }] } } },
  };
  const own = { rules_stat_prefix: 'route_', ...rules };
  const perRoute = (rbac: object) => ({
    direct_response: {
      status: 200,
      body_format: { text_format_source: { inline_string: '%DYNAMIC_METADATA(envoy.filters.http.rbac)%' } },
    },
    typed_per_filter_config: {
      it: { '@type': type('extensions.filters.http.rbac.v3.RBACPerRoute'), rbac },
    },
  });
  const host = {
    routes: [
      { match: { prefix: '/own' }, ...perRoute(own) },
      { match: { prefix: '/' }, ...perRoute(rules) },
    ],
  };
  const filter = typed('extensions.filters.http.rbac.v3.RBAC', {
    rules_stat_prefix: 'filter_',
    shadow_rules_stat_prefix: 'shadow_',
  });
  await expectSame(t, yamlWith([filter], host), async (side) => ({
    answers: [await ask(side, 'GET', '/own', {}), await ask(side, 'GET', '/', {})],
    stats: await side.stats('rbac'),
  }));
});

test('local_ratelimit: the status of gRPC follows that of HTTP', skip, async (t) => {
  const share = { default_value: { numerator: 100 } };
  const filter = typed('extensions.filters.http.local_ratelimit.v3.LocalRateLimit', {
    stat_prefix: 'limit',
    status: { code: 404 },
    token_bucket: { max_tokens: 1, fill_interval: '600s' },
    filter_enabled: share,
    filter_enforced: share,
  });
  const host = { routes: [{ match: { prefix: '/' }, direct_response: { status: 200 } }] };
  await expectSame(t, yamlWith([filter], host), async (side) => [
    await ask(side, 'GET', '/', {}),
    await ask(side, 'GET', '/', {}),
    await ask(side, 'GET', '/', { 'content-type': 'application/grpc' }),
  ]);
});

test('fault: a delayed request may be longer than the buffer', skip, async (t) => {
  const filter = typed('extensions.filters.http.fault.v3.HTTPFault', {
    delay: { fixed_delay: '0.05s', percentage: { numerator: 100 } },
  });
  const host = { routes: [{ match: { prefix: '/' }, direct_response: { status: 200 } }] };
  const yaml = JSON.parse(yamlWith([filter], host));
  yaml.static_resources.listeners[0].per_connection_buffer_limit_bytes = 1024;
  await expectSame(t, JSON.stringify(yaml), async (side) => {
    const asked = request({ host: '127.0.0.1', port: side.port(21000), method: 'POST', agent: false });
    asked.end(Buffer.alloc(5000));
    const [response] = await once(asked, 'response');
    return [response.statusCode, await side.stats('paused_reading')];
  });
});
