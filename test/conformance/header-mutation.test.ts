// Query parameters that the filter header_mutation changes, and values with bytes that no header may have, beside the real Envoy.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { missing } from '#testing/peers.ts';
import { connectionKey, type Exchange, playBoth } from './http-exchanges.ts';

const type = (name: string) => `type.googleapis.com/envoy.${name}`;
const mutation = (mutations: object, message = 'HeaderMutation') => ({
  '@type': type(`extensions.filters.http.header_mutation.v3.${message}`),
  mutations,
});
const parameter = (key: string, value: string, action = 'APPEND_IF_EXISTS_OR_ADD') => ({
  append: { record: { key, value }, action },
});
const unescaped = { header: { key: 'x-q', value: '%QUERY_PARAM(b)%' } };
const ofLevel = (value: string) => ({
  mutation: mutation({ query_parameter_mutations: [parameter('own', value)] }, 'HeaderMutationPerRoute'),
});

const authorization = {
  name: 'authorization',
  typed_config: {
    '@type': type('extensions.filters.http.ext_authz.v3.ExtAuthz'),
    http_service: { server_uri: { uri: 'http://up', cluster: 'up', timeout: '2s' } },
    allowed_headers: { patterns: [{ exact: 'x-q' }] },
  },
};
const cleaning = { name: 'cleaning', typed_config: mutation({ request_mutations: [{ remove: 'x-q' }] }) };

/** By port. */
const variants: Readonly<
  Record<number, { mutations: object; filters?: readonly object[]; route?: object; action?: object }>
> = {
  21100: { mutations: { query_parameter_mutations: [parameter('a', 'n')] } },
  21101: { mutations: { query_parameter_mutations: [parameter('a', 'n', 'ADD_IF_ABSENT')] } },
  21102: { mutations: { query_parameter_mutations: [parameter('a', 'n', 'OVERWRITE_IF_EXISTS')] } },
  21103: { mutations: { query_parameter_mutations: [parameter('a', 'n', 'OVERWRITE_IF_EXISTS_OR_ADD')] } },
  21104: {
    mutations: {
      request_mutations: [{ append: { header: { key: 'x-v', value: 'set' } } }],
      query_parameter_mutations: [
        { remove: 'a' },
        parameter('a', 'x y&=ü%REQ(x-v)%'),
        parameter('0', '%REQ(none)%'),
      ],
    },
  },
  21105: {
    mutations: {
      query_parameter_mutations: [parameter('own', '1'), parameter('p', '%REQ_WITHOUT_QUERY(:PATH)%')],
      formatters: [
        {
          name: 'f',
          typed_config: { '@type': type('extensions.formatter.req_without_query.v3.ReqWithoutQuery') },
        },
      ],
    },
    route: { typed_per_filter_config: ofLevel('3') },
  },
  21106: { mutations: { request_mutations: [{ append: unescaped }] } },
  21107: { mutations: {}, route: { request_headers_to_add: [unescaped] } },
  21108: { mutations: {}, action: { path_rewrite: '/%QUERY_PARAM(b)%' } },
  // The service is the upstream: it must not see them either.
  21109: { mutations: { request_mutations: [{ append: unescaped }] }, filters: [authorization, cleaning] },
};

const config = {
  admin: { address: { socket_address: { address: '127.0.0.1', port_value: 21001 } } },
  static_resources: {
    clusters: [
      {
        name: 'up',
        type: 'STATIC',
        load_assignment: {
          cluster_name: 'up',
          endpoints: [
            {
              lb_endpoints: [
                { endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: 21201 } } } },
              ],
            },
          ],
        },
      },
    ],
    listeners: Object.entries(variants).map(([port, { mutations, filters = [], route, action }]) => ({
      address: { socket_address: { address: '127.0.0.1', port_value: Number(port) } },
      filter_chains: [
        {
          filters: [
            {
              name: 'http',
              typed_config: {
                '@type': type('extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'),
                stat_prefix: 'ingress',
                access_log: [
                  {
                    name: 'file',
                    typed_config: {
                      '@type': type('extensions.access_loggers.file.v3.FileAccessLog'),
                      path: 'access.log',
                      log_format: {
                        text_format_source: {
                          inline_string: `${connectionKey} %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n`,
                        },
                      },
                    },
                  },
                ],
                route_config: {
                  virtual_hosts: [
                    {
                      name: 'all',
                      domains: ['*'],
                      typed_per_filter_config: ofLevel('2'),
                      routes: [{ match: { prefix: '/' }, route: { cluster: 'up', ...action }, ...route }],
                    },
                  ],
                },
                http_filters: [
                  { name: 'mutation', typed_config: mutation(mutations) },
                  ...filters,
                  {
                    name: 'envoy.filters.http.router',
                    typed_config: { '@type': type('extensions.filters.http.router.v3.Router') },
                  },
                ],
              },
            },
          ],
        },
      ],
    })),
  },
};

const paths = [
  '/',
  '/?',
  '/a?b=1',
  '/a?a=1&b=2&a=3',
  '/a?a',
  '/a?=1&&a==2&',
  '/a?%61=1&c=%C3%BC%zz',
  '/?c=d%3De;f=1',
  '/a?b=1%00',
  '/a?b=1%0d%0aevil:+1',
  '/a?b=1%0d%0a%0d%0aGET%20/',
  '/a?b=%0a',
  '/a?b=%7f',
  '/a?b=%01',
  '/a?b=%09x',
];

const exchanges: readonly Exchange[] = Object.keys(variants).flatMap((port) =>
  paths.map((path) => ({
    name: `${port} ${path}`,
    port: Number(port),
    send: [`GET ${path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n`],
  })),
);

describe('mutations of queries and of what clients escaped', { skip: missing('envoy') }, () => {
  let sides: Awaited<ReturnType<typeof playBoth>>;
  before(async () => {
    sides = await playBoth(JSON.stringify(config), {}, exchanges);
  });
  for (const { name } of exchanges)
    test(name, () => assert.equal(sides.chancery.get(name), sides.envoy.get(name)));
});
