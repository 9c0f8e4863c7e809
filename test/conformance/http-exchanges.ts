// Envoy and chancery side by side: the same configuration, the same bytes from clients, an upstream each that acts by path. What the
// client got, what the upstream saw and what was logged must be the same.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ProxyKind, startProxyProcess } from '#testing/proxy-process.ts';
import { portsFor, quickLogs, withoutPort } from './black-box.ts';
import { normalize } from './golden/compare.ts';
import { requestLength } from './golden/scripted-upstream.ts';

/** What a line of `access.log` has to begin with, so that it is found again. */
export const connectionKey = '%DOWNSTREAM_DIRECT_REMOTE_PORT%-%DOWNSTREAM_LOCAL_PORT%';

export interface Exchange {
  readonly name: string;
  /** A listener of the configuration by its port there. */
  readonly port: number;
  /** Latin-1 pieces; a number waits so many ms, FIN ends the client's side. */
  readonly send: readonly (string | number | typeof FIN)[];
  /** How long to listen after the last piece. */
  readonly waitMs?: number;
  /** The address of the client; default: 127.0.0.1. */
  readonly localAddress?: string;
}

export const FIN = Symbol('FIN');

/** Answers one request. */
export type Behaviour = (socket: Socket, request: string) => void;

/** An outcome per exchange, in words, by name. */
export async function playBoth(
  yaml: string,
  behaviours: Readonly<Record<string, Behaviour>>,
  exchanges: readonly Exchange[],
): Promise<{ envoy: Map<string, string>; chancery: Map<string, string> }> {
  const both = async (some: readonly Exchange[]) => {
    const [envoy, chancery] = await Promise.all(
      (['envoy', 'chancery'] as const).map((kind) => play(kind, yaml, behaviours, some)),
    );
    return { envoy: envoy!, chancery: chancery! };
  };
  const outcomes = await both(exchanges);
  // On a busy machine a timeout may come late: what differs is played again.
  for (let attempt = 0; attempt < 3; attempt++) {
    const differing = exchanges.filter(
      (it) => outcomes.envoy.get(it.name) !== outcomes.chancery.get(it.name),
    );
    if (differing.length === 0) break;
    const again = await both(differing);
    for (const { name } of differing) {
      outcomes.envoy.set(name, again.envoy.get(name)!);
      outcomes.chancery.set(name, again.chancery.get(name)!);
    }
  }
  return outcomes;
}

/** The outcomes are the same, in whichever order an exchange's requests reached their upstreams. */
export async function expectSameOutcomes(
  yaml: string,
  behaviours: Readonly<Record<string, Behaviour>>,
  exchanges: readonly Exchange[],
): Promise<void> {
  const { envoy, chancery } = await playBoth(yaml, behaviours, exchanges);
  const sorted = (text: string) =>
    text
      .split(/(?=^[A-Z]+ \/)/m)
      .sort()
      .join('');
  for (const { name } of exchanges) assert.equal(sorted(chancery.get(name)!), sorted(envoy.get(name)!), name);
}

async function play(
  kind: ProxyKind,
  written: string,
  behaviours: Readonly<Record<string, Behaviour>>,
  exchanges: readonly Exchange[],
): Promise<Map<string, string>> {
  const { yaml, port } = await portsFor(written);
  const folder = mkdtempSync(join(tmpdir(), 'side-by-side-'));
  const sockets = new Set<Socket>();
  const seen = new Map<string, string>();
  const upstream = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    serve(socket, behaviours, seen);
  });
  upstream.listen(port(21201), '127.0.0.1');
  await once(upstream, 'listening');
  const proxy = await startProxyProcess({
    kind,
    folder,
    yaml,
    adminPort: port(21001),
    arguments: quickLogs,
  });
  try {
    const played = await Promise.all(exchanges.map((it) => exchange(it, port(it.port))));
    await sleep(300);
    const logs = new Map<string, string>();
    for (const line of readFileSync(join(folder, 'access.log'), 'latin1').trimEnd().split('\n')) {
      const from = line.slice(0, line.indexOf(' '));
      logs.set(from, `${logs.get(from) ?? ''}${line.slice(line.indexOf(' ') + 1)}\n`);
    }
    return new Map(
      played.map(({ name, text, from }) => [
        name,
        withoutPort(
          comparable(`client:\n${text}\nupstream:\n${seen.get(name) ?? ''}\nlog:\n${logs.get(from) ?? ''}`),
          port(21201),
          '⟨upstream⟩',
        ),
      ]),
    );
  } finally {
    await proxy.stop();
    for (const socket of sockets) socket.destroy();
    upstream.close();
    rmSync(folder, { recursive: true });
  }
}

function comparable(text: string): string {
  return (
    normalize(text)
      .replace(/⟨ms \d+⟩/g, '⟨ms⟩')
      // What is left of a timeout when a request is repeated.
      .replace(/^(x-envoy-expected-rq-timeout-ms: )\d*[1-9]$/gm, '$1⟨ms⟩')
  );
}

async function exchange({ name, send, waitMs = 300, localAddress = '127.0.0.1' }: Exchange, port: number) {
  const socket = connect({ host: '127.0.0.1', port, localAddress, allowHalfOpen: true, noDelay: true });
  await once(socket, 'connect');
  const from = `${socket.localPort}-${port}`;
  let text = '';
  socket.on('data', (data) => {
    text += data.toString('latin1');
  });
  socket.on('end', () => {
    text += '⟨FIN⟩';
  });
  socket.on('error', () => {
    text += '⟨RST⟩';
  });
  for (const piece of send) {
    if (typeof piece === 'number') await sleep(piece);
    else if (piece === FIN) socket.end();
    // The upstream tells exchanges apart by this header.
    else if (!socket.destroyed)
      socket.write((piece as string).replace('\r\n\r\n', `\r\nx-exchange: ${name}\r\n\r\n`), 'latin1');
  }
  await sleep(waitMs);
  socket.destroy();
  return { name, text, from };
}

function serve(
  socket: Socket,
  behaviours: Readonly<Record<string, Behaviour>>,
  seen: Map<string, string>,
): void {
  let pending = '';
  socket.on('data', (data) => {
    pending += data.toString('latin1');
    for (;;) {
      const length = requestLength(pending);
      if (length === undefined) return;
      const request = pending.slice(0, length);
      pending = pending.slice(length);
      const name = /\r\nx-exchange: ([^\r]*)/.exec(request)?.[1] ?? '';
      seen.set(name, (seen.get(name) ?? '') + request);
      const behaviour = behaviours[/^\S+ \S*\/([\w-]+)/.exec(request)?.[1] ?? ''];
      if (behaviour === undefined) socket.write('HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n');
      else behaviour(socket, request);
    }
  });
}
