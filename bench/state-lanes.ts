// Lanes that are not load: memory per idle connection, start times, memory at rest.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { residentKilobytes } from '#testing/process-usage.ts';
import type { LoadLane } from './lanes.ts';
import {
  type Kind,
  openWorkshop,
  type Running,
  startProxy,
  startUpstream,
  type Workshop,
} from './proxies.ts';

/** At most so many times what Envoy has, or at most so much. */
export type Goal = number | { readonly atMost: number };

export interface Figure {
  readonly what: string;
  readonly kind: Kind;
  readonly values: readonly number[];
  readonly goal: Goal;
}

export interface StateLane {
  readonly name: string;
  readonly title: string;
  readonly measure: (kinds: readonly Kind[], rounds: number) => Promise<Figure[]>;
}

type Sample = Readonly<Record<string, number>>;

/** Runs `sample` on a fresh proxy of every kind, round after round. */
function freshProxies(
  lane: Pick<LoadLane, 'service' | 'tls'>,
  goals: Readonly<Record<string, Goal>>,
  sample: (proxy: Running) => Promise<Sample>,
  maxRounds = 3,
) {
  return async (kinds: readonly Kind[], rounds: number): Promise<Figure[]> => {
    const workshop: Workshop = openWorkshop();
    const upstream = await startUpstream(workshop, {});
    const samples = new Map<Kind, Sample[]>();
    try {
      for (let round = 0; round < Math.min(rounds, maxRounds); round++)
        for (const kind of kinds) {
          const proxy = await startProxy(kind, lane, upstream.port, workshop);
          if (!proxy) continue;
          try {
            const list = samples.get(kind) ?? [];
            list.push(await sample(proxy));
            samples.set(kind, list);
          } finally {
            await proxy.stop();
          }
        }
    } finally {
      await upstream.stop();
      workshop.remove();
    }
    return Object.entries(goals).flatMap(([what, goal]) =>
      [...samples].map(([kind, list]) => ({ what, kind, values: list.map((it) => it[what]!), goal })),
    );
  };
}

export const stateLanes: readonly StateLane[] = [
  {
    name: 'idle',
    title: 'memory per idle HTTP/1.1 connection, 4,000 of them after one request each',
    measure: freshProxies({}, { 'KB/connection': 0.6 }, async (proxy) => {
      const count = 4000;
      // The first requests load what every connection shares.
      const first = await openConnections(proxy.port, 200);
      for (const socket of first) socket.destroy();
      await sleep(500);
      const before = residentKilobytes(proxy.pid);
      const sockets = await openConnections(proxy.port, count);
      await sleep(1000);
      const after = residentKilobytes(proxy.pid);
      for (const socket of sockets) socket.destroy();
      return { 'KB/connection': (after - before) / count };
    }),
  },
  {
    name: 'start',
    title: 'start of a small configuration, and its memory at rest',
    measure: freshProxies({}, { 'ms to 1st answer': { atMost: 300 }, 'MB at rest': 1.8 }, async (proxy) => {
      const started = performance.now();
      await (await openConnections(proxy.port, 1))[0]!.destroy();
      const answered = proxy.startMs + performance.now() - started;
      await sleep(1000);
      return { 'ms to 1st answer': answered, 'MB at rest': residentKilobytes(proxy.pid) / 1024 };
    }),
  },
  {
    name: 'clusters',
    title: 'start with 5,000 clusters',
    measure: freshProxies(
      { service: { clusters: 5000 } },
      { 'ms to 1st answer': 1.05, MB: 0.6 },
      async (proxy) => {
        const started = performance.now();
        await (await openConnections(proxy.port, 1))[0]!.destroy();
        const answered = proxy.startMs + performance.now() - started;
        await sleep(1000);
        return { 'ms to 1st answer': answered, MB: residentKilobytes(proxy.pid) / 1024 };
      },
    ),
  },
];

/** Opens connections and waits for the answer to one request on each. */
async function openConnections(port: number, count: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  while (sockets.length < count) {
    const batch = Array.from({ length: Math.min(100, count - sockets.length) }, () =>
      connect({ host: '127.0.0.1', port, noDelay: true }),
    );
    await Promise.all(
      batch.map(async (socket) => {
        socket.write('GET / HTTP/1.1\r\nhost: bench\r\n\r\n');
        const [answer] = (await once(socket, 'data')) as [Buffer];
        if (!answer.toString('latin1').startsWith('HTTP/1.1 200'))
          throw new Error(`unexpected answer ${answer}`);
      }),
    );
    sockets.push(...batch);
  }
  return sockets;
}
