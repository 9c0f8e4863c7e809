// Network filters that ask a service, through the real Envoy and through us: the same messages to the service, the same verdicts,
// statistics and log lines.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { certificateFiles, certificatePath } from '#testing/certificates.ts';
import { missing } from '#testing/peers.ts';
import { GrpcRecorder } from './grpc-recorder.ts';
import { expectSame, normalized, type Side } from './side-by-side.ts';

const type = (name: string) => `type.googleapis.com/envoy.${name}`;
const address = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });
const echo = { name: 'echo', typed_config: { '@type': type('extensions.filters.network.echo.v3.Echo') } };

interface Case {
  /** Of the listener, of the statistics, and what the service answers by. */
  readonly name: string;
  readonly filter: object;
  readonly tls?: boolean;
  readonly logger?: object;
  readonly ignoresCalls?: boolean;
}

/** Times and ids. */
const differing = /^(time_to_|duration$|start_time|stream_id|tls_session_id)|wire_bytes/;

const logFormat =
  '%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% %DOWNSTREAM_LOCAL_CLOSE_REASON% %DYNAMIC_METADATA(envoy.filters.network.ext_authz)% %DYNAMIC_METADATA(envoy.filters.network.ratelimit)% %FILTER_STATE(envoy.filters.network.ext_authz)% %FILTER_STATE(envoy.filters.network.ext_authz:PLAIN)% %FILTER_STATE(envoy.filters.network.ext_authz:FIELD:check_result)% %FILTER_STATE(envoy.filters.network.ext_authz:FIELD:status_code)%\n';

function yamlOf(cases: readonly Case[], servicePort: number): string {
  const http2 = {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': type('extensions.upstreams.http.v3.HttpProtocolOptions'),
      explicit_http_config: { http2_protocol_options: {} },
    },
  };
  const cluster = (name: string, port: number) => ({
    name,
    connect_timeout: '2s',
    typed_extension_protocol_options: http2,
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: address(port) } }] }],
    },
  });
  return JSON.stringify({
    node: { id: 'id', cluster: 'local', metadata: { labels: { a: 'b', n: 1 } } },
    admin: { address: address(21001) },
    static_resources: {
      listeners: cases.map(({ name, filter, tls, logger }, i) => ({
        name,
        address: address(21100 + i),
        access_log: [
          ...(logger ? [logger] : []),
          {
            name: 'file',
            typed_config: {
              '@type': type('extensions.access_loggers.file.v3.FileAccessLog'),
              path: `${name}.log`,
              log_format: { text_format_source: { inline_string: logFormat } },
            },
          },
        ],
        filter_chains: [
          {
            filters: [{ name: 'service', typed_config: filter }, echo],
            ...(tls && {
              transport_socket: {
                name: 'tls',
                typed_config: {
                  '@type': type('extensions.transport_sockets.tls.v3.DownstreamTlsContext'),
                  common_tls_context: {
                    tls_certificates: [certificateFiles('server-rsa')],
                    validation_context: { trusted_ca: { filename: certificatePath('ca') } },
                  },
                },
              },
            }),
          },
        ],
      })),
      clusters: [
        cluster('service', servicePort),
        // Nobody listens there.
        cluster('refused', 21999),
        { name: 'empty', connect_timeout: '1s', typed_extension_protocol_options: http2 },
      ],
    },
  });
}

async function say(port: number, tls: boolean, text: string): Promise<string> {
  const socket: Socket = tls
    ? connectTls({
        port,
        host: '127.0.0.1',
        servername: 'server.test',
        rejectUnauthorized: false,
        cert: readFileSync(certificatePath('client')),
        key: readFileSync(certificatePath('client-key')),
      })
    : connect({ port, host: '127.0.0.1' });
  let answer = '';
  socket.setEncoding('latin1');
  socket.on('data', (it: string) => {
    answer += it;
    // A reset, so that no filter sees an end.
    if (answer.length < text.length) return;
    if (tls) socket.destroy();
    else socket.resetAndDestroy();
  });
  socket.on('error', () => {});
  socket.write(text);
  await new Promise((resolve) => socket.once('close', resolve));
  return answer === '' ? 'closed' : answer;
}

function observer(
  recorder: GrpcRecorder<never, never>,
  cases: readonly Case[],
  stats: string,
  callsAfter: number,
) {
  return async (side: Side) => {
    const seen: unknown[] = [];
    for (let i = 0; i < cases.length; i++) {
      const { name, tls } = cases[i]!;
      recorder.calls.length = 0;
      const answer = await say(side.port(21100 + i), tls ?? false, 'hello');
      await recorder.untilCalled(callsAfter);
      const port = String(side.port(21100 + i));
      const calls = normalized(recorder.calls, (text, key) =>
        key === 'port_value' ? (text === port ? 'listener' : 'client') : differing.test(key) ? 'some' : text,
      );
      for (const call of calls as { request: { identifier?: { node: Record<string, unknown> } } }[]) {
        // Each proxy has its own extensions and build.
        delete call.request.identifier?.node.extensions;
        delete call.request.identifier?.node.user_agent_build_version;
      }
      seen.push({ name, answer, calls: cases[i]!.ignoresCalls ? [] : calls });
    }
    const ports = new RegExp(`_${side.port(21100)}`);
    const counted = (await side.stats(stats)).map((it) => it.replace(ports, ''));
    await side.stop();
    return {
      seen,
      stats: counted,
      logs: cases.map(({ name }) => name).map((name) => `${name}: ${logOf(side, name)}`),
    };
  };
}

const logOf = (side: Side, name: string) =>
  side
    .lines(`${name}.log`)
    .join('\n')
    .replace(/"ext_authz_duration":[\d.]+/, '"ext_authz_duration":0');

async function compare(
  t: TestContext,
  recorder: GrpcRecorder<never, never>,
  cases: readonly Case[],
  stats: string,
  callsAfter = 0,
): Promise<Awaited<ReturnType<ReturnType<typeof observer>>>> {
  await recorder.start(t);
  const yaml = yamlOf(cases, recorder.port);
  return expectSame(t, yaml, async (side) => {
    const result = await observer(recorder, cases, stats, callsAfter)(side);
    return result;
  });
}

test('ext_authz', { skip: missing('envoy') }, async (t) => {
  const filter = (name: string, fields: object = {}, service: object = {}, cluster = 'service') => ({
    '@type': type('extensions.filters.network.ext_authz.v3.ExtAuthz'),
    stat_prefix: name,
    transport_api_version: 'V3',
    grpc_service: {
      envoy_grpc: { cluster_name: cluster },
      timeout: '5s',
      initial_metadata: [
        { key: 'x-case', value: name },
        { key: 'x-peer', value: '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%' },
      ],
      ...service,
    },
    ...fields,
  });
  const cases: Case[] = [
    { name: 'allowed', filter: filter('allowed') },
    { name: 'denied', filter: filter('denied') },
    { name: 'denied_with_metadata', filter: filter('denied_with_metadata') },
    { name: 'error_response', filter: filter('error_response') },
    { name: 'failing', filter: filter('failing') },
    { name: 'failing_open', filter: filter('failing_open', { failure_mode_allow: true }) },
    { name: 'garbage', filter: filter('garbage') },
    {
      name: 'late',
      filter: filter(
        'late',
        {},
        {
          timeout: '0.05s',
          // The server would give up at the same time.
          initial_metadata: [
            { key: 'x-case', value: 'late' },
            { key: 'grpc-timeout', value: '9S' },
          ],
        },
      ),
    },
    { name: 'refused', filter: filter('refused', {}, {}, 'refused') },
    { name: 'empty', filter: filter('empty', {}, {}, 'empty') },
    { name: 'unknown', filter: filter('unknown', {}, {}, 'unknown') },
    { name: 'unknown_open', filter: filter('unknown_open', { failure_mode_allow: true }, {}, 'unknown') },
    {
      name: 'tls',
      tls: true,
      filter: filter('tls', {
        include_peer_certificate: true,
        include_tls_session: true,
        bootstrap_metadata_labels_key: 'labels',
      }),
    },
    {
      name: 'disabled',
      filter: filter('disabled', {
        filter_enabled_metadata: { filter: 'x', path: [{ key: 'y' }], value: { bool_match: true } },
      }),
    },
    {
      name: 'authority',
      filter: filter(
        'authority',
        { include_tls_session: true },
        { envoy_grpc: { cluster_name: 'service', authority: 'authz.test' } },
      ),
    },
    {
      name: 'retried',
      filter: filter(
        'retried',
        {},
        {
          retry_policy: {
            retry_on: 'unavailable',
            num_retries: 2,
            // The longest interval is the timeout of each try, too.
            retry_back_off: { base_interval: '0.001s', max_interval: '4s' },
          },
        },
      ),
    },
    { name: 'shadow_allowed', filter: filter('shadow_allowed', { shadow_mode: true }) },
    { name: 'shadow_denied', filter: filter('denied', { shadow_mode: true, stat_prefix: 'shadow_denied' }) },
    {
      name: 'shadow_metadata',
      filter: filter('denied_with_metadata', { shadow_mode: true, stat_prefix: 'shadow_metadata' }),
    },
    {
      name: 'shadow_error',
      filter: filter('error_response', { shadow_mode: true, stat_prefix: 'shadow_error' }),
    },
    {
      name: 'shadow_failing',
      filter: filter('failing', { shadow_mode: true, stat_prefix: 'shadow_failing' }),
    },
    {
      name: 'shadow_open',
      filter: filter('failing_open', {
        shadow_mode: true,
        failure_mode_allow: true,
        stat_prefix: 'shadow_open',
      }),
    },
    {
      name: 'shadow_refused',
      filter: filter('shadow_refused', { shadow_mode: true }, {}, 'refused'),
    },
    {
      name: 'shadow_unknown',
      filter: filter('shadow_unknown', { shadow_mode: true }, {}, 'unknown'),
    },
    {
      name: 'without_envoy_headers',
      filter: filter(
        'without_envoy_headers',
        {},
        { envoy_grpc: { cluster_name: 'service', skip_envoy_headers: true } },
      ),
    },
  ];
  const recorder = new GrpcRecorder(
    '/envoy.service.auth.v3.Authorization/Check',
    'envoy.service.auth.v3.CheckRequest',
    'envoy.service.auth.v3.CheckResponse',
    (metadata) => {
      switch (metadata['x-case']) {
        case 'denied':
          return { message: { status: { code: 7 } } };
        case 'denied_with_metadata':
          return {
            message: {
              status: { code: 16 },
              dynamic_metadata: { why: 'so' },
              denied_response: { status: { code: 'Unauthorized' } },
            },
          };
        case 'error_response':
          return {
            message: { status: { code: 7 }, error_response: { status: { code: 'BadGateway' }, body: 'no' } },
          };
        case 'failing':
        case 'failing_open':
        case 'retried':
          return { status: 14, details: 'not now' };
        case 'garbage':
          return { bytes: Buffer.from([0x0a, 0x7f]) };
        case 'late':
          return 'never';
        default:
          return { message: { status: { code: 0 }, dynamic_metadata: { who: 'me' } } };
      }
    },
  );
  const result = await compare(
    t,
    recorder as never,
    cases,
    '^(ext_authz|http\\.async-client\\.rq_total|http\\.async-client\\.no|cluster\\.(service|refused|empty)\\..*(upstream_rq|none_healthy))',
  );
  assert.deepEqual(
    result.seen.map((it) => (it as { answer: string }).answer),
    [
      'hello',
      ...Array(4).fill('closed'),
      'hello',
      ...Array(5).fill('closed'),
      ...Array(4).fill('hello'),
      'closed',
      // In the shadow nothing is closed.
      ...Array(8).fill('hello'),
      'hello',
    ],
  );
});

test('ratelimit', { skip: missing('envoy') }, async (t) => {
  const filter = (name: string, fields: object = {}, cluster = 'service') => ({
    '@type': type('extensions.filters.network.ratelimit.v3.RateLimit'),
    stat_prefix: name,
    domain: 'connections',
    timeout: '5s',
    descriptors: [{ entries: [{ key: 'kind', value: name }] }],
    rate_limit_service: {
      transport_api_version: 'V3',
      grpc_service: {
        envoy_grpc: { cluster_name: cluster },
        timeout: '0.001s',
        initial_metadata: [{ key: 'x-case', value: name }],
      },
    },
    ...fields,
  });
  const entries = [
    { key: 'client', value: '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%' },
    { key: 'name', value: '<%REQUESTED_SERVER_NAME%>' },
    { key: 'text', value: 'żółć' },
  ];
  const cases: Case[] = [
    { name: 'allowed', filter: filter('allowed') },
    {
      name: 'formatted',
      filter: filter('formatted', { descriptors: [{ entries }, { entries: entries.slice(1) }] }),
    },
    {
      name: 'weighted',
      filter: filter('weighted', {
        descriptors: [
          {
            entries: [{ key: 'a', value: 'b' }],
            limit: { requests_per_unit: 5, unit: 'HOUR' },
            hits_addend: 3,
          },
        ],
      }),
    },
    { name: 'over', filter: filter('over') },
    { name: 'with_metadata', filter: filter('with_metadata') },
    { name: 'failing', filter: filter('failing') },
    { name: 'failing_closed', filter: filter('failing_closed', { failure_mode_deny: true }) },
    { name: 'unknown', filter: filter('unknown', {}, 'unknown') },
    { name: 'unknown_closed', filter: filter('unknown_closed', { failure_mode_deny: true }, 'unknown') },
    // After 20 ms; whether the call has been seen by then is a matter of luck.
    {
      name: 'default_timeout',
      filter: filter('default_timeout', { timeout: undefined }),
      ignoresCalls: true,
    },
  ];
  const recorder = new GrpcRecorder(
    '/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit',
    'envoy.service.ratelimit.v3.RateLimitRequest',
    'envoy.service.ratelimit.v3.RateLimitResponse',
    (metadata) => {
      switch (metadata['x-case']) {
        case 'over':
          return { message: { overall_code: 'OVER_LIMIT' } };
        case 'with_metadata':
          return { message: { overall_code: 'OK', dynamic_metadata: { who: 'me' } } };
        case 'failing':
        case 'failing_closed':
          return { status: 13 };
        case 'default_timeout':
          return 'never';
        default:
          return { message: { overall_code: 'OK' } };
      }
    },
  );
  const result = await compare(t, recorder as never, cases, '^ratelimit');
  assert.deepEqual(
    result.seen.map((it) => (it as { answer: string }).answer),
    ['hello', 'hello', 'hello', 'closed', 'hello', 'hello', 'closed', 'hello', 'closed', 'hello'],
  );
});

test('tcp_grpc access log', { skip: missing('envoy') }, async (t) => {
  const cases: Case[] = ['plain', 'tls'].map((name) => ({
    name,
    tls: name === 'tls',
    filter: {
      '@type': type('extensions.filters.network.rbac.v3.RBAC'),
      stat_prefix: name,
      rules: {
        action: 'ALLOW',
        policies: { all: { permissions: [{ any: true }], principals: [{ any: true }] } },
      },
    },
    logger: {
      name: 'grpc',
      typed_config: {
        '@type': type('extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig'),
        common_config: {
          log_name: name,
          transport_api_version: 'V3',
          buffer_size_bytes: 0,
          grpc_service: { envoy_grpc: { cluster_name: 'service' } },
          custom_tags: [{ tag: 'a', literal: { value: 'b' } }],
        },
      },
    },
  }));
  const recorder = new GrpcRecorder(
    '/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs',
    'envoy.service.accesslog.v3.StreamAccessLogsMessage',
    'envoy.service.accesslog.v3.StreamAccessLogsResponse',
  );
  await compare(t, recorder as never, cases, '^access_logs', 1);
});
