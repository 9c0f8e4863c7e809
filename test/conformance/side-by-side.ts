// The same configuration through the real Envoy and through us, and what could be seen of each.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type ProxyKind, type ProxyProcess, startProxyProcess } from '#testing/proxy-process.ts';
import { portsFor } from './black-box.ts';

export interface Side {
  readonly kind: ProxyKind;
  readonly proxy: ProxyProcess;
  /** The port that stands for a port 21xxx of the configuration. */
  readonly port: (written: number) => number;
  /** Stops the proxy: what it logs is written then. */
  readonly stop: () => Promise<void>;
  /** Lines of a file that the proxy writes into its folder. */
  readonly lines: (file: string) => string[];
  /** Moves a file into the proxy's folder, with ports 21xxx as in the configuration. */
  readonly put: (file: string, text: string) => void;
  /** `name: value` of the statistics that match, in order. */
  readonly stats: (filter: string) => Promise<string[]>;
}

export interface Setting {
  /** In the proxy's folder from the start, with ports 21xxx. */
  readonly files?: Readonly<Record<string, string>>;
  /** All ports 21xxx that come later. */
  readonly ports?: readonly number[];
  /** Default: `error`. */
  readonly logLevel?: string;
  /** Default: 1. */
  readonly drainSeconds?: number;
  /** Every response during a drain ends its connection, not more and more of them. */
  readonly drainsImmediately?: boolean;
  /** More of the command line. */
  readonly flags?: readonly string[];
  /** What has to be there when the proxy starts. */
  readonly beforehand?: (port: (written: number) => number) => Promise<unknown>;
}

/** Observes Envoy first, then us, and expects the same. `yaml`: with ports 21xxx of its own, of which 21001 is the admin's. */
export async function expectSame<T>(
  t: TestContext,
  yaml: string,
  observe: (side: Side) => Promise<T>,
  setting: Setting = {},
): Promise<T> {
  const envoy = await run(t, 'envoy', yaml, observe, setting);
  const chancery = await run(t, 'chancery', yaml, observe, setting);
  assert.deepEqual(chancery, envoy);
  return envoy;
}

async function run<T>(
  t: TestContext,
  kind: ProxyKind,
  written: string,
  observe: (side: Side) => Promise<T>,
  setting: Setting,
): Promise<T> {
  const { files = {}, ports = [], logLevel = 'error', drainSeconds = 1, flags = [], beforehand } = setting;
  const { yaml, port, rewrite } = await portsFor(written, [...Object.values(files), ...ports.map(String)]);
  const folder = mkdtempSync(join(tmpdir(), `${kind}-`));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), rewrite(text));
  await beforehand?.(port);
  const proxy = await startProxyProcess({
    kind,
    folder,
    yaml,
    adminPort: port(21001),
    arguments: [
      ...['--concurrency', '1', '--use-dynamic-base-id', '-l', logLevel],
      ...['--drain-time-s', String(drainSeconds)],
      ...(setting.drainsImmediately === true ? ['--drain-strategy', 'immediate'] : []),
      ...flags,
    ],
  });
  const stop = async () => {
    await proxy.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  t.after(stop);
  const result = await observe({
    kind,
    proxy,
    port,
    stop: () => proxy.stop(),
    put: (file, text) => {
      writeFileSync(join(folder, `${file}.new`), rewrite(text));
      renameSync(join(folder, `${file}.new`), join(folder, file));
    },
    lines: (file) => readFileSync(join(folder, file), 'utf8').trimEnd().split('\n'),
    stats: async (filter) => {
      const { body } = await proxy.admin(`/stats?filter=${encodeURIComponent(filter)}`);
      return body.trimEnd().split('\n').sort();
    },
  });
  await stop();
  return result;
}

/** Replaces in a structure every text that `replace` changes: ports, ids and times that differ from run to run. */
export function normalized(
  value: unknown,
  replace: (text: string, key: string) => unknown,
  key = '',
): unknown {
  if (Array.isArray(value)) return value.map((it) => normalized(it, replace, key));
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(
      Object.entries(value)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, it]) => [name, normalized(it, replace, name)]),
    );
  return typeof value === 'string' || typeof value === 'number' ? replace(String(value), key) : value;
}
