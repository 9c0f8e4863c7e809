// A folder of test/golden: the configuration, what upstreams and clients do, and what the real Envoy did then. Fixed ports are
// rewritten to free ones of the same number of digits, and back before anything is compared.
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { dirname, join } from 'node:path';
import { freePorts } from '#testing/free-ports.ts';

/** `send` text, `send-long` length and first characters, `sleep` seconds, `close` (FIN), `rst`, `name`, `echo`. */
export type UpstreamAction =
  | ['send', string]
  | ['send-long', number, string]
  | ['sleep', number]
  | ['close' | 'rst' | 'name' | 'echo' | 'stall'];

/** `recv` at most that many seconds, until so many seconds were quiet after the first byte. */
export type ClientAction =
  | ['send', string]
  | ['send-long', number, string]
  | ['recv', number, number?]
  | ['sleep', number]
  | ['fin' | 'close' | 'rst'];

export interface RecordedUpstream {
  readonly host?: string;
  readonly port?: number;
  readonly name?: string;
  /** One list of actions per request, the last one repeats. */
  readonly script?: readonly (readonly UpstreamAction[])[];
  readonly on_connect?: readonly UpstreamAction[];
}

export interface RecordedStep {
  readonly name: string;
  readonly port: number;
  readonly actions: readonly ClientAction[];
  readonly connection_after: string;
  readonly response?: string;
  /** The length, when `response` was cut. */
  readonly response_bytes?: number;
  readonly parallel_group?: number;
  readonly start_offset_s?: number;
  readonly source_address?: string;
}

const recordedHosts = [
  '127.0.0.11 version_v1',
  '127.0.0.12 version_v2',
  '127.0.0.13 service1',
  '127.0.0.14 service-udp',
  '127.0.0.15 jaeger',
  '127.0.0.16 www.baidu.com',
  '127.0.0.17 httpbin.org',
];

/** Whether a client sees FIN or RST here is a race between its first byte and the proxy's close. */
export const eitherEnd: ReadonlySet<string> = new Set([
  '09-tcp-proxy-max-connections-0',
  '09-tcp-proxy-unknown-cluster',
]);

/** Recordings whose client waited longer or shorter than usual, as the times in their logs show. */
const idleSeconds: Readonly<Record<string, number>> = {
  '08-http/connect-terminate': 0.6,
  '08-http/websocket-enabled': 0.6,
  '09-tcp-proxy': 0.2,
  '09-access-log': 0.2,
};

export const goldenFolder = join(import.meta.dirname, '../../golden');

/** The names of all cases that are played: `08-http/no-route`. */
export function caseNames(): string[] {
  return (
    globSync(['**/steps.json', '03-*/transcript.txt'], { cwd: goldenFolder })
      .map((file) => dirname(file))
      // Other recordings have runners of their own.
      .filter((name) => /^(01-|03-|04-|08-http\/|09-)/.test(name))
      .sort()
  );
}

export class RecordedCase {
  readonly name: string;
  readonly title: string;
  readonly yaml: string;
  readonly arguments: readonly string[];
  /** The names that were in the hosts file, when the configuration uses them. */
  readonly hosts: string;
  readonly upstreams: readonly RecordedUpstream[];
  readonly steps: readonly RecordedStep[];
  /** How long a client waits for more, where the step does not say. */
  readonly idleSeconds: number;
  /** recorded port -> the port of this run */
  readonly ports: ReadonlyMap<number, number>;
  readonly #folder: string;

  private constructor(name: string, ports: ReadonlyMap<number, number>) {
    this.name = name;
    this.ports = ports;
    this.#folder = join(goldenFolder, name);
    const description = this.file('case.md') ?? '';
    this.title = /^# (.*)/.exec(description)?.[1] ?? name;
    this.arguments = (/^Run: `envoy -c envoy\.yaml ([^`]*)`/m.exec(description)?.[1] ?? '').split(' ');
    this.yaml = this.forward(this.file('envoy.yaml')!);
    this.hosts = recordedHosts.filter((line) => this.yaml.includes(line.split(' ')[1]!)).join('\n');
    const { upstreams, steps } = JSON.parse(
      this.forward(this.file('steps.json') ?? '{"upstreams": [], "steps": []}'),
    );
    this.upstreams = upstreams;
    this.steps = steps;
    this.idleSeconds = idleSeconds[name] ?? 0.25;
  }

  static async load(name: string): Promise<RecordedCase> {
    const folder = join(goldenFolder, name);
    const recorded = new Set([21201]);
    for (const file of ['envoy.yaml', 'steps.json']) {
      const path = join(folder, file);
      const text = existsSync(path) ? readFileSync(path, 'latin1') : '';
      for (const [port] of text.matchAll(/(?<!\d)21\d{3}(?!\d)/g)) recorded.add(Number(port));
    }
    const list = [...recorded].sort();
    const free = await freePorts(list.length);
    return new RecordedCase(name, new Map(list.map((port, i) => [port, free[i]!])));
  }

  /** The names of all recorded files. */
  files(): string[] {
    return readdirSync(this.#folder).sort();
  }

  /** The text of a recorded file, or undefined when the recording has none. Latin-1: bytes stay what they are. */
  file(name: string): string | undefined {
    const path = join(this.#folder, name);
    return existsSync(path) ? readFileSync(path, 'latin1') : undefined;
  }

  port(recorded: number): number {
    return this.ports.get(recorded)!;
  }

  /** From the recording to this run. */
  forward(text: string): string {
    return text.replace(/(?<!\d)21\d{3}(?!\d)/g, (port) => String(this.ports.get(Number(port)) ?? port));
  }

  /** From this run to the recording. */
  back(text: string): string {
    for (const [recorded, port] of this.ports)
      text = text.replace(new RegExp(`(?<!\\d)${port}(?!\\d)`, 'g'), String(recorded));
    return localAddress === undefined ? text : text.replaceAll(localAddress, '192.0.2.2');
  }
}

// Envoy takes the first address that is not loopback for "its own" one and shows it in x-forwarded-for.
const localAddress = Object.values(networkInterfaces())
  .flat()
  .find((it) => it?.family === 'IPv4' && !it.internal)?.address;
