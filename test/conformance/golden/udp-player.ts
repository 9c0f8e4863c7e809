// 03-*: datagrams through udp_proxy as transcript.txt tells it, then the pages and logs.
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { compareLog, compareText, type Difference, normalize } from './compare.ts';
import { type Play, settled } from './replay.ts';

export async function playDatagrams(play: Play): Promise<Difference[]> {
  const { recorded, proxy, folder } = play;
  const transcript = recorded.file('transcript.txt')!;
  const differences: Difference[] = [];
  const page = async (path: string) => recorded.back((await proxy.admin(path)).body);
  const compare = (where: string, expected: string, actual: string) =>
    differences.push(...compareText(where, 'stats', expected, actual));
  compare('stats-initial.txt', names(recorded.file('stats-initial.txt')!), names(await page('/stats')));
  const upstream = await UdpUpstream.start(recorded.ports.get(21505), transcript.includes("b'echo:"));
  try {
    const lines: string[] = [];
    for (const [, datagram, reply] of transcript.matchAll(/^sent (.*) from a new socket -> (.*)$/gm)) {
      const answer = await exchange(recorded.port(21000), payload(datagram!), reply!.startsWith('('));
      lines.push(`sent ${datagram} from a new socket -> ${answer}`);
    }
    lines.push(...upstream.lines(), `distinct upstream source ports: ${upstream.ports.size}`);
    differences.push(
      ...compareText('transcript.txt', 'response', withoutCut(transcript.trimEnd()), lines.join('\n')),
    );
    // Only the default idle timeout takes so long.
    if (recorded.name.endsWith('after-default-idle')) await sleep(60_000);
    for (const [file, filter] of [
      ['stats-grep-udp.txt', (line: string) => line.includes('udp')],
      ['stats-grep-udp-nonzero.txt', (line: string) => line.includes('udp') && !line.includes(': 0')],
    ] as const) {
      differences.push(
        ...(await settled(async () => {
          const stats = (await page('/stats')).split('\n').filter(filter).join('\n');
          return compareText(file, 'stats', withoutUpdates(recorded.file(file)!), withoutUpdates(stats));
        })),
      );
    }
    for (const [file, path] of [
      ['admin-listeners.txt', '/listeners'],
      ['admin-clusters.txt', '/clusters'],
    ] as const) {
      compare(file, sorted(recorded.file(file)!), sorted(await page(path)));
    }
    const dump = recorded.file('admin-config_dump.json');
    if (dump !== undefined)
      compare('admin-config_dump.json', withoutNode(dump), withoutNode(await page('/config_dump')));
    const metrics = recorded.file('admin-stats-prometheus.txt');
    if (metrics !== undefined)
      compare('admin-stats-prometheus.txt', udpMetrics(metrics), udpMetrics(await page('/stats/prometheus')));
    await proxy.stop();
    for (const file of ['access-default.log', 'access-fields.log', 'access-proxy.log']) {
      const expected = recorded.file(file);
      if (expected === undefined) continue;
      const durations = (text: string) => normalize(text).replace(/ dur=(\d+)/g, ' dur=⟨ms $1⟩');
      const log = durations(recorded.back(readFileSync(join(folder, file), 'latin1')));
      differences.push(...compareLog(file, sorted(durations(expected)), sorted(log)));
    }
  } finally {
    upstream.socket.close();
  }
  return differences;
}

/** Where `service-udp` is in these recordings. It keeps what it receives, and may answer `echo:` and the same. */
class UdpUpstream {
  readonly socket: Socket = createSocket('udp4');
  readonly ports = new Set<number>();
  readonly #received: Buffer[] = [];

  static async start(port: number | undefined, echoes: boolean): Promise<UdpUpstream> {
    const upstream = new UdpUpstream();
    upstream.socket.on('message', (bytes, from) => {
      upstream.#received.push(bytes);
      upstream.ports.add(from.port);
      if (echoes) upstream.socket.send(Buffer.concat([Buffer.from('echo:'), bytes]), from.port, from.address);
    });
    // Port 0: a recording in which nobody asks it.
    upstream.socket.bind(port ?? 0, '127.0.0.14');
    await once(upstream.socket, 'listening');
    return upstream;
  }

  lines(): string[] {
    return this.#received.map(
      (it) => `upstream received ${it.length} bytes b'${it.toString().slice(0, 20)}'`,
    );
  }
}

async function exchange(port: number, bytes: Buffer, isUnanswered: boolean): Promise<string> {
  const socket = createSocket('udp4');
  socket.on('error', () => {});
  socket.connect(port, '127.0.0.1');
  await once(socket, 'connect');
  const answer = once(socket, 'message').then(([it]: Buffer[]) => it!);
  socket.send(bytes);
  const received = await Promise.race([answer, sleep(isUnanswered ? 150 : 5000, undefined, { ref: false })]);
  socket.close();
  return received === undefined ? '(no reply within 0.4 s)' : cutText(received);
}

/** `b'abc'`, or `b'xxxx... (1400 bytes)'` of one letter. */
function payload(shown: string): Buffer {
  const [, letter, length] = /^b'(.)\1*\.\.\. \((\d+) bytes\)'$/.exec(shown) ?? [];
  if (letter !== undefined) return Buffer.alloc(Number(length), letter);
  return Buffer.from(shown.slice(2, -1));
}

/** The recorder cut what is long, here and there differently: the length says enough. */
function cutText(bytes: Buffer): string {
  return bytes.length > 60 ? `${bytes.length} bytes` : `b'${bytes.toString()}'`;
}

function withoutCut(transcript: string): string {
  return transcript
    .replace(
      /-> b'(echo:)(.)\2*\.\.\. \((\d+) chars\)/g,
      (_, _echo, _letter, chars) => `-> ${Number(chars) - 3} bytes`,
    )
    .replace(/(upstream received \d+ bytes b'.{0,20}).*'$/gm, "$1'");
}

/** How often names were resolved is a matter of time. */
const withoutUpdates = (text: string) =>
  text
    .trimEnd()
    .replace(
      /^(\S+\.(?:total_match_count|update_attempt|update_no_rebuild|update_success)): (?!0$)\d+$/gm,
      '$1: ⟨n⟩',
    )
    // One more resolution may make the first that changes nothing.
    .replace(/^\S+\.update_no_rebuild: .*\n/gm, '');

/** The node has the build's versions and extensions. */
function withoutNode(text: string): string {
  const dump = JSON.parse(text) as { readonly configs: { bootstrap?: { node?: unknown } }[] };
  delete dump.configs[0]?.bootstrap?.node;
  return normalize(JSON.stringify(dump, null, 1));
}

const udpMetrics = (text: string) =>
  text
    .split('\n')
    .filter((line) => line.includes('udp'))
    .map((line) => line.replace(/ \d+$/, ''))
    .sort()
    .join('\n');

const sorted = (text: string) => text.split('\n').filter(Boolean).sort().join('\n');

/** docs/differences.md: there is no watchdog and no overload manager, and c-ares does not count. */
const absent = /watchdog|^overload\.|^envoy\.overload_actions\.|^dns\.cares\./;

const names = (text: string) =>
  text
    .split('\n')
    .map((line) => line.slice(0, line.indexOf(': ')))
    .filter((name) => name !== '' && !absent.test(name))
    .sort()
    .join('\n');
