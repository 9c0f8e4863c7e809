import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  Http1ServerRecorder,
  Http1ClientRecorder as Recorder,
  requestHeaders,
  responseHeaders,
} from '#testing/http1-recorder.ts';
import { ResetReason } from './codec.ts';
import { HeaderKeyFormat, type Http1Options } from './h1-options.ts';
import type { HeaderMap } from './header-map.ts';

interface Response {
  readonly bytes: string;
  readonly events: readonly string[];
  readonly method?: string;
  /** Further headers of the request. */
  readonly fields?: readonly string[];
  readonly fin?: true;
  readonly options?: Partial<Http1Options>;
}

const ok = 'HTTP/1.1 200 OK\r\n';
const chunked = `${ok}transfer-encoding: chunked\r\n\r\n`;
const broken = (problem: string) => [`error ${problem}`, `reset ${ResetReason.ProtocolError}`];
const codecError = (problem: string) => broken(`400 http1.codec_error (${problem})`);
const websocket = ['connection', 'Upgrade', 'upgrade', 'websocket'];

// What Envoy 1.40 makes of them, asked of it one by one.
const responses: readonly Response[] = [
  {
    bytes: `${ok}content-length: 2\r\nX-A: b\r\n\r\nok`,
    events: ['200 content-length: 2 x-a: b', 'data ok', 'end', 'reusable'],
  },
  { bytes: `${ok}content-length: 0\r\n\r\n`, events: ['200 content-length: 0', 'end', 'reusable'] },
  {
    bytes: `${chunked}2\r\nok\r\n0\r\n\r\n`,
    events: ['200 transfer-encoding: chunked', 'data ok', 'end', 'reusable'],
  },
  {
    bytes: `${chunked}2\r\nok\r\n0\r\na: b\r\n\r\n`,
    options: { enableTrailers: true },
    events: ['200 transfer-encoding: chunked', 'data ok', 'trailers a b', 'end', 'reusable'],
  },
  { bytes: `${ok}\r\nok`, fin: true, events: ['200', 'data ok', 'end', 'not reusable'] },
  { bytes: `${ok}\r\n`, fin: true, events: ['200', 'end', 'not reusable'] },
  {
    bytes: 'HTTP/1.1 200\ncontent-length: 2\n\nok',
    events: ['200 content-length: 2', 'data ok', 'end', 'reusable'],
  },
  {
    bytes: 'HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok',
    events: ['go away', '200 content-length: 2', 'data ok', 'end', 'not reusable'],
  },
  {
    bytes: 'HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\ncontent-length: 2\r\n\r\nok',
    events: ['200 connection: Keep-Alive content-length: 2', 'data ok', 'end', 'reusable'],
  },
  {
    bytes: `${ok}connection: x, Close\r\ncontent-length: 0\r\n\r\n`,
    events: ['go away', '200 connection: x, Close content-length: 0', 'end', 'not reusable'],
  },
  {
    bytes:
      'HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n',
    events: ['interim 103 link: x', 'interim 100', '204', 'end', 'reusable'],
  },
  { bytes: 'HTTP/1.1 204 No\r\ncontent-length: 0\r\n\r\n', events: ['204', 'end', 'reusable'] },
  {
    bytes: 'HTTP/1.1 304 N\r\ncontent-length: 5\r\n\r\n',
    events: ['304 content-length: 5', 'end', 'reusable'],
  },
  { bytes: 'HTTP/1.1 99 Low\r\ncontent-length: 0\r\n\r\n', events: ['99', 'end', 'reusable'] },
  {
    bytes: 'HTTP/1.1 304 N\r\ncontent-length: x\r\n\r\n',
    events: ['304 content-length: x', 'end', 'reusable'],
  },
  { bytes: 'HTTP/1.1 0 X\r\n\r\nok', fin: true, events: ['0', 'data ok', 'end', 'not reusable'] },
  {
    bytes: 'HTTP/1.1 999 High\r\ncontent-length: 0\r\n\r\n',
    events: ['999 content-length: 0', 'end', 'reusable'],
  },
  {
    method: 'HEAD',
    bytes: `${ok}content-length: 5\r\n\r\n`,
    events: ['200 content-length: 5', 'end', 'reusable'],
  },
  { method: 'HEAD', bytes: chunked, events: ['200 transfer-encoding: chunked', 'end', 'reusable'] },
  {
    bytes: 'HTTP/1.1 101 S\r\nconnection: upgrade\r\nupgrade: foo\r\n\r\n',
    events: ['101 connection: upgrade upgrade: foo', 'end', 'reusable'],
  },
  {
    bytes: 'HTTP/1.1 101 S\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\nraw',
    fields: websocket,
    fin: true,
    events: [
      '101 connection: Upgrade upgrade: websocket',
      'data raw',
      `reset ${ResetReason.ConnectionTermination}`,
    ],
  },
  {
    bytes: 'HTTP/1.1 403 No\r\ncontent-length: 2\r\n\r\nno',
    fields: websocket,
    events: ['403 content-length: 2', 'data no', 'end', 'reusable'],
  },
  {
    method: 'CONNECT',
    bytes: `${ok}content-length: 3\r\n\r\nraw!`,
    events: ['200 content-length: 3', 'data raw!'],
  },
  {
    bytes: `${ok}host: x\r\nhost: y\r\nvary: a\r\nvary: b\r\nset-cookie: c\r\nset-cookie: d\r\ncontent-length: 0\r\n\r\n`,
    events: [
      '200 host: x host: y vary: a,b set-cookie: c set-cookie: d content-length: 0',
      'end',
      'reusable',
    ],
  },

  { bytes: '', fin: true, events: [`reset ${ResetReason.ConnectionTermination}`] },
  {
    bytes: 'HTTP/1.1 100 C\r\n\r\n',
    fin: true,
    events: ['interim 100', `reset ${ResetReason.ConnectionTermination}`],
  },
  { bytes: 'H', fin: true, events: codecError('HPE_INVALID_EOF_STATE') },
  { bytes: `${ok}content-le`, fin: true, events: codecError('HPE_INVALID_EOF_STATE') },
  {
    bytes: `${ok}content-length: 5\r\n\r\nok`,
    fin: true,
    events: ['200 content-length: 5', 'data ok', ...codecError('HPE_INVALID_EOF_STATE')],
  },
  {
    bytes: `${chunked}2\r\nok\r\n0\r\n`,
    fin: true,
    events: ['200 transfer-encoding: chunked', 'data ok', ...codecError('HPE_INVALID_EOF_STATE')],
  },
  { bytes: 'garbage', events: codecError('HPE_INVALID_VERSION') },
  { bytes: '\r\n', events: codecError('HPE_INVALID_VERSION') },
  { bytes: 'HTTP 200 OK\r\n', events: codecError('HPE_INVALID_VERSION') },
  { bytes: 'HTTP/1.1 2x0 OK\r\n', events: codecError('HPE_INVALID_STATUS') },
  { bytes: 'HTTP/1.1 1000 OK\r\n', events: codecError('HPE_INVALID_STATUS') },
  { bytes: 'HTTP/1.1\r\n', events: codecError('HPE_INVALID_STATUS') },
  {
    bytes: 'HTTP/1.1 200 O\0K\r\n\r\n',
    events: broken('400 http1.invalid_characters (header value contains invalid chars)'),
  },
  { bytes: `${ok}bad line\r\n\r\n`, events: codecError('malformed message') },
  { bytes: `${ok}content-length: abc\r\n\r\n`, events: codecError('UNPARSABLE_CONTENT_LENGTH') },
  {
    bytes: 'HTTP/1.1 204 No\r\ncontent-length: 5\r\n\r\n',
    events: broken('400 http1.content_length_not_allowed (content length not allowed in 1xx or 204)'),
  },
  {
    bytes: 'HTTP/1.1 204 No\r\ntransfer-encoding: chunked\r\n\r\n',
    events: broken('400 http1.transfer_encoding_not_allowed (transfer encoding not allowed in 1xx or 204)'),
  },
  {
    bytes: `${ok}transfer-encoding: gzip\r\n\r\n`,
    events: broken('501 http1.invalid_transfer_encoding (unsupported transfer encoding)'),
  },
  {
    bytes: `${ok}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n`,
    events: broken(
      "400 http1.content_length_and_chunked_not_allowed (both 'Content-Length' and 'Transfer-Encoding' are set.)",
    ),
  },
  {
    bytes: `${chunked}zz\r\n`,
    events: ['200 transfer-encoding: chunked', ...codecError('HPE_INVALID_CHUNK_SIZE')],
  },
  {
    bytes: `${ok}a: 1\r\nb: 2\r\n\r\n`,
    options: { maxHeadersCount: 1 },
    events: broken('431 http1.too_many_headers (headers count exceeds limit)'),
  },
];

for (const { bytes, events, method, fields, fin, options } of responses) {
  test(`reads ${JSON.stringify(bytes)}${fin ? ' and the end' : ''}${method ? ` for ${method}` : ''}`, () => {
    for (let at = 0; at <= bytes.length; at++) {
      const recorder = new Recorder(options);
      recorder.request(method ?? 'GET', fields);
      recorder.receive(bytes.slice(0, at));
      if (!recorder.events.some((event) => event.startsWith('error '))) recorder.receive(bytes.slice(at));
      if (fin) recorder.codec.onEnd();
      assert.deepEqual(recorder.events, events, `split at ${at}`);
      assert.equal(recorder.codec.activeStreams, /usable|reset/.test(events.at(-1)!) ? 0 : 1);
    }
  });
}

test('bytes behind a response end the connection, not the response', () => {
  const recorder = new Recorder();
  recorder.request('GET');
  recorder.receive(`${ok}content-length: 2\r\n\r\nokEXTRA`);
  assert.deepEqual(recorder.events, [
    '200 content-length: 2',
    'data ok',
    'end',
    'not reusable',
    'error 0  (extraneous data after response complete)',
  ]);
});

test('bytes that nobody asked for are an error', () => {
  const recorder = new Recorder();
  recorder.receive(ok);
  assert.deepEqual(recorder.events, ['error 0  (premature response)']);
});

test('a connection is used again', () => {
  const recorder = new Recorder();
  for (const method of ['HEAD', 'GET', 'GET']) {
    recorder.request(method);
    recorder.receive(`${ok}content-length: 2\r\n\r\n${method === 'HEAD' ? '' : 'ok'}`);
  }
  assert.equal(recorder.events.filter((event) => event === 'reusable').length, 3);
});

test('an early response leaves the connection unusable, whoever ends the stream', () => {
  for (const ends of ['request', 'reset'] as const) {
    const recorder = new Recorder();
    const encoder = recorder.request('POST', [], false);
    recorder.receive(`${ok}content-length: 0\r\n\r\n`);
    assert.deepEqual(recorder.events, ['200 content-length: 0', 'end']);
    if (ends === 'request') encoder.encodeData(Buffer.alloc(0), true);
    else encoder.reset(ResetReason.LocalReset);
    assert.deepEqual(recorder.events.slice(2), ['not reusable']);
  }
});

test('a reset asks the owner to close, and nothing follows', () => {
  const recorder = new Recorder();
  recorder.request('GET').reset(ResetReason.LocalReset);
  recorder.codec.onConnectionClose(ResetReason.ConnectionTermination, '');
  assert.deepEqual(recorder.events, ['not reusable']);
});

test('a lost connection resets the stream with the reason of the owner', () => {
  const recorder = new Recorder();
  recorder.request('GET');
  recorder.codec.onConnectionClose(ResetReason.ConnectionTimeout, 'details');
  assert.deepEqual(recorder.events, [`reset ${ResetReason.ConnectionTimeout} details`]);
});

test('counts the bytes of each message', () => {
  const recorder = new Recorder();
  const encoder = recorder.request('GET');
  const bytes = `${ok}content-length: 2\r\n\r\nok`;
  recorder.receive(bytes.slice(0, 9)).receive(bytes.slice(9));
  assert.equal(encoder.wireBytesReceived, bytes.length);
  assert.equal(encoder.wireBytesSent, recorder.written.length);
});

interface Request {
  readonly name: string;
  readonly method: string;
  readonly fields?: readonly string[];
  readonly body?: readonly string[];
  readonly trailers?: readonly string[];
  readonly options?: Partial<Http1Options>;
  readonly written: string;
}

const requests: readonly Request[] = [
  ...['GET', 'HEAD', 'DELETE', 'TRACE'].map((method) => ({
    name: `${method} without a body`,
    method,
    written: `${method} /p HTTP/1.1\r\nhost: a.com\r\n\r\n`,
  })),
  ...['POST', 'PUT', 'PATCH', 'OPTIONS', 'PURGE'].map((method) => ({
    name: `${method} without a body`,
    method,
    written: `${method} /p HTTP/1.1\r\nhost: a.com\r\ncontent-length: 0\r\n\r\n`,
  })),
  {
    name: 'a body with a length',
    method: 'POST',
    fields: ['content-length', '5'],
    body: ['hel', 'lo'],
    written: 'POST /p HTTP/1.1\r\nhost: a.com\r\ncontent-length: 5\r\n\r\nhello',
  },
  {
    name: 'a body of unknown length with trailers',
    method: 'GET',
    body: ['hello world, again'],
    trailers: ['a', 'b'],
    options: { enableTrailers: true },
    written:
      'GET /p HTTP/1.1\r\nhost: a.com\r\ntransfer-encoding: chunked\r\n\r\n12\r\nhello world, again\r\n0\r\na: b\r\n\r\n',
  },
  {
    name: 'CONNECT',
    method: 'CONNECT',
    body: ['raw'],
    written: 'CONNECT a.com HTTP/1.1\r\nhost: a.com\r\n\r\nraw',
  },
  {
    name: 'an upgrade',
    method: 'GET',
    fields: websocket,
    body: ['raw'],
    written: 'GET /p HTTP/1.1\r\nhost: a.com\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\nraw',
  },
  {
    name: 'a fully qualified target',
    method: 'GET',
    options: { sendFullyQualifiedUrl: true },
    written: 'GET http://a.com/p HTTP/1.1\r\nhost: a.com\r\n\r\n',
  },
  {
    name: 'proper case',
    method: 'POST',
    fields: ['x-foo', '1'],
    options: { headerKeyFormat: HeaderKeyFormat.ProperCase },
    written: 'POST /p HTTP/1.1\r\nHost: a.com\r\nX-Foo: 1\r\nContent-Length: 0\r\n\r\n',
  },
];

for (const { name, method, fields, body, trailers, options, written } of requests) {
  test(`writes ${name}`, () => {
    const recorder = new Recorder(options);
    const encoder = recorder.request(method, fields, body === undefined);
    body?.forEach((data, i) => {
      encoder.encodeData(Buffer.from(data), trailers === undefined && i === body.length - 1);
    });
    if (trailers !== undefined) encoder.encodeTrailers(responseHeaders(0, trailers));
    assert.equal(recorder.written, written);
    assert.equal(encoder.wireBytesSent, written.length);
  });
}

test('an extended CONNECT becomes an upgrade, and its 101 a 200', () => {
  const recorder = new Recorder();
  const headers = requestHeaders('CONNECT', ['sec-websocket-version', '13']);
  headers.protocol = 'websocket';
  const encoder = recorder.codec.newStream(recorder.decoder);
  encoder.encodeHeaders(headers, false);
  encoder.encodeData(Buffer.from('up'), false);
  recorder.receive('HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nx: y\r\n\r\ndown');
  assert.equal(
    recorder.written,
    'GET /p HTTP/1.1\r\nhost: a.com\r\nsec-websocket-version: 13\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nup',
  );
  assert.deepEqual(recorder.events, ['200 x: y', 'data down']);
});

test('forwards an empty host as one', () => {
  const recorder = new Recorder();
  const headers = requestHeaders('GET');
  headers.authority = '';
  headers.isAuthorityEmpty = true;
  recorder.codec.newStream(recorder.decoder).encodeHeaders(headers, true);
  assert.equal(recorder.written, 'GET /p HTTP/1.1\r\nhost: \r\n\r\n');
});

test('keeps the spelling of what it reads, when told to, for whoever writes it', () => {
  const reader = new Recorder({
    headerKeyFormat: HeaderKeyFormat.PreserveCase,
    forwardReasonPhrase: true,
    properCaseOnOwnHeaders: true,
  });
  let headers: HeaderMap | undefined;
  reader.decoder.decodeHeaders = (it) => {
    headers = it;
  };
  reader.request('GET');
  reader.receive('HTTP/1.1 200 Very Fine\r\nX-fOO: 1\r\nx-FOO: 2\r\n\r\n');
  headers!.add('x-own', '3');
  const writer = new Http1ServerRecorder().send('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
  writer.encoders[0]!.encodeHeaders(headers!, true);
  assert.equal(
    writer.written,
    'HTTP/1.1 200 Very Fine\r\nX-fOO: 1\r\nX-fOO: 2\r\nX-Own: 3\r\nContent-Length: 0\r\n\r\n',
  );
});
