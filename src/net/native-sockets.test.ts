import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  type BindAddress,
  hasNativeSockets,
  keepAlive,
  nativeSockets,
  SocketOptionError,
} from './native-sockets.ts';

const skip = !hasNativeSockets() && 'needs Linux and node:ffi';
const at = (address: string, port = 0): BindAddress => ({
  address,
  port,
  isIpv6Only: true,
  isMultipath: false,
});

async function listen(t: TestContext, descriptor: number): Promise<Server> {
  const server = createServer((socket) => socket.end('hello')).listen({ fd: descriptor });
  t.after(() => server.close());
  await once(server, 'listening');
  return server;
}

async function greeting(to: { port: number; host: string } | { path: string }): Promise<string> {
  let text = '';
  for await (const chunk of connect(to)) text += chunk;
  return text;
}

test('binds IPv4, IPv6 and Unix sockets that Node listens on', { skip }, async (t) => {
  const native = nativeSockets();
  const v4 = await listen(t, native.bind(at('127.0.0.1'), [{ ...keepAlive, value: 1 }]));
  assert.equal(await greeting({ host: '127.0.0.1', port: (v4.address() as AddressInfo).port }), 'hello');
  const v6 = await listen(t, native.bind(at('::1'), []));
  const { address, port } = v6.address() as AddressInfo;
  assert.equal(address, '::1');
  assert.equal(await greeting({ host: '::1', port }), 'hello');
  const folder = mkdtempSync(join(tmpdir(), 'native-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'a.sock');
  await listen(t, native.bind(at(path, -1), []));
  assert.ok(statSync(path).isSocket());
  assert.equal(await greeting({ path }), 'hello');
  const abstract = `\0native-sockets-test-${process.pid}`;
  await listen(t, native.bind(at(abstract, -1), []));
  assert.equal(await greeting({ path: abstract }), 'hello');
});

test('tells why it failed, in the codes of the system', { skip }, () => {
  const native = nativeSockets();
  assert.throws(() => native.bind(at('192.0.2.1'), []), { code: 'EADDRNOTAVAIL' });
  assert.throws(() => native.bind(at('/nowhere/x.sock', -1), []), { code: 'ENOENT' });
  assert.throws(
    () => native.bind(at('127.0.0.1'), [{ level: 1, name: 9999, value: 1, label: '1/9999' }]),
    (error: SocketOptionError) =>
      error instanceof SocketOptionError && error.code === 'ENOPROTOOPT' && !error.isBound,
  );
});

test('a duplicate listens on when the first descriptor is closed', { skip }, async (t) => {
  const native = nativeSockets();
  const first = native.bind(at('127.0.0.1'), []);
  const second = native.duplicate(first);
  const server = await listen(t, first);
  const { port } = server.address() as AddressInfo;
  await listen(t, second);
  server.close();
  await once(server, 'close');
  assert.equal(await greeting({ host: '127.0.0.1', port }), 'hello');
});

test('a connection that nobody redirected has no original destination', { skip }, async (t) => {
  const native = nativeSockets();
  const server = createServer((socket) => {
    const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
    socket.end(`${native.originalDestination(fd, false) ?? 'none'} ${native.isTransparent(fd, false)}`);
  }).listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const answer = await greeting({ host: '127.0.0.1', port });
  assert.ok(['none false', `127.0.0.1:${port} false`].includes(answer), answer);
});
