import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeMessage, encodeMessage } from './binary.ts';
import { create } from './create.ts';
import type { InitTypes } from './messages/type-map.ts';
import { message } from './registry.ts';

const init: InitTypes['envoy.config.cluster.v3.Cluster'] = {
  name: 'web',
  connect_timeout: '0.25s',
  type: 'EDS',
  ring_hash_lb_config: { minimum_ring_size: 1024 },
  per_connection_buffer_limit_bytes: 1,
  metadata: { filter_metadata: { x: { y: [1, null] } } },
  transport_socket: {
    name: 'tls',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
      sni: 'example.com',
      max_session_keys: 5,
    },
  },
};

test('gives the same message as decoding its bytes', () => {
  const type = message('envoy.config.cluster.v3.Cluster');
  assert.deepEqual(
    create('envoy.config.cluster.v3.Cluster', init),
    decodeMessage(type, encodeMessage(type, init)),
  );
});

test('reads as defaults where nothing is given', () => {
  const cluster = create('envoy.config.cluster.v3.Cluster', init);
  assert.equal(cluster.lb_policy, 'ROUND_ROBIN');
  assert.deepEqual(cluster.connect_timeout, { seconds: 0, nanos: 250_000_000 });
  assert.equal(cluster.ring_hash_lb_config?.minimum_ring_size, 1024n);
  assert.deepEqual(cluster.health_checks, []);
});

test('refuses what the types refuse', () => {
  const wrong = { nam: 'x' } as object;
  assert.throws(() => create('envoy.config.cluster.v3.Cluster', wrong), /Cluster has no field "nam"/);
  const spelling = { lb_policy: 'ROUND_ROBBIN' } as object;
  assert.throws(
    () => create('envoy.config.cluster.v3.Cluster', spelling),
    /lb_policy: "ROUND_ROBBIN" does not fit/,
  );
  const timeout = { connect_timeout: '5' } as object;
  assert.throws(() => create('envoy.config.cluster.v3.Cluster', timeout), /"5" is not a duration/);
});
