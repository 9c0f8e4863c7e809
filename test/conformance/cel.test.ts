// CEL expressions beside the real Envoy: what access logs show of them, as text and as JSON, which requests they let be logged, and
// which the rbac filter lets pass.
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Http1Upstream } from '#testing/http1-upstream.ts';
import { missing } from '#testing/peers.ts';
import { expectSame, type Side } from './side-by-side.ts';

const expressions = `
request.path; request.url_path; request.host.startsWith('127'); request.scheme; request.method; request.headers['x-a']; request.headers['X-A']
has(request.headers.host); request.headers[':path']; request.referer; request.useragent; request.protocol; request.query; request.size
request.id == request.headers['x-request-id']; size(request.headers); request.headers_bytes > 10; request.nope; request; request.headers['multi']
response.code; response.code_details; response.flags; response.grpc_status; response.headers[':status']; response.trailers['a']
response.size; response.backend_latency < duration('10s'); source.address.startsWith('127.0.0.1:'); source.port > 0; destination.port > 0
connection.id > 0u; connection.mtls; connection.requested_server_name; connection.tls_version; connection.termination_details
upstream.port > 0; upstream.local_address.startsWith('127'); upstream.transport_failure_reason; upstream.request_attempt_count
metadata.filter_metadata.nope; metadata; filter_state['s']; filter_state['s'] == b'v'; filter_state['s'] == 'v'; filter_state.nope
xds.cluster_name; xds.route_name; xds.virtual_host_name; xds.filter_chain_name; xds.route_metadata.filter_metadata.rm.a
xds.route_metadata.filter_metadata['rm']['l'][1]; xds.route_metadata.filter_metadata['rm']['o']; xds.listener_metadata.filter_metadata.lm.a
xds.cluster_metadata; xds.route_metadata; xds.listener_direction; xds.node.id; xds; foo; foo.bar; 1 + 1; 1 / 0; 1.5; 1.0; 100000.0; 1000000.0; 1234567.89
0.0001; 0.00001; -1.5e-10; 1u; !true; null; 'é'; size('é'); b'ab'; [1, 2]; {'a': 1}; 'a' + 'b'; [1] + [2]; 1 == 1.0; '1' == 1; 'k' in {'k': 1}
type('a') == string; int('12') + 1; double('2.5'); int(2.9); bool('true'); duration('1.5s'); duration('90061.25s'); duration('1500us')
duration('0s'); duration('-3s'); duration('20ns'); timestamp('2020-01-02T03:04:05.678Z'); timestamp('2020-01-02T03:04:05Z') + duration('1h')
timestamp('2020-01-02T03:04:05.678Z').getFullYear(); has(request.path); has(request.nope); 'abc'.matches('^a.c$'); [1][5]; {'a': 'b'}.a; {'a': 'b'}['z']
true || foo; foo || true; foo && false; false || foo; -5 % 3; 7 / 2; 9223372036854775807; 9223372036854775807 + 1; 18446744073709551615u; 1 > 'a'
request.path.matches(request.headers['x-b'])`
  .split(/[;\n]/)
  .map((it) => it.trim())
  // A percent sign would end the command.
  .filter((it) => it !== '' && !it.includes('%'));

const type = (name: string) => `type.googleapis.com/${name}`;
const log = (path: string, format: object, filter?: object) => ({
  name: 'file',
  ...(filter && { filter }),
  typed_config: {
    '@type': type('envoy.extensions.access_loggers.file.v3.FileAccessLog'),
    path,
    log_format: format,
  },
});
const celFilter = (expression: string) => ({
  extension_filter: {
    name: 'cel',
    typed_config: {
      '@type': type('envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter'),
      expression,
    },
  },
});
const metadata = (name: string, value: object) => ({ metadata: { filter_metadata: { [name]: value } } });

/** `request.headers[name] == value`, as a tree. */
const headerIs = (name: string, value: string) => ({
  call_expr: {
    function: '_==_',
    args: [
      {
        call_expr: {
          function: '_[_]',
          args: [
            { select_expr: { operand: { ident_expr: { name: 'request' } }, field: 'headers' } },
            { const_expr: { string_value: name } },
          ],
        },
      },
      { const_expr: { string_value: value } },
    ],
  },
});
const rbac = (config: object) => ({
  name: 'rbac',
  typed_config: { '@type': type('envoy.extensions.filters.http.rbac.v3.RBAC'), ...config },
});

function yaml(upstreamPort: number): string {
  return JSON.stringify({
    node: { id: 'n', cluster: 'c' },
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: 21001 } } },
    static_resources: {
      clusters: [
        {
          name: 'up',
          type: 'STATIC',
          ...metadata('cm', { a: 'b', n: 5, t: true, l: [1, 'x', null], o: { z: 'q"' } }),
          load_assignment: {
            cluster_name: 'up',
            endpoints: [
              {
                lb_endpoints: [
                  {
                    endpoint: {
                      address: { socket_address: { address: '127.0.0.1', port_value: upstreamPort } },
                    },
                  },
                ],
              },
            ],
          },
        },
      ],
      listeners: [
        {
          name: 'l',
          traffic_direction: 'OUTBOUND',
          ...metadata('lm', { a: 'b' }),
          address: { socket_address: { address: '127.0.0.1', port_value: 21000 } },
          filter_chains: [
            {
              name: 'chain',
              ...metadata('fm', { a: 'c' }),
              filters: [
                {
                  name: 'http',
                  typed_config: {
                    '@type': type(
                      'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
                    ),
                    stat_prefix: 's',
                    access_log: [
                      log('text.log', {
                        text_format_source: {
                          inline_string: expressions.map((it) => `${it} => %CEL(${it})%\n`).join(''),
                        },
                      }),
                      log('json.log', {
                        json_format: Object.fromEntries(
                          expressions.flatMap((it) => [
                            [`${it} typed`, `%TYPED_CEL(${it})%`],
                            [it, `%CEL(${it}):3%`],
                            [`${it} mixed`, `a %TYPED_CEL(${it})%`],
                          ]),
                        ),
                      }),
                      log('text.log', {
                        text_format_source: {
                          inline_string:
                            '%METADATA(LISTENER:lm:a)% %METADATA(LISTENER_FILTER_CHAIN:fm:a)% %METADATA(ROUTE:rm)%\n',
                        },
                      }),
                      log(
                        'text.log',
                        {
                          text_format_source: { inline_string: '%CEL("a" + string(1))%\n' },
                          formatters: [
                            {
                              name: 'cel',
                              typed_config: {
                                '@type': type('envoy.extensions.formatter.cel.v3.Cel'),
                                cel_config: { enable_string_concat: true, enable_string_conversion: true },
                              },
                            },
                          ],
                        },
                        celFilter("response.code == 200 && request.headers['x-a'] != ''"),
                      ),
                      log(
                        'text.log',
                        { text_format_source: { inline_string: 'never\n' } },
                        celFilter('response.code'),
                      ),
                    ],
                    route_config: {
                      virtual_hosts: [
                        {
                          name: 'v',
                          domains: ['*'],
                          routes: [
                            { match: { prefix: '/direct' }, direct_response: { status: 404 } },
                            {
                              name: 'rn',
                              match: { prefix: '/' },
                              route: { cluster: 'up' },
                              ...metadata('rm', {
                                a: 'b',
                                n: 100000,
                                m: 12345678,
                                l: [1, 'x'],
                                o: { z: 1 },
                              }),
                            },
                          ],
                        },
                      ],
                    },
                    http_filters: [
                      {
                        name: 'state',
                        typed_config: {
                          '@type': type('envoy.extensions.filters.http.set_filter_state.v3.Config'),
                          on_request_headers: [
                            {
                              object_key: 's',
                              factory_key: 'envoy.string',
                              format_string: { text_format_source: { inline_string: 'v' } },
                            },
                          ],
                        },
                      },
                      rbac({
                        rules: {
                          action: 'DENY',
                          policies: {
                            p: {
                              permissions: [{ any: true }],
                              principals: [{ any: true }],
                              condition: headerIs('x-a', 'deny'),
                            },
                          },
                        },
                      }),
                      rbac({
                        matcher: {
                          matcher_list: {
                            matchers: [
                              {
                                predicate: {
                                  single_predicate: {
                                    input: {
                                      name: 'i',
                                      typed_config: {
                                        '@type': type('xds.type.matcher.v3.HttpAttributesCelMatchInput'),
                                      },
                                    },
                                    custom_match: {
                                      name: 'c',
                                      typed_config: {
                                        '@type': type('xds.type.matcher.v3.CelMatcher'),
                                        expr_match: { cel_expr_parsed: { expr: headerIs('x-a', 'refuse') } },
                                      },
                                    },
                                  },
                                },
                                on_match: action('DENY'),
                              },
                            ],
                          },
                          on_no_match: action('ALLOW'),
                        },
                      }),
                      {
                        name: 'envoy.filters.http.router',
                        typed_config: { '@type': type('envoy.extensions.filters.http.router.v3.Router') },
                      },
                    ],
                  },
                },
              ],
            },
          ],
        },
      ],
    },
  });
}

function action(verdict: string): object {
  return {
    action: {
      name: 'a',
      typed_config: { '@type': type('envoy.config.rbac.v3.Action'), name: 'it', action: verdict },
    },
  };
}

const requests: readonly (readonly [string, Record<string, string>])[] = [
  [
    '/a?b=c',
    { 'x-a': 'é', 'user-agent': 'ua', referer: 'r', multi: '1,2', 'x-b': '^/a', 'x-request-id': 'id' },
  ],
  ['/direct', { 'content-type': 'application/grpc', 'x-request-id': 'id' }],
  ['/b', { 'x-a': 'deny', 'x-request-id': 'id' }],
  ['/b', { 'x-a': 'refuse', 'x-request-id': 'id' }],
];

test('expressions have the values that they have in Envoy', { skip: missing('envoy') }, async (t) => {
  const upstream = await new Http1Upstream().start(t);
  await expectSame(t, yaml(upstream.port), async (side: Side) => {
    const statuses: number[] = [];
    for (const [path, headers] of requests) {
      const answer = await fetch(`http://127.0.0.1:${side.port(21000)}${path}`, {
        headers: Object.fromEntries(
          Object.entries(headers).map(([name, it]) => [name, Buffer.from(it).toString('latin1')]),
        ),
      });
      statuses.push(answer.status);
      await answer.arrayBuffer();
      await sleep(20);
    }
    await side.stop();
    return {
      statuses,
      text: side.lines('text.log'),
      json: side.lines('json.log').map((it) => JSON.parse(it)),
    };
  });
});
