// Upstreams for the TCP cases. Each remembers the bytes it got, connection by connection.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import {
  constants,
  createServer as createHttp2Server,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import { createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { certificatePath } from '#testing/certificates.ts';

type Serve = (socket: Socket) => void;

/** Answers the first head of HTTP/1 with `answer`, and what comes then with `then`. */
function afterHead(answer: string, then: (socket: Socket, bytes: Buffer) => void): Serve {
  return (socket) => {
    let head = '';
    let isOpen = false;
    socket.on('data', (bytes: Buffer) => {
      if (isOpen) {
        then(socket, bytes);
        return;
      }
      head += bytes.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) return;
      isOpen = true;
      socket.write(answer);
      const rest = Buffer.from(head.slice(end + 4), 'latin1');
      if (rest.length > 0) then(socket, rest);
    });
    socket.on('end', () => socket.end());
  };
}

export interface Upstreams {
  /** What the connections to a port sent so far, in the order they came, as latin1. */
  readonly seen: (port: number) => readonly string[];
  /** Resolves when so many connections to that port were opened. */
  readonly opened: (port: number, count: number) => Promise<void>;
  /** Resolves when a connection to that port has sent something with `part` in it. */
  readonly until: (port: number, part: string) => Promise<string>;
  /** How the connection that sent `part` ended: `fin` or `reset`. */
  readonly ended: (port: number, part: string) => Promise<string>;
}

const connected = 'HTTP/1.1 200 OK\r\nx-a: b\r\n\r\n';

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
  21215: () => {},
  // HTTP/1.1, with an answer for every request.
  21205: (socket) => {
    socket.on('data', (bytes) => {
      if (bytes.includes('\r\n\r\n')) socket.write('HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nend');
    });
  },
  // Proxies for tunnels: one that echoes, one that refuses, one that breaks off, one that ends, one that takes a POST.
  21206: afterHead(connected, (socket, bytes) => socket.write(bytes)),
  21207: afterHead('HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n', () => {}),
  21208: afterHead(connected, (socket) => socket.resetAndDestroy()),
  21209: afterHead(connected, (socket) => socket.end('bye')),
  21210: afterHead('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n', (socket, bytes) => {
    if (bytes.includes('hello')) socket.write('5\r\nhello\r\n');
  }),
};

/** Behind TLS: what they were asked for, at once or in answer to HTTP/1.1. */
const tlsServers: Readonly<Record<number, (socket: TLSSocket) => void>> = {
  21216: (socket) => {
    socket.write(`${socket.servername} ${socket.alpnProtocol}!`);
    socket.resume();
  },
  21218: (socket) => {
    const body = `${socket.servername} ${socket.alpnProtocol}!`;
    socket.on('data', () => socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`));
  },
};

/** The same over HTTP/2. What is remembered of a stream are the headers. */
const http2Servers: Readonly<Record<number, (stream: ServerHttp2Stream) => void>> = {
  21211: (stream) => {
    stream.respond({ ':status': 200, 'x-a': 'b' });
    stream.pipe(stream);
  },
  21212: (stream) => stream.respond({ ':status': 503 }),
  21213: (stream) => {
    stream.respond({ ':status': 200 }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-end': 'c' }));
    stream.once('data', () => stream.end('bye'));
  },
  21214: (stream) => {
    stream.respond({ ':status': 200 });
    stream.once('data', () => stream.close(constants.NGHTTP2_INTERNAL_ERROR));
  },
};

export async function startUpstreams(t: TestContext, port: (written: number) => number): Promise<Upstreams> {
  const seen = new Map<number, { text: string; end: string }[]>();
  const wake: (() => void)[] = [];
  for (const [written, serve] of Object.entries(servers)) {
    const states: { text: string; end: string }[] = [];
    seen.set(Number(written), states);
    const sockets = new Set<Socket>();
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      const state = { text: '', end: '' };
      states.push(state);
      for (const it of wake.splice(0)) it();
      sockets.add(socket);
      const ended = (how: string) => {
        state.end ||= how;
        for (const it of wake.splice(0)) it();
      };
      socket.on('end', () => ended('fin'));
      socket.on('error', () => ended('reset'));
      socket.on('close', () => sockets.delete(socket));
      socket.on('data', (bytes: Buffer) => {
        state.text += bytes.toString('latin1');
        for (const it of wake.splice(0)) it();
      });
      serve(socket);
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
  for (const [written, serve] of Object.entries(tlsServers)) {
    const real = port(Number(written));
    if (!(real > 0)) continue;
    const server = createTlsServer(
      {
        cert: readFileSync(certificatePath('server-ec')),
        key: readFileSync(certificatePath('server-ec-key')),
        ALPNProtocols: ['one', 'two', 'http/1.1'],
        allowHalfOpen: true,
      },
      (socket) => {
        socket.on('error', () => {});
        socket.on('end', () => socket.end());
        serve(socket);
      },
    );
    server.on('tlsClientError', () => {});
    server.listen(real, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => server.close());
  }
  for (const [written, serve] of Object.entries(http2Servers)) {
    const states: { text: string; end: string }[] = [];
    seen.set(Number(written), states);
    const real = port(Number(written));
    if (!(real > 0)) continue;
    const sessions = new Set<ServerHttp2Session>();
    const server = createHttp2Server();
    server.on('session', (session) => sessions.add(session));
    server.on('sessionError', () => {});
    server.on('stream', (stream: ServerHttp2Stream, headers) => {
      stream.on('error', () => {});
      states.push({ text: JSON.stringify(Object.entries(headers).sort()), end: '' });
      serve(stream);
    });
    server.listen(real, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => {
      for (const session of sessions) session.destroy();
      server.close();
    });
  }
  return {
    seen: (it) => seen.get(it)!.map(({ text }) => text),
    async opened(it, count) {
      while (seen.get(it)!.length < count) await new Promise<void>((resolve) => wake.push(resolve));
    },
    async ended(it, part) {
      for (;;) {
        const end = seen.get(it)!.find(({ text }) => text.includes(part))?.end;
        if (end !== undefined && end !== '') return end;
        await new Promise<void>((resolve) => wake.push(resolve));
      }
    },
    async until(it, part) {
      for (;;) {
        const found = seen.get(it)!.find(({ text }) => text.includes(part));
        if (found !== undefined) return found.text;
        await new Promise<void>((resolve) => wake.push(resolve));
      }
    },
  };
}
