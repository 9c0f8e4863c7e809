import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConfigError } from '#config/config-error.ts';
import { ParseContext } from '#config/parse-context.ts';
import { create } from '#schema/create.ts';
import type { ExtAuthzInit } from '#schema/messages/envoy/extensions/filters/http/ext_authz/v3.ts';
import { parseExtAuthz } from './config.ts';

function problemsOf(init: ExtAuthzInit): string[] {
  const problems: ConfigError[] = [];
  parseExtAuthz(
    create('envoy.extensions.filters.http.ext_authz.v3.ExtAuthz', init),
    new ParseContext('', problems),
  );
  return problems.map((it) => it.message);
}

const grpc = { envoy_grpc: { cluster_name: 'c' } };
const server_uri = { uri: 'http://c', cluster: 'c', timeout: '1s' } as const;

const rejected: readonly { readonly name: string; readonly init: ExtAuthzInit; readonly problem: string }[] =
  [
    { name: 'no service', init: {}, problem: 'needs one of: grpc_service, http_service' },
    {
      name: 'google_grpc',
      init: { grpc_service: { google_grpc: { target_uri: 'x', stat_prefix: 'x' } } },
      problem: 'grpc_service.google_grpc: is not supported by chancery: define a cluster and use envoy_grpc',
    },
    {
      name: 'a field without an implementation',
      init: { grpc_service: grpc, shadow_mode: true },
      problem: 'shadow_mode: is not supported by chancery',
    },
    {
      name: 'a retry policy with hosts to avoid',
      init: {
        grpc_service: { ...grpc, retry_policy: { retry_host_predicate: [{ name: 'x' }] } },
      },
      problem: 'grpc_service.retry_policy.retry_host_predicate: is not supported by chancery',
    },
  ];

for (const { name, init, problem } of rejected)
  test(`rejects ${name}`, () => assert.deepEqual(problemsOf(init), [problem]));

test('accepts a service over gRPC and one over HTTP', () => {
  assert.deepEqual(problemsOf({ grpc_service: grpc }), []);
  assert.deepEqual(problemsOf({ http_service: { server_uri } }), []);
});
