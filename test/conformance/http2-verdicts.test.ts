// The HTTP/2 codec against the real Envoy: the same odd request, and the same odd response, to both, and the verdicts compared: which
// stream error, or what the other side got to see. Run with SEED=n to repeat a run, CASES=n for more or fewer.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { FrameType, preface } from '#http/h2-frames.ts';
import { HeaderMap } from '#http/header-map.ts';
import { HpackDecoder } from '#http/hpack-decoder.ts';
import { freePorts } from '#testing/free-ports.ts';
import {
  frame,
  framesOf,
  headerMap,
  literalBlock,
  settings,
  TestClient,
  TestServer,
  textOf,
  uint32,
} from '#testing/h2-wire.ts';
import { mulberry32 } from '#testing/mulberry32.ts';
import { missing } from '#testing/peers.ts';
import { type ProxyKind, type ProxyProcess, startProxyProcess } from '#testing/proxy-process.ts';

const seed = Number(process.env.SEED ?? 1);
const count = Number(process.env.CASES ?? 300);

const next = mulberry32(seed);
const random = (below: number): number => next() % below;
const pick = (from: readonly string[]): string => from[random(from.length)]!;
const usually = (usual: string, others: readonly string[]): string => (random(10) < 8 ? usual : pick(others));

const methods = [
  'POST',
  'HEAD',
  'PUT',
  'OPTIONS',
  'CONNECT',
  'BREW',
  'get',
  'G T',
  '',
  'M-SEARCH',
  'A"B',
  '\xe9',
];
const schemes = ['https', 'ftp', 'HTTP', '1a', 'a+b', '', 'h ttp', 'h\xe9'];
const authorities = [
  '',
  'a:80',
  '[::1]:80',
  'a b',
  'u@a',
  'a/b',
  'a"b',
  'a_b',
  'a,b',
  'a%20b',
  '\xe9',
  "a'b",
  'a;b',
  'a?b',
  'A',
];
const paths = [
  '',
  '*',
  'a',
  '/a b',
  '/\xe9',
  '/a?b',
  '/%00',
  '/"<>',
  '/\x7f',
  '//',
  '/a\tb',
  '/{}|\\^`',
  '/[]',
];
const fields = [
  ...[
    'x-a: b',
    'x-a:  b ',
    'x-a: ',
    'x-a: b\0',
    'x-a: \xe9',
    'x-a: \x7f',
    'x-a: a\tb',
    'x-a: a\rb',
    'x_a: b',
    'X-A: b',
  ],
  ...[
    'x a: b',
    'x\xe9: b',
    'x"a: b',
    'x(a: b',
    'x:a: b',
    ':x: b',
    ':path: /b',
    ':status: 200',
    'x|a: b',
    '1: b',
    '-: b',
  ],
  ...[
    'host: h',
    'host: other',
    'host: ',
    'host: a b',
    'content-length: 0',
    'content-length: 5',
    'content-length: -1',
  ],
  ...[
    'content-length: 0x1',
    'content-length: 00',
    'content-length: 0, 0',
    'connection: close',
    'connection: te',
    'te: trailers',
  ],
  ...[
    'te: gzip',
    'te: trailers, gzip',
    'te: ',
    'keep-alive: 5',
    'proxy-connection: close',
    'transfer-encoding: chunked',
  ],
  ...[
    'upgrade: websocket',
    'trailer: x',
    'cookie: a=b',
    'cookie: c=d',
    'cookie: ',
    'accept: a',
    'accept: b',
    'user-agent: x',
  ],
  ...[
    'user-agent: y',
    'expect: 100-continue',
    'priority: u=1',
    'http2-settings: x',
    'via: a',
    'via: b',
    'x-a: 1',
    'x-a: 2',
  ],
];

function someFields(): string[] {
  const chosen: string[] = [];
  for (let i = random(4); i > 0; i--) chosen.push(pick(fields));
  return chosen;
}

function oddRequest(): string[] {
  const pseudo = [
    `:method: ${usually('GET', methods)}`,
    `:scheme: ${usually('http', schemes)}`,
    `:authority: ${usually('h', authorities)}`,
    `:path: ${usually('/', paths)}`,
  ];
  if (random(12) === 0) pseudo.splice(random(4), 1);
  if (random(25) === 0) pseudo.push(':protocol: websocket');
  if (random(25) === 0) pseudo.push(pick(pseudo));
  const all = [...pseudo, ...someFields()];
  if (random(25) === 0) all.unshift(all.pop()!);
  return all;
}

function oddResponse(): string[] {
  const status = usually('200', [
    '204',
    '304',
    '100',
    '103',
    '101',
    '99',
    '1000',
    '600',
    '2 0',
    '',
    '404',
    '999',
  ]);
  const all = random(20) === 0 ? [] : [`:status: ${status}`];
  if (random(25) === 0) all.push(pick([':status: 200', ':path: /']));
  return [...all, ...someFields().filter((field) => !field.startsWith('host'))];
}

/** What Envoy adds on its way, and what it does to messages apart from the codec. */
const added = /^(x-forwarded-proto|x-request-id|x-envoy-.*|date|server|x-forwarded-for|expect|via): /;

/** Comparable: the fields in order of their names, as Envoy keeps cookies and joined names where they were first. */
function comparable(text: string): string {
  const [first, ...rest] = text.split(' | ');
  // The connection manager makes `http` of a scheme it does not know.
  const start = first!.replace(/^(\S+) (?!https )\S+ (?=\S+ \S+$)/, '$1 http ');
  return [start, ...rest.filter((field) => !added.test(field)).sort()].join(' | ');
}

function text(block: Buffer, decoder: HpackDecoder): string {
  const headers = new HeaderMap();
  const fieldsOf: Record<string, (value: string) => void> = {
    ':method': (value) => (headers.method = value),
    ':scheme': (value) => (headers.scheme = value),
    ':authority': (value) => (headers.authority = value),
    ':path': (value) => (headers.path = value),
    ':protocol': (value) => (headers.protocol = value),
    ':status': (value) => (headers.status = Number(value)),
  };
  decoder.decode(block, 0, block.length, {
    onField: (name, value) => (fieldsOf[name] ?? ((it: string) => headers.add(name, it)))(value),
  });
  return textOf(headers);
}

/** One connection that speaks HTTP/2 by hand. */
class RawPeer {
  readonly socket: net.Socket;
  readonly decoder = new HpackDecoder();
  onFrame: (type: number, flags: number, id: number, payload: Buffer) => void = () => {};
  #rest: Buffer = Buffer.alloc(0);
  #skip: number;

  constructor(socket: net.Socket, isServer: boolean) {
    this.socket = socket;
    this.#skip = isServer ? preface.length : 0;
    socket.setNoDelay(true);
    socket.on('error', () => {});
    socket.on('data', (bytes: Buffer) => {
      this.#rest = Buffer.concat([this.#rest, bytes]);
      if (this.#skip > 0) {
        if (this.#rest.length < this.#skip) return;
        this.#rest = this.#rest.subarray(this.#skip);
        this.#skip = 0;
      }
      for (const { type, flags, id, payload } of framesOf(this.#rest)) {
        if (9 + payload.length > this.#rest.length) break;
        this.#rest = this.#rest.subarray(9 + payload.length);
        if (type === FrameType.Settings && flags === 0) socket.write(frame(FrameType.Settings, 1, 0));
        this.onFrame(type, flags, id, payload);
      }
    });
  }
}

interface Rig {
  readonly port: number;
  readonly proxy: ProxyProcess;
  /** What the upstream saw of the request that is under way, how that was reset, and what it answers. */
  seen: string;
  reset: string;
  answer: (id: number) => Buffer;
}

async function startRig(t: TestContext, kind: ProxyKind): Promise<Rig> {
  const rig = {
    port: 0,
    proxy: undefined as unknown as ProxyProcess,
    seen: '',
    reset: '',
    answer: (id: number) => frame(1, 5, id, literalBlock(':status: 200')),
  };
  const sockets = new Set<net.Socket>();
  const upstream = net.createServer((socket) => {
    sockets.add(socket);
    const peer = new RawPeer(socket, true);
    socket.write(settings());
    peer.onFrame = (type, _flags, id, payload) => {
      if (type === FrameType.RstStream) rig.reset = `reset ${payload.readUInt32BE(0)}`;
      if (type !== FrameType.Headers) return;
      rig.seen = text(payload, peer.decoder);
      socket.write(rig.answer(id));
    };
  });
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
  const [port, adminPort] = (await freePorts(2)) as [number, number];
  rig.port = port;
  const folder = mkdtempSync(join(tmpdir(), 'chancery-http2-verdicts-'));
  t.after(async () => {
    await rig.proxy?.stop();
    for (const socket of sockets) socket.destroy();
    upstream.close();
    rmSync(folder, { recursive: true });
  });
  const upstreamPort = (upstream.address() as AddressInfo).port;
  rig.proxy = await startProxyProcess({
    kind,
    folder,
    adminPort,
    yaml: yaml(port, adminPort, upstreamPort),
    arguments: ['--file-flush-interval-msec', '20', '--concurrency', '1', '-l', 'error'],
  });
  return rig;
}

/** Sends frames of stream 1 and waits for its end: the status, or how it was reset. */
async function ask(port: number, frames: Buffer, later?: Buffer): Promise<string> {
  const socket = net.connect(port, '127.0.0.1');
  const peer = new RawPeer(socket, false);
  let status = '';
  const verdict = new Promise<string>((resolve) => {
    peer.onFrame = (type, flags, id, payload) => {
      if (id !== 1) return;
      if (type === FrameType.RstStream) resolve(`reset ${payload.readUInt32BE(0)}`);
      if (type === FrameType.Headers) status = text(payload, peer.decoder);
      if ((type === FrameType.Headers || type === FrameType.Data) && (flags & 1) !== 0) resolve(status);
    };
    socket.on('close', () => resolve('closed'));
  });
  socket.write(Buffer.concat([preface, settings(), frames]));
  if (later !== undefined) {
    await sleep(50);
    socket.write(later);
    await sleep(50);
    socket.destroy();
  }
  const answer = await Promise.race([verdict, sleep(3000, 'silence', { ref: false })]);
  socket.destroy();
  return answer;
}

test(`odd requests (SEED=${seed})`, { skip: missing('envoy'), timeout: 120_000 }, async (t) => {
  const rig = await startRig(t, 'envoy');
  const differences: string[] = [];
  for (let i = 0; i < count; i++) {
    const request = oddRequest();
    const bytes = frame(FrameType.Headers, 5, 1, literalBlock(...request));
    rig.seen = '';
    const answer = await ask(rig.port, bytes);
    const server = new TestServer({ streamErrorOnInvalidMessage: true, allowConnect: true });
    server.session.onData(Buffer.concat([preface, settings(), bytes]));
    const heard = server.streams[0]?.decoder.log[0] ?? 'nothing';
    const reset = framesOf(server.sink.take()).find(({ type }) => type === FrameType.RstStream);
    const ours = reset === undefined ? 'passed' : `reset ${reset.payload.readUInt32BE(0)}`;
    const theirs = answer.startsWith('reset') ? answer : 'passed';
    // Where the connection manager answers itself, nothing is seen upstream.
    const isSame =
      ours === theirs &&
      (rig.seen === '' ||
        ours !== 'passed' ||
        comparable(rig.seen) === comparable(heard.replace(/ \$$/, '')));
    if (!isSame)
      differences.push(
        `${JSON.stringify(request)}\n  Envoy: ${answer}, upstream ${rig.seen}\n  ours:  ${ours}, ${heard}`,
      );
  }
  assert.deepEqual(differences, []);
});

test(`odd responses (SEED=${seed})`, { skip: missing('envoy'), timeout: 120_000 }, async (t) => {
  const rig = await startRig(t, 'envoy');
  const differences: string[] = [];
  const question = frame(
    FrameType.Headers,
    5,
    1,
    literalBlock(':method: GET', ':scheme: http', ':authority: h', ':path: /'),
  );
  for (let i = 0; i < count; i++) {
    const head = oddResponse();
    const body = random(3) === 0 ? Buffer.from('hello') : undefined;
    const bytes = (id: number) =>
      body === undefined
        ? frame(FrameType.Headers, 5, id, literalBlock(...head))
        : Buffer.concat([
            frame(FrameType.Headers, 4, id, literalBlock(...head)),
            frame(FrameType.Data, 1, id, body),
          ]);
    rig.answer = bytes;
    const answer = await ask(rig.port, question);
    const client = new TestClient({ streamErrorOnInvalidMessage: true });
    const [, decoder] = client.request(
      headerMap({ method: 'GET', scheme: 'http', authority: 'h', path: '/' }),
    );
    client.session.onData(Buffer.concat([settings(), bytes(1)]));
    const heard = decoder.log.find((line) => !line.startsWith('1xx')) ?? 'nothing';
    const reset = decoder.log.find((line) => line.startsWith('reset'));
    // A reset before the response is a local reply, one within it goes through.
    const ours =
      reset === undefined ? comparable(heard.replace(/ \$$/, '')) : heard === reset ? '502' : 'reset';
    const theirs = answer.startsWith('502')
      ? '502'
      : answer.startsWith('reset')
        ? 'reset'
        : comparable(answer);
    if (ours !== theirs)
      differences.push(
        `${JSON.stringify(head)} ${body ?? ''}\n  Envoy: ${answer}\n  ours:  ${decoder.log.join('; ')}`,
      );
  }
  assert.deepEqual(differences, []);
});

const none = Buffer.alloc(0);
const head = (id: number, flags: number, ...fields: string[]) =>
  frame(FrameType.Headers, flags, id, literalBlock(...fields));
const data = (id: number, flags: number, text: string) => frame(FrameType.Data, flags, id, text);
const rst = (id: number, code: number) => frame(FrameType.RstStream, 0, id, uint32(code));
const exchanges: { name: string; request?: Buffer; later?: Buffer; answer: (id: number) => Buffer }[] = [
  ...Array.from({ length: 14 }, (_, code) => ({
    name: `reset-${code}`,
    answer: (id: number) => rst(id, code),
  })),
  ...[0, 2, 7].map((code) => ({
    name: `reset-after-headers-${code}`,
    answer: (id: number) => Buffer.concat([head(id, 4, ':status: 200'), rst(id, code)]),
  })),
  ...[0, 1, 7, 8].map((code) => ({ name: `client-reset-${code}`, later: rst(1, code), answer: () => none })),
  { name: 'upper-case', answer: (id) => head(id, 5, ':status: 200', 'Foo: x') },
  { name: 'no-status', answer: (id) => head(id, 5, 'a: b') },
  {
    name: 'short',
    answer: (id) => Buffer.concat([head(id, 4, ':status: 200', 'content-length: 5'), data(id, 1, 'abc')]),
  },
  {
    name: 'early-hints',
    answer: (id) => Buffer.concat([head(id, 4, ':status: 103', 'link: x'), head(id, 5, ':status: 200')]),
  },
  {
    name: 'many',
    answer: (id) => head(id, 5, ':status: 200', ...Array.from({ length: 100 }, (_, i) => `x-${i}: v`)),
  },
  {
    name: 'trailers',
    answer: (id) =>
      Buffer.concat([head(id, 4, ':status: 200'), data(id, 0, 'x'), head(id, 5, 'grpc-status: 0')]),
  },
  {
    name: 'trailers-only',
    answer: (id) => head(id, 5, ':status: 200', 'content-type: application/grpc', 'grpc-status: 5'),
  },
  { name: 'goaway', answer: () => frame(FrameType.GoAway, 0, 0, Buffer.alloc(8)) },
  {
    name: 'empty-frames',
    answer: (id) => Buffer.concat([head(id, 4, ':status: 200'), data(id, 0, ''), data(id, 0, '')]),
  },
  {
    name: 'ping',
    answer: (id) => Buffer.concat([frame(FrameType.Ping, 0, 0, '12345678'), head(id, 5, ':status: 200')]),
  },
  {
    name: 'push',
    answer: (id) =>
      frame(FrameType.PushPromise, 4, id, Buffer.concat([uint32(2), literalBlock(':method: GET')])),
  },
  { name: 'early-response', request: none, answer: (id) => head(id, 5, ':status: 200') },
  { name: 'body-too-short', request: data(1, 1, 'abc'), answer: () => none },
  { name: 'timeout', answer: () => none },
];

test('odd exchanges: the same answers, resets and log lines from both proxies', {
  skip: missing('envoy'),
  timeout: 120_000,
}, async (t) => {
  const heard: Record<string, string[]> = {};
  const logs: Record<string, string[]> = {};
  for (const kind of ['envoy', 'chancery'] as const) {
    const rig = await startRig(t, kind);
    const lines: string[] = [];
    for (const { name, request, later, answer } of exchanges) {
      rig.answer = answer;
      rig.reset = '';
      const fields = [':method: POST', ':scheme: http', ':authority: h', `:path: /${name}`];
      if (name === 'body-too-short') fields.push('content-length: 5');
      const first = Buffer.concat([head(1, request === undefined ? 5 : 4, ...fields), request ?? none]);
      const status = (await ask(rig.port, first, later)).split(' | ').filter((it) => !added.test(it));
      // The upstream may hear of it a moment later.
      await sleep(60);
      lines.push(`${name}: ${status.join(' | ')}; upstream ${rig.reset}`);
    }
    heard[kind] = lines;
    await rig.proxy.stop();
    logs[kind] = rig.proxy.output.trimEnd().split('\n').sort();
  }
  assert.deepEqual(heard.chancery, heard.envoy);
  assert.ok(logs.envoy!.length >= exchanges.length);
  assert.deepEqual(logs.chancery, logs.envoy);
});

const yaml = (port: number, adminPort: number, upstream: number) => `
admin:
  address: { socket_address: { address: 127.0.0.1, port_value: ${adminPort} } }
static_resources:
  listeners:
  - name: h2
    address: { socket_address: { address: 127.0.0.1, port_value: ${port} } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: h2
          codec_type: HTTP2
          delayed_close_timeout: 0s
          http2_protocol_options: { override_stream_error_on_invalid_http_message: true, allow_connect: true }
          upgrade_configs: [{ upgrade_type: CONNECT }]
          access_log:
          - name: envoy.access_loggers.stdout
            typed_config:
              '@type': type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog
              log_format:
                text_format_source:
                  inline_string: "LOG %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_TRANSPORT_FAILURE_REASON%\\n"
          route_config:
            virtual_hosts:
            - name: all
              domains: ['*']
              routes:
              - { match: { prefix: /timeout }, route: { cluster: up, timeout: 0.3s } }
              - { match: { prefix: / }, route: { cluster: up } }
          http_filters:
          - name: envoy.filters.http.router
            typed_config: { '@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
  clusters:
  - name: up
    type: STATIC
    load_assignment:
      cluster_name: up
      endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: ${upstream} } } } }] }]
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        '@type': type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config:
          http2_protocol_options: { override_stream_error_on_invalid_http_message: true }
`;
