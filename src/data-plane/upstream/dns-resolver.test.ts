import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { nameServer } from '#testing/name-server.ts';
import { LookupFamily } from './discovery-config.ts';
import { candidates, DnsResolver } from './dns-resolver.ts';

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
  assert.deepEqual((await resolver.resolve('localhost', LookupFamily.Auto)).addresses, ['::1']);
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
