// Seeded random HTTP/1 requests: mostly valid, often odd, sometimes broken, in pieces, cut short, pipelined.

import { mulberry32 } from '#testing/mulberry32.ts';

/** The same seed gives the same requests. */
export class Random {
  readonly #next: () => number;

  constructor(seed: number) {
    this.#next = mulberry32(seed);
  }

  next(): number {
    return this.#next() / 4294967296;
  }

  below(n: number): number {
    return Math.floor(this.next() * n);
  }

  chance(p: number): boolean {
    return this.next() < p;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
}

export interface RandomExchange {
  readonly number: number;
  /** Which of the service's listeners is asked. */
  readonly listener: number;
  /** Latin-1. Sent one after the other with a short pause. */
  readonly pieces: readonly string[];
  /** What the client does after the last piece. */
  readonly end: 'wait' | 'fin' | 'close';
}

/** What the upstream does, by the last segment of /up/... */
export const upstreamBehaviours = {
  ok: 'HTTP/1.1 200 OK\r\ncontent-length: 3\r\nx-up: 1\r\n\r\nok\n',
  chunked: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n',
  trailers: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-trailer: 1\r\n\r\n',
  empty: 'HTTP/1.1 204 No Content\r\nx-up: 2\r\n\r\n',
  same: 'HTTP/1.1 304 Not Modified\r\netag: "x"\r\n\r\n',
  early: 'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx',
  error: 'HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\nno',
  teapot: "HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\nX-Mixed-Case: Yes\r\n\r\n",
  cookies: 'HTTP/1.1 200 OK\r\nset-cookie: a=1\r\nset-cookie: b=2\r\ncontent-length: 0\r\n\r\n',
  headers:
    'HTTP/1.1 200 OK\r\nserver: mine\r\nconnection: keep-alive, x-hop\r\nx-hop: 1\r\nvia: 1.1 x\r\ncontent-length: 0\r\n\r\n',
  big: `HTTP/1.1 200 OK\r\ncontent-length: 70000\r\n\r\n${'b'.repeat(70_000)}`,
  bad: 'HTTP/1.1 200 OK\r\nbad line\r\n\r\n',
  badlength: 'HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n',
  found: 'HTTP/1.1 302 Found\r\nlocation: http://test/up/ok\r\ncontent-length: 3\r\n\r\nno\n',
  away: 'HTTP/1.1 303 See Other\r\nlocation: https://other.test/x\r\ncontent-length: 0\r\n\r\n',
  websocket: 'HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nhello',
  grpc: 'HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ngrpc-status: 14\r\ncontent-length: 0\r\n\r\n',
  both: 'HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
  'then-close': 'HTTP/1.1 200 OK\r\n\r\nuntil the end',
  'mid-close': 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf',
  'no-answer-close': '',
  reset: '',
} as const;

export type UpstreamBehaviour = keyof typeof upstreamBehaviours;

/** Listeners of the service. */
const listeners = 3;

const methods = [
  'GET',
  'GET',
  'GET',
  'POST',
  'POST',
  'PUT',
  'DELETE',
  'HEAD',
  'OPTIONS',
  'PATCH',
  'TRACE',
  'FOO',
];
const oddMethods = [
  'get',
  'G@T',
  'CONNECT',
  '',
  'GET ',
  'PRI',
  'M-SEARCH',
  'VERYLONGMETHODNAMETHATNOBODYUSES',
];
const prefixes = [
  '/up/',
  '/up/',
  '/up/',
  '/h2/',
  '/rewrite/',
  '/regex/x/',
  '/retry/',
  '/timeout/',
  '/mutate/',
  '/cors/',
  '/buffer/',
  '/host/',
  '/hostpath/',
  '/follow/',
  '/noup/',
  '/headers/',
];
const otherPaths = [
  '/',
  '/direct',
  '/direct/',
  '/redirect',
  '/redirect/a?b=c',
  '/https',
  '/https?x=1',
  '/match',
  '/match?q=1',
  '/match/abc/12',
  '/match/sep',
  '/match/sep/x',
  '/match/separate',
  '/missing',
  '/204',
  '/304',
  '/formatted?x',
  '/go/there?a=b',
  '/re/one/two/three',
  'a.example.com:80',
  '/nowhere',
  '/nope',
  '/up/forbidden',
  '/up/../direct',
  '/./direct',
  '//direct',
  '/up//ok',
  '/up/%2e%2e/direct',
  '/direct%2f',
  '/up%2fok',
  '/up%5cok',
  '/up\\ok',
  '/%64irect',
  '/direct?a=%zz',
  '/direct%zz',
  '/direct#frag',
  '/up/ok#frag',
  '*',
  'direct',
  'http://a.example.com/up/ok',
  'http://b.example.com',
  'https://c.test/direct?x',
  '/a b',
  '/\u00e9',
  '/direct\t',
  '/direct?x=\u0001',
  '/up/ok;v=1',
  '/..',
  '/../..',
  '/up/ok/../../direct',
];
const hosts = [
  'test',
  'test',
  'test',
  'a.example.com',
  'a.example.com:8080',
  'A.Example.COM',
  'b.example.com',
  'x.y.example.com',
  'test:80',
  '127.0.0.1',
  '[::1]:80',
];
const oddHosts = [
  '',
  'a b',
  'te st',
  'user@host',
  'host/path',
  'a,b',
  'x'.repeat(300),
  'te\u00e9st',
  '_under_',
  'a.example.com:99999',
];
const headers = [
  'x-abc: 1',
  'x-dup: 1\r\nx-dup: 2',
  'X-Mixed-Case: Yes',
  'x-pick: ABc',
  'x-pick: no',
  'accept: */*',
  'user-agent: test',
  'cookie: a=1; b=2',
  'cookie: a=1\r\ncookie: b=2',
  'connection: close',
  'connection: keep-alive',
  'connection: x-abc, close',
  'Connection: Keep-Alive, Upgrade',
  'proxy-connection: close',
  'keep-alive: 5',
  'te: trailers',
  'te: gzip',
  'x-forwarded-for: 1.2.3.4',
  'x-forwarded-for: 10.0.0.1, 1.2.3.4',
  'x-forwarded-proto: https',
  'x-forwarded-proto: ftp',
  'x-forwarded-host: h',
  'x-request-id: mine',
  'x-envoy-internal: true',
  'x-envoy-upstream-rq-timeout-ms: 150',
  'x-envoy-max-retries: 1',
  'x-envoy-retry-on: 5xx',
  'x-envoy-expected-rq-timeout-ms: 10',
  'x-envoy-original-path: /x',
  'x-envoy-decorator-operation: op',
  'x-envoy-attempt-count: 7',
  'x-envoy-external-address: 9.9.9.9',
  'x-envoy-force-trace: 1',
  'via: 1.1 a',
  'forwarded: for=1.2.3.4',
  'x-cluster: up',
  'x-cluster: none',
  'range: bytes=0-1',
  'expect: 100-continue',
  'origin: http://a.test',
  'x_underscore: 1',
  'x-empty:',
  'x-space:    padded   ',
  'x-tab:\tv\t',
  'x-quote: "a, b"',
  `x-long: ${'v'.repeat(3000)}`,
  'x-utf: \u00e9\u00ff',
  'date: now',
  'server: client',
  'upgrade: websocket',
  'upgrade: h2c',
  'trailer: x-t',
  'max-forwards: 3',
  'authorization: Basic eDp5',
  'content-type: text/plain',
  'content-type: application/grpc',
  'http2-settings: AAMAAABkAAQAAP__',
  'x-b3-traceid: 1',
  'traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
  'x-client-trace-id: t',
  'origin: http://x.a.test\r\naccess-control-request-method: PUT',
  'x-envoy-fault-abort-request: 503',
  'x-envoy-fault-abort-request: 200',
  'upgrade: websocket\r\nconnection: upgrade',
  'upgrade: foo\r\nconnection: Upgrade, close',
  'x-envoy-retry-on: 5xx,retriable-4xx\r\nx-envoy-max-retries: 2',
  'x-envoy-upstream-rq-per-try-timeout-ms: 100',
  'x-envoy-upstream-alt-stat-name: alt',
  'x-forwarded-for: 127.0.0.1',
  'x-forwarded-port: 99',
  'accept-encoding: gzip',
  'priority: u=1',
];
const oddHeaders = [
  'no-colon',
  ': empty-name',
  'sp ace: 1',
  'x-before : 1',
  'x-nul: a\u0000b',
  'x-cr: a\rb',
  'x-ctl: a\u0007b',
  'x-fold: a\r\n b',
  ' x-leading: 1',
  'x@at: 1',
  'x-del: \u007f',
  '(x): 1',
  ':path: /direct',
  ':authority: z',
  'host: second',
  'connection: ',
  'connection: content-length',
  'connection: host',
  'transfer-encoding: gzip',
  'transfer-encoding: identity',
];

export function randomExchange(seed: number, number: number): RandomExchange {
  const random = new Random(seed * 100_003 + number);
  const listener = random.below(listeners);
  let bytes = '';
  let end: RandomExchange['end'] = 'wait';
  const count = random.chance(0.12) ? 2 + random.below(2) : 1;
  for (let i = 0; i < count; i++) bytes += randomRequest(random);
  if (random.chance(0.06)) {
    bytes = bytes.slice(0, random.below(bytes.length));
    end = random.pick(['wait', 'fin', 'close']);
  } else if (random.chance(0.04)) end = 'fin';
  if (random.chance(0.03)) {
    const at = random.below(bytes.length);
    bytes = bytes.slice(0, at) + String.fromCharCode(random.below(256)) + bytes.slice(at + 1);
  }
  const pieces: string[] = [];
  if (random.chance(0.25)) {
    const cuts = Array.from(
      { length: 1 + random.below(3) },
      () => 1 + random.below(Math.max(1, bytes.length - 1)),
    );
    let from = 0;
    for (const cut of [...cuts, bytes.length].sort((a, b) => a - b)) {
      if (cut > from) pieces.push(bytes.slice(from, cut));
      from = Math.max(from, cut);
    }
  } else pieces.push(bytes);
  return { number, listener, pieces, end };
}

function randomRequest(random: Random): string {
  const method = random.chance(0.95) ? random.pick(methods) : random.pick(oddMethods);
  const behaviour = random.pick(Object.keys(upstreamBehaviours));
  let path = random.chance(0.6) ? random.pick(prefixes) + behaviour : random.pick(otherPaths);
  if (random.chance(0.1)) path += random.pick(['?a=1', '?', '?a=b&c=d', '?q=1', '/', '//', '/.', '/..']);
  const version = random.chance(0.94)
    ? 'HTTP/1.1'
    : random.pick(['HTTP/1.0', 'HTTP/2.0', 'HTTP/1.2', 'http/1.1', 'HTTP/1', 'HTP/1.1', '']);
  const eol = random.chance(0.98) ? '\r\n' : '\n';
  const lines = [`${method} ${path}${version ? ' ' : ''}${version}`];
  if (!random.chance(0.03))
    lines.push(`host: ${random.chance(0.95) ? random.pick(hosts) : random.pick(oddHosts)}`);
  const extra = random.below(5);
  for (let i = 0; i < extra; i++)
    lines.push(random.chance(0.97) ? random.pick(headers) : random.pick(oddHeaders));
  const body = randomBody(random, method === 'POST' || method === 'PUT' || method === 'PATCH' ? 0.8 : 0.1);
  lines.push(...body.headers);
  return lines.join(eol) + eol + eol + body.bytes;
}

function randomBody(random: Random, chance: number): { headers: string[]; bytes: string } {
  if (!random.chance(chance)) return { headers: [], bytes: '' };
  const content = 'x'.repeat(random.pick([0, 1, 5, 100, 5000, 70_000]));
  if (random.chance(0.5)) {
    if (random.chance(0.93)) return { headers: [`content-length: ${content.length}`], bytes: content };
    const length = random.pick(['-1', '+5', 'abc', '5, 5', '05', '5 ', '', '99999999999999999999', '0x5']);
    return {
      headers: random.chance(0.2)
        ? ['content-length: 5', 'content-length: 6']
        : [`content-length: ${length}`],
      bytes: 'xxxxx',
    };
  }
  const headers = [
    random.chance(0.95)
      ? 'transfer-encoding: chunked'
      : random.pick([
          'transfer-encoding: gzip, chunked',
          'transfer-encoding: chunked, chunked',
          'Transfer-Encoding: Chunked',
          'transfer-encoding: xchunked',
        ]),
  ];
  if (random.chance(0.05)) headers.push('content-length: 3');
  let bytes = '';
  for (let at = 0; at < content.length; ) {
    const size = Math.min(content.length - at, 1 + random.below(20_000));
    const hex = random.chance(0.2) ? size.toString(16).toUpperCase().padStart(4, '0') : size.toString(16);
    bytes += `${hex}${random.chance(0.05) ? ';ext=1' : ''}\r\n${content.slice(at, at + size)}\r\n`;
    at += size;
  }
  if (random.chance(0.05))
    return {
      headers,
      bytes:
        bytes +
        random.pick([
          'zz\r\n',
          '-1\r\n',
          '5\nhello\n0\n\n',
          'fffffffffffffffff\r\n',
          '3\r\nabcd\r\n0\r\n\r\n',
          ' 3\r\nabc\r\n0\r\n\r\n',
        ]),
    };
  return { headers, bytes: `${bytes}0\r\n${random.chance(0.15) ? 'x-t: 1\r\n' : ''}\r\n` };
}
