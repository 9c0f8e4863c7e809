import assert from 'node:assert/strict';
import { test } from 'node:test';
import { certificateFiles, certificatePath } from '#testing/certificates.ts';
import { loadBootstrap } from '../load.ts';

const type = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext';
const names = { match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { prefix: 'spiffe://' } }] };
const trust = { name: 'trust', validation_context: { trusted_ca: { filename: certificatePath('ca') } } };

async function errors(common: object): Promise<string[]> {
  const transport_socket = {
    name: 'tls',
    typed_config: {
      '@type': type,
      common_tls_context: { tls_certificates: [certificateFiles('server-ec')], ...common },
    },
  };
  const address = { socket_address: { address: '127.0.0.1', port_value: 1 } };
  const listeners = [{ name: 'l', address, filter_chains: [{ transport_socket }] }];
  const yaml = JSON.stringify({ static_resources: { listeners, secrets: [trust] } });
  const { problems } = await loadBootstrap({ yaml });
  return problems.filter((it) => it.severity === 'error').map((it) => it.envoy ?? it.message);
}

test('names need a CA that vouches for them', async () => {
  const [error] = await errors({ validation_context: names });
  assert.equal(
    error,
    'SAN-based verification of peer certificates without trusted CA is insecure and not allowed',
  );
});

test('the CA for the names of a default context may come with the secret', async () => {
  const combined_validation_context = {
    default_validation_context: names,
    validation_context_sds_secret_config: { name: 'trust' },
  };
  assert.deepEqual(await errors({ combined_validation_context }), []);
});

test('a secret is used as what it is', async () => {
  const sds = { name: 'trust' };
  assert.deepEqual(await errors({ validation_context_sds_secret_config: sds }), []);
  assert.deepEqual(await errors({ validation_context_sds_secret_config: { name: 'trusd' } }), [
    'Unknown static certificate validation context: trusd',
  ]);
  assert.deepEqual(await errors({ tls_certificates: [], tls_certificate_sds_secret_configs: [sds] }), [
    'Unknown static secret: trust',
  ]);
});
