// The HTTP/1 server codec against the real Envoy: the same odd request to both, and the verdicts compared. A verdict is how the
// request was refused, or what an upstream got to see. Run with SEED=n to repeat a run, CASES=n for more or fewer.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { closesConnection } from '#http/connection-header.ts';
import { type Http1Options, UnderscoreAction } from '#http/h1-options.ts';
import type { HeaderMap } from '#http/header-map.ts';
import { freePorts } from '#testing/free-ports.ts';
import { Http1ServerRecorder } from '#testing/http1-recorder.ts';
import { mulberry32 } from '#testing/mulberry32.ts';
import { missing } from '#testing/peers.ts';
import { startProxyProcess } from '#testing/proxy-process.ts';
import { quickLogs } from './black-box.ts';

const seed = Number(process.env.SEED ?? 1);
const count = Number(process.env.CASES ?? 400);
const connections = 12;

/** Who is expected to answer is waited for: the machine may be busy. */
const patienceFor = (waits: boolean) => (waits ? 250 : 5000);

const next = mulberry32(seed);
const random = (below: number): number => next() % below;

function pick(text: string | readonly string[]): string {
  return text[random(text.length)]!;
}

const methods = [
  'GET',
  'GET',
  'GET',
  'POST',
  'POST',
  'PUT',
  'OPTIONS',
  'HEAD',
  'CONNECT',
  'PURGE',
  'BREW',
  'get',
  'M-SEARCH',
  '',
];
const targets = [
  ...[
    '/',
    '/',
    '/',
    '/a?b=c',
    '/%00',
    '/a#b',
    '*',
    '',
    'a',
    'a:80',
    '//a',
    '/"<>',
    '?x',
    '/a b',
    '/\xe9',
    '/\x7f',
    '/a\tb',
  ],
  ...[
    'http://b/',
    'http://b',
    'http://b:81/p',
    'https://b/',
    'ftp://b/',
    'http://u:p@b/',
    'http:///',
    'http://b:/',
    'http://b:x/',
  ],
  ...[
    'http://[::1]:80/',
    'http://[::1/',
    'HTTP://B/',
    'http://b?x',
    '://b/',
    'http:/b',
    '[::1]:80',
    'b:99999',
    'http://b_c/',
    "http://b'c/",
  ],
];
const versions = [
  'HTTP/1.1',
  'HTTP/1.1',
  'HTTP/1.1',
  'HTTP/1.1',
  'HTTP/1.0',
  'HTTP/2.0',
  'http/1.1',
  'HTTP/1.10',
  'HTTP/1',
  'X',
  '',
];
const spaces = [' ', ' ', ' ', ' ', ' ', '  ', '\t', '', '\r', ' \x01'];
const ends = ['\r\n', '\r\n', '\r\n', '\r\n', '\r\n', '\n', '\r', '\r\r\n', ' \r\n', '\r\n '];
const fields = [
  ...[
    'host: a',
    'host: a',
    'host:',
    'host: a b',
    'host: a/b',
    'host: [::1]:80',
    'Host: B',
    'host: a,b',
    'host: u@a',
    'host: a_b',
    'host: a"b',
  ],
  ...[
    'x-a: b',
    'x-a:b',
    'x-a : b',
    ' x-a: b',
    'x-a',
    ': b',
    'x-a: b\0',
    'x-a: \xe9',
    'x a: b',
    'x\xe9: b',
    'x"a: b',
    'x(a: b',
    'x_a: b',
  ],
  ...[
    'content-length: 0',
    'content-length: 3',
    'content-length: +3',
    'content-length: 3, 3',
    'content-length: 0x3',
    'content-length:',
  ],
  ...[
    'content-length: 03',
    'content-length: 18446744073709551616',
    'content-length: 3 ',
    'content-length: -1',
    'Content-Length: 3',
  ],
  ...[
    'transfer-encoding: chunked',
    'transfer-encoding: Chunked',
    'transfer-encoding: gzip',
    'transfer-encoding: chunked, chunked',
  ],
  ...[
    'transfer-encoding: identity',
    'transfer-encoding:',
    'Transfer-Encoding: chunked',
    'transfer-encoding: ,chunked',
  ],
  ...[
    'connection: close',
    'connection: keep-alive',
    'connection: x-a',
    'connection: te, x-a',
    'connection: :path',
    'connection: ,',
  ],
  ...[
    'connection: upgrade',
    'upgrade: websocket',
    'upgrade: h2c',
    'connection: x-forwarded-for',
    'connection: Upgrade, x-a',
    'connection: host',
  ],
  ...[
    'te: trailers',
    'te: gzip',
    'te: gzip, trailers',
    'keep-alive: 5',
    'proxy-connection: close',
    'trailer: x',
    'cookie: a=b',
    'cookie: c',
  ],
  ...[
    'accept: a',
    'accept: b',
    'user-agent: c',
    ':authority: x',
    ':path: /',
    'x-a: ',
    'x-a: a\tb',
    'x-a: a\rb',
    'x-a: \x7f',
    'x-b:  c  ',
  ],
];
const bodies = [
  ...[
    '',
    '',
    'abc',
    '3\r\nabc\r\n0\r\n\r\n',
    '3;x="y"\r\nabc\r\n0\r\n\r\n',
    '3\nabc\r\n0\r\n\r\n',
    '3\r\nabc\n0\r\n\r\n',
    '3\r\nabcd\r\n0\r\n\r\n',
  ],
  ...[
    '3\r\nabc\r\n0\r\nt: u\r\n\r\n',
    '3\r\nabc\r\n0\r\nt u\r\n\r\n',
    'zz\r\n',
    '0x3\r\nabc\r\n',
    '3 \r\nabc\r\n00\r\n\r\n',
    '0\r\n\r\n',
    '3 x\r\nabc\r\n0\r\n\n',
  ],
  ...[
    '3\r\nabc\r\n0\n\r\n',
    '3;a\rb\r\nabc\r\n0\r\n\r\n',
    'ffffffffffffffff1\r\n',
    '3\r\nabc\r\n0\r\n t: u\r\n\r\n',
    '3\r\nabc\r\n0\r\nt: \0\r\n\r\n',
  ],
];

/** A request of which one or two parts are odd, and the others now and then. */
function oddRequest(): string {
  const parts = ['methods', 'targets', 'versions', 'spaces', 'ends', 'fields', 'bodies'];
  const odd = [pick(parts), pick(parts)];
  const isOdd = (part: string) => odd.includes(part) || random(40) === 0;
  const any = (part: string, list: readonly string[]) => (isOdd(part) ? pick(list) : list[0]!);
  const space = any('spaces', spaces);
  let text = `${any('methods', methods)}${space}${any('targets', targets)}${any('spaces', spaces)}`;
  text += `${any('versions', versions)}${any('ends', ends)}`;
  if (random(12) > 0) text += `host: a${any('ends', ends)}`;
  if (isOdd('fields')) for (let n = 1 + random(3); n > 0; n--) text += pick(fields) + any('ends', ends);
  if (isOdd('bodies'))
    text += `${pick(['content-length: 3', 'transfer-encoding: chunked', 'transfer-encoding: chunked'])}\r\n`;
  text += `\r\n${any('bodies', bodies)}`;
  return random(20) === 0 ? `${pick(['\r\n', '\n', '\r', ' ', '\0'])}${text}` : text;
}

function trailersOf(request: IncomingMessage): string {
  return request.rawTrailers.length > 0 ? ` ${request.rawTrailers.join('=')}` : '';
}

interface Verdict {
  /** `refused`: by the codec; `managed`: answered by the connection manager, after the codec took it; `waits`: for more bytes. */
  readonly kind: 'refused' | 'managed' | 'forwarded' | 'waits';
  readonly text: string;
}

const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'upgrade',
  'transfer-encoding',
  'x-forwarded-proto',
]);

function forwarded(
  method: string,
  path: string,
  host: string,
  list: readonly string[],
  body: string,
  closes: boolean,
): Verdict {
  let headers = '';
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i]!.toLowerCase();
    if (hopByHop.has(name) || name === 'host' || name === 'content-length') continue;
    if (name === 'te' && !/(^|,)\s*trailers\s*(,|$)/.test(list[i + 1]!)) continue;
    headers += name === 'te' ? ' te=trailers' : ` ${name}=${list[i + 1]}`;
  }
  return {
    kind: 'forwarded',
    text: `${method} ${path} host=${host}${headers} body=${body}${closes ? ' and closes' : ''}`,
  };
}

/** What our codec says of `bytes`, and whether the connection manager would have to say more. */
function ourVerdict(bytes: string, options: Partial<Http1Options>): Verdict {
  const recorder = new Http1ServerRecorder(options);
  let headers: HeaderMap | undefined;
  let body = '';
  let isComplete = false;
  let isHttp11 = true;
  recorder.decoder.decodeHeaders = (it, end) => {
    isHttp11 = recorder.codec.protocol === 'HTTP/1.1';
    headers = it;
    isComplete = end;
  };
  recorder.decoder.decodeData = (data, end) => {
    body += data.toString('latin1');
    isComplete = end;
  };
  recorder.decoder.decodeTrailers = (trailers) => {
    body += ` ${trailers.list.join('=')}`;
    isComplete = true;
  };
  recorder.send(bytes);
  const error = recorder.events.find((event) => event.startsWith('error '));
  if (headers === undefined) {
    return error === undefined
      ? { kind: 'waits', text: '' }
      : { kind: 'refused', text: error.split(' ').slice(1, 3).join(' ') };
  }
  // The connection manager answers without waiting for the body.
  const isManaged =
    (headers.authority === '' && !headers.isAuthorityEmpty) ||
    headers.method === 'CONNECT' ||
    (headers.has('upgrade') && /upgrade/i.test(headers.get('connection') ?? '')) ||
    headers.path.includes('#') ||
    !headers.path.startsWith('/');
  if (isManaged) return { kind: 'managed', text: '' };
  if (error !== undefined && !isComplete)
    return { kind: 'refused', text: error.split(' ').slice(1, 3).join(' ') };
  if (!isComplete) return { kind: 'waits', text: '' };
  const closes = closesConnection(isHttp11, headers);
  return forwarded(headers.method, headers.path, headers.authority, headers.list, body, closes);
}

function configuration(hcm: string, listenerPort: number, adminPort: number, upstreamPort: number): string {
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
          delayed_close_timeout: 0.05s
          ${hcm}
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
              log_format: { text_format_source: { inline_string: "%DOWNSTREAM_REMOTE_PORT% %RESPONSE_CODE% %RESPONSE_CODE_DETAILS%\\n" } }
  clusters:
  - name: up
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        '@type': type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: { http_protocol_options: { enable_trailers: true } }
    load_assignment:
      cluster_name: up
      endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: ${upstreamPort} } } } }] }]
`;
}

/** Sends `bytes` and reads one answer, or as much as comes until nothing does. */
function ask(
  port: number,
  bytes: string,
  patienceMs: number,
): Promise<{ localPort: number; answer: string }> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    let answer = '';
    let localPort = 0;
    let patience: NodeJS.Timeout | undefined;
    const done = () => {
      clearTimeout(patience);
      socket.destroy();
      resolve({ localPort, answer });
    };
    socket.on('connect', () => {
      localPort = socket.localPort!;
      socket.write(bytes, 'latin1');
      patience = setTimeout(done, patienceMs);
    });
    socket.on('data', (data) => {
      answer += data.toString('latin1');
      if (answer.includes('\r\n\r\n')) done();
    });
    socket.on('end', done);
    socket.on('error', done);
  });
}

const variants: readonly { name: string; hcm: string; options: Partial<Http1Options>; cases: number }[] = [
  { name: 'by default', hcm: '', options: {}, cases: count },
  {
    name: 'when all is allowed',
    hcm:
      'http_protocol_options: { accept_http_10: true, default_host_for_http_10: d, enable_trailers: true, ' +
      'allow_chunked_length: true, allow_custom_methods: true }',
    options: {
      acceptHttp10: true,
      defaultHostForHttp10: 'd',
      enableTrailers: true,
      allowChunkedLength: true,
      allowCustomMethods: true,
    },
    cases: count / 2,
  },
  {
    name: 'when little is',
    hcm:
      'max_request_headers_kb: 1\n          common_http_protocol_options: ' +
      '{ max_headers_count: 3, headers_with_underscores_action: REJECT_REQUEST }',
    options: { maxHeadersBytes: 1024, maxHeadersCount: 3, underscores: UnderscoreAction.RejectRequest },
    cases: count / 2,
  },
];

for (const { name, hcm, options, cases } of variants) {
  const settings = { skip: missing('envoy'), timeout: 120_000 };
  test(`odd requests get Envoy's verdicts ${name} (SEED=${seed})`, settings, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'verdicts-'));
    // The upstream tells what it saw in a header, so that an answer to HEAD can say it too.
    const upstream = createServer({ insecureHTTPParser: true }, (request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (data) => parts.push(data));
      request.on('end', () => {
        const saw = [
          request.method,
          request.url,
          request.headers.host ?? '',
          request.rawHeaders,
          `${Buffer.concat(parts).toString('latin1')}${trailersOf(request)}`,
        ];
        response.setHeader('x-saw', Buffer.from(JSON.stringify(saw)).toString('base64'));
        response.end();
      });
    });
    await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
    const [listenerPort, adminPort] = (await freePorts(2)) as [number, number];
    const proxy = await startProxyProcess({
      kind: 'envoy',
      folder,
      yaml: configuration(hcm, listenerPort, adminPort, (upstream.address() as AddressInfo).port),
      adminPort,
      arguments: quickLogs,
    });
    t.after(async () => {
      await proxy.stop();
      upstream.closeAllConnections();
      upstream.close();
      rmSync(folder, { recursive: true });
    });

    const requests = Array.from({ length: cases }, oddRequest);
    const ours = requests.map((bytes) => ourVerdict(bytes, options));
    const answers: { localPort: number; answer: string }[] = [];
    let next = 0;
    await Promise.all(
      Array.from({ length: connections }, async () => {
        for (let n = next++; n < requests.length; n = next++)
          answers[n] = await ask(listenerPort, requests[n]!, patienceFor(ours[n]!.kind === 'waits'));
      }),
    );
    await sleep(500);
    // By port of the client; a port may be used again, a connection may have had more than one request.
    const details = new Map<number, string[]>();
    for (const line of readFileSync(join(folder, 'access.log'), 'latin1').split('\n')) {
      const [port, ...rest] = line.split(' ');
      const known = details.get(Number(port));
      if (known === undefined) details.set(Number(port), [rest.join(' ')]);
      else known.push(rest.join(' '));
    }

    const differences: string[] = [];
    const kinds: Record<string, number> = {};
    for (const [n, bytes] of requests.entries()) {
      const { answer, localPort } = answers[n]!;
      const status = /^HTTP\/1\.[01] (\d+)/.exec(answer)?.[1] ?? '0';
      const envoys = envoyVerdict(
        answer,
        details.get(localPort)?.find((line) => line.startsWith(status)) ?? '',
      );
      kinds[envoys.kind] = (kinds[envoys.kind] ?? 0) + 1;
      if (isKnown(bytes, envoys, ours[n]!)) continue;
      if (envoys.kind !== ours[n]!.kind || (envoys.kind !== 'managed' && envoys.text !== ours[n]!.text)) {
        differences.push(
          `${JSON.stringify(bytes)}\n  Envoy: ${envoys.kind} ${envoys.text}\n  ours:  ${ours[n]!.kind} ${ours[n]!.text}`,
        );
      }
    }
    t.diagnostic(`verdicts of Envoy: ${JSON.stringify(kinds)}`);
    assert.equal(differences.join('\n'), '');
    for (const kind of ['refused', 'forwarded', 'managed'])
      assert.ok((kinds[kind] ?? 0) > cases / 50, `few were ${kind}`);
  });
}

function envoyVerdict(answer: string, details: string): Verdict {
  const saw = /^x-saw: (\S+)\r$/m.exec(answer)?.[1];
  if (saw !== undefined) {
    const [method, path, host, headers, body] = JSON.parse(Buffer.from(saw, 'base64').toString());
    return forwarded(
      method,
      path,
      host,
      headers,
      body,
      /\r\nconnection: close\r\n/.test(answer.slice(0, answer.indexOf('\r\n\r\n') + 2)),
    );
  }
  if (answer === '') return { kind: 'waits', text: '' };
  if (/ (http1?\.|low_version)/.test(details)) return { kind: 'refused', text: details };
  return { kind: 'managed', text: details };
}

/** The differences that docs/differences.md lists under "HTTP/1". */
function isKnown(bytes: string, envoys: Verdict, ours: Verdict): boolean {
  if (envoys.kind === 'refused' && ours.kind === 'refused') {
    // Several things are wrong: Envoy names the one it meets last in the bytes it has, we the first.
    const generic = [
      'codec_error',
      'invalid_characters',
      'content_length_and_chunked_not_allowed',
      'unexpected_underscore',
    ].map((it) => `400 http1.${it}`);
    if (generic.includes(envoys.text) && generic.includes(ours.text)) return true;
  }
  // An empty second transfer-encoding makes Envoy forget that the first was chunked; the body becomes the next request.
  if (/transfer-encoding: *chunked *[\r\n][\s\S]*transfer-encoding: *[\r\n]/i.test(bytes)) return true;
  // Node's parser, which is the upstream here, knows its methods only.
  return envoys.text === '400 via_upstream' && ours.kind !== 'refused';
}
