// The dynamic forward proxy of the real Envoy and ours, over HTTP, CONNECT and TCP, with a name server of the test's own: what clients
// get, the access logs and the counters.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { connect, createServer as createTcpServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { nameServer } from '#testing/name-server.ts';
import { missing } from '#testing/peers.ts';
import { withoutPort } from './black-box.ts';
import { expectSame, type Side } from './side-by-side.ts';

const types = 'type.googleapis.com/envoy.extensions';
const dnsPort = 21900;
const upstreamPort = 21201;

const resolver = `typed_dns_resolver_config: {name: envoy.network.dns_resolver.cares, typed_config: {"@type": ${types}.network.dns_resolver.cares.v3.CaresDnsResolverConfig, resolvers: [{socket_address: {address: 127.0.0.1, port_value: ${dnsPort}}}], dns_resolver_options: {no_default_search_domain: true}}}`;
const cache = (name: string, more = '') => `{name: ${name}, ${more} ${resolver}}`;
const ipv4 = cache('v4', 'dns_lookup_family: V4_ONLY,');
const one = cache('one', 'dns_lookup_family: V4_ONLY, max_hosts: 1,');
const none = cache(
  'none',
  'dns_lookup_family: V4_ONLY, dns_cache_circuit_breaker: {max_pending_requests: 0},',
);
/** With the name servers of the bootstrap. */
const any = '{name: any}';

const cluster = (name: string, its: string, more = '') =>
  `{name: ${name}, connect_timeout: 1s, lb_policy: CLUSTER_PROVIDED, ${more} cluster_type: {name: envoy.clusters.dynamic_forward_proxy, typed_config: {"@type": ${types}.clusters.dynamic_forward_proxy.v3.ClusterConfig, dns_cache_config: ${its}}}}`;
const log = (format: string) =>
  `[{name: f, typed_config: {"@type": ${types}.access_loggers.file.v3.FileAccessLog, path: access.log, log_format: {text_format_source: {inline_string: "${format}\\n"}}}}]`;
const bootstrap = (listeners: readonly string[]) => `
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 21001}}}
${resolver}
static_resources:
  listeners: [${listeners.join(', ')}]
  clusters: [${cluster('v4', ipv4)}, ${cluster('one', one)}, ${cluster('none', none)}, ${cluster('any', any)}]
`;

const names = {
  'a.test': ['127.0.0.1'],
  'b.test': ['127.0.0.1'],
  'c.test': ['127.0.0.1'],
  'saved.test': ['127.0.0.1'],
  'empty.test': [],
  'six.test': ['::1'],
  'fails.test': 'fails',
} as const;

/** Counters of caches, and what clusters have of them. */
const counted =
  '^(dns_cache|cluster)\\..*(dns_|host_|num_hosts|pending_open|remaining|membership|none_healthy|match_count)';

async function start(t: TestContext, side: Side): Promise<void> {
  await nameServer(t, { ...names }, { port: side.port(dnsPort), ttlSeconds: 300 });
}

/** Everything with the ports of the configuration. */
function written(side: Side, text: string): string {
  return withoutPort(text, side.port(upstreamPort), 'UP');
}

const httpListener = (port: number, filters: string, routes: string) =>
  `{name: l${port}, address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}, filter_chains: [{filters: [{name: hcm, typed_config: {"@type": ${types}.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: h, upgrade_configs: [{upgrade_type: CONNECT}], access_log: ${log('%REQ(:METHOD)% %REQ(:AUTHORITY)% %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_HOST% %UPSTREAM_HOST_NAME% %UPSTREAM_CLUSTER%')}, http_filters: [${filters}{name: r, typed_config: {"@type": ${types}.filters.http.router.v3.Router}}], route_config: {virtual_hosts: [{name: v, domains: ["*"], routes: [${routes}]}]}}}]}]}`;
const httpFilter = (its: string, more = '') =>
  `{name: dfp, typed_config: {"@type": ${types}.filters.http.dynamic_forward_proxy.v3.FilterConfig, dns_cache_config: ${its}, ${more}}}, `;
const toCluster = (name: string, more = '') => `{match: {prefix: /}, route: {cluster: ${name}${more}}}`;
const perRoute = (prefix: string, config: string) =>
  `{match: {prefix: ${prefix}}, route: {cluster: v4}, typed_per_filter_config: {dfp: {"@type": ${types}.filters.http.dynamic_forward_proxy.v3.PerRouteConfig, ${config}}}}`;
const dynamic = (key: string, header: string) =>
  `{object_key: envoy.upstream.dynamic_${key}, format_string: {text_format_source: {inline_string: "%REQ(${header})%"}}}`;

/** Refuses hosts by their address. `ports`: behind them is `UP`. */
const denies = (kind: 'http' | 'network', matcher: string) =>
  `{name: rbac, typed_config: {"@type": ${types}.filters.${kind}.rbac.v3.RBAC, ${kind === 'network' ? 'stat_prefix: r, ' : ''}rules: {action: DENY, policies: {p: {permissions: [{matcher: {name: m, typed_config: {"@type": ${types}.rbac.matchers.upstream_ip_port.v3.UpstreamIpPortMatcher, ${matcher}}}}], principals: [{any: true}]}}}}}, `;
const loopback = 'upstream_ip: {address_prefix: 127.0.0.0, prefix_len: 8}';
const portsOf = (start: number, end: number) => `upstream_port_range: {start: ${start}, end: ${end}}`;
const matchers: readonly string[] = [
  loopback,
  'upstream_ip: {address_prefix: 10.0.0.0, prefix_len: 8}',
  `${loopback}, ${portsOf(1, 2)}`,
  portsOf(upstreamPort, upstreamPort),
  portsOf(upstreamPort, 65536),
  portsOf(1, upstreamPort),
  portsOf(0, 0),
];

const httpYaml = bootstrap([
  httpListener(
    21100,
    httpFilter(ipv4),
    [
      perRoute('/literal', `host_rewrite_literal: "b.test:${upstreamPort}"`),
      perRoute('/header', 'host_rewrite_header: x-to'),
      '{match: {connect_matcher: {}}, route: {cluster: v4, upgrade_configs: [{upgrade_type: CONNECT, connect_config: {}}]}}',
      toCluster('v4', ', retry_policy: {retry_on: connect-failure}'),
    ].join(', '),
  ),
  httpListener(21101, '', toCluster('v4', ', retry_policy: {retry_on: connect-failure}')),
  httpListener(21102, httpFilter(one), toCluster('one')),
  httpListener(21103, '', toCluster('one')),
  httpListener(21104, httpFilter(none), toCluster('none')),
  httpListener(21105, '', toCluster('none')),
  httpListener(21106, httpFilter(any), toCluster('any')),
  httpListener(21107, httpFilter(any), toCluster('any', `, host_rewrite_literal: "b.test:${upstreamPort}"`)),
  httpListener(
    21108,
    `{name: state, typed_config: {"@type": ${types}.filters.http.set_filter_state.v3.Config, on_request_headers: [${dynamic('host', 'x-host')}, ${dynamic('port', 'x-port')}]}}, ${httpFilter(any, 'allow_dynamic_host_from_filter_state: true')}`,
    toCluster('any'),
  ),
  ...matchers.map((it, i) =>
    httpListener(
      21110 + i,
      httpFilter(ipv4, 'save_upstream_address: true') + denies('http', it),
      toCluster('v4'),
    ),
  ),
  httpListener(21120, httpFilter(ipv4) + denies('http', loopback), toCluster('v4')),
]);

interface Asked {
  readonly port: number;
  readonly host: string;
  readonly path?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

/** Hosts with `UP` for the upstream's port. */
const requests: readonly Asked[] = [
  { port: 21100, host: 'a.test:UP' },
  { port: 21100, host: 'a.test:UP' },
  { port: 21101, host: 'a.test:UP' },
  { port: 21101, host: 'b.test:UP' },
  { port: 21101, host: 'c.test:UP', body: 'x'.repeat(150_000) },
  { port: 21100, host: 'C.test:UP', body: 'x'.repeat(150_000) },
  { port: 21101, host: 'nope.test:UP' },
  { port: 21101, host: 'nope.test:UP' },
  { port: 21100, host: 'nope.test:UP' },
  { port: 21100, host: 'fails.test:UP' },
  { port: 21101, host: 'fails.test:UP' },
  { port: 21100, host: 'empty.test:UP' },
  { port: 21100, host: 'six.test:UP' },
  { port: 21100, host: '127.0.0.1:UP' },
  { port: 21100, host: '[::1]:UP' },
  { port: 21100, host: 'a.test:1' },
  { port: 21100, host: 'a.test' },
  { port: 21100, host: 'a.test:99999' },
  { port: 21100, host: 'x.test', path: '/literal' },
  { port: 21100, host: 'x.test', path: '/header', headers: { 'x-to': 'a.test:UP' } },
  { port: 21100, host: 'b.test:UP', path: '/header' },
  { port: 21102, host: 'a.test:UP' },
  { port: 21102, host: 'b.test:UP' },
  { port: 21103, host: 'a.test:UP' },
  { port: 21103, host: 'b.test:UP' },
  { port: 21104, host: 'a.test:UP' },
  { port: 21105, host: 'a.test:UP' },
  { port: 21106, host: '[::1]:UP' },
  { port: 21106, host: '[::1]' },
  { port: 21106, host: 'six.test:UP' },
  { port: 21106, host: 'a.test:UP' },
  { port: 21106, host: 'nope.test:UP' },
  { port: 21107, host: 'a.test:UP' },
  { port: 21107, host: 'a.test:1' },
  { port: 21108, host: 'a.test:UP', headers: { 'x-host': 'b.test', 'x-port': 'UP' } },
  { port: 21108, host: 'a.test:UP', headers: { 'x-host': 'b.test:UP', 'x-port': '1' } },
  { port: 21108, host: 'a.test:UP', headers: { 'x-host': 'c.test' } },
  ...matchers.flatMap((_, i) => [
    { port: 21110 + i, host: 'a.test:UP' },
    { port: 21110 + i, host: 'a.test:2' },
  ]),
  { port: 21110, host: 'saved.test:UP' },
  { port: 21110, host: '127.0.0.1:UP' },
  { port: 21120, host: 'a.test:UP' },
];

async function send(side: Side, { port, host, path = '/', headers = {}, body = '' }: Asked): Promise<string> {
  const own = (text: string) => text.replace('UP', String(side.port(upstreamPort)));
  const sent = request({
    host: '127.0.0.1',
    port: side.port(port),
    path,
    method: body === '' ? 'GET' : 'POST',
    headers: Object.fromEntries(Object.entries({ ...headers, host }).map(([name, it]) => [name, own(it)])),
    agent: false,
  });
  sent.end(body);
  const [response] = await once(sent, 'response');
  let text = '';
  for await (const chunk of response) text += chunk;
  return `${response.statusCode} ${text}`;
}

async function tunnel(side: Side, target: string): Promise<string> {
  const sent = request({
    host: '127.0.0.1',
    port: side.port(21100),
    method: 'CONNECT',
    path: target,
    agent: false,
  });
  sent.end();
  const [response, socket] = await once(sent, 'connect');
  if (response.statusCode !== 200) return String(response.statusCode);
  socket.end('GET /tunnel HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
  let text = '';
  for await (const chunk of socket) text += chunk;
  return `200 ${text.split('\r\n\r\n').at(-1)}`;
}

test('requests go to the hosts they name as through Envoy', { skip: missing('envoy') }, async (t) => {
  await expectSame(t, httpYaml, async (side) => {
    await start(t, side);
    const upstream = createServer(async (incoming, outgoing) => {
      let bytes = 0;
      for await (const chunk of incoming) bytes += chunk.length;
      outgoing.end(`${incoming.method} ${incoming.url} of ${incoming.headers.host} with ${bytes}`);
    }).listen(side.port(upstreamPort), '127.0.0.1');
    await once(upstream, 'listening');
    t.after(() => upstream.closeAllConnections());
    t.after(() => upstream.close());
    const seen: string[] = [];
    for (const it of requests) seen.push(written(side, await send(side, it)));
    for (const host of ['a.test', 'nope.test'])
      seen.push(await tunnel(side, `${host}:${side.port(upstreamPort)}`));
    const stats = await side.stats(counted);
    await side.stop();
    const logged = side.lines('access.log').map((it) => written(side, it));
    upstream.closeAllConnections();
    upstream.close();
    assert.ok(logged.length >= requests.length);
    assert.ok(seen.some((it) => it.startsWith('403 ')));
    return { seen, stats, logged };
  });
});

// TCP ------------------------------------------------------------------------------------------------------------------------------

const state = (host: string, port = '') =>
  `{name: state, typed_config: {"@type": ${types}.filters.network.set_filter_state.v3.Config, on_new_connection: [{object_key: envoy.upstream.dynamic_host, format_string: {text_format_source: {inline_string: "${host}"}}}${port === '' ? '' : `, {object_key: envoy.upstream.dynamic_port, format_string: {text_format_source: {inline_string: "${port}"}}}`}]}}, `;
const sni = (port: number, its = ipv4, more = '') =>
  `{name: sni, typed_config: {"@type": ${types}.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig, port_value: ${port}, dns_cache_config: ${its}${more}}}, `;
const saving = sni(upstreamPort, ipv4, ', save_upstream_address: true');
const tcpCases: readonly { readonly filters: string; readonly cluster?: string; readonly server?: string }[] =
  [
    { filters: state('a.test') + sni(upstreamPort) },
    { filters: state('a.test', String(upstreamPort)) + sni(1) },
    { filters: state('a.test', String(upstreamPort)) },
    // A session does not wait for a host: this is for the next one.
    { filters: state('c.test', String(upstreamPort)) },
    { filters: sni(upstreamPort) },
    { filters: sni(upstreamPort), server: 'b.test' },
    { filters: sni(upstreamPort), server: 'nope.test' },
    { filters: sni(upstreamPort), server: 'fails.test' },
    { filters: '', server: 'b.test' },
    { filters: state(`b.test:${upstreamPort}`) + sni(1) },
    { filters: state('a.test') + sni(1) },
    { filters: state('a.test', '99999') + sni(upstreamPort) },
    { filters: state('A.test') + sni(upstreamPort) },
    { filters: state('a.test') + sni(upstreamPort, one), cluster: 'one' },
    { filters: state('b.test') + sni(upstreamPort, one), cluster: 'one' },
    { filters: state('a.test') + sni(upstreamPort, none), cluster: 'none' },
    ...matchers.map((it) => ({
      filters: saving + denies('network', it),
      server: 'a.test',
    })),
    { filters: sni(upstreamPort) + denies('network', loopback), server: 'a.test' },
  ];
const tcpYaml = bootstrap(
  tcpCases.map(
    ({ filters, cluster: to = 'v4', server }, i) =>
      `{name: l${i}, address: {socket_address: {address: 127.0.0.1, port_value: ${21100 + i}}}, listener_filters: [${server === undefined ? '' : `{name: tls, typed_config: {"@type": ${types}.filters.listener.tls_inspector.v3.TlsInspector}}`}], filter_chains: [{filters: [${filters}{name: tcp, typed_config: {"@type": ${types}.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: ${to}, access_log: ${log('%REQUESTED_SERVER_NAME% %RESPONSE_FLAGS% %UPSTREAM_HOST% %UPSTREAM_HOST_NAME% %UPSTREAM_CLUSTER% %FILTER_STATE(envoy.upstream.dynamic_host)% %FILTER_STATE(envoy.upstream.dynamic_port)% %DOWNSTREAM_LOCAL_CLOSE_REASON%')}}}]}]}`,
  ),
);

/** What the upstream said first; it ends when the client does. */
async function dial(port: number, server: string | undefined): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  let text = '';
  socket.on('data', (bytes) => {
    text += bytes.toString('latin1');
    socket.end();
  });
  if (server !== undefined) connectTls({ socket, servername: server }).on('error', () => {});
  await once(socket, 'close');
  return text;
}

test('connections go to the hosts they name as through Envoy', { skip: missing('envoy') }, async (t) => {
  await expectSame(t, tcpYaml, async (side) => {
    await start(t, side);
    const upstream = createTcpServer((socket) => {
      socket.on('error', () => {});
      socket.resume().end('hello');
    }).listen(side.port(upstreamPort), '127.0.0.1');
    await once(upstream, 'listening');
    t.after(() => upstream.close());
    const seen: string[] = [];
    for (let i = 0; i < tcpCases.length; i++)
      seen.push(await dial(side.port(21100 + i), tcpCases[i]!.server));
    const stats = await side.stats(counted);
    await side.stop();
    const logged = side
      .lines('access.log')
      .map((it) => written(side, it))
      .sort();
    upstream.close();
    assert.equal(logged.length, tcpCases.length);
    return { seen, stats, logged };
  });
});
