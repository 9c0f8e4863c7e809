// Hostile bytes before and instead of a handshake: random ones, cut-off and slow ClientHellos, connections that say nothing, PROXY
// headers in pieces. Memory stays bounded, counters are right, and who came earlier or comes later notices nothing.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { certificateFiles } from '#testing/certificates.ts';
import { mulberry32 } from '#testing/mulberry32.ts';
import { residentKilobytes } from '#testing/process-usage.ts';
import type { ProxyProcess } from '#testing/proxy-process.ts';
import { portsFor, proxyMissing, startBlackBox } from './black-box.ts';

const timeout = 60_000;
const options = { skip: proxyMissing, timeout };
const extensions = 'type.googleapis.com/envoy.extensions';
const inspected = 21000;
const tls = 21002;
const proxied = 21003;

const yaml = () => {
  const tcp = (name: string) =>
    `[{name: tcp, typed_config: {"@type": ${extensions}.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: ${name}, cluster: echo}}]`;
  const socket = `transport_socket: {name: tls, typed_config: {"@type": ${extensions}.transport_sockets.tls.v3.DownstreamTlsContext, common_tls_context: {tls_certificates: [${JSON.stringify(certificateFiles('server-ec'))}]}}}`;
  const listener = (name: string, port: number, rest: string) =>
    `  - {name: ${name}, stat_prefix: ${name}, address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}, ${rest}}`;
  const filter = (name: string, type: string) =>
    `listener_filters: [{name: ${name}, typed_config: {"@type": ${extensions}.filters.listener.${type}}}]`;
  return `admin: {address: {socket_address: {address: 127.0.0.1, port_value: 21001}}}
static_resources:
  listeners:
${listener('inspected', inspected, `listener_filters_timeout: 3s, ${filter('tls', 'tls_inspector.v3.TlsInspector')}, filter_chains: [{filter_chain_match: {server_names: [tls.test]}, ${socket}, filters: ${tcp('inspected')}}, {filter_chain_match: {transport_protocol: raw_buffer}, filters: ${tcp('inspected')}}]`)}
${listener('tls', tls, `filter_chains: [{transport_socket_connect_timeout: 1s, ${socket}, filters: ${tcp('tls')}}]`)}
${listener('proxied', proxied, `${filter('proxy', 'proxy_protocol.v3.ProxyProtocol')}, filter_chains: [{filters: ${tcp('proxied')}}]`)}
  clusters:
  - {name: echo, connect_timeout: 5s, circuit_breakers: {thresholds: [{max_connections: 20000, max_pending_requests: 20000}]}, load_assignment: {cluster_name: echo, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 21201}}}}]}]}}
`;
};

class Fixture {
  readonly proxy: ProxyProcess;
  readonly #port: (written: number) => number;
  readonly #t: TestContext;

  constructor(proxy: ProxyProcess, port: (written: number) => number, t: TestContext) {
    this.proxy = proxy;
    this.#port = port;
    this.#t = t;
  }

  open(written: number): Socket {
    const socket = connect({ host: '127.0.0.1', port: this.#port(written), noDelay: true });
    socket.on('error', () => {});
    this.#t.after(() => socket.destroy());
    return socket;
  }

  async stats(prefix: string): Promise<Record<string, number>> {
    const { body } = await this.proxy.admin(`/stats?filter=^${prefix}`);
    const all: Record<string, number> = {};
    for (const line of body.split('\n')) {
      const [name = '', value] = line.split(': ');
      if (value !== undefined && /^\d+$/.test(value)) all[name.slice(prefix.length + 1)] = Number(value);
    }
    return all;
  }

  /** Asked until it is so. */
  async until(
    prefix: string,
    isSo: (stats: Record<string, number>) => boolean,
  ): Promise<Record<string, number>> {
    for (const deadline = performance.now() + 15_000; ; ) {
      const stats = await this.stats(prefix);
      if (isSo(stats)) return stats;
      assert.ok(performance.now() < deadline, `not in time: ${JSON.stringify(stats)}`);
      await sleep(20);
    }
  }

  /** A TLS client with an answer. */
  async assertTls(written = tls): Promise<void> {
    const socket = connectTls({
      host: '127.0.0.1',
      port: this.#port(written),
      servername: 'tls.test',
      rejectUnauthorized: false,
    });
    this.#t.after(() => socket.destroy());
    await once(socket, 'secureConnect');
    socket.write('hello');
    assert.equal(String((await once(socket, 'data'))[0]), 'hello');
    socket.destroy();
  }
}

/** Runs `hurt` beside a connection that was there before, which must still answer, and looks at the memory. */
async function survives(t: TestContext, hurt: (fixture: Fixture) => Promise<void>): Promise<void> {
  const { yaml: written, port } = await portsFor(yaml());
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  }).listen(port(21201), '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const proxy = await startBlackBox(t, written, { admin: port(21001), listener: port(inspected) });
  const fixture = new Fixture(proxy, port, t);
  const steady = fixture.open(inspected);
  const talk = async () => {
    steady.write('still here');
    assert.equal(String((await once(steady, 'data'))[0]), 'still here');
  };
  await talk();
  await fixture.assertTls();
  const before = residentKilobytes(proxy.pid);
  await hurt(fixture);
  await talk();
  await fixture.assertTls();
  await fixture.assertTls(inspected);
  const grown = (residentKilobytes(proxy.pid) - before) / 1024;
  assert.ok(grown < 200, `memory grew by ${grown.toFixed(0)} MB`);
  assert.equal(proxy.hasExited, false);
}

function ended(socket: Socket): Promise<void> {
  socket.resume();
  return new Promise((resolve) => {
    if (socket.closed) resolve();
    else socket.once('close', () => resolve());
  });
}

/** The bytes with which a TLS client begins. */
async function clientHello(): Promise<Buffer> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connectTls({
    port: (server.address() as AddressInfo).port,
    host: '127.0.0.1',
    servername: 'tls.test',
  });
  client.on('error', () => {});
  const [socket] = (await once(server, 'connection')) as [Socket];
  const [hello] = (await once(socket, 'data')) as [Buffer];
  client.destroy();
  server.close();
  return hello;
}

async function inBatches<T>(all: readonly T[], size: number, each: (it: T) => Promise<void>): Promise<void> {
  for (let at = 0; at < all.length; at += size) await Promise.all(all.slice(at, at + size).map(each));
}

test('random bytes', options, (t) => {
  const seed = Number(process.env.SEED ?? 20261121);
  t.diagnostic(`seed ${seed}`);
  const random = mulberry32(seed);
  const attempts = Array.from({ length: 900 }, (_, i) => ({
    listener: [inspected, tls, proxied][i % 3]!,
    bytes: Buffer.from(Array.from({ length: 1 + (random() % 700) }, () => random() & 255)),
    isHello: random() % 3 === 0,
    resets: random() % 2 === 0,
  }));
  return survives(t, async (fixture) => {
    await inBatches(attempts, 60, async ({ listener, bytes, isHello, resets }) => {
      const socket = fixture.open(listener);
      // A record header that promises more makes a parser look further.
      if (isHello) bytes.set([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc].slice(0, bytes.length));
      await once(socket, 'connect');
      socket.write(bytes);
      await sleep(5);
      if (resets) socket.resetAndDestroy();
      else socket.end();
      await ended(socket);
    });
    for (const name of ['inspected', 'tls', 'proxied']) {
      const open = name === 'inspected' ? 1 : 0;
      const of = await fixture.until(
        `listener.${name}`,
        (it) => it.downstream_cx_active === open && it.downstream_pre_cx_active === 0,
      );
      assert.equal(of.downstream_cx_total! - of.downstream_cx_destroy!, open);
    }
    const { no_filter_chain_match: unmatched, downstream_cx_total: total } =
      await fixture.stats('listener.inspected');
    assert.ok(total! > 100 && total! + unmatched! <= 302);
    const { not_found_disallowed: refused } = await fixture.stats('proxy_proto');
    assert.ok(refused! > 250);
    assert.equal((await fixture.stats('listener.tls.ssl')).handshake, 1);
  });
});

test('ClientHellos that are cut off after each byte', options, (t) =>
  survives(t, async (fixture) => {
    const hello = await clientHello();
    const cuts = Array.from({ length: Math.min(hello.length - 1, 600) }, (_, i) => i + 1);
    for (const listener of [inspected, tls])
      await inBatches(cuts, 60, async (cut) => {
        const socket = fixture.open(listener);
        socket.end(hello.subarray(0, cut));
        await ended(socket);
      });
    const before = await fixture.until(
      'listener.inspected',
      (it) => it.downstream_pre_cx_active === 0 && it.downstream_listener_filter_remote_close! >= cuts.length,
    );
    assert.equal(before.downstream_listener_filter_remote_close, cuts.length);
    assert.equal(before.no_filter_chain_match, 0);
    const after = await fixture.until('listener.tls', (it) => it.downstream_cx_active === 0);
    assert.equal(after.downstream_cx_total, cuts.length + 1);
    assert.equal(after['ssl.handshake'], 1);
  }),
);

test('200 handshakes that do not come to an end', options, (t) =>
  survives(t, async (fixture) => {
    const hello = await clientHello();
    const sockets = Array.from({ length: 200 }, () => fixture.open(tls));
    for (const [i, socket] of sockets.entries()) socket.write(hello.subarray(0, i % (hello.length - 1)));
    await Promise.all(Array.from({ length: 10 }, () => fixture.assertTls()));
    await Promise.all(sockets.map(ended));
    const stats = await fixture.until('listener.tls', (it) => it.downstream_cx_active === 0);
    assert.equal(stats.downstream_cx_transport_socket_connect_timeout, 200);
    assert.equal(stats['ssl.handshake'], 11);
  }),
);

test('5,000 connections that say nothing', options, (t) =>
  survives(t, async (fixture) => {
    const sockets: Socket[] = [];
    while (sockets.length < 5000) {
      const batch = Array.from({ length: 250 }, () => fixture.open(inspected));
      await Promise.all(batch.map((socket) => once(socket, 'connect')));
      sockets.push(...batch);
    }
    await fixture.assertTls(inspected);
    await Promise.all(sockets.map(ended));
    const stats = await fixture.until('listener.inspected', (it) => it.downstream_pre_cx_active === 0);
    assert.equal(stats.downstream_pre_cx_timeout, 5000);
    assert.equal(stats.downstream_cx_active, 1);
  }),
);

test('PROXY headers in two pieces, cut after each byte', options, (t) =>
  survives(t, async (fixture) => {
    const version1 = Buffer.from('PROXY TCP6 2001:db8::1 2001:db8::2 1000 80\r\n');
    const version2 = Buffer.from(
      '0d0a0d0a000d0a515549540a21110014010101010202020200010002020005616263646501',
      'hex',
    ).subarray(0, 36);
    const pieces = [version1, version2].flatMap((head) =>
      Array.from(
        { length: head.length - 1 },
        (_, i) => [head.subarray(0, i + 1), head.subarray(i + 1)] as const,
      ),
    );
    await inBatches(pieces, 20, async ([first, rest]) => {
      const socket = fixture.open(proxied);
      socket.write(first);
      await sleep(2);
      socket.write(Buffer.concat([rest, Buffer.from('payload')]));
      assert.equal(String((await once(socket, 'data'))[0]), 'payload');
      socket.destroy();
    });
    const stats = await fixture.stats('proxy_proto');
    assert.equal(stats['versions.v1.found'], version1.length - 1);
    assert.equal(stats['versions.v2.found'], version2.length - 1);
    assert.equal(stats['versions.v1.error']! + stats['versions.v2.error']!, 0);
  }),
);
