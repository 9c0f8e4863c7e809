// The chapter on subscriptions to files of the fourth document in test/golden/seeds, from its own text: its EDS cluster, its file of endpoints,
// which has two mistakes, and its way of replacing the file. Addresses, ports and the folder are others.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { globSync, mkdtempSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePorts } from '#testing/free-ports.ts';
import { startProxyFor } from '#testing/proxy-process.ts';

const seeds = join(import.meta.dirname, '../golden/seeds');
const document = readFileSync(join(seeds, globSync('003_*.txt', { cwd: seeds })[0]!), 'utf8');
const chapter = document.slice(document.indexOf('### 基于文件系统的订阅'));
const blocks = [...chapter.matchAll(/```(?:yaml|shell)\n([\s\S]*?)```/g)].map(([, text]) => text!);
const cluster = /#使用了EDS的配置\n([\s\S]*?)#提示/.exec(chapter)![1]!;
const published = blocks.find((it) => it.startsWith('resources:'))!;
const moves = [...chapter.matchAll(/^mv (\S+) (\S+)$/gm)].map(([, from, to]) => [from!, to!] as const);

async function upstream(t: TestContext, address: string, port: number): Promise<number> {
  const server = createServer((_request, response) => response.end(address));
  server.listen(port, address);
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return (server.address() as AddressInfo).port;
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(10);
}

test('the endpoints of a cluster come from a file, once its mistakes are mended as told', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'file-eds-'));
  const [listenerPort, adminPort] = (await freePorts(2)) as [number, number];
  const port = await upstream(t, '127.0.0.11', 0);
  const here = (text: string) =>
    text.replaceAll('172.21.0.3', '127.0.0.11').replace('port_value: 8080', `port_value: ${port}`);
  const path = (name: string) => join(folder, name);
  const address = (it: number) => `{ socket_address: { address: 127.0.0.1, port_value: ${it} } }`;
  writeFileSync(path('eds.yaml'), here(published));
  const proxy = await startProxyFor(t, {
    kind: 'chancery',
    folder,
    adminPort,
    yaml: `
node: { id: front, cluster: front }
admin: { address: ${address(adminPort)} }
static_resources:
  listeners:
    - name: listener_0
      address: ${address(listenerPort)}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: ingress_http
                route_config:
                  name: local_route
                  virtual_hosts: [{ name: v, domains: ["*"], routes: [{ match: { prefix: / }, route: { cluster: webcluster1 } }] }]
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
${cluster.replace('/etc/envoy/', './').replace(/^/gm, '  ')}`,
  });
  const get = async () => {
    const response = await fetch(`http://127.0.0.1:${listenerPort}/`, { headers: { connection: 'close' } });
    return response.status === 200 ? await response.text() : String(response.status);
  };
  const hosts = async () =>
    (await proxy.admin('/clusters')).body
      .split('\n')
      .filter((it) => it.endsWith('::health_flags::healthy'))
      .map((it) => it.split('::')[1]);
  /** As the document does: away and back. */
  const reload = (text: string) => {
    writeFileSync(path('eds.yaml'), text);
    for (const [from, to] of moves) renameSync(path(from), path(to));
  };

  assert.equal(await get(), '503');
  assert.match(proxy.output, /Unexpected EDS cluster \(expecting webcluster1\): webcluster$/m);
  assert.match(proxy.output, /expected "webcluster1", the cluster's name or "service_name"/);
  assert.match(
    proxy.output,
    /"address" belongs one level deeper, under "endpoint": indent it below "endpoint:"/,
  );

  const named = here(published).replace('webcluster', 'webcluster1');
  reload(named);
  await until(() => proxy.output.includes('Address must be set'));
  assert.equal(await get(), '503');

  const lines = named.split('\n');
  const at = lines.findIndex((it) => it.trim() === 'address:');
  const mended = [...lines.slice(0, at), ...lines.slice(at).map((it) => it && `  ${it}`)].join('\n');
  reload(mended);
  await until(async () => (await hosts()).length === 1);
  assert.deepEqual([await hosts(), await get()], [[`127.0.0.11:${port}`], '127.0.0.11']);

  await upstream(t, '127.0.0.12', port);
  const entry = mended.slice(mended.indexOf('      - endpoint:')).trimEnd();
  const two = `${mended.trimEnd()}\n${entry.replace('127.0.0.11', '127.0.0.12')}\n`;
  // Written in place it does not count yet.
  writeFileSync(path('eds.yaml'), two);
  assert.equal(await get(), '127.0.0.11');
  reload(two);
  await until(async () => (await hosts()).length === 2);
  // Each worker goes round by itself, and begins anywhere.
  const answered = new Set<string>();
  await until(async () => answered.add(await get()).size === 2);
  assert.deepEqual(answered, new Set(['127.0.0.11', '127.0.0.12']));
});
