// An HTTP/1.1 upstream for tests: says what it should, keeps what it saw, and can hold an answer until it is told to go on.
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type OutgoingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface Answer {
  readonly status?: number;
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: string;
}

export class Http1Upstream {
  /** Every request, in the order they were complete. */
  readonly requests: SeenRequest[] = [];
  readonly #server: Server;
  readonly #answers = new Map<string, Answer>();
  readonly #held = new Map<
    string,
    { readonly waiting: (() => void)[]; arrived: () => void; readonly arrival: Promise<void> }
  >();

  constructor() {
    this.#server = createServer((request, response) => {
      let body = '';
      request.setEncoding('latin1');
      request.on('data', (chunk) => {
        body += chunk;
      });
      request.on('end', () => {
        const { method = '', url: path = '', headers } = request;
        this.requests.push({ method, path, headers, body });
        const respond = () => {
          const { status = 200, headers: own = {}, body: text = 'ok\n' } = this.#answers.get(path) ?? {};
          response.writeHead(status, { 'content-type': 'text/plain', ...own });
          response.end(text);
        };
        const held = this.#held.get(path);
        if (held === undefined) respond();
        else {
          held.waiting.push(respond);
          held.arrived();
        }
      });
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Answers that path in this way; every other is answered 200 `ok`. */
  answer(path: string, answer: Answer): this {
    this.#answers.set(path, answer);
    return this;
  }

  /** Holds the answers to that path until `release`. */
  slow(path: string): this {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#held.set(path, { waiting: [], arrived: resolve, arrival: promise });
    return this;
  }

  /** Settles once a request for a slow path is there. */
  arrival(path: string): Promise<void> {
    return this.#held.get(path)!.arrival;
  }

  /** Lets the answers to a slow path go, and is not slow there any more. */
  release(path: string): void {
    const held = this.#held.get(path)!;
    this.#held.delete(path);
    for (const respond of held.waiting) respond();
  }

  async start(t: TestContext): Promise<this> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    t.after(() => {
      this.#server.closeAllConnections();
      this.#server.close();
    });
    return this;
  }
}
