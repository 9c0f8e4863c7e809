// Every timeout of connection manager, route, retry policy and cluster, beside the real Envoy: status, flags, details, and when.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { missing } from '#testing/peers.ts';
import { type Behaviour, connectionKey, type Exchange, playBoth } from './http-exchanges.ts';

/** By port: what the connection manager says beside the routes. */
const managers: Readonly<Record<number, string>> = {
  21100: '',
  21101: 'request_timeout: 0.2s',
  21102: 'request_headers_timeout: 0.2s',
  21103: 'stream_idle_timeout: 0.3s',
  21104: 'common_http_protocol_options: { max_stream_duration: 0.3s }',
  21105:
    'common_http_protocol_options: { idle_timeout: 0.2s }, drain_timeout: 0.1s, delayed_close_timeout: 0.1s',
  21106:
    'common_http_protocol_options: { max_connection_duration: 0.2s }, drain_timeout: 0.3s, delayed_close_timeout: 0.1s',
  21107: 'common_http_protocol_options: { max_requests_per_connection: 2 }',
  21108: 'delayed_close_timeout: 0.2s',
  21109: 'delayed_close_timeout: 0s',
  21110: 'upgrade_configs: [{ upgrade_type: websocket }, { upgrade_type: other }]',
};

/** By first segment of the path: the action. */
const routes: Readonly<Record<string, string>> = {
  timeout: 'cluster: up, timeout: 0.2s',
  'idle-long': 'cluster: up, timeout: 0s, idle_timeout: 0.5s',
  'idle-none': 'cluster: up, timeout: 0s, idle_timeout: 0s',
  'per-try':
    'cluster: up, timeout: 0s, retry_policy: { retry_on: 5xx, num_retries: 1, per_try_timeout: 0.2s, retry_back_off: { base_interval: 0.001s } }',
  'per-try-only': 'cluster: up, timeout: 0s, retry_policy: { per_try_timeout: 0.2s }',
  'per-try-idle':
    'cluster: up, timeout: 0s, retry_policy: { retry_on: 5xx, num_retries: 1, per_try_idle_timeout: 0.2s, retry_back_off: { base_interval: 0.001s } }',
  hedge:
    'cluster: up, timeout: 0.7s, hedge_policy: { hedge_on_per_try_timeout: true }, retry_policy: { retry_on: 5xx, num_retries: 1, per_try_timeout: 0.2s, retry_back_off: { base_interval: 0.001s } }',
  duration: 'cluster: up, timeout: 0.1s, max_stream_duration: { max_stream_duration: 0.3s }',
  'duration-none': 'cluster: up, max_stream_duration: { max_stream_duration: 0s }',
  grpc: 'cluster: up, timeout: 0.1s, max_stream_duration: { grpc_timeout_header_max: 0.4s, grpc_timeout_header_offset: 0.1s }',
  'grpc-both':
    'cluster: up, max_stream_duration: { max_stream_duration: 0.2s, grpc_timeout_header_max: 0.4s }',
  'grpc-any': 'cluster: up, max_stream_duration: { grpc_timeout_header_max: 0s }',
  'grpc-old': 'cluster: up, timeout: 5s, max_grpc_timeout: 0.3s, grpc_timeout_offset: 0.1s',
  'upstream-duration': 'cluster: brief, timeout: 0s',
  plain: 'cluster: up, timeout: 0s',
};

const cluster = (name: string, more = '') => `
    - name: ${name}
      type: STATIC
      connect_timeout: 1s
      ${more}
      load_assignment:
        cluster_name: ${name}
        endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 21201 } } } }] }]`;

const yaml = `
admin: { address: { socket_address: { address: 127.0.0.1, port_value: 21001 } } }
static_resources:
  clusters:${cluster('up')}${cluster('brief', 'common_http_protocol_options: { max_stream_duration: 0.2s }')}
  listeners:${Object.entries(managers)
    .map(
      ([port, manager]) => `
    - address: { socket_address: { address: 127.0.0.1, port_value: ${port} } }
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: ingress
                ${manager.split(/, (?=\w+:)/).join('\n                ')}
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
                      routes:${Object.entries(routes)
                        .map(
                          ([name, action]) =>
                            `\n                        - { match: { prefix: /${name}/ }, route: { ${action} } }`,
                        )
                        .join('')}
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: { '@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }`,
    )
    .join('')}
`;

const behaviours: Readonly<Record<string, Behaviour>> = {
  hang: () => {},
  half: (socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc'),
  websocket: (socket) =>
    setTimeout(
      () =>
        socket.write(
          'HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nhello',
        ),
      100,
    ),
  moved: (socket) => socket.write('HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 2\r\n\r\nno'),
  forbidden: (socket) => socket.write('HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno'),
  required: (socket) =>
    socket.write(
      'HTTP/1.1 426 Upgrade Required\r\nupgrade: websocket\r\nconnection: upgrade\r\ncontent-length: 2\r\n\r\nno',
    ),
};

const get = (path: string, ...lines: string[]) =>
  `GET ${path} HTTP/1.1\r\nhost: a\r\n${lines.map((it) => `${it}\r\n`).join('')}\r\n`;
const post = (path: string, ...lines: string[]) => get(path, ...lines).replace('GET', 'POST');
const upload = (path: string) => post(path, 'content-length: 5');
const grpc = (path: string, ...lines: string[]) => post(path, 'content-type: application/grpc', ...lines);
const upgrade = (path: string, type = 'websocket') => get(path, 'connection: upgrade', `upgrade: ${type}`);

const cases: readonly Omit<Exchange, 'name'>[] = [
  { port: 21101, send: [upload('/plain/ok'), 'a', 400] },
  { port: 21101, send: ['GET / HT', 400] },
  { port: 21101, send: ['\r\n', 400] },
  { port: 21101, send: [upload('/plain/hang'), 'aaaaa', 400] },
  { port: 21101, send: [upload('/plain/half'), 'a', 400] },
  { port: 21102, send: ['GET / HT', 400] },
  { port: 21102, send: ['\r\n', 300, get('/plain/ok')] },
  { port: 21102, send: [upload('/plain/ok'), 'a', 300, 'aaaa'] },
  { port: 21103, send: [get('/plain/hang'), 400] },
  { port: 21103, send: [get('/plain/half'), 400] },
  { port: 21103, send: ['GET / H', 400] },
  { port: 21103, send: [upload('/plain/hang'), 'a', 400] },
  { port: 21103, send: [upload('/plain/hang'), 'a', 200, 'a', 200, 'aaa', 100] },
  { port: 21103, send: [get('/idle-long/hang'), 700] },
  { port: 21103, send: [get('/idle-none/hang'), 500] },
  { port: 21104, send: [get('/plain/hang'), 400] },
  { port: 21104, send: [upload('/plain/hang'), 'a', 400] },
  { port: 21104, send: [get('/plain/half'), 400] },
  { port: 21104, send: ['GET /', 400] },
  { port: 21104, send: [grpc('/plain/hang'), 400] },
  { port: 21104, send: [grpc('/plain/hang', 'grpc-timeout: 100m'), 400] },
  { port: 21100, send: [post('/duration-none/hang', 'grpc-timeout: 100m'), 400] },
  { port: 21104, send: [grpc('/duration-none/hang', 'grpc-timeout: 100m'), 400] },
  { port: 21104, send: [get('/duration-none/hang'), 500] },
  { port: 21105, send: [get('/plain/ok'), 600] },
  { port: 21105, send: ['GET ', 600] },
  { port: 21106, send: [get('/plain/ok'), 350, get('/plain/ok'), 50, get('/plain/ok'), 400] },
  { port: 21107, send: [get('/plain/ok'), 100, get('/plain/ok'), 100, get('/plain/ok')] },
  { port: 21108, send: ['BAD\r\n\r\n', 500] },
  { port: 21108, send: [get('/plain/ok', 'connection: close'), 500] },
  { port: 21109, send: ['BAD\r\n\r\n', 300] },
  { port: 21109, send: [get('/plain/ok', 'connection: close'), 300] },
  { port: 21100, send: [get('/timeout/hang'), 400] },
  { port: 21100, send: [get('/timeout/half'), 400] },
  { port: 21100, send: [get('/timeout/hang', 'x-envoy-upstream-rq-timeout-alt-response: 1'), 400] },
  { port: 21100, send: [upload('/timeout/hang'), 'a', 400, 'aaaa', 400] },
  { port: 21100, send: [get('/per-try/hang'), 700] },
  { port: 21100, send: [get('/per-try/half'), 400] },
  { port: 21100, send: [get('/per-try-only/hang'), 400] },
  { port: 21100, send: [get('/per-try-idle/hang'), 700] },
  { port: 21100, send: [get('/per-try-idle/half'), 400] },
  { port: 21100, send: [get('/hedge/hang'), 900] },
  { port: 21100, send: [get('/duration/hang'), 500] },
  { port: 21100, send: [grpc('/duration/hang'), 500] },
  { port: 21100, send: [grpc('/grpc/hang', 'grpc-timeout: 300m'), 400] },
  { port: 21100, send: [grpc('/grpc/hang', 'grpc-timeout: 10S'), 500] },
  { port: 21100, send: [grpc('/grpc/hang', 'grpc-timeout: 1X'), 500] },
  { port: 21100, send: [post('/grpc/hang', 'grpc-timeout: 300m'), 400] },
  { port: 21100, send: [grpc('/grpc-both/hang'), 400] },
  { port: 21100, send: [grpc('/grpc-any/hang', 'grpc-timeout: 250000u'), 400] },
  { port: 21100, send: [grpc('/grpc-old/hang', 'grpc-timeout: 250m'), 400] },
  { port: 21100, send: [get('/upstream-duration/hang'), 400] },
  { port: 21100, send: [upload('/upstream-duration/hang'), 'a', 400] },
  { port: 21100, send: [get('/upstream-duration/half'), 400] },
  { port: 21110, send: [upgrade('/timeout/hang'), 400] },
  { port: 21110, send: [upgrade('/timeout/hang', 'other'), 400] },
  { port: 21110, send: [upgrade('/per-try-only/hang'), 400] },
  { port: 21110, send: [upgrade('/timeout/websocket'), 'early', 400] },
  { port: 21110, send: [upgrade('/plain/moved')] },
  { port: 21110, send: [upgrade('/plain/moved', 'other')] },
  { port: 21110, send: [upgrade('/plain/forbidden')] },
  { port: 21110, send: [upgrade('/plain/required')] },
];

const exchanges: Exchange[] = cases.map((it, i) => ({
  name: `${i} ${managers[it.port]} ${it.send.map((piece) => (typeof piece === 'string' ? piece.split('\r\n')[0] : piece)).join(' ')}`.replaceAll(
    /[^\w .:{}/]/g,
    '',
  ),
  ...it,
}));

describe('timeouts and upgrades come out as from Envoy', { skip: missing('envoy') }, () => {
  let sides: Awaited<ReturnType<typeof playBoth>>;
  before(async () => {
    sides = await playBoth(yaml, behaviours, exchanges);
  });
  for (const { name } of exchanges) {
    test(name, () => assert.equal(sides.chancery.get(name), sides.envoy.get(name)));
  }
});
