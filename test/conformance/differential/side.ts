// One side of the comparison: a proxy with upstreams of its own, which plays exchanges and says what came of each.
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createHttp2Server, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePorts } from '#testing/free-ports.ts';
import { type ProxyKind, type ProxyProcess, startProxyProcess } from '#testing/proxy-process.ts';
import { quickLogs, withoutPort } from '../black-box.ts';
import { normalize } from '../golden/compare.ts';
import { requestLength } from '../golden/scripted-upstream.ts';
import { dechunk } from './dechunk.ts';
import { asHttp2, playHttp2 } from './http2-exchange.ts';
import { type RandomExchange, type UpstreamBehaviour, upstreamBehaviours } from './random-requests.ts';

export interface Outcome {
  readonly response: string;
  readonly connection: string;
  readonly upstream: string;
  readonly log: string;
}

const quietMs = 250;
const longestMs = 3000;

export class Side {
  readonly kind: ProxyKind;
  readonly proxy: ProxyProcess;
  /** Of the listeners, in the order of the service. */
  readonly #ports: readonly number[];
  readonly #folder: string;
  readonly #upstreams: readonly (Server | Http2Server)[];
  readonly #sockets: Set<Socket>;
  /** What the upstream saw, by the x-exchange that the proxy passed on. */
  readonly #seen: Map<string, string>;

  private constructor(
    proxy: ProxyProcess,
    ports: readonly number[],
    folder: string,
    upstreams: (Server | Http2Server)[],
    sockets: Set<Socket>,
    seen: Map<string, string>,
  ) {
    this.kind = proxy.kind;
    this.proxy = proxy;
    this.#ports = ports;
    this.#folder = folder;
    this.#upstreams = upstreams;
    this.#sockets = sockets;
    this.#seen = seen;
  }

  static async start(kind: ProxyKind): Promise<Side> {
    const recorded = [21000, 21001, 21201, 21202, 21999, 21010, 21020];
    const ports = await freePorts(recorded.length);
    const yaml = readFileSync(join(import.meta.dirname, 'service.yaml'), 'utf8').replace(
      /(?<!\d)21\d{3}(?!\d)/g,
      (port) => String(ports[recorded.indexOf(Number(port))]!),
    );
    const sockets = new Set<Socket>();
    const seen = new Map<string, string>();
    const track = (socket: Socket) => {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => sockets.delete(socket));
    };
    const http1 = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      track(socket);
      serve(socket, seen);
    });
    const http2 = createHttp2Server();
    http2.on('connection', track);
    http2.on('stream', (stream: ServerHttp2Stream, headers) => {
      const { 'x-request-id': _, ...stable } = headers;
      seen.set(String(headers['x-exchange']), JSON.stringify(stable));
      stream.on('error', () => {});
      stream.resume();
      stream.on('end', () => {
        stream.respond({ ':status': 200, 'x-up': '2' });
        stream.end('over http/2');
      });
    });
    for (const [server, port] of [
      [http1, ports[2]],
      [http2, ports[3]],
    ] as const) {
      server.listen(port, '127.0.0.1');
      await once(server, 'listening');
    }
    const folder = mkdtempSync(join(tmpdir(), 'differential-'));
    const proxy = await startProxyProcess({
      kind,
      folder,
      yaml,
      adminPort: ports[1]!,
      arguments: quickLogs,
    });
    return new Side(proxy, [ports[0]!, ports[5]!, ports[6]!], folder, [http1, http2], sockets, seen);
  }

  async stop(): Promise<void> {
    await this.proxy.stop();
    for (const socket of this.#sockets) socket.destroy();
    for (const server of this.#upstreams) server.close();
    rmSync(this.#folder, { recursive: true });
  }

  /** Plays all of them, some at a time. */
  async play(exchanges: readonly RandomExchange[], atATime = 24, isHttp2 = false): Promise<Outcome[]> {
    const played: { response: string; connection: string; key: string; number: number }[] = [];
    const queue = [...exchanges];
    await Promise.all(
      Array.from({ length: atATime }, async () => {
        for (let it = queue.shift(); it; it = queue.shift())
          played.push(await (isHttp2 ? this.#http2Exchange(it) : this.#exchange(it)));
      }),
    );
    await sleep(1500);
    played.sort((a, b) => a.number - b.number);
    const log = new Map<string, string[]>();
    for (const line of readFileSync(join(this.#folder, 'access.log'), 'latin1').split('\n')) {
      const [port, rest] = [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)];
      log.set(port, [...(log.get(port) ?? []), rest]);
    }
    return played.map(({ response, connection, key, number }) => ({
      response: this.#comparable(response),
      connection,
      upstream: this.#comparable(this.#seen.get(String(number)) ?? ''),
      log: this.#comparable((log.get(key) ?? []).join('\n')),
    }));
  }

  #comparable(text: string): string {
    let comparable = normalize(dechunk(text)).replace(/⟨ms \d+⟩/g, '⟨ms⟩');
    this.#ports.forEach((port, i) => {
      comparable = withoutPort(comparable, port, `⟨listener ${i}⟩`);
    });
    return comparable;
  }

  async #http2Exchange(exchange: RandomExchange) {
    const { number } = exchange;
    const request = asHttp2(exchange);
    if (request === undefined) return { response: '', connection: 'not sent', key: '', number };
    return { ...(await playHttp2(request, this.#ports[exchange.listener]!)), number };
  }

  async #exchange({ number, listener, pieces, end }: RandomExchange) {
    const socket = connect({
      host: '127.0.0.1',
      port: this.#ports[listener]!,
      allowHalfOpen: true,
      noDelay: true,
    });
    await once(socket, 'connect');
    const key = `${socket.localPort}-${this.#ports[listener]}`;
    const received: Buffer[] = [];
    let connection = 'open';
    let wake = () => {};
    socket.on('data', (chunk: Buffer) => {
      received.push(chunk);
      wake();
    });
    socket.on('end', () => {
      if (connection === 'open') connection = 'closed';
      wake();
    });
    socket.on('error', () => {
      connection = 'reset';
      wake();
    });
    for (let i = 0; i < pieces.length && !socket.destroyed; i++) {
      if (i > 0) await sleep(4);
      // The number travels in a header of the first request only where the client wrote a complete first line.
      socket.write(i === 0 ? marked(pieces[0]!, number) : pieces[i]!, 'latin1');
    }
    if (end === 'fin') {
      // An answer and a FIN that cross each other are a race: the answer goes first.
      await sleep(100);
      socket.end();
    }
    if (end === 'close') {
      await sleep(20);
      socket.destroy();
    }
    const started = performance.now();
    let chunks = -1;
    while (connection === 'open' && !socket.destroyed && performance.now() - started < longestMs) {
      if (chunks === received.length) break;
      chunks = received.length;
      // An answer may take a while; after one, silence is the end.
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, received.length > 0 ? quietMs : 700);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    socket.destroy();
    return {
      response: Buffer.concat(received).toString('latin1'),
      connection: end === 'close' ? 'client' : connection,
      key,
      number,
    };
  }
}

function marked(piece: string, number: number): string {
  const lineEnd = piece.indexOf('\n') + 1;
  return lineEnd > 0 ? `${piece.slice(0, lineEnd)}x-exchange: ${number}\r\n${piece.slice(lineEnd)}` : piece;
}

/** The upstream: reads requests and answers by path. */
function serve(socket: Socket, seen: Map<string, string>): void {
  let pending = '';
  socket.on('data', (chunk: Buffer) => {
    pending += chunk.toString('latin1');
    for (;;) {
      const length = requestLength(pending);
      if (length === undefined) return;
      const raw = pending.slice(0, length);
      pending = pending.slice(length);
      const exchange = /\r\nx-exchange: (\d+)/.exec(raw)?.[1] ?? '';
      seen.set(exchange, (seen.get(exchange) ?? '') + raw);
      const behaviour = /\/([\w-]+)/.exec(
        (/^\S+ \S*?(\/up\/[\w-]+|\/[\w-]+)/.exec(raw)?.[1] ?? '').replace(/^\/up/, ''),
      )?.[1] as UpstreamBehaviour | undefined;
      const answer = upstreamBehaviours[behaviour ?? 'ok'] ?? upstreamBehaviours.ok;
      if (behaviour === 'reset') {
        socket.resetAndDestroy();
        return;
      }
      const bodiless = raw.startsWith('HEAD ');
      socket.write(bodiless ? answer.slice(0, answer.lastIndexOf('\r\n\r\n') + 4) : answer, 'latin1');
      if (behaviour?.endsWith('close')) {
        socket.end();
        return;
      }
    }
  });
}
