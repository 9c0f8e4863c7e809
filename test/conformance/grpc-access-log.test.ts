import assert from 'node:assert/strict';
import { test } from 'node:test';
import { missing } from '#testing/peers.ts';
import { GrpcRecorder, type RecordedCall } from './grpc-recorder.ts';
import { compareHttp, type HttpCase, typeUrl } from './http-services.ts';

const common = (name: string, fields: object = {}) => ({
  log_name: name,
  transport_api_version: 'V3',
  // Every entry is sent at once.
  buffer_size_bytes: 0,
  grpc_service: { envoy_grpc: { cluster_name: 'service' } },
  ...fields,
});
const logger = (name: string, fields: object = {}, commonFields: object = {}) => ({
  name: 'grpc',
  typed_config: {
    '@type': typeUrl('extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig'),
    common_config: common(name, commonFields),
    ...fields,
  },
});

function recorder() {
  const found = new GrpcRecorder(
    '/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs',
    'envoy.service.accesslog.v3.StreamAccessLogsMessage',
    'envoy.service.accesslog.v3.StreamAccessLogsResponse',
  );
  // Each proxy has its own extensions and build.
  const push = found.calls.push.bind(found.calls);
  found.calls.push = (call: RecordedCall) => {
    const { identifier } = call.request as { identifier?: { node: Record<string, unknown> } };
    delete identifier?.node.extensions;
    delete identifier?.node.user_agent_build_version;
    return push(call);
  };
  return found;
}

test('http_grpc sends what Envoy sends', { skip: missing('envoy') }, async (t) => {
  const logged = (
    name: string,
    more: Partial<HttpCase> = {},
    fields: object = {},
    commonFields: object = {},
  ): HttpCase => ({
    name,
    filters: [],
    loggers: [logger(name, fields, commonFields)],
    calls: 1,
    ...more,
  });
  const cases: HttpCase[] = [
    logged('plain', {
      request: {
        path: '/a?b=c',
        headers: {
          'user-agent': 'agent',
          referer: 'http://r',
          'x-request-id': 'an-id',
          'x-text': 'caf\xc3\xa9',
        },
      },
    }),
    logged('posted', { request: { method: 'POST', body: ['one', 'two'] } }),
    logged('unusual_method', { request: { method: 'PROPFIND' } }),
    logged('rewritten', { route: { route: { cluster: 'upstream', prefix_rewrite: '/new/' } } }),
    logged('not_found', { virtualHost: { routes: [] } }),
    logged('direct', {
      virtualHost: {
        routes: [
          { match: { prefix: '/' }, direct_response: { status: 418, body: { inline_string: 'tea' } } },
        ],
      },
    }),
    logged('refused', { route: { route: { cluster: 'refused' } } }),
    logged(
      'headers',
      { request: { headers: { 'x-one': ['1', '2'] } } },
      {
        additional_request_headers_to_log: ['X-One', ':path', 'x-none'],
        additional_response_headers_to_log: ['x-upstream', ':status'],
        additional_response_trailers_to_log: ['x-none'],
      },
    ),
    logged(
      'tags',
      { request: { headers: { 'x-one': '1' } } },
      {},
      {
        custom_tags: [
          { tag: 'literal', literal: { value: 'é' } },
          { tag: 'environment', environment: { name: 'NOBODY_HAS_THIS', default_value: 'default' } },
          { tag: 'header', request_header: { name: 'x-one' } },
          { tag: 'no_header', request_header: { name: 'x-none' } },
          { tag: 'default_header', request_header: { name: 'x-none', default_value: 'default' } },
          {
            tag: 'route',
            metadata: { kind: { route: {} }, metadata_key: { key: 'of.route', path: [{ key: 'a' }] } },
          },
          {
            tag: 'cluster',
            metadata: { kind: { cluster: {} }, metadata_key: { key: 'of.cluster', path: [{ key: 'a' }] } },
          },
          {
            tag: 'none',
            metadata: {
              kind: { request: {} },
              metadata_key: { key: 'x', path: [{ key: 'a' }] },
              default_value: 'default',
            },
          },
        ],
      },
    ),
    logged('lost', { calls: 0 }, {}, { grpc_service: { envoy_grpc: { cluster_name: 'unknown' } } }),
    logged('refused_logs', { calls: 0 }, {}, { grpc_service: { envoy_grpc: { cluster_name: 'refused' } } }),
  ];
  const grpc = recorder();
  const { cases: seen } = await compareHttp(t, cases, { grpc: grpc as never }, 'grpc_access_log');
  assert.equal(seen.length, cases.length);
});

test('http_grpc gathers entries', { skip: missing('envoy') }, async (t) => {
  const cases: HttpCase[] = [
    {
      name: 'by_time',
      filters: [],
      loggers: [logger('by_time', {}, { buffer_size_bytes: 100_000, buffer_flush_interval: '0.05s' })],
      calls: 1,
    },
  ];
  const grpc = recorder();
  await compareHttp(t, cases, { grpc: grpc as never }, 'grpc_access_log');
});
