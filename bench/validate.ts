// How long a configuration takes to be validated, by Envoy and by us, in turn: `node bench/validate.ts [rounds]`. Prints a table and keeps it
// in bench/results/validate.md with the date and the machine.

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { peer } from '#testing/peers.ts';

const rounds = Number(process.argv[2] ?? 5);
const root = join(import.meta.dirname, '..');
const folder = mkdtempSync(join(tmpdir(), 'chancery-bench-'));

const manager =
  'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
const router = 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router';

/** A bootstrap as a generator of configurations writes it: block style, one route and one cluster after another. */
function bootstrap(routes: number, clusters: number): string {
  const lines = [
    'static_resources:',
    '  listeners:',
    '  - name: ingress',
    '    address: {socket_address: {address: 127.0.0.1, port_value: 10000}}',
    '    filter_chains:',
    '    - filters:',
    '      - name: envoy.filters.network.http_connection_manager',
    '        typed_config:',
    `          "@type": ${manager}`,
    '          stat_prefix: ingress',
    '          http_filters:',
    '          - name: envoy.filters.http.router',
    `            typed_config: {"@type": ${router}}`,
    '          route_config:',
    '            name: routes',
    '            virtual_hosts:',
    '            - name: all',
    '              domains: ["*"]',
    '              routes:',
  ];
  for (let i = 0; i < routes; i++) {
    lines.push(
      `              - match:`,
      `                  prefix: /service-${i}/`,
      `                route:`,
      `                  cluster: cluster-${i % clusters}`,
    );
  }
  lines.push('  clusters:');
  for (let i = 0; i < clusters; i++) {
    lines.push(
      `  - name: cluster-${i}`,
      '    type: STATIC',
      '    connect_timeout: 0.25s',
      '    load_assignment:',
      `      cluster_name: cluster-${i}`,
      '      endpoints:',
      '      - lb_endpoints:',
      '        - endpoint:',
      '            address:',
      `              socket_address: {address: 127.0.0.1, port_value: ${10001 + i}}`,
    );
  }
  return `${lines.join('\n')}\n`;
}

interface Sample {
  readonly wallMs: number;
  readonly cpuMs: number;
}

/** The shell's `times` gives the CPU time of what it started. */
function run(command: readonly string[]): Sample {
  const quoted = command.map((it) => `'${it}'`).join(' ');
  const start = performance.now();
  const { stdout, status } = spawnSync('/bin/sh', ['-c', `${quoted} >/dev/null 2>&1 || exit 1; times`], {
    encoding: 'utf8',
  });
  const wallMs = performance.now() - start;
  if (status !== 0) throw new Error(`${command.join(' ')} failed`);
  const [user, system] = [
    ...stdout
      .trim()
      .split('\n')[1]!
      .matchAll(/(\d+)m([\d.]+)s/g),
  ].map((it) => Number(it[1]) * 60 + Number(it[2]));
  return { wallMs, cpuMs: 1000 * (user! + system!) };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

const files = [
  { name: 'small: one listener, one route, one cluster', text: bootstrap(1, 1) },
  { name: '10,000 routes, 5,000 clusters', text: bootstrap(10_000, 5_000) },
];
const rows: string[] = [];
for (const [i, { name, text }] of files.entries()) {
  const file = join(folder, `${i}.yaml`);
  writeFileSync(file, text);
  const envoy = [
    peer('envoy'),
    '--mode',
    'validate',
    '--use-dynamic-base-id',
    '--concurrency',
    '1',
    '-l',
    'error',
    '-c',
    file,
  ];
  const ours = [join(root, 'bin/chancery'), 'proxy', '--mode', 'validate', '-l', 'error', '-c', file];
  const samples: { envoy: Sample; ours: Sample }[] = [];
  // Once for the disk, and for the launcher's cache of compiled sources.
  run(envoy);
  run(ours);
  for (let round = 0; round < rounds; round++) samples.push({ envoy: run(envoy), ours: run(ours) });
  const of = (who: 'envoy' | 'ours', what: keyof Sample) => median(samples.map((it) => it[who][what]));
  const ratio = median(samples.map((it) => it.ours.wallMs / it.envoy.wallMs));
  const cells = [of('envoy', 'wallMs'), of('ours', 'wallMs'), of('envoy', 'cpuMs'), of('ours', 'cpuMs')].map(
    (it) => it.toFixed(0),
  );
  rows.push(
    `| ${name} | ${(statSync(file).size / 1e6).toFixed(2)} | ${cells.join(' | ')} | ${ratio.toFixed(2)} |`,
  );
}
rmSync(folder, { recursive: true });

const memory = /MemTotal:\s+(\d+)/.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1];
const table = `# Validating a configuration

${new Date().toISOString().slice(0, 10)}, ${cpus().length} x ${cpus()[0]?.model.trim()}, ${Math.round(Number(memory) / 1e6)} GB, Node ${process.version}, Envoy 1.40.0, ${rounds} rounds in turn, medians in
milliseconds. \`node bench/validate.ts\` writes this page.

| file | MB | Envoy wall | ours wall | Envoy CPU | ours CPU | wall, ours / Envoy |
|---|---|---|---|---|---|---|
${rows.join('\n')}
`;
mkdirSync(join(root, 'bench/results'), { recursive: true });
writeFileSync(join(root, 'bench/results/validate.md'), table);
process.stdout.write(table);
