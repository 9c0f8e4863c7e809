// How streams end early, on either side and over each version of HTTP, beside the real Envoy: what both peers get, what is logged
// with which bytes, and what is counted.
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Flag, FrameType, preface } from '#http/h2-frames.ts';
import { frame, framesOf, literalBlock, settings, uint32 } from '#testing/h2-wire.ts';
import { missing } from '#testing/peers.ts';
import { expectSame, type Side } from './side-by-side.ts';
import { accessLog, address, connectionManager, endpoint, type } from './side-by-side-configuration.ts';

const bytes = ['DOWNSTREAM', 'UPSTREAM'].flatMap((side) =>
  ['WIRE_BYTES', 'HEADER_BYTES', 'DECOMPRESSED_HEADER_BYTES'].flatMap((what) =>
    ['RECEIVED', 'SENT'].map((way) => `${side}_${what}_${way}`),
  ),
);
const operators = [
  ...['PROTOCOL', 'RESPONSE_CODE', 'RESPONSE_CODE_DETAILS', 'RESPONSE_FLAGS', 'BYTES_RECEIVED', 'BYTES_SENT'],
  ...[
    'GRPC_STATUS',
    'GRPC_STATUS_NUMBER',
    'DOWNSTREAM_DETECTED_CLOSE_TYPE',
    'REQUEST_HEADERS_BYTES',
    ...bytes,
  ],
];
/** Of these only counts whether they have a value. */
const durations = [
  ...['REQUEST_TX_DURATION', 'RESPONSE_DURATION', 'RESPONSE_TX_DURATION'],
  'COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)',
];
const format = [...operators.map((it) => `${it}=%${it}%`), ...durations.map((it) => `~${it}=%${it}%`)].join(
  '|',
);

/** HTTP/2 headers without a length that changes. */
const head = (id: number, fields: readonly string[], end = false) =>
  frame(FrameType.Headers, Flag.EndHeaders | (end ? Flag.EndStream : 0), id, literalBlock(...fields));
const data = (id: number, text: string, end = false) =>
  frame(FrameType.Data, end ? Flag.EndStream : 0, id, text);
const reset = (id: number, code: number) => frame(FrameType.RstStream, 0, id, uint32(code));
const goAway = (last: number) => frame(FrameType.GoAway, 0, 0, Buffer.concat([uint32(last), uint32(0)]));
const request = (method: string, ...more: string[]) => [
  `:method: ${method}`,
  ...[':scheme: http', ':authority: a', ':path: /', ...more],
];
const get = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n';
const post = 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\nabc';
const tunnel = 'CONNECT b:80 HTTP/1.1\r\nhost: b:80\r\n\r\n';
/** Compressed it must have the same length, always. */
const date = 'date: Thu, 01 Jan 1970 00:00:00 GMT';
const ok = `HTTP/1.1 200 OK\r\n${date}\r\ncontent-length: 2\r\n\r\nok`;
const status = (code: number) => [`:status: ${code}`];
const grpc = ['content-type: application/grpc', 'te: trailers'];

const smallWindow = settings([4, 50]);
const long = `HTTP/1.1 200 OK\r\n${date}\r\ncontent-length: 200\r\n\r\n${'x'.repeat(200)}`;

type Bytes = string | Buffer;

interface Case {
  /** What the host answers to the first request, piece by piece; over HTTP/2 when these are frames. */
  readonly host: readonly Bytes[];
  /** `end` and `reset` are of the connection, a number waits so many ms. */
  readonly client: readonly (Bytes | 'end' | 'reset' | number)[];
  readonly http2?: boolean;
  readonly manager?: object;
  readonly common?: object;
  readonly path?: 'connect';
}

const cases: Readonly<Record<string, Case>> = {
  'early answer': { host: [ok], client: [post, 'def'] },
  'early answer to HTTP/2': {
    host: [ok],
    client: [Buffer.concat([head(1, request('POST')), data(1, 'abc')])],
  },
  'early answer over HTTP/2': { http2: true, host: [head(1, status(200), true)], client: [post, 'def'] },
  'early answer and reset': {
    http2: true,
    host: [Buffer.concat([head(1, status(200), true), reset(1, 0)])],
    client: [post, 'def'],
  },
  'client with more behind leaves': { host: ['HTTP/1.1 200 OK\r\n\r\nab'], client: [get, get, 'end'] },
  'client resets': { host: ['HTTP/1.1 200 OK\r\n\r\nab'], client: [get, 'reset'] },
  'client leaves a host of HTTP/2': { http2: true, host: [], client: [get, 'end'] },
  'NO_ERROR in the middle': { host: [], client: [head(1, request('POST')), reset(1, 0)] },
  'NO_ERROR at the end': { host: [], client: [head(1, request('GET'), true), reset(1, 0)] },
  'refused at once': {
    host: [],
    client: [
      Buffer.concat([
        head(
          1,
          request('CONNECT').filter((it) => !/path|scheme/.test(it)),
        ),
        data(1, 'a'),
      ]),
    ],
  },
  'malformed request': { host: [], client: [head(1, request('GET', 'x: y', 'te: gzip'), true)] },
  'crumbs and hosts': {
    host: [ok],
    client: [head(1, request('GET', 'host: b', 'cookie: a', 'cookie: b'), true)],
  },
  'no window, then a reset': {
    host: [long],
    client: [Buffer.concat([smallWindow, head(1, request('GET'), true)]), reset(1, 8)],
  },
  'no window, then the end': {
    host: [long],
    client: [Buffer.concat([smallWindow, head(1, request('GET'), true)]), 'end'],
  },
  'no window, then enough': {
    host: [long],
    client: [
      Buffer.concat([smallWindow, head(1, request('GET'), true)]),
      frame(FrameType.WindowUpdate, 0, 1, uint32(500)),
    ],
  },
  'no window for too long': {
    manager: { stream_idle_timeout: '0.1s' },
    host: [long],
    client: [Buffer.concat([smallWindow, head(1, request('GET'), true)]), 500],
  },
  'no PING comes back': {
    manager: {
      http2_protocol_options: {
        connection_keepalive: { interval: '0.1s', timeout: '0.1s', interval_jitter: { value: 0 } },
      },
    },
    host: [],
    client: [head(1, request('GET'), true), 500],
  },
  'idle for too long': {
    http2: true,
    manager: { stream_idle_timeout: '0.1s' },
    host: [],
    client: [get, 500],
  },
  'too many headers': { host: [], client: [get.replace('host', `${'x: y\r\n'.repeat(120)}host`)] },
  'informational only': { host: ['HTTP/1.1 103 E\r\n\r\n', 'end'], client: [get] },
  'reset in the middle': {
    http2: true,
    host: [Buffer.concat([head(1, status(200)), data(1, 'ab')]), reset(1, 8)],
    client: [get],
  },
  'gRPC without trailers': {
    http2: true,
    host: [head(1, [...status(200), date, ...grpc]), reset(1, 2)],
    client: [head(1, request('POST', ...grpc), true)],
  },
  'gRPC status that is none': {
    http2: true,
    host: [head(1, [...status(200), date, ...grpc]), head(1, ['grpc-status: x'], true)],
    client: [head(1, request('POST', ...grpc), true)],
  },
  'no status': { http2: true, host: [head(1, ['x: y'], true)], client: [get] },
  'wrong length': {
    http2: true,
    host: [head(1, [...status(200), 'content-length: 5']), data(1, 'abc', true)],
    client: [get],
  },
  'window update of 0': {
    http2: true,
    host: [frame(FrameType.WindowUpdate, 0, 1, uint32(0))],
    client: [get],
  },
  'answer behind GOAWAY': { http2: true, host: [goAway(1), head(1, status(200), true)], client: [get] },
  'client leaves behind GOAWAY': { http2: true, host: [goAway(1)], client: [get, 'end'] },
  'one request per connection': {
    http2: true,
    common: { max_requests_per_connection: 1 },
    host: [head(1, status(200), true)],
    client: [get],
  },
  'no more streams': {
    http2: true,
    host: [Buffer.concat([settings([3, 0]), head(1, status(200), true)])],
    client: [get, get],
  },
  'end of a CONNECT': {
    path: 'connect',
    host: [`HTTP/1.1 200 OK\r\n${date}\r\n\r\nhi`],
    client: [head(1, [':method: CONNECT', ':authority: b:80']), data(1, 'ping', true)],
  },
  'port of a CONNECT': {
    path: 'connect',
    manager: { strip_any_host_port: true },
    host: ['HTTP/1.1 204 No\r\n\r\n'],
    client: [tunnel],
  },
};

const named = (name: string) => name.replaceAll(/[ ,]+/g, '-');

test('streams that end early', { skip: missing('envoy'), timeout: 60_000 }, async (t) => {
  const names = Object.keys(cases);
  const yaml = JSON.stringify({
    admin: { address: address(21001) },
    stats_flush_interval: '0.1s',
    static_resources: {
      listeners: names.map((name, i) => {
        const match = cases[name]!.path === undefined ? { prefix: '/' } : { connect_matcher: {} };
        const routes = [{ match, route: { cluster: named(name), timeout: '0s' } }];
        const manager = {
          stat_prefix: named(name),
          generate_request_id: false,
          access_log: accessLog('log', `${named(name)}|${format}`),
          upgrade_configs: [{ upgrade_type: 'CONNECT' }],
          http2_protocol_options: { allow_connect: true },
          route_config: { virtual_hosts: [{ name: 'all', domains: ['*'], routes }] },
          ...cases[name]!.manager,
        };
        return {
          name: named(name),
          address: address(21100 + i),
          filter_chains: [{ filters: [connectionManager(manager, [], { suppress_envoy_headers: true })] }],
        };
      }),
      clusters: names.map((name, i) => {
        const { http2 = false, common = {} } = cases[name]!;
        return {
          name: named(name),
          load_assignment: endpoint(named(name), 21200 + i),
          typed_extension_protocol_options: {
            'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
              '@type': type('extensions.upstreams.http.v3.HttpProtocolOptions'),
              common_http_protocol_options: common,
              explicit_http_config: http2 ? { http2_protocol_options: {} } : { http_protocol_options: {} },
            },
          },
        };
      }),
    },
  });
  await expectSame(t, yaml, async (side) => {
    const seen: Record<string, Played> = {};
    const left = [...names.entries()];
    const playSome = async () => {
      for (let next = left.shift(); next !== undefined; next = left.shift())
        seen[next[1]] = await play(t, side, cases[next[1]]!, next[0]);
    };
    await Promise.all(Array.from({ length: 6 }, playSome));
    // Until histograms are merged.
    await sleep(300);
    const { body } = await side.proxy.admin('/stats?usedonly&filter=^(http|cluster)[.].*-');
    const { body: hosts } = await side.proxy.admin('/clusters');
    await side.stop();
    return {
      seen,
      stats: steady(body),
      hosts: hosts
        .match(/^.*::rq_(success|error)::.*$/gm)!
        .map(withoutPorts)
        .sort(),
      log: side.lines('log').map(withoutDurations).sort(),
    };
  });
});

const withoutPorts = (line: string) => line.replace(/::127[\d.:]+::/, '::');
const withoutDurations = (line: string) =>
  line
    .split('|')
    .map((it) => (it.startsWith('~') ? it.replace(/=[^-].*$/, '=#') : it))
    .join('\n');

/** Without what depends on how bytes came together. */
function steady(body: string): string[] {
  return body
    .split('\n')
    .filter((it) => !/buffered|tx_bytes|rx_bytes|control_frames|circuit|outbound_frames/.test(it))
    .map((it) => (/: P0|: No recorded/.test(it) ? it.replace(/: .*/, '') : it))
    .sort();
}

interface Played {
  readonly client: string;
  readonly host: string[];
}

async function play(t: TestContext, side: Side, it: Case, i: number): Promise<Played> {
  const hosts: Peer[] = [];
  let answered: Promise<void> | undefined;
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    const peer = new Peer(socket, it.http2 === true);
    if (it.http2) peer.send(settings());
    if (hosts.push(peer) > 1) return;
    peer.onRequest = () => {
      answered = answer(peer, it.host);
    };
  });
  server.listen(side.port(21200 + i), '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const socket = connect({
    host: '127.0.0.1',
    port: side.port(21100 + i),
    allowHalfOpen: true,
    noDelay: true,
  });
  await once(socket, 'connect');
  const isHttp2 = typeof it.client[0] !== 'string';
  const client = new Peer(socket, isHttp2);
  if (isHttp2) client.send(Buffer.concat([preface, settings(), frame(FrameType.Settings, Flag.Ack, 0)]));
  for (const piece of it.client) {
    if (typeof piece === 'number') await sleep(piece);
    else if (piece === 'end') socket.end();
    else if (piece === 'reset') socket.resetAndDestroy();
    else client.send(piece);
    for (let k = 0; k < 500 && answered === undefined && !client.hasAnswer; k++) await sleep(10);
    await answered;
    await quiet([client, ...hosts]);
  }
  const seen = { client: client.text, host: hosts.map((peer) => peer.text) };
  for (const peer of [client, ...hosts]) peer.socket.destroy();
  await sleep(100);
  return seen;
}

async function answer(peer: Peer, pieces: readonly Bytes[]): Promise<void> {
  for (const piece of pieces) {
    if (piece === 'end') peer.socket.end();
    else peer.send(piece);
    await sleep(50);
  }
}

/** Nobody hears anything any more. */
async function quiet(peers: readonly Peer[]): Promise<void> {
  for (let before = -1; ; ) {
    const now = peers.reduce((sum, peer) => sum + peer.text.length, 0);
    if (now === before) return;
    before = now;
    await sleep(100);
  }
}

/** One end of a connection, and what came there in words. */
class Peer {
  readonly socket: Socket;
  onRequest: (() => void) | undefined;
  readonly #isHttp2: boolean;
  #received: Buffer = Buffer.alloc(0);
  #end = '';

  constructor(socket: Socket, isHttp2: boolean) {
    this.socket = socket;
    this.#isHttp2 = isHttp2;
    socket.on('error', () => {});
    socket.on('data', (bytes: Buffer) => {
      this.#received = Buffer.concat([this.#received, bytes]);
      const request = this.onRequest;
      if (request === undefined || !this.#hasRequest()) return;
      this.onRequest = undefined;
      request();
    });
    socket.on('end', () => {
      this.#end = '(end)';
    });
  }

  send(bytes: Bytes): void {
    if (this.socket.writable)
      this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  }

  /** More than a greeting. */
  get hasAnswer(): boolean {
    return this.text !== '';
  }

  #hasRequest(): boolean {
    return this.#isHttp2 ? /HEADERS/.test(this.text) : this.#received.includes('\r\n\r\n');
  }

  get text(): string {
    if (!this.#isHttp2) return this.#received.toString('latin1').replace(/^date: .*$/m, '') + this.#end;
    const start = this.#received.subarray(0, 3).toString() === 'PRI' ? preface.length : 0;
    const words: string[] = [];
    for (const { type, flags, id, payload } of framesOf(this.#received.subarray(start))) {
      if (type === FrameType.Data) words.push(`DATA ${id} ${flags & Flag.EndStream} ${payload}`);
      else if (type === FrameType.Headers) words.push(`HEADERS ${id} ${flags & Flag.EndStream}`);
      else if (type === FrameType.RstStream) words.push(`RST_STREAM ${id} ${payload.readUInt32BE(0)}`);
    }
    return words.join('\n') + this.#end;
  }
}
