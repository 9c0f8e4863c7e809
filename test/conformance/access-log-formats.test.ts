// What command operators print, as text and as JSON, where their arguments or the values are unusual: through the real Envoy and us.

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { missing } from '#testing/peers.ts';
import { expectSame } from './side-by-side.ts';
import { address, connectionManager, typed } from './side-by-side-configuration.ts';

const struct = {
  ...{ b: 'ccc', n: 5, f: 1.25, t: true, nul: null, l: [1, 'x', { y: null }], s: { x: 1, a: 'b' } },
  ...{ e: '', eo: {}, el: [], u: 'üü', big: 123456789012345680, neg: -7, sm: 1e-7 },
};
const metadata = { filter_metadata: { a: struct, ä: { ö: 'ß', ü: 1 } } };

const masks = [
  '',
  '()',
  '(0)',
  '(24)',
  '(33)',
  '(129)',
  '(-1)',
  '(x)',
  '( 24)',
  '(+24)',
  '(024)',
  '(99999999999)',
];
const ofMetadata = [
  ...['ROUTE', 'ROUTE:', 'ROUTE:a', 'ROUTE:none', 'ROUTE:a:none', 'ROUTE:ä:ö', 'ROUTE:ä', 'ROUTE:a:l:0'],
  ...Object.keys(struct).map((key) => `ROUTE:a:${key}`),
  ...['ROUTE:a:s:x', 'LISTENER:a:b', 'LISTENER_FILTER_CHAIN:a:b', 'VIRTUAL_HOST:a:b', 'DYNAMIC:a'],
];
const coalesced = [
  '["TRACE_ID",{"command":"REQ","param":"x-none"},{"command":"REQ","param":"x-q","max_length":2}]',
  '["TRACE_ID"]',
  '["RESPONSE_CODE"]',
  '[{"command":"METADATA","param":"ROUTE:a"}]',
  '[{"command":"REQ","param":"x-empty"},{"command":"PROTOCOL","param":""}]',
];

const operators = [
  ...['REMOTE', 'DIRECT_REMOTE', 'LOCAL', 'DIRECT_LOCAL'].flatMap((which) =>
    masks.map((mask) => `%DOWNSTREAM_${which}_ADDRESS_WITHOUT_PORT${mask}%`),
  ),
  ...['', '()', '(ALLOW_WHITESPACES)', '(x)'].map((option) => `%RESPONSE_CODE_DETAILS${option}%`),
  ...[0, 1, 2, 3, 4].map((length) => `%REQ(x-utf):${length}%`),
  ...['x-utf', 'x-bad', 'x-q', 'x-none', 'x-empty', 'x-two', 'x-empty?x-q', '?x-q', 'x-q?'].map(
    (it) => `%REQ(${it})%`,
  ),
  ...ofMetadata.map((it) => `%METADATA(${it})%`),
  ...['ROUTE:a', 'ROUTE:a:b', 'ROUTE:a:u', 'ROUTE:a:n', 'ROUTE:a:t'].map((it) => `%METADATA(${it}):1%`),
  ...['k', 'k:', 'k:PLAIN', 'ü:PLAIN', 'k:FIELD:b:c'].map((it) => `%FILTER_STATE(${it})%`),
  ...['%FILTER_STATE(k):2%', '%FILTER_STATE(k:PLAIN):2%', '%FILTER_STATE(ü:PLAIN):1%'],
  ...coalesced.map((it) => `%COALESCE({"operators":${it}})%`),
  ...['%PATH(:)%', '%PATH(NQ:):3%', '%REQUESTED_SERVER_NAME(HOST_FIRST:)%', '%ROUTE_NAME%', '%PROTOCOL()%'],
  ...[
    '%ENVIRONMENT(CHANCERY_TEST_EMPTY)%',
    '%ENVIRONMENT(CHANCERY_TEST_UTF)%',
    '%ENVIRONMENT(CHANCERY_TEST_NONE)%',
  ],
  ...['%CEL(request.headers["x-utf"])%', '%TYPED_CEL(["ü"])%', '%CEL("ü"):1%', '%TYPED_CEL("ab"):1%'],
  ...[
    '%COMMON_DURATION(DS_RX_BEG:DS_RX_BEG:ns)%',
    '%COMMON_DURATION(x:y)%',
    '%START_TIME(ü)%',
    '',
    '%%',
    'ü%PROTOCOL%',
  ],
];

const json = {
  ...Object.fromEntries(operators.map((it, i) => [`${i} ${it}`, it])),
  nested: {
    a: '%REQ(x-none)%',
    b: { c: '%REQ(x-none)%', d: {} },
    l: ['%REQ(x-none)%', [], {}, null, 1.5, true],
  },
  constants: { nul: null, number: 1, fraction: 0.1, big: 1e22, no: false, 'k"ü': 'ü', '': 'empty' },
};
const lines = `${operators.join('\n')}\n\n`;

const log = (path: string, format: object) =>
  typed('extensions.access_loggers.file.v3.FileAccessLog', { path, log_format: format });

const text = (key: string, value: string) => ({
  object_key: key,
  factory_key: 'envoy.string',
  format_string: { text_format_source: { inline_string: value } },
});

const yaml = JSON.stringify({
  admin: { address: address(21001) },
  static_resources: {
    listeners: [
      {
        name: 'front',
        address: address(21000),
        metadata,
        filter_chains: [
          {
            name: 'chain',
            metadata,
            filters: [
              connectionManager(
                {
                  access_log: [
                    log('json.log', { json_format: json }),
                    log('json-without-empty.log', { json_format: json, omit_empty_values: true }),
                    log('text.log', { text_format_source: { inline_string: lines } }),
                    log('text-without-empty.log', {
                      text_format_source: { inline_string: lines },
                      omit_empty_values: true,
                    }),
                  ],
                  route_config: {
                    virtual_hosts: [
                      {
                        name: 'all',
                        domains: ['*'],
                        metadata,
                        routes: [
                          {
                            name: 'roäd',
                            match: { prefix: '/' },
                            metadata,
                            direct_response: { status: 201 },
                          },
                        ],
                      },
                    ],
                  },
                },
                [
                  typed('extensions.filters.http.set_filter_state.v3.Config', {
                    on_request_headers: [text('k', 'value %REQ(:METHOD)%'), text('ü', 'üü')],
                  }),
                ],
              ),
            ],
          },
        ],
      },
    ],
  },
});

const headers = [
  'host: Host.example:80',
  'connection: close',
  'x-utf: \xc3\xbc\xe2\x82\xacz',
  'x-bad: a\xfcb\xc3',
  'x-q: q\t"\\/<>\x80',
  'x-empty:',
  'x-two: one',
  'x-two: two',
  'x-forwarded-for: 2001:db8::1234, 10.11.12.13',
];

test('command operators print the same', { skip: missing('envoy'), timeout: 60_000 }, async (t) => {
  process.env.CHANCERY_TEST_EMPTY = '';
  process.env.CHANCERY_TEST_UTF = 'ü';
  await expectSame(t, yaml, async (side) => {
    const requests = [
      `GET /a?b=c HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`,
      'GET /a HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n',
    ];
    for (const request of requests) {
      const socket = connect(side.port(21000), '127.0.0.1').resume();
      socket.on('error', () => {});
      socket.write(request, 'latin1');
      await once(socket, 'close');
    }
    await side.stop();
    const files = ['json.log', 'json-without-empty.log', 'text.log', 'text-without-empty.log'];
    return files.map((it) => readFileSync(join(side.proxy.folder, it), 'latin1').split(/,|\n/));
  });
});
