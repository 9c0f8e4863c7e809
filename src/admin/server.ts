// The admin listener: HTTP/1.1 for operators, on the main thread. Node's own server is good enough here: it is asked a few times
// a minute, and what it would print otherwise than Envoy (header case, keep-alive) is set by hand.

import { chmodSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { addressText } from '#base/address-text.ts';
import { logger } from '#base/logger.ts';
import type { Scope } from '#stats/store.ts';
import type { Admin } from './admin.ts';
import { type AdminResponse, contentTypes } from './endpoint.ts';
import { AdminHttpStats, AdminListenerStats } from './listener-stats.ts';

const log = logger('admin');
const maxBodyBytes = 1 << 20;
const maxHeaders = 100;
/** An import would evaluate every export, and one of them loads Node's HTTP client of 10 ms and 8 MB. */
const { createServer, STATUS_CODES } = process.getBuiltinModule('node:http');

export type AdminAddress =
  | { readonly host: string; readonly port: number }
  | { readonly path: string; readonly mode?: number };

export interface AdminServerOptions {
  readonly admin: Admin;
  readonly address: AdminAddress;
  /** The scope without a prefix. */
  readonly stats: Scope;
  /** `--admin-address-path`: the file that gets the bound address. */
  readonly addressPath?: string | undefined;
  /** Called once per request when it is over: the admin listener's access log. */
  readonly onRequestEnd?: (entry: AdminLogEntry) => void;
}

/** What the access log of the admin listener can know. */
export interface AdminLogEntry {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly status: number;
  readonly bytesReceived: number;
  readonly bytesSent: number;
  /** As received: lines of headers, and everything with the body. */
  readonly headerBytes: number;
  readonly wireBytes: number;
  readonly contentType: string;
  /** As `performance.now()` counts. */
  readonly startMs: number;
  readonly durationMs: number;
  /** From 1, one more for each connection. */
  readonly connectionId: number;
  /** `127.0.0.1:4711`, `[::1]:4711`, or for a socket file its path and nothing. */
  readonly localAddress: string;
  readonly remoteAddress: string;
}

export class AdminServer {
  readonly #options: AdminServerOptions;
  readonly #server: Server;
  readonly #http: AdminHttpStats;
  readonly #listener: AdminListenerStats;
  readonly #connectionIds = new WeakMap<Socket, number>();
  #connections = 0;

  constructor(options: AdminServerOptions) {
    this.#options = options;
    this.#http = options.stats.scope('http.admin').stats(AdminHttpStats);
    this.#listener = options.stats.scope('listener.admin').stats(AdminListenerStats);
    // Those of the codec, which all listeners share.
    const codec = options.stats.scope('http1');
    codec.counter('dropped_headers_with_underscores');
    codec.counter('metadata_not_supported_error');
    codec.counter('requests_rejected_with_underscores_in_headers');
    codec.counter('response_flood');
    const settings = { maxHeaderSize: 60 * 1024, keepAliveTimeout: 0, requireHostHeader: false };
    this.#server = createServer(settings, (request, response) => this.#serve(request, response));
    this.#server.on('connection', (socket) => this.#onConnection(socket));
    this.#server.on('clientError', ({ code }: NodeJS.ErrnoException, socket) => {
      this.#http.cxProtocolError.value++;
      if (socket.writable) socket.end(protocolError(statusOf(code ?? '')));
    });
  }

  /** Resolves when the address is bound; rejects when it cannot be. */
  async start(): Promise<void> {
    const { address, addressPath } = this.#options;
    const listenTo = 'path' in address ? { path: address.path } : { host: address.host, port: address.port };
    // A socket file that a former process left is in nobody's way.
    if ('path' in address && !address.path.startsWith('\0')) rmSync(address.path, { force: true });
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(listenTo, () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
    if ('path' in address && address.mode) chmodSync(address.path, address.mode);
    log.info(`admin address: ${this.boundAddress()}`);
    if (addressPath === undefined) return;
    try {
      writeFileSync(addressPath, this.boundAddress());
    } catch {
      log.critical(`cannot open admin address output file ${addressPath} for writing.`);
    }
  }

  /** `127.0.0.1:9901`, or the path of the socket file. */
  boundAddress(): string {
    const bound = this.#server.address() as AddressInfo | string;
    if (typeof bound === 'string') return bound;
    return bound.family === 'IPv6' ? `[${bound.address}]:${bound.port}` : `${bound.address}:${bound.port}`;
  }

  /** Stops listening and ends what is open. */
  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  #onConnection(socket: Socket): void {
    const http = this.#http;
    const listener = this.#listener;
    const startMs = performance.now();
    for (const it of [http.cxTotal, http.cxHttp1Total, listener.cxTotal, listener.mainThreadCxTotal])
      it.value++;
    const active = [http.cxActive, http.cxHttp1Active, listener.cxActive, listener.mainThreadCxActive];
    for (const it of active) it.value++;
    listener.preCxActive.value = 0;
    listener.connectionsAcceptedPerSocketEvent.record(1);
    this.#connectionIds.set(socket, ++this.#connections);
    let isRemote = false;
    socket.once('end', () => {
      isRemote = true;
    });
    socket.once('close', () => {
      this.#countBytes(socket);
      this.#counted.delete(socket);
      for (const it of active) it.value--;
      const lengthMs = performance.now() - startMs;
      http.cxDestroy.value++;
      listener.cxDestroy.value++;
      (isRemote ? http.cxDestroyRemote : http.cxDestroyLocal).value++;
      http.cxLengthMs.record(lengthMs);
      listener.cxLengthMs.record(lengthMs);
    });
  }

  readonly #counted = new WeakMap<Socket, { received: number; sent: number }>();

  #countBytes(socket: Socket): void {
    const counted = this.#counted.get(socket) ?? { received: 0, sent: 0 };
    this.#http.cxRxBytesTotal.value += socket.bytesRead - counted.received;
    this.#http.cxTxBytesTotal.value += socket.bytesWritten - counted.sent;
    this.#counted.set(socket, { received: socket.bytesRead, sent: socket.bytesWritten });
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const { method = 'GET', url = '/', headers } = request;
    const startMs = performance.now();
    this.#http.rqTotal.value++;
    this.#http.rqHttp1Total.value++;
    this.#http.rqActive.value++;
    const { socket } = request;
    const buffered = socket.bytesRead - (this.#counted.get(socket)?.received ?? 0);
    this.#http.cxRxBytesBuffered.value += buffered;
    response.once('close', () => {
      this.#http.cxRxBytesBuffered.value -= buffered;
    });
    const refusal = refusalOf(request);
    if (refusal !== 0) {
      this.#refuse(request, response, refusal);
      return;
    }
    const body: Buffer[] = [];
    let bytesReceived = 0;
    request.on('data', (chunk: Buffer) => {
      bytesReceived += chunk.length;
      if (bytesReceived <= maxBodyBytes) body.push(chunk);
    });
    response.once('close', () => {
      this.#http.rqActive.value--;
      this.#http.rqTime.record(performance.now() - startMs);
    });
    request.once('end', () => {
      this.#countBytes(request.socket);
      const answer = (answered: AdminResponse) => {
        const bytesSent = this.#send(request, response, answered);
        const { remoteAddress, remotePort, localAddress, localPort } = request.socket;
        const { rawHeaders, httpVersion } = request;
        // A colon and the end of a line; Envoy does not count the space between.
        const headerBytes = rawHeaders.join('').length + (rawHeaders.length / 2) * 3;
        const lineBytes = method.length + url.length + httpVersion.length + ' '.length * 2 + 'HTTP/'.length;
        this.#options.onRequestEnd?.({
          method,
          path: url,
          headers,
          status: answered.status ?? 200,
          contentType: answered.contentType ?? contentTypes.text,
          bytesReceived,
          bytesSent,
          headerBytes,
          wireBytes: lineBytes + headerBytes + rawHeaders.length / 2 + 4 + bytesReceived,
          startMs,
          durationMs: performance.now() - startMs,
          connectionId: this.#connectionIds.get(request.socket) ?? 0,
          localAddress: addressOf(localAddress, localPort) || this.boundAddress(),
          remoteAddress: addressOf(remoteAddress, remotePort),
        });
      };
      if (bytesReceived > maxBodyBytes) {
        answer({ status: 413, contentType: contentTypes.bareText, body: 'Payload Too Large' });
        return;
      }
      this.#options.admin
        .handle(method, url, headers['content-type'] ?? '', Buffer.concat(body))
        .then(answer, (error) => {
          log.error(
            `request to ${url} failed: ${error instanceof Error ? (error.stack ?? error.message) : error}`,
          );
          answer({ status: 500, body: 'internal error, see the log\n' });
        });
    });
  }

  /** What Envoy's codec or connection manager answers before the admin interface sees a request. */
  #refuse(request: IncomingMessage, response: ServerResponse, status: number): void {
    this.#http.rqActive.value--;
    this.#countAnswer(status);
    if (status === 426 || status === 431) {
      this.#http.cxProtocolError.value++;
      request.socket.end(protocolError(status));
      return;
    }
    response.sendDate = false;
    response.statusCode = status;
    response.setHeader('date', new Date().toUTCString());
    response.setHeader('server', 'envoy');
    setConnection(request, response);
    response.setHeader('content-length', '0');
    response.end();
  }

  #countAnswer(status: number): void {
    const byClass = Math.floor(status / 100) - 1;
    for (const it of [this.#http, this.#listener]) {
      it.rqByClass[byClass]!.value++;
      it.rqCompleted.value++;
    }
  }

  /** Returns the bytes of the body. */
  #send(request: IncomingMessage, response: ServerResponse, answer: AdminResponse): number {
    const { status = 200, contentType = contentTypes.text, body, afterSent } = answer;
    this.#countAnswer(status);
    response.statusCode = status;
    response.sendDate = false;
    response.setHeader('content-type', contentType);
    response.setHeader('cache-control', 'no-cache, max-age=0');
    response.setHeader('x-content-type-options', 'nosniff');
    response.setHeader('date', new Date().toUTCString());
    response.setHeader('server', 'envoy');
    setConnection(request, response);
    response.setHeader('transfer-encoding', 'chunked');
    const bytes = request.method === 'HEAD' ? Buffer.alloc(0) : Buffer.from(body);
    response.end(bytes, () => {
      this.#countBytes(request.socket);
      afterSent?.();
    });
    return bytes.length;
  }
}

function addressOf(ip = '', port = 0): string {
  return ip === '' ? '' : addressText(ip, port);
}

function setConnection({ headers }: IncomingMessage, response: ServerResponse): void {
  if (headers.connection?.toLowerCase() === 'close') response.setHeader('connection', 'close');
  else response.removeHeader('connection');
}

/** The status for a request that does not get as far as the pages, or 0. */
function refusalOf({ httpVersion, rawHeaders, headers, url = '' }: IncomingMessage): number {
  if (httpVersion === '1.0') return 426;
  if (rawHeaders.length / 2 > maxHeaders) return 431;
  if (headers.host === undefined) return 400;
  if (!url.startsWith('/')) return 404;
  return url.includes('#') ? 400 : 0;
}

/** For an error of Node's parser. */
function statusOf(code: string): number {
  if (code === 'HPE_HEADER_OVERFLOW') return 431;
  return code === 'HPE_INVALID_VERSION' ? 426 : 400;
}

function protocolError(status: number): string {
  const text = STATUS_CODES[status]!;
  return `HTTP/1.1 ${status} ${text}\r\ncontent-length: ${text.length}\r\ncontent-type: text/plain\r\ndate: ${new Date().toUTCString()}\r\nserver: envoy\r\nconnection: close\r\n\r\n${text}`;
}
