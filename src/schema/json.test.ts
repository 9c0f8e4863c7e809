import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from './create.ts';
import { jsonText, toJson } from './json.ts';
import { message } from './registry.ts';

const cluster = message('envoy.config.cluster.v3.Cluster');
const tls = message('envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext');

test('writes proto names in the order of their numbers, and packed messages out', () => {
  const json = toJson(
    cluster,
    create('envoy.config.cluster.v3.Cluster', {
      typed_extension_protocol_options: {
        b: { '@type': 'type.googleapis.com/google.protobuf.Duration', value: '3s' },
        a: {
          '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
          upstream_http_protocol_options: { auto_sni: true },
        },
      },
      ring_hash_lb_config: { minimum_ring_size: 1024 },
      connect_timeout: '0.25s',
      name: 'web',
      health_checks: [],
    }),
  );
  assert.equal(
    JSON.stringify(json),
    JSON.stringify({
      name: 'web',
      connect_timeout: '0.250s',
      ring_hash_lb_config: { minimum_ring_size: '1024' },
      typed_extension_protocol_options: {
        a: {
          '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
          upstream_http_protocol_options: { auto_sni: true },
        },
        b: { '@type': 'type.googleapis.com/google.protobuf.Duration', value: '3s' },
      },
    }),
  );
});

test('writes defaults when asked, but no absent messages', () => {
  const locality = message('envoy.config.core.v3.Locality');
  assert.deepEqual(toJson(locality, { region: 'r' }, { defaults: true }), {
    region: 'r',
    zone: '',
    sub_zone: '',
  });
  const assignment = message('envoy.config.endpoint.v3.ClusterLoadAssignment');
  const created = create('envoy.config.endpoint.v3.ClusterLoadAssignment', {});
  assert.deepEqual(toJson(assignment, created, { defaults: true }), {
    cluster_name: '',
    endpoints: [],
    named_endpoints: {},
  });
});

test('redacts secrets, deep inside of packed messages and typed structs too', () => {
  const secret = {
    common_tls_context: {
      tls_certificates: [
        { certificate_chain: { inline_string: 'public' }, private_key: { inline_string: 'key' } },
        { private_key: { inline_bytes: new Uint8Array([1]) }, password: { filename: 'pw' } },
      ],
    },
    max_session_keys: 5,
  } as const;
  const context = create('envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext', {
    common_tls_context: secret.common_tls_context,
  });
  const redacted = {
    common_tls_context: {
      tls_certificates: [
        { certificate_chain: { inline_string: 'public' }, private_key: { inline_string: '[redacted]' } },
        { private_key: { inline_bytes: 'W3JlZGFjdGVkXQ==' }, password: { filename: '[redacted]' } },
      ],
    },
  };
  assert.deepEqual(toJson(tls, context, { redact: true }), redacted);

  const socket = message('envoy.config.core.v3.TransportSocket');
  const packed = create('envoy.config.core.v3.TransportSocket', {
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
      common_tls_context: secret.common_tls_context,
    },
  });
  assert.deepEqual((toJson(socket, packed, { redact: true }) as { typed_config: object }).typed_config, {
    '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
    ...redacted,
  });

  const struct = message('xds.type.v3.TypedStruct');
  const typed = create('xds.type.v3.TypedStruct', {
    type_url: 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
    value: {
      commonTlsContext: { tls_certificates: [{ private_key: { inline_string: 'key' } }] },
      other: 'x',
    },
  });
  assert.deepEqual((toJson(struct, typed, { redact: true }) as { value: object }).value, {
    commonTlsContext: { tls_certificates: [{ private_key: { inline_string: '[redacted]' } }] },
    other: 'x',
  });
});

// As the real Envoy prints them in a /config_dump.
const numbers = {
  '1e+16': 1e16,
  '1e+21': 1e21,
  '1e-07': 1e-7,
  '1e-05': 1e-5,
  '0.1': 0.1,
  '1.2345678901234568e+17': 123456789012345680,
  '1e+15': 1e15,
  '-0': -0,
  '1.5': 1.5,
  '3.0000000000000004': 3.0000000000000004,
  '4294967295': 4294967295,
  '0.0001': 0.0001,
  '-12345.678': -12345.678,
};
for (const [text, value] of Object.entries(numbers))
  test(`prints ${text} as Envoy does`, () => assert.equal(jsonText(value), text));

test('prints texts as Envoy does', () => {
  assert.equal(
    jsonText('<a> "q" \\ \n\u007f\u00ad\u2028\u{1d173} é😀'),
    '"\\u003ca\\u003e \\"q\\" \\\\ \\n\\u007f\\u00ad\\u2028\\ud834\\udd73 é😀"',
  );
});

test('prints one space per level, or one line', () => {
  const tree = { a: [], b: {}, c: [1, { d: null }], e: undefined };
  assert.equal(jsonText(tree), '{\n "a": [],\n "b": {},\n "c": [\n  1,\n  {\n   "d": null\n  }\n ]\n}');
  assert.equal(jsonText(tree, 0), '{"a":[],"b":{},"c":[1,{"d":null}]}');
});

test('floats print as the shortest decimal', () => {
  const percent = message('envoy.type.v3.Percent');
  assert.deepEqual(toJson(percent, { value: 0.1 }), { value: 0.1 });
  const float = message('google.protobuf.FloatValue')!;
  assert.equal(toJson(float, Math.fround(0.1) as unknown as object), 0.1);
  assert.equal(toJson(float, Math.fround(1 / 3) as unknown as object), 0.333333343); // as Envoy
  assert.equal(toJson(message('google.protobuf.DoubleValue')!, Number.NaN as unknown as object), 'NaN');
});
