import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Http1ServerRecorder as Recorder, responseHeaders } from '#testing/http1-recorder.ts';
import { ResetReason } from './codec.ts';
import { defaultHttp1Options, HeaderKeyFormat, type Http1Options, UnderscoreAction } from './h1-options.ts';

interface Request {
  readonly bytes: string;
  readonly events: readonly string[];
  readonly options?: Partial<Http1Options>;
}

const head = 'POST / HTTP/1.1\r\nhost: a\r\n';
const chunked = `${head}transfer-encoding: chunked\r\n\r\n`;
const taken = ['POST //a / transfer-encoding: chunked', 'data hello', 'end'];

// What Envoy 1.40 makes of them, asked of it one by one.
const requests: readonly Request[] = [
  {
    bytes: 'GET /a?b=c HTTP/1.1\r\nHost: example.com\r\nX-Custom: One\r\naccept: */*\r\n\r\n',
    events: ['GET //example.com /a?b=c x-custom: One accept: */*', 'end'],
  },
  { bytes: '\r\n\r\nGET / HTTP/1.1\nhost: a\n\n', events: ['GET //a /', 'end'] },
  { bytes: 'GET  /  HTTP/1.1 \r\nhost:\t a \t\r\nempty:\r\n\r\n', events: ['GET //a / empty:', 'end'] },
  {
    bytes: 'GET / HTTP/1.1\r\nhost: a\r\nfoo: a\r\n b\r\n  c\r\n\r\n',
    events: ['GET //a / foo: a b  c', 'end'],
  },
  { bytes: 'GET / HTTP/1.1\r\nhost: a\r\nfoo:\r\n\ta\r\n \r\n\r\n', events: ['GET //a / foo: a', 'end'] },
  { bytes: 'GET / HTTP/1.1\r\nhost: a\r\nfoo: a\rb\r\r\n\r\n', events: ['GET //a / foo: ab', 'end'] },
  {
    bytes:
      'GET / HTTP/1.1\r\nhost: a\r\naccept: b\r\nx: 1\r\nx: 2\r\naccept: c\r\ncookie: d\r\ncookie: e\r\nhost: f\r\n\r\n',
    events: ['GET //a,f / accept: b,c x: 1 x: 2 cookie: d cookie: e', 'end'],
  },
  {
    bytes: 'GET / HTTP/1.1\r\nhost:\r\nhost: a\r\nhost:\r\naccept:\r\naccept: b\r\n\r\n',
    events: ['GET //a / accept: b', 'end'],
  },
  { bytes: 'GET http://b:81/p?q HTTP/1.1\r\nhost: a\r\n\r\n', events: ['GET http://b:81 /p?q', 'end'] },
  { bytes: 'GET HTTPS://u:p@b HTTP/1.1\r\nhost: a\r\n\r\n', events: ['GET https://b /', 'end'] },
  { bytes: 'GET / HTTP/1.1\r\nhost:\r\n\r\n', events: ['GET //"" /', 'end'] },
  { bytes: 'GET / HTTP/1.1\r\n\r\n', events: ['GET // /', 'end'] },
  { bytes: 'OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n', events: ['OPTIONS //a *', 'end'] },
  {
    bytes: 'GET http://b/p HTTP/1.1\r\nhost: a\r\n\r\n',
    options: { allowAbsoluteUrl: false },
    events: ['GET //a http://b/p', 'end'],
  },
  {
    bytes: `${head}content-length: 5\r\n\r\nhello`,
    events: ['POST //a / content-length: 5', 'data hello', 'end'],
  },
  { bytes: `${head}content-length: 0\r\n\r\n`, events: ['POST //a / content-length: 0', 'end'] },
  { bytes: `${chunked}5\r\nhello\r\n0\r\n\r\n`, events: taken },
  { bytes: `${chunked}2 \r\nhe\r\n0003;a="b;c"\r\nllo\r\n000;x\r\n\r\n`, events: taken },
  { bytes: `${chunked}5\r\nhello stray\n0\r\n\n`, events: taken },
  { bytes: `${chunked}5\r\nhello\r\n0\r\nx-t: 1\r\n\r\n`, events: taken },
  {
    bytes: `${chunked}5\r\nhello\r\n0\r\nX-T: 1\r\nother:  2 \r\n\r\n`,
    options: { enableTrailers: true },
    events: [taken[0]!, taken[1]!, 'trailers x-t 1 other 2', 'end'],
  },
  {
    bytes: `${head}content-length: 9\r\ntransfer-encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
    options: { allowChunkedLength: true },
    events: ['POST //a / transfer-encoding: Chunked', 'data hello', 'end'],
  },
  {
    bytes: 'CONNECT b:443 HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\nraw\r\n0\r\n\r\n',
    events: ['CONNECT //b:443', 'data raw\r\n0\r\n\r\n'],
  },
  {
    bytes: `GET / HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\r\nraw`,
    events: ['GET //a / connection: keep-alive, Upgrade upgrade: websocket', 'data raw'],
  },
  {
    bytes:
      'GET / HTTP/1.1\r\nhost: a\r\nconnection: Upgrade, HTTP2-Settings, x\r\nupgrade: h2c\r\nhttp2-settings: y\r\nx: z\r\n\r\n',
    events: ['GET //a / connection: x', 'end'],
  },
  {
    bytes: 'GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: TLS/1.0\r\n\r\n',
    options: { ignoresUpgrade: (protocol) => protocol.startsWith('TLS/') },
    events: ['GET //a /', 'end'],
  },
  {
    bytes: 'GET / HTTP/1.1\r\nhost: a\r\nconnection: te, x-hop\r\nte: trailers, deflate\r\nx-hop: 1\r\n\r\n',
    events: ['GET //a / connection: te, x-hop te: trailers', 'end'],
  },
  {
    bytes: 'GET / HTTP/1.1\r\nhost: a\r\nx_y: 1\r\nx-z: 2\r\n\r\n',
    options: { underscores: UnderscoreAction.DropHeader },
    events: ['GET //a / x-z: 2', 'end'],
  },
  {
    bytes: 'BREW / HTTP/1.1\r\nhost: a\r\n\r\n',
    options: { allowCustomMethods: true },
    events: ['BREW //a /', 'end'],
  },
  {
    bytes: 'GET / HTTP/1.0\r\n\r\n',
    options: { acceptHttp10: true, defaultHostForHttp10: 'd' },
    events: ['GET //d /', 'end'],
  },
  { bytes: 'GET /HTTP/1.1\r\n', events: ['GET // /HTTP/1.1', 'end'] },
  { bytes: 'GET /\r\n', options: { acceptHttp10: true }, events: ['GET // /', 'end'] },
];

for (const { bytes, events, options } of requests) {
  test(`takes ${JSON.stringify(bytes)}`, () => {
    for (let at = 0; at <= bytes.length; at++) {
      const recorder = new Recorder(options).send(bytes.slice(0, at)).send(bytes.slice(at));
      assert.deepEqual(recorder.events, events, `split at ${at}`);
    }
  });
}

const get = 'GET / HTTP/1.1\r\nhost: a\r\n';
const codecError = '400 http1.codec_error';
const invalidCharacters = '400 http1.invalid_characters';
const invalidUrl = '400 http1.invalid_url';
const refused: readonly (readonly [bytes: string, error: string, options?: Partial<Http1Options>])[] = [
  ['\x16\x03\x01', codecError],
  ['x\n', codecError],
  [' GET / HTTP/1.1\r\n', codecError],
  ['get / HTTP/1.1\r\n', codecError],
  ['GETX / HTTP/1.1\r\n', codecError],
  ['M-SEARCH / HTTP/1.1\r\n', codecError],
  ['B(W / HTTP/1.1\r\n', codecError, { allowCustomMethods: true }],
  ['GET\r\n', codecError],
  ['GET /a b HTTP/1.1\r\n', codecError],
  ['GET / http/1.1\r\n', codecError],
  ['GET / HTTP/1.10\r\n', codecError],
  ['GET /\xe9 HTTP/1.1\r\n', codecError],
  ['GET a:80 HTTP/1.1\r\n', codecError],
  ['GET ?x HTTP/1.1\r\n', codecError],
  ['GET http://a{b/ HTTP/1.1\r\n', codecError],
  ['GET http://a@@b/ HTTP/1.1\r\n', codecError],
  ['GET /a\0b HTTP/1.1\r\n', codecError],
  ['GET\x01/ HTTP/1.1\r\nhost: a\r\n\r\n', invalidCharacters],
  ['GET * HTTP/1.1\r\n\r\n', invalidUrl],
  ['GET http:/// HTTP/1.1\r\n\r\n', invalidUrl],
  ['GET http://a_b/ HTTP/1.1\r\n\r\n', invalidUrl],
  ['GET http://a:x/ HTTP/1.1\r\n\r\n', invalidUrl],
  ['GET http://a:99999/ HTTP/1.1\r\n\r\n', invalidUrl],
  ['GET http://[::1/ HTTP/1.1\r\n\r\n', invalidUrl],
  ['GET ftp://a/ HTTP/1.1\r\n\r\n', '400 http1.invalid_scheme'],
  [
    'GET https://a/ HTTP/1.1\r\n\r\n',
    '403 http1.https_url_on_plaintext_connection',
    { refuseHttpsTarget: true },
  ],
  ['CONNECT a HTTP/1.1\r\n\r\n', invalidUrl],
  ['CONNECT a:443/x HTTP/1.1\r\n\r\n', invalidUrl],
  ['CONNECT u@a:443 HTTP/1.1\r\n\r\n', invalidUrl],
  ['CONNECT /x HTTP/1.1\r\n\r\n', invalidUrl],
  ['CONNECT a:443 HTTP/1.1\r\ncontent-length: 5\r\n\r\n', '400 http1.body_disallowed'],
  ['CONNECT a:443 HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n', '501 http1.invalid_transfer_encoding'],
  ['GET / HTTP/1.0\r\nhost: a\r\n\r\n', '426 low_version'],
  ['GET / HTTP/2.0\r\nhost: a\r\n\r\n', '426 low_version'],
  ['GET /\r\n', '426 low_version'],
  ['GET /HTTP/1.1 \r\n', '426 low_version'],
  [
    `${get}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\ncontent-length: x\r\n\r\n`,
    '501 http1.invalid_transfer_encoding',
    { allowChunkedLength: true },
  ],
  [
    `${get}a: 1\r\nb_: 2\r\n\r\n`,
    '431 http1.too_many_headers',
    { maxHeadersCount: 1, underscores: UnderscoreAction.RejectRequest },
  ],
  [
    `${get}b_: 2\r\n\r\n`,
    '400 http1.unexpected_underscore',
    { maxHeadersCount: 1, underscores: UnderscoreAction.RejectRequest },
  ],
  [`${get}foo\r\n\r\n`, codecError],
  [`${get}foo : b\r\n\r\n`, codecError],
  [`${get}: b\r\n\r\n`, codecError],
  [`${get}f(o: b\r\n\r\n`, codecError],
  [`${get}f\xe9o: b\r\n\r\n`, codecError],
  [`${get}:path: b\r\n\r\n`, codecError],
  [`${get}foo: a\r\n\r\r\n\r\n`, codecError],
  ['GET / HTTP/1.1\r\n foo: b\r\nhost: a\r\n\r\n', codecError],
  [`${get}foo: a\0b\r\n\r\n`, invalidCharacters],
  [`${get}foo: a\x7f\r\n\r\n`, invalidCharacters],
  [`${get}bad line\r\nfoo: \x01\r\n\r\n`, invalidCharacters],
  ['GET / HTTP/1.1\r\nhost: a b\r\n\r\n', '400 http.invalid_authority'],
  ['GET / HTTP/1.1\r\nhost: a/b\r\n\r\n', '400 http.invalid_authority'],
  [`${get}content-length: +1\r\n\r\n`, codecError],
  [`${get}content-length: 1, 1\r\n\r\n`, codecError],
  [`${get}content-length: 1\r\ncontent-length: 1\r\n\r\n`, codecError],
  [`${get}content-length:\r\n\r\n`, codecError],
  [`${get}content-length: 18446744073709551616\r\n\r\n`, codecError],
  [`${get}transfer-encoding: gzip, chunked\r\n\r\n`, '501 http1.invalid_transfer_encoding'],
  [
    `${get}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n`,
    '501 http1.invalid_transfer_encoding',
  ],
  [`${get}transfer-encoding: identity\r\n\r\n`, '501 http1.invalid_transfer_encoding'],
  [
    `${get}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n`,
    '400 http1.content_length_and_chunked_not_allowed',
  ],
  [
    `${get}content-length: x\r\ntransfer-encoding: chunked\r\n\r\n`,
    '400 http1.content_length_and_chunked_not_allowed',
  ],
  [
    `${get}content-length: 5\r\ntransfer-encoding: identity\r\n\r\n`,
    '400 http1.content_length_and_chunked_not_allowed',
    { allowChunkedLength: true },
  ],
  [`${get}connection: x-forwarded-for\r\n\r\n`, '400 http1.connection_header_rejected'],
  [`${get}connection: :path\r\n\r\n`, '400 http1.connection_header_rejected'],
  [`${get}connection: a,b,c,d,e,f,g,h,i,j\r\n\r\n`, '400 http1.connection_header_rejected'],
  [
    `${get}x_y: 1\r\n\r\n`,
    '400 http1.unexpected_underscore',
    { underscores: UnderscoreAction.RejectRequest },
  ],
  [`${get}a: 1\r\nb: 2\r\n\r\n`, '431 http1.too_many_headers', { maxHeadersCount: 2 }],
  [`${get}a: ${'1'.repeat(40)}\r\n\r\n`, '431 http1.headers_too_large', { maxHeadersBytes: 64 }],
  [`GET /${'1'.repeat(60)}`, '431 http1.headers_too_large', { maxHeadersBytes: 64 }],
  ...['5\n', 'x\r\n', '0x5\r\n', '\r\n', '5;a\n', '5;a\rb\r\n', '5\r\r\n', '10000000000000000\r\n'].map(
    (line) => [chunked + line, codecError] as const,
  ),
  [`${chunked}0\r\nx y\r\n\r\n`, codecError],
  [`${chunked}0\r\nx: \0\r\n\r\n`, invalidCharacters],
  [`${chunked}0\r\nx: ${'1'.repeat(80)}\r\n\r\n`, '431 http1.headers_too_large', { maxHeadersBytes: 80 }],
];

for (const [bytes, error, options] of refused) {
  test(`refuses ${JSON.stringify(bytes)} with ${error}`, () => {
    for (let at = 0; at <= bytes.length; at++) {
      const recorder = new Recorder(options).send(bytes.slice(0, at)).send(bytes.slice(at));
      const last = recorder.events.at(-1) ?? '';
      assert.equal(/^error (\d+ \S+)/.exec(last)?.[1], error, `split at ${at}: ${recorder.events}`);
    }
  });
}

test('as in Envoy, what came in one read decides which error is named and what is lost with a broken chunk', () => {
  const bad = ['FOO / HTTP/1.1\r\n', 'x: \0\r\n\r\n'];
  assert.match(new Recorder().send(bad.join('')).events.at(-1)!, /invalid_characters/);
  assert.match(new Recorder().send(bad[0]!).send(bad[1]!).events.at(-1)!, /codec_error/);
  const broken = [`${chunked}5\r\nhello\r\n`, 'zz\r\n'];
  assert.doesNotMatch(new Recorder().send(broken.join('')).events.join(), /hello/);
  assert.match(new Recorder().send(broken[0]!).send(broken[1]!).events.join(), /hello/);
});

test('a head that fits the limit exactly is taken', () => {
  const bytes = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n';
  for (let at = 0; at < bytes.length; at++) {
    const fits = new Recorder({ maxHeadersBytes: bytes.length })
      .send(bytes.slice(0, at))
      .send(bytes.slice(at));
    assert.deepEqual(fits.events, ['GET //a /', 'end']);
    const tooLong = new Recorder({ maxHeadersBytes: bytes.length - 1 })
      .send(bytes.slice(0, at))
      .send(bytes.slice(at));
    assert.match(tooLong.events.at(-1)!, /headers_too_large/);
  }
});

test('a head of very many lines is refused whatever the options say', () => {
  const recorder = new Recorder({ maxHeadersBytes: 1e6, maxHeadersCount: 1e6 });
  recorder.send(`GET / HTTP/1.1\r\n${'a:\n'.repeat(8193)}\r\n`);
  assert.match(recorder.events.at(-1)!, /^error 431 http1.too_many_headers/);
});

test('there is a stream to answer on, even for garbage', () => {
  const recorder = new Recorder().send('garbage\r\n');
  recorder.reply(400, ['connection', 'close'], 'Bad Request');
  assert.match(recorder.written, /^HTTP\/1\.1 400 Bad Request\r\n/);
});

test('counts headers with underscores', () => {
  const counts = {
    droppedHeadersWithUnderscores: { value: 0 },
    requestsRejectedWithUnderscoresInHeaders: { value: 0 },
  };
  const bytes = 'GET / HTTP/1.1\r\nhost: a\r\nx_y: 1\r\nz_: 1\r\n\r\n';
  new Recorder({ counts, underscores: UnderscoreAction.DropHeader }).send(bytes);
  new Recorder({ counts, underscores: UnderscoreAction.RejectRequest }).send(bytes);
  assert.deepEqual(counts, {
    droppedHeadersWithUnderscores: { value: 2 },
    requestsRejectedWithUnderscoresInHeaders: { value: 1 },
  });
});

test('the stream begins with the first byte, so that its timers do', () => {
  const recorder = new Recorder().send('\r\n');
  assert.equal(recorder.encoders.length, 1);
  recorder.send('G');
  assert.equal(recorder.encoders.length, 1);
  recorder.send('ET / HTTP/1.1\r\nhost: a\r\n\r\n');
  assert.deepEqual(recorder.events, ['GET //a /', 'end']);
  assert.equal(recorder.encoders.length, 1);
});

test('small chunks of one read are delivered as one, large ones as they are', () => {
  const delivered: number[] = [];
  const recorder = new Recorder();
  recorder.decoder.decodeData = (data) => delivered.push(data.length);
  const chunk = (length: number) => `${length.toString(16)}\r\n${'x'.repeat(length)}\r\n`;
  recorder.send(
    `${chunked}${chunk(5)}${chunk(6)}${chunk(7)}${chunk(16_000)}${chunk(1000)}${chunk(3)}0\r\n\r\n`,
  );
  assert.deepEqual(delivered, [16_018, 1003, 0]);
});

test('pipelined requests wait for the response before them, and reading stops when they are many', async () => {
  const recorder = new Recorder();
  const long = `x: ${'y'.repeat(40_000)}`;
  recorder.send(`GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\n${long}\r\nhost: a\r\n\r\nGET /3 HT`);
  assert.deepEqual(recorder.events.splice(0), ['GET //a /1', 'end']);
  recorder.send(`TP/1.1\r\n${long}\r\nhost: a\r\n\r\n`);
  assert.deepEqual(recorder.events.splice(0), ['pause']);
  recorder.reply(200, [], 'one');
  assert.deepEqual(recorder.events, []);
  await Promise.resolve();
  assert.deepEqual(recorder.events.splice(0), [`GET //a /2 ${long}`, 'end', 'resume']);
  recorder.reply(404);
  await Promise.resolve();
  assert.deepEqual(recorder.events.splice(0), [`GET //a /3 ${long}`, 'end']);
  assert.equal(
    recorder.written,
    'HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\noneHTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n',
  );
});

test('requests that are answered at once are read in one go', () => {
  const recorder = new Recorder();
  recorder.answers = true;
  recorder.send('GET /1 HTTP/1.1\r\nhost: a\r\n\r\n'.repeat(3));
  assert.deepEqual(recorder.events, ['GET //a /1', 'end', 'GET //a /1', 'end', 'GET //a /1', 'end']);
});

test('nothing is read after a response that closes', () => {
  const recorder = new Recorder();
  recorder.send('GET /1 HTTP/1.1\r\nhost: a\r\n\r\n');
  recorder.codec.goAway();
  recorder.reply(200, ['connection', 'close']);
  recorder.send('GET /2 HTTP/1.1\r\nhost: a\r\n\r\n');
  assert.deepEqual(recorder.events, ['GET //a /1', 'end']);
});

test('the body of a request goes on being read while its response, which closes, is written', () => {
  const recorder = new Recorder();
  recorder.send(`${head}content-length: 5\r\n\r\nhe`);
  const encoder = recorder.encoders[0]!;
  recorder.codec.goAway();
  encoder.encodeHeaders(responseHeaders(200), false);
  recorder.send('llo');
  encoder.encodeData(Buffer.from('x'), true);
  assert.deepEqual(recorder.events, ['POST //a / content-length: 5', 'data hello', 'end']);
});

test('an early response does not disturb the next request', () => {
  const recorder = new Recorder().send(`${head}content-length: 5\r\n\r\nhe`);
  recorder.reply(200);
  recorder.send('lloGET / HTTP/1.1\r\nhost: b\r\n\r\n');
  assert.deepEqual(recorder.events.slice(-2), ['GET //b /', 'end']);
});

test('goAway closes with the next response', () => {
  const recorder = new Recorder().send('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
  recorder.codec.goAway();
  recorder.reply(200);
  assert.equal(recorder.written, 'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
});

test('a lost connection resets the stream once', () => {
  const recorder = new Recorder().send('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
  recorder.codec.onEnd();
  recorder.codec.onConnectionClose(ResetReason.ConnectionTermination, 'again');
  recorder.reply(200);
  assert.deepEqual(recorder.events.slice(2), ['reset 8']);
  assert.equal(recorder.written, '');
});

test('an error in the body is told with the stream still open for the answer', () => {
  const recorder = new Recorder().send(`${chunked}zz\r\n`);
  recorder.reply(400, ['connection', 'close'], 'Bad Request');
  assert.match(recorder.written, /^HTTP\/1\.1 400 Bad Request\r\nconnection: close\r\n/);
});

test('a kept encoder cannot write into the next response', () => {
  const recorder = new Recorder();
  recorder.answers = true;
  recorder.send('GET /1 HTTP/1.1\r\nhost: a\r\n\r\n');
  const { written } = recorder;
  recorder.encoders[0]!.encodeData(Buffer.from('late'), true);
  assert.equal(recorder.written, written);
});

test('readDisable is counted, and given back with the stream', () => {
  const recorder = new Recorder().send('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
  const encoder = recorder.encoders[0]!;
  encoder.readDisable(true);
  encoder.readDisable(true);
  encoder.readDisable(false);
  assert.deepEqual(recorder.events.splice(0).slice(2), ['pause']);
  recorder.reply(200);
  assert.deepEqual(recorder.events, ['resume']);
});

test('a stream that begins on a full connection is told', () => {
  const recorder = new Recorder();
  recorder.codec.onAboveWriteBufferHighWatermark();
  recorder.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
  recorder.codec.onBelowWriteBufferLowWatermark();
  assert.deepEqual(recorder.events, ['above', 'GET //a /', 'end', 'below']);
});

test('counts the bytes of each message', () => {
  const recorder = new Recorder();
  const bytes = `${chunked}5\r\nhello\r\n0\r\n\r\n`;
  recorder.send(bytes.slice(0, 20)).send(`${bytes.slice(20)}GET`);
  recorder.reply(200, [], 'ok');
  // With what came together with the request.
  assert.equal(recorder.encoders[0]!.wireBytesReceived, bytes.length + 3);
  assert.equal(recorder.encoders[0]!.wireBytesSent, recorder.written.length);
});

interface Response {
  readonly name: string;
  readonly status: number;
  readonly fields?: readonly string[];
  readonly body?: readonly string[];
  readonly trailers?: readonly string[];
  readonly request?: string;
  readonly options?: Partial<Http1Options>;
  readonly written: string;
}

const responses: readonly Response[] = [
  { name: 'no body', status: 200, written: 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n' },
  { name: 'an unknown status', status: 299, written: 'HTTP/1.1 299 Unknown\r\ncontent-length: 0\r\n\r\n' },
  { name: '204', status: 204, written: 'HTTP/1.1 204 No Content\r\n\r\n' },
  { name: '304', status: 304, written: 'HTTP/1.1 304 Not Modified\r\n\r\n' },
  {
    name: 'a body of unknown length',
    status: 200,
    body: ['hello', 'world wide web'],
    written:
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\ne\r\nworld wide web\r\n0\r\n\r\n',
  },
  {
    name: 'a body whose end comes alone',
    status: 200,
    body: ['hello', ''],
    written: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  },
  {
    name: 'a body with length',
    status: 200,
    fields: ['content-length', '5', 'x', 'y'],
    body: ['hel', 'lo'],
    written: 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx: y\r\n\r\nhello',
  },
  {
    name: 'trailers',
    status: 200,
    body: ['x'],
    trailers: ['a', 'b'],
    options: { enableTrailers: true },
    written: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\na: b\r\n\r\n',
  },
  {
    name: 'trailers that are not enabled',
    status: 200,
    body: ['x'],
    trailers: ['a', 'b'],
    written: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n',
  },
  {
    name: 'an answer to HEAD',
    status: 200,
    request: 'HEAD / HTTP/1.1\r\nhost: a\r\n\r\n',
    written: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n',
  },
  {
    name: 'an answer to HTTP/1.0',
    status: 200,
    request: 'GET / HTTP/1.0\r\nhost: a\r\n\r\n',
    options: { acceptHttp10: true },
    body: ['hel', 'lo'],
    written: 'HTTP/1.0 200 OK\r\n\r\nhello',
  },
  {
    name: 'a tunnel',
    status: 200,
    request: 'CONNECT a:443 HTTP/1.1\r\n\r\n',
    body: ['raw'],
    written: 'HTTP/1.1 200 OK\r\n\r\nraw',
  },
  {
    name: 'a refused tunnel',
    status: 403,
    request: 'CONNECT a:443 HTTP/1.1\r\n\r\n',
    body: ['raw'],
    written: 'HTTP/1.1 403 Forbidden\r\ntransfer-encoding: chunked\r\n\r\n3\r\nraw\r\n0\r\n\r\n',
  },
  {
    name: 'an upgrade',
    status: 101,
    fields: ['connection', 'upgrade', 'upgrade', 'websocket'],
    request: 'GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n',
    body: ['raw'],
    written: 'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nraw',
  },
  {
    name: 'proper case',
    status: 200,
    fields: ['x-foo-bar', '1', 'etag', '2'],
    options: { headerKeyFormat: HeaderKeyFormat.ProperCase },
    written: 'HTTP/1.1 200 OK\r\nX-Foo-Bar: 1\r\nEtag: 2\r\nContent-Length: 0\r\n\r\n',
  },
];

for (const { name, status, fields, body, trailers, request, options, written } of responses) {
  test(`writes ${name}`, () => {
    const recorder = new Recorder(options).send(request ?? 'GET / HTTP/1.1\r\nhost: a\r\n\r\n');
    const encoder = recorder.encoders[0]!;
    encoder.encodeHeaders(responseHeaders(status, fields), body === undefined);
    body?.forEach((data, i) => {
      encoder.encodeData(Buffer.from(data), trailers === undefined && i === body.length - 1);
    });
    if (trailers !== undefined) encoder.encodeTrailers(responseHeaders(0, trailers));
    assert.equal(recorder.written, written);
    assert.equal(encoder.wireBytesSent, written.length);
  });
}

test('writes informational responses in front', () => {
  const recorder = new Recorder().send('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
  recorder.encoders[0]!.encode1xx(responseHeaders(103, ['link', 'x']));
  recorder.reply(200);
  assert.equal(
    recorder.written,
    'HTTP/1.1 103 Unknown\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n',
  );
});

test('the defaults are those of Envoy', () => {
  const { counts, ...options } = defaultHttp1Options;
  assert.deepEqual(Object.keys(counts), [
    'droppedHeadersWithUnderscores',
    'requestsRejectedWithUnderscoresInHeaders',
  ]);
  assert.equal(options.maxHeadersBytes, 61440);
  assert.equal(options.maxHeadersCount, 100);
  assert.equal(options.acceptHttp10, false);
  assert.equal(options.enableTrailers, false);
});
