// npm run bench [-- options] [lane ...]
// CPU microseconds per request of the proxy's whole process tree, for Envoy, nginx, haproxy and chancery: same service, one worker
// each, interleaved rounds, medians, ratios. Numbers of one run may be compared with each other, not with those of another machine.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { peer } from '#testing/peers.ts';
import { cpuMicroseconds } from '#testing/process-usage.ts';
import { type LoadLane, loadLanes } from './lanes.ts';
import { printProfile } from './profile.ts';
import {
  isAvailable,
  type Kind,
  kinds,
  openWorkshop,
  type Running,
  startProxy,
  startUpstream,
  type Upstream,
} from './proxies.ts';
import { type Figure, stateLanes } from './state-lanes.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '5' },
    kinds: { type: 'string', default: kinds.join(',') },
    profile: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    save: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(`usage: npm run bench -- [options] [lane ...]
  --seconds N    per measurement (3)
  --rounds N     per proxy (5; at least 9 where they differ much)
  --kinds LIST   of ${kinds.join(',')}
  --quick        Envoy and chancery only, two rounds of two seconds
  --profile      then run chancery once more under the profiler and print where the time goes
  --save         keep the results in bench/results
lanes:
${[...loadLanes, ...stateLanes].map((lane) => `  ${lane.name.padEnd(12)} ${lane.title}`).join('\n')}`);
  process.exit(0);
}

const seconds = values.quick ? 2 : Number(values.seconds);
const rounds = values.quick ? 2 : Number(values.rounds);
const wantedKinds = (values.quick ? 'envoy,chancery' : values.kinds)
  .split(',')
  .map((kind) => kind as Kind)
  .filter((kind) => isAvailable(kind) || void console.log(`${kind} is not installed: left out`));
const allLanes = [...loadLanes, ...stateLanes];
const names =
  positionals.length > 0 ? positionals : values.quick ? ['h1-h1'] : allLanes.map((lane) => lane.name);
const results: Record<string, Figure[]> = {};

for (const name of names) {
  const load = loadLanes.find((lane) => lane.name === name);
  const state = stateLanes.find((lane) => lane.name === name);
  const lane = load ?? state;
  if (!lane) throw new Error(`no lane ${name}; there are ${allLanes.map((it) => it.name).join(' ')}`);
  try {
    const figures = load ? await measureLoad(load) : await state!.measure(wantedKinds, rounds);
    results[name] = figures;
    print(`${lane.name}: ${lane.title}`, figures);
    if (values.profile && load) await profile(load);
  } catch (error) {
    console.log(`${lane.name}: ${(error as Error).message}`);
    process.exitCode = 1;
  }
}
if (values.save) save();

async function measureLoad(lane: LoadLane): Promise<Figure[]> {
  const workshop = openWorkshop();
  const running: Running[] = [];
  let upstream: Upstream | undefined;
  try {
    upstream = await startUpstream(workshop, lane);
    for (const kind of wantedKinds) {
      const proxy = await startProxy(kind, lane, upstream.port, workshop);
      if (proxy) running.push(proxy);
    }
    const upstreamPort = upstream.port;
    const target = (proxy: Running, time: number) => ({
      port: proxy.port,
      upstreamPort,
      seconds: time,
      bigBody: workshop.bigBody,
    });
    // Twice: the first connections that end show V8 what it had taken for constant, and the hot functions are compiled once more.
    for (const proxy of running)
      for (let i = 0; i < 2; i++)
        await lane.load(target(proxy, lane.warmUp ?? (proxy.kind === 'chancery' ? 3 : 1)));
    const samples = new Map<Running, { cpu: number; rate: number; p50: number; p99: number }[]>();
    const most = values.quick ? rounds : Math.max(rounds, lane.rounds ?? 0);
    for (let round = 0; round < most; round++) {
      for (const proxy of running) {
        const before = cpuMicroseconds(proxy.pid);
        const started = performance.now();
        const result = await lane.load(target(proxy, seconds));
        const elapsed = (performance.now() - started) / 1000;
        const cpu = (cpuMicroseconds(proxy.pid) - before) / result.requests;
        // h2load counts what it was still waiting for at the end as failed.
        if (result.requests === 0 || result.failed > Math.max(100, result.requests * 0.01))
          throw new Error(`${proxy.kind}: ${result.failed} failed, ${result.requests} answered`);
        const list = samples.get(proxy) ?? [];
        list.push({ cpu, rate: result.requests / elapsed, p50: result.p50 ?? 0, p99: result.p99 ?? 0 });
        samples.set(proxy, list);
      }
    }
    const figures: Figure[] = [];
    const add = (
      what: string,
      goal: number,
      pick: (sample: { cpu: number; p50: number; p99: number }) => number,
    ) => {
      for (const [proxy, list] of samples)
        figures.push({ what, kind: proxy.kind, values: list.map(pick), goal });
    };
    add('us CPU/request', lane.goal, (it) => it.cpu);
    if (lane.latencyGoals) {
      add('ms p50', lane.latencyGoals[0], (it) => it.p50);
      add('ms p99', lane.latencyGoals[1], (it) => it.p99);
    }
    return figures;
  } finally {
    for (const proxy of running) await proxy.stop();
    await upstream?.stop();
    workshop.remove();
  }
}

async function profile(lane: LoadLane): Promise<void> {
  const workshop = openWorkshop();
  const upstream = await startUpstream(workshop, lane);
  const folder = join(workshop.folder, 'profile');
  const proxy = await startProxy('chancery', lane, upstream.port, workshop, [
    '--cpu-prof',
    `--cpu-prof-dir=${folder}`,
  ]);
  try {
    const { requests } = await lane.load({
      port: proxy!.port,
      upstreamPort: upstream.port,
      seconds: seconds + 1,
      bigBody: workshop.bigBody,
    });
    await proxy!.stop();
    printProfile(folder, requests);
  } finally {
    await proxy!.stop();
    await upstream.stop();
    workshop.remove();
  }
}

function median(list: readonly number[]): number {
  const sorted = [...list].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function print(title: string, figures: readonly Figure[]): void {
  console.log(`\n${title}`);
  for (const what of new Set(figures.map((it) => it.what))) {
    const rows = figures.filter((it) => it.what === what);
    const envoy = rows.find((it) => it.kind === 'envoy');
    for (const { kind, values: list, goal } of rows) {
      const value = median(list);
      const ratio = envoy && kind !== 'envoy' ? value / median(envoy.values) : undefined;
      const isOurs = kind === 'chancery';
      const verdict =
        typeof goal === 'number'
          ? isOurs && ratio !== undefined && `${ratio <= goal ? '✔' : '✖'} goal x${goal}`
          : isOurs && `${value <= goal.atMost ? '✔' : '✖'} goal ${goal.atMost}`;
      const spread = list.length > 1 ? `(${figure(Math.min(...list))} .. ${figure(Math.max(...list))})` : '';
      console.log(
        `  ${kind.padEnd(9)} ${figure(value).padStart(9)} ${what.padEnd(16)} ${spread.padEnd(22)}${ratio === undefined ? '' : ` x${ratio.toFixed(2)}`}${verdict ? ` ${verdict}` : ''}`,
      );
    }
  }
}

function figure(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function save(): void {
  const folder = join(import.meta.dirname, 'results');
  mkdirSync(folder, { recursive: true });
  const version = (program: string, ...args: string[]) => {
    try {
      return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
        .trim()
        .split('\n')[0];
    } catch {
      return undefined;
    }
  };
  const date = new Date().toISOString();
  const record = {
    date,
    commit: version('git', 'rev-parse', '--short', 'HEAD'),
    machine: {
      cpu: /model name\s*: (.*)/.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1],
      cores: cpus().length,
      memoryGB: Math.round(totalmem() / 2 ** 30),
      kernel: release(),
    },
    versions: {
      node: process.version,
      envoy: version(peer('envoy'), '--version')?.replace(/^.* version: /, ''),
    },
    seconds,
    rounds,
    lanes: results,
  };
  const file = join(folder, `${date.slice(0, 16).replaceAll(':', '')}.json`);
  writeFileSync(
    file,
    `${JSON.stringify(record, (_, value) => (typeof value === 'number' ? Number(value.toFixed(3)) : value), 1)}\n`,
  );
  console.log(`\nsaved ${file}`);
}
