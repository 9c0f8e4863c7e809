// What the log operators count of a message on the wire, through the real Envoy and through us.
import { once } from 'node:events';
import { connect as connectH2, createServer as createH2Server, type ServerHttp2Stream } from 'node:http2';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { type TestContext, test } from 'node:test';
import { missing } from '#testing/peers.ts';
import { expectSame, type Side } from './side-by-side.ts';
import { accessLog, address, connectionManager, endpoint, type } from './side-by-side-configuration.ts';

const kinds = ['WIRE_BYTES', 'HEADER_BYTES', 'DECOMPRESSED_HEADER_BYTES'];

const format = `%REQ(X-CASE)% %RESPONSE_CODE% ${['DOWNSTREAM', 'UPSTREAM']
  .flatMap((side) => kinds.flatMap((kind) => ['RECEIVED', 'SENT'].map((way) => `%${side}_${kind}_${way}%`)))
  .join(' ')} %REQUEST_HEADERS_BYTES% %RESPONSE_HEADERS_BYTES% %RESPONSE_TRAILERS_BYTES%`;

/** Compressed it must have the same length, always. */
const date = 'Thu, 01 Jan 1970 00:00:00 GMT';

const responses: Readonly<Record<string, string[]>> = {
  plain: ['HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Up:  yes \r\n\r\nabc'],
  bare: ['HTTP/1.1 204 No Content\r\n\r\n'],
  chunked: ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-End: yes\r\n\r\n'],
  continued: ['HTTP/1.1 100 Continue\r\nX-One: 1\r\n\r\n', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'],
  retried: ['HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\nX-Try: 1\r\n\r\n'],
  split: ['HTTP/1.1 200 OK\r\nConte', 'nt-Length: 3\r\nX-Up: yes\r\n', '\r\nabc'],
};

const requests: readonly string[] = [
  'GET / HTTP/1.1\r\nHost: host.test\r\nX-Case: plain\r\n\r\n',
  'GET /spaces HTTP/1.1\r\nHost:host.test\r\nX-Case:   plain  \r\nX-Empty:\r\nX-Tab: \ta\t\r\n\r\n',
  'POST / HTTP/1.1\r\nHost: host.test\r\nX-Case: plain\r\nContent-Length: 5\r\n\r\nhello',
  'POST / HTTP/1.1\r\nHost: host.test\r\nX-Case: chunked\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-End: yes\r\n\r\n',
  'POST / HTTP/1.1\r\nHost: host.test\r\nX-Case: continued\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello',
  'HEAD / HTTP/1.1\r\nHost: host.test\r\nX-Case: bare\r\n\r\n',
  'GET /direct HTTP/1.1\r\nHost: host.test\r\nX-Case: direct\r\n\r\n',
  'GET / HTTP/1.1\r\nHost: host.test\r\nX-Case: split\r\nX-Two: a\r\nX-Two: b\r\ncookie: a=b\r\ncookie: c=d\r\n\r\n',
  'GET /retried HTTP/1.1\r\nHost: host.test\r\nX-Case: retried\r\n\r\n',
  'GET / HTTP/1.0\r\nX-Case: plain\r\n\r\n',
  'GET / HTTP/1.1\r\nX-Case: bad\r\n\r\n',
  'POST / HTTP/1.1\r\nHost: host.test\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n',
];

const routes = (cluster: string) => [
  { match: { prefix: '/direct' }, direct_response: { status: 418, body: { inline_string: 'tea' } } },
  {
    match: { prefix: '/retried' },
    route: {
      cluster,
      retry_policy: { retry_on: '5xx', num_retries: 2, retry_back_off: { base_interval: '0.001s' } },
    },
  },
  { match: { prefix: '/' }, route: { cluster } },
];

test('bytes of heads and messages', { skip: missing('envoy') }, async (t) => {
  const h1 = await h1Upstream(t);
  const h2 = await h2Upstream(t);
  const cluster = (name: string, port: number, explicit_http_config: object) => ({
    name,
    connect_timeout: '2s',
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': type('extensions.upstreams.http.v3.HttpProtocolOptions'),
        explicit_http_config,
      },
    },
    load_assignment: endpoint(name, port),
  });
  const listener = (name: string, port: number, to: string, http1: object = {}) => ({
    name,
    address: address(port),
    filter_chains: [
      {
        filters: [
          connectionManager(
            {
              stat_prefix: name,
              generate_request_id: false,
              // A client that is told to go away does not wait for a second.
              delayed_close_timeout: '0.01s',
              http_protocol_options: { accept_http_10: true, default_host_for_http_10: 'old.test', ...http1 },
              access_log: accessLog('log', `${name} ${format}`),
              route_config: { virtual_hosts: [{ name: 'all', domains: ['*'], routes: routes(to) }] },
            },
            [],
            // One of them has a time in it.
            { suppress_envoy_headers: true },
          ),
        ],
      },
    ],
  });
  const yaml = JSON.stringify({
    admin: { address: address(21001) },
    static_resources: {
      listeners: [
        listener('h1', 21100, 'h1'),
        listener('trailers', 21101, 'h1_trailers', { enable_trailers: true }),
        listener('h2', 21102, 'h2'),
        listener('from_h2', 21103, 'h1'),
        listener('from_h2_to_h2', 21104, 'h2'),
      ],
      clusters: [
        cluster('h1', h1, { http_protocol_options: {} }),
        cluster('h1_trailers', h1, { http_protocol_options: { enable_trailers: true } }),
        cluster('h2', h2, { http2_protocol_options: {} }),
      ],
    },
  });
  await expectSame(t, yaml, observe);
});

async function observe(side: Side): Promise<string[]> {
  for (const port of [21100, 21101, 21102]) {
    for (const request of requests) {
      // What an encoder of HTTP/2 makes of the same head again is its own affair.
      if (port !== 21102 || !request.includes('retried')) await ask(side.port(port), request);
    }
  }
  for (const port of [21103, 21104]) await askH2(side.port(port));
  await side.stop();
  return side.lines('log');
}

/** One request on a connection of its own, which ends when the answer has come. */
async function ask(port: number, request: string): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  socket.write(request.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'));
  socket.resume();
  await once(socket, 'close');
}

async function askH2(port: number): Promise<void> {
  const session = connectH2(`http://127.0.0.1:${port}`);
  for (const [path, body] of [
    ['/', ''],
    ['/', 'hello'],
  ] as const) {
    const stream = session.request(
      {
        ':path': path,
        ':method': body === '' ? 'GET' : 'POST',
        'x-case': 'plain',
        'x-long': 'a'.repeat(200),
      },
      { endStream: body === '', waitForTrailers: body !== '' },
    );
    if (body !== '') {
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-end': 'yes' }));
      stream.end(body);
    }
    stream.resume();
    await once(stream, 'close');
  }
  session.close();
  await once(session, 'close');
}

async function listening(t: TestContext, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** Answers every head as its `x-case` says, and closes only where it says so: a connection may be used again at any time. */
async function h1Upstream(t: TestContext): Promise<number> {
  const server = createServer((socket) => {
    let text = '';
    let isAnswered = false;
    socket.setEncoding('latin1');
    socket.on('error', () => {});
    socket.on('data', (data) => {
      text += data;
      const [, name] = /x-case: (\w+)/.exec(text) ?? [];
      const needsBody = /content-length|transfer-encoding/.test(text);
      if (name === undefined || isAnswered || !text.includes('\r\n\r\n')) return;
      if (needsBody && !/hello(\r\n0\r\n(x-end: yes\r\n)?\r\n)?$/.test(text)) return;
      isAnswered = true;
      const parts = responses[name]!;
      const write = (i: number) => {
        if (i === parts.length) {
          text = '';
          isAnswered = false;
          if (name === 'retried') socket.end();
        } else
          socket.write(parts[i]!.replace(/^(HTTP.1.1 [2-5].*\r\n)/, `$1Date: ${date}\r\n`), () =>
            setImmediate(() => write(i + 1)),
          );
      };
      write(0);
    });
  });
  return listening(t, server);
}

async function h2Upstream(t: TestContext): Promise<number> {
  const server = createH2Server();
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    stream.resume();
    stream.on('end', () => {
      const status = headers['x-case'] === 'retried' ? 503 : 200;
      const endStream = headers[':method'] === 'HEAD';
      stream.respond({ ':status': status, 'x-up': 'yes', date }, { waitForTrailers: !endStream, endStream });
      if (endStream) return;
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-end': 'yes' }));
      stream.end('abc');
    });
  });
  return listening(t, server as unknown as Server);
}
