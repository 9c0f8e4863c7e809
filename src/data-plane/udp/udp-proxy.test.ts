// UDP listeners and udp_proxy through the whole proxy, with real sockets.
import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { LogLevel, logs } from '#base/logger.ts';
import type { ConfigError } from '#config/config-error.ts';
import { loadBootstrap } from '#config/load.ts';
import { loadRegistry, parseBootstrap } from '#data-plane/server.ts';
import { UdpSocket } from '#net/udp-socket.ts';
import { startProxy, type TestProxy } from '#testing/start-proxy.ts';

logs.configure({ level: LogLevel.Off });

const udp = 'type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3';
const inputs = 'type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3';

async function socket(t: TestContext, address = '127.0.0.1'): Promise<Socket> {
  const socket = createSocket('udp4');
  t.after(() => socket.close());
  socket.bind(0, address);
  await once(socket, 'listening');
  return socket;
}

/** Answers with its name and what it received. */
async function upstream(t: TestContext, name: string): Promise<number> {
  const it = await socket(t);
  it.on('message', (bytes, from) => it.send(`${name}:${bytes}`, from.port, from.address));
  return it.address().port;
}

async function ask(client: Socket, port: number, text: string): Promise<string> {
  const answer = once(client, 'message');
  client.send(text, port, '127.0.0.1');
  return String((await answer)[0]);
}

const address = (port: number, protocol = 'TCP', ip = '127.0.0.1') => ({
  socket_address: { address: ip, port_value: port, protocol },
});

function bootstrap(
  filter: object,
  clusters: Readonly<Record<string, { readonly ports: readonly number[]; readonly maxConnections?: number }>>,
  listener: object = address(0, 'UDP'),
): string {
  return JSON.stringify({
    admin: { address: address(0) },
    static_resources: {
      listeners: [
        {
          name: 'udp',
          stat_prefix: 'l',
          address: listener,
          listener_filters: [
            { name: 'udp', typed_config: { '@type': `${udp}.UdpProxyConfig`, stat_prefix: 'p', ...filter } },
          ],
        },
      ],
      clusters: Object.entries(clusters).map(([name, { ports, maxConnections }]) => ({
        name,
        ...(maxConnections === undefined
          ? {}
          : { circuit_breakers: { thresholds: [{ max_connections: maxConnections }] } }),
        load_assignment: {
          cluster_name: name,
          endpoints: [{ lb_endpoints: ports.map((port) => ({ endpoint: { address: address(port) } })) }],
        },
      })),
    },
  });
}

async function stats(proxy: TestProxy, ...names: readonly string[]): Promise<Record<string, number>> {
  const { body } = await proxy.admin.get('/stats');
  return Object.fromEntries(
    names.map((name) => [name, Number(new RegExp(`^${name}: (\\d+)`, 'm').exec(body)?.[1])]),
  );
}

const route = (cluster: string) => ({
  action: { name: 'route', typed_config: { '@type': `${udp}.Route`, cluster } },
});

test('keeps a peer on one host, and sends each datagram elsewhere when told so', async (t) => {
  const ports = [await upstream(t, 'a'), await upstream(t, 'b')];
  for (const perPacket of [false, true]) {
    const proxy = await startProxy(
      t,
      bootstrap({ cluster: 'c', use_per_packet_load_balancing: perPacket }, { c: { ports } }),
    );
    const client = await socket(t);
    const answers = [];
    for (let i = 0; i < 4; i++) answers.push(await ask(client, proxy.port(), 'x'));
    assert.deepEqual(new Set(answers).size, perPacket ? 2 : 1);
    assert.deepEqual(await stats(proxy, 'udp.p.downstream_sess_active', 'cluster.c.udp.sess_rx_datagrams'), {
      'udp.p.downstream_sess_active': perPacket ? 2 : 1,
      'cluster.c.udp.sess_rx_datagrams': 4,
    });
    await proxy.close();
  }
});

test('routes by address, port and range', async (t) => {
  const clusters = {
    exact: { ports: [await upstream(t, 'exact')] },
    narrow: { ports: [await upstream(t, 'narrow')] },
    wide: { ports: [await upstream(t, 'wide')] },
    port: { ports: [await upstream(t, 'port')] },
  };
  const byPort = await socket(t);
  const input = (name: string) => ({ name, typed_config: { '@type': `${inputs}.${name}` } });
  const range = (address: string, length: number, cluster: string) => ({
    ranges: [{ address_prefix: address, prefix_len: length }],
    on_match: route(cluster),
  });
  const proxy = await startProxy(
    t,
    bootstrap(
      {
        matcher: {
          matcher_tree: {
            input: input('SourcePortInput'),
            exact_match_map: { map: { [byPort.address().port]: route('port') } },
          },
          on_no_match: {
            matcher: {
              matcher_tree: {
                input: input('SourceIPInput'),
                custom_match: {
                  name: 'ranges',
                  typed_config: {
                    '@type': 'type.googleapis.com/xds.type.matcher.v3.IPMatcher',
                    range_matchers: [range('127.0.0.0', 8, 'wide'), range('127.0.9.0', 24, 'narrow')],
                  },
                },
              },
              on_no_match: route('exact'),
            },
          },
        },
      },
      clusters,
    ),
  );
  assert.equal(await ask(byPort, proxy.port(), 'x'), 'port:x');
  assert.equal(await ask(await socket(t, '127.0.9.1'), proxy.port(), 'x'), 'narrow:x');
  assert.equal(await ask(await socket(t, '127.0.8.1'), proxy.port(), 'x'), 'wide:x');
});

test('opens no more sessions than the circuit breaker allows, and logs those it refuses', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'udp-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const log = join(folder, 'access.log');
  const ports = [await upstream(t, 'a')];
  const proxy = await startProxy(
    t,
    bootstrap(
      {
        cluster: 'c',
        access_log: [
          {
            name: 'file',
            typed_config: {
              '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
              path: log,
              log_format: {
                text_format_source: {
                  inline_string: '%ACCESS_LOG_TYPE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT%\n',
                },
              },
            },
          },
        ],
      },
      { c: { ports, maxConnections: 1 } },
    ),
  );
  const [first, second] = [await socket(t), await socket(t)];
  assert.equal(await ask(first, proxy.port(), 'x'), 'a:x');
  second.send('refused', proxy.port(), '127.0.0.1');
  assert.equal(await ask(first, proxy.port(), 'y'), 'a:y');
  const names = [
    'udp.p.downstream_sess_total',
    'udp.p.downstream_sess_active',
    'cluster.c.upstream_cx_overflow',
  ];
  assert.deepEqual(Object.values(await stats(proxy, ...names)), [2, 1, 1]);
  await proxy.close();
  assert.deepEqual(readFileSync(log, 'utf8').trimEnd().split('\n'), [
    'UdpSessionEnd UO 0 0',
    'UdpSessionEnd - 2 6',
  ]);
});

test('ends a session that is idle, which makes room for another', async (t) => {
  const ports = [await upstream(t, 'a')];
  const proxy = await startProxy(
    t,
    bootstrap({ cluster: 'c', idle_timeout: '1s' }, { c: { ports, maxConnections: 1 } }),
  );
  assert.equal(await ask(await socket(t), proxy.port(), 'x'), 'a:x');
  while ((await stats(proxy, 'udp.p.idle_timeout'))['udp.p.idle_timeout'] === 0) await sleep(5);
  assert.equal(await ask(await socket(t), proxy.port(), 'y'), 'a:y');
});

test('counts what has nowhere to go', async (t) => {
  for (const [cluster, name] of [
    ['nobody', 'udp.p.downstream_sess_no_route'],
    ['empty', 'cluster.empty.upstream_cx_none_healthy'],
  ] as const) {
    const proxy = await startProxy(t, bootstrap({ cluster }, { empty: { ports: [] } }));
    const client = await socket(t);
    client.send('x', proxy.port(), '127.0.0.1');
    while ((await stats(proxy, name))[name] === 0) await sleep(5);
    assert.deepEqual(await stats(proxy, 'udp.p.downstream_sess_total'), { 'udp.p.downstream_sess_total': 0 });
    await proxy.close();
  }
});

test('several workers share the address', async (t) => {
  const ports = [await upstream(t, 'a')];
  const proxy = await startProxy(t, bootstrap({ cluster: 'c' }, { c: { ports } }), { workers: 2 });
  for (let i = 0; i < 20; i++) assert.equal(await ask(await socket(t), proxy.port(), `${i}`), `a:${i}`);
  assert.deepEqual(await stats(proxy, 'udp.p.downstream_sess_total'), { 'udp.p.downstream_sess_total': 20 });
});

test('counts what the system drops', { skip: process.platform !== 'linux' }, async (t) => {
  const ports = [await upstream(t, 'a')];
  const proxy = await startProxy(t, bootstrap({ cluster: 'c' }, { c: { ports } }));
  // The proxy is in this thread: it reads nothing while these are sent, and they are more than the buffer takes.
  const dropped = UdpSocket.connect('127.0.0.1', proxy.port(), { onDatagram() {}, onReceiveError() {} })!;
  t.after(() => dropped.close());
  const count = 10_000;
  for (let i = 0; i < count; i++) dropped.send(Buffer.alloc(100));
  const names = ['listener.l.udp.downstream_rx_datagram_dropped', 'udp.p.downstream_sess_rx_datagrams'];
  for (;;) {
    const [drops, received] = Object.values(await stats(proxy, ...names)) as [number, number];
    if (drops + received === count) break;
    await sleep(5);
  }
});

test('draining a listener ends its sessions', async (t) => {
  const ports = [await upstream(t, 'a')];
  const proxy = await startProxy(t, bootstrap({ cluster: 'c' }, { c: { ports } }));
  await ask(await socket(t), proxy.port(), 'x');
  await proxy.admin.post('/drain_listeners');
  const name = 'udp.p.downstream_sess_active';
  while ((await stats(proxy, name))[name] !== 0) await sleep(5);
});

test('a flood of peers is bounded by the circuit breaker', async (t) => {
  const ports = [await upstream(t, 'a')];
  const proxy = await startProxy(t, bootstrap({ cluster: 'c' }, { c: { ports, maxConnections: 10 } }));
  const first = await socket(t);
  assert.equal(await ask(first, proxy.port(), 'x'), 'a:x');
  for (let i = 1; i <= 200; i++) {
    const peer = await socket(t, `127.1.${i >> 4}.${1 + (i & 15)}`);
    peer.send(Buffer.from([i]), proxy.port(), '127.0.0.1');
  }
  const name = 'cluster.c.upstream_cx_overflow';
  while ((await stats(proxy, name))[name]! < 191) await sleep(5);
  assert.deepEqual(await stats(proxy, 'udp.p.downstream_sess_active'), {
    'udp.p.downstream_sess_active': 10,
  });
  assert.equal(await ask(first, proxy.port(), 'y'), 'a:y');
});

const ownAddress = Object.values(networkInterfaces())
  .flat()
  .find((it) => it?.family === 'IPv4' && !it.internal)?.address;

test('answers from the address that was asked', { skip: ownAddress === undefined }, async (t) => {
  const clusters = { c: { ports: [await upstream(t, 'a')] } };
  for (const listener of [
    address(0, 'UDP', '0.0.0.0'),
    { socket_address: { address: '::', port_value: 0, protocol: 'UDP', ipv4_compat: true } },
  ]) {
    const proxy = await startProxy(t, bootstrap({ cluster: 'c' }, clusters, listener));
    const client = await socket(t);
    const answer = once(client, 'message');
    client.send('x', proxy.port(), ownAddress!);
    const [bytes, from] = (await answer) as [Buffer, { address: string; port: number }];
    assert.deepEqual([String(bytes), from.address, from.port], ['a:x', ownAddress, proxy.port()]);
    await proxy.close();
  }
});

test('refuses by name what sockets of datagrams cannot have', async () => {
  const yaml = JSON.parse(bootstrap({ cluster: 'c', use_original_src_ip: true }, {})) as {
    static_resources: { listeners: object[] };
  };
  Object.assign(yaml.static_resources.listeners[0]!, {
    transparent: true,
    bind_to_port: false,
    udp_listener_config: {
      udp_packet_packet_writer_config: {
        name: 'gso',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.udp_packet_writer.v3.UdpGsoBatchWriterFactory',
        },
      },
    },
  });
  const loaded = await loadBootstrap({ yaml: JSON.stringify(yaml) });
  const problems: ConfigError[] = [];
  parseBootstrap(
    loaded.bootstrap as never,
    await loadRegistry([import.meta.resolve('#extensions/all.ts')]),
    problems,
  );
  assert.deepEqual(
    problems
      .filter((it) => it.severity === 'error')
      .map((it) => it.path.replace('static_resources.listeners[0].', '')),
    [
      'static_resources.listeners[0]',
      'bind_to_port',
      'udp_listener_config.udp_packet_packet_writer_config',
      'listener_filters[0].typed_config.use_original_src_ip',
    ],
  );
});
