// Every recorded step of the admin cases, against owners that are in the state of the recording.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { test } from 'node:test';
import { LogLevel, Logs } from '#base/logger.ts';
import { create } from '#schema/create.ts';
import type { Address } from '#schema/messages/envoy/config/core/v3.ts';
import type { MessageTypes } from '#schema/messages/type-map.ts';
import { MergedStats } from '#stats/merged.ts';
import { StatsStore } from '#stats/store.ts';
import { TagExtractor } from '#stats/tags.ts';
import { type AdminOwners, createAdmin } from './create-admin.ts';
import type {
  ClusterStatus,
  ConfigDumpSection,
  HostHealth,
  HostStatus,
  RuntimeOwner,
  ServerOwner,
} from './owners.ts';
import { type AdminLogEntry, AdminServer } from './server.ts';

const golden = new URL('../../test/golden/', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, golden), 'utf8');

interface Answer {
  /** Status line and headers. */
  readonly head: string;
  readonly body: string;
}

/** Pages that are ours or that this runtime has not: docs/differences.md. */
const different: Record<string, string | undefined> = {
  '114-HEAD-ready.txt': '', // Envoy sends the body here too.
  '146-POST-cpuprofiler.txt': 'The current build does not support CPU profiler',
  '147-POST-cpuprofiler_enable=x.txt': 'The current build does not support CPU profiler',
  '150-POST-allocprofiler_enable=x.txt': 'The current build does not support allocation profiler',
};
/** Left out of the copy: the home page and the HTML of statistics, dumps of tcmalloc, and the same page once more. */
const notCopied = /^(001|042|053|054|070|071|102)-/;

for (const folder of ['06-admin', '06-admin-allow-paths', '06-admin-runtime-default']) {
  test(`answers as recorded in ${folder}`, async (t) => {
    const { owners, server, store, logged, close } = await setUp(folder);
    t.after(close);
    for (const line of read(`${folder}/index.txt`).trim().split('\n')) {
      const [, file, method, target] = /^(\S+)\s+(\S+) (.*?) -> /.exec(line) as unknown as [
        string,
        string,
        string,
        string,
      ];
      if (notCopied.test(file) && folder === '06-admin') continue;
      await t.test(`${method} ${target}`, async () => {
        const body = file === '134-POST-runtime_modify.txt' ? 'form.key=9' : '';
        const answer = await ask(server, method, target, body);
        const expected = recorded(folder, file);
        const own = different[file];
        if (own !== undefined) {
          assert.equal(answer.body, own);
          return;
        }
        assert.equal(answer.head, expected.head);
        compare(target, answer.body, expected.body);
      });
    }
    if (folder === '06-admin-allow-paths') {
      // The first line of the recording is from the wait for readiness.
      const lines = read(`${folder}/admin-access.log`).trim().split('\n').slice(1);
      assert.deepEqual(
        logged.map(
          (it) => `"${it.method} ${it.path} HTTP/1.1" ${it.status} - ${it.bytesReceived} ${it.bytesSent}`,
        ),
        lines.map((line) => /"\S+ \S+ \S+" \d+ - \d+ \d+/.exec(line)![0]),
      );
    }
    if (folder === '06-admin') {
      assert.deepEqual(owners.calls, [
        'levels',
        'levels',
        'levels',
        'levels',
        'levels',
        'reset workers',
        'reopen',
        'fail true',
        'fail false',
        'drain {"graceful":false,"skipExit":false,"inboundOnly":true}',
        'drain {"graceful":true,"skipExit":true,"inboundOnly":false}',
        'drain {"graceful":true,"skipExit":false,"inboundOnly":false}',
        'drain {"graceful":false,"skipExit":false,"inboundOnly":false}',
        'quit',
      ]);
      assert.equal(store.root.scope('http.admin').counter('downstream_rq_5xx').value, 6);
    }
  });
}

function compare(target: string, actual: string, expected: string): void {
  const path = target.split('?')[0]!;
  if (path === '/stats' || path.startsWith('/stats/prometheus')) {
    sameLines(statLines(actual, target), statLines(expected, target));
  } else if (path === '/stats/recentlookups') {
    assert.equal(actual, expected.replace(/total: \d+/, 'total: 0'));
  } else if (path === '/clusters' && !target.includes('json')) {
    sameLines(actual.split('\n').sort(), expected.split('\n').sort());
  } else if (path === '/clusters') {
    assert.equal(clustersByName(actual), clustersByName(expected));
  } else if (/^\/(runtime|server_info|config_dump)$/.test(path) && expected.startsWith('{')) {
    assert.deepEqual(parsed(actual), parsed(expected));
    assert.match(actual, /^\{\}\n$|^\{\n "[\s\S]*\n\}\n$/);
  } else {
    const masked = (text: string) =>
      text.replace(/("days_until_expiration"|"\w+(?:ed|size|free|cache|bytes)"): "\d+"/g, '$1: "#"');
    assert.equal(masked(actual), masked(expected.replace(/goo\.gle\/debug\w+\s+/, '')));
  }
}

function sameLines(actual: readonly string[], expected: readonly string[]): void {
  expected.forEach((line, i) => {
    assert.equal(actual[i], line);
  });
  assert.equal(actual.length, expected.length);
}

/** Values masked; what counts the admin listener itself is compared only where everything is listed. */
function statLines(body: string, target: string): string[] {
  const lines = body
    .replaceAll(/\bnan\b|(?<=[ (,:=])-?\d[\d.e+]*(?=[),\s:}\]]|$)|\bnull\b/gm, '#')
    .split(/\n|(?<=\}),/);
  if (!target.includes('usedonly')) return lines;
  // Without the groups that were only the admin listener's.
  return lines
    .filter((line) => !line.includes('admin'))
    .filter((line, i, all) => !line.startsWith('# TYPE') || !/^#|^$/.test(all[i + 1] ?? ''));
}

function clustersByName(body: string): string {
  const { cluster_statuses } = JSON.parse(body) as { cluster_statuses: { name: string }[] };
  return JSON.stringify(
    cluster_statuses.sort((a, b) => (a.name < b.name ? -1 : 1)),
    null,
    1,
  );
}

function parsed(body: string): unknown {
  return JSON.parse(withoutCut(body), (key, value) =>
    key.startsWith('uptime_') || key === 'extensions' ? '#' : value,
  );
}

/** Some lists were cut in the recording; the cut is marked by a line. */
function withoutCut(body: string): string {
  return body.replace(/,?\s*"\.\.\.\(list shortened[^\n]*\n\]/, '\n]');
}

function recorded(folder: string, file: string): Answer {
  return answerOf(read(`${folder}/${file}`));
}

function answerOf(text: string): Answer {
  const end = text.indexOf('\r\n\r\n');
  const head = text
    .slice(0, end)
    .replace(/date: .*/, 'date: #')
    // Some pages of Envoy have this header twice.
    .replace('\r\nx-content-type-options: nosniff\r\ncontent-type', '\r\ncontent-type');
  const chunk = text.slice(end + 4);
  if (/^0\r\n/.test(chunk)) return { head, body: '' };
  return { head, body: chunk.slice(chunk.indexOf('\r\n') + 2, chunk.lastIndexOf('\r\n0\r\n')) };
}

/** Sends the request on a new connection; checks the chunks. */
async function ask(server: AdminServer, method: string, target: string, body: string): Promise<Answer> {
  const port = Number(server.boundAddress().split(':').at(-1));
  const form =
    body === ''
      ? ''
      : `content-type: application/x-www-form-urlencoded\r\ncontent-length: ${body.length}\r\n`;
  const text = await new Promise<string>((resolve, reject) => {
    const received: Buffer[] = [];
    const socket = connect({ host: '127.0.0.1', port }, () => {
      socket.write(`${method} ${target} HTTP/1.1\r\nhost: admin\r\n${form}\r\n${body}`);
    });
    socket.on('data', (bytes: Buffer) => {
      received.push(bytes);
      const text = Buffer.concat(received).toString();
      if (text.endsWith('\r\n0\r\n\r\n') || (method === 'HEAD' && text.endsWith('\r\n\r\n'))) socket.end();
    });
    socket.on('end', () => resolve(Buffer.concat(received).toString()));
    socket.on('error', reject);
  });
  const answer = answerOf(text);
  if (method !== 'HEAD' && answer.body !== '') {
    const size = Number.parseInt(text.slice(text.indexOf('\r\n\r\n') + 4), 16);
    assert.equal(size, Buffer.byteLength(answer.body));
  }
  return answer;
}

async function setUp(folder: string) {
  const isFull = folder === '06-admin';
  const store = recordedStore();
  const merged = new MergedStats(store);
  // Twice: what was recorded before is no longer of the last interval.
  merged.flush();
  merged.flush();
  const calls: string[] = [];
  const logged: AdminLogEntry[] = [];
  const logs = new Logs(() => {});
  logs.configure({ level: LogLevel.Info });
  const owners: AdminOwners & { calls: string[] } = {
    calls,
    merged,
    logs,
    tags: new TagExtractor(),
    nowMs: () => Date.parse('2026-11-21T09:55:58Z'),
    ...(folder === '06-admin-allow-paths' && {
      allows: (path: string) => path === '/ready' || path.startsWith('/stats'),
    }),
    server: serverOwner(calls),
    stats: {
      scrape: () => merged.flush(),
      endpoints: () => [],
      resetWorkerCounters: () => void calls.push('reset workers'),
    },
    logging: { levelsChanged: () => void calls.push('levels') },
    listeners: {
      listeners: () =>
        [
          ['http_listener', 21000],
          ['https_listener', 21443],
          ['tcp_listener', 21020],
          ['udp_listener', 21030],
        ].map(([name, port]) => ({ name: name as string, addresses: [address(port as number)] })),
    },
    clusters: { clusters: async () => clusters() },
    certificates: {
      certificates: () => [
        {
          caCertificates: [],
          certificateChain: [
            {
              path: '<inline>',
              serialNumber: '06d1b79be6efbf483553a21a0e9cd4c1ceda050f',
              subjectAltNames: [{ kind: 'dns', value: 'a.example.com' }],
              validFromMs: Date.parse('2026-11-21T09:45:36Z'),
              expirationMs: Date.parse('2036-11-18T09:45:36Z'),
            },
          ],
        },
      ],
    },
    runtime: isFull ? layeredRuntime() : { layers: () => [], entries: () => [], setAdminLayer: () => false },
    configDump: configDump(),
  };
  const server = new AdminServer({
    admin: createAdmin(owners),
    address: { host: '127.0.0.1', port: 0 },
    stats: store.root,
    onRequestEnd: (entry) => logged.push(entry),
  });
  await server.start();
  return { owners, server, store, logged, close: () => server.close() };
}

function serverOwner(calls: string[]): ServerOwner {
  const info = JSON.parse(withoutCut(recorded('06-admin', '060-GET-server_info.txt').body)) as Record<
    string,
    never
  >;
  let isFailing = false;
  return {
    state: () => (isFailing ? 'DRAINING' : 'LIVE'),
    version: info.version!,
    hotRestartVersion: '11.104',
    uptimeCurrentEpochMs: () => 14_321,
    uptimeAllEpochsMs: () => 14_321,
    commandLineOptions: create('envoy.admin.v3.CommandLineOptions', info.command_line_options!),
    node: create('envoy.config.core.v3.Node', info.node!),
    failHealthCheck(fail) {
      isFailing = fail;
      calls.push(`fail ${fail}`);
    },
    drainListeners: (options) => void calls.push(`drain ${JSON.stringify(options)}`),
    quit: () => void calls.push('quit'),
    reopenLogs: () => void calls.push('reopen'),
    unreadyTargets: () => [],
  };
}

function address(port: number): Address {
  return create('envoy.config.core.v3.Address', {
    socket_address: { address: '127.0.0.1', port_value: port },
  });
}

function clusters(): ClusterStatus[] {
  const limits = { maxConnections: 1024, maxPendingRequests: 1024, maxRequests: 1024, maxRetries: 3 };
  const none = {
    cxActive: 0,
    cxConnectFail: 0,
    cxTotal: 0,
    rqActive: 0,
    rqError: 0,
    rqPendingActive: 0,
    rqSuccess: 0,
    rqTimeout: 0,
    rqTotal: 0,
  };
  const host = (
    port: number,
    stats: Partial<HostStatus['stats']> = {},
    health: Partial<HostHealth> = {},
  ): HostStatus => ({
    address: address(port),
    hostname: '',
    stats: { ...none, ...stats },
    health: { edsHealthStatus: 'HEALTHY', ...health },
    weight: 1,
    locality: { region: '', zone: '', subZone: '' },
    canary: false,
    priority: 0,
    successRate: -1,
    localOriginSuccessRate: -1,
  });
  const cluster = (name: string, hosts: HostStatus[], more: Partial<ClusterStatus> = {}): ClusterStatus => ({
    name,
    observabilityName: name,
    addedViaApi: false,
    edsServiceName: undefined,
    outlier: undefined,
    defaultPriority: limits,
    highPriority: limits,
    hosts,
    ...more,
  });
  const served = { cxActive: 1, cxTotal: 1, rqSuccess: 1, rqTotal: 1 };
  return [
    cluster('up', [host(21201, served)]),
    cluster('hc_up', [host(21201, served), host(21999, {}, { failedActiveHealthCheck: true })], {
      outlier: {
        successRateAverage: -1,
        successRateEjectionThreshold: -1,
        localOriginSuccessRateAverage: -1,
        localOriginSuccessRateEjectionThreshold: -1,
      },
    }),
    cluster('eds_up', [host(21201, { ...served, rqSuccess: 2, rqTotal: 2 })], { edsServiceName: 'svc' }),
    cluster('h2_up', [host(21203, { cxConnectFail: 1, cxTotal: 1, rqError: 1 })]),
    cluster('tcp_up', [host(21201, { cxActive: 1, cxTotal: 1, rqActive: 1, rqTotal: 1 })]),
    cluster('udp_up', [host(21205)]),
  ];
}

function layeredRuntime(): RuntimeOwner {
  const fixed = new Map([
    ['some.key', '5'],
    ['foo.bar', 'true'],
  ]);
  const overrides = new Map<string, string>();
  return {
    layers: () => ['static', 'admin'],
    entries: () =>
      [...new Set([...fixed.keys(), ...overrides.keys()])].map((key) => {
        const layerValues = [fixed.get(key) ?? '', overrides.get(key) ?? ''];
        return { key, layerValues, finalValue: layerValues[1] || layerValues[0]! };
      }),
    setAdminLayer(values) {
      for (const [key, value] of values) value === '' ? overrides.delete(key) : overrides.set(key, value);
      return true;
    },
  };
}

/** The sections as recorded with endpoints, with a private key in the place of the redaction. */
function configDump(): ConfigDumpSection[] {
  const body = withoutCut(recorded('06-admin', '015-GET-config_dump_include_eds.txt').body);
  const { configs } = JSON.parse(body.replaceAll('[redacted]', 'a private key')) as {
    configs: Record<string, unknown>[];
  };
  return configs
    .map(({ '@type': url, ...config }, i) => {
      const type = String(url).split('/')[1] as keyof MessageTypes;
      return {
        // Registered in another order than they are printed in.
        order: i,
        type,
        isEndpoints: type === 'envoy.admin.v3.EndpointsConfigDump',
        dump(matches) {
          const lists = Object.entries(config).map(([field, list]) => [
            field,
            Array.isArray(list) ? list.filter((it) => matches(nameIn(it))) : list,
          ]);
          return create(type as 'envoy.admin.v3.ConfigDump', Object.fromEntries(lists));
        },
      } satisfies ConfigDumpSection;
    })
    .reverse();
}

function nameIn(element: Record<string, { readonly name?: string; readonly cluster_name?: string }>): string {
  const { name, cluster_name } =
    element.cluster ?? element.listener ?? element.route_config ?? element.endpoint_config!;
  return name ?? cluster_name!;
}

/** Every metric of the recorded /stats that is not the admin listener's own. */
function recordedStore(): StatsStore {
  const store = new StatsStore();
  const extractor = new TagExtractor();
  const types = new Map<string, string>();
  for (const [, name, type] of recorded('06-admin', '095-GET-stats_prometheus.txt').body.matchAll(
    /^# TYPE (\S+) (\S+)$/gm,
  )) {
    types.set(name!, type!);
  }
  const used = new Set(
    recorded('06-admin', '094-GET-stats_usedonly.txt')
      .body.split('\n')
      .map((line) => line.split(': ')[0]!),
  );
  for (const line of recorded('06-admin', '093-GET-stats.txt').body.trim().split('\n')) {
    const [name, value] = line.split(': ') as [string, string];
    if (/^(http|listener)\.admin\./.test(name)) continue;
    const type = types.get(`envoy_${extractor.extract(name).name.replace(/\W/g, '_')}`);
    if (value.startsWith('"')) store.root.textReadout(name).value = JSON.parse(value);
    else if (type === 'histogram') {
      const histogram = store.root.histogram(name);
      if (used.has(name)) histogram.record(1);
    } else if (type === 'gauge') {
      const gauge = store.root.gauge(name);
      if (used.has(name)) gauge.value = Number(value);
    } else store.root.counter(name).value = Number(value) || (used.has(name) ? 1 : 0);
  }
  return store;
}
