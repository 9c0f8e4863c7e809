// Plays a recorded case against a proxy and says where it differs from the recording.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse } from 'yaml';
import { type ProxyKind, type ProxyProcess, startProxyProcess } from '#testing/proxy-process.ts';
import {
  compareLog,
  compareResponse,
  compareStats,
  compareUpstream,
  type Difference,
  lengthTolerance,
} from './compare.ts';
import { eitherEnd, RecordedCase, type RecordedStep } from './recorded-case.ts';
import { playStep, type StepOutcome } from './scripted-client.ts';
import { ScriptedUpstream, type SeenRequest, transcript } from './scripted-upstream.ts';
import { players } from './special-players.ts';
import { upstreamScript } from './upstream-scripts.ts';

/** What of a recording is compared. */
export const aspects = ['response', 'upstream', 'log', 'stats'] as const;
export type Aspect = (typeof aspects)[number];

export interface ReplayOptions {
  readonly kind: ProxyKind;
  readonly only?: readonly Aspect[];
  readonly keep?: boolean;
  /** Takes the access loggers out of the configuration: what remains can be judged without them. */
  readonly withoutLogs?: boolean;
}

export interface ReplayResult {
  readonly name: string;
  readonly title: string;
  readonly differences: readonly Difference[];
  readonly milliseconds: number;
  readonly folder: string;
}

export async function replay(name: string, options: ReplayOptions): Promise<ReplayResult> {
  const started = performance.now();
  const recorded = await RecordedCase.load(name);
  const only = (options.only ?? aspects).filter((it) => it !== 'log' || !options.withoutLogs);
  const folder = mkdtempSync(join(tmpdir(), 'golden-'));
  const seen: SeenRequest[] = [];
  const upstreams: ScriptedUpstream[] = [];
  let proxy: ProxyProcess | undefined;
  let differences: Difference[];
  try {
    for (const upstream of recorded.upstreams) {
      upstreams.push(
        await ScriptedUpstream.start(
          {
            name: upstream.name ?? 'up',
            host: upstream.host ?? '127.0.0.1',
            port: upstream.port ?? recorded.port(21201),
            script: upstreamScript(recorded, upstream),
            ...(name === '08-http/upstream-idle-close-then-reuse' ? { idleCloseMs: 100 } : {}),
            ...(upstream.on_connect ? { onConnect: upstream.on_connect } : {}),
          },
          seen,
        ),
      );
    }
    for (const file of ['body.txt']) {
      const content = recorded.file(file);
      if (content !== undefined) writeFileSync(join(folder, file), content, 'latin1');
    }
    proxy = await startProxyProcess({
      kind: options.kind,
      folder,
      yaml: options.withoutLogs ? withoutAccessLogs(recorded.yaml) : recorded.yaml,
      adminPort: recorded.port(
        Number(/admin:[\s\S]*?port_value: (\d+)/.exec(recorded.file('envoy.yaml')!)![1]),
      ),
      arguments: recorded.arguments,
      ...(options.kind === 'chancery'
        ? { listenerPort: recorded.ports.get(21000) ?? recorded.port(21100) }
        : {}),
      ...(recorded.hosts ? { hosts: recorded.hosts } : {}),
    });
    const player = players[name] ?? playSteps;
    differences = await player({ recorded, proxy, folder, seen, upstreams, only });
  } catch (error) {
    differences = [{ where: 'run', lines: String((error as Error).message ?? error).split('\n') }];
  } finally {
    await proxy?.stop();
    for (const upstream of upstreams) await upstream.stop();
    if (!options.keep) rmSync(folder, { recursive: true });
  }

  differences = differences.filter((it) => it.aspect === undefined || only.includes(it.aspect));
  return { name, title: recorded.title, differences, milliseconds: performance.now() - started, folder };
}

export interface Play {
  readonly recorded: RecordedCase;
  readonly proxy: ProxyProcess;
  readonly folder: string;
  readonly seen: SeenRequest[];
  readonly upstreams: readonly ScriptedUpstream[];
  readonly only: readonly Aspect[];
}

/** Plays all steps and compares everything that was recorded. */
export async function playSteps(play: Play): Promise<Difference[]> {
  const { recorded } = play;
  const outcomes = new Map<RecordedStep, StepOutcome>();
  for (let i = 0; i < recorded.steps.length; i++) {
    const step = recorded.steps[i]!;
    const group = [step];
    if (step.parallel_group !== undefined)
      while (recorded.steps[i + 1]?.parallel_group === step.parallel_group) group.push(recorded.steps[++i]!);
    await Promise.all(
      group.map(async (it) => {
        if (it.start_offset_s) await sleep(it.start_offset_s * 1000);
        outcomes.set(it, await playStep(it, recorded.idleSeconds));
      }),
    );
  }
  const differences: Difference[] = [];
  for (const [step, outcome] of outcomes) {
    differences.push(
      ...compareResponse(
        {
          ...step,
          ...(eitherEnd.has(recorded.name) ? { connection_after: outcome.connectionAfter } : {}),
          ...(step.response === undefined ? {} : { response: recorded.back(step.response) }),
        },
        { ...outcome, response: recorded.back(outcome.response) },
      ),
    );
  }
  differences.push(...(await compareTraces(play, [...outcomes])));
  return differences;
}

/** Compares what the upstream saw, the access logs and the stats. Waits for what comes late. */
export async function compareTraces(
  { recorded, proxy, folder, seen, only }: Play,
  outcomes: readonly (readonly [RecordedStep, StepOutcome])[],
): Promise<Difference[]> {
  const differences: Difference[] = [];
  // A redirect that is followed opens a connection while the first one is about to be free: who takes the request is a race.
  const isRace = recorded.file('envoy.yaml')?.includes('internal_redirect_policy') === true;
  const sections = (text: string) =>
    isRace ? text.replace(/^(--- upstream=\S+) connection=\d+/gm, '$1') : text;
  const sawFile = recorded.file('upstream-saw.txt');
  const sawRecorded = sawFile === undefined ? undefined : sections(sawFile);
  const saw = () => sections(recorded.back(transcript(seen)));
  if (sawRecorded !== undefined && only.includes('upstream'))
    differences.push(...(await settled(() => compareUpstream(sawRecorded, saw()))));

  for (const file of only.includes('log') ? ['access-default.log', 'access-details.log'] : []) {
    const expected = recorded.file(file);
    if (expected === undefined) continue;
    const path = join(folder, file);
    differences.push(...(await settled(() => compareLog(file, expected, recorded.back(readOrEmpty(path))))));
  }
  const stats = recorded.file('stats-used.txt');
  if (stats !== undefined && only.includes('stats')) {
    const told = lengthTolerance(
      outcomes.map(([step, outcome]) => [
        recorded.back(step.response ?? ''),
        recorded.back(outcome.response),
      ]),
      sawRecorded ?? '',
      sawRecorded === undefined ? '' : saw(),
    );
    // Players of their own keep their answers to themselves; each tells a service time of one to three digits.
    const proxied =
      sawRecorded?.match(/^--- upstream=/gm) ?? recorded.file('access-default.log')?.match(/:\d+"$/gm);
    const unseen = outcomes.length > 0 ? 0 : (proxied?.length ?? 0);
    const tolerance = { ...told, downstreamBytes: told.downstreamBytes + 2 * unseen };
    differences.push(
      ...(await settled(async () => {
        const { body } = await proxy
          .admin('/stats?usedonly')
          .catch(() => ({ body: 'admin: does not answer' }));
        return compareStats(stats, recorded.back(body), tolerance);
      })),
    );
  }
  return differences;
}

const settleMs = 1200;

/** Compares until there is no difference or the time is over. */
export async function settled(compare: () => Difference[] | Promise<Difference[]>): Promise<Difference[]> {
  const deadline = performance.now() + settleMs;
  for (;;) {
    const differences = await compare();
    if (differences.length === 0 || performance.now() > deadline) return differences;
    await sleep(60);
  }
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

function withoutAccessLogs(yaml: string): string {
  const strip = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(strip);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).flatMap(([key, it]) => (key === 'access_log' ? [] : [[key, strip(it)]])),
    );
  };
  return JSON.stringify(strip(parse(yaml)));
}
