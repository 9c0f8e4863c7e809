// What a peer may not do, and what becomes of it: each verdict was asked of Envoy 1.40, or is RFC 9113's where Envoy is lax.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  literalBlock as block,
  type Frame,
  frame,
  framesOf,
  headerMap,
  nonZero,
  settings,
  TestClient,
  TestServer,
  uint32,
} from '#testing/h2-wire.ts';
import { FrameType, H2Error, preface } from './h2-frames.ts';
import type { H2Options } from './h2-options.ts';
import type { HeaderMap } from './header-map.ts';
import { HpackEncoder } from './hpack-encoder.ts';

const endStream = 1;
const endHeaders = 4;

const get = [':method: GET', ':scheme: http', ':authority: h', ':path: /'];
const request = (...fields: string[]) => block(...get, ...fields);
const headers = (id: number, payload: Buffer, flags: number = endStream | endHeaders) =>
  frame(FrameType.Headers, flags, id, payload);

/** A server that has greeted a client. */
function served(options: Partial<H2Options> = {}): TestServer {
  const server = new TestServer(options);
  server.session.onData(Buffer.concat([preface, settings()]));
  server.sink.take();
  return server;
}

function summary(frames: Frame[]): string[] {
  return frames.map(({ type, id, payload }) => {
    if (type === FrameType.RstStream) return `RST_STREAM ${id} ${payload.readUInt32BE(0)}`;
    if (type === FrameType.GoAway) return `GOAWAY ${payload.readUInt32BE(0)} ${payload.readUInt32BE(4)}`;
    const name = Object.entries(FrameType).find(([, value]) => value === type)![0];
    return `${name} ${id}`;
  });
}

const field = 'reset ProtocolError http2.invalid.header.field';
const rule = 'reset ProtocolError http2.violation.of.messaging.rule';

const messages: { name: string; block: Buffer; says: string; options?: Partial<H2Options> }[] = [
  { name: 'an ordinary request', block: request('a: b'), says: 'GET http h / | a: b $' },
  { name: 'an upper-case name', block: request('X-Foo: a'), says: field },
  { name: 'a space in a name', block: request('x foo: a'), says: field },
  { name: 'an @ in a name', block: request('x@foo: a'), says: field },
  { name: 'an empty name', block: Buffer.concat([request(), Buffer.from('00000161', 'hex')]), says: field },
  { name: 'a NUL in a value', block: request('x: a\0b'), says: field },
  { name: 'a line feed in a value', block: request('x: a\nb'), says: field },
  { name: 'a DEL in a value', block: request('x: a\x7fb'), says: field },
  { name: 'white space around a value', block: request('x:  a '), says: 'GET http h / | x:  a  $' },
  { name: 'obs-text in a value', block: request('x: \xe9'), says: 'GET http h / | x: \xe9 $' },
  {
    name: 'obs-text when it is disallowed',
    block: request('x: \xe9'),
    says: field,
    options: { allowObsText: false },
  },
  { name: 'connection', block: request('connection: close'), says: field },
  { name: 'te other than trailers', block: request('te: gzip'), says: field },
  { name: 'te with Trailers', block: request('te: Trailers'), says: 'GET http h / | te: Trailers $' },
  { name: 'upgrade', block: request('upgrade: websocket'), says: field },
  { name: 'transfer-encoding', block: request('transfer-encoding: chunked'), says: field },
  { name: 'a host beside :authority', block: request('host: other'), says: 'GET http h / $' },
  { name: 'two hosts', block: request('host: h', 'host: h'), says: field },
  { name: 'an empty host', block: request('host: '), says: field },
  { name: 'host alone', block: block(...get.toSpliced(2, 1), 'host: h'), says: 'GET http h / $' },
  { name: 'no authority at all', block: block(...get.toSpliced(2, 1)), says: rule },
  { name: 'an empty authority', block: block(...get.toSpliced(2, 1, ':authority: ')), says: field },
  { name: 'a space in the authority', block: block(...get.toSpliced(2, 1, ':authority: a b')), says: field },
  { name: 'user information', block: block(...get.toSpliced(2, 1, ':authority: u@h')), says: field },
  { name: 'no path', block: block(...get.slice(0, 3)), says: rule },
  { name: 'an empty path', block: block(...get.slice(0, 3), ':path: '), says: field },
  { name: 'a path without slash', block: block(...get.slice(0, 3), ':path: foo'), says: rule },
  { name: 'GET *', block: block(...get.slice(0, 3), ':path: *'), says: rule },
  {
    name: 'OPTIONS *',
    block: block(':method: OPTIONS', ...get.slice(1, 3), ':path: *'),
    says: 'OPTIONS http h * $',
  },
  { name: 'a space in the path', block: block(...get.slice(0, 3), ':path: /a b'), says: field },
  { name: 'no method', block: block(...get.slice(1)), says: rule },
  { name: 'a space in the method', block: block(':method: G T', ...get.slice(1)), says: field },
  { name: 'no scheme', block: block(...get.toSpliced(1, 1)), says: rule },
  {
    name: 'a scheme of its own',
    block: block(...get.toSpliced(1, 1, ':scheme: ftp')),
    says: 'GET ftp h / $',
  },
  { name: 'a scheme that is none', block: block(...get.toSpliced(1, 1, ':scheme: 1x')), says: field },
  { name: 'a path twice', block: block(...get, ':path: /'), says: field },
  {
    name: 'a pseudo-header behind a field',
    block: block(...get.slice(0, 3), 'x: y', ':path: /'),
    says: field,
  },
  { name: 'an unknown pseudo-header', block: block(':foo: a', ...get), says: field },
  { name: ':status in a request', block: block(':status: 200', ...get), says: field },
  {
    name: ':protocol when it is not allowed',
    block: block(':method: CONNECT', ':protocol: websocket', ...get.slice(1)),
    says: field,
  },
  {
    name: ':protocol when it is allowed',
    block: block(':method: CONNECT', ':protocol: websocket', ...get.slice(1)),
    says: 'GET http h / | upgrade: websocket | connection: upgrade $',
    options: { allowConnect: true },
  },
  {
    name: ':protocol with GET',
    block: block(...get, ':protocol: websocket'),
    says: rule,
    options: { allowConnect: true },
  },
  { name: 'CONNECT', block: block(':method: CONNECT', ':authority: h:80'), says: 'CONNECT h:80 $' },
  {
    name: 'CONNECT with a path',
    block: block(':method: CONNECT', ':authority: h:80', ':path: /'),
    says: rule,
  },
  { name: 'a length without a body', block: request('content-length: 5'), says: rule },
  { name: 'two lengths', block: request('content-length: 0', 'content-length: 0'), says: field },
  { name: 'a length that is no number', block: request('content-length: -1'), says: field },
  {
    name: 'cookie crumbs',
    block: request('cookie: a=1', 'x: y', 'cookie: b=2'),
    says: 'GET http h / | x: y | cookie: a=1; b=2 $',
  },
  {
    name: 'values that Envoy joins',
    block: request('accept: a', 'x: 1', 'accept: b'),
    says: 'GET http h / | accept: a,b | x: 1 $',
  },
  { name: 'values that it does not', block: request('x: 1', 'x: 2'), says: 'GET http h / | x: 1 | x: 2 $' },
  { name: 'an underscore', block: request('x_y: 1'), says: 'GET http h / | x_y: 1 $' },
  {
    name: 'an underscore to drop',
    block: request('x_y: 1', 'a: b'),
    says: 'GET http h / | a: b $',
    options: { underscoreAction: 2 },
  },
];

for (const { name, block, says, options } of messages) {
  test(`a request with ${name}`, () => {
    const lenient = served({ ...options, streamErrorOnInvalidMessage: true });
    lenient.session.onData(headers(1, block));
    assert.deepEqual(lenient.streams[0]!.decoder.log, [says]);
    const isMalformed = says.startsWith('reset');
    assert.deepEqual(summary(framesOf(lenient.sink.take())), isMalformed ? ['RST_STREAM 1 1'] : []);
    assert.deepEqual(lenient.errors, []);
    assert.equal(lenient.stats.rx_messaging_error.value, isMalformed ? 1 : 0);

    const strict = served(options);
    strict.session.onData(headers(1, block));
    assert.deepEqual(strict.streams[0]!.decoder.log, [says]);
    assert.deepEqual(summary(framesOf(strict.sink.take())), isMalformed ? ['GOAWAY 1 1'] : []);
    assert.equal(strict.errors.length, isMalformed ? 1 : 0);
  });
}

const limits: {
  name: string;
  fields: string[];
  says: string;
  counts: string;
  options?: Partial<H2Options>;
}[] = [
  {
    name: 'one field too many, the pseudo-headers counted',
    fields: Array.from({ length: 97 }, (_, i) => `x-${i}: v`),
    says: 'reset RemoteReset http2.too_many_headers',
    counts: 'header_overflow',
  },
  {
    name: 'one cookie crumb too many',
    fields: Array.from({ length: 97 }, () => 'cookie: a'),
    says: 'reset RemoteReset http2.too_many_headers',
    counts: 'header_overflow',
  },
  {
    name: 'one byte too many',
    fields: [`x: ${'a'.repeat(61402)}`],
    says: 'reset RemoteReset http2.header_list_size_too_large',
    counts: 'header_list_size_too_large',
  },
  {
    name: 'an underscore to reject',
    fields: ['x_y: 1'],
    says: 'reset RemoteReset http2.unexpected_underscore',
    counts: 'requests_rejected_with_underscores_in_headers',
    options: { underscoreAction: 1 },
  },
];
for (const { name, fields, says, counts, options } of limits) {
  test(`a request with ${name} is reset`, () => {
    const server = served(options);
    send(server, 1, request(...fields));
    assert.deepEqual(server.streams[0]!.decoder.log, [says]);
    assert.deepEqual(summary(framesOf(server.sink.take())), ['RST_STREAM 1 2']);
    assert.equal(nonZero(server.stats)[counts], 1);
    // The connection goes on, and its tables are in step.
    server.session.onData(headers(3, request()));
    assert.deepEqual(server.streams[1]!.decoder.log, ['GET http h / $']);
  });
}

/** A request whose block may need CONTINUATION frames. */
function send(server: TestServer, id: number, all: Buffer): void {
  const parts: Buffer[] = [];
  for (let at = 0; at < all.length; at += 16000) parts.push(all.subarray(at, at + 16000));
  parts.forEach((part, i) => {
    const last = i === parts.length - 1 ? endHeaders : 0;
    server.session.onData(
      i === 0 ? headers(id, part, endStream | last) : frame(FrameType.Continuation, last, id, part),
    );
  });
}

test('exactly the limits pass', () => {
  const server = served();
  send(server, 1, request(...Array.from({ length: 96 }, (_, i) => `x-${i}: v`)));
  send(server, 3, request(`x: ${'a'.repeat(61401)}`));
  for (const { decoder } of server.streams) assert.match(decoder.log[0]!, /^GET http h \/ \| x/);
});

const bodies = [
  { name: 'shorter than its length', length: 5, says: 'reset ProtocolError http2.remote_reset' },
  { name: 'longer than its length', length: 2, says: 'reset ProtocolError http2.remote_reset' },
];
for (const { name, length, says } of bodies) {
  test(`a body ${name} resets the stream only`, () => {
    const server = served();
    server.session.onData(headers(1, request(`content-length: ${length}`), endHeaders));
    server.session.onData(frame(FrameType.Data, endStream, 1, 'abc'));
    assert.equal(server.streams[0]!.decoder.log.at(-1), says);
    assert.deepEqual(summary(framesOf(server.sink.take())), ['RST_STREAM 1 1']);
  });
}

const trailers = [
  { name: 'without the end of the stream', frames: [headers(1, block('x: 1'), endHeaders)], says: rule },
  { name: 'with a pseudo-header', frames: [headers(1, block(':path: /'))], says: field },
  { name: 'of the ordinary kind', frames: [headers(1, block('x: 1'))], says: 'trailers x: 1 $' },
];
for (const { name, frames, says } of trailers) {
  test(`trailers ${name}`, () => {
    const server = served({ streamErrorOnInvalidMessage: true });
    server.session.onData(Buffer.concat([headers(1, request(), endHeaders), ...frames]));
    assert.equal(server.streams[0]!.decoder.log.at(-1), says);
  });
}

const { ProtocolError, FlowControlError, StreamClosed, FrameSizeError, CompressionError, EnhanceYourCalm } =
  H2Error;
const open = headers(1, request(), endHeaders);
const connectionErrors: { name: string; bytes: Buffer; error: number; options?: Partial<H2Options> }[] = [
  {
    name: 'a frame that is too large',
    bytes: frame(FrameType.Data, 0, 1, Buffer.alloc(16385)),
    error: FrameSizeError,
  },
  { name: 'DATA on stream 0', bytes: frame(FrameType.Data, 0, 0, 'x'), error: ProtocolError },
  { name: 'DATA on an idle stream', bytes: frame(FrameType.Data, 0, 1, 'x'), error: ProtocolError },
  {
    name: 'DATA behind the end',
    bytes: Buffer.concat([headers(1, request()), frame(FrameType.Data, 0, 1, 'x')]),
    error: StreamClosed,
  },
  {
    name: 'HEADERS behind the end',
    bytes: Buffer.concat([headers(1, request()), headers(1, request())]),
    error: StreamClosed,
  },
  {
    name: 'padding longer than the frame',
    bytes: Buffer.concat([open, frame(FrameType.Data, 8, 1, '\x05abc')]),
    error: ProtocolError,
  },
  { name: 'an even stream id', bytes: headers(2, request()), error: ProtocolError },
  {
    name: 'a stream id that was skipped',
    bytes: Buffer.concat([headers(5, request()), headers(3, request())]),
    error: ProtocolError,
  },
  {
    name: 'a stream that depends on itself',
    bytes: frame(FrameType.Headers, 0x25, 1, Buffer.concat([uint32(1), Buffer.alloc(1), request()])),
    error: ProtocolError,
  },
  {
    name: 'another frame inside a header block',
    bytes: Buffer.concat([headers(1, request(), endStream), frame(FrameType.Ping, 0, 0, '12345678')]),
    error: ProtocolError,
  },
  {
    name: 'CONTINUATION of nothing',
    bytes: frame(FrameType.Continuation, endHeaders, 1, ''),
    error: ProtocolError,
  },
  { name: 'a broken header block', bytes: headers(1, Buffer.from('ff', 'hex')), error: CompressionError },
  {
    name: 'a field longer than allowed',
    bytes: headers(1, request(`x: ${'a'.repeat(1025)}`)),
    error: CompressionError,
    options: { maxFieldBytes: 1024 },
  },
  {
    name: 'RST_STREAM on an idle stream',
    bytes: frame(FrameType.RstStream, 0, 1, uint32(8)),
    error: ProtocolError,
  },
  {
    name: 'RST_STREAM of a wrong size',
    bytes: frame(FrameType.RstStream, 0, 1, 'abc'),
    error: FrameSizeError,
  },
  { name: 'SETTINGS on a stream', bytes: frame(FrameType.Settings, 0, 1, ''), error: ProtocolError },
  { name: 'SETTINGS of a wrong size', bytes: frame(FrameType.Settings, 0, 0, 'abc'), error: FrameSizeError },
  {
    name: 'an acknowledgement with content',
    bytes: frame(FrameType.Settings, 1, 0, Buffer.alloc(6)),
    error: FrameSizeError,
  },
  { name: 'a push setting of 2', bytes: settings([2, 2]), error: ProtocolError },
  { name: 'a window setting that is too large', bytes: settings([4, 2 ** 31]), error: FlowControlError },
  { name: 'a frame size setting that is too small', bytes: settings([5, 16383]), error: ProtocolError },
  {
    name: 'more settings than anybody needs',
    bytes: settings(...Array.from({ length: 33 }, () => [4, 100] as const)),
    error: EnhanceYourCalm,
  },
  {
    name: 'a window setting that overflows a stream',
    bytes: Buffer.concat([
      open,
      frame(FrameType.WindowUpdate, 0, 1, uint32(0x7fffffff - 65535)),
      settings([4, 65536]),
    ]),
    error: FlowControlError,
  },
  { name: 'PUSH_PROMISE', bytes: frame(FrameType.PushPromise, 4, 1, uint32(2)), error: ProtocolError },
  { name: 'PING on a stream', bytes: frame(FrameType.Ping, 0, 1, '12345678'), error: ProtocolError },
  { name: 'PING of a wrong size', bytes: frame(FrameType.Ping, 0, 0, '1234567'), error: FrameSizeError },
  { name: 'GOAWAY on a stream', bytes: frame(FrameType.GoAway, 0, 1, Buffer.alloc(8)), error: ProtocolError },
  { name: 'WINDOW_UPDATE by 0', bytes: frame(FrameType.WindowUpdate, 0, 0, uint32(0)), error: ProtocolError },
  {
    name: 'WINDOW_UPDATE on an idle stream',
    bytes: frame(FrameType.WindowUpdate, 0, 1, uint32(1)),
    error: ProtocolError,
  },
  {
    name: 'a connection window that overflows',
    bytes: frame(FrameType.WindowUpdate, 0, 0, uint32(0x7fffffff)),
    error: FlowControlError,
  },
  { name: 'PRIORITY of a wrong size', bytes: frame(FrameType.Priority, 0, 1, 'abcd'), error: FrameSizeError },
  {
    name: 'PRIORITY on itself',
    bytes: frame(FrameType.Priority, 0, 1, Buffer.concat([uint32(1), Buffer.alloc(1)])),
    error: ProtocolError,
  },
  {
    name: 'more DATA than the stream window',
    bytes: Buffer.concat([
      open,
      ...Array.from({ length: 5 }, () => frame(FrameType.Data, 0, 1, Buffer.alloc(16384))),
    ]),
    error: FlowControlError,
    options: { initialStreamWindowSize: 65535 },
  },
];
for (const { name, bytes, error, options } of connectionErrors) {
  test(`the connection ends: ${name}`, () => {
    const server = served(options);
    // Nothing is consumed: what the window check needs.
    server.respond = undefined;
    if (options !== undefined) {
      const original = server.newStream.bind(server);
      server.newStream = (encoder) => {
        const decoder = original(encoder);
        encoder.readDisable(true);
        return decoder;
      };
    }
    server.session.onData(bytes);
    const last = framesOf(server.sink.take()).at(-1)!;
    assert.equal(last.type, FrameType.GoAway);
    assert.equal(last.payload.readUInt32BE(4), error);
    assert.equal(server.errors.length, 1);
    assert.equal(last.payload.toString('latin1', 8), server.errors[0]!.message);
    // What comes afterwards is not read.
    server.session.onData(frame(FrameType.Ping, 0, 0, '12345678'));
    assert.equal(server.sink.take().length, 0);
  });
}

test('a client that does not speak HTTP/2 is told so by its first wrong byte', () => {
  const server = new TestServer();
  server.session.onData(Buffer.from('GET / HTTP/1.1\r\n'));
  assert.equal(server.errors[0]!.message, 'Received bad client magic byte string');
});

test('the first frame must be SETTINGS', () => {
  const server = new TestServer();
  server.session.onData(Buffer.concat([preface, frame(FrameType.Ping, 0, 0, '12345678')]));
  assert.equal(server.errors[0]!.message, 'SETTINGS expected');
});

test('a stream beyond the limit is refused, and the next one after an end is not', () => {
  const server = served({ maxConcurrentStreams: 1 });
  server.session.onData(headers(1, request()));
  server.session.onData(headers(3, request()));
  assert.deepEqual(summary(framesOf(server.sink.take())), ['RST_STREAM 3 7']);
  assert.equal(server.stats.stream_refused_errors.value, 1);
  server.streams[0]!.encoder.encodeHeaders(headerMap({ status: 200 }), true);
  server.session.onData(headers(5, request()));
  assert.equal(server.streams.length, 2);
});

test('frames of unknown types are ignored', () => {
  const server = served();
  server.session.onData(Buffer.concat([frame(0x4d, 4, 0, 'metadata'), headers(1, request())]));
  assert.equal(server.streams[0]!.decoder.log[0], 'GET http h / $');
});

const resets = [
  { code: H2Error.NoError, says: 'reset RemoteReset http2.remote_reset' },
  { code: H2Error.ProtocolError, says: 'reset ProtocolError http2.remote_reset' },
  { code: H2Error.InternalError, says: 'reset RemoteReset http2.remote_reset' },
  { code: H2Error.RefusedStream, says: 'reset RemoteRefusedStreamReset http2.remote_refuse' },
  { code: H2Error.Cancel, says: 'reset RemoteReset http2.remote_reset' },
  { code: H2Error.ConnectError, says: 'reset ConnectError http2.remote_reset' },
  { code: H2Error.EnhanceYourCalm, says: 'reset RemoteReset http2.remote_reset' },
];
for (const { code, says } of resets) {
  test(`RST_STREAM ${code} is ${says}`, () => {
    const server = served();
    server.session.onData(Buffer.concat([open, frame(FrameType.RstStream, 0, 1, uint32(code))]));
    assert.equal(server.streams[0]!.decoder.log.at(-1), says);
    assert.deepEqual(nonZero(server.stats), { nghttp2_downstream_connections: 1, rx_reset: 1 });
  });
}

test('RST_STREAM 0 behind a complete request is no fault', () => {
  const server = served();
  server.session.onData(Buffer.concat([headers(1, request()), frame(FrameType.RstStream, 0, 1, uint32(0))]));
  assert.equal(server.streams[0]!.decoder.log.at(-1), 'reset RemoteResetNoError');
});

/** A client that was greeted, and a stream of it. */
function requested(headerMapOfRequest: HeaderMap, options: Partial<H2Options> = {}) {
  const client = new TestClient(options);
  const [encoder, decoder] = client.request(headerMapOfRequest);
  client.session.onData(settings());
  client.sink.take();
  return { client, encoder, decoder };
}
const anyRequest = (method = 'GET') => headerMap({ method, scheme: 'http', authority: 'h', path: '/' });

const answers: { name: string; method?: string; bytes: Buffer[]; says: string[] }[] = [
  {
    name: 'informational ones first',
    bytes: [headers(1, block(':status: 103', 'link: x'), endHeaders), headers(1, block(':status: 200'))],
    says: ['1xx 103 | link: x', '200 $'],
  },
  {
    name: 'whose body comes after an informational one',
    bytes: [headers(1, block(':status: 103'), endHeaders), frame(FrameType.Data, endStream, 1, 'abc')],
    says: ['1xx 103', 'reset ProtocolError'],
  },
  {
    name: 'of trailers only',
    bytes: [headers(1, block(':status: 200', 'grpc-status: 5'))],
    says: ['200 | grpc-status: 5 $'],
  },
  {
    name: 'to HEAD with a length',
    method: 'HEAD',
    bytes: [headers(1, block(':status: 200', 'content-length: 5'))],
    says: ['200 | content-length: 5 $'],
  },
  {
    name: 'of 304 with a length',
    bytes: [headers(1, block(':status: 304', 'content-length: 5'))],
    says: ['304 | content-length: 5 $'],
  },
  {
    name: 'of 204 with a length of 0',
    bytes: [headers(1, block(':status: 204', 'content-length: 0'))],
    says: ['204 $'],
  },
  { name: 'of 101', bytes: [headers(1, block(':status: 101'))], says: ['reset ProtocolError'] },
  { name: 'without a status', bytes: [headers(1, block('a: b'))], says: ['reset ProtocolError'] },
  {
    name: 'that ends informational',
    bytes: [headers(1, block(':status: 100'))],
    says: ['reset ProtocolError'],
  },
  {
    name: 'with a broken status',
    bytes: [headers(1, block(':status: 2000'))],
    says: ['reset ProtocolError'],
  },
  {
    name: 'with connection',
    bytes: [headers(1, block(':status: 200', 'connection: close'))],
    says: ['reset ProtocolError'],
  },
  {
    name: 'shorter than its length',
    bytes: [
      headers(1, block(':status: 200', 'content-length: 5'), endHeaders),
      frame(FrameType.Data, endStream, 1, 'abc'),
    ],
    says: ['200 | content-length: 5', 'reset ProtocolError'],
  },
];
for (const { name, method, bytes, says } of answers) {
  test(`a response ${name}`, () => {
    const { client, decoder } = requested(anyRequest(method), { streamErrorOnInvalidMessage: true });
    client.session.onData(Buffer.concat(bytes));
    assert.deepEqual(decoder.log, says);
    assert.equal(client.session.activeStreams, 0);
    assert.equal(client.log.at(-1), 'end true');
  });
}

test('a malformed response ends the connection by default', () => {
  const { client, decoder } = requested(anyRequest());
  client.session.onData(headers(1, block(':status: 200', 'Foo: x')));
  assert.deepEqual(decoder.log, ['reset ProtocolError']);
  assert.equal(client.errors.length, 1);
});

test('GOAWAY refuses the streams above its limit, and lets the others finish', () => {
  const client = new TestClient();
  const [, first] = client.request(anyRequest());
  const [, second] = client.request(anyRequest());
  client.session.onData(settings());
  client.session.onData(frame(FrameType.GoAway, 0, 0, Buffer.concat([uint32(1), uint32(0)])));
  assert.deepEqual(second.log, ['reset RemoteRefusedStreamReset']);
  client.session.onData(headers(1, block(':status: 200')));
  assert.deepEqual(first.log, ['200 $']);
  assert.deepEqual(client.log, ['goaway', 'end true', 'end false']);
});

const floods: { name: string; frames: () => Buffer; counts: string; options: Partial<H2Options> }[] = [
  {
    name: 'empty DATA',
    frames: () => frame(FrameType.Data, 0, 1, ''),
    counts: 'inbound_empty_frames_flood',
    options: {},
  },
  {
    name: 'DATA of padding',
    frames: () => frame(FrameType.Data, 8, 1, '\x01\0'),
    counts: 'inbound_empty_frames_flood',
    options: {},
  },
  {
    name: 'PRIORITY',
    frames: () => frame(FrameType.Priority, 0, 3, Buffer.alloc(5)),
    counts: 'inbound_priority_frames_flood',
    options: { maxInboundPriorityFramesPerStream: 10 },
  },
  {
    name: 'WINDOW_UPDATE',
    frames: () => frame(FrameType.WindowUpdate, 0, 1, uint32(1)),
    counts: 'inbound_window_update_frames_flood',
    options: {},
  },
  {
    name: 'PING',
    frames: () => frame(FrameType.Ping, 0, 0, '12345678'),
    counts: 'outbound_control_flood',
    options: {},
  },
  { name: 'SETTINGS', frames: () => settings(), counts: 'outbound_control_flood', options: {} },
];
for (const { name, frames, counts, options } of floods) {
  test(`a flood of ${name} ends the connection`, () => {
    const server = served(options);
    server.sink.slow = true;
    server.session.onData(open);
    for (let i = 0; i < 2000 && server.errors.length === 0; i++) {
      server.session.onData(frames());
      server.sink.take();
    }
    assert.equal(server.errors[0]!.flood, true);
    assert.equal(nonZero(server.stats)[counts], 1);
  });
}

test('a peer that reads what it asks for may ask for as much as it likes', () => {
  const server = served();
  for (let i = 0; i < 5000; i++) {
    server.session.onData(frame(FrameType.Ping, 0, 0, '12345678'));
    server.sink.take();
  }
  assert.deepEqual(server.errors, []);
});

test('rapid resets end the connection, slow ones do not', () => {
  const server = served({ streamResetBurst: 10, streamResetRate: 2 });
  const resetOne = (id: number) =>
    server.session.onData(
      Buffer.concat([headers(id, request()), frame(FrameType.RstStream, 0, id, uint32(8))]),
    );
  let id = 1;
  for (let i = 0; i < 40; i++, id += 2) {
    resetOne(id);
    server.clock.advance(1000);
  }
  assert.deepEqual(server.errors, []);
  for (let i = 0; i < 11; i++, id += 2) resetOne(id);
  assert.equal(server.errors.length, 1);
});

test('a flood of CONTINUATION ends the connection before it fills the memory', () => {
  const server = served();
  server.session.onData(headers(1, request(), 0));
  let frames = 0;
  while (server.errors.length === 0 && frames < 1000) {
    server.session.onData(frame(FrameType.Continuation, 0, 1, Buffer.alloc(16000, 0)));
    frames++;
  }
  assert.ok(frames < 20, `${frames} frames`);
  const small = served();
  small.session.onData(headers(1, request(), 0));
  for (frames = 0; small.errors.length === 0 && frames < 1000; frames++) {
    small.session.onData(frame(FrameType.Continuation, 0, 1, Buffer.alloc(1, 0)));
  }
  assert.ok(frames < 100, `${frames} frames`);
});

test('a slow reader cannot make us hold frames without end', () => {
  const server = served();
  server.session.onData(frame(FrameType.WindowUpdate, 0, 0, uint32(1 << 30)));
  server.session.onData(settings([4, 1 << 30]));
  server.session.onData(headers(1, request()));
  const { encoder } = server.streams[0]!;
  encoder.encodeHeaders(headerMap({ status: 200 }), false);
  server.sink.slow = true;
  for (let i = 0; i < 20000 && server.errors.length === 0; i++) {
    encoder.encodeData(Buffer.from('x'), false);
    server.sink.take();
  }
  assert.equal(server.errors[0]!.message, 'Too many frames in the outbound queue.');
  assert.equal(server.stats.outbound_flood.value, 1);
});

test('the table of our encoder is in step with what goes out in parts', () => {
  const encoder = new HpackEncoder();
  const large = headerMap(
    { status: 200 },
    ...Array.from({ length: 60 }, (_, i) => [`x-${i}`, 'v'.repeat(900)]).flat(),
  );
  const target = Buffer.alloc(encoder.bound(large));
  assert.ok(encoder.encode(large, target, 0) > 16384 * 2);
  const server = served();
  server.session.onData(headers(1, request()));
  server.streams[0]!.encoder.encodeHeaders(large, true);
  const frames = framesOf(server.sink.take());
  assert.deepEqual([...new Set(summary(frames))], ['Headers 1', 'Continuation 1']);
  assert.deepEqual(
    frames.map(({ flags }) => flags),
    [1, ...frames.slice(1, -1).map(() => 0), 4],
  );
});
