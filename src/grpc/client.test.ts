import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AsyncCallbacks, AsyncClient, AsyncOptions } from '#http/async-client.ts';
import { HeaderMap } from '#http/header-map.ts';
import { GrpcClient } from './client.ts';
import { grpcFrame } from './frames.ts';

/** A transport whose other end is the test. */
class Wire implements AsyncClient {
  callbacks: AsyncCallbacks | undefined = undefined;
  headers: HeaderMap | undefined = undefined;
  readonly sent: { readonly data: string; readonly end: boolean }[] = [];
  isReset = false;

  start(cluster: string, _options: AsyncOptions, callbacks: AsyncCallbacks) {
    if (cluster === 'absent') return undefined;
    this.callbacks = callbacks;
    return {
      isBackedUp: false,
      sendHeaders: (headers: HeaderMap) => {
        this.headers = headers;
      },
      sendData: (data: Buffer, end: boolean) => {
        this.sent.push({ data: data.toString('latin1'), end });
      },
      sendTrailers: () => {},
      reset: () => {
        this.isReset = true;
      },
    };
  }
}

const options = { timeoutMs: 1500, retryPolicy: undefined, addsInternal: true, addsForwardedFor: true };

function call(cluster = 'c', maxReceiveBytes = 0) {
  const wire = new Wire();
  const client = new GrpcClient({ cluster, authority: 'a.test', maxReceiveBytes }, options, wire);
  const results: string[] = [];
  const stream = client.unary(client.headers('/p.S/M'), Buffer.from('ask'), {
    onResponse: (message) => results.push(`ok ${message}`),
    onFailure: (status, message) => results.push(`${status} ${message}`.trim()),
  });
  return { wire, results, stream };
}

function headers(status: number, more: Readonly<Record<string, string>> = {}): HeaderMap {
  const map = new HeaderMap();
  map.status = status;
  for (const [name, value] of Object.entries(more)) map.add(name, value);
  return map;
}

test('a call is one message to a path, with its timeout', () => {
  const { wire } = call();
  const sent = wire.headers!;
  assert.deepEqual([sent.method, sent.path, sent.authority], ['POST', '/p.S/M', 'a.test']);
  assert.deepEqual(sent.list, [
    'te',
    'trailers',
    'grpc-timeout',
    '1500m',
    'content-type',
    'application/grpc',
  ]);
  assert.deepEqual(wire.sent, [{ data: '\0\0\0\0\x03ask', end: true }]);
});

const answers: readonly {
  readonly name: string;
  readonly answer: (to: AsyncCallbacks) => void;
  readonly result: string;
  readonly maxBytes?: number;
}[] = [
  {
    name: 'a message and OK',
    answer: (to) => {
      to.onHeaders(headers(200), false);
      to.onData(grpcFrame(Buffer.from('yes')), false);
      to.onTrailers(headers(0, { 'grpc-status': '0' }));
    },
    result: 'ok yes',
  },
  {
    name: 'OK without a message',
    answer: (to) => to.onHeaders(headers(200, { 'grpc-status': '0' }), true),
    result: '13',
  },
  {
    name: 'a status in the trailers',
    answer: (to) => {
      to.onHeaders(headers(200), false);
      to.onTrailers(headers(0, { 'grpc-status': '7', 'grpc-message': 'no' }));
    },
    result: '7 no',
  },
  {
    name: 'a status in the headers',
    answer: (to) => to.onHeaders(headers(200, { 'grpc-status': '14', 'grpc-message': 'busy' }), true),
    result: '14 busy',
  },
  { name: 'trailers without a status', answer: (to) => to.onHeaders(headers(200), true), result: '2' },
  {
    name: 'a status that is no number',
    answer: (to) => to.onHeaders(headers(200, { 'grpc-status': 'x' }), true),
    result: '-1',
  },
  { name: 'HTTP 503', answer: (to) => to.onHeaders(headers(503), false), result: '14' },
  { name: 'HTTP 404', answer: (to) => to.onHeaders(headers(404), true), result: '12' },
  {
    name: 'HTTP 500 with a status',
    answer: (to) => to.onHeaders(headers(500, { 'grpc-status': '8' }), true),
    result: '8',
  },
  {
    name: 'a body that ends without trailers',
    answer: (to) => {
      to.onHeaders(headers(200), false);
      to.onData(grpcFrame(Buffer.from('yes')), true);
    },
    result: '2',
  },
  {
    name: 'a message that is too long',
    answer: (to) => {
      to.onHeaders(headers(200), false);
      to.onData(grpcFrame(Buffer.from('longer')), false);
    },
    result: '8',
    maxBytes: 5,
  },
  { name: 'a broken stream', answer: (to) => to.onReset(), result: '13' },
];

for (const { name, answer, result, maxBytes } of answers)
  test(`answer: ${name}`, () => {
    const { wire, results } = call('c', maxBytes);
    answer(wire.callbacks!);
    assert.deepEqual(results, [result]);
  });

test('without the cluster it fails at once', () => {
  assert.deepEqual(call('absent').results, ['14 Cluster not available']);
});

test('nothing comes after cancel', () => {
  const { wire, results, stream } = call();
  stream.cancel();
  wire.callbacks!.onHeaders(headers(200, { 'grpc-status': '0' }), true);
  assert.deepEqual(results, []);
  assert.ok(wire.isReset);
});

test('a stream goes both ways until the server ends it', () => {
  const wire = new Wire();
  const client = new GrpcClient({ cluster: 'c', authority: 'a', maxReceiveBytes: 0 }, options, wire);
  const seen: string[] = [];
  const stream = client.stream(client.headers('/p.S/Chat'), {
    onInitialMetadata: (it) => seen.push(`headers ${it.get('x')}`),
    onMessage: (it) => seen.push(`message ${it}`),
    onClose: (status, message, trailers) => seen.push(`${status} ${message} ${trailers?.get('y')}`),
  });
  const server = wire.callbacks!;
  stream.send(Buffer.from('a'), false);
  server.onHeaders(headers(200, { x: '1' }), false);
  server.onData(Buffer.concat([grpcFrame(Buffer.from('b')), grpcFrame(Buffer.from('c'))]), false);
  stream.end();
  server.onTrailers(headers(0, { 'grpc-status': '0', y: '2' }));
  stream.send(Buffer.from('too late'), false);
  assert.deepEqual(seen, ['headers 1', 'message b', 'message c', '0  2']);
  assert.deepEqual(
    wire.sent.map((it) => it.end),
    [false, true],
  );
});
