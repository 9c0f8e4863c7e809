import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { LookupFamily } from './discovery-config.ts';
import { candidates, DnsResolver } from './dns-resolver.ts';

/** Answers A questions from a table; a name that is not in it does not exist, `fail` makes the server refuse. */
async function nameServer(t: TestContext, table: Record<string, readonly string[]>) {
  const socket: Socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.after(() => socket.close());
  const server = {
    table,
    fail: false,
    asked: [] as string[],
    servers: [`127.0.0.1:${socket.address().port}`],
  };
  socket.on('message', (question, peer) => {
    let at = 12;
    const labels: string[] = [];
    while (question[at] !== 0) {
      labels.push(question.toString('latin1', at + 1, at + 1 + question[at]!));
      at += question[at]! + 1;
    }
    const name = labels.join('.');
    const type = question.readUInt16BE(at + 1);
    if (type === 1) server.asked.push(name);
    const addresses = type === 1 ? (server.table[name] ?? []) : [];
    const header = Buffer.from(question.subarray(0, 12));
    const code = server.fail ? 2 : name in server.table ? 0 : 3;
    header.writeUInt16BE(0x8180 | code, 2);
    header.writeUInt16BE(server.fail ? 0 : addresses.length, 6);
    header.writeUInt16BE(0, 10);
    const answers = addresses.map((address) =>
      Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 7, 0, 4, ...address.split('.').map(Number)]),
    );
    socket.send(
      Buffer.concat([header, question.subarray(12, at + 5), ...(server.fail ? [] : answers)]),
      peer.port,
      peer.address,
    );
  });
  return server;
}

function hostsFile(t: TestContext, text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'hosts-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'hosts');
  writeFileSync(path, text);
  return path;
}

test('takes names from the hosts file before it asks', async (t) => {
  const server = await nameServer(t, {});
  const hosts = hostsFile(t, '# comment\n127.0.0.11 web Web2 # more\n::5 web\n');
  const resolver = new DnsResolver({ hostsFile: hosts, servers: server.servers, resolvConf: '/nonexistent' });
  assert.deepEqual((await resolver.resolve('WEB2', LookupFamily.Auto)).addresses, ['127.0.0.11']);
  assert.deepEqual((await resolver.resolve('web', LookupFamily.Auto)).addresses, ['::5']);
  assert.deepEqual((await resolver.resolve('web', LookupFamily.V4Preferred)).addresses, ['127.0.0.11']);
  assert.deepEqual((await resolver.resolve('web', LookupFamily.All)).addresses, ['127.0.0.11', '::5']);
  assert.deepEqual((await resolver.resolve('localhost', LookupFamily.V4Only)).addresses, ['127.0.0.1']);
  assert.deepEqual((await resolver.resolve('10.1.2.3', LookupFamily.Auto)).addresses, ['10.1.2.3']);
  assert.deepEqual(server.asked, []);
});

test('asks DNS, falls back to the other family, and tells the TTL', async (t) => {
  const server = await nameServer(t, { 'a.test': ['127.0.0.2', '127.0.0.3'] });
  const resolver = new DnsResolver({
    hostsFile: '/nonexistent',
    servers: server.servers,
    resolvConf: '/nonexistent',
  });
  const answer = await resolver.resolve('a.test', LookupFamily.Auto);
  assert.deepEqual([...answer.addresses].sort(), ['127.0.0.2', '127.0.0.3']);
  assert.equal(answer.ttlMs, 7000);
  await assert.rejects(resolver.resolve('b.test', LookupFamily.V4Only), { name: 'DnsError', isEmpty: true });
});

test('goes through the search list', () => {
  const list = { domains: ['ns.svc.local', 'svc.local'], ndots: 2 };
  assert.deepEqual(candidates('web', list), ['web.ns.svc.local', 'web.svc.local', 'web']);
  assert.deepEqual(candidates('a.b.c', list), ['a.b.c', 'a.b.c.ns.svc.local', 'a.b.c.svc.local']);
  assert.deepEqual(candidates('a.b.', list), ['a.b']);
});
