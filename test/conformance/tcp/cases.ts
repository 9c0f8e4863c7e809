// What is tried. A case has a listener of its own; its name is in the statistics and is the name of its access log.
import { connect as connectHttp2 } from 'node:http2';
import { setTimeout as sleep } from 'node:timers/promises';
import { certificateFiles, certificatePath } from '#testing/certificates.ts';
import type { ClientOptions, TcpClient } from './client.ts';
import { accessLog, cluster, fileLog, listenerFilter, network, tcpProxy } from './configuration.ts';
import type { Upstreams } from './upstreams.ts';

/** Request ids are random. */
export const withoutIds = (text: string): string =>
  text.replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, 'ID');

export interface TcpCase {
  readonly name: string;
  /** Network filters, or a whole chain. */
  readonly filters?: readonly string[];
  readonly chain?: string;
  /** More fields of the listener. */
  readonly listener?: string;
  /** The port of a cluster with the name of the case. */
  readonly upstream?: number;
  readonly clusters?: readonly string[];
  /** Statistics that are known to differ. */
  readonly ignored?: RegExp;
  run(here: {
    port: number;
    open(options?: ClientOptions): TcpClient;
    upstreams: Upstreams;
  }): Promise<unknown>;
}

const echo = network('echo', 'echo.v3.Echo');
const bucket = 'token_bucket: {max_tokens: 1, tokens_per_fill: 1, fill_interval: 1000s}';
const text = (inline: string) => `format_string: {text_format_source: {inline_string: "${inline}"}}`;

/** A version 2 header from 1.1.1.1:1 to 2.2.2.2:2 with these TLVs. */
function header2(...tlvs: readonly (readonly [number, string])[]): Buffer {
  const parts = tlvs.map(([type, value]) =>
    Buffer.concat([Buffer.from([type, 0, value.length]), Buffer.from(value, 'latin1')]),
  );
  const rest = Buffer.concat([Buffer.from([1, 1, 1, 1, 2, 2, 2, 2, 0, 1, 0, 2]), ...parts]);
  const start = Buffer.from('0d0a0d0a000d0a515549540a2111', 'hex');
  return Buffer.concat([start, Buffer.from([rest.length >> 8, rest.length & 255]), rest]);
}

/** What listener filters have looked at is still unread for those behind them. */
function inspectedCases(): TcpCase[] {
  const listener = `listener_filters: [${listenerFilter('http', 'http_inspector.v3.HttpInspector')}]`;
  const made = (
    name: string,
    filters: readonly string[],
    run: TcpCase['run'],
    more: Partial<TcpCase> = {},
  ): TcpCase => ({ name, listener, filters, run, ...more });
  const said = 'GET / HTTP/1.1\r\n\r\n';
  const whole: TcpCase['run'] = ({ open }) => open().send(said).ended();
  const rbac = (name: string) =>
    network(
      'rbac',
      `rbac.v3.RBAC, stat_prefix: ${name}., rules: {action: DENY, policies: {all: {permissions: [{any: true}], principals: [{any: true}]}}}`,
    );
  return [
    made('seen_nowhere', [tcpProxy('seen_nowhere', 'cluster: nowhere')], whole),
    made('seen_no_host', [tcpProxy('seen_no_host', 'cluster: empty')], whole),
    made('seen_denied', [rbac('seen_denied'), tcpProxy('seen_denied', 'cluster: seen_denied')], whole, {
      upstream: 21201,
    }),
    made(
      'seen_answered',
      [network('direct', 'direct_response.v3.Config, response: {inline_string: answer}')],
      whole,
    ),
    made('seen_by_none', [], whole, {
      chain: `{name: c, filter_chain_match: {source_prefix_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]}, filters: [${echo}]}`,
    }),
    made(
      'seen_late',
      [
        tcpProxy(
          'seen_late',
          'cluster: seen_late, access_log_options: {flush_access_log_on_start: true, flush_access_log_on_connected: true}',
        ),
      ],
      async ({ open }) => {
        const client = open().send(said);
        await client.until(said);
        return client.finish().ended();
      },
      { upstream: 21201 },
    ),
    ...['\x16\x03\x01', ' ', 'G\x00', '{"a": 1}'].map((bytes, i) =>
      made(
        `not_http_${i}`,
        [tcpProxy(`not_http_${i}`, `cluster: not_http_${i}`)],
        async ({ open }) => {
          const client = open().send(bytes);
          await client.until(bytes);
          return client.finish().ended();
        },
        { upstream: 21201 },
      ),
    ),
  ];
}

/** Filter state that goes on to the connection to the host. */
function sharedStateCases(): TcpCase[] {
  const share = (key: string, factory: string, value: string, how: string) =>
    `{object_key: ${key}, factory_key: ${factory}, shared_with_upstream: ${how}, ${text(value)}}`;
  const state = (values: readonly string[]) =>
    network('state', `set_filter_state.v3.Config, on_new_connection: [${values.join(', ')}]`);
  const tcp = (name: string, values: readonly string[]): TcpCase => ({
    name,
    upstream: 21201,
    filters: [state(values), tcpProxy(name, `cluster: ${name}`)],
    run: ({ open }) => open().send('hello').finish().ended(),
  });
  const three = (factory: string) => [
    share('first', factory, 'one', 'ONCE'),
    share('second', factory, 'two', 'TRANSITIVE'),
    share('third', factory, 'three', 'NONE'),
  ];
  const http = (name: string, values: readonly string[], httpValues: readonly string[]): TcpCase => ({
    name,
    upstream: 21205,
    filters: [
      state(values),
      network(
        'http',
        `http_connection_manager.v3.HttpConnectionManager, stat_prefix: ${name}, http_filters: [{name: s, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config, on_request_headers: [${httpValues.join(', ')}]}}, {name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router, suppress_envoy_headers: true}}], route_config: {virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: ${name}}}]}]}, access_log: ${accessLog(name, 'HTTP')}`,
      ),
    ],
    async run({ open }) {
      for (const path of ['a', 'b', 'a']) {
        const client = open().send(`GET /${path} HTTP/1.1\r\nhost: a\r\n\r\n`);
        await client.until('end');
        await client.finish().ended();
      }
    },
  });
  return [
    tcp('shared_text', three('envoy.string')),
    tcp('shared_hashable', three('envoy.hashable_string')),
    http('shared_http_text', three('envoy.string'), []),
    // With several of these Envoy's connections are kept apart by chance.
    http('shared_http_hashable', three('envoy.hashable_string').slice(0, 1), []),
    http(
      'shared_http_request',
      [],
      [
        share('first', 'envoy.hashable_string', '%REQ(:PATH)%', 'ONCE'),
        share('second', 'envoy.string', '%REQ(:PATH)%', 'TRANSITIVE'),
        share('third', 'envoy.string', 'three', 'NONE'),
      ],
    ),
    http(
      'shared_http_transitive',
      [],
      [share('first', 'envoy.hashable_string', '%REQ(:PATH)%', 'TRANSITIVE')],
    ),
  ];
}

/** What a listener keeps of the TLVs of a PROXY header. */
function tlvCases(): TcpCase[] {
  const state = 'envoy.network.proxy_protocol.tlv';
  const made = (name: string, fields: string, format: string): TcpCase => ({
    name,
    listener: `listener_filters: [${listenerFilter('proxy', `proxy_protocol.v3.ProxyProtocol, ${fields}`)}]`,
    filters: [
      network(
        'tcp',
        `tcp_proxy.v3.TcpProxy, stat_prefix: ${name}, cluster: echo, access_log: ${fileLog(name, format)}`,
      ),
    ],
    async run({ open }) {
      const head = header2([2, 'two'], [0xe1, 'client'], [2, 'again'], [0xe2, 'ot"her'], [0xe5, 'x']);
      const client = open().send(head).send('hello');
      await client.until('hello');
      return client.finish().ended();
    },
  });
  const rules =
    'rules: [{tlv_type: 2, on_tlv_present: {key: a}}, {tlv_type: 0xe1, on_tlv_present: {key: b, metadata_namespace: other}}, {tlv_type: 0xe2, on_tlv_present: {key: c, value_string_encoding: BASE64}}]';
  const all = `${['a', 'b', 'c', 'd'].map((it) => `${it} %FILTER_STATE(${state}:FIELD:${it})%`).join(' ')} %DYNAMIC_METADATA(envoy.filters.listener.proxy_protocol)% %DYNAMIC_METADATA(other)%`;
  return [
    made('tlvs_in_metadata', rules, all),
    made('tlvs_in_state', `tlv_location: FILTER_STATE, ${rules}`, all),
    made(
      'tlv_in_state',
      'tlv_location: FILTER_STATE, rules: [{tlv_type: 0xe2, on_tlv_present: {key: c}}]',
      `%FILTER_STATE(${state})% %FILTER_STATE(${state}:PLAIN)%`,
    ),
    made('no_tlv_in_state', 'tlv_location: FILTER_STATE', `%FILTER_STATE(${state})%`),
  ];
}

/** PROXY headers to the host: what the client sends, what the listener and tcp_proxy make of it, what the host gets. */
function proxyCases(): TcpCase[] {
  const socket = (config: string, more = '') =>
    `transport_socket: {name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport, config: {${config}}, ${more}transport_socket: {name: raw, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}}}`;
  const through = (fields: string) =>
    `listener_filters: [${listenerFilter('proxy', `proxy_protocol.v3.ProxyProtocol, ${fields}`)}]`;
  const tlv = (type: number, value: string) =>
    `{type: ${type}, value: "${Buffer.from(value).toString('base64')}"}`;
  const all = 'pass_through_tlvs: {match_type: INCLUDE_ALL}';
  const sent = header2([2, 'two'], [0xe1, 'client'], [2, 'again'], [0xe2, 'other']);
  const made = (
    name: string,
    config: string,
    { listener, proxy = '', head = sent }: { listener?: string; proxy?: string; head?: Buffer },
  ): TcpCase => ({
    name,
    ...(listener === undefined ? {} : { listener }),
    clusters: [cluster(name, 21201, socket(config))],
    filters: [tcpProxy(name, `cluster: ${name}${proxy}`)],
    async run({ open, upstreams }) {
      const said = `!${name}!`;
      const client = open().send(head).send(said);
      await client.until(said);
      const seen = await upstreams.until(21201, said);
      const port = `${client.socket.localPort}`;
      return [await client.finish().ended(), seen.replace(port, 'CLIENT'), ''].map((it) =>
        typeof it === 'string' ? it : it.map((text) => text.replace(port, 'CLIENT')),
      );
    },
  });
  const append = `[${tlv(0xe1, 'own')}, {type: 0xe5, format_string: {text_format_source: {inline_string: "%UPSTREAM_CLUSTER% %DOWNSTREAM_REMOTE_ADDRESS%"}}}]`;
  const own = (policy: string) =>
    `, proxy_protocol_tlvs: ${append}, proxy_protocol_tlv_merge_policy: ${policy}`;
  return [
    made('proxy_v1', 'version: V1', { head: Buffer.alloc(0) }),
    made('proxy_v1_on', `version: V1, ${all}`, { listener: through(all) }),
    made('proxy_v2_on', `version: V2, ${all}`, { listener: through(all) }),
    made('proxy_v2_none', `version: V2, ${all}`, { listener: through('stat_prefix: a') }),
    made('proxy_v2_kept', 'version: V2', { listener: through(all) }),
    made('proxy_v2_some', `version: V2, pass_through_tlvs: {match_type: INCLUDE, tlv_type: [2, 0xe2]}`, {
      listener: through('pass_through_tlvs: {match_type: INCLUDE, tlv_type: [2, 0xe1]}'),
    }),
    made(
      'proxy_v2_added',
      `version: V2, ${all}, added_tlvs: [${tlv(0xe1, 'added')}, ${tlv(0xf0, 'new')}, ${tlv(0xf0, 'twice')}]`,
      {
        listener: through(all),
      },
    ),
    {
      ...made('proxy_v2_host_format', '', { listener: through(all) }),
      clusters: [
        `{name: proxy_v2_host_format, connect_timeout: 1s, ${socket(`version: V2, ${all}`)}, load_assignment: {cluster_name: c, endpoints: [{lb_endpoints: [{metadata: {typed_filter_metadata: {envoy.transport_sockets.proxy_protocol: {"@type": type.googleapis.com/envoy.config.core.v3.PerHostConfig, added_tlvs: [{type: 0xe5, format_string: {text_format_source: {inline_string: "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS%"}}}, {type: 0xe7}]}}}, endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 21201}}}}]}]}}`,
      ],
    },
    {
      ...made('proxy_v2_host', '', { listener: through(all) }),
      clusters: [
        `{name: proxy_v2_host, connect_timeout: 1s, ${socket(`version: V2, ${all}, added_tlvs: [${tlv(0xe1, 'config')}, ${tlv(0xf0, 'config')}]`)}, load_assignment: {cluster_name: c, endpoints: [{lb_endpoints: [{metadata: {typed_filter_metadata: {envoy.transport_sockets.proxy_protocol: {"@type": type.googleapis.com/envoy.config.core.v3.PerHostConfig, added_tlvs: [${tlv(0xf0, 'host')}, ${tlv(0xf0, 'again')}, ${tlv(2, 'host')}]}}}, endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 21201}}}}]}]}}`,
      ],
    },
    made(
      'proxy_v2_format',
      `version: V2, added_tlvs: [${[
        'UPSTREAM_CLUSTER',
        'DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT',
        'UPSTREAM_HOST',
        'UPSTREAM_REMOTE_ADDRESS',
        'REQUESTED_SERVER_NAME',
        'FILTER_STATE(envoy.string:PLAIN)',
        'FILTER_CHAIN_NAME',
        'PROTOCOL',
        'DYNAMIC_METADATA(a)',
        'UPSTREAM_METADATA(a)',
        'UPSTREAM_FILTER_STATE(envoy.string:PLAIN)',
        'ENVIRONMENT(HOME_OF_NOBODY)',
        'DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT',
        'RESPONSE_FLAGS',
        'UPSTREAM_CLUSTER_RAW',
        'CONNECTION_TERMINATION_DETAILS',
      ]
        .map(
          (it, i) => `{type: ${0xe0 + i}, format_string: {text_format_source: {inline_string: "%${it}%"}}}`,
        )
        .join(', ')}]`,
      { listener: through(all) },
    ),
    made('proxy_v2_own', `version: V2, ${all}`, { listener: through(all), proxy: own('ADD_IF_ABSENT') }),
    made('proxy_v2_absent', `version: V2, ${all}`, {
      listener: through('allow_requests_without_proxy_protocol: true'),
      proxy: own('ADD_IF_ABSENT'),
    }),
    made('proxy_v2_over', `version: V2, ${all}`, {
      listener: through(all),
      proxy: own('OVERWRITE_BY_TYPE_IF_EXISTS_OR_ADD'),
    }),
    made('proxy_v2_append', `version: V2, ${all}`, {
      listener: through(all),
      proxy: own('APPEND_IF_EXISTS_OR_ADD'),
    }),
    {
      ...made('proxy_v2_long', `version: V2, ${all}, added_tlvs: [${tlv(0xe9, 'added')}]`, {
        head: Buffer.alloc(0),
        proxy: `, proxy_protocol_tlvs: [${[0xe1, 0xe2].map((type) => tlv(type, 'x'.repeat(40_000))).join(', ')}, ${tlv(0xe3, 'short')}]`,
      }),
      async run({ open, upstreams }) {
        const client = open().send('!proxy_v2_long!');
        await client.until('!proxy_v2_long!');
        const seen = Buffer.from(await upstreams.until(21201, '!proxy_v2_long!'), 'latin1');
        // Ports are those of this connection.
        return [seen.subarray(0, 24).toString('hex'), seen.length, seen.subarray(28, 60).toString('hex')];
      },
    },
    {
      name: 'proxy_http',
      clusters: [cluster('proxy_http', 21205, socket(`version: V1`))],
      listener: through(all),
      filters: [
        network(
          'http',
          'http_connection_manager.v3.HttpConnectionManager, stat_prefix: proxy_http, http_filters: [{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router, suppress_envoy_headers: true}}], route_config: {virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: proxy_http}}]}]}',
        ),
      ],
      async run({ open, upstreams }) {
        const get = (path: string) => `GET /${path} HTTP/1.1\r\nhost: a\r\n\r\n`;
        for (const from of [1, 1, 2]) {
          const client = open().send(`PROXY TCP4 1.1.1.${from} 2.2.2.2 1 2\r\n${get('proxy_http_a')}`);
          await client.until('end');
          client.text = '';
          await client.send(get('proxy_http_b')).until('end');
        }
        return upstreams
          .seen(21205)
          .filter((it) => it.includes('proxy_http'))
          .map((it) => it.split('\r\n').filter((line) => /^(GET|PROXY)/.test(line)));
      },
    },
  ];
}

/** tcp_proxy through an HTTP proxy. */
function tunnelCases(): TcpCase[] {
  const http2 = `typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: {}}}}`;
  const made = (
    name: string,
    port: number,
    isHttp2: boolean,
    tunnel: string,
    run: TcpCase['run'],
    more = '',
    first: readonly string[] = [],
  ): TcpCase => ({
    name,
    clusters: [cluster(name, port, isHttp2 ? http2 : '')],
    filters: [
      ...first,
      tcpProxy(name, `cluster: ${name}, tunneling_config: {hostname: "${name}:1", ${tunnel}}${more}`),
    ],
    run,
  });
  const heads = (upstreams: Upstreams, port: number, name: string) =>
    upstreams.seen(port).filter((it) => it.includes(name));
  const talk =
    (port: number, name: string): TcpCase['run'] =>
    async ({ open, upstreams }) => {
      const client = open().send('hello');
      await client.until('hello');
      const seen = heads(upstreams, port, name);
      return [seen, await client.finish().ended()];
    };
  const refused =
    (port: number, name: string): TcpCase['run'] =>
    async ({ open, upstreams }) => [await open().ended(), heads(upstreams, port, name)];
  const header = (key: string, value: string, action = 'APPEND_IF_EXISTS_OR_ADD') =>
    `{header: {key: ${key}, value: "${value}"}, append_action: ${action}}`;
  const added = `headers_to_add: [${header('x-to', '%UPSTREAM_CLUSTER%')}, ${header('x-from', '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%')}]`;
  const uuid =
    '{typed_config: {"@type": type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig}}';
  const off = network(
    'state',
    `set_filter_state.v3.Config, on_new_connection: [{object_key: envoy.tcp_proxy.disable_tunneling, ${text('true')}}]`,
  );
  return [
    made('tunnel_h1', 21206, false, `propagate_response_headers: true`, talk(21206, 'tunnel_h1:1')),
    made('tunnel_h1_headers', 21206, false, added, talk(21206, 'tunnel_h1_headers')),
    made('tunnel_h1_refused', 21207, false, '', refused(21207, 'tunnel_h1_refused:1')),
    made(
      'tunnel_h1_again',
      21207,
      false,
      '',
      refused(21207, 'tunnel_h1_again:1'),
      ', max_connect_attempts: 2',
    ),
    made('tunnel_h1_nobody', 21999, false, '', ({ open }) => open().ended(), ', max_connect_attempts: 2'),
    made('tunnel_h1_off', 21201, false, '', ({ open }) => open().send('hello').finish().ended(), '', [off]),
    made('tunnel_h1_reset', 21208, false, '', ({ open }) => open().send('hello').ended()),
    {
      ...made('tunnel_h1_end', 21209, false, '', ({ open }) => open().send('hello').ended()),
      // Who ended the connection to the proxy.
      ignored: /upstream_cx_destroy_(local|remote)/,
    },
    made('tunnel_h1_post', 21210, false, 'use_post: true, post_path: /p', async ({ open, upstreams }) => {
      const client = open().send('hello');
      const seen = await client.until('hello');
      const head = heads(upstreams, 21210, 'tunnel_h1_post');
      return [seen, head, await client.finish().ended()];
    }),
    ...['', ', request_id_header: x-tunnel, request_id_metadata_key: mine'].map((fields, i) => {
      const name = `tunnel_id_${i}`;
      const made21206 = made(name, 21206, false, `request_id_extension: ${uuid}${fields}`, async (here) => {
        const seen = await talk(21206, `${name}:1`)(here);
        return JSON.parse(withoutIds(JSON.stringify(seen)));
      });
      return made21206;
    }),
    made('tunnel_h2', 21211, true, added, talk(21211, 'tunnel_h2:1')),
    made('tunnel_h2_post', 21211, true, 'use_post: true', talk(21211, 'tunnel_h2_post:1')),
    made('tunnel_h2_refused', 21212, true, '', refused(21212, 'tunnel_h2_refused:1')),
    made('tunnel_h2_end', 21213, true, 'propagate_response_trailers: true', async ({ open }) => {
      const client = open().send('hello');
      const seen = await client.ended();
      client.finish();
      return seen;
    }),
    made('tunnel_h2_reset', 21214, true, '', ({ open }) => open().send('hello').ended()),
    made('tunnel_h2_left', 21211, true, '', async ({ open }) => {
      const client = open().send('hello');
      await client.until('hello');
      client.reset();
    }),
  ];
}

/** CONNECT and POST that end in the proxy. */
function terminationCases(): TcpCase[] {
  const made = (name: string, config: string, run: TcpCase['run'], upstream = 21201): TcpCase => ({
    name,
    upstream,
    filters: [
      network(
        'http',
        `http_connection_manager.v3.HttpConnectionManager, stat_prefix: ${name}, http2_protocol_options: {allow_connect: true}, upgrade_configs: [{upgrade_type: CONNECT}], http_filters: [{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router, suppress_envoy_headers: true}}], route_config: {virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {connect_matcher: {}}, route: {cluster: ${name}, upgrade_configs: [{upgrade_type: CONNECT, connect_config: {${config}}}]}}, {match: {prefix: /}, route: {cluster: ${name}, upgrade_configs: [{upgrade_type: CONNECT, connect_config: {${config}}}]}}]}]}, access_log: ${accessLog(name, 'HTTP')}`,
      ),
    ],
    run,
  });
  const connect =
    (name: string): TcpCase['run'] =>
    async ({ open, upstreams }) => {
      const client = open().send('CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n');
      await client.until('\r\n\r\n');
      const said = `!${name}!`;
      await client.send(said).until(said);
      const port = `${client.socket.localPort}`;
      const seen = (await upstreams.until(21201, said)).replace(port, 'CLIENT');
      const [all, end] = await client.finish().ended();
      // Ports are binary in version 2.
      if (seen.includes('QUIT')) return [seen.length, seen.slice(0, 24), end];
      return [seen, withoutDate(all).replace(port, 'CLIENT'), end];
    };
  const post = (said: string) =>
    `POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n${said.length.toString(16)}\r\n${said}\r\n`;
  const withoutDate = (it: string) => it.replace(/date: [^\r]*\r\n/, '');
  const overHttp2 =
    (method: string, name: string): TcpCase['run'] =>
    async ({ port }) => {
      const session = connectHttp2(`http://127.0.0.1:${port}`);
      const stream = session.request(
        method === 'CONNECT'
          ? { ':method': 'CONNECT', ':authority': 'a:1' }
          : { ':method': 'POST', ':path': '/', ':authority': 'a' },
        { endStream: false },
      );
      stream.setEncoding('latin1');
      let status = 0;
      stream.on('response', (headers) => {
        status = headers[':status'] ?? 0;
      });
      let all = '';
      stream.write(name);
      for await (const part of stream) {
        all += part;
        if (all === name) stream.end();
      }
      session.close();
      return [status, all];
    };
  return [
    made('connect_h1', '', connect('connect_h1')),
    made('connect_h1_proxy', 'proxy_protocol_config: {version: V1}', connect('connect_h1_proxy')),
    made('connect_h1_proxy2', 'proxy_protocol_config: {version: V2}', connect('connect_h1_proxy2')),
    made(
      'connect_h1_nobody',
      '',
      async ({ open }) =>
        withoutDate(await open().send('CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n').until('refused')),
      21999,
    ),
    made('post_h1', 'allow_post: true', async ({ open }) => {
      const client = open().send(post('!post_h1!'));
      await client.until('!post_h1!\r\n');
      const [all, end] = await client.send('0\r\n\r\n').ended();
      return [withoutDate(all), end];
    }),
    made(
      'post_h1_not',
      '',
      async ({ open }) => {
        const client = open().send('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n');
        return withoutDate(await client.until('\r\n\r\nend'));
      },
      21205,
    ),
    made('connect_h2', '', overHttp2('CONNECT', 'connect_h2')),
    made('post_h2', 'allow_post: true', overHttp2('POST', 'post_h2')),
  ];
}

/** A connection manager whose statistics carry the case's name, as does the cluster it sends everything to. */
function manager(name: string): string {
  return network(
    'http',
    `http_connection_manager.v3.HttpConnectionManager, stat_prefix: ${name}, http_filters: [{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router, suppress_envoy_headers: true}}], route_config: {virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: ${name}}}]}]}, access_log: ${accessLog(name, 'HTTP')}`,
  );
}

/** tcp_proxy behind TLS. Envoy connects upstream before the handshake, and reads nothing before that. */
function tlsCases(): TcpCase[] {
  const socket = `transport_socket: {name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, common_tls_context: {tls_certificates: [${JSON.stringify(certificateFiles('server-ec'))}]}}}`;
  const made = (
    name: string,
    upstream: number,
    run: TcpCase['run'],
    fields = '',
    first: readonly string[] = [],
  ): TcpCase => ({
    name,
    upstream,
    // Session tickets and what a broken handshake wrote are not the same.
    ignored: /ssl\.|bytes_total/,
    chain: `{${socket}, filters: [${[...first, tcpProxy(name, `cluster: ${name}${fields}`)].join(', ')}]}`,
    run,
  });
  const serverName = 'tls.test';
  return [
    made('tls_echo', 21201, ({ open }) => open({ serverName }).send('hello').until('hello')),
    made('tls_ends', 21201, async ({ open }) => {
      const client = open({ serverName }).send('hello');
      await client.until('hello');
      return client.finish().ended();
    }),
    made('tls_left', 21201, async ({ open }) => {
      const client = open({ serverName }).send('hello');
      await client.until('hello');
      client.destroy();
    }),
    made('tls_upstream_ends', 21202, async ({ open }) => {
      const client = open({ serverName });
      await client.until('hello');
      return client.send('x').ended();
    }),
    made('tls_upstream_resets', 21203, async ({ open }) => (await open({ serverName }).send('x').ended())[0]),
    made('tls_idle', 21204, ({ open }) => open({ serverName }).send('x').ended(), ', idle_timeout: 0.4s'),
    made(
      'tls_late',
      21201,
      ({ open }) => open({ serverName }).send('hello').until('hello'),
      ', upstream_connect_mode: ON_DOWNSTREAM_TLS_HANDSHAKE, max_early_data_bytes: 100',
    ),
    made(
      'tls_data',
      21201,
      ({ open }) => open({ serverName }).send('hello').until('hello'),
      ', upstream_connect_mode: ON_DOWNSTREAM_DATA, max_early_data_bytes: 100',
    ),
    made('tls_garbage', 21215, async ({ open, upstreams }) => {
      const client = open();
      await upstreams.opened(21215, 1);
      // The proxy has to notice, too.
      await sleep(200);
      return (await client.send('GET / HTTP/1.1\r\n\r\n').ended())[1];
    }),
    {
      name: 'tls_http_garbage',
      ignored: /ssl\.|bytes_total/,
      upstream: 21205,
      chain: `{${socket}, filters: [${manager('tls_http_garbage')}]}`,
      run: async ({ open }) => (await open().send('GET / HTTP/1.1\r\n\r\n').ended())[1],
    },
    {
      name: 'tls_http',
      upstream: 21205,
      ignored: /ssl\.|bytes_total/,
      chain: `{${socket}, filters: [${manager('tls_http')}]}`,
      async run({ open }) {
        const client = open({ serverName });
        await client.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n').until('end');
        return client.finish().end;
      },
    },
    {
      name: 'tls_timeout',
      ignored: /ssl\.|bytes_total/,
      chain: `{transport_socket_connect_timeout: 0.3s, ${socket}, filters: [${tcpProxy('tls_timeout', 'cluster: echo')}]}`,
      run: ({ open }) => open().ended(),
    },
    {
      name: 'start_tls',
      ignored: /ssl\./,
      clusters: [
        cluster(
          'start_tls',
          21201,
          'transport_socket: {name: s, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.starttls.v3.UpstreamStartTlsConfig, tls_socket_config: {}}}',
        ),
      ],
      chain: `{transport_socket: {name: s, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.starttls.v3.StartTlsConfig, tls_socket_config: {common_tls_context: {tls_certificates: [${JSON.stringify(certificateFiles('server-ec'))}]}}}}, filters: [${tcpProxy('start_tls', 'cluster: start_tls')}]}`,
      run: ({ open }) => open().send('hello').finish().ended(),
    },
    made('tls_nobody', 21999, async ({ open }) => (await open({ serverName }).ended())[0]),
    made('tls_state', 21201, ({ open }) => open({ serverName }).send('hello').until('hello'), '', [
      network(
        'state',
        `set_filter_state.v3.Config, on_downstream_tls_handshake: [{object_key: first, factory_key: envoy.string, ${text('%DOWNSTREAM_TLS_VERSION%')}}], on_downstream_data: [{object_key: second, factory_key: envoy.string, ${text('data')}}]`,
      ),
    ]),
  ];
}

/** What filter state says about TLS to the host. The host says what it was asked for. */
function upstreamTlsCases(): TcpCase[] {
  const made = (name: string, state: Readonly<Record<string, string>>, validation = ''): TcpCase => ({
    name,
    ignored: /ssl\.|bytes_total/,
    clusters: [
      cluster(
        name,
        21216,
        `transport_socket: {name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, sni: configured.test, common_tls_context: {alpn_protocols: [one]${validation}}}}`,
      ),
    ],
    filters: [
      network(
        'state',
        `set_filter_state.v3.Config, on_new_connection: [${Object.entries(state)
          .map(([key, value]) => `{object_key: ${key}, ${text(value)}}`)
          .join(', ')}]`,
      ),
      tcpProxy(name, `cluster: ${name}`),
    ],
    async run({ open }) {
      const client = open();
      await client.until('!');
      return client.finish().ended();
    },
  });
  const validation = `, validation_context: {trusted_ca: {filename: ${certificatePath('ca')}}}`;
  const values = (key: string, to: string) =>
    `on_request_headers: [{object_key: ${key}, factory_key: envoy.string, ${text(to)}}]`;
  const type = '"@type": type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config';
  return [
    {
      name: 'http_state',
      upstream: 21205,
      filters: [
        network(
          'http',
          `http_connection_manager.v3.HttpConnectionManager, stat_prefix: http_state, access_log: ${accessLog('http_state', 'HTTP')}, http_filters: [{name: s, typed_config: {${type}, ${values('first', '%REQ(:PATH)%')}}}, {name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router, suppress_envoy_headers: true}}], route_config: {virtual_hosts: [{name: v, domains: ["*"], typed_per_filter_config: {s: {${type}, ${values('second', 'host')}}}, routes: [{match: {prefix: /}, route: {cluster: http_state}, typed_per_filter_config: {s: {${type}, ${values('second', 'route %FILTER_STATE(second:PLAIN)%')}}}}]}]}`,
        ),
      ],
      async run({ open }) {
        const client = open().send('GET /path HTTP/1.1\r\nhost: a\r\n\r\n');
        await client.until('end');
      },
    },
    {
      name: 'http_up_tls',
      ignored: /ssl\./,
      clusters: [
        cluster(
          'http_up_tls',
          21218,
          'transport_socket: {name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, sni: configured.test}}',
        ),
      ],
      filters: [
        network(
          'http',
          `http_connection_manager.v3.HttpConnectionManager, stat_prefix: http_up_tls, http_filters: [{name: s, typed_config: {${type}, on_request_headers: [{object_key: envoy.network.upstream_server_name, skip_if_empty: true, format_string: {omit_empty_values: true, text_format_source: {inline_string: "%REQ(x-name)%"}}}]}}, {name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router, suppress_envoy_headers: true}}], route_config: {virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: http_up_tls}}]}]}`,
        ),
      ],
      async run({ open }) {
        const seen = [];
        for (const name of ['x-name: one.test\r\n', 'x-name: two.test\r\n', '', 'x-name: one.test\r\n']) {
          const client = open().send(`GET / HTTP/1.1\r\nhost: a\r\n${name}\r\n`);
          seen.push((await client.until('!')).split('\r\n\r\n')[1]);
        }
        return seen;
      },
    },
    made('up_tls', { 'envoy.string': 'x' }),
    made('up_tls_name', { 'envoy.network.upstream_server_name': 'state.test' }),
    made('up_tls_alpn', { 'envoy.network.application_protocols': 'two,one' }),
    made(
      'up_tls_san',
      { 'envoy.network.upstream_subject_alt_names': 'nobody.test,a.example.com' },
      validation,
    ),
    made('up_tls_no_san', { 'envoy.network.upstream_subject_alt_names': 'nobody.test' }, validation),
  ];
}

export const cases: readonly TcpCase[] = [
  {
    name: 'limited',
    filters: [
      network('limit', 'connection_limit.v3.ConnectionLimit, stat_prefix: limited, max_connections: 1'),
      tcpProxy('limited', 'cluster: echo'),
    ],
    async run({ open }) {
      const first = open().send('a');
      await first.until('a');
      const second = await open().ended();
      return [second, await first.finish().ended()];
    },
  },
  {
    name: 'limited_late',
    filters: [
      network(
        'limit',
        'connection_limit.v3.ConnectionLimit, stat_prefix: limited_late, max_connections: 1, delay: 0.3s',
      ),
      echo,
    ],
    async run({ open }) {
      await open().send('first').until('first');
      return open().send('hello').ended();
    },
  },
  {
    name: 'unlimited',
    filters: [
      network(
        'limit',
        'connection_limit.v3.ConnectionLimit, stat_prefix: switched_off, max_connections: 1, runtime_enabled: {default_value: false, runtime_key: x.y}',
      ),
      echo,
    ],
    async run({ open }) {
      await open().send('first').until('first');
      return open().send('hello').until('hello');
    },
  },
  {
    name: 'too_fast',
    filters: [
      network('limit', `local_ratelimit.v3.LocalRateLimit, stat_prefix: too_fast, ${bucket}`),
      tcpProxy('too_fast', 'cluster: echo'),
    ],
    async run({ open }) {
      const first = await open().send('a').finish().ended();
      return [first, await open().ended()];
    },
  },
  {
    name: 'too_fast_shared',
    chain: ['10.0.0.0', '127.0.0.0']
      .map(
        (prefix, i) =>
          `{name: c${i}, filter_chain_match: {source_prefix_ranges: [{address_prefix: ${prefix}, prefix_len: 8}]}, filters: [${network('limit', `local_ratelimit.v3.LocalRateLimit, stat_prefix: too_fast_shared, share_key: k, ${bucket}`)}, ${network('limit', `local_ratelimit.v3.LocalRateLimit, stat_prefix: too_fast_shared, share_key: k, ${bucket}`)}, ${echo}]}`,
      )
      .join(', '),
    run: ({ open }) => open().ended(),
  },
  {
    name: 'too_fast_early',
    listener: `listener_filters: [${listenerFilter('limit', `local_ratelimit.v3.LocalRateLimit, stat_prefix: too_fast_early, ${bucket}`)}]`,
    filters: [echo],
    async run({ open }) {
      const first = await open().send('a').until('a');
      return [first, await open().ended()];
    },
  },
  {
    name: 'state',
    listener: `listener_filters: [${listenerFilter('state', `set_filter_state.v3.Config, on_accept: [{object_key: second, factory_key: envoy.string, ${text('from %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%')}}]`)}]`,
    filters: [
      network(
        'state',
        `set_filter_state.v3.Config, on_new_connection: [{object_key: envoy.tcp_proxy.cluster, ${text('echo')}}, {object_key: envoy.tcp_proxy.cluster, format_string: {omit_empty_values: true, text_format_source: {inline_string: "%REQUESTED_SERVER_NAME%"}}, skip_if_empty: true}, {object_key: first, factory_key: envoy.string, read_only: true, ${text('one')}}, {object_key: first, factory_key: envoy.string, ${text('two')}}]`,
      ),
      tcpProxy('state', 'cluster: refused'),
    ],
    run: ({ open }) => open().send('hello').finish().ended(),
  },
  ...sharedStateCases(),
  ...inspectedCases(),
  {
    name: 'idle_by_state',
    filters: [
      network(
        'state',
        `set_filter_state.v3.Config, on_new_connection: [{object_key: envoy.tcp_proxy.per_connection_idle_timeout_ms, ${text('300')}}]`,
      ),
      tcpProxy('idle_by_state', 'cluster: sink'),
    ],
    run: ({ open }) => open().send('hello').ended(),
  },
  {
    name: 'rbac_denied',
    filters: [
      network(
        'rbac',
        'rbac.v3.RBAC, stat_prefix: rbac_denied., rules: {action: DENY, policies: {some policy: {permissions: [{any: true}], principals: [{any: true}]}}}',
      ),
      tcpProxy('rbac_denied', 'cluster: echo'),
    ],
    run: ({ open }) => open().send('hello').ended(),
  },
  // FIN alone is judged only where the chain goes on after it.
  ...(['fin_echo', 'fin_tcp'] as const).map((kind): TcpCase => {
    const name = `rbac_${kind}`;
    return {
      name,
      filters: [
        network(
          'rbac',
          `rbac.v3.RBAC, stat_prefix: ${name}., enforcement_type: CONTINUOUS, rules: {policies: {all: {permissions: [{any: true}], principals: [{any: true}]}}}`,
        ),
        kind === 'fin_echo' ? network('echo', 'echo.v3.Echo') : tcpProxy(name, 'cluster: echo'),
      ],
      async run({ open }) {
        await open().finish().ended();
        const client = open().send('hello');
        await client.until('hello');
        return client.finish().ended();
      },
    };
  }),
  ...(['delayed', 'delayed_left', 'delayed_always'] as const).map((kind): TcpCase => {
    const name = `rbac_${kind}`;
    const more = kind === 'delayed_always' ? ', enforcement_type: CONTINUOUS' : '';
    return {
      name,
      filters: [
        network(
          'rbac',
          `rbac.v3.RBAC, stat_prefix: ${name}., delay_deny: 0.3s${more}, rules: {action: DENY, policies: {some policy: {permissions: [{any: true}], principals: [{any: true}]}}}`,
        ),
        tcpProxy(name, 'cluster: echo'),
      ],
      async run({ open }) {
        const client = open().send('hello');
        if (kind === 'delayed_left') {
          await sleep(50);
          client.reset();
          return undefined;
        }
        const startMs = performance.now();
        await sleep(50);
        const seen = await client.send('again').ended();
        return [seen, performance.now() - startMs > 200];
      },
    };
  }),
  {
    name: 'typed_state',
    filters: [
      network(
        'state',
        `set_filter_state.v3.Config, on_new_connection: [${Object.entries({
          'envoy.upstream.dynamic_host': 'a',
          'envoy.upstream.dynamic_port': '7',
          'envoy.tcp_proxy.per_connection_idle_timeout_ms': '30000',
          'envoy.tcp_proxy.disable_tunneling': 'true',
          'envoy.network.upstream_server_name': 'a',
          'envoy.network.application_protocols': 'a,b',
          'envoy.network.upstream_subject_alt_names': 'c,d',
          'envoy.network.transport_socket.original_dst_address': '1.2.3.4:5',
          'envoy.filters.listener.original_dst.local_ip': '[::1]:6',
          'envoy.network.ip': '1.2.3.4',
          'envoy.ratelimit.hits_addend': '3',
          'envoy.hashable_string': 'h',
          'envoy.bool': 'true',
          'envoy.tcp_proxy.cluster': 'echo',
        })
          .map(([key, value]) => `{object_key: ${key}, ${text(value)}}`)
          .join(', ')}]`,
      ),
      network(
        'tcp',
        `tcp_proxy.v3.TcpProxy, stat_prefix: typed_state, cluster: echo, access_log: ${fileLog(
          'typed_state',
          [
            'envoy.upstream.dynamic_host',
            'envoy.upstream.dynamic_port',
            'envoy.tcp_proxy.per_connection_idle_timeout_ms',
            'envoy.tcp_proxy.disable_tunneling',
            'envoy.network.upstream_server_name',
            'envoy.network.application_protocols',
            'envoy.network.upstream_subject_alt_names',
            'envoy.network.transport_socket.original_dst_address',
            'envoy.filters.listener.original_dst.local_ip',
            'envoy.network.ip',
            'envoy.ratelimit.hits_addend',
            'envoy.hashable_string',
            'envoy.bool',
            'envoy.tcp_proxy.cluster',
          ]
            .map(
              (it) =>
                `${it} %FILTER_STATE(${it})% %FILTER_STATE(${it}:PLAIN)% %FILTER_STATE(${it}:FIELD:ip)%`,
            )
            .join(' | '),
        )}`,
      ),
    ],
    run: ({ open }) => open().send('hello').finish().ended(),
  },
  ...tlvCases(),
  {
    name: 'no_chain',
    chain: `{name: c, filter_chain_match: {source_prefix_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]}, filters: [${echo}]}`,
    run: ({ open }) => open().ended(),
  },
  {
    name: 'plain',
    upstream: 21201,
    filters: [tcpProxy('plain', 'cluster: plain')],
    run: ({ open }) => open().send('hello').finish().ended(),
  },
  {
    name: 'refused_twice',
    upstream: 21999,
    filters: [tcpProxy('refused_twice', 'cluster: refused_twice, max_connect_attempts: 2')],
    run: ({ open }) => open().ended(),
  },
  {
    name: 'unknown',
    filters: [tcpProxy('unknown', 'cluster: nowhere')],
    run: ({ open }) => open().ended(),
  },
  { name: 'no_host', filters: [tcpProxy('no_host', 'cluster: empty')], run: ({ open }) => open().ended() },
  {
    name: 'overflow',
    clusters: [cluster('overflow', 21201, 'circuit_breakers: {thresholds: [{max_connections: 0}]}')],
    filters: [tcpProxy('overflow', 'cluster: overflow')],
    run: ({ open }) => open().ended(),
  },
  {
    name: 'upstream_resets',
    upstream: 21203,
    filters: [tcpProxy('upstream_resets', 'cluster: upstream_resets')],
    run: ({ open }) => open().send('x').ended(),
  },
  {
    name: 'upstream_ends',
    upstream: 21202,
    filters: [tcpProxy('upstream_ends', 'cluster: upstream_ends')],
    async run({ open }) {
      const client = open();
      await client.until('hello');
      const seen = await client.send('x').ended();
      client.finish();
      return seen;
    },
  },
  {
    name: 'client_resets',
    upstream: 21204,
    filters: [tcpProxy('client_resets', 'cluster: client_resets')],
    async run({ open, upstreams }) {
      const client = open().send('client_resets');
      await upstreams.until(21204, 'client_resets');
      client.reset();
      return upstreams.ended(21204, 'client_resets');
    },
  },
  {
    name: 'client_leaves',
    upstream: 21204,
    filters: [tcpProxy('client_leaves', 'cluster: client_leaves')],
    async run({ open, upstreams }) {
      const client = open().send('client_leaves');
      await upstreams.until(21204, 'client_leaves');
      client.finish();
      return upstreams.ended(21204, 'client_leaves');
    },
  },
  {
    name: 'idle_upstream',
    upstream: 21204,
    filters: [tcpProxy('idle_upstream', 'cluster: idle_upstream, idle_timeout: 0.3s')],
    async run({ open, upstreams }) {
      open().send('idle_upstream');
      return upstreams.ended(21204, 'idle_upstream');
    },
  },
  {
    name: 'idle',
    upstream: 21204,
    filters: [tcpProxy('idle', 'cluster: idle, idle_timeout: 0.3s')],
    run: ({ open }) => open().send('hello').ended(),
  },
  {
    name: 'duration',
    upstream: 21204,
    filters: [tcpProxy('duration', 'cluster: duration, max_downstream_connection_duration: 1s')],
    run: ({ open }) => open().send('hello').ended(),
  },
  {
    name: 'inspection_timeout',
    listener: `listener_filters_timeout: 0.3s, listener_filters: [${listenerFilter('tls', 'tls_inspector.v3.TlsInspector')}]`,
    filters: [tcpProxy('inspection_timeout', 'cluster: echo')],
    run: ({ open }) => open().ended(),
  },
  {
    name: 'inspection_passes',
    listener: `listener_filters_timeout: 0.3s, continue_on_listener_filters_timeout: true, listener_filters: [${listenerFilter('tls', 'tls_inspector.v3.TlsInspector')}]`,
    filters: [tcpProxy('inspection_passes', 'cluster: greeter')],
    async run({ open }) {
      const client = open();
      await client.until('hello');
      return client.send('x').finish().ended();
    },
  },
  {
    name: 'inspection_left',
    listener: `listener_filters: [${listenerFilter('tls', 'tls_inspector.v3.TlsInspector')}]`,
    filters: [tcpProxy('inspection_left', 'cluster: echo')],
    run: ({ open }) => open().finish().ended(),
  },
  {
    name: 'inspected_plain',
    listener: `listener_filters: [${listenerFilter('tls', 'tls_inspector.v3.TlsInspector')}]`,
    filters: [tcpProxy('inspected_plain', 'cluster: echo')],
    async run({ open }) {
      // Envoy takes an end that comes early for the end of everything.
      const client = open().send('hello');
      await client.until('hello');
      return client.finish().ended();
    },
  },
  {
    name: 'not_proxied',
    listener: `listener_filters: [${listenerFilter('proxy', 'proxy_protocol.v3.ProxyProtocol')}]`,
    filters: [tcpProxy('not_proxied', 'cluster: echo')],
    run: ({ open }) => open().send('GET / HTTP/1.1\r\n\r\n').ended(),
  },
  {
    name: 'half_proxied',
    listener: `listener_filters: [${listenerFilter('proxy', 'proxy_protocol.v3.ProxyProtocol')}]`,
    filters: [tcpProxy('half_proxied', 'cluster: echo')],
    run: ({ open }) => open().send('PROXY TCP4 1.1').finish().ended(),
  },
  {
    name: 'proxied',
    listener: `listener_filters: [${listenerFilter('proxy', 'proxy_protocol.v3.ProxyProtocol')}]`,
    filters: [tcpProxy('proxied', 'cluster: echo')],
    async run({ open }) {
      // Envoy takes an end that comes early for the end of everything.
      const client = open().send('PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\nhello');
      await client.until('hello');
      return client.finish().ended();
    },
  },
  {
    name: 'early_data',
    upstream: 21201,
    filters: [
      tcpProxy(
        'early_data',
        'cluster: early_data, upstream_connect_mode: ON_DOWNSTREAM_DATA, max_early_data_bytes: 3',
      ),
    ],
    run: ({ open }) => open().send('hello').finish().ended(),
  },
  {
    name: 'no_early_data',
    upstream: 21201,
    filters: [
      tcpProxy(
        'no_early_data',
        'cluster: no_early_data, upstream_connect_mode: ON_DOWNSTREAM_DATA, max_early_data_bytes: 100',
      ),
    ],
    async run({ open }) {
      const client = open().finish();
      const { text, end } = client;
      return [text, end];
    },
  },
  {
    name: 'early_immediately',
    upstream: 21202,
    filters: [tcpProxy('early_immediately', 'cluster: early_immediately, max_early_data_bytes: 100')],
    async run({ open }) {
      const client = open();
      await client.until('hello');
      return client.send('x').finish().ended();
    },
  },
  {
    name: 'all_logs',
    filters: [
      tcpProxy(
        'all_logs',
        'cluster: echo, access_log_options: {flush_access_log_on_start: true, flush_access_log_on_connected: true}',
      ),
    ],
    async run({ open }) {
      const client = open();
      await client.send('a').until('a');
      return client.finish().ended();
    },
  },
  {
    name: 'weighted_over_state',
    filters: [
      network(
        'state',
        `set_filter_state.v3.Config, on_new_connection: [{object_key: envoy.tcp_proxy.cluster, ${text('refused')}}]`,
      ),
      tcpProxy(
        'weighted_over_state',
        'weighted_clusters: {clusters: [{name: echo, weight: 1, metadata_match: {filter_metadata: {envoy.lb: {a: b}}}}]}, metadata_match: {filter_metadata: {envoy.lb: {c: d}}}',
      ),
    ],
    run: ({ open }) => open().send('hello').finish().ended(),
  },
  {
    name: 'backoff',
    upstream: 21999,
    filters: [
      tcpProxy(
        'backoff',
        'cluster: backoff, max_connect_attempts: 3, backoff_options: {base_interval: 0.01s, max_interval: 0.02s}',
      ),
    ],
    run: ({ open }) => open().ended(),
  },
  {
    name: 'upstream_resets_late',
    upstream: 21203,
    filters: [tcpProxy('upstream_resets_late', 'cluster: upstream_resets_late')],
    async run({ open }) {
      const client = open();
      client.send('x');
      return client.ended();
    },
  },
  {
    name: 'big',
    upstream: 21201,
    filters: [tcpProxy('big', 'cluster: big')],
    async run({ open }) {
      const client = open().send('x'.repeat(3_000_000)).finish();
      const [text, end] = await client.ended();
      return [text.length, end];
    },
  },
  {
    name: 'wrongly_proxied',
    listener: `listener_filters: [${listenerFilter('proxy', 'proxy_protocol.v3.ProxyProtocol')}]`,
    filters: [tcpProxy('wrongly_proxied', 'cluster: echo')],
    run: ({ open }) => open().send('PROXY TCP4 1.1.1.1 nonsense\r\n').ended(),
  },
  {
    name: 'garbled_hello',
    listener: `listener_filters: [${listenerFilter('tls', 'tls_inspector.v3.TlsInspector, close_connection_on_client_hello_parsing_errors: true')}]`,
    filters: [tcpProxy('garbled_hello', 'cluster: echo')],
    run: ({ open }) => open().send('\x16\x03\x01\x00\x05\x01\x00\x00\x01\xff').ended(),
  },
  ...proxyCases(),
  ...tunnelCases(),
  ...terminationCases(),
  ...tlsCases(),
  ...upstreamTlsCases(),
];
