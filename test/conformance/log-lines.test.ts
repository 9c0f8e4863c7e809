// The proxy's own log beside the real Envoy's: what is said at the start, about changes of levels and at the end, in several formats.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { missing } from '#testing/peers.ts';
import { type ProxyKind, ProxyProcess } from '#testing/proxy-process.ts';
import { portsFor, withoutPort } from './black-box.ts';
import { address, connectionManager, endpoint, type } from './side-by-side-configuration.ts';

interface Run {
  readonly arguments: readonly string[];
  /** Of the bootstrap. */
  readonly fields?: object;
  /** Beside the one that is there. */
  readonly listeners?: readonly object[];
  /** POST, in turn. */
  readonly admin?: readonly string[];
  /** The process ends by itself. */
  readonly ends?: boolean;
}

/** One key each: Envoy prints the keys of a struct in any order. */
const layers = [
  ...[
    { 'a.b': 10 },
    { c: { d: true } },
    { e: 'some words' },
    { f: 1.5 },
    { g: 'true' },
    { h: 'a: b' },
    { i: '#' },
  ].map((values, i) => ({ name: `static ${i}`, static_layer: values })),
  { name: 'admin', admin_layer: {} },
];

const runs: Readonly<Record<string, Run>> = {
  'at info': { arguments: ['-l', 'info'] },
  'at warning': { arguments: ['-l', 'warn'] },
  'by component': { arguments: ['-l', 'warning', '--component-log-level', 'config:info,main:error'] },
  'with runtime layers': { arguments: ['-l', 'info'], fields: { layered_runtime: { layers } } },
  'with a limit of connections': {
    arguments: ['-l', 'info'],
    fields: {
      overload_manager: {
        resource_monitors: [
          {
            name: 'envoy.resource_monitors.global_downstream_max_connections',
            typed_config: {
              '@type': type(
                'extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig',
              ),
              max_active_downstream_connections: 100,
            },
          },
        ],
      },
    },
  },
  'with the old limit of connections': {
    arguments: ['-l', 'info'],
    fields: {
      layered_runtime: {
        layers: [{ name: 'static', static_layer: { 'overload.global_downstream_max_connections': 100 } }],
      },
    },
  },
  'with a UDP listener that has no filters': {
    arguments: ['-l', 'warning'],
    listeners: [21002, 21003].map((port) => ({
      name: `udp ${port}`,
      address: { socket_address: { protocol: 'UDP', address: '127.0.0.1', port_value: port } },
    })),
  },
  'when levels change': {
    arguments: ['-l', 'info'],
    admin: [
      '/logging?level=error',
      '/logging?level=info',
      '/logging?admin=warning',
      '/logging?admin=info',
      '/logging?paths=admin:info,main:error',
      '/logging?nope=info',
      '/logging?paths=nope:info',
      '/logging?level=nope',
      '/logging?main=info',
      '/runtime_modify?a=b',
      '/reopen_logs',
      '/healthcheck/fail',
      '/drain_listeners',
    ],
  },
  'when it is told to quit': { arguments: ['-l', 'info'], admin: ['/quitquitquit'], ends: true },
  'in a format of its own': {
    arguments: ['-l', 'info', '--log-format', '%L|%l|%-8l|%8n|%=8l|%3!l|%v|%_|%j|%+|%%|%'],
  },
  escaped: { arguments: ['-l', 'info', '--log-format-escaped', '--log-format', '%l %v'] },
  'into a file': { arguments: ['-l', 'info', '--log-path', 'proxy-own.log'] },
  'into a file that cannot be': { arguments: ['-l', 'info', '--log-path', '/nonexistent/x.log'], ends: true },
  'as text by configuration': {
    arguments: ['-l', 'info'],
    fields: { application_log_config: { log_format: { text_format: '%l - %v' } } },
  },
  'as JSON by configuration': {
    arguments: ['-l', 'info'],
    fields: {
      application_log_config: {
        log_format: { json_format: { line: '%l %n %j %%' } },
      },
    },
  },
  'with two formats': {
    arguments: ['-l', 'info', '--log-format', '%v'],
    fields: { application_log_config: { log_format: { text_format: '%v' } } },
    ends: true,
  },
};

for (const [name, run] of Object.entries(runs)) {
  test(`log lines ${name}`, { skip: missing('envoy'), timeout: 60_000 }, async (t) => {
    const [envoy, chancery] = await Promise.all([play(t, 'envoy', run), play(t, 'chancery', run)]);
    assert.deepEqual(chancery, envoy);
    assert.ok(envoy.length > 0);
  });
}

async function play(t: TestContext, kind: ProxyKind, run: Run): Promise<string[]> {
  const written = JSON.stringify({
    admin: { address: address(21001) },
    ...run.fields,
    static_resources: {
      listeners: [
        {
          name: 'front',
          address: address(21000),
          filter_chains: [{ filters: [connectionManager({ route_config: { virtual_hosts: [] } })] }],
        },
        ...(run.listeners ?? []),
      ],
      clusters: [{ name: 'up', load_assignment: endpoint('up', 21201) }],
    },
  });
  const { yaml, port } = await portsFor(written);
  const folder = mkdtempSync(join(tmpdir(), `${kind}-`));
  t.after(() => rmSync(folder, { recursive: true }));
  const proxy = new ProxyProcess({
    kind,
    folder,
    yaml,
    adminPort: port(21001),
    arguments: ['--concurrency', '1', '--use-dynamic-base-id', '--drain-time-s', '1', ...run.arguments],
  });
  t.after(() => proxy.stop());
  if (run.ends !== true || run.admin !== undefined) {
    await proxy.untilReady({});
    for (const path of run.admin ?? []) await proxy.admin(path, 'POST');
  }
  if (run.ends === true) await proxy.exited;
  else await proxy.stop();
  const file = join(folder, 'proxy-own.log');
  const text = existsSync(file) ? readFileSync(file, 'utf8') : proxy.output;
  return comparable(text, port);
}

/** Without times, processes and places in sources, what is built in, and the details of what is wrong with a configuration. */
function comparable(text: string, port: (written: number) => number): string[] {
  return withoutPort(text, port(21001), '⟨admin⟩')
    .replace(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\]\[\d+\]/g, '⟨time⟩]')
    .replace(/\[(source|src)\/[^\]]*\]/g, '[⟨place⟩]')
    .replace(/base id=\d+/g, 'base id=⟨id⟩')
    .replace(/ initializing config '[^']*'/, " initializing config '⟨what⟩'")
    .split('\n')
    .filter(
      (line) =>
        !/ {2}[\w.]+: |(request|response) (header|trailer) map|HTTP header map info|^Failed to|^Only one/.test(
          line,
        ),
    )
    .filter((line) => !/^envoy\.yaml:|^ {2,}(at|\d|\||Envoy says)|^$/.test(line));
}
