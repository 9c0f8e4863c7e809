// Listeners that come and go while the proxy runs, from a file.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { LogLevel, logs } from '#base/logger.ts';
import { hasNativeSockets } from '#net/native-sockets.ts';
import { freePorts } from '#testing/free-ports.ts';
import { startProxy, type TestProxy, type TestProxyOptions } from '#testing/start-proxy.ts';

logs.configure({ level: LogLevel.Off });

/** Says its name to every connection, and again to what it is sent; the connection stays. */
const greeter = `export const extensions = [{
  kind: 'network_filter', name: 'envoy.filters.network.thrift_proxy', type: 'envoy.extensions.filters.network.thrift_proxy.v3.ThriftProxy', terminal: true,
  parse: (message) => ({ name: message.stat_prefix }),
  prepare: ({ name }) => (downstream) => ({
    onNewConnection() { downstream.write(Buffer.from(name + '\\n')); return 0; },
    onData(bytes) { if (bytes.toString() === 'crash') throw new Error('crashed as told'); downstream.write(Buffer.from(name + '\\n')); return 0; },
  }),
}];`;
const extensionModules = [`data:text/javascript,${encodeURIComponent(greeter)}`];

const tcp = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });

function says(name: string, match?: object): object {
  return {
    name: `chain ${name}`,
    ...(match && { filter_chain_match: match }),
    filters: [
      {
        name: 'envoy.filters.network.thrift_proxy',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.filters.network.thrift_proxy.v3.ThriftProxy',
          stat_prefix: name,
        },
      },
    ],
  };
}

function listener(name: string, address: object, chains: readonly object[], more: object = {}): object {
  return {
    '@type': 'type.googleapis.com/envoy.config.listener.v3.Listener',
    name,
    address,
    filter_chains: chains,
    ...more,
  };
}

interface Lds {
  readonly proxy: TestProxy;
  /** Moves a new version into place; resolves when it is in force, or refused. */
  readonly put: (...listeners: readonly object[]) => Promise<void>;
}

async function start(
  t: TestContext,
  listeners: readonly object[],
  options: TestProxyOptions = {},
  more: object = {},
): Promise<Lds> {
  const folder = mkdtempSync(join(tmpdir(), 'lds-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'lds.yaml');
  let version = 1;
  const text = (resources: readonly object[]) =>
    JSON.stringify({ version_info: String(version++), resources });
  writeFileSync(path, text(listeners));
  const bootstrap = {
    node: { id: 'n', cluster: 'c' },
    admin: { address: tcp(0) },
    dynamic_resources: { lds_config: { path_config_source: { path } } },
    ...more,
  };
  const proxy = await startProxy(t, JSON.stringify(bootstrap), { extensionModules, ...options });
  return {
    proxy,
    async put(...next) {
      const before = await taken(proxy);
      writeFileSync(`${path}.new`, text(next));
      renameSync(`${path}.new`, path);
      await until(async () => (await taken(proxy)) > before);
    },
  };
}

async function taken(proxy: TestProxy): Promise<number> {
  const { body } = await proxy.admin.get(
    '/stats?filter=^listener_manager.lds.update_(success|rejected|failure)$',
  );
  return body
    .trimEnd()
    .split('\n')
    .reduce((sum, line) => sum + Number(line.split(': ')[1]), 0);
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(5);
}

async function stat(proxy: TestProxy, name: string): Promise<number> {
  const { body } = await proxy.admin.get(`/stats?filter=^${name}$`);
  return Number(body.split(': ')[1]);
}

class Client {
  readonly socket: Socket;
  #lines: string[] = [];
  #rest = '';
  #wake = () => {};
  isClosed = false;

  constructor(to: number | string) {
    const options: NetConnectOpts = typeof to === 'string' ? { path: to } : { port: to, host: '127.0.0.1' };
    this.socket = connect(options).setEncoding('latin1');
    this.socket.on('data', (text: string) => {
      const lines = (this.#rest + text).split('\n');
      this.#rest = lines.pop()!;
      this.#lines.push(...lines);
      this.#wake();
    });
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      this.isClosed = true;
      this.#wake();
    });
  }

  /** The next line; empty when the connection is closed. */
  async line(): Promise<string> {
    while (this.#lines.length === 0 && !this.isClosed)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    return this.#lines.shift() ?? '';
  }

  ask(): Promise<string> {
    this.socket.write('?');
    return this.line();
  }
}

function client(t: TestContext, to: number | string): Client {
  const it = new Client(to);
  t.after(() => it.socket.destroy());
  return it;
}

async function greeting(t: TestContext, to: number | string): Promise<string> {
  const it = client(t, to);
  const line = await it.line();
  it.socket.destroy();
  return line;
}

const local = { direct_source_prefix_ranges: [{ address_prefix: '127.0.0.1', prefix_len: 32 }] };
const other = { direct_source_prefix_ranges: [{ address_prefix: '127.0.0.2', prefix_len: 32 }] };

for (const workers of ['inline', 2] as const) {
  test(`changes filter chains under connections, ${workers}`, async (t) => {
    const [port] = (await freePorts(1)) as [number];
    const { proxy, put } = await start(t, [listener('l', tcp(port), [says('one', local)])], {
      workers,
      drainTimeMs: 300,
    });
    const first = client(t, port);
    assert.equal(await first.line(), 'one');
    await put(listener('l', tcp(port), [says('one', local), says('elsewhere', other)]));
    await put(listener('l', tcp(port), [says('one', local)]));
    assert.equal(await first.ask(), 'one');
    assert.equal(await stat(proxy, 'listener_manager.total_filter_chains_draining'), 1);

    await put(listener('l', tcp(port), [says('two', local)]));
    assert.equal(await greeting(t, port), 'two');
    assert.equal(await first.ask(), 'one');
    assert.equal(await first.line(), '');
    await until(async () => (await stat(proxy, 'listener_manager.total_filter_chains_draining')) === 0);
    assert.equal(await stat(proxy, 'listener_manager.listener_in_place_updated'), 3);
    assert.equal(await stat(proxy, 'listener_manager.listener_modified'), 3);
  });

  test(`replaces and removes listeners, ${workers}`, async (t) => {
    const [port, next] = (await freePorts(2)) as [number, number];
    const { proxy, put } = await start(t, [listener('l', tcp(port), [says('one')])], {
      workers,
      drainTimeMs: 300,
    });
    const first = client(t, port);
    assert.equal(await first.line(), 'one');
    await put(listener('l', tcp(next), [says('two')]));
    assert.equal(await greeting(t, next), 'two');
    assert.equal(await first.ask(), 'one');
    await until(async () => (await greeting(t, port)) === '');
    assert.equal(await first.line(), '');
    await until(async () => (await stat(proxy, 'listener_manager.total_listeners_draining')) === 0);
    assert.equal(await stat(proxy, 'listener_manager.listener_modified'), 1);

    const second = client(t, next);
    assert.equal(await second.line(), 'two');
    await put();
    await until(async () => (await greeting(t, next)) === '');
    assert.equal((await proxy.admin.get('/listeners')).body, '');
    assert.equal(await second.line(), '');
    // With the listener its statistics go.
    await until(async () => (await proxy.admin.get('/stats?filter=^listener.127')).body === '');
  });
}

const addresses = [
  { name: 'shared by reuse_port', more: {}, isUnix: false },
  { name: 'bound once', more: { enable_reuse_port: false }, isUnix: false },
  { name: 'a Unix socket', more: {}, isUnix: true },
];

for (const { name, more, isUnix } of addresses) {
  test(`no connection is lost while a listener is replaced: ${name}`, {
    skip: (isUnix || more.enable_reuse_port === false) && !hasNativeSockets(),
  }, async (t) => {
    const [port] = (await freePorts(1)) as [number];
    const path = join(tmpdir(), `lds-${process.pid}-${port}.sock`);
    const [to, address] = isUnix ? [path, { pipe: { path } }] : [port, tcp(port)];
    const of = (version: number, listenerName = 'l') =>
      listener(listenerName, address, [says('x')], {
        metadata: { filter_metadata: { version: { version } } },
        ...more,
      });
    const { proxy, put } = await start(t, [of(0)], { workers: 2, drainTimeMs: 60_000 });
    let isOver = false;
    let answered = 0;
    const asking = (async () => {
      while (!isOver) {
        assert.equal(await greeting(t, to), 'x');
        answered++;
      }
    })();
    for (let i = 1; i <= 10; i++) {
      const before = answered;
      // Also under another name, with the same address.
      await put(of(i, i % 3 === 0 ? 'renamed' : 'l'));
      await until(() => answered > before + 2);
    }
    isOver = true;
    await asking;
    assert.equal(await stat(proxy, 'listener_manager.total_listeners_draining'), 10);
  });
}

test('a listener that comes back while it drains listens again', async (t) => {
  const [port] = (await freePorts(1)) as [number];
  const of = (name: string) => listener(name, tcp(port), [says(name)]);
  const { put } = await start(t, [of('one')], { workers: 2, drainTimeMs: 60_000 });
  await put();
  await until(async () => (await greeting(t, port)) === '');
  await put(of('one'));
  await until(async () => (await greeting(t, port)) === 'one');
  await put();
  await put(of('two'));
  await until(async () => (await greeting(t, port)) === 'two');
});

test('a worker that dies is replaced by one that knows what there is now', async (t) => {
  const [port] = (await freePorts(1)) as [number];
  const of = (name: string) => listener('l', tcp(port), [says(name)]);
  const { proxy, put } = await start(t, [of('one')], { workers: 1, drainTimeMs: 60_000 });
  await put(of('two'));
  await put(of('three'), listener('never', tcp(0), [says('never')]));
  await put(of('three'));
  const victim = client(t, port);
  assert.equal(await victim.line(), 'three');
  victim.socket.write('crash');
  assert.equal(await victim.line(), '');
  await until(async () => (await greeting(t, port)) === 'three');
  await put(of('four'));
  assert.equal(await greeting(t, port), 'four');
  assert.equal(await stat(proxy, 'listener_manager.total_listeners_active'), 1);
});

test('what is wrong refuses the listener that it is in, and nothing else', async (t) => {
  const [a, b, busy] = (await freePorts(3)) as [number, number, number];
  const good = listener('good', tcp(a), [says('good')]);
  const { proxy, put } = await start(
    t,
    [good, listener('last', tcp(0), [says('last')])],
    {},
    {
      static_resources: {
        listeners: [{ ...listener('fixed', tcp(busy), [says('fixed')]), '@type': undefined }],
      },
    },
  );
  await put(
    listener('good', tcp(a), []),
    listener('fixed', tcp(b), [says('changed')]),
    listener('taken', tcp(busy), [says('taken')]),
    listener('new', tcp(b), [says('new')]),
  );
  assert.equal(await greeting(t, a), 'good');
  assert.equal(await greeting(t, b), 'new');
  assert.equal(await greeting(t, busy), 'fixed');
  assert.equal(await stat(proxy, 'listener_manager.lds.update_rejected'), 1);
  const { configs } = JSON.parse((await proxy.admin.get('/config_dump?mask=dynamic_listeners')).body);
  const states = Object.fromEntries(
    configs
      .flatMap((it: { dynamic_listeners?: object[] }) => it.dynamic_listeners ?? [])
      .map((it: Record<string, { details?: string }>) => [
        it.name,
        Object.entries(it).flatMap(([key, value]) => (key.endsWith('_state') ? (value.details ?? key) : [])),
      ]),
  );
  assert.deepEqual(states.good, [
    'active_state',
    `error adding listener '127.0.0.1:${a}': no filter chains specified`,
  ]);
  assert.match(states.taken[0], /has duplicate address '127\.0\.0\.1:\d+' as existing listener/);
  assert.deepEqual(states.new, ['active_state']);
  assert.deepEqual(states.last, ['draining_state']);
});

test('a file that cannot be read leaves everything as it is', async (t) => {
  const [port] = (await freePorts(1)) as [number];
  const { proxy, put } = await start(t, [listener('l', tcp(port), [says('one')])]);
  await put({ '@type': 'type.googleapis.com/no.such.Type' });
  await put({ '@type': 'type.googleapis.com/envoy.config.cluster.v3.Cluster', name: 'c' });
  await put(listener('l', { socket_address: { address: '127.0.0.1', port_value: 70_000 } }, [says('two')]));
  assert.equal(await greeting(t, port), 'one');
  assert.equal(await stat(proxy, 'listener_manager.lds.update_failure'), 1);
  assert.equal(await stat(proxy, 'listener_manager.lds.update_rejected'), 2);
});

test('a UDP listener is replaced and removed', async (t) => {
  const { createSocket } = await import('node:dgram');
  const [port, upstreamPort] = (await freePorts(2)) as [number, number];
  const upstream = createSocket('udp4').bind(upstreamPort, '127.0.0.1');
  upstream.on('message', (bytes, from) => upstream.send(bytes, from.port, from.address));
  t.after(() => upstream.close());
  const of = (statPrefix: string) => ({
    '@type': 'type.googleapis.com/envoy.config.listener.v3.Listener',
    name: 'u',
    address: { socket_address: { protocol: 'UDP', address: '127.0.0.1', port_value: port } },
    listener_filters: [
      {
        name: 'envoy.filters.udp_listener.udp_proxy',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig',
          stat_prefix: statPrefix,
          cluster: 'up',
        },
      },
    ],
  });
  const { proxy, put } = await start(
    t,
    [of('a')],
    { drainTimeMs: 50 },
    {
      static_resources: {
        clusters: [
          {
            name: 'up',
            load_assignment: {
              cluster_name: 'up',
              endpoints: [{ lb_endpoints: [{ endpoint: { address: tcp(upstreamPort) } }] }],
            },
          },
        ],
      },
    },
  );
  const echo = async () => {
    const socket = createSocket('udp4');
    // What meets the old socket in its last moment is lost.
    const again = setInterval(() => socket.send('x', port, '127.0.0.1'), 20);
    await once(socket, 'message');
    clearInterval(again);
    socket.close();
  };
  await echo();
  await put(of('b'));
  await echo();
  await until(async () => (await stat(proxy, 'udp.b.downstream_sess_total')) === 1);
  await put();
  await until(async () => (await proxy.admin.get('/stats?filter=^udp')).body === '');
});
