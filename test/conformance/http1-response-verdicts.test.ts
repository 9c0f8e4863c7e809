// The HTTP/1 client codec against the real Envoy: odd responses of an upstream, and what comes of them. Run with SEED=n to repeat a
// run, CASES=n for more or fewer.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ResetReason } from '#http/codec.ts';
import { freePorts } from '#testing/free-ports.ts';
import { Http1ClientRecorder } from '#testing/http1-recorder.ts';
import { mulberry32 } from '#testing/mulberry32.ts';
import { missing } from '#testing/peers.ts';
import { startProxyProcess } from '#testing/proxy-process.ts';
import { quickLogs } from './black-box.ts';

const seed = Number(process.env.SEED ?? 1);
const count = Number(process.env.CASES ?? 300);

const next = mulberry32(seed);
const random = (below: number): number => next() % below;

function pick(list: readonly string[]): string {
  return list[random(list.length)]!;
}

const lines = [
  ...[
    'HTTP/1.1 200 OK',
    'HTTP/1.1 200',
    'HTTP/1.1  404 Not Found',
    'HTTP/1.0 200 OK',
    'HTTP/2.0 200 OK',
    'http/1.1 200 OK',
    'HTTP/1.1',
  ],
  ...[
    'HTTP/1.1 204 No',
    'HTTP/1.1 304 N',
    'HTTP/1.1 2x0 OK',
    'HTTP/1.1 0200 OK',
    'HTTP/1.1 99 Low',
    'HTTP/1.1 0 X',
    'HTTP/1.1 999 X',
    'ICY 200 OK',
  ],
  ...[
    'HTTP/1.1 101 S',
    'HTTP/1.1 200 O\0K',
    'HTTP/1.1 200 O\xffK',
    ' HTTP/1.1 200 OK',
    '\r\nHTTP/1.1 200 OK',
    'HTTP/1.1 -200 OK',
    '',
  ],
  ...[
    'HTTP/1.1 103 E\r\nlink: x\r\n\r\nHTTP/1.1 200 OK',
    'HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK',
    'HTTP/1.1 100 C\r\ncontent-length: 3\r\n\r\nHTTP/1.1 200 OK',
  ],
];
const fields = [
  ...[
    'content-length: 3',
    'content-length: 0',
    'content-length: 5',
    'content-length: +3',
    'content-length:',
    'content-length: 3, 3',
    'Content-Length: 3',
  ],
  ...[
    'transfer-encoding: chunked',
    'Transfer-Encoding: Chunked',
    'transfer-encoding: gzip',
    'transfer-encoding: identity',
    'transfer-encoding: chunked, chunked',
  ],
  ...[
    'connection: close',
    'connection: keep-alive',
    'connection: upgrade',
    'upgrade: foo',
    'proxy-connection: close',
    'keep-alive: x',
    'x-a: b',
    'x-a:  c ',
  ],
  ...[
    'x-a : b',
    ' x-a: b',
    'x-a',
    ': b',
    'x-a: b\0',
    'x-a: \xe9',
    'x\xe9: b',
    'x_a: b',
    'x-a: b\rc',
    'vary: a',
    'vary: b',
    'set-cookie: a',
    'host: x',
    ':status: 3',
  ],
];
const ends = ['\r\n', '\r\n', '\r\n', '\n', '\r', '\r\r\n', ' \r\n', '\r\n '];
const bodies = [
  ...[
    'abc',
    'abc',
    '',
    'abcdef',
    '3\r\nabc\r\n0\r\n\r\n',
    '3\r\nabc\r\n0\r\n\r\n',
    '3\nabc\r\n0\r\n\r\n',
    '3\r\nabc\n0\r\n\r\n',
    'zz\r\n',
    '0\r\n\r\n',
  ],
  ...[
    '3;x="y"\r\nabc\r\n0\r\nt: u\r\n\r\n',
    '3\r\nabc\r\n0\r\nt u\r\n\r\n',
    '3\r\nabc\r\n',
    '3\r\nab',
    '3\r\nabc\r\n0\r\n',
    '3\r\nabc\r\n0\n\r\n',
  ],
];

interface Response {
  readonly method: string;
  readonly bytes: string;
  readonly closes: boolean;
}

function oddResponse(): Response {
  const parts = ['lines', 'fields', 'ends', 'bodies', 'truncated'];
  const odd = [pick(parts), pick(parts)];
  const isOdd = (part: string) => odd.includes(part) || random(30) === 0;
  const end = () => (isOdd('ends') ? pick(ends) : '\r\n');
  let bytes = (isOdd('lines') ? pick(lines) : lines[0]!) + end();
  const length = pick(['content-length: 3', 'transfer-encoding: chunked', '']);
  if (length !== '') bytes += length + end();
  if (isOdd('fields')) for (let n = 1 + random(3); n > 0; n--) bytes += pick(fields) + end();
  bytes += `\r\n${isOdd('bodies') ? pick(bodies) : length.startsWith('t') ? '3\r\nabc\r\n0\r\n\r\n' : 'abc'}`;
  if (isOdd('truncated')) bytes = bytes.slice(0, random(bytes.length + 1));
  return { method: random(6) === 0 ? 'HEAD' : 'GET', bytes, closes: random(3) > 0 };
}

const hidden = new Set([
  'date',
  'server',
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
  'content-length',
]);

function described(status: string, list: readonly string[], body: string): string {
  let text = `${status}`;
  for (let i = 0; i < list.length; i += 2) if (!hidden.has(list[i]!)) text += ` ${list[i]}=${list[i + 1]}`;
  return `${text} ${body}`;
}

const reasons: Readonly<Record<number, string>> = {
  [ResetReason.ProtocolError]: 'protocol_error',
  [ResetReason.ConnectionTermination]: 'connection_termination',
};

/** `complete ...`, `before {reason}`, `after {reason}`, or `waits`. */
function ourVerdict({ method, bytes, closes }: Response): string {
  const recorder = new Http1ClientRecorder({ maxHeadersBytes: 80 * 1024 });
  let status = '';
  let list: readonly string[] = [];
  let body = '';
  let verdict = '';
  let isInformed = false;
  recorder.decoder.decode1xx = () => {
    isInformed = true;
  };
  recorder.decoder.decodeHeaders = (headers, end) => {
    status = String(headers.status);
    list = headers.list;
    if (end) verdict = 'complete';
  };
  recorder.decoder.decodeData = (data, end) => {
    body += data.toString('latin1');
    if (end) verdict = 'complete';
  };
  recorder.decoder.onReset = (reason) => {
    // An informational response counts as a beginning.
    verdict = `${status !== '' || isInformed ? 'after' : 'before'} {${reasons[reason]}}`;
  };
  recorder.request(method);
  recorder.receive(bytes);
  if (closes && verdict === '') recorder.codec.onEnd();
  if (verdict === 'complete') return `complete ${described(status, list, body)}`;
  return verdict === '' ? 'waits' : verdict;
}

function envoyVerdict(method: string, answer: string, details: string): string {
  const reset = /upstream_reset_(before|after)_response_started(\{\w+\})/.exec(details);
  if (reset) return `${reset[1]} ${reset[2]}`;
  if (!details.startsWith('via_upstream') || !isComplete(method, answer)) return 'waits';
  const headEnd = answer.indexOf('\r\n\r\n');
  const [line, ...rest] = answer.slice(0, headEnd).split('\r\n');
  const list = rest.flatMap((field) => [
    field.slice(0, field.indexOf(':')),
    field.slice(field.indexOf(':') + 2),
  ]);
  return `complete ${described(line!.split(' ')[1]!, list, method === 'HEAD' ? '' : unchunked(answer))}`;
}

function unchunked(answer: string): string {
  const body = answer.slice(answer.indexOf('\r\n\r\n') + 4);
  if (!/\r\ntransfer-encoding: chunked\r\n/.test(answer)) return body;
  let text = '';
  for (let at = 0; ; ) {
    const line = body.indexOf('\r\n', at);
    const length = Number.parseInt(body.slice(at, line), 16);
    if (!(length > 0)) return text;
    text += body.slice(line + 2, line + 2 + length);
    at = line + length + 4;
  }
}

function isComplete(method: string, answer: string): boolean {
  const headEnd = answer.indexOf('\r\n\r\n');
  if (headEnd < 0) return false;
  const head = answer.slice(0, headEnd + 2);
  if (method === 'HEAD' || /^HTTP\/1.1 (\d|\d\d|1\d\d|204|304) /.test(head)) return true;
  const length = /\r\ncontent-length: (\d+)\r\n/.exec(head);
  if (length) return answer.length - headEnd - 4 >= Number(length[1]);
  return answer.endsWith('\r\n0\r\n\r\n');
}

test(`odd responses get Envoy's verdicts (SEED=${seed})`, {
  skip: missing('envoy'),
  timeout: 120_000,
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'verdicts-'));
  const responses = Array.from({ length: count }, oddResponse);
  const sockets = new Set<Socket>();
  const upstream = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    socket.on('data', (data) => {
      const response = responses[Number(/^\w+ \/(\d+) /.exec(data.toString('latin1'))?.[1])];
      if (response === undefined) return;
      if (response.bytes !== '') socket.write(response.bytes, 'latin1');
      if (response.closes) socket.end();
    });
  });
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
  const [listenerPort, adminPort] = (await freePorts(2)) as [number, number];
  const proxy = await startProxyProcess({
    kind: 'envoy',
    folder,
    yaml: configuration(listenerPort, adminPort, (upstream.address() as AddressInfo).port),
    adminPort,
    arguments: quickLogs,
  });
  t.after(async () => {
    await proxy.stop();
    for (const socket of sockets) socket.destroy();
    upstream.close();
    rmSync(folder, { recursive: true });
  });

  const ours = responses.map(ourVerdict);
  const answers: string[] = [];
  let next = 0;
  await Promise.all(
    Array.from({ length: 12 }, async () => {
      for (let n = next++; n < count; n = next++)
        // Who is expected to answer is waited for: the machine may be busy.
        answers[n] = await ask(listenerPort, responses[n]!.method, n, ours[n] === 'waits' ? 400 : 5000);
    }),
  );
  await sleep(500);
  const details = new Map<number, string>();
  for (const line of readFileSync(join(folder, 'access.log'), 'latin1').split('\n')) {
    const at = line.indexOf(' ');
    if (at < 0) continue;
    details.set(Number(line.slice(1, at)), line.slice(at + 1));
  }

  const differences: string[] = [];
  const kinds: Record<string, number> = {};
  for (const [n, response] of responses.entries()) {
    const envoys = envoyVerdict(response.method, answers[n]!, details.get(n) ?? '');
    const kind = envoys.split(' ', envoys.startsWith('complete') ? 1 : 2).join(' ');
    kinds[kind] = (kinds[kind] ?? 0) + 1;
    if (envoys !== ours[n]) {
      const how = `${response.method} ${JSON.stringify(response.bytes)}${response.closes ? ' and the end' : ''}`;
      differences.push(`${how}\n  Envoy: ${envoys}   ${details.get(n)}\n  ours:  ${ours[n]}`);
    }
  }
  t.diagnostic(`verdicts of Envoy: ${JSON.stringify(kinds)}`);
  assert.equal(differences.join('\n'), '');
  for (const kind of ['complete', 'before {protocol_error}', 'after {protocol_error}']) {
    assert.ok((kinds[kind] ?? 0) > count / 50, `few were ${kind}`);
  }
});

/** Asks for response `n` and reads until it is complete or nothing more comes. */
function ask(port: number, method: string, n: number, patienceMs: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    let answer = '';
    const done = () => {
      clearTimeout(patience);
      socket.destroy();
      resolve(answer);
    };
    const patience = setTimeout(done, patienceMs);
    socket.on('connect', () => socket.write(`${method} /${n} HTTP/1.1\r\nhost: a\r\n\r\n`));
    socket.on('data', (data) => {
      answer += data.toString('latin1');
      if (isComplete(method, answer)) done();
    });
    socket.on('end', done);
    socket.on('error', done);
  });
}

function configuration(listenerPort: number, adminPort: number, upstreamPort: number): string {
  return `
admin: { address: { socket_address: { address: 127.0.0.1, port_value: ${adminPort} } } }
static_resources:
  listeners:
  - address: { socket_address: { address: 127.0.0.1, port_value: ${listenerPort} } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: verdicts
          codec_type: HTTP1
          generate_request_id: false
          route_config: { virtual_hosts: [{ name: all, domains: ['*'], routes: [{ match: { prefix: / }, route: { cluster: up } }] }] }
          http_filters:
          - name: router
            typed_config:
              '@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
              suppress_envoy_headers: true
          access_log:
          - name: file
            typed_config:
              '@type': type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: access.log
              log_format: { text_format_source: { inline_string: "%REQ(:PATH)% %RESPONSE_CODE_DETAILS%\\n" } }
  clusters:
  - name: up
    connect_timeout: 1s
    # A connection that another response left behind must not decide about this one.
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        '@type': type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        common_http_protocol_options: { max_requests_per_connection: 1 }
        explicit_http_config: { http_protocol_options: {} }
    load_assignment:
      cluster_name: up
      endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: ${upstreamPort} } } } }] }]
`;
}
