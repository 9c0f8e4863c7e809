import assert from 'node:assert/strict';
import { test } from 'node:test';
import { enumNames, enumType, message, messageNames, messageOfTypeUrl } from './registry.ts';

test('finds messages and enums by full name, nested ones too', () => {
  assert.equal(message('envoy.config.cluster.v3.Cluster').name, 'envoy.config.cluster.v3.Cluster');
  assert.equal(message('envoy.config.cluster.v3.Cluster.RingHashLbConfig').fields.length, 3);
  assert.equal(enumType('envoy.config.cluster.v3.Cluster.LbPolicy')?.nameOf(2), 'RING_HASH');
  assert.equal(enumType('envoy.config.core.v3.TrafficDirection')?.numberOf('OUTBOUND'), 2);
  // A package that is the beginning of another one.
  assert.equal(message('envoy.type.v3.Percent').name, 'envoy.type.v3.Percent');
});

for (const name of [
  '',
  'Cluster',
  'envoy.config.cluster.v3',
  'envoy.config.cluster.v3.Clusters',
  'a.b.C',
  '..',
]) {
  test(`knows no message called "${name}"`, () => assert.equal(message(name), undefined));
}

test('tells messages from enums', () => {
  assert.equal(message('envoy.config.cluster.v3.Cluster.LbPolicy'), undefined);
  assert.equal(enumType('envoy.config.cluster.v3.Cluster'), undefined);
});

test('takes any prefix of a type URL', () => {
  assert.equal(messageOfTypeUrl('type.googleapis.com/google.protobuf.Any')?.wellKnown, 'any');
  assert.equal(messageOfTypeUrl('a/b/google.protobuf.Any')?.wellKnown, 'any');
  assert.equal(messageOfTypeUrl('google.protobuf.Any'), undefined);
});

test('describes fields', () => {
  const cluster = message('envoy.config.cluster.v3.Cluster');
  assert.equal(cluster.field('connect_timeout')?.message.wellKnown, 'duration');
  assert.equal(cluster.fieldByJsonName('connectTimeout'), cluster.field('connect_timeout'));
  assert.equal(cluster.fieldByNumber(4), cluster.field('connect_timeout'));
  assert.equal(cluster.field('type')?.oneof?.name, 'cluster_discovery_type');
  assert.deepEqual(
    cluster.field('type')?.oneof?.fields.map((it) => it.name),
    ['type', 'cluster_type'],
  );
  const options = cluster.field('typed_extension_protocol_options')!;
  assert.equal(options.kind, 'map');
  assert.equal(options.mapKey, 'string');
  assert.equal(options.mapValue.message.wellKnown, 'any');
  assert.equal(cluster.field('per_connection_buffer_limit_bytes')?.message.wellKnown, 'wrapper');
  assert.equal(cluster.field('health_checks')?.isRepeated, true);
});

test('knows which fields tell absence from their default', () => {
  const address = message('envoy.config.core.v3.SocketAddress');
  assert.equal(address.field('address')?.hasPresence, false);
  assert.equal(address.field('port_value')?.hasPresence, true);
  assert.equal(message('validate.StringRules').field('min_len')?.hasPresence, true);
  // `optional` is not a oneof.
  assert.equal(message('envoy.admin.v3.SimpleMetric').oneofs.length, 0);
});

test('carries the validation rules as plain objects', () => {
  const address = message('envoy.config.core.v3.SocketAddress');
  assert.deepEqual(address.field('port_value')?.rules, { uint32: { lte: 65535 } });
  assert.deepEqual(address.field('address')?.rules, { string: { min_len: 1 } });
  assert.equal(address.oneofs[0]?.isRequired, true);
  assert.equal(address.field('resolver_name')?.rules, undefined);
  const cluster = message('envoy.config.cluster.v3.Cluster');
  assert.deepEqual(cluster.field('connect_timeout')?.rules, { duration: { gt: { seconds: 0, nanos: 0 } } });
});

test('carries deprecations, secrets and work in progress', () => {
  const route = message('envoy.config.cluster.v3.Cluster').field('http_protocol_options')!;
  assert.equal(route.isDeprecated, true);
  assert.equal(route.deprecatedAt, '3.0');
  assert.equal(
    message('envoy.extensions.transport_sockets.tls.v3.TlsCertificate').field('private_key')?.isSensitive,
    true,
  );
  assert.equal(
    message('envoy.config.route.v3.RateLimit.Action').field('dynamic_metadata')?.isDisallowedByDefault,
    true,
  );
  const version = enumType('envoy.config.core.v3.ApiConfigSource.ApiType')!;
  const old = version.value('DEPRECATED_AND_UNAVAILABLE_DO_NOT_USE')!;
  assert.deepEqual([old.isDeprecated, old.isDisallowedByDefault], [true, true]);
});

test('a new message reads as its defaults and owns nothing', () => {
  const cluster = message('envoy.config.cluster.v3.Cluster').create();
  assert.equal(cluster.name, '');
  assert.equal(cluster.lb_policy, 'ROUND_ROBIN');
  assert.deepEqual(cluster.health_checks, []);
  assert.deepEqual(cluster.typed_extension_protocol_options, {});
  assert.equal(cluster.connect_timeout, undefined);
  assert.deepEqual(Object.keys(cluster), []);
  Object.assign(cluster, { name: 'x' });
  assert.equal(message('envoy.config.cluster.v3.Cluster').create().name, '');
});

test('every message, field and rule of the API can be linked', () => {
  const names = messageNames();
  assert.equal(names.length, 1802);
  assert.equal(enumNames().length, 240);
  for (const name of names) {
    const type = message(name)!;
    type.create();
    for (const field of type.fields) {
      assert.ok(field.name && field.jsonName && field.number, `${name}.${field.name}`);
      void field.rules;
      if (field.kind === 'message') assert.ok(field.message);
      if (field.kind === 'enum') assert.ok(field.enum.values.length > 0);
      if (field.kind === 'map') assert.ok(field.mapKey && field.mapValue);
    }
  }
});
