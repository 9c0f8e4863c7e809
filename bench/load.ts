// Load from outside: wrk and h2load in a closed loop, and small clients of our own for what these cannot do. Each returns how many requests were answered well.
import { execFile } from 'node:child_process';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as tlsConnect } from 'node:tls';
import { promisify } from 'node:util';
import { peer } from '#testing/peers.ts';

/** A load that does not end is an error, not a wait. */
const run = (program: string, args: readonly string[], seconds: number) =>
  promisify(execFile)(program, args, { timeout: seconds * 1000 + 10_000, killSignal: 'SIGKILL' });

export interface LoadResult {
  readonly requests: number;
  readonly failed: number;
  /** Milliseconds, where the load was of a fixed rate. */
  readonly p50?: number;
  readonly p99?: number;
}

export interface LoadOptions {
  readonly seconds: number;
  readonly url: string;
  readonly connections?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

export async function wrk({
  seconds,
  url,
  connections = 32,
  headers = {},
}: LoadOptions): Promise<LoadResult> {
  const flags = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
  const { stdout } = await run(
    peer('wrk'),
    ['-t1', `-c${connections}`, `-d${seconds}s`, ...flags, url],
    seconds,
  );
  const requests = Number(/(\d+) requests in/.exec(stdout)?.[1] ?? 0);
  const bad = Number(/Non-2xx or 3xx responses: (\d+)/.exec(stdout)?.[1] ?? 0);
  const errors = [...(/Socket errors: (.*)/.exec(stdout)?.[1] ?? '').matchAll(/(connect|timeout) (\d+)/g)];
  return { requests, failed: bad + errors.reduce((sum, it) => sum + Number(it[2]), 0) };
}

export interface H2LoadOptions extends LoadOptions {
  readonly streams?: number;
  readonly h1?: boolean;
}

export async function h2load(options: H2LoadOptions): Promise<LoadResult> {
  const { seconds, url, connections = 4, streams = 8, h1, headers = {} } = options;
  const { stdout } = await run(
    peer('h2load'),
    [
      '-t1',
      `-c${connections}`,
      `-m${h1 ? 1 : streams}`,
      `-D${seconds}`,
      ...(h1 ? ['--h1'] : []),
      ...Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]),
      url,
    ],
    seconds,
  );
  const requests = Number(/(\d+) succeeded/.exec(stdout)?.[1] ?? 0);
  const failed = Number(/(\d+) failed/.exec(stdout)?.[1] ?? 0) + Number(/(\d+) 5xx/.exec(stdout)?.[1] ?? 0);
  return { requests, failed };
}

/** TLS 1.3 handshakes without a request: full ones, or resumed with a ticket. */
export async function handshakes(port: number, seconds: number, resumed: boolean): Promise<LoadResult> {
  const options = { host: '127.0.0.1', port, rejectUnauthorized: false };
  let session: Buffer | undefined;
  if (resumed) {
    const first = tlsConnect(options);
    first.write('GET / HTTP/1.1\r\nhost: bench\r\n\r\n');
    first.resume();
    [session] = (await once(first, 'session')) as [Buffer];
    first.destroy();
  }
  const until = performance.now() + seconds * 1000;
  let requests = 0;
  let failed = 0;
  const client = async () => {
    while (performance.now() < until) {
      const socket = tlsConnect({ ...options, ...(session ? { session } : {}) });
      await once(socket, 'secureConnect');
      if (socket.isSessionReused() === resumed) requests++;
      else failed++;
      socket.destroy();
    }
  };
  await Promise.all(Array.from({ length: 4 }, client));
  return { requests, failed };
}

/** One request every 1/rate seconds, in turn over some connections; latency counts from when the request was due. */
export async function fixedRate(
  { seconds, url, connections = 30 }: LoadOptions,
  rate: number,
): Promise<LoadResult> {
  const { hostname, port, pathname } = new URL(url);
  const request = Buffer.from(`GET ${pathname} HTTP/1.1\r\nhost: bench\r\n\r\n`);
  const latencies: number[] = [];
  const sockets: Socket[] = [];
  const due: number[][] = [];
  for (let i = 0; i < connections; i++) {
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    await once(socket, 'connect');
    const mine: number[] = [];
    // Small answers arrive whole: one chunk begins with each answer.
    socket.on('data', (chunk: Buffer) => {
      const now = performance.now();
      for (let at = chunk.indexOf('HTTP/1.1 200'); at >= 0; at = chunk.indexOf('HTTP/1.1 200', at + 1))
        latencies.push(now - mine.shift()!);
    });
    sockets.push(socket);
    due.push(mine);
  }
  const started = performance.now();
  const count = Math.floor(seconds * rate);
  await new Promise<void>((resolve) => {
    let sent = 0;
    const tick = () => {
      for (const now = performance.now(); sent < count && started + (sent * 1000) / rate <= now; sent++) {
        due[sent % connections]!.push(started + (sent * 1000) / rate);
        sockets[sent % connections]!.write(request);
      }
      if (latencies.length >= count || performance.now() > started + seconds * 1000 + 2000) resolve();
      else setImmediate(tick);
    };
    tick();
  });
  for (const socket of sockets) socket.destroy();
  latencies.sort((a, b) => a - b);
  const percentile = (p: number) => latencies[Math.floor(latencies.length * p)]!;
  return {
    requests: latencies.length,
    failed: count - latencies.length,
    p50: percentile(0.5),
    p99: percentile(0.99),
  };
}

/** Requests with a large body, on a few connections, each waiting for its answer. wrk and h2load stumble over these. */
export async function uploads(
  { seconds, url, connections = 8 }: LoadOptions,
  body: Buffer,
): Promise<LoadResult> {
  const { hostname, port, pathname } = new URL(url);
  const head = `POST ${pathname} HTTP/1.1\r\nhost: bench\r\ncontent-length: ${body.length}\r\n\r\n`;
  const until = performance.now() + seconds * 1000;
  let requests = 0;
  let failed = 0;
  const client = async () => {
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    while (performance.now() < until) {
      socket.write(head, 'latin1');
      socket.write(body);
      const [answer] = (await once(socket, 'data')) as [Buffer];
      if (answer.toString('latin1').startsWith('HTTP/1.1 200')) requests++;
      else failed++;
    }
    socket.destroy();
  };
  await Promise.all(Array.from({ length: connections }, client));
  return { requests, failed };
}

/** Each of some clients sends a datagram and waits for its echo, which the upstream here gives. */
export async function datagrams(port: number, upstreamPort: number, seconds: number): Promise<LoadResult> {
  const payload = Buffer.alloc(64, 'x');
  const upstream = createSocket('udp4').bind(upstreamPort, '127.0.0.1');
  await once(upstream, 'listening');
  upstream.on('message', (bytes, from) => upstream.send(bytes, from.port, from.address));
  let requests = 0;
  let isOver = false;
  const clients: UdpSocket[] = [];
  for (let i = 0; i < 32; i++) {
    const client = createSocket('udp4');
    client.connect(port, '127.0.0.1');
    await once(client, 'connect');
    client.on('message', () => {
      requests++;
      if (!isOver) client.send(payload);
    });
    clients.push(client);
  }
  for (const client of clients) client.send(payload);
  // A datagram may get lost: its client starts again.
  let seen = 0;
  const watch = setInterval(() => {
    if (requests === seen) for (const client of clients) client.send(payload);
    seen = requests;
  }, 100);
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  isOver = true;
  clearInterval(watch);
  for (const socket of [upstream, ...clients]) socket.close();
  return { requests, failed: 0 };
}
