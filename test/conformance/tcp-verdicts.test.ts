// TCP through the real Envoy and through us, side by side: one configuration with a listener for each case, the same clients, and
// then what they saw, what the access logs say and what was counted.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { missing } from '#testing/peers.ts';
import { type ProxyKind, type ProxyProcess, startProxyProcess } from '#testing/proxy-process.ts';
import { portsFor, withoutPort } from './black-box.ts';
import { cases, withoutIds } from './tcp/cases.ts';
import { TcpClient } from './tcp/client.ts';
import { configuration } from './tcp/configuration.ts';
import { startUpstreams } from './tcp/upstreams.ts';

/** What one proxy did with one case. */
interface Outcome {
  readonly seen: unknown;
  readonly log: readonly string[];
}

interface Stats {
  readonly stats: readonly string[];
}

interface Played extends Stats {
  readonly outcomes: ReadonlyMap<string, Outcome>;
}

const patienceMs = 4000;
const only = process.env.TCP_CASE;
const played = cases.filter((it) => only === undefined || it.name.includes(only));

async function play(t: TestContext, kind: ProxyKind): Promise<Played> {
  const folder = mkdtempSync(join(tmpdir(), `tcp-${kind}-`));
  const { yaml, port } = await portsFor(configuration(played));
  const upstreams = await startUpstreams(t, port);
  const proxy = await startProxyProcess({
    kind,
    folder,
    yaml,
    adminPort: port(21001),
    arguments: [
      '--concurrency',
      '1',
      '--use-dynamic-base-id',
      '-l',
      'error',
      '--file-flush-interval-msec',
      '10',
    ],
  });
  t.after(async () => {
    await proxy.stop();
    rmSync(folder, { recursive: true });
  });
  const written = [...new Set(configuration(played).match(/(?<!\d)21\d{3}(?!\d)/g) ?? [])].map(Number);
  const normal = (text: string) => {
    let out = withoutIds(text);
    for (const it of written) out = withoutPort(out, port(it), String(it));
    return out;
  };
  const seen = new Map<string, unknown>();
  const queue = [...played.entries()];
  const playQueued = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const [i, it] = next;
      const opened: TcpClient[] = [];
      const run = it.run({
        open: (options) => {
          const client = new TcpClient({ port: port(21300 + i), ...options });
          opened.push(client);
          return client;
        },
        port: port(21300 + i),
        upstreams,
      });
      // What should end and does not is a result, too.
      const result = await Promise.race([run, sleep(patienceMs, 'hangs', { ref: false })]);
      for (const client of opened) client.destroy();
      seen.set(it.name, JSON.parse(normal(JSON.stringify(result ?? null))));
    }
  };
  await Promise.all(Array.from({ length: 12 }, playQueued));
  await untilAllClosed(proxy);
  // Everything is written when the proxy ends.
  const { body } = await proxy.admin('/stats');
  await proxy.stop();
  const outcomes = new Map<string, Outcome>();
  for (const it of played) {
    let log = '';
    try {
      log = readFileSync(join(folder, `${it.name}.log`), 'utf8');
    } catch {
      // Nothing was logged.
    }
    outcomes.set(it.name, { seen: seen.get(it.name), log: normal(log).split('\n').sort() });
  }
  const names = played.map((it) => it.name);
  return {
    outcomes,
    stats: normal(body)
      .split('\n')
      .filter((line) => isCompared(line, names)),
  };
}

/** The proxy has seen every client go. */
async function untilAllClosed(proxy: ProxyProcess): Promise<void> {
  for (const deadline = performance.now() + patienceMs; performance.now() < deadline; await sleep(20)) {
    const { body } = await proxy.admin(
      '/stats?filter=^listener\\..*\\.downstream_(pre_)?cx_active$&usedonly',
    );
    const open = body.split('\n').filter((line) => !/worker_|admin/.test(line) && /: [1-9]/.test(line));
    if (open.length === 0) return;
  }
}

/** Counters and gauges of the cases; bytes of gauges and histograms depend on time. */
function isCompared(line: string, names: readonly string[]): boolean {
  const name = line.slice(0, line.indexOf(':'));
  return (
    name.split('.').some((it) => names.includes(it)) &&
    !/_ms$|_reading_total$|_buffered$/.test(name) &&
    !name.includes('.worker_') &&
    !line.includes(': P') &&
    !line.includes(': No recorded')
  );
}

test('TCP goes through us as through Envoy', { skip: missing('envoy') }, async (t) => {
  const [envoy, chancery] = await Promise.all([play(t, 'envoy'), play(t, 'chancery')]);
  for (const { name, ignored } of played) {
    const of = ({ outcomes, stats }: Played) => ({
      ...outcomes.get(name)!,
      stats: stats.filter((line) => isCompared(line, [name]) && ignored?.test(line) !== true),
    });
    await t.test(name, () => assert.deepEqual(differing(of(chancery), of(envoy)), []));
  }
});

/** Lines of ours that Envoy has not, and of Envoy's that we have not. */
function differing(ours: Outcome & Stats, envoys: Outcome & Stats): string[] {
  const lines = [];
  if (!isDeepStrictEqual(ours.seen, envoys.seen))
    lines.push(`ours  ${JSON.stringify(ours.seen)}`, `envoy ${JSON.stringify(envoys.seen)}`);
  for (const where of ['log', 'stats'] as const) {
    const rest = [...envoys[where]];
    for (const line of ours[where]) {
      const at = rest.indexOf(line);
      if (at < 0) lines.push(`ours  ${line}`);
      else rest.splice(at, 1);
    }
    lines.push(...rest.map((line) => `envoy ${line}`));
  }
  return lines;
}
