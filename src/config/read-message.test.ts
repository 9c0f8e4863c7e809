// Protobuf's lenient JSON rules, measured on Envoy 1.40, and what is said about a mistake.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { message } from '#schema/registry.ts';
import type { ConfigError } from './config-error.ts';
import { parseJson } from './json-text.ts';
import { readMessage } from './read-message.ts';
import { parseYaml } from './yaml.ts';

const clusterName: string = 'envoy.config.cluster.v3.Cluster';

function read(yaml: string, name = clusterName, unknownFields: 'error' | 'warning' | 'ignore' = 'error') {
  const problems: ConfigError[] = [];
  const result = readMessage(message(name)!, parseYaml(yaml).tree, problems, '', { unknownFields });
  return { result, problems };
}

const values: readonly (readonly [string, unknown])[] = [
  ['per_connection_buffer_limit_bytes: "5"', { per_connection_buffer_limit_bytes: 5 }],
  ['per_connection_buffer_limit_bytes: 1e3', { per_connection_buffer_limit_bytes: 1000 }],
  ['per_connection_buffer_limit_bytes: 5.0', { per_connection_buffer_limit_bytes: 5 }],
  ['per_connection_buffer_limit_bytes: 0x10', { per_connection_buffer_limit_bytes: 16 }],
  ['per_connection_buffer_limit_bytes: {value: 7}', { per_connection_buffer_limit_bytes: 7 }],
  ['perConnectionBufferLimitBytes: 5', { per_connection_buffer_limit_bytes: 5 }],
  ['per_connection_buffer_limit_bytes: 4294967295', { per_connection_buffer_limit_bytes: 4294967295 }],
  [
    'ring_hash_lb_config: {minimum_ring_size: 18446744073709551615}',
    { ring_hash_lb_config: { minimum_ring_size: 18446744073709551615n } },
  ],
  ['ignore_health_on_host_removal: "yes"', { ignore_health_on_host_removal: true }],
  ['lb_policy: ring_hash', { lb_policy: 'RING_HASH' }],
  ['lb_policy: 1', { lb_policy: 'LEAST_REQUEST' }],
  ['lb_policy: "1"', { lb_policy: 'LEAST_REQUEST' }],
  ['lb_policy: 99', { lb_policy: 99 }],
  ['connect_timeout: 1.5s', { connect_timeout: { seconds: 1, nanos: 500_000_000 } }],
  ['connect_timeout: -0.25s', { connect_timeout: { seconds: 0, nanos: -250_000_000 } }],
  ['connect_timeout: {seconds: 1}', { connect_timeout: { seconds: 1, nanos: 0 } }],
  ['name: ~', {}],
  ['health_checks: {tcp_health_check: {}}', { health_checks: [{ tcp_health_check: {} }] }],
  ['health_checks: [[{alt_port: 1}], {alt_port: 2}]', { health_checks: [{ alt_port: 1 }, { alt_port: 2 }] }],
  ['health_checks: [~]', { health_checks: [{}] }],
  [
    'metadata: {filter_metadata: {a: {b: [1, n, ~, x], c: 1.5}}}',
    { metadata: { filter_metadata: { a: { b: [1, false, null, 'x'], c: '1.5' } } } },
  ],
  [
    'transport_socket: {name: a, typed_config: {}}',
    { transport_socket: { name: 'a', typed_config: { '@type': '' } } },
  ],
  [
    'outlier_detection: {monitors: [{name: a, typed_config: {"@type": type.googleapis.com/google.protobuf.Duration, value: 1s}}]}',
    {
      outlier_detection: {
        monitors: [
          {
            name: 'a',
            typed_config: {
              '@type': 'type.googleapis.com/google.protobuf.Duration',
              value: { seconds: 1, nanos: 0 },
            },
          },
        ],
      },
    },
  ],
];

for (const [yaml, expected] of values) {
  test(`reads ${yaml}`, () => {
    const { result, problems } = read(yaml);
    assert.deepEqual(
      problems.map((it) => it.message),
      [],
    );
    assert.deepEqual(own(result), expected);
  });
}

/** Without the defaults of the prototypes. */
function own(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map(own);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, own(item)]));
}

const refused: readonly (readonly [string, string, string | undefined])[] = [
  [
    'conect_timeout: 1s',
    'conect_timeout: no such field: "conect_timeout" in envoy.config.cluster.v3.Cluster',
    'did you mean "connect_timeout"?',
  ],
  [
    'connectTimeOut: 1s',
    'connectTimeOut: no such field: "connectTimeOut" in envoy.config.cluster.v3.Cluster',
    'did you mean "connect_timeout"?',
  ],
  [
    'hosts: []',
    'hosts: no such field: "hosts" in envoy.config.cluster.v3.Cluster',
    'v3 has no "hosts": write the addresses under "load_assignment.endpoints[].lb_endpoints[].endpoint"',
  ],
  [
    'endpoints: []',
    'endpoints: no such field: "endpoints" in envoy.config.cluster.v3.Cluster',
    '"endpoints" belongs one level deeper, under "load_assignment"',
  ],
  [
    'load_assignment: {connect_timeout: 1s}',
    'load_assignment.connect_timeout: no such field: "connect_timeout" in envoy.config.endpoint.v3.ClusterLoadAssignment',
    '"connect_timeout" belongs one level further out, beside "load_assignment"',
  ],
  [
    'load_assignment:\ncluster_name: a',
    'cluster_name: no such field: "cluster_name" in envoy.config.cluster.v3.Cluster',
    '"cluster_name" belongs one level deeper, under "load_assignment": indent it below "load_assignment:"',
  ],
  ['name: 5', 'name: expected a string, got the number 5', 'put quotes around it: "5"'],
  [
    'name: y',
    'name: expected a string, got the boolean true',
    'put quotes around it: in YAML a plain y, n, yes, no, on, off, true or false is a boolean',
  ],
  [
    'name: [a]',
    'name: expected a string, got a list',
    'remove the "- " or the brackets: this is a single value',
  ],
  [
    'per_connection_buffer_limit_bytes: 32k',
    'per_connection_buffer_limit_bytes: expected a number (uint32), got "32k"',
    'write the number of bytes: 32768',
  ],
  [
    'per_connection_buffer_limit_bytes: 1.5',
    'per_connection_buffer_limit_bytes: expected an integer, got 1.5',
    undefined,
  ],
  [
    'per_connection_buffer_limit_bytes: 4294967296',
    'per_connection_buffer_limit_bytes: 4294967296 is out of range for uint32',
    undefined,
  ],
  [
    'connect_timeout: 5',
    'connect_timeout: expected a duration such as "1.5s", got the number 5',
    'a duration needs its unit: 5s',
  ],
  [
    'connect_timeout: 5m',
    `connect_timeout: "5m" is not a duration: duration must end with a single 's'`,
    'durations are in seconds: "300s"',
  ],
  [
    'upstream_bind_config: [{}]',
    'upstream_bind_config: expected an object (BindConfig), got a list',
    'remove the "- ": this field is not a list',
  ],
  [
    'type: EDS\ncluster_type: {name: a}',
    'cluster_type: "cluster_type" and "type" exclude each other: only one of "type", "cluster_type" may be set',
    'remove "cluster_type" or "type"',
  ],
  [
    'lb_policy: LEAST_REQEST',
    'lb_policy: unknown value "LEAST_REQEST" for the enum envoy.config.cluster.v3.Cluster.LbPolicy',
    'did you mean "LEAST_REQUEST"?',
  ],
  [
    'transport_socket: {typed_config: {type: x}}',
    'transport_socket.typed_config: needs "@type", which says what kind of message this is',
    'write "@type" (with quotes) instead of "type"',
  ],
  [
    'transport_socket: {typed_config: {"@type": type.googleapis.com/envoy.api.v2.auth.UpstreamTlsContext}}',
    'transport_socket.typed_config.@type: unknown type "type.googleapis.com/envoy.api.v2.auth.UpstreamTlsContext"',
    'the v2 API is gone: did you mean "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"?',
  ],
  [
    'transport_socket: {typed_config: {"@type": envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext}}',
    'transport_socket.typed_config.@type: "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext" is not a type URL',
    'did you mean "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"?',
  ],
];

for (const [yaml, problem, suggestion] of refused) {
  test(`refuses ${yaml.replaceAll('\n', ' / ')}`, () => {
    const { problems } = read(yaml);
    assert.deepEqual(
      problems.map((it) => [it.message, it.suggestion]),
      [[problem, suggestion]],
    );
  });
}

test('collects every problem and reads what is right', () => {
  const { result, problems } = read('name: a\nfoo: 1\nconnect_timeout: x\nlb_policy: RANDOM\nbar: {baz: 1}');
  assert.deepEqual(
    problems.map((it) => it.path),
    ['foo', 'connect_timeout', 'bar'],
  );
  assert.deepEqual([result.name, result.lb_policy], ['a', 'RANDOM']);
});

test('warns about unknown fields and values, or passes over them, on request', () => {
  const yaml = 'foo: 1\nlb_policy: FOO\nname: a';
  assert.deepEqual(
    read(yaml, clusterName, 'warning').problems.map((it) => it.severity),
    ['warning', 'warning'],
  );
  assert.deepEqual(read(yaml, clusterName, 'ignore').problems, []);
});

test('merges a message that stands twice in JSON', () => {
  const problems: ConfigError[] = [];
  const { tree } = parseJson('{"name": "a", "health_checks": [{}], "name": "b", "health_checks": [{}],}');
  const result = readMessage(message(clusterName)!, tree, problems);
  assert.deepEqual([result.name, (result.health_checks as unknown[]).length, problems.length], ['b', 2, 0]);
});
