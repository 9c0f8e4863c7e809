// The recordings of test/golden/xds/06-filesystem: clusters, endpoints, listeners and routes from files, and what Envoy counted and served after
// each change. The steps are those that the transcript names. PROXY=envoy plays them against the real Envoy, which proves the player.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startProxyProcess } from '#testing/proxy-process.ts';
import { portsFor, proxyKind, proxyMissing } from './black-box.ts';

const golden = join(import.meta.dirname, '../golden/xds/06-filesystem');

interface Entry {
  readonly note: string;
  readonly result?: { readonly status: number; readonly body: string };
  readonly stats?: readonly string[];
  readonly state?: { readonly clusters: object; readonly listeners: object; readonly routes: object };
}

async function upstream(t: TestContext, port: number, name: string): Promise<void> {
  const server = createServer((_request, response) => response.end(name));
  await once(server.listen(port, '127.0.0.1'), 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
}

const type = (name: string) => `type.googleapis.com/envoy.config.${name}`;
const endpoints = (port: number) => [
  {
    lb_endpoints: [{ endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } } }],
  },
];

function eds(version: string, port: number): string {
  const assignment = {
    '@type': type('endpoint.v3.ClusterLoadAssignment'),
    cluster_name: 'c1',
    endpoints: endpoints(port),
  };
  return JSON.stringify({ version_info: version, resources: [assignment] });
}

/** `/config_dump` as the transcript tells it. */
function stateOf(dump: string): unknown {
  const { configs } = JSON.parse(dump);
  const section = (name: string) =>
    configs.find((it: { '@type': string }) => it['@type'].endsWith(`.${name}`)) ?? {};
  const { version_info, dynamic_active_clusters: active = [] } = section('ClustersConfigDump');
  const { version_info: listenersVersion, dynamic_listeners = [] } = section('ListenersConfigDump');
  const { dynamic_route_configs = [] } = section('RoutesConfigDump');
  return {
    clusters: {
      version_info,
      active: active.map((it: { cluster: { name: string } }) => it.cluster.name),
      warming: [],
    },
    listeners: {
      version_info: listenersVersion,
      dynamic: Object.fromEntries(
        dynamic_listeners.map((it: { name: string }) => [
          it.name,
          Object.keys(it).filter((key) => key.endsWith('_state')),
        ]),
      ),
    },
    routes: Object.fromEntries(
      dynamic_route_configs.map((it: { version_info: string; route_config: { name: string } }) => [
        it.route_config.name,
        it.version_info,
      ]),
    ),
  };
}

for (const name of globSync('*', { cwd: golden }).sort()) {
  test(`plays ${name}`, { skip: proxyMissing }, async (t) => {
    const here = (text: string) => text.replace(/(?<!\d)22(\d{3})(?!\d)/g, '21$1');
    const read = (file: string) => here(readFileSync(join(golden, name, file), 'utf8'));
    const files = readdirSync(join(golden, name, 'dyn'));
    const extension = extname(files[0]!);
    const texts = files.map((it) => read(join('dyn', it)));
    const { yaml, port, rewrite } = await portsFor(read('bootstrap.yaml'), [...texts, '21102']);
    await upstream(t, port(21101), 'up1');
    await upstream(t, port(21102), 'up2');
    const work = mkdtempSync(join(tmpdir(), 'recorded-files-'));
    mkdirSync(join(work, 'dyn'));
    const path = (file: string) => join(work, 'dyn', `${file}${extension}`);
    for (const [i, it] of files.entries()) writeFileSync(join(work, 'dyn', it), rewrite(texts[i]!));
    const put = (file: string, text: string) => {
      writeFileSync(`${path(file)}.tmp`, rewrite(text));
      renameSync(`${path(file)}.tmp`, path(file));
    };
    const proxy = await startProxyProcess({
      kind: proxyKind,
      folder: work,
      yaml,
      adminPort: port(21900),
      arguments: ['--concurrency', '1', '--use-dynamic-base-id', '-l', 'error'],
    });
    t.after(async () => {
      await proxy.stop();
      rmSync(work, { recursive: true });
    });
    const cds = rewrite(texts[files.findIndex((it) => it.startsWith('cds'))]!);
    const second = {
      '@type': type('cluster.v3.Cluster'),
      name: 'c2',
      type: 'STATIC',
      connect_timeout: '1s',
      load_assignment: { cluster_name: 'c2', endpoints: endpoints(21102) },
    };
    const steps: readonly (readonly [note: RegExp, change: () => void])[] = [
      [/^--- eds file replaced/, () => put('eds', eds('2', 21102))],
      [/^--- eds file written in place/, () => writeFileSync(path('eds'), rewrite(eds('3', 21101)))],
      [/^--- rename with unchanged/, () => put('eds', eds('3', 21102))],
      [/^--- file that does not parse/, () => put('eds', '{')],
      [/^--- file with a bad resource/, () => put('eds', eds('4', 70_000))],
      [/^--- file removed/, () => rmSync(path('eds'))],
      [/^--- file is back/, () => put('eds', eds('', 21101))],
      [/^--- lds file: another/, () => put('other', '')],
      [
        /^--- cds replaced/,
        () =>
          put(
            'cds',
            extension === '.json'
              ? JSON.stringify({ version_info: '2', resources: [...JSON.parse(cds).resources, second] })
              : `${cds.replace("version_info: '1'", "version_info: '2'").replace(/^type_url.*/m, '')}- ${JSON.stringify(second)}\n`,
          ),
      ],
    ];
    const noticed = /^--- (eds file replaced|rename|file that|file with|file is back|cds replaced)/;
    const attempts = async () =>
      (await proxy.admin('/stats?filter=^(cluster.c1|cluster_manager.cds).update_attempt')).body;
    const counted = /(version_text|update_(attempt|success|failure|rejected)|\.version): /;
    const wanted = (lines: readonly string[]) => lines.filter((it) => counted.test(it)).sort();
    const entries = read('transcript.jsonl')
      .trim()
      .split('\n')
      .map((line): Entry => JSON.parse(line));
    for (const { note, result, stats, state } of entries) {
      const before = await attempts();
      steps.find(([pattern]) => pattern.test(note))?.[1]();
      // Two changes that are read as one are no mistake, but another story.
      if (noticed.test(note)) while ((await attempts()) === before) await sleep(5);
      // The recorder waited for 0.6 s; what is expected may take a while, and what is not would be there by then.
      if (note.startsWith('---')) await sleep(60);
      const check = async () => {
        if (result !== undefined) {
          const answer = await fetch(`http://127.0.0.1:${port(21010)}/`, {
            headers: { connection: 'close' },
          });
          assert.deepEqual({ status: answer.status, body: await answer.text() }, result, note);
        }
        if (stats !== undefined) {
          const { body } = await proxy.admin(
            '/stats?filter=^(cluster.c1|cluster_manager.cds|http.ingress_http.rds|listener_manager.lds)',
          );
          assert.deepEqual(wanted(body.split('\n')), wanted(stats), note);
        }
        if (state !== undefined) {
          const { clusters, listeners, routes } = state;
          assert.deepEqual(stateOf((await proxy.admin('/config_dump')).body), {
            clusters,
            listeners,
            routes,
          });
        }
      };
      for (let i = 0; i < 100; i++) {
        const isAsRecorded = await check().then(
          () => true,
          () => false,
        );
        if (isAsRecorded) break;
        await sleep(20);
      }
      await check();
    }
  });
}
