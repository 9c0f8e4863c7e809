// An upstream that does what a recording says: one list of actions per request, and a transcript of the raw requests it saw.
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { UpstreamAction } from './recorded-case.ts';

export interface ScriptedUpstreamOptions {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  /** The actions for the n-th request (from 1) of this upstream. */
  readonly script: (request: string, n: number) => readonly UpstreamAction[];
  readonly onConnect?: readonly UpstreamAction[];
  /** Ends a connection that was idle so long. */
  readonly idleCloseMs?: number;
}

export interface SeenRequest {
  readonly upstream: string;
  readonly connection: number;
  readonly request: number;
  readonly raw: string;
}

export class ScriptedUpstream {
  readonly #options: ScriptedUpstreamOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #seen: SeenRequest[];
  #connections = 0;
  #requests = 0;

  private constructor(options: ScriptedUpstreamOptions, seen: SeenRequest[]) {
    this.#options = options;
    this.#seen = seen;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      this.#serve(socket, ++this.#connections).catch((error) => socket.destroy(error));
    });
  }

  /** Listens. Requests are appended to `seen`, which several upstreams may share. */
  static async start(options: ScriptedUpstreamOptions, seen: SeenRequest[]): Promise<ScriptedUpstream> {
    const upstream = new ScriptedUpstream(options, seen);
    upstream.#server.listen(options.port, options.host);
    await once(upstream.#server, 'listening');
    return upstream;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #serve(socket: Socket, connection: number): Promise<void> {
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.#sockets.delete(socket));
    if (this.#options.onConnect) {
      socket.resume();
      await this.#act(socket, this.#options.onConnect, '');
      return;
    }
    let pending = '';
    const see = (raw: string) =>
      this.#seen.push({ upstream: this.#options.name, connection, request: ++this.#requests, raw });
    const idleMs = this.#options.idleCloseMs;
    if (idleMs !== undefined) socket.setTimeout(idleMs, () => socket.end());
    const chunks = socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
    for await (const chunk of chunks) {
      pending += chunk.toString('latin1');
      for (;;) {
        const length = requestLength(pending);
        if (length === undefined) break;
        const raw = pending.slice(0, length);
        pending = pending.slice(length);
        see(raw);
        await this.#act(socket, this.#options.script(raw, this.#requests), raw);
      }
    }
    // A request that broke off. The connection stays half open: a recorded upstream does not answer a FIN.
    if (/^[A-Z]+ \S+ HTTP\//.test(pending)) see(pending);
  }

  async #act(socket: Socket, actions: readonly UpstreamAction[], raw: string): Promise<void> {
    const { name } = this.#options;
    for (const action of actions) {
      if (socket.destroyed) return;
      if (action[0] === 'send') socket.write(action[1], 'latin1');
      else if (action[0] === 'send-long') socket.write(lengthened(action[1], action[2]), 'latin1');
      else if (action[0] === 'sleep') await sleep(action[1] * 1000);
      else if (action[0] === 'close') socket.end();
      else if (action[0] === 'rst') socket.resetAndDestroy();
      else if (action[0] === 'name') socket.write(ok(`${name}\n`), 'latin1');
      else if (action[0] === 'echo') socket.write(ok(raw), 'latin1');
      else await once(socket, 'close');
    }
  }
}

/** `upstream-saw.txt` */
export function transcript(seen: readonly SeenRequest[]): string {
  return seen
    .map(
      ({ upstream, connection, request, raw }) =>
        `--- upstream=${upstream} connection=${connection} request=${request}\n${raw}${raw.endsWith('\n') ? '' : '\n'}`,
    )
    .join('');
}

/** The recorder kept the length and the first characters of a long message; the rest can be told from them. */
export function lengthened(length: number, first: string): string {
  let end = '\r\n\r\n';
  if (first.startsWith('POST')) end = '';
  else if (first.startsWith('HTTP/')) end = '\r\ncontent-length: 0\r\n\r\n';
  else if (first.startsWith('GET /a')) end = ' HTTP/1.1\r\nhost: e.com\r\n\r\n';
  return first.padEnd(length - end.length, first.at(-1)) + end;
}

function ok(body: string): string {
  return `HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
}

/** How many characters the first request takes, or undefined while it is incomplete. Only as strict as a proxy's output needs. */
export function requestLength(text: string): number | undefined {
  const headEnd = text.indexOf('\r\n\r\n');
  if (headEnd < 0) return undefined;
  const head = text.slice(0, headEnd);
  const bodyStart = headEnd + 4;
  const contentLength = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
  if (contentLength !== undefined) {
    const end = bodyStart + Number(contentLength);
    return text.length >= end ? end : undefined;
  }
  if (!/\r\ntransfer-encoding: *chunked/i.test(head)) return bodyStart;
  let at = bodyStart;
  for (;;) {
    const lineEnd = text.indexOf('\r\n', at);
    if (lineEnd < 0) return undefined;
    const size = Number.parseInt(text.slice(at, lineEnd), 16);
    if (size > 0) {
      at = lineEnd + 2 + size + 2;
      continue;
    }
    // The last chunk: trailers until an empty line.
    const end = text.startsWith('\r\n', lineEnd + 2) ? lineEnd + 4 : text.indexOf('\r\n\r\n', lineEnd) + 4;
    return end >= lineEnd + 4 && text.length >= end ? end : undefined;
  }
}
