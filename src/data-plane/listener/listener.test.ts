// Listeners through a whole proxy: addresses of every kind, limits, and connections that were meant for another address.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { hasNativeSockets, ipTransparent, nativeSockets } from '#net/native-sockets.ts';
import { startProxy, type TestProxy, type TestProxyOptions } from '#testing/start-proxy.ts';

const nativeSkip = !hasNativeSockets() && 'needs Linux and node:ffi';
const transparentSkip = nativeSkip || (!mayBeTransparent() && 'needs CAP_NET_ADMIN');

function mayBeTransparent(): boolean {
  const native = nativeSockets();
  const address = { address: '127.0.0.1', port: 0, isIpv6Only: false, isMultipath: false };
  try {
    native.close(native.bind(address, [{ ...ipTransparent, value: 1 }]));
    return true;
  } catch {
    return false;
  }
}

/** A chain that says its name. */
function says(name: string): object {
  const response = { inline_string: name };
  const type = 'type.googleapis.com/envoy.extensions.filters.network.direct_response.v3.Config';
  return { name, filters: [{ name, typed_config: { '@type': type, response } }] };
}

const echo = {
  name: 'echo',
  typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo' },
};

function echoes(): object {
  return { name: 'echo', filters: [echo] };
}

const tcp = (address: string, port = 0, more: object = {}) => ({
  socket_address: { address, port_value: port, ...more },
});

function start(
  t: TestContext,
  listeners: readonly object[],
  options: TestProxyOptions = {},
  bootstrap: object = {},
): Promise<TestProxy> {
  const admin = { address: tcp('127.0.0.1') };
  return startProxy(t, JSON.stringify({ admin, static_resources: { listeners }, ...bootstrap }), options);
}

async function answer(to: { port: number; host: string } | { path: string }): Promise<string> {
  let text = '';
  const socket = connect(to);
  socket.on('error', () => {});
  for await (const chunk of socket) text += chunk;
  return text;
}

async function stat(proxy: TestProxy, name: string): Promise<number> {
  const { body } = await proxy.admin.get(`/stats?filter=^${name}$`);
  return Number(body.split(': ')[1]);
}

async function opened(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1' });
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'listener-'));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

test('listens on a path with its mode, on an abstract name, on more addresses, in all workers', {
  skip: nativeSkip,
}, async (t) => {
  const path = join(folder(t), 'l.sock');
  const name = `chancery-test-${process.pid}`;
  const proxy = await start(
    t,
    [
      { name: 'path', address: { pipe: { path, mode: 0o640 } }, filter_chains: [says('path')] },
      { name: 'abstract', address: { pipe: { path: `@${name}` } }, filter_chains: [says('abstract')] },
      {
        name: 'one',
        address: tcp('127.0.0.1'),
        additional_addresses: [{ address: tcp('::1') }, { address: tcp('::', 0, { ipv4_compat: true }) }],
        enable_reuse_port: false,
        filter_chains: [says('one')],
      },
    ],
    { workers: 2 },
  );
  assert.equal(statSync(path).mode & 0o777, 0o640);
  const { body } = await proxy.admin.get('/listeners');
  const ports = [...body.matchAll(/^one::.*:(\d+)$/gm)].map((it) => Number(it[1]));
  assert.equal(ports.length, 3);
  for (let i = 0; i < 50; i++) {
    assert.equal(await answer({ path }), 'path');
    assert.equal(await answer({ path: `\0${name}` }), 'abstract');
    assert.equal(await answer({ host: '127.0.0.1', port: ports[0]! }), 'one');
    assert.equal(await answer({ host: '::1', port: ports[1]! }), 'one');
    assert.equal(await answer({ host: '127.0.0.1', port: ports[2]! }), 'one');
  }
  for (const it of [`${path.replaceAll(':', '_')}`, `@${name}`]) {
    assert.equal(await stat(proxy, `listener.${it}.downstream_cx_total`), 50);
    // Both workers accept, though not evenly.
    assert.ok((await stat(proxy, `listener.${it}.worker_1.downstream_cx_total`)) >= 0);
  }
  await proxy.admin.post('/drain_listeners');
  // Every worker closes its own; what still gets in is answered.
  while ((await answer({ path }).catch(() => '')) !== '');
  await assert.rejects(once(connect({ path }), 'connect'), { code: 'ECONNREFUSED' });
});

test('closes connections above the limits of the listener and of the process', async (t) => {
  const listener = (name: string, more: object = {}) => ({
    name,
    stat_prefix: name,
    address: tcp('127.0.0.1'),
    filter_chains: [echoes()],
    ...more,
  });
  const runtime = {
    'envoy.resource_limits.listener.few.connection_limit': 2,
    'overload.global_downstream_max_connections': 4,
  };
  const proxy = await start(
    t,
    [listener('few'), listener('many'), listener('free', { ignore_global_conn_limit: true })],
    {},
    { layered_runtime: { layers: [{ name: 'static', static_layer: runtime }] } },
  );
  const open: Socket[] = [];
  const reach = async (name: string) => {
    const socket = await opened(proxy.port(name));
    socket.write('x');
    const isServed = await Promise.race([
      once(socket, 'data').then(() => true),
      once(socket, 'close').then(() => false),
    ]);
    if (isServed) open.push(socket);
    return isServed;
  };
  t.after(() => {
    for (const it of open) it.destroy();
  });
  assert.equal(await reach('few'), true);
  assert.equal(await reach('few'), true);
  assert.equal(await reach('few'), false);
  assert.equal(await reach('many'), true);
  assert.equal(await reach('many'), true);
  assert.equal(await reach('many'), false);
  assert.equal(await reach('free'), true);
  assert.equal(await stat(proxy, 'listener.few.downstream_cx_overflow'), 1);
  assert.equal(await stat(proxy, 'listener.many.downstream_global_cx_overflow'), 1);
  assert.equal(await stat(proxy, 'listener.few.downstream_cx_total'), 2);
  // A place that becomes free is given again.
  const left = open.shift()!;
  left.end();
  await once(left, 'close');
  open.shift()!.destroy();
  let isServed = false;
  for (let i = 0; i < 100 && !isServed; i++) isServed = await reach('few');
  assert.ok(isServed);
});

test('keeps to the limit of connections of the overload manager', async (t) => {
  const monitor = 'envoy.resource_monitors.global_downstream_max_connections';
  const type = 'envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig';
  const typed_config = { '@type': `type.googleapis.com/${type}`, max_active_downstream_connections: 2 };
  const listener = (name: string, more: object = {}) => ({
    name,
    stat_prefix: name,
    address: tcp('127.0.0.1'),
    filter_chains: [echoes()],
    ...more,
  });
  const proxy = await start(
    t,
    [listener('limited'), listener('free', { ignore_global_conn_limit: true })],
    {},
    { overload_manager: { resource_monitors: [{ name: monitor, typed_config }] } },
  );
  const served: string[] = [];
  for (const name of ['free', 'free', 'free', 'limited', 'limited', 'limited', 'free']) {
    const socket = await opened(proxy.port(name));
    t.after(() => socket.destroy());
    socket.write('x');
    const isServed = await Promise.race([
      once(socket, 'data').then(() => true),
      once(socket, 'close').then(() => false),
    ]);
    if (isServed) served.push(name);
  }
  assert.deepEqual(served, ['free', 'free', 'free', 'limited', 'limited', 'free']);
  assert.equal(await stat(proxy, 'listener.limited.downstream_global_cx_overflow'), 1);
  assert.equal(await stat(proxy, `overload.${monitor}.failed_updates`), 1);
});

test('hands a connection on to the listener of the address it was meant for', {
  skip: transparentSkip,
}, async (t) => {
  const log = join(folder(t), 'log');
  const accessLog = (format: string) => [
    {
      name: 'file',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
        path: log,
        log_format: { text_format_source: { inline_string: `${format}\n` } },
      },
    },
  ];
  // A transparent socket on all addresses: what comes to 127.0.0.x was meant for it, as with TPROXY.
  const reserved = await start(t, [{ name: 'r', address: tcp('0.0.0.0'), filter_chains: [says('r')] }]);
  const port = reserved.port();
  await reserved.close();
  const proxy = await start(t, [
    {
      name: 'front',
      stat_prefix: 'front',
      address: tcp('0.0.0.0', port),
      transparent: true,
      use_original_dst: true,
      filter_chains: [says('front')],
      access_log: accessLog('front %DOWNSTREAM_LOCAL_ADDRESS%'),
    },
    {
      name: 'two',
      stat_prefix: 'two',
      address: tcp('127.0.0.2', port),
      bind_to_port: false,
      filter_chains: [says('two')],
      access_log: accessLog('two %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_DIRECT_LOCAL_ADDRESS%'),
    },
  ]);
  assert.equal(await answer({ host: '127.0.0.2', port }), 'two');
  assert.equal(await answer({ host: '127.0.0.3', port }), 'front');
  assert.equal(await stat(proxy, 'listener.front.downstream_cx_total'), 1);
  assert.equal(await stat(proxy, 'listener.two.downstream_cx_total'), 1);
  await proxy.close();
  assert.deepEqual(readFileSync(log, 'utf8').trim().split('\n').sort(), [
    `front 127.0.0.3:${port}`,
    `two 127.0.0.2:${port} 127.0.0.2:${port}`,
  ]);
});

/** A network filter that throws when it sees `crash`, in the place of one that is not there. */
const crashType = 'envoy.extensions.filters.network.mongo_proxy.v3.MongoProxy';
const crash = `export const extensions = [{
  kind: 'network_filter', name: 'crash', type: '${crashType}', parse: () => ({}),
  prepare: () => () => ({
    onData(bytes) {
      if (bytes.toString() === 'crash') throw new Error('crashed as told');
      return 0;
    },
  }),
}];`;

test('a shared socket serves on while workers die and are replaced', { skip: nativeSkip }, async (t) => {
  const path = join(folder(t), 'l.sock');
  const typed_config = { '@type': `type.googleapis.com/${crashType}`, stat_prefix: 'x' };
  const crashes = { name: 'crash', typed_config };
  const proxy = await start(
    t,
    [{ name: 'l', address: { pipe: { path } }, filter_chains: [{ filters: [crashes, echo] }] }],
    { workers: 2, extensionModules: [`data:text/javascript,${encodeURIComponent(crash)}`] },
  );
  /** What comes back on a new connection; empty when it breaks off. */
  const say = async (text: string) => {
    const socket = connect({ path });
    socket.on('error', () => {});
    socket.write(text);
    const [bytes = ''] = await Promise.race([once(socket, 'data'), once(socket, 'close').then(() => [])]);
    socket.destroy();
    return String(bytes);
  };
  let deaths = 0;
  for (let i = 0; i < 3; i++) {
    if ((await say('crash')) === '') deaths++;
    // One of the two may be on its way out with a connection it has taken; the path stays, and somebody answers.
    let text = '';
    while (text === '') text = await say('hello');
    assert.equal(text, 'hello');
  }
  assert.equal(deaths, 3);
  assert.ok(statSync(path).isSocket());
  await proxy.close();
});
