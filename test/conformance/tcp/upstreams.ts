// Upstreams for the TCP cases. Each remembers the bytes it got, connection by connection.
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';

export interface Upstreams {
  /** What the connections to a port sent so far, in the order they came, as latin1. */
  readonly seen: (port: number) => readonly string[];
  /** Resolves when a connection to that port has sent something with `part` in it. */
  readonly until: (port: number, part: string) => Promise<string>;
}

type Serve = (socket: Socket, state: { text: string }) => void;

/** By the port of the configuration. */
const servers: Readonly<Record<number, Serve>> = {
  // Sends everything back, and its end after the client's.
  21201: (socket) => {
    socket.on('data', (bytes) => socket.write(bytes));
    socket.on('end', () => socket.end());
  },
  // Greets, and ends when something came.
  21202: (socket) => {
    socket.write('hello');
    socket.once('data', () => socket.end('bye'));
  },
  // Breaks off when something came.
  21203: (socket) => {
    socket.once('data', () => socket.resetAndDestroy());
  },
  // Takes everything and says nothing.
  21204: () => {},
  // HTTP/1.1, with an answer for every request.
  21205: (socket) => {
    socket.on('data', (bytes) => {
      if (bytes.includes('\r\n\r\n')) socket.write('HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nend');
    });
  },
};

export async function startUpstreams(t: TestContext, port: (written: number) => number): Promise<Upstreams> {
  const seen = new Map<number, { text: string }[]>();
  const wake: (() => void)[] = [];
  for (const [written, serve] of Object.entries(servers)) {
    const states: { text: string }[] = [];
    seen.set(Number(written), states);
    const sockets = new Set<Socket>();
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      const state = { text: '' };
      states.push(state);
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => sockets.delete(socket));
      socket.on('data', (bytes: Buffer) => {
        state.text += bytes.toString('latin1');
        for (const it of wake.splice(0)) it();
      });
      serve(socket, state);
    });
    const real = port(Number(written));
    if (!(real > 0)) continue;
    server.listen(real, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
  }
  return {
    seen: (it) => seen.get(it)!.map(({ text }) => text),
    async until(it, part) {
      for (;;) {
        const found = seen.get(it)!.find(({ text }) => text.includes(part));
        if (found !== undefined) return found.text;
        await new Promise<void>((resolve) => wake.push(resolve));
      }
    },
  };
}
