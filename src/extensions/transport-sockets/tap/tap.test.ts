import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ConfigError } from '#config/config-error.ts';
import { ParseContext } from '#config/parse-context.ts';
import { Registry } from '#extension/registry.ts';
import { create } from '#schema/create.ts';
import type { TapInit } from '#schema/messages/envoy/extensions/transport_sockets/tap/v3.ts';
import { startProxy } from '#testing/start-proxy.ts';
import { downstreamRawBuffer } from '../raw-buffer/index.ts';
import { parseTap } from './config.ts';

const type = <N extends string>(name: N) => `type.googleapis.com/envoy.extensions.${name}` as const;
const transport_socket = {
  name: 'raw',
  typed_config: { '@type': type('transport_sockets.raw_buffer.v3.RawBuffer') },
} as const;
const match = { any_match: true };

const rejected: readonly { readonly name: string; readonly message: TapInit; readonly problem: RegExp }[] = [
  {
    name: 'a configuration over the admin interface',
    message: { common_config: { admin_config: { config_id: 'x' } }, transport_socket },
    problem: /^common_config\.admin_config: /,
  },
  {
    name: 'a sink of the admin interface',
    message: {
      common_config: { static_config: { match, output_config: { sinks: [{ streaming_admin: {} }] } } },
      transport_socket,
    },
    problem: /^common_config\.static_config\.output_config\.sinks\[0\]\.streaming_admin: /,
  },
];

for (const { name, message, problem } of rejected) {
  test(`rejects ${name}`, () => {
    const problems: ConfigError[] = [];
    const tap = create('envoy.extensions.transport_sockets.tap.v3.Tap', message);
    const registry = new Registry([downstreamRawBuffer]);
    parseTap('downstream_transport_socket', tap, new ParseContext('', problems), registry);
    assert.equal(problems.length, 1);
    assert.match(problems[0]!.message, problem);
  });
}

test('writes what passes a connection into a file of its own', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tap-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const sink = { format: 'JSON_BODY_AS_STRING', file_per_tap: { path_prefix: join(folder, 'tap') } };
  const config = {
    '@type': type('transport_sockets.tap.v3.Tap'),
    common_config: { static_config: { match, output_config: { sinks: [sink], max_buffered_tx_bytes: 3 } } },
    transport_socket,
  };
  const echo = { name: 'echo', typed_config: { '@type': type('filters.network.echo.v3.Echo') } };
  const proxy = await startProxy(
    t,
    JSON.stringify({
      static_resources: {
        listeners: [
          {
            name: 'l',
            address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
            filter_chains: [{ filters: [echo], transport_socket: { name: 'tap', typed_config: config } }],
          },
        ],
      },
    }),
  );
  const client = connect(proxy.port('l'), '127.0.0.1');
  client.write('hello');
  await once(client, 'data');
  const { localPort } = client;
  client.end();
  await once(client, 'close');
  await proxy.close();
  const [file] = readdirSync(folder);
  assert.match(file!, /^tap_\d+\.json$/);
  const { socket_buffered_trace: trace } = JSON.parse(readFileSync(join(folder, file!), 'utf8'));
  assert.equal(trace.connection.remote_address.socket_address.port_value, localPort);
  assert.deepEqual(
    trace.events.map(({ read, write }: Record<string, object>) => read ?? write),
    [
      { data: { as_string: 'hello', truncated: false } },
      { data: { as_string: 'hel', truncated: true }, end_stream: false },
    ],
  );
  assert.deepEqual([trace.read_truncated, trace.write_truncated], [false, true]);
});
