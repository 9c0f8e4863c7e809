import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from './create.ts';
import { message } from './registry.ts';
import { readText, writeText } from './text.ts';

const cluster = message('envoy.config.cluster.v3.Cluster');
const listener = message('envoy.config.listener.v3.Listener');

test('reads every way of writing a field', () => {
  const { message: read, problems } = readText(
    cluster,
    `# a cluster
    name: "we" 'b'  # two parts
    type: STRICT_DNS
    connect_timeout { nanos: 0xEE6B280 }
    lb_policy: 3;
    per_connection_buffer_limit_bytes: < value: 010 >,
    ring_hash_lb_config { minimum_ring_size { value: 18446744073709551615 } }
    common_lb_config { healthy_panic_threshold { value: -1.5e1f } close_connections_on_host_set_change: t }
    metadata { filter_metadata [
      { key: "a" value { fields { key: "n" value { list_value { values { number_value: inf } values { null_value: NULL_VALUE } } } } } },
      { key: "b" }
    ] }
    health_checks: [{ timeout: { seconds: 1 } }, { reuse_connection { value: true } }]
    typed_extension_protocol_options {
      key: "http"
      value {
        [type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions] { upstream_http_protocol_options { auto_sni: true } }
      }
    }`,
  );
  assert.deepEqual(problems, []);
  assert.deepEqual(
    read,
    create('envoy.config.cluster.v3.Cluster', {
      name: 'web',
      type: 'STRICT_DNS',
      connect_timeout: '0.25s',
      lb_policy: 'RANDOM',
      per_connection_buffer_limit_bytes: 8,
      ring_hash_lb_config: { minimum_ring_size: 18446744073709551615n },
      common_lb_config: {
        healthy_panic_threshold: { value: -15 },
        close_connections_on_host_set_change: true,
      },
      metadata: { filter_metadata: { a: { n: [Number.POSITIVE_INFINITY, null] }, b: {} } },
      health_checks: [{ timeout: '1s' }, { reuse_connection: true }],
      typed_extension_protocol_options: {
        http: {
          '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
          upstream_http_protocol_options: { auto_sni: true },
        },
      },
    }),
  );
});

test('reads escapes', () => {
  const { message: read, problems } = readText(
    cluster,
    String.raw`name: "\n\t\"\\\'\x41\101\u00e9\U0001F600\303\251"`,
  );
  assert.deepEqual(problems, []);
  assert.equal(read.name, '\n\t"\\\'AAé😀é');
});

test('reads an Any written as its two fields', () => {
  const socket = message('envoy.config.core.v3.TransportSocket');
  const { message: read } = readText(
    socket,
    String.raw`typed_config { type_url: "type.googleapis.com/google.protobuf.StringValue" value: "\n\001x" }`,
  );
  assert.deepEqual(read.typed_config, {
    '@type': 'type.googleapis.com/google.protobuf.StringValue',
    value: 'x',
  });
});

test('collects what is wrong, each with its place', () => {
  const { message: read, problems } = readText(
    listener,
    `name: "l"
adress { socket_address { } }
address {
  socket_address { port_value: 99999999999 protocol: SCTP named_port: "x" }
}
use_original_dst { value: maybe }
name: "again"
filter_chains { filters { typed_config { [type.googleapis.com/a.B] { x: [1, { y: "z" }] } } } }
`,
  );
  assert.equal(read.name, 'again');
  assert.deepEqual(
    problems.map((it) => `${it.line}:${it.column} ${it.path}: ${it.problem}`),
    [
      '2:1 : message type "envoy.config.listener.v3.Listener" has no field named "adress"',
      '4:32 address.socket_address.port_value: 99999999999 is out of range for uint32: 0 to 4294967295',
      '4:54 address.socket_address.protocol: "SCTP" is not a value of envoy.config.core.v3.SocketAddress.Protocol',
      '4:59 address.socket_address.named_port: "named_port" cannot be combined with "port_value" (oneof port_specifier)',
      '6:27 use_original_dst.value: expected true or false, got "maybe"',
      '7:1 name: "name" is given more than once',
      '8:43 filter_chains[0].filters[0].typed_config: unknown type "type.googleapis.com/a.B"',
    ],
  );
});

const broken = [
  { name: 'a missing bracket', text: 'address {', problem: '1:10 address: expected "}"' },
  {
    name: 'a wrong bracket',
    text: 'address { >',
    problem: '1:11 address: expected the name of a field, got ">"',
  },
  { name: 'an open quote', text: 'name: "x\n"', problem: '1:7 name: text without closing quote' },
  { name: 'a missing colon', text: 'name "x"', problem: '1:6 name: expected ":"' },
  { name: 'a strange character', text: '\n  name: @', problem: '2:9 name: unexpected "@"' },
  { name: 'an unknown escape', text: 'name: "\\q"', problem: '1:8 name: unknown escape in text' },
  {
    name: 'an endless list',
    text: 'filter_chains: [',
    problem: '1:17 filter_chains[0]: expected "{", got the end',
  },
];
for (const { name, text, problem } of broken) {
  test(`stops at ${name}`, () => {
    const [first] = readText(listener, text).problems;
    assert.equal(`${first?.line}:${first?.column} ${first?.path}: ${first?.problem}`, problem);
  });
}

for (const hostile of [
  'unknown { '.repeat(100_000),
  'a: ['.repeat(100_000),
  `metadata{filter_metadata{value{${'fields{value{list_value{values{struct_value{'.repeat(1000)}`,
])
  test(`refuses endless nesting: ${hostile.slice(0, 10)}`, () => {
    assert.ok(readText(listener, hostile).problems.length > 0);
  });

test('tells where each value stands', () => {
  const places: string[] = [];
  const text = 'name: "l" address { socket_address { } } filter_chains { } filter_chains: [{ }]';
  readText(listener, text, {
    onValue: (path, nameAt, valueAt) => places.push(`${path.join('/')} ${nameAt} ${valueAt}`),
  });
  assert.deepEqual(places, [
    'name 0 6',
    'address 10 18',
    'address/socket_address 20 35',
    'filter_chains 41 55',
    'filter_chains/0 41 55',
    'filter_chains 59 74',
    'filter_chains/1 59 75',
  ]);
});

test('writes what it reads', () => {
  const text = `name: "q\\"\\n\\001é"
lb_policy: MAGLEV
health_checks {
  alt_port {
    value: 5
  }
}
health_checks {
}
transport_socket {
  name: "tls"
  typed_config {
    [type.googleapis.com/google.protobuf.BytesValue] {
      value: "\\377a"
    }
  }
}
metadata {
  filter_metadata {
    key: "a"
    value {
      fields {
        key: "x"
        value {
          bool_value: true
        }
      }
    }
  }
}
`;
  const { message: read, problems } = readText(cluster, text);
  assert.deepEqual(problems, []);
  const sorted = (it: string) => it.split('\n').sort();
  assert.deepEqual(sorted(writeText(cluster, read)), sorted(text));
});
