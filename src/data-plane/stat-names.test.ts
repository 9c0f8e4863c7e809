// Which metrics exist before any request, against Envoy's complete lists: test/golden/11-stat-names.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { get } from 'node:http';
import { test } from 'node:test';
import { LogLevel, logs } from '#base/logger.ts';
import { loadBootstrap } from '#config/load.ts';
import type { Bootstrap } from '#schema/messages/envoy/config/bootstrap/v3.ts';
import { loadRegistry, parseBootstrap, Server } from './server.ts';

const golden = new URL('../../test/golden/11-stat-names/', import.meta.url);
const extensionModules = [import.meta.resolve('#extensions/all.ts')];

/** docs/differences.md: there is no watchdog and no overload manager, and c-ares does not count. */
const absent = /watchdog|^overload\.|^envoy\.overload_actions\.|^dns\.cares\./;

logs.configure({ level: LogLevel.Off });

for (const folder of readdirSync(golden)) {
  test(`has the metrics of ${folder}`, async (t) => {
    const yaml = readFileSync(new URL(`${folder}/envoy.yaml`, golden), 'utf8').replaceAll(
      /\b211\d\d\b/g,
      '0',
    );
    const loaded = await loadBootstrap({ file: '', yaml });
    assert.ok(loaded.ok);
    const bootstrap = loaded.bootstrap as unknown as Bootstrap;
    const registry = await loadRegistry(extensionModules);
    const config = parseBootstrap(bootstrap, registry, []);
    const server = await Server.start(bootstrap, registry, config, { workers: 'inline', extensionModules });
    t.after(() => server.close());

    const recorded = names(readFileSync(new URL(`${folder}/stats.txt`, golden), 'utf8')).map((name) =>
      name.replace('_21100', '_0'),
    );
    assert.deepEqual(
      names(await page(server)),
      recorded.filter((name) => !absent.test(name)),
    );
  });
}

function names(text: string): string[] {
  return text
    .split('\n')
    .filter((line) => line.includes(': '))
    .map((line) => line.slice(0, line.indexOf(': ')))
    .sort();
}

function page(server: Server): Promise<string> {
  return new Promise((resolve, reject) => {
    get(`http://${server.operator.adminAddress()}/stats`, { agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => {
        text += part;
      });
      response.on('end', () => resolve(text));
    }).on('error', reject);
  });
}
