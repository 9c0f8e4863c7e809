// Attempts as `upstream_log` of the router says them, through the real Envoy and through us.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import { type AddressInfo, connect, type Server } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { missing } from '#testing/peers.ts';
import { expectSame, type Side } from './side-by-side.ts';
import { accessLog, address, endpoint, frontYaml, type } from './side-by-side-configuration.ts';

const operators = [
  'REQ(:METHOD)',
  'REQ(:PATH)',
  'REQ(:AUTHORITY)',
  'REQ(X-ENVOY-ATTEMPT-COUNT)',
  'RESP(X-A)',
  'RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)',
  'RESP(X-ADDED)',
  'TRAILER(X-T)',
  'PROTOCOL',
  'RESPONSE_CODE',
  'RESPONSE_CODE_DETAILS',
  'RESPONSE_FLAGS',
  'UPSTREAM_HOST',
  'UPSTREAM_HOST_NAME',
  'UPSTREAM_CLUSTER',
  'UPSTREAM_CLUSTER_RAW',
  'UPSTREAM_REMOTE_ADDRESS',
  'UPSTREAM_PROTOCOL',
  'UPSTREAM_REQUEST_ATTEMPT_COUNT',
  'UPSTREAM_HOSTS_ATTEMPTED',
  'UPSTREAM_HOST_NAMES_ATTEMPTED',
  'UPSTREAM_TRANSPORT_FAILURE_REASON',
  'UPSTREAM_METADATA(a:b)',
  'METADATA(ROUTE:a:b)',
  'METADATA(CLUSTER:a:b)',
  'METADATA(VIRTUAL_HOST:a:b)',
  'DYNAMIC_METADATA(a:b)',
  'FILTER_STATE(key:PLAIN)',
  'BYTES_RECEIVED',
  'BYTES_SENT',
  'UPSTREAM_WIRE_BYTES_SENT',
  'UPSTREAM_HEADER_BYTES_SENT',
  'UPSTREAM_WIRE_BYTES_RECEIVED',
  'UPSTREAM_HEADER_BYTES_RECEIVED',
  'ROUTE_NAME',
  'VIRTUAL_CLUSTER_NAME',
  'REQUESTED_SERVER_NAME',
  'LISTENER_NAME',
  'DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT',
  'DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT',
  'CONNECTION_TERMINATION_DETAILS',
  'GRPC_STATUS',
  'LOCAL_REPLY_BODY',
  'RESPONSE_TRAILERS_BYTES',
];

/** Of these only counts whether they have a value. */
const varying = [
  'REQ(X-ENVOY-EXPECTED-RQ-TIMEOUT-MS)',
  'DOWNSTREAM_WIRE_BYTES_RECEIVED',
  'DURATION',
  'REQUEST_DURATION',
  'REQUEST_TX_DURATION',
  'RESPONSE_DURATION',
  'RESPONSE_TX_DURATION',
  'UPSTREAM_CONNECTION_POOL_READY_DURATION',
  'UPSTREAM_LOCAL_ADDRESS',
  'UPSTREAM_CONNECTION_ID',
  'CONNECTION_ID',
  'STREAM_ID',
  'UNIQUE_ID',
  'COMMON_DURATION(US_CX_BEG:US_CX_END:us)',
  'COMMON_DURATION(DS_RX_BEG:DS_RX_END:us)',
  'COMMON_DURATION(US_TX_BEG:US_TX_END:us)',
  'COMMON_DURATION(US_RX_BEG:US_RX_END:us)',
];

const format = [
  '%ACCESS_LOG_TYPE%',
  ...operators.map((it) => `${it}=%${it}%`),
  ...varying.map((it) => `~${it}=%${it}%`),
].join('|');

const metadata = { filter_metadata: { a: { b: 'c' } } };
const retries = (policy: object) => ({
  num_retries: 2,
  retry_back_off: { base_interval: '0.001s', max_interval: '0.002s' },
  ...policy,
});

const routes: Readonly<Record<string, object>> = {
  moved: { cluster: 'up', internal_redirect_policy: {} },
  limited: { cluster: 'up', max_stream_duration: { max_stream_duration: '0.2s' } },
  plain: { cluster: 'up' },
  retried: { cluster: 'up', retry_policy: retries({ retry_on: '5xx,reset' }) },
  timed: { cluster: 'up', timeout: '0.2s' },
  'per-try': {
    cluster: 'up',
    timeout: '5s',
    retry_policy: retries({ retry_on: '5xx', per_try_timeout: '0.15s' }),
  },
  idle: {
    cluster: 'up',
    timeout: '5s',
    retry_policy: retries({ num_retries: 1, per_try_idle_timeout: '0.15s' }),
  },
  hedged: {
    cluster: 'up',
    timeout: '5s',
    hedge_policy: { hedge_on_per_try_timeout: true },
    retry_policy: retries({ retry_on: '5xx', per_try_timeout: '0.15s' }),
  },
  dead: { cluster: 'dead', retry_policy: retries({ retry_on: 'connect-failure' }) },
  empty: { cluster: 'empty' },
  full: { cluster: 'full' },
  brief: { cluster: 'brief' },
  second: { cluster: 'second' },
  renamed: { cluster: 'named', auto_host_rewrite: true },
};

const yaml = (upstream: number, second: number, options: object) =>
  frontYaml(
    [
      ...Object.entries(routes).map(([name, route]) => ({
        name,
        match: { prefix: `/${name}/` },
        route,
        metadata,
        response_headers_to_add: [{ header: { key: 'x-added', value: 'y' } }],
      })),
      { match: { prefix: '/direct/' }, direct_response: { status: 200 } },
    ],
    [
      { name: 'up', alt_stat_name: 'other', metadata, load_assignment: endpoint('up', upstream) },
      { name: 'dead', load_assignment: endpoint('dead', 21999) },
      { name: 'empty', load_assignment: { cluster_name: 'empty' } },
      {
        name: 'named',
        load_assignment: {
          cluster_name: 'named',
          endpoints: [
            { lb_endpoints: [{ metadata, endpoint: { address: address(upstream), hostname: 'a.test' } }] },
          ],
        },
      },
      {
        name: 'full',
        load_assignment: endpoint('full', upstream),
        circuit_breakers: { thresholds: [{ max_requests: 0, max_pending_requests: 0 }] },
      },
      {
        name: 'brief',
        load_assignment: endpoint('brief', upstream),
        typed_extension_protocol_options: {
          'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
            '@type': type('extensions.upstreams.http.v3.HttpProtocolOptions'),
            common_http_protocol_options: { max_stream_duration: '0.2s' },
            explicit_http_config: { http_protocol_options: {} },
          },
        },
      },
      {
        name: 'second',
        load_assignment: endpoint('second', second),
        typed_extension_protocol_options: {
          'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
            '@type': type('extensions.upstreams.http.v3.HttpProtocolOptions'),
            explicit_http_config: { http2_protocol_options: {} },
          },
        },
      },
    ],
    {},
    {
      // Random ones differ in length as HPACK writes them.
      generate_request_id: false,
      upgrade_configs: [{ upgrade_type: 'websocket' }],
      access_log: accessLog(
        'log',
        '%ACCESS_LOG_TYPE%|%REQ(:PATH)%|%RESPONSE_CODE%|%RESPONSE_FLAGS%|%UPSTREAM_REQUEST_ATTEMPT_COUNT%|%UPSTREAM_HOST%|%BYTES_SENT%',
      ),
    },
    {
      virtualHost: { include_request_attempt_count: true, metadata },
      router: { upstream_log: accessLog('log', format), upstream_log_options: options },
    },
  );

/** The last part of a path says what attempts meet: its first word the first attempt, its last word all that come then. */
const answer: RequestListener = (request, response) => {
  // HPACK knows the date of the answer before, or not.
  response.sendDate = false;
  const steps = request.url!.split('/')[2]!.split(',');
  const attempt = Number(request.headers['x-envoy-attempt-count']);
  const step = steps[Math.min(attempt, steps.length) - 1]!;
  if (step === 'early') {
    response.writeHead(413, { 'x-a': 'early', 'content-length': 0 }).end();
    return;
  }
  request.resume();
  request.on('end', () => {
    const status = Number(step);
    if (status === 302) response.writeHead(302, { location: 'http://a/plain/200' }).end();
    else if (status > 0) response.writeHead(status, { 'x-a': step, 'content-length': 4 }).end('body');
    else if (step === 'reset') response.destroy();
    else if (step === 'late')
      response.writeHead(200, { 'x-a': step }).write('some', () => setTimeout(() => response.destroy(), 20));
    else if (step === 'trailers') {
      response.writeHead(200, { 'x-a': step, trailer: 'x-t' }).write('body');
      response.addTrailers({ 'x-t': 'u' });
      response.end();
    } else if (step === 'slow') setTimeout(() => response.writeHead(200, { 'x-a': step }).end('slow'), 700);
    else if (step === 'halting') response.writeHead(200, { 'x-a': step }).write('some');
    // `never`: no answer.
  });
};

async function listen(t: TestContext, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

async function http1(t: TestContext): Promise<number> {
  const server = createServer(answer);
  t.after(() => server.closeAllConnections());
  server.on('upgrade', (request, socket) => {
    socket.on('error', () => {});
    const status = request.url!.slice(-3);
    if (status !== '101') socket.end(`HTTP/1.1 ${status} no\r\ncontent-length: 2\r\n\r\nno`);
    else {
      socket.write('HTTP/1.1 101 yes\r\nconnection: upgrade\r\nupgrade: websocket\r\nx-a: b\r\n\r\n');
      setTimeout(() => socket.end('bytes'), 50);
    }
  });
  return listen(t, server);
}

async function http2(t: TestContext): Promise<number> {
  const server = createHttp2Server();
  server.on('request', answer as never);
  return listen(t, server as unknown as Server);
}

const get = (path: string) => `GET ${path} HTTP/1.1\r\nhost: a\r\n\r\n`;
const post = (path: string, body: string, length = body.length) =>
  `POST ${path} HTTP/1.1\r\nhost: a\r\ncontent-length: ${length}\r\n\r\n${body}`;

const websocket = (path: string) =>
  `GET ${path} HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n`;

const requests = [
  get('/plain/200'),
  get('/plain/503'),
  post('/plain/200', 'hello'),
  get('/plain/trailers'),
  get('/plain/reset'),
  get('/plain/late'),
  post('/plain/early', 'hello', 10),
  get('/retried/503,200'),
  post('/retried/reset,503,200', 'hello'),
  get('/retried/503'),
  get('/retried/200'),
  get('/timed/never'),
  get('/timed/halting'),
  get('/per-try/never,200'),
  get('/per-try/never'),
  get('/idle/never'),
  get('/hedged/never,200'),
  get('/hedged/slow,never'),
  get('/hedged/slow,503'),
  get('/dead/200'),
  get('/empty/200'),
  get('/full/200'),
  get('/brief/never'),
  get('/brief/halting'),
  get('/second/200'),
  post('/second/200', 'hello'),
  get('/second/trailers'),
  get('/renamed/200'),
  get('/direct/200'),
  websocket('/plain/101'),
  websocket('/plain/403'),
  websocket('/plain/200'),
  get('/moved/302,200'),
  get('/limited/never'),
  get('/limited/halting'),
  get('/plain/gone'),
];

/** Sends each on a connection of its own, and looks at what is logged. */
async function observe(side: Side, requests: readonly string[]): Promise<string[]> {
  for (const request of requests) {
    const socket = connect(side.port(21000), '127.0.0.1');
    socket.on('error', () => {});
    socket.write(request);
    if (request.includes('/gone')) {
      while (!(await side.stats('^cluster.other.upstream_rq_active$'))[0]?.endsWith(': 1')) await sleep(5);
      socket.destroy();
    } else await once(socket, 'data');
    for (;;) {
      const [line] = await side.stats('^http.edge.downstream_rq_active$');
      if (line?.endsWith(': 0')) break;
      await sleep(5);
    }
    socket.destroy();
  }
  const dead = String(side.port(21999));
  await side.stop();
  return side.lines('log').map((line) =>
    line
      .replaceAll(dead, '21999')
      .split('|')
      .map((it) => (it.startsWith('~') ? it.replace(/=[^-].*$/, '=#') : it))
      .join('\n'),
  );
}

test('attempts are logged with the same values', { skip: missing('envoy'), timeout: 60_000 }, async (t) => {
  const options = { flush_upstream_log_on_upstream_stream: true };
  const written = yaml(await http1(t), await http2(t), options);
  const seen = await expectSame(t, written, (side) => observe(side, requests));
  for (const it of ['UpstreamEnd', 'UpstreamPoolReady', 'DownstreamEnd'])
    assert.ok(
      seen.some((line) => line.startsWith(it)),
      it,
    );
});

test('attempts are logged while they run', { skip: missing('envoy'), timeout: 60_000 }, async (t) => {
  const written = yaml(await http1(t), 21998, { upstream_log_flush_interval: '0.1s' });
  const seen = await expectSame(t, written, async (side) => {
    const lines = await observe(side, [get('/plain/slow')]);
    // How often depends on the machine.
    return lines.filter((line, i) => line !== lines[i - 1]);
  });
  assert.ok(seen.some((line) => line.startsWith('UpstreamPeriodic')));
});
