// Which metrics exist before any request, against Envoy's complete lists: test/golden/11-stat-names.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { LogLevel, logs } from '#base/logger.ts';
import { loadBootstrap } from '#config/load.ts';
import type { Bootstrap } from '#schema/messages/envoy/config/bootstrap/v3.ts';
import { loadRegistry, parseBootstrap, Server } from './server.ts';

const golden = new URL('../../test/golden/11-stat-names/', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, golden), 'utf8');
const extensionModules = [import.meta.resolve('#extensions/all.ts')];

/** docs/differences.md: there is no watchdog and no overload manager, and c-ares does not count. */
const absent = /watchdog|^overload\.|^envoy\.overload_actions\.|^dns\.cares\./;

logs.configure({ level: LogLevel.Off });

for (const folder of readdirSync(golden)) {
  test(`has the metrics of ${folder}`, async (t) => {
    const server = await start(t, folder);
    const recorded = names(read(`${folder}/stats.txt`)).map((name) => name.replace('_21100', '_0'));
    assert.deepEqual(
      names(await page(`http://${server.operator.adminAddress()}/stats`)),
      recorded.filter((name) => !absent.test(name)),
    );
  });
}

test('counts by virtual cluster and route', async (t) => {
  const folder = 'virtual-cluster-and-route-stat-prefix';
  const upstream = createServer((_request, response) => response.end('up')).listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  t.after(() => {
    upstream.close();
    upstream.closeAllConnections();
  });
  const server = await start(t, folder, (upstream.address() as AddressInfo).port);
  for (const path of ['/vc', '/x']) await page(`http://127.0.0.1:${server.port('listener_0')}${path}`);
  assert.equal(
    await page(`http://${server.operator.adminAddress()}/stats?filter=^vhost`),
    read(`${folder}/stats-after-traffic.txt`).replaceAll(/^(?!vhost).*\n/gm, ''),
  );
});

async function start(t: TestContext, folder: string, upstreamPort = 0): Promise<Server> {
  const yaml = read(`${folder}/envoy.yaml`)
    .replaceAll(/\b21201\b/g, String(upstreamPort))
    .replaceAll(/\b211\d\d\b/g, '0');
  const loaded = await loadBootstrap({ file: '', yaml });
  assert.ok(loaded.ok);
  const bootstrap = loaded.bootstrap as unknown as Bootstrap;
  const registry = await loadRegistry(extensionModules);
  const config = parseBootstrap(bootstrap, registry, []);
  const server = await Server.start(bootstrap, registry, config, { workers: 'inline', extensionModules });
  t.after(() => server.close());
  return server;
}

function names(text: string): string[] {
  return text
    .split('\n')
    .filter((line) => line.includes(': '))
    .map((line) => line.slice(0, line.indexOf(': ')))
    .sort();
}

function page(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    get(url, { agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => {
        text += part;
      });
      response.on('end', () => resolve(text));
    }).on('error', reject);
  });
}
