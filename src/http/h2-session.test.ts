import assert from 'node:assert/strict';
import http2 from 'node:http2';
import net, { type AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import {
  exchange,
  frame,
  framesOf,
  getRequest,
  headerMap,
  nonZero,
  RecordingDecoder,
  serveSocket,
  settings,
  TestClient,
  TestServer,
} from '#testing/h2-wire.ts';
import { ResetReason } from './codec.ts';
import { FrameType, H2Error, preface } from './h2-frames.ts';
import type { H2Options } from './h2-options.ts';

/** Answers like an echo: the path in a header, the body, then a trailer. */
function echo(server: TestServer): void {
  server.respond = (encoder, request) => {
    const body = Buffer.alloc(request.bodyBytes, 'b');
    encoder.encodeHeaders(headerMap({ status: 200 }, 'x-path', request.headers.path), false);
    if (body.length > 0) encoder.encodeData(body, false);
    encoder.encodeTrailers(headerMap({}, 'x-trailer', 'yes'));
  };
}

test('a request and its response, with bodies and trailers', () => {
  const server = new TestServer();
  const client = new TestClient();
  echo(server);
  const [encoder, response] = client.request(getRequest('/x', 'accept', '*/*'), false);
  encoder.encodeData(Buffer.from('hello'), false);
  encoder.encodeTrailers(headerMap({}, 'x-end', '1'));
  exchange(client, server);
  assert.deepEqual(server.streams[0]!.decoder.log, [
    'GET http host /x | accept: */*',
    'data hello',
    'trailers x-end: 1 $',
  ]);
  assert.deepEqual(response.log, ['200 | x-path: /x', 'data bbbbb', 'trailers x-trailer: yes $']);
  assert.deepEqual(client.log, ['max streams 1024', 'end true']);
  assert.equal(client.session.activeStreams, 0);
  assert.deepEqual(nonZero(server.stats), { nghttp2_downstream_connections: 1, trailers: 1 });
});

test('what waits for the window behind the end is given up after the flush timeout', () => {
  const server = new TestServer();
  const client = new TestClient({ initialStreamWindowSize: 10 });
  server.respond = (encoder) => {
    encoder.encodeHeaders(headerMap({ status: 200 }), false);
    encoder.encodeData(Buffer.alloc(30), true);
    encoder.limitFlush(300);
  };
  const [encoder, response] = client.request(getRequest());
  encoder.readDisable(true);
  exchange(client, server);
  server.clock.advance(290);
  exchange(client, server);
  assert.equal(response.log.length, 1);
  server.clock.advance(20);
  exchange(client, server);
  assert.deepEqual(response.log.slice(1), ['reset RemoteReset']);
  assert.equal(nonZero(server.stats).tx_flush_timeout, 1);
  assert.equal(server.session.activeStreams, 0);
});

test('hundreds of streams at once, each gets its own answer', () => {
  const server = new TestServer();
  const client = new TestClient();
  echo(server);
  const responses = Array.from({ length: 300 }, (_, i) => client.request(getRequest(`/${i}`))[1]);
  exchange(client, server);
  for (const [i, response] of responses.entries()) {
    assert.deepEqual(response.log, [`200 | x-path: /${i}`, 'trailers x-trailer: yes $']);
  }
});

test('a body larger than every window arrives whole', () => {
  const windows = { initialStreamWindowSize: 65535, initialConnectionWindowSize: 65535 };
  const server = new TestServer(windows);
  const client = new TestClient(windows);
  echo(server);
  const exchanges = [1, 2, 3].map((n) => {
    const [encoder, response] = client.request(
      headerMap({ method: 'POST', scheme: 'http', authority: 'a', path: '/' }),
      false,
    );
    encoder.encodeData(Buffer.alloc(300_000 * n, 'x'), true);
    return response;
  });
  exchange(client, server);
  exchanges.forEach((response, i) => {
    assert.equal(response.bodyBytes, 300_000 * (i + 1));
    assert.equal(response.log.at(-1), 'trailers x-trailer: yes $');
  });
  assert.deepEqual(nonZero(client.stats), { nghttp2_upstream_connections: 1 });
});

async function listening(t: TestContext, server: net.Server): Promise<number> {
  const sockets = new Set<net.Socket>();
  server.on('connection', (socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  return (server.address() as AddressInfo).port;
}

test('node:http2 as a client understands our server', async (t) => {
  const port = await listening(
    t,
    net.createServer((socket) => {
      const server = new TestServer();
      echo(server);
      serveSocket(server, socket);
    }),
  );
  const client = http2.connect(`http://127.0.0.1:${port}`);
  t.after(() => client.destroy());
  const answers = await Promise.all(
    [0, 10, 200_000, 1_000_000].map(async (size) => {
      const request = client.request({
        ':method': 'POST',
        ':path': `/${size}`,
        cookie: ['a=1', 'b=2'],
        'x-utf8': 'é',
      });
      request.end(Buffer.alloc(size, 'x'));
      let bytes = 0;
      request.on('data', (data: Buffer) => {
        bytes += data.length;
      });
      let headers: http2.IncomingHttpHeaders = {};
      let trailers: http2.IncomingHttpHeaders = {};
      request.on('response', (all) => {
        headers = all;
      });
      request.on('trailers', (all) => {
        trailers = all;
      });
      await new Promise((resolve, reject) => request.on('end', resolve).on('error', reject));
      return [headers[':status'], headers['x-path'], bytes, trailers['x-trailer']];
    }),
  );
  assert.deepEqual(answers, [
    [200, '/0', 0, 'yes'],
    [200, '/10', 10, 'yes'],
    [200, '/200000', 200_000, 'yes'],
    [200, '/1000000', 1_000_000, 'yes'],
  ]);
});

test('node:http2 as a server understands our client', async (t) => {
  const server = http2.createServer((request, response) => {
    let bytes = 0;
    request.on('data', (data: Buffer) => {
      bytes += data.length;
    });
    request.on('end', () => {
      response.writeHead(201, { 'x-path': request.url, 'x-cookie': request.headers.cookie ?? '' });
      response.addTrailers({ 'x-bytes': String(bytes) });
      response.end(Buffer.alloc(bytes, 'y'));
    });
  });
  const port = await listening(t, server as unknown as net.Server);
  const client = new TestClient();
  const socket = net.connect(port, '127.0.0.1');
  t.after(() => socket.destroy());
  const done = [0, 500_000].map((size) => {
    return new Promise<RecordingDecoder>((resolve) => {
      const headers = headerMap(
        { method: 'POST', scheme: 'http', authority: 'a', path: `/${size}` },
        'cookie',
        'a=1; b=2',
      );
      const [encoder] = client.request(headers, false, new RecordingDecoder(resolve));
      encoder.encodeData(Buffer.alloc(size, 'x'), true);
    });
  });
  serveSocket(client, socket);
  for (const [i, response] of (await Promise.all(done)).entries()) {
    const size = [0, 500_000][i]!;
    assert.equal(response.headers.status, 201);
    assert.equal(response.headers.get('x-path'), `/${size}`);
    assert.equal(response.headers.get('x-cookie'), 'a=1; b=2');
    assert.equal(response.bodyBytes, size);
    assert.equal(response.log.at(-1), `trailers x-bytes: ${size} $`);
  }
});

const windows = { initialStreamWindowSize: 65535, initialConnectionWindowSize: 65535 };
const post = (path = '/') => headerMap({ method: 'POST', scheme: 'http', authority: 'h', path });

/** Both ends, greeted. */
function pair(options: Partial<H2Options> = {}): { client: TestClient; server: TestServer } {
  const client = new TestClient(options);
  const server = new TestServer(options);
  exchange(client, server);
  return { client, server };
}

test('an upgrade is an extended CONNECT on the wire, and an upgrade at both ends', () => {
  const { client, server } = pair({ allowConnect: true });
  const ask = headerMap(
    { method: 'GET', scheme: 'http', authority: 'h', path: '/chat' },
    'upgrade',
    'websocket',
  );
  ask.add('connection', 'keep-alive, Upgrade');
  const asked = ask.clone();
  const [encoder, response] = client.request(ask, false);
  assert.deepEqual(ask, asked);
  exchange(client, server);
  const { encoder: answer, decoder: request } = server.streams[0]!;
  assert.deepEqual(request.log, ['GET http h /chat | upgrade: websocket | connection: upgrade']);
  answer.encodeHeaders(
    headerMap({ status: 101 }, 'connection', 'upgrade', 'upgrade', 'websocket', 'x', '1'),
    false,
  );
  encoder.encodeData(Buffer.from('ping'), false);
  answer.encodeData(Buffer.from('pong'), true);
  exchange(client, server);
  assert.deepEqual(response.log, ['101 | x: 1 | upgrade: websocket | connection: upgrade', 'data pong $']);
  assert.deepEqual(request.log.slice(1), ['data ping']);
});

test('a refused upgrade is an ordinary response, and CONNECT has an authority only', () => {
  const { client, server } = pair({ allowConnect: true });
  const ask = getRequest('/', 'upgrade', 'websocket', 'connection', 'upgrade');
  const [, refused] = client.request(ask, false);
  client.request(headerMap({ method: 'CONNECT', scheme: 'http', authority: 'h:80', path: '/' }), false);
  exchange(client, server);
  server.streams[0]!.encoder.encodeHeaders(headerMap({ status: 403 }, 'content-length', '0'), true);
  exchange(client, server);
  assert.deepEqual(refused.log, ['403 | content-length: 0 $']);
  assert.deepEqual(server.streams[1]!.decoder.log, ['CONNECT h:80']);
});

test('a sink that sends bulk on early gets every byte once, and in order', () => {
  const { client, server } = pair();
  echo(server);
  client.sink.eager = true;
  server.sink.eager = true;
  const responses = [1, 2, 3].map((n) => {
    const [encoder, response] = client.request(post(`/${n}`), false);
    encoder.encodeData(Buffer.alloc(100_000 * n), false);
    encoder.encodeData(Buffer.alloc(10), true);
    return response;
  });
  exchange(client, server);
  assert.deepEqual([client.errors.length, server.errors.length], [0, 0]);
  responses.forEach((response, i) => {
    assert.equal(response.bodyBytes, 100_000 * (i + 1) + 10);
    assert.equal(response.log.at(-1), 'trailers x-trailer: yes $');
  });
});

test('a stream that does not read gets no more than its window, and all of it afterwards', () => {
  const { client, server } = pair(windows);
  const [encoder, response] = client.request(post(), false);
  exchange(client, server);
  const { encoder: answer, decoder: request } = server.streams[0]!;
  answer.readDisable(true);
  encoder.encodeData(Buffer.alloc(200_000, 'x'), true);
  exchange(client, server);
  assert.equal(request.bodyBytes, 0);
  assert.deepEqual(response.log, ['above']);
  answer.readDisable(true);
  answer.readDisable(false);
  exchange(client, server);
  assert.equal(request.bodyBytes, 0);
  answer.readDisable(false);
  exchange(client, server);
  assert.equal(request.bodyBytes, 200_000);
  assert.ok(request.log.at(-1)!.endsWith(' $'));
});

test('trailers wait behind the body of a stream that does not read', () => {
  const { client, server } = pair();
  const [encoder] = client.request(post(), false);
  exchange(client, server);
  const { encoder: answer, decoder: request } = server.streams[0]!;
  answer.readDisable(true);
  encoder.encodeData(Buffer.from('ab'), false);
  encoder.encodeTrailers(headerMap({}, 'x', '1'));
  exchange(client, server);
  assert.equal(request.log.length, 1);
  answer.readDisable(false);
  exchange(client, server);
  assert.deepEqual(request.log.slice(1), ['data ab', 'trailers x: 1 $']);
});

test('reading may be stopped from within a piece of the body', () => {
  const { client, server } = pair();
  const [encoder] = client.request(post(), false);
  exchange(client, server);
  const { encoder: answer, decoder: request } = server.streams[0]!;
  const pieces: number[] = [];
  request.decodeData = (data) => {
    pieces.push(data.length);
    answer.readDisable(true);
  };
  encoder.encodeData(Buffer.alloc(50_000), true);
  for (let i = 0; i < 4; i++) {
    exchange(client, server);
    assert.equal(pieces.length, i + 1);
    answer.readDisable(false);
  }
  exchange(client, server);
  assert.equal(
    pieces.reduce((sum, bytes) => sum + bytes),
    50_000,
  );
});

test('what a reset stream held does not shrink the window of the connection', () => {
  const { client, server } = pair(windows);
  for (let i = 0; i < 20; i++) {
    const [encoder] = client.request(post(), false);
    encoder.encodeData(Buffer.alloc(30_000), false);
    exchange(client, server);
    server.streams[i]!.encoder.readDisable(true);
    encoder.encodeData(Buffer.alloc(30_000), false);
    exchange(client, server);
    server.streams[i]!.encoder.reset(ResetReason.LocalReset);
    exchange(client, server);
  }
  const [encoder] = client.request(post(), false);
  encoder.encodeData(Buffer.alloc(60_000), true);
  exchange(client, server);
  assert.equal(server.streams.at(-1)!.decoder.bodyBytes, 60_000);
});

test('a producer is told to stop and to go on, once each', () => {
  const { client, server } = pair(windows);
  const [encoder, response] = client.request(post(), false);
  exchange(client, server);
  const { encoder: answer } = server.streams[0]!;
  answer.readDisable(true);
  encoder.encodeData(Buffer.alloc(65535), false);
  exchange(client, server);
  assert.deepEqual(response.log, []);
  encoder.encodeData(Buffer.alloc(65535), false);
  assert.deepEqual(response.log, []);
  encoder.encodeData(Buffer.alloc(1), false);
  assert.deepEqual(response.log, ['above']);
  assert.equal(client.stats.pending_send_bytes.value, 65536);
  answer.readDisable(false);
  exchange(client, server);
  assert.deepEqual(response.log, ['above', 'below']);
  assert.equal(client.stats.pending_send_bytes.value, 0);
});

test('a full socket stops every stream, those that come later too', () => {
  const { client, server } = pair();
  const [, first] = client.request(getRequest('/1'));
  client.session.onAboveWriteBufferHighWatermark();
  const [, second] = client.request(getRequest('/2'));
  client.session.onBelowWriteBufferLowWatermark();
  assert.deepEqual(
    [first.log, second.log],
    [
      ['above', 'below'],
      ['above', 'below'],
    ],
  );
  exchange(client, server);
});

test('streams share the window of the connection', () => {
  const { client, server } = pair(windows);
  const received = [0, 0, 0];
  const bodies = received.map((_, i) => {
    const [encoder] = client.request(post(`/${i}`), false);
    encoder.encodeData(Buffer.alloc(100_000), true);
    return encoder;
  });
  assert.equal(bodies.length, 3);
  // One window's worth, of which the first took all there was.
  server.session.onData(client.sink.take());
  for (let i = 0; i < 2; i++) {
    client.session.onData(server.sink.take());
    server.session.onData(client.sink.take());
  }
  for (const [i, { decoder }] of server.streams.entries()) received[i] = decoder.bodyBytes;
  assert.ok(
    received.every((bytes) => bytes > 0),
    String(received),
  );
  exchange(client, server);
  assert.deepEqual(
    server.streams.map(({ decoder }) => decoder.bodyBytes),
    [100_000, 100_000, 100_000],
  );
});

test('a response that is complete before its request ends it with NO_ERROR', () => {
  const { client, server } = pair();
  const [encoder, response] = client.request(post(), false);
  exchange(client, server);
  const { encoder: answer, decoder: request } = server.streams[0]!;
  answer.encodeHeaders(headerMap({ status: 413 }), true);
  answer.reset(ResetReason.LocalReset);
  const frames = framesOf(server.sink.take());
  assert.deepEqual(
    frames.map(({ type, payload }) => [type, payload.at(-1)]),
    [
      [FrameType.Headers, frames[0]!.payload.at(-1)],
      [FrameType.RstStream, H2Error.NoError],
    ],
  );
  assert.deepEqual(request.log, ['POST http h /']);
  encoder.encodeData(Buffer.from('late'), true);
  // Bytes that were under way when the stream ended are nobody's fault.
  server.session.onData(client.sink.take());
  assert.deepEqual(server.errors, []);
  assert.deepEqual(response.log, []);
});

test('a response that is complete before its request says nothing when the rest came in the same turn', () => {
  const { client, server } = pair();
  const [encoder, response] = client.request(post(), false);
  encoder.encodeData(Buffer.from('body'), false);
  encoder.encodeTrailers(headerMap({}, 'x', '1'));
  const original = server.newStream.bind(server);
  server.newStream = (answer) => {
    const decoder = original(answer) as RecordingDecoder;
    decoder.decodeHeaders = () => {
      answer.encodeHeaders(headerMap({ status: 413 }), true);
      answer.reset(ResetReason.LocalReset);
    };
    return decoder;
  };
  exchange(client, server);
  assert.deepEqual(response.log, ['413 $']);
  assert.equal(server.stats.tx_reset.value, 0);
  assert.deepEqual([client.session.activeStreams, server.session.activeStreams], [0, 0]);
});

const localResets = [
  { reason: ResetReason.LocalReset, code: H2Error.InternalError },
  { reason: ResetReason.LocalRefusedStreamReset, code: H2Error.RefusedStream },
  { reason: ResetReason.ConnectError, code: H2Error.ConnectError },
  { reason: ResetReason.Overflow, code: H2Error.InternalError },
];
for (const { reason, code } of localResets) {
  test(`a reset for reason ${reason} goes out as ${code}, and the other side hears of it`, () => {
    const { client, server } = pair();
    const [encoder] = client.request(post(), false);
    exchange(client, server);
    encoder.reset(reason);
    const bytes = client.sink.take();
    assert.equal(framesOf(bytes).at(-1)!.payload.readUInt32BE(0), code);
    server.session.onData(bytes);
    assert.match(server.streams[0]!.decoder.log.at(-1)!, /^reset /);
    assert.deepEqual([client.session.activeStreams, server.session.activeStreams], [0, 0]);
    assert.equal(client.stats.tx_reset.value, 1);
  });
}

test('drains in two steps: a notice, then the last stream that is served', () => {
  const { client, server } = pair();
  client.request(getRequest('/1'));
  server.session.onData(client.sink.take());
  server.session.shutdownNotice();
  client.request(getRequest('/2'));
  server.session.onData(client.sink.take());
  server.session.goAway();
  client.request(getRequest('/3'));
  server.session.onData(client.sink.take());
  const goAways = framesOf(server.sink.take()).filter(({ type }) => type === FrameType.GoAway);
  assert.deepEqual(
    goAways.map(({ payload }) => [payload.readUInt32BE(0), payload.readUInt32BE(4)]),
    [
      [0x7fffffff, 0],
      [3, 0],
    ],
  );
  assert.deepEqual(
    server.streams.map(({ decoder }) => decoder.log[0]),
    ['GET http host /1 $', 'GET http host /2 $'],
  );
  assert.equal(server.stats.goaway_sent.value, 1);
});

test('a connection that goes takes its streams along, those without an id too', () => {
  const { client, server } = pair();
  const [, sent] = client.request(getRequest());
  exchange(client, server);
  const unsent = new RecordingDecoder();
  client.session.newStream(unsent);
  client.session.onConnectionClose(ResetReason.ConnectionTermination, 'gone');
  server.session.onEnd();
  assert.deepEqual(
    [sent.log, unsent.log],
    [['reset ConnectionTermination gone'], ['reset ConnectionTermination gone']],
  );
  assert.equal(server.streams[0]!.decoder.log.at(-1), 'reset ConnectionTermination');
  assert.deepEqual(nonZero(client.stats), { nghttp2_upstream_connections: 1 });
});

const keepalive = { intervalMs: 1000, timeoutMs: 300, jitterPercent: 0, connectionIdleIntervalMs: 0 };

test('keepalive: a PING per interval, and an end when nothing comes back', () => {
  const { client, server } = pair({ keepalive });
  for (let i = 0; i < 5; i++) {
    client.clock.advance(1004);
    const ping = client.sink.take();
    assert.deepEqual(
      framesOf(ping).map(({ type }) => type),
      [FrameType.Ping],
    );
    server.session.onData(ping);
    client.clock.advance(100);
    client.session.onData(server.sink.take());
  }
  client.clock.advance(1004);
  client.clock.advance(250);
  // Any frame gives it more time.
  client.session.onData(settings());
  client.clock.advance(250);
  assert.equal(client.errors.length, 0);
  client.clock.advance(100);
  assert.equal(client.errors[0]!.details, 'http2_ping_timeout');
  assert.equal(client.stats.keepalive_timeout.value, 1);
});

test('keepalive: a new stream on a connection that was silent sends a PING ahead', () => {
  const { client } = pair({ keepalive: { ...keepalive, intervalMs: 0, connectionIdleIntervalMs: 500 } });
  client.request(getRequest());
  client.clock.advance(501);
  client.request(getRequest());
  assert.deepEqual(
    framesOf(client.sink.take()).map(({ type }) => type),
    [FrameType.Headers, FrameType.Ping, FrameType.Headers],
  );
});

test('what the settings say is what is sent', () => {
  const client = new TestClient({ customSettings: [{ id: 0x10, value: 7 }], hpackTableSize: 0 });
  const sent = client.sink.take();
  assert.ok(sent.subarray(0, preface.length).equals(preface));
  const frames = framesOf(sent.subarray(preface.length));
  assert.equal(
    frames[0]!.payload.toString('hex'),
    '000200000000' + '001000000007' + '000100000000' + '000800000000' + '000300000400' + '000401000000',
  );
  assert.deepEqual(frames[1]!.payload.readUInt32BE(0), 24 * 1024 * 1024 - 65535);
});

/** A conversation with everything in it, as the client sends it. */
function recorded(): Buffer {
  const server = new TestServer();
  const client = new TestClient();
  echo(server);
  const parts: Buffer[] = [];
  const turn = () => {
    const up = client.sink.take();
    parts.push(up);
    server.session.onData(up);
    client.session.onData(server.sink.take());
  };
  client.request(getRequest('/a', 'cookie', 'a=1', 'x', '1'));
  turn();
  const [encoder] = client.request(post('/b'), false);
  encoder.encodeData(Buffer.from('hello'), false);
  turn();
  encoder.encodeData(Buffer.from('world'), false);
  encoder.encodeTrailers(headerMap({}, 'x-end', '1'));
  turn();
  client.request(
    headerMap({ method: 'GET', scheme: 'http', authority: 'h', path: '/c' }, 'x-large', 'v'.repeat(20_000)),
  );
  const [cancelled] = client.request(post('/d'), false);
  turn();
  cancelled.reset(ResetReason.LocalReset);
  turn();
  // By hand: padding, an unknown frame, PRIORITY, PING.
  parts.push(
    frame(FrameType.Priority, 0, 11, Buffer.alloc(5)),
    frame(0x4d, 0, 0, 'unknown'),
    frame(
      FrameType.Headers,
      0x0c,
      11,
      Buffer.concat([
        Buffer.from('0282868401680000', 'hex').subarray(0, 4),
        Buffer.from('410168', 'hex'),
        Buffer.alloc(2),
      ]),
    ),
    frame(FrameType.Data, 0x08, 11, '\x03abc\0\0\0'),
    frame(FrameType.Data, 0x09, 11, '\x02\0\0'),
    frame(FrameType.Ping, 0, 0, '12345678'),
  );
  return Buffer.concat(parts);
}

function heard(pieces: Buffer[]): unknown {
  const server = new TestServer();
  echo(server);
  for (const piece of pieces) {
    server.session.onData(piece);
    server.sink.take();
  }
  return {
    logs: server.streams.map(({ decoder }) =>
      decoder.log.map((line) => `${line.slice(0, 40)}${line.length > 40 ? line.length : ''}`),
    ),
    received: server.streams.map(({ encoder }) => encoder.wireBytesReceived),
    errors: server.errors,
  };
}

test('wherever the bytes are cut, the same is heard', () => {
  const all = recorded();
  const whole = heard([all]) as { logs: string[][]; errors: unknown[] };
  assert.deepEqual(whole.errors, []);
  assert.deepEqual(whole.logs, [
    ['GET http host /a | x: 1 | cookie: a=1 $'],
    ['POST http h /b', 'data helloworld', 'trailers x-end: 1 $'],
    [`GET http h /c | x-large: ${'v'.repeat(15)}20027`],
    ['POST http h /d', 'reset RemoteReset http2.remote_reset'],
    ['GET http h /', 'data abc $'],
  ]);
  for (let at = 1; at < all.length; at++) {
    // Inside the long value every cut is like the next.
    if (at > 1000 && at < all.length - 1000 && at % 97 !== 0) continue;
    assert.deepEqual(heard([all.subarray(0, at), all.subarray(at)]), whole, `cut at ${at}`);
  }
  assert.deepEqual(heard(Array.from(all, (_, i) => all.subarray(i, i + 1))), whole);
});

test('random damage ends in an error or not at all, never in an exception', () => {
  const seed = Number(process.env.SEED ?? 1);
  let state = seed;
  const next = (below: number) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state >>> 8) % below;
  };
  const original = recorded();
  for (let round = 0; round < 400; round++) {
    const bytes = Buffer.from(original);
    for (let i = 1 + next(4); i > 0; i--) bytes[24 + next(bytes.length - 24)] = next(256);
    const server = new TestServer({ streamErrorOnInvalidMessage: round % 2 === 0 });
    echo(server);
    try {
      for (let at = 0; at < bytes.length; at += 5000) {
        server.session.onData(bytes.subarray(at, at + 5000));
        server.sink.take();
      }
      server.session.onConnectionClose(ResetReason.ConnectionTermination, '');
    } catch (cause) {
      assert.fail(`SEED=${seed}, round ${round}: ${cause}`);
    }
    assert.ok(server.errors.length <= 1);
    assert.deepEqual(
      [
        server.stats.streams_active.value,
        server.stats.pending_send_bytes.value,
        server.session.activeStreams,
      ],
      [0, 0, 0],
      `SEED=${seed}, round ${round}`,
    );
  }
});
