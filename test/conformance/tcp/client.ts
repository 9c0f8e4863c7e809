// A TCP client that remembers what it got and how the connection ended.
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

export interface ClientOptions {
  readonly localAddress?: string;
  /** Instead of the listener of the case. */
  readonly port?: number;
  /** The name to ask for; undefined: plaintext. */
  readonly serverName?: string;
}

export class TcpClient {
  readonly socket: Socket;
  text = '';
  /** How it ended: `fin` (the peer's side), `reset`, or empty while open. */
  end = '';
  #wake: (() => void)[] = [];

  constructor(options: ClientOptions & { readonly port: number }) {
    const raw = connect({ host: '127.0.0.1', allowHalfOpen: true, noDelay: true, ...options });
    this.socket =
      options.serverName === undefined
        ? raw
        : connectTls({ socket: raw, servername: options.serverName, rejectUnauthorized: false });
    this.socket.setEncoding('latin1');
    this.socket.on('data', (text: string) => {
      this.text += text;
      this.#changed();
    });
    this.socket.on('end', () => {
      this.end ||= 'fin';
      this.#changed();
    });
    this.socket.on('error', () => {
      this.end = 'reset';
      this.#changed();
    });
    this.socket.on('close', () => {
      this.end ||= 'fin';
      this.#changed();
    });
  }

  send(text: string | Buffer): this {
    this.socket.write(typeof text === 'string' ? Buffer.from(text, 'latin1') : text);
    return this;
  }

  finish(): this {
    this.socket.end();
    return this;
  }

  reset(): this {
    this.socket.resetAndDestroy();
    return this;
  }

  /** Everything received, once it contains `part`, or the connection has ended. */
  async until(part: string): Promise<string> {
    while (!this.text.includes(part) && this.end === '') await this.#change();
    return this.text;
  }

  /** What was received and how it ended. */
  async ended(): Promise<readonly [string, string]> {
    while (this.end === '') await this.#change();
    return [this.text, this.end];
  }

  destroy(): void {
    this.socket.destroy();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve));
  }

  #changed(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}
