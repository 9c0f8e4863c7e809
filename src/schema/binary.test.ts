import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeMessage, encodeMessage } from './binary.ts';
import { message } from './registry.ts';

const cluster = message('envoy.config.cluster.v3.Cluster')!;
const listener = message('envoy.config.listener.v3.Listener')!;

const bytes = (...parts: (number | string)[]) =>
  Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : Buffer.of(part))));

test('writes what is set and reads it back', () => {
  const written = {
    name: 'web',
    connect_timeout: { seconds: 0, nanos: 250_000_000 },
    type: 'STRICT_DNS',
    lb_policy: 'RING_HASH',
    ring_hash_lb_config: { minimum_ring_size: 1024n },
    per_connection_buffer_limit_bytes: 32768,
    metadata: { filter_metadata: { 'envoy.lb': { canary: true, weights: [1, 2.5, null, 'x'], nested: {} } } },
    typed_extension_protocol_options: {
      http: {
        '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        explicit_http_config: { http2_protocol_options: { max_concurrent_streams: 100 } },
      },
      number: { '@type': 'type.googleapis.com/google.protobuf.UInt32Value', value: 7 },
      unknown: { '@type': 'example.com/some.Thing', value: new Uint8Array([1, 2]) },
    },
  };
  const read = decodeMessage(cluster, encodeMessage(cluster, written));
  assert.equal(read.lb_policy, 'RING_HASH');
  assert.deepEqual(structuredClone(read), written);
  assert.deepEqual(encodeMessage(cluster, read), encodeMessage(cluster, written));
});

test('leaves out fields that hold their default and have no presence', () => {
  assert.equal(encodeMessage(cluster, { name: '', lb_policy: 'ROUND_ROBIN', health_checks: [] }).length, 0);
  assert.equal(encodeMessage(cluster, { type: 'STATIC' }).length, 2);
});

test('takes the forms of JSON', () => {
  assert.deepEqual(
    encodeMessage(cluster, { connect_timeout: '1.5s' }),
    encodeMessage(cluster, { connect_timeout: { seconds: 1, nanos: 500_000_000 } }),
  );
});

test('the last member of a oneof counts', () => {
  const data = encodeMessage(cluster, { type: 'EDS' });
  const other = encodeMessage(cluster, { cluster_type: { name: 'x' } });
  assert.deepEqual(structuredClone(decodeMessage(cluster, Buffer.concat([data, other]))), {
    cluster_type: { name: 'x' },
  });
});

test('merges a message that occurs twice', () => {
  const data = Buffer.concat([
    encodeMessage(listener, { address: { socket_address: { address: '127.0.0.1' } } }),
    encodeMessage(listener, { address: { socket_address: { port_value: 80 } } }),
  ]);
  assert.deepEqual(structuredClone(decodeMessage(listener, data)), {
    address: { socket_address: { address: '127.0.0.1', port_value: 80 } },
  });
});

test('reports fields that the schema does not have, with their path', () => {
  const unknown: string[] = [];
  const data = bytes(0x12, 7, 0x0a, 5, 0xf8, 0x3f, 0x07, 0x78, 0x01, 0xf0, 0x3f, 0x01);
  decodeMessage(listener, data, { onUnknownField: (path, number) => unknown.push(`${path} ${number}`) });
  assert.deepEqual(unknown, ['address.socket_address 1023', 'address.socket_address 15', ' 1022']);
});

const broken = [
  { name: 'a length beyond the end', data: bytes(0x0a, 5, 'ab'), problem: 'name: ' },
  {
    name: 'a nested length beyond the end',
    data: bytes(0x12, 4, 0x0a, 9, 0, 0),
    problem: 'address.socket_address: 9 bytes announced, 2 left at byte 4',
  },
  {
    name: 'a field across the end of its message',
    data: bytes(0x12, 2, 0x0a, 2, 0x12, 0),
    problem: 'address: a field reaches beyond the end of its message',
  },
  { name: 'half a tag', data: bytes(0xff), problem: '' },
  { name: 'text that is not UTF-8', data: bytes(0x0a, 1, 0xff), problem: 'name: ' },
];
for (const { name, data, problem } of broken) {
  test(`refuses ${name}`, () => {
    assert.throws(
      () => decodeMessage(listener, data),
      (error: Error) => {
        assert.equal(error.name, 'BinaryError');
        assert.equal(error.message.slice(0, problem.length), problem);
        assert.match(error.message, / at byte \d+$/);
        return true;
      },
    );
  });
}

test('refuses messages nested without end', () => {
  const type = message('google.protobuf.Value')!;
  let data: Buffer = bytes(0x20, 1);
  for (let i = 0; i < 2000; i++) data = encodeNested(data);
  assert.throws(() => decodeMessage(type, data), /more than 100 messages inside each other/);
});

// A list_value with one value.
function encodeNested(value: Uint8Array): Buffer {
  const length = (n: number) => (n < 128 ? bytes(n) : bytes((n & 127) | 128, n >> 7));
  const list = Buffer.concat([bytes(0x0a), length(value.length), value]);
  return Buffer.concat([bytes(0x32), length(list.length), list]);
}
