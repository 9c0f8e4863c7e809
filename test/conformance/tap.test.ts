// Transport sockets of type tap in the real Envoy and in ours: the same files for the same connections.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { decodeMessage } from '#schema/binary.ts';
import { toJson } from '#schema/json.ts';
import { message } from '#schema/registry.ts';
import { certificateFiles } from '#testing/certificates.ts';
import { missing } from '#testing/peers.ts';
import { expectSame, type Side } from './side-by-side.ts';

const type = (name: string) => `type.googleapis.com/envoy.extensions.${name}`;
const address = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });
const socket = (name: string, kind: string, more: object = {}) => ({
  name,
  typed_config: { '@type': type(`transport_sockets.${kind}`), ...more },
});
const raw = socket('raw', 'raw_buffer.v3.RawBuffer');

interface Tapped {
  readonly name: string;
  readonly format?: string;
  readonly output?: object;
  readonly config?: object;
  readonly socket?: object;
  readonly isTls?: boolean;
}

const formats = [
  'JSON_BODY_AS_BYTES',
  'JSON_BODY_AS_STRING',
  'PROTO_BINARY',
  'PROTO_BINARY_LENGTH_DELIMITED',
  'PROTO_TEXT',
];
const cases: readonly Tapped[] = [
  ...formats.flatMap((format) => [
    { name: `${format}-whole`, format },
    { name: `${format}-stream`, format, output: { streaming: true } },
  ]),
  { name: 'small', output: { max_buffered_rx_bytes: 3, max_buffered_tx_bytes: 9 } },
  { name: 'small-stream', output: { streaming: true, max_buffered_rx_bytes: 3, max_buffered_tx_bytes: 9 } },
  { name: 'collected', output: { streaming: true, min_streamed_sent_bytes: 12 } },
  { name: 'collected-all', output: { streaming: true, min_streamed_sent_bytes: 5000 } },
  { name: 'addresses', output: { streaming: true }, socket: { set_connection_per_event: true } },
  { name: 'named', socket: { stats_prefix: 'mine' } },
  { name: 'no-match', config: { match: { not_match: { any_match: true } } } },
  {
    name: 'http-match',
    config: { match: { http_request_headers_match: { headers: [{ name: 'a', present_match: true }] } } },
  },
  {
    name: 'or',
    config: { match: { or_match: { rules: [{ not_match: { any_match: true } }, { any_match: true }] } } },
  },
  { name: 'none', config: { tap_enabled: { default_value: { numerator: 0 } } } },
  {
    name: 'all',
    config: { tap_enabled: { default_value: { numerator: 10_000, denominator: 'TEN_THOUSAND' } } },
  },
  { name: 'tls', isTls: true },
];

function tap(tapped: Tapped, side: string, transport_socket: object): object {
  const { name, format = 'JSON_BODY_AS_STRING', output = {}, config = {} } = tapped;
  const sinks = [{ format, file_per_tap: { path_prefix: `tap-${name}-${side}` } }];
  const static_config = { match: { any_match: true }, output_config: { ...output, sinks }, ...config };
  const socket_tap_config = tapped.socket === undefined ? {} : { socket_tap_config: tapped.socket };
  return socket('tap', 'tap.v3.Tap', {
    common_config: { static_config },
    transport_socket,
    ...socket_tap_config,
  });
}

function configuration(upstreamPort: number): string {
  const tls = socket('tls', 'tls.v3.DownstreamTlsContext', {
    common_tls_context: { tls_certificates: [certificateFiles('server-rsa')] },
  });
  const proxy = (cluster: string) => ({
    name: 'tcp',
    typed_config: { '@type': type('filters.network.tcp_proxy.v3.TcpProxy'), stat_prefix: 't', cluster },
  });
  return JSON.stringify({
    admin: { address: address(21001) },
    static_resources: {
      listeners: cases.map((it, i) => ({
        name: it.name,
        address: address(21100 + i),
        filter_chains: [
          { transport_socket: tap(it, 'down', it.isTls ? tls : raw), filters: [proxy(it.name)] },
        ],
      })),
      clusters: cases.map((it) => ({
        name: it.name,
        transport_socket: tap(it, 'up', raw),
        load_assignment: {
          cluster_name: it.name,
          endpoints: [{ lb_endpoints: [{ endpoint: { address: address(upstreamPort) } }] }],
        },
      })),
    },
  });
}

async function exchange(port: number, isTls: boolean): Promise<void> {
  const options = { host: '127.0.0.1', port, rejectUnauthorized: false };
  const client = isTls ? connectTls(options) : connect(options);
  client.write('ping wörld');
  const [answer] = await once(client, 'data');
  assert.equal(answer.toString(), 'pong "\\\n');
  client.end();
  await once(client, 'close');
}

/** Without what differs from run to run. */
function withoutChance(text: string): string {
  return text
    .replace(/"\d{4}-\d\d-\d\dT[\d:.]+Z"/g, '"time"')
    .replace(/(seconds|nanos): \d+/g, '$1')
    .replace(/trace_id(": "|: )\d+/g, 'trace_id')
    .replace(/port_value("?): \d+/g, 'port_value$1');
}

/** A binary trace as text; of several, one after the other, all fields come to one message. */
function readable(name: string, bytes: Buffer): string {
  if (!/\.pb(_length_delimited)?$/.test(name)) return bytes.toString();
  const traces: Buffer[] = [];
  if (name.endsWith('.pb')) traces.push(bytes);
  else
    for (let at = 0; at < bytes.length; ) {
      let length = 0;
      for (let shift = 0; ; shift += 7) {
        const byte = bytes[at++]!;
        length |= (byte & 0x7f) << shift;
        if (byte < 0x80) break;
      }
      traces.push(bytes.subarray(at, at + length));
      at += length;
    }
  const wrapper = message('envoy.data.tap.v3.TraceWrapper');
  return JSON.stringify(
    traces.map((it) => toJson(wrapper, decodeMessage(wrapper, it))),
    null,
    1,
  );
}

test('taps write the files that Envoy writes', { skip: missing('envoy'), timeout: 60_000 }, async (t) => {
  const upstream = createServer((it) => {
    it.on('data', () => it.write('pong "\\\n'));
  }).listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  t.after(() => upstream.close());
  const yaml = configuration((upstream.address() as AddressInfo).port);
  await expectSame(t, yaml, async ({ proxy, port, stats, stop }: Side) => {
    for (const [i, it] of cases.entries()) await exchange(port(21100 + i), it.isTls === true);
    const counted = await stats('^transport\\.tap\\.');
    await stop();
    const files: Record<string, string> = {};
    for (const name of readdirSync(proxy.folder)
      .filter((it) => it.startsWith('tap-'))
      .toSorted())
      files[name.replace(/_\d+\./, '.')] = withoutChance(
        readable(name, readFileSync(join(proxy.folder, name))),
      );
    assert.equal(Object.keys(files).length, 2 * (cases.length - 3));
    return { counted, files };
  });
});
