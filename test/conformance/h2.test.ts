// HTTP/2 against real peers: h2spec asks whether a server keeps to the RFCs, once of the bare codec and once of the whole proxy,
// and h2load (nghttp2) sends many requests at once.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePorts } from '#testing/free-ports.ts';
import { headerMap, serveSocket, TestServer } from '#testing/h2-wire.ts';
import { missing, peer } from '#testing/peers.ts';
import { ProxyProcess } from '#testing/proxy-process.ts';

/** Standard output, whatever the exit code. */
function output(program: string, args: string[]): Promise<string> {
  return new Promise((resolve) => {
    execFile(program, args, { maxBuffer: 1 << 24 }, (_error, stdout) => resolve(stdout));
  });
}

/** A server of nothing but our codec; answers with as many bytes as it got. */
async function codecServer(t: TestContext): Promise<number> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    const owner = new TestServer();
    owner.respond = (encoder, request) => {
      encoder.encodeHeaders(headerMap({ status: 200 }, 'content-type', 'text/plain'), false);
      encoder.encodeData(Buffer.alloc(Math.max(request.bodyBytes, 11), 'x'), true);
    };
    serveSocket(owner, socket);
    socket.on('data', () => owner.errors.length > 0 && socket.end());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.on('connect', () => resolve(true)).on('error', () => resolve(false));
    socket.on('connect', () => socket.destroy());
  });
}

async function h2spec(port: number): Promise<string> {
  const report = await output(peer('h2spec'), ['-h', '127.0.0.1', '-p', String(port), '--timeout', '3']);
  const failures = report.slice(report.indexOf('Failures:'), -1);
  return report.includes('Failures:') ? failures : report.trimEnd().split('\n').at(-1)!;
}

test('h2spec: the codec', { skip: missing('h2spec'), timeout: 60_000 }, async (t) => {
  assert.equal(await h2spec(await codecServer(t)), '145 tests, 145 passed, 0 skipped, 0 failed');
});

test('h2spec: the proxy', { skip: missing('h2spec'), timeout: 60_000 }, async (t) => {
  const upstream = await codecServer(t);
  const [port, adminPort] = (await freePorts(2)) as [number, number];
  const folder = mkdtempSync(join(tmpdir(), 'chancery-h2spec-'));
  const proxy = new ProxyProcess({
    kind: 'chancery',
    folder,
    adminPort,
    yaml: yaml(port, adminPort, upstream),
  });
  t.after(async () => {
    await proxy.stop();
    rmSync(folder, { recursive: true });
  });
  while (!(await accepts(port)) && !proxy.hasExited) await sleep(20);
  assert.equal(await h2spec(port), '145 tests, 145 passed, 0 skipped, 0 failed');
});

for (const size of [0, 1000, 300_000]) {
  test(`h2load: bodies of ${size} bytes both ways`, {
    skip: missing('h2load'),
    timeout: 60_000,
  }, async (t) => {
    const port = await codecServer(t);
    const folder = mkdtempSync(join(tmpdir(), 'chancery-h2load-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const body = size === 0 ? [] : ['-d', join(folder, 'body')];
    if (size > 0) writeFileSync(body[1]!, Buffer.alloc(size, 'x'));
    const count = size > 100_000 ? 200 : 5000;
    const report = await output(peer('h2load'), [
      '-n',
      String(count),
      '-c',
      '4',
      '-m',
      '32',
      ...body,
      `http://127.0.0.1:${port}/`,
    ]);
    assert.match(report, new RegExp(`${count} succeeded, 0 failed, 0 errored, 0 timeout`));
    assert.match(report, new RegExp(`status codes: ${count} 2xx`));
  });
}

for (const upstreamProtocol of ['http/1.1', 'h2'] as const) {
  test(`bodies come back as they were sent, by way of ${upstreamProtocol}`, {
    timeout: 60_000,
  }, async (t) => {
    const echo =
      upstreamProtocol === 'h2'
        ? http2.createServer().on('stream', (stream: http2.ServerHttp2Stream) => {
            stream.respond({ ':status': 200 });
            stream.pipe(stream);
          })
        : http.createServer((request, response) => request.pipe(response));
    await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
    const upstream = (echo.address() as AddressInfo).port;
    const [port, adminPort] = (await freePorts(2)) as [number, number];
    const folder = mkdtempSync(join(tmpdir(), 'chancery-h2-bodies-'));
    const text = yaml(port, adminPort, upstream);
    const proxy = new ProxyProcess({
      kind: 'chancery',
      folder,
      adminPort,
      yaml:
        upstreamProtocol === 'h2'
          ? text
          : text.slice(0, text.indexOf('    typed_extension_protocol_options')),
    });
    while (!(await accepts(port)) && !proxy.hasExited) await sleep(20);
    const clients = [1, 2].map(() => http2.connect(`http://127.0.0.1:${port}`));
    t.after(async () => {
      for (const client of clients) client.destroy();
      await proxy.stop();
      echo.close();
      rmSync(folder, { recursive: true });
    });
    const hash = () => createHash('sha256');
    await Promise.all(
      Array.from({ length: 60 }, async (_, i) => {
        // Of all sizes: below and above what is copied, what is a frame, and what is a read.
        const body = randomBytes([700, 9_000, 40_000, 300_000, 1_500_000][i % 5]! + i);
        const request = clients[i % 2]!.request({ ':method': 'POST', ':path': `/${i}` });
        const received = hash();
        request.on('data', (data: Buffer) => received.update(data));
        // Some read late: what waits for them lies in the proxy.
        if (i % 7 === 0) {
          request.pause();
          setTimeout(() => request.resume(), 100);
        }
        request.end(body);
        await new Promise((resolve, reject) => request.on('end', resolve).on('error', reject));
        assert.equal(received.digest('hex'), hash().update(body).digest('hex'), `body ${i}`);
      }),
    );
  });
}

test('h2load: 1 MiB both ways through the proxy', { skip: missing('h2load'), timeout: 60_000 }, async (t) => {
  const upstream = await codecServer(t);
  const [port, adminPort] = (await freePorts(2)) as [number, number];
  const folder = mkdtempSync(join(tmpdir(), 'chancery-h2load-'));
  const proxy = new ProxyProcess({
    kind: 'chancery',
    folder,
    adminPort,
    yaml: yaml(port, adminPort, upstream),
  });
  t.after(async () => {
    await proxy.stop();
    rmSync(folder, { recursive: true });
  });
  while (!(await accepts(port)) && !proxy.hasExited) await sleep(20);
  writeFileSync(join(folder, 'body'), Buffer.alloc(1 << 20, 'x'));
  const load = ['-n', '24', '-c', '2', '-m', '4', '-d', join(folder, 'body'), `http://127.0.0.1:${port}/`];
  const report = await output(peer('h2load'), load);
  assert.match(report, /24 succeeded, 0 failed, 0 errored, 0 timeout/);
});

const yaml = (port: number, adminPort: number, upstream: number) => `
admin:
  address: { socket_address: { address: 127.0.0.1, port_value: ${adminPort} } }
static_resources:
  listeners:
  - name: h2
    address: { socket_address: { address: 127.0.0.1, port_value: ${port} } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: h2
          codec_type: HTTP2
          route_config:
            virtual_hosts:
            - { name: all, domains: ['*'], routes: [{ match: { prefix: / }, route: { cluster: up } }] }
          http_filters:
          - name: envoy.filters.http.router
            typed_config: { '@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
  clusters:
  - name: up
    type: STATIC
    load_assignment:
      cluster_name: up
      endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: ${upstream} } } } }] }]
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        '@type': type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: { http2_protocol_options: {} }
`;
