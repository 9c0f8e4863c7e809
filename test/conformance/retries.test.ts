// Every word of `retry_on` with every way an upstream can fail, hedging, mirrors and internal redirects, beside the real Envoy.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, get as httpGet, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { before, describe, test } from 'node:test';
import { missing } from '#testing/peers.ts';
import { type Behaviour, connectionKey, type Exchange, playBoth } from './http-exchanges.ts';
import { expectSame } from './side-by-side.ts';
import { endpoint, frontYaml } from './side-by-side-configuration.ts';

const words = [
  '5xx',
  'gateway-error',
  'reset',
  'reset-before-request',
  'connect-failure',
  'envoy-ratelimited',
  'retriable-4xx',
  'refused-stream',
  'retriable-status-codes',
  'retriable-headers',
  'http3-post-connect-failure',
  'unavailable',
  'cancelled,deadline-exceeded,internal,resource-exhausted',
];

const backoff = 'retry_back_off: { base_interval: 0.001s, max_interval: 0.002s }';
const routes: Record<string, string> = {
  ...Object.fromEntries(
    words.map((word, i) => [
      `word${i}`,
      `cluster: up, timeout: 0.5s, retry_policy: { retry_on: '${word}', retriable_status_codes: [418], retriable_headers: [{ name: x-again, present_match: true }], ${backoff} }`,
    ]),
  ),
  dead: `cluster: dead, retry_policy: { retry_on: 'connect-failure', num_retries: 2, ${backoff} }`,
  asked: 'cluster: up, timeout: 0.5s',
  hedge: `cluster: up, timeout: 1s, hedge_policy: { hedge_on_per_try_timeout: true }, retry_policy: { retry_on: 5xx, num_retries: 2, per_try_timeout: 0.2s, ${backoff} }`,
  mirror: 'cluster: up, timeout: 0.5s, request_mirror_policies: [{ cluster: up }]',
  redirect: 'cluster: up, internal_redirect_policy: { redirect_response_codes: [302, 303, 307] }',
};

const predicates: Readonly<Record<string, string>> = {
  previous:
    '{ name: p, typed_config: { "@type": type.googleapis.com/envoy.extensions.internal_redirect.previous_routes.v3.PreviousRoutesConfig } }',
  listed:
    '{ name: p, typed_config: { "@type": type.googleapis.com/envoy.extensions.internal_redirect.allow_listed_routes.v3.AllowListedRoutesConfig, allowed_route_names: [target] } }',
  cross:
    '{ name: p, typed_config: { "@type": type.googleapis.com/envoy.extensions.internal_redirect.safe_cross_scheme.v3.SafeCrossSchemeConfig } }',
  told: '{ name: p, typed_config: { "@type": type.googleapis.com/envoy.extensions.internal_redirect.filter_state.v3.FilterStateConfig, redirect_enabled_key: follow } }',
  present:
    '{ name: p, typed_config: { "@type": type.googleapis.com/envoy.extensions.internal_redirect.filter_state.v3.FilterStateConfig, redirect_enabled_key: k, redirect_if_absent: true } }',
};
for (const [name, predicate] of Object.entries(predicates))
  routes[`redirect-${name}`] =
    `cluster: up, internal_redirect_policy: { max_internal_redirects: 4, allow_cross_scheme_redirect: true, predicates: [${predicate}] }`;

const yaml = `
admin: { address: { socket_address: { address: 127.0.0.1, port_value: 21001 } } }
static_resources:
  clusters:
    - &up
      name: up
      type: STATIC
      connect_timeout: 1s
      circuit_breakers: { thresholds: [{ max_retries: 1000 }] }
      load_assignment:
        cluster_name: up
        endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 21201 } } } }] }]
    - name: dead
      type: STATIC
      connect_timeout: 1s
      circuit_breakers: { thresholds: [{ max_retries: 1000 }] }
      load_assignment:
        cluster_name: dead
        endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 21999 } } } }] }]
  listeners:
    - address: { socket_address: { address: 127.0.0.1, port_value: 21000 } }
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: ingress
                use_remote_address: true
                internal_address_config: { cidr_ranges: [{ address_prefix: 127.0.0.0, prefix_len: 8 }] }
                access_log:
                  - name: envoy.access_loggers.file
                    typed_config:
                      '@type': type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
                      path: access.log
                      log_format:
                        text_format_source:
                          inline_string: "${connectionKey} %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% tries=%UPSTREAM_REQUEST_ATTEMPT_COUNT% rx=%BYTES_RECEIVED% tx=%BYTES_SENT%\\n"
                route_config:
                  virtual_hosts:
                    - name: all
                      domains: ['*']
                      include_request_attempt_count: true
                      include_is_timeout_retry_header: true
                      routes:${Object.entries(routes)
                        .map(
                          ([name, action]) =>
                            `\n                        - { name: ${name}, match: { prefix: /${name}/ }, route: { ${action} } }`,
                        )
                        .join('')}
                        - { name: target, match: { path: /target }, route: { cluster: up } }
                http_filters:
                  - name: envoy.filters.http.set_filter_state
                    typed_config:
                      '@type': type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config
                      on_request_headers:
                        - { object_key: follow, factory_key: envoy.bool, format_string: { text_format_source: { inline_string: '%REQ(x-follow)%' } } }
                  - name: envoy.filters.http.router
                    typed_config: { '@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
`;

const answer =
  (status: number, ...lines: string[]): Behaviour =>
  (socket) =>
    socket.write(
      `HTTP/1.1 ${status} X\r\n${lines.map((it) => `${it}\r\n`).join('')}content-length: 0\r\n\r\n`,
    );
const attemptOf = (request: string) => Number(/x-envoy-attempt-count: (\d+)/.exec(request)?.[1]);

const failures: Readonly<Record<string, Behaviour>> = {
  s500: answer(500),
  s503: answer(503),
  s505: answer(505),
  s409: answer(409),
  s418: answer(418),
  again: answer(200, 'x-again: 1'),
  limited: answer(503, 'x-envoy-ratelimited: true'),
  overloaded: answer(503, 'x-envoy-overloaded: true'),
  grpc14: answer(200, 'content-type: application/grpc', 'grpc-status: 14'),
  grpc1: answer(200, 'content-type: application/grpc', 'grpc-status: 1'),
  rst: (socket) => socket.resetAndDestroy(),
  garbage: (socket) => socket.write('nonsense\r\n\r\n'),
  'half-head': (socket) => {
    socket.write('HTTP/1.1 200 OK\r\nconte');
    setTimeout(() => socket.end(), 20);
  },
  half: (socket) => {
    socket.write('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc');
    setTimeout(() => socket.end(), 20);
  },
};

const behaviours: Readonly<Record<string, Behaviour>> = {
  ...failures,
  // The first attempt is slow, those beside it fail or are faster.
  'slow-first': (socket, request) =>
    setTimeout(
      () => answer(200, `x-attempt: ${attemptOf(request)}`)(socket, request),
      attemptOf(request) === 1 ? 500 : 20,
    ),
  'fail-second': (socket, request) =>
    attemptOf(request) === 1
      ? setTimeout(() => answer(200)(socket, request), 500)
      : answer(503)(socket, request),
  s302: answer(302, 'location: http://b/target'),
  around: (socket, request) =>
    answer(302, `location: http://b${/ (\S+)/.exec(request)![1]}`)(socket, request),
  secure: answer(302, 'location: https://b/target'),
  s303: answer(303, 'location: http://b/target'),
  s307: answer(307, 'location: http://b/target'),
};

const get = (path: string, ...lines: string[]) =>
  `GET ${path} HTTP/1.1\r\nhost: a\r\n${lines.map((it) => `${it}\r\n`).join('')}\r\n`;
const post = (path: string, ...lines: string[]) => get(path, ...lines).replace('GET', 'POST');
const port = 21000;

const cases: readonly Omit<Exchange, 'name' | 'port'>[] = [
  ...words.flatMap((_, i) => Object.keys(failures).map((it) => ({ send: [get(`/word${i}/${it}`)] }))),
  ...words.map((_, i) => ({ send: [post(`/word${i}/rst`, 'content-length: 3'), 'abc'] })),
  { send: [get('/dead/x')] },
  { send: [post('/dead/x', 'content-length: 3'), 'abc'] },
  { send: [get('/asked/s503', 'x-envoy-retry-on: 5xx')] },
  { send: [get('/asked/s503', 'x-envoy-retry-on: 5xx', 'x-envoy-max-retries: 3')], waitMs: 700 },
  { send: [get('/asked/s503', 'x-envoy-retry-on: 5xx', 'x-envoy-max-retries: 0')] },
  { send: [get('/asked/s503', 'x-envoy-retry-on: bogus', 'x-envoy-max-retries: 2')] },
  { send: [get('/asked/s503', 'x-envoy-retry-on: 5XX')] },
  { send: [get('/asked/s503', 'x-envoy-max-retries: 2')] },
  {
    send: [
      get(
        '/asked/s418',
        'x-envoy-retry-on: retriable-status-codes',
        'x-envoy-retriable-status-codes: 418, 7',
      ),
    ],
  },
  {
    send: [
      get(
        '/asked/again',
        'x-envoy-retry-on: retriable-headers',
        'x-envoy-retriable-header-names: X-Again, b',
      ),
    ],
  },
  { send: [get('/asked/grpc14', 'x-envoy-retry-grpc-on: unavailable')] },
  { send: [get('/asked/grpc14', 'x-envoy-retry-on: unavailable')] },
  { send: [get('/hedge/slow-first')], waitMs: 900 },
  { send: [get('/hedge/fail-second')], waitMs: 900 },
  { send: [get('/mirror/x')] },
  { send: [post('/mirror/x', 'content-length: 3'), 'abc'] },
  { send: [post('/mirror/x', 'transfer-encoding: chunked'), '3\r\nabc\r\n', 100, '0\r\n\r\n'] },
  ...Object.keys(predicates).flatMap((it) =>
    ['s302', 'around', 'secure'].map((where) => ({ send: [get(`/redirect-${it}/${where}`)] })),
  ),
  { send: [get('/redirect-told/s302', 'x-follow: true')] },
  { send: [get('/redirect-told/s302', 'x-follow: false')] },
  { send: [get('/redirect-told/s302', 'x-follow: yes')] },
  { send: [get('/redirect/s302')] },
  { send: [post('/redirect/s303', 'content-length: 3'), 'abc'] },
  { send: [post('/redirect/s307', 'content-length: 3'), 'abc'] },
  { send: [post('/redirect/s307', 'content-length: 3'), 'a', 100, 'bc'] },
];
const exchanges: Exchange[] = cases.map((it, i) => ({
  name: `${i} ${String(it.send[0]).replace(/\r\n/g, ' ')}`,
  port,
  waitMs: 500,
  ...it,
}));

describe('retries come out as from Envoy', { skip: missing('envoy') }, () => {
  let sides: Awaited<ReturnType<typeof playBoth>>;
  before(async () => {
    sides = await playBoth(yaml, behaviours, exchanges);
  });
  test('words of retry_on', () => compare(exchanges.filter((it) => it.name.includes('/word'))));
  for (const it of exchanges.filter((it) => !it.name.includes('/word'))) test(it.name, () => compare([it]));

  function compare(some: readonly Exchange[]): void {
    for (const { name } of some) assert.equal(sides.chancery.get(name), sides.envoy.get(name), name);
  }
});

// What the attempts of one request answer, in their order; undefined: never.
const hedged: readonly (readonly ({ afterMs: number; status: number } | undefined)[])[] = [
  // The first one answers while the others wait.
  [{ afterMs: 650, status: 200 }, undefined, undefined],
  [
    { afterMs: 300, status: 503 },
    { afterMs: 300, status: 200 },
  ],
  [
    { afterMs: 300, status: 503 },
    { afterMs: 150, status: 503 },
    { afterMs: 150, status: 200 },
  ],
];

for (const [i, answers] of hedged.entries()) {
  const title = `attempts beside each other, and what is left of them: ${i}`;
  test(title, { skip: missing('envoy'), timeout: 60_000 }, async (t) => {
    const retry = { retry_on: '5xx', num_retries: 2, per_try_timeout: '0.2s' };
    const route = {
      ...{
        cluster: 'up',
        timeout: '2s',
        retry_policy: { ...retry, retry_back_off: { base_interval: '0.001s' } },
      },
      hedge_policy: { hedge_on_per_try_timeout: true },
    };
    const yaml = frontYaml(
      [{ match: { prefix: '/' }, route }],
      [{ name: 'up', load_assignment: endpoint('up', 21201) }],
    );
    await expectSame(
      t,
      yaml,
      async (side) => {
        let attempts = 0;
        const upstream = createServer((_, response) => answerLater(response, answers[attempts++]));
        upstream.listen(side.port(21201), '127.0.0.1');
        await once(upstream, 'listening');
        const asked = httpGet({ host: '127.0.0.1', port: side.port(21000), agent: false });
        const [response] = await once(asked, 'response');
        const body = await text(response);
        const counted = await side.stats(
          'cluster.up.upstream_rq_(active|retry|[25]|tx|per_try|timeout|total)',
        );
        const hosts = (await side.proxy.admin('/clusters')).body.split('\n').filter((it) => /rq_/.test(it));
        upstream.closeAllConnections();
        upstream.close();
        return {
          ...{ status: response.statusCode, body, attempts, counted },
          hosts: hosts.map((it) => it.replace(/:\d+::/, '::')),
        };
      },
      { ports: [21201] },
    );
  });
}

function answerLater(
  response: ServerResponse,
  answer: { afterMs: number; status: number } | undefined,
): void {
  if (answer === undefined) return;
  setTimeout(() => response.writeHead(answer.status).end(`${answer.status}`), answer.afterMs);
}
