// Who the client is, which id a request gets and what changes its headers, beside the real Envoy: a listener per configuration.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { missing } from '#testing/peers.ts';
import { connectionKey, type Exchange, playBoth } from './http-exchanges.ts';

const typed = (field: string, type: string, rest: string) =>
  `${field}: [{ name: x, typed_config: { '@type': type.googleapis.com/envoy.extensions.http.${type}, ${rest} } }]`;
const xff = (rest: string) =>
  typed('original_ip_detection_extensions', 'original_ip_detection.xff.v3.XffConfig', rest);
const custom = (rest: string) =>
  typed(
    'original_ip_detection_extensions',
    'original_ip_detection.custom_header.v3.CustomHeaderConfig',
    `header_name: X-IP, ${rest}`,
  );
const early = (mutations: string) =>
  typed(
    'early_header_mutation_extensions',
    'early_header_mutation.header_mutation.v3.HeaderMutation',
    `mutations: [${mutations}]`,
  );
const requestId = (rest: string) =>
  `request_id_extension: { typed_config: { '@type': type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig, ${rest} } }`;
const cidr = (prefix: string, length: number) => `{ address_prefix: ${prefix}, prefix_len: ${length} }`;

const managers: readonly string[] = [
  '',
  'use_remote_address: true',
  'use_remote_address: true\nxff_num_trusted_hops: 1',
  'use_remote_address: true\nskip_xff_append: true\npreserve_external_request_id: true',
  `use_remote_address: true\npreserve_external_request_id: true\n${requestId('pack_trace_reason: false')}`,
  'xff_num_trusted_hops: 1',
  xff('xff_num_trusted_hops: 0'),
  xff('xff_num_trusted_hops: 1'),
  xff('skip_xff_append: false'),
  xff(`xff_trusted_cidrs: { cidrs: [${cidr('10.0.0.0', 8)}, ${cidr('127.0.0.0', 8)}] }`),
  xff(`skip_xff_append: false, xff_trusted_cidrs: { cidrs: [${cidr('10.0.0.0', 8)}] }`),
  custom(''),
  custom('allow_extension_to_set_address_as_trusted: true'),
  custom('reject_with_status: { code: Unauthorized }'),
  custom('reject_with_status: { code: OK }'),
  early(
    `{ append: { header: { key: x-a, value: '%REQ(x-b)%' } } }, { remove: x-b }, { append: { header: { key: x-forwarded-for, value: 10.0.0.9 }, append_action: OVERWRITE_IF_EXISTS_OR_ADD } }, { append: { header: { key: x-request-id, value: mine } } }, { append: { header: { key: x-envoy-retry-on, value: 5xx } } }`,
  ),
  early('{ remove_on_match: { key_matcher: { prefix: x- } } }'),
];

const requests: readonly (readonly string[])[] = [
  [],
  ['x-forwarded-for: 1.2.3.4'],
  ['x-forwarded-for: 1.2.3.4, 10.0.0.5'],
  ['x-forwarded-for: 10.0.0.4, 10.0.0.5', 'x-b: 1'],
  ['x-forwarded-for: bogus, 10.0.0.5'],
  ['x-forwarded-for: 10.0.0.9', 'x-ip: 10.0.0.3'],
  ['x-forwarded-for: ::1', 'x-ip: ::1'],
  ['x-forwarded-for: 1.2.3.4', 'x-forwarded-for: 10.0.0.8', 'x-ip: 1.2.3.4', 'x-ip: 5.6.7.8'],
  ['x-forwarded-for:', 'x-ip:'],
  ['x-ip: 10.0.0.1', 'x-request-id:'],
  ['x-forwarded-for: 1.2.3.4:80', 'x-ip: 1.2.3.4:80'],
  ['x-forwarded-for: 1.2.3.4,', 'x-request-id: 12345678-1234-a234-9234-123456789012'],
  ['x-request-id: short', 'x-ip: bogus'],
];

const firstPort = 21100;
const yaml = `
admin: { address: { socket_address: { address: 127.0.0.1, port_value: 21001 } } }
static_resources:
  clusters:
    - name: up
      type: STATIC
      connect_timeout: 1s
      load_assignment:
        cluster_name: up
        endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 21201 } } } }] }]
  listeners:${managers
    .map(
      (manager, i) => `
    - address: { socket_address: { address: 127.0.0.1, port_value: ${firstPort + i} } }
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: ingress
                internal_address_config: { cidr_ranges: [${cidr('10.0.0.0', 8)}] }
                always_set_request_id_in_response: true
                ${manager.replaceAll('\n', '\n                ')}
                access_log:
                  - name: envoy.access_loggers.file
                    typed_config:
                      '@type': type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
                      path: access.log
                      log_format:
                        text_format_source:
                          inline_string: "${connectionKey} %RESPONSE_CODE% %RESPONSE_CODE_DETAILS% from=%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% id=%STREAM_ID%\\n"
                route_config:
                  virtual_hosts:
                    - { name: all, domains: ['*'], routes: [{ match: { prefix: / }, route: { cluster: up } }] }
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: { '@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }`,
    )
    .join('')}
`;

const exchanges: Exchange[] = managers.flatMap((_, i) => [
  ...requests.map((lines, k) => ({
    name: `${i}-${k}`,
    port: firstPort + i,
    send: [`GET / HTTP/1.1\r\nhost: a\r\n${lines.map((it) => `${it}\r\n`).join('')}\r\n`],
    waitMs: 1000,
  })),
  {
    name: `${i}-loopback`,
    port: firstPort + i,
    localAddress: '127.0.0.2',
    send: ['GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 1.2.3.4\r\n\r\n'],
    waitMs: 1000,
  },
]);

describe('client addresses and request ids are as with Envoy', { skip: missing('envoy') }, () => {
  let sides: Awaited<ReturnType<typeof playBoth>>;
  before(async () => {
    sides = await playBoth(yaml, {}, exchanges);
  });
  managers.forEach((manager, i) => {
    test(manager === '' ? 'by default' : manager, () => {
      const own = exchanges.filter((it) => it.port === firstPort + i);
      assert.deepEqual(
        own.map((it) => sides.chancery.get(it.name)),
        own.map((it) => sides.envoy.get(it.name)),
      );
    });
  });
});
