import assert from 'node:assert/strict';
import http2 from 'node:http2';
import net, { type AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import {
  exchange,
  getRequest,
  headerMap,
  nonZero,
  RecordingDecoder,
  serveSocket,
  TestClient,
  TestServer,
} from '#testing/h2-wire.ts';

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
