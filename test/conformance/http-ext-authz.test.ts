import { test } from 'node:test';
import { missing } from '#testing/peers.ts';
import { GrpcRecorder } from './grpc-recorder.ts';
import { compareHttp, type HttpCase, HttpRecorder, typeUrl } from './http-services.ts';

const name = 'envoy.filters.http.ext_authz';
const stats = '(ext_authz|^cluster\\.upstream\\.(internal\\.|external\\.)?upstream_rq_(\\d|completed))';

const perRoute = (fields: object) => ({
  typed_per_filter_config: {
    [name]: { '@type': typeUrl('extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute'), ...fields },
  },
});

test('ext_authz over gRPC', { skip: missing('envoy') }, async (t) => {
  const service = (to: string, more: object = {}) => ({
    envoy_grpc: { cluster_name: 'service' },
    timeout: '5s',
    initial_metadata: [{ key: 'x-case', value: to }],
    ...more,
  });
  const filter = (to: string, fields: object = {}, grpc: object = {}) => [
    {
      name,
      typed_config: {
        '@type': typeUrl('extensions.filters.http.ext_authz.v3.ExtAuthz'),
        transport_api_version: 'V3',
        grpc_service: service(to, grpc),
        ...fields,
      },
    },
  ];
  const plain = (to: string, more: Partial<HttpCase> = {}, fields: object = {}): HttpCase => ({
    name: to,
    filters: filter(to, fields),
    ...more,
  });
  const rules = (to: string, decoder_header_mutation_rules: object) =>
    plain(
      to,
      { request: { headers: { 'x-a': 'old', 'x-b': 'old', 'x-gone': 'old', 'x-envoy-old': 'old' } } },
      { decoder_header_mutation_rules },
    );
  const routed = (to: string, clear_route_cache_headers: readonly string[]) =>
    plain(
      to,
      {
        virtualHost: {
          routes: [
            {
              match: { prefix: '/', headers: [{ name: 'x-routed', present_match: true }] },
              direct_response: { status: 201, body: { inline_string: 'routed' } },
            },
            { match: { prefix: '/' }, route: { cluster: 'upstream' } },
          ],
        },
      },
      { clear_route_cache: true, clear_route_cache_headers },
    );
  const cases: HttpCase[] = [
    plain('allowed', {
      request: { path: '/a?b=c', headers: { 'x-one': ['1', '2'], 'x-text': 'caf\xc3\xa9' } },
    }),
    plain('bad_text', { request: { headers: { 'x-text': 'a\xffb' } } }),
    plain('stat_prefix', {}, { stat_prefix: 'waf' }),
    plain('denied'),
    plain('denied_bare'),
    plain('denied_grpc', { request: { method: 'POST', headers: { 'content-type': 'application/grpc' } } }),
    plain('denied_long', {}, { max_denied_response_body_bytes: 4 }),
    plain('error_response'),
    plain('failing'),
    plain('failing_status', {}, { status_on_error: { code: 'ServiceUnavailable' } }),
    plain('failing_open', {}, { failure_mode_allow: true, failure_mode_allow_header_add: true }),
    {
      name: 'late',
      filters: filter(
        'late',
        {},
        {
          timeout: '0.05s',
          initial_metadata: [
            { key: 'x-case', value: 'late' },
            { key: 'grpc-timeout', value: '9S' },
          ],
        },
      ),
    },
    { name: 'unknown', filters: filter('unknown', {}, { envoy_grpc: { cluster_name: 'unknown' } }) },
    { name: 'refused', filters: filter('refused', {}, { envoy_grpc: { cluster_name: 'refused' } }) },
    plain('headers', {
      request: {
        path: '/p?x=1&b=2&a=3',
        headers: {
          'x-set': 'old',
          'x-join': 'old',
          'x-add': 'old',
          'x-absent': 'old',
          'x-over': 'old',
          'x-gone': 'old',
        },
      },
    }),
    plain(
      'routed',
      {
        route: { match: { prefix: '/', headers: [{ name: 'x-routed', present_match: true }] } },
        virtualHost: {
          routes: [
            {
              match: { prefix: '/', headers: [{ name: 'x-routed', present_match: true }] },
              direct_response: { status: 201, body: { inline_string: 'routed' } },
            },
            { match: { prefix: '/' }, route: { cluster: 'upstream' } },
          ],
        },
      },
      { clear_route_cache: true },
    ),
    plain(
      'body',
      { request: { method: 'POST', body: ['one', 'two'] } },
      { with_request_body: { max_request_bytes: 100 } },
    ),
    plain(
      'body_bytes',
      { request: { method: 'POST', body: 'o\xffe' } },
      {
        with_request_body: { max_request_bytes: 100, pack_as_bytes: true },
      },
    ),
    plain(
      'body_trailers',
      {
        request: {
          method: 'POST',
          body: 'one',
          headers: { te: 'trailers', trailer: 'x-end', 'transfer-encoding': 'chunked' },
          trailers: { 'x-end': 'yes' },
        },
      },
      {
        with_request_body: { max_request_bytes: 100 },
      },
    ),
    plain(
      'body_too_long',
      { request: { method: 'POST', body: 'x'.repeat(200), headers: { 'content-length': '200' } } },
      {
        with_request_body: { max_request_bytes: 100 },
      },
    ),
    plain(
      'body_partial',
      { request: { method: 'POST', body: 'x'.repeat(200), headers: { 'content-length': '200' } } },
      {
        with_request_body: { max_request_bytes: 100, allow_partial_message: true },
      },
    ),
    plain('body_of_get', {}, { with_request_body: { max_request_bytes: 100 } }),
    plain(
      'body_off',
      {
        request: { method: 'POST', body: 'abc' },
        route: perRoute({ check_settings: { disable_request_body_buffering: true } }),
      },
      { with_request_body: { max_request_bytes: 100 } },
    ),
    plain('body_of_route', {
      request: { method: 'POST', body: 'abcdef' },
      route: perRoute({
        check_settings: { with_request_body: { max_request_bytes: 3, allow_partial_message: true } },
      }),
    }),
    plain('disabled_by_route', { route: perRoute({ disabled: true }) }),
    plain('context', {
      virtualHost: perRoute({ check_settings: { context_extensions: { a: 'host', b: 'host' } } }),
      route: perRoute({ check_settings: { context_extensions: { b: 'route', c: 'route' } } }),
    }),
    plain('service_of_route', { route: perRoute({ check_settings: { grpc_service: service('denied') } }) }),
    plain('disabled', {}, { filter_enabled: { default_value: { numerator: 0 } } }),
    plain(
      'disabled_denied',
      {},
      {
        filter_enabled: { default_value: { numerator: 0 } },
        deny_at_disable: { default_value: false, runtime_key: 'on' },
      },
    ),
    plain(
      'disabled_by_metadata',
      {},
      {
        filter_enabled_metadata: { filter: 'x', path: [{ key: 'y' }], value: { bool_match: true } },
      },
    ),
    plain(
      'chosen_headers',
      { request: { headers: { 'x-one': '1', 'x-two': '2', authorization: 'me' } } },
      {
        allowed_headers: { patterns: [{ prefix: 'x-' }, { exact: ':path' }] },
        disallowed_headers: { patterns: [{ exact: 'x-two' }] },
      },
    ),
    plain(
      'raw_headers',
      { request: { headers: { 'x-one': ['1', '2'], 'x-text': 'a\xffb' } } },
      { encode_raw_headers: true },
    ),
    plain(
      'labels',
      {},
      { bootstrap_metadata_labels_key: 'labels', include_tls_session: true, include_peer_certificate: true },
    ),
    plain(
      'metadata',
      {
        networkFilters: [
          {
            name: 'of.connection',
            typed_config: {
              '@type': typeUrl('extensions.filters.network.ext_authz.v3.ExtAuthz'),
              stat_prefix: 'connection',
              transport_api_version: 'V3',
              grpc_service: service('with_metadata'),
            },
          },
        ],
      },
      {
        metadata_context_namespaces: ['envoy.filters.network.ext_authz', 'nothing'],
        route_metadata_context_namespaces: ['of.route', 'nothing'],
      },
    ),
    plain('metadata_off', {}, { enable_dynamic_metadata_ingestion: false }),
    plain('denied_metadata'),
    plain('uncharged', {}, { charge_cluster_response_stats: false }),
    plain('invalid', {}, { validate_mutations: true }),
    plain('invalid_query', {}, { validate_mutations: true }),
    plain('invalid_denied', {}, { validate_mutations: true }),
    plain('unchecked'),
    plain('newline'),
    plain('newline_response'),
    plain('newline_denied'),
    plain('bad_name'),
    plain('pseudo'),
    plain('hop_by_hop', { request: { method: 'POST', body: 'abc' } }),
    plain('order', { request: { headers: { 'x-a': 'old' } } }),
    plain('many_headers'),
    plain('long_headers'),
    plain('many_response_headers'),
    plain('many_denied_headers'),
    ...[
      'many_sent',
      'many_set',
      'many_joined',
      'many_joined_absent',
      'many_removed',
      'many_removed_absent',
      'many_removed_host',
      'many_query',
      'many_answered',
    ].map((to) =>
      plain(to, {
        request: { headers: Object.fromEntries(Array.from({ length: 97 }, (_, i) => [`x-h${i}`, 'a'])) },
      }),
    ),
    rules('rules_default', {}),
    rules('rules_all', { disallow_all: true }),
    rules('rules_all_but', { disallow_all: true, allow_expression: { regex: 'x-.*|host' } }),
    rules('rules_none_of', {
      allow_expression: { regex: 'x-.*' },
      disallow_expression: { regex: 'x-[ab]' },
    }),
    rules('rules_routing', { allow_all_routing: true, allow_envoy: true }),
    rules('rules_system', { allow_all_routing: true, disallow_system: true }),
    rules('rules_error', { disallow_is_error: true }),
    rules('rules_error_remove', { disallow_is_error: true }),
    rules('rules_error_none', { disallow_is_error: true, allow_all_routing: true, allow_envoy: true }),
    rules('rules_invalid', { allow_all_routing: true }),
    routed('routed_listed', ['X-Routed', 'x-other']),
    routed('routed_unlisted', ['x-other']),
    routed('routed_removed', ['x-other']),
    routed('routed_query', ['x-other']),
    plain('service_cluster', { request: { headers: { 'x-envoy-downstream-service-cluster': 'mine' } } }),
  ];
  const header = (key: string, value: string, more: object = {}) => ({ header: { key, value }, ...more });
  const okWith = (ok_response: object) => ({ message: { status: { code: 0 }, ok_response } });
  const many = Array.from({ length: 120 }, (_, i) => header(`x-many-${i}`, 'a'));
  const denied = {
    status: { code: 7 },
    denied_response: {
      status: { code: 'Unauthorized' },
      headers: [
        header('x-why', 'one'),
        header('x-why', 'two', { append_action: 'APPEND_IF_EXISTS_OR_ADD' }),
        header('x-set', 'three', { append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' }),
        header('content-type', 'text/html'),
        header('x-old', 'joined', { append: true }),
      ],
      body: 'go <b>away</b> é',
    },
  } as const;
  const grpc = new GrpcRecorder(
    '/envoy.service.auth.v3.Authorization/Check',
    'envoy.service.auth.v3.CheckRequest',
    'envoy.service.auth.v3.CheckResponse',
    (metadata) => {
      switch (metadata['x-case']) {
        case 'denied':
        case 'denied_grpc':
        case 'denied_long':
        case 'uncharged':
          return { message: denied };
        case 'denied_bare':
          return { message: { status: { code: 16, message: 'not shown' } } };
        case 'denied_metadata':
          return { message: { ...denied, dynamic_metadata: { why: 'so' } } };
        case 'error_response':
          return {
            message: {
              status: { code: 13 },
              error_response: {
                status: { code: 'BadGateway' },
                headers: [header('x-why', 'broken')],
                body: 'broken',
              },
            },
          };
        case 'failing':
        case 'failing_status':
        case 'failing_open':
          return { status: 14 };
        case 'late':
          return 'never';
        case 'headers':
        case 'unchecked':
          return {
            message: {
              status: { code: 0 },
              ok_response: {
                headers: [
                  header('x-set', 'new', { append: false }),
                  header('x-join', 'new', { append: true }),
                  header('x-join-absent', 'new', { append: true }),
                  header('x-add', 'new'),
                  header('x-add-absent', 'new'),
                  header('x-absent', 'new', { append_action: 'ADD_IF_ABSENT' }),
                  header('x-absent-absent', 'new', { append_action: 'ADD_IF_ABSENT' }),
                  header('x-over', 'new', { append_action: 'OVERWRITE_IF_EXISTS' }),
                  header('x-over-absent', 'new', { append_action: 'OVERWRITE_IF_EXISTS' }),
                  header('x-replaced', 'new', { append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' }),
                  header('X-Upper', 'é'),
                  header('host', 'other.test', { append: false }),
                ],
                headers_to_remove: ['x-gone', ':path', 'host', 'X-GONE-TOO'],
                query_parameters_to_set: [
                  { key: 'b', value: 'new' },
                  { key: 'z', value: 'new' },
                ],
                query_parameters_to_remove: ['x'],
                response_headers_to_add: [
                  header('x-upstream', 'added'),
                  header('x-response', 'set', { append: false }),
                  header('x-once', 'a', { append_action: 'ADD_IF_ABSENT' }),
                  header('x-upstream', 'no', { append_action: 'ADD_IF_ABSENT' }),
                  header('server', 'mine', { append_action: 'OVERWRITE_IF_EXISTS' }),
                ],
              },
            },
          };
        case 'newline':
          return {
            message: { status: { code: 0 }, ok_response: { headers: [header('x-bad', 'a\r\nx-evil: b')] } },
          };
        case 'newline_response':
          return {
            message: {
              status: { code: 0 },
              ok_response: { response_headers_to_add: [header('x-bad', 'a\r\nx-evil: b')] },
            },
          };
        case 'newline_denied':
          return {
            message: {
              status: { code: 7 },
              denied_response: { headers: [header('x-bad', 'a\r\nx-evil: b')] },
            },
          };
        case 'bad_name':
          return {
            message: {
              status: { code: 0 },
              ok_response: { headers: [header('x bad', 'a'), header('', 'b')] },
            },
          };
        case 'pseudo':
          return {
            message: {
              status: { code: 0 },
              ok_response: {
                headers: [
                  header(':path', '/changed'),
                  header(':method', 'PUT'),
                  header(':scheme', 'https'),
                  header(':authority', 'changed.test'),
                ],
              },
            },
          };
        case 'hop_by_hop':
          return {
            message: {
              status: { code: 0 },
              ok_response: {
                headers: [
                  header('connection', 'close'),
                  header('content-length', '1'),
                  header('transfer-encoding', 'chunked'),
                ],
              },
            },
          };
        case 'many_set':
          return okWith({ headers: [header('x-h1', 'b')] });
        case 'many_joined':
          return okWith({ headers: [header('x-h1', 'b', { append: true })] });
        case 'many_joined_absent':
          return okWith({ headers: [header('x-new', 'b', { append: true })] });
        case 'many_removed':
          return okWith({ headers_to_remove: ['x-h1'] });
        case 'many_removed_absent':
          return okWith({ headers_to_remove: ['x-absent'] });
        case 'many_removed_host':
          return okWith({ headers_to_remove: ['host'] });
        case 'many_query':
          return okWith({ query_parameters_to_set: [{ key: 'a', value: 'b' }] });
        case 'many_answered':
          return okWith({ response_headers_to_add: [header('x-new', 'b')] });
        case 'order':
          return okWith({
            headers: [
              header('x-a', '1', { append: true }),
              header('x-a', '2', { append: false }),
              header('x-a', '3', { append: true }),
            ],
          });
        case 'many_headers':
          return okWith({ headers: many });
        case 'long_headers':
          return okWith({ headers: [header('x-long', 'x'.repeat(60_500))] });
        case 'many_response_headers':
          return okWith({ response_headers_to_add: many });
        case 'many_denied_headers':
          return { message: { status: { code: 7 }, denied_response: { headers: many } } };
        case 'rules_default':
        case 'rules_all':
        case 'rules_all_but':
        case 'rules_none_of':
        case 'rules_routing':
        case 'rules_system':
        case 'rules_error':
          return okWith({
            headers: [
              header('x-a', 'new', { append: false }),
              header('X-B', 'new', { append: true }),
              header('x-c', 'new'),
              header('host', 'new.test'),
              header(':path', '/new'),
              header(':method', 'PUT'),
              header(':scheme', 'https'),
              header('x-envoy-new', 'new'),
            ],
            headers_to_remove: ['x-gone', 'host', ':path', 'x-envoy-old'],
          });
        case 'rules_error_remove':
          return okWith({ headers_to_remove: ['x-gone', 'host'] });
        case 'rules_error_none':
          return okWith({ headers: [header('x-envoy-new', 'new')], headers_to_remove: ['x-envoy-old'] });
        case 'rules_invalid':
          return okWith({
            headers: [
              header(':authority', 'a b'),
              header('host', 'a/b'),
              header(':scheme', 'ftp'),
              header('x-a', 'a\nb'),
              header('x b', 'b'),
              header(':path', '/joined', { append: true }),
            ],
          });
        case 'routed_listed':
        case 'routed_unlisted':
          return okWith({ headers: [header('x-routed', 'yes', { append: false })] });
        case 'routed_removed':
          return okWith({ headers: [header('x-routed', 'yes')], headers_to_remove: ['X-Other'] });
        case 'routed_query':
          return okWith({
            headers: [header('x-routed', 'yes')],
            query_parameters_to_set: [{ key: 'a', value: 'b' }],
          });
        case 'routed':
          return {
            message: {
              status: { code: 0 },
              ok_response: { headers: [header('x-routed', 'yes', { append: false })] },
            },
          };
        case 'with_metadata':
        case 'metadata':
        case 'metadata_off':
          return {
            message: {
              status: { code: 0 },
              dynamic_metadata: { who: 'me', list: [1, true, null, { a: 'b' }] },
            },
          };
        case 'invalid':
          return { message: { status: { code: 0 }, ok_response: { headers: [header('x-bad', 'a\nb')] } } };
        case 'invalid_query':
          return {
            message: {
              status: { code: 0 },
              ok_response: { query_parameters_to_set: [{ key: 'a', value: 'b c' }] },
            },
          };
        case 'invalid_denied':
          return { message: { status: { code: 7 }, denied_response: { headers: [header('x bad', 'a')] } } };
        default:
          return { message: { status: { code: 0 } } };
      }
    },
  );
  await compareHttp(t, cases, { grpc: grpc as never }, stats);
});

test('ext_authz over HTTP', { skip: missing('envoy') }, async (t) => {
  const patterns = (...exact: string[]) => ({ patterns: exact.map((it) => ({ exact: it })) });
  const filter = (http: object = {}, fields: object = {}, uri: object = {}) => [
    {
      name,
      typed_config: {
        '@type': typeUrl('extensions.filters.http.ext_authz.v3.ExtAuthz'),
        http_service: {
          server_uri: { uri: 'http://service.test', cluster: 'http_service', timeout: '5s', ...uri },
          ...http,
        },
        ...fields,
      },
    },
  ];
  const cases: HttpCase[] = [
    {
      name: 'allowed',
      filters: filter(),
      request: { path: '/allowed?x=1', headers: { authorization: 'me', 'x-one': '1' } },
    },
    { name: 'posted', filters: filter(), request: { method: 'POST', path: '/allowed', body: 'abc' } },
    {
      name: 'body',
      filters: filter({}, { with_request_body: { max_request_bytes: 2, allow_partial_message: true } }),
      request: { method: 'POST', path: '/allowed', body: 'abc' },
    },
    { name: 'prefix', filters: filter({ path_prefix: '/allowed' }), request: { path: '/x?y=z' } },
    { name: 'override', filters: filter({ path_override: '/allowed/fixed' }), request: { path: '/x?y=z' } },
    {
      name: 'headers',
      filters: filter(
        {
          authorization_request: {
            headers_to_add: [
              { key: 'x-added', value: 'yes' },
              { key: 'x-peer', value: '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%' },
            ],
          },
          authorization_response: {
            allowed_upstream_headers: patterns('x-user', 'x-twice'),
            allowed_upstream_headers_to_append: patterns('x-role', 'x-new-role'),
            allowed_client_headers_on_success: patterns('set-cookie', 'x-user'),
            dynamic_metadata_from_headers: patterns('x-user'),
          },
        },
        { allowed_headers: patterns('x-one', 'cookie') },
      ),
      request: {
        path: '/headers',
        headers: {
          'x-one': ['1', '2'],
          'x-two': '2',
          'x-role': 'guest',
          'x-user': 'old',
          cookie: 'a=b',
          'x-gone': '1',
        },
      },
    },
    { name: 'denied', filters: filter(), request: { path: '/denied' } },
    {
      name: 'denied_chosen',
      filters: filter({ authorization_response: { allowed_client_headers: patterns('x-why') } }),
      request: { path: '/denied' },
    },
    { name: 'redirected', filters: filter(), request: { path: '/redirected' } },
    { name: 'created', filters: filter(), request: { path: '/created' } },
    { name: 'failing', filters: filter(), request: { path: '/failing' } },
    {
      name: 'failing_open',
      filters: filter({}, { failure_mode_allow: true }),
      request: { path: '/failing' },
    },
    { name: 'late', filters: filter({}, {}, { timeout: '0.05s' }), request: { path: '/late' } },
    { name: 'refused', filters: filter({}, {}, { cluster: 'refused' }), request: { path: '/allowed' } },
    { name: 'unknown', filters: filter({}, {}, { cluster: 'unknown' }), request: { path: '/allowed' } },
    {
      name: 'retried',
      filters: filter({
        retry_policy: { num_retries: 2, retry_back_off: { base_interval: '0.001s', max_interval: '1s' } },
      }),
      request: { path: '/failing' },
    },
    {
      name: 'of_route',
      filters: filter(),
      route: perRoute({
        check_settings: {
          http_service: {
            server_uri: { uri: 'http://x', cluster: 'http_service', timeout: '5s' },
            path_prefix: '/denied',
          },
        },
      }),
      request: { path: '/allowed' },
    },
    {
      name: 'retried_5xx',
      filters: filter({
        retry_policy: {
          retry_on: '5xx',
          num_retries: 2,
          retry_back_off: { base_interval: '0.001s', max_interval: '1s' },
        },
      }),
      request: { path: '/failing' },
    },
    { name: 'head', filters: filter(), request: { method: 'HEAD', path: '/denied' } },
  ];
  const http = new HttpRecorder(({ path }) => {
    if (path.startsWith('/denied'))
      return {
        status: 401,
        headers: { 'www-authenticate': 'Basic', 'x-why': 'no', 'x-other': 'o', 'content-type': 'text/html' },
        body: 'who are you?',
      };
    if (path === '/redirected') return { status: 302, headers: { location: 'http://login.test/' } };
    if (path === '/created') return { status: 201, body: 'created' };
    if (path === '/failing') return { status: 503, body: 'busy' };
    if (path === '/late') return 'never';
    if (path === '/headers')
      return {
        status: 200,
        headers: {
          'x-user': 'me',
          'x-twice': ['1', '2'],
          'x-role': 'admin',
          'x-new-role': 'new',
          'set-cookie': ['a=1', 'b=2'],
          'x-envoy-auth-headers-to-remove': 'x-gone, x-absent',
        },
      };
    return { status: 200 };
  });
  await compareHttp(t, cases, { http }, stats);
});
