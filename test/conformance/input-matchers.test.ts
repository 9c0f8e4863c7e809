// Matchers of inputs that hash them, and of addresses in filter state, beside the real Envoy.
import { request } from 'node:http';
import { test } from 'node:test';
import { missing } from '#testing/peers.ts';
import { expectSame } from './side-by-side.ts';
import { address, connectionManager, type, typed } from './side-by-side-configuration.ts';

const matchers = 'extensions.matching.input_matchers';
const hashing = (modulo: number, threshold: number, seed: string) =>
  typed(`${matchers}.consistent_hashing.v3.ConsistentHashing`, { modulo, threshold, seed });
const share = (numerator: number, runtime_key: string, seed: string) =>
  typed(`${matchers}.runtime_fraction.v3.RuntimeFraction`, {
    seed,
    runtime_fraction: { runtime_key, default_value: { numerator, denominator: 'TEN_THOUSAND' } },
  });
const predicate = (custom_match: object) => ({
  single_predicate: {
    input: {
      name: 'key',
      typed_config: { '@type': type('type.matcher.v3.HttpRequestHeaderMatchInput'), header_name: 'x-key' },
    },
    custom_match,
  },
});
const answer = (text: string) => ({ status: 200, body: { inline_string: text } });
const to = (text: string) => ({
  action: typed('config.route.v3.Route', { match: { prefix: '/' }, direct_response: answer(text) }),
});

const largest = '18446744073709551615';
const tree = [
  hashing(4294967295, 4000000000, '0'),
  hashing(10, 8, largest),
  share(1500, '', '4294967296'),
  share(0, 'a.quarter', '7'),
  hashing(2, 1, '1'),
].map((it, i) => ({ predicate: predicate(it), on_match: to(`matcher ${i}`) }));

const ranges = [
  { address_prefix: '10.0.0.0', prefix_len: 8 },
  { address_prefix: '2001:db8::', prefix_len: 32 },
];
const state = ['ip', 'string'].map((name) => ({
  object_key: name,
  factory_key: name === 'ip' ? 'envoy.network.ip' : 'envoy.string',
  format_string: { text_format_source: { inline_string: '%REQ(x-ip)%' } },
}));

const yaml = JSON.stringify({
  admin: { address: address(21001) },
  layered_runtime: { layers: [{ name: 'static', static_layer: { a: { quarter: 25 } } }] },
  static_resources: {
    listeners: [
      {
        name: 'front',
        address: address(21000),
        filter_chains: [
          {
            filters: [
              connectionManager(
                {
                  route_config: {
                    virtual_hosts: [
                      {
                        name: 'tree',
                        domains: ['tree'],
                        matcher: { matcher_list: { matchers: tree }, on_no_match: to('none') },
                      },
                      {
                        name: 'state',
                        domains: ['state'],
                        routes: ['ip', 'string'].map((key) => ({
                          match: { prefix: `/${key}`, filter_state: [{ key, address_match: { ranges } }] },
                          direct_response: answer('within'),
                        })),
                      },
                    ],
                  },
                },
                [typed('extensions.filters.http.set_filter_state.v3.Config', { on_request_headers: state })],
              ),
            ],
          },
        ],
      },
    ],
  },
});

test('inputs are matched by their hash, filter state by ranges', { skip: missing('envoy') }, async (t) => {
  await expectSame(t, yaml, async ({ port }) => {
    const get = async (path: string, headers: Record<string, string>) => {
      return new Promise<string>((resolve, reject) => {
        const asked = request({ host: '127.0.0.1', port: port(21000), path, headers }, async (response) => {
          resolve(`${response.statusCode} ${(await response.toArray()).join('')}`);
        });
        asked.on('error', reject).end();
      });
    };
    const answers = [await get('/', { host: 'tree' })];
    for (let i = 0; i < 40; i++)
      answers.push(await get('/', { host: 'tree', 'x-key': `${'long '.repeat(i % 9)}${i}` }));
    for (const ip of ['10.1.2.3', '11.1.2.3', '2001:db8::1', 'none'])
      for (const key of ['ip', 'string']) answers.push(await get(`/${key}`, { host: 'state', 'x-ip': ip }));
    return answers;
  });
});
