// What must not hurt: very many connections, peers that do not read or do not write, peers that break off anywhere, floods. Memory stays
// bounded and other requests are answered meanwhile.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { residentKilobytes } from '#testing/process-usage.ts';
import type { ProxyProcess } from '#testing/proxy-process.ts';
import { forwardingYaml, portsFor, proxyMissing, startBlackBox } from './black-box.ts';

const ok = 'HTTP/1.1 200 OK\r\nx-upstream: yes\r\ncontent-length: 13\r\n\r\nhello, world\n';
const megabyte = 1 << 20;

interface Fixture {
  readonly proxy: ProxyProcess;
  readonly connect: () => Socket;
}

/** The proxy in front of an upstream that handles each connection as told. */
async function behind(
  t: TestContext,
  serve: (socket: Socket) => void,
  yaml = forwardingYaml(),
): Promise<Fixture> {
  const { yaml: written, port } = await portsFor(yaml);
  const sockets = new Set<Socket>();
  const server: Server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    serve(socket);
  });
  server.listen(port(21201), '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const proxy = await startBlackBox(t, written, { admin: port(21001), listener: port(21000) });
  const open = () => {
    const socket = connect({ host: '127.0.0.1', port: port(21000), noDelay: true });
    socket.on('error', () => {});
    t.after(() => socket.destroy());
    return socket;
  };
  return { proxy, connect: open };
}

/** Answers every request; /never-read is not read, /never-write is not answered, /endless is answered without end. */
function serveAll(socket: Socket): void {
  let text = '';
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
    if (text.includes(' /never-read ')) socket.pause();
    else if (text.includes(' /never-write ')) return;
    else if (text.includes(' /endless ')) {
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${400 * megabyte}\r\n\r\n`);
      const block = Buffer.alloc(megabyte);
      const pump = () => {
        while (!socket.destroyed && socket.write(block)) {}
      };
      socket.on('drain', pump);
      pump();
      text = '';
    } else
      for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
        text = text.slice(end + 4);
        socket.write(ok);
      }
  });
}

/** `once` would reject on an error; here a reset is an end like any other. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once('close', () => resolve());
  });
}

async function assertAnswers(fixture: Fixture, withinMs = 3000): Promise<void> {
  const socket = fixture.connect();
  const started = performance.now();
  socket.write('GET / HTTP/1.1\r\nhost: test\r\n\r\n');
  const [answer] = (await once(socket, 'data', { signal: AbortSignal.timeout(withinMs) })) as [Buffer];
  assert.match(answer.toString('latin1'), /^HTTP\/1\.1 200 /, `after ${performance.now() - started} ms`);
  socket.destroy();
}

async function assertGrowth(
  fixture: Fixture,
  maxMegabytes: number,
  during: () => Promise<void>,
): Promise<void> {
  await assertAnswers(fixture);
  const before = residentKilobytes(fixture.proxy.pid);
  await during();
  const grown = (residentKilobytes(fixture.proxy.pid) - before) / 1024;
  assert.ok(
    grown < maxMegabytes,
    `memory grew by ${grown.toFixed(0)} MB, at most ${maxMegabytes} are allowed`,
  );
  await assertAnswers(fixture);
  assert.equal(fixture.proxy.hasExited, false);
}

const descriptors = Number(
  execFileSync('sh', ['-c', 'ulimit -n'], { encoding: 'utf8' }).replace('unlimited', '1e9'),
);
const tooFew = descriptors < 11_000 && `only ${descriptors} open files are allowed here`;
const timeout = 90_000;

test('10,000 open connections, each used once', { skip: proxyMissing || tooFew, timeout }, async (t) => {
  const fixture = await behind(t, serveAll);
  await assertGrowth(fixture, 200, async () => {
    const sockets: Socket[] = [];
    while (sockets.length < 10_000) {
      const batch = Array.from({ length: 250 }, fixture.connect);
      await Promise.all(
        batch.map((socket) => {
          socket.write('GET / HTTP/1.1\r\nhost: test\r\n\r\n');
          return once(socket, 'data');
        }),
      );
      sockets.push(...batch);
    }
    await assertAnswers(fixture);
    const open = sockets.filter((socket) => !socket.destroyed && !socket.readableEnded).length;
    assert.equal(open, 10_000);
  });
});

test('20 clients that do not read large answers', { skip: proxyMissing, timeout }, async (t) => {
  const fixture = await behind(t, serveAll);
  await assertGrowth(fixture, 120, async () => {
    for (let i = 0; i < 20; i++) {
      const socket = fixture.connect();
      socket.write('GET /endless HTTP/1.1\r\nhost: test\r\n\r\n');
      socket.once('data', () => socket.pause());
    }
    await sleep(2000);
    await assertAnswers(fixture);
  });
});

test('20 large requests to an upstream that does not read', { skip: proxyMissing, timeout }, async (t) => {
  const fixture = await behind(t, serveAll);
  await assertGrowth(fixture, 120, async () => {
    for (let i = 0; i < 20; i++) {
      const socket = fixture.connect();
      socket.write(`POST /never-read HTTP/1.1\r\nhost: test\r\ncontent-length: ${100 * megabyte}\r\n\r\n`);
      const block = Buffer.alloc(megabyte);
      const pump = () => {
        while (!socket.destroyed && socket.write(block)) {}
      };
      socket.on('drain', pump);
      pump();
    }
    await sleep(2000);
    await assertAnswers(fixture);
  });
});

test('1,000 clients that send their request one byte at a time', {
  skip: proxyMissing,
  timeout,
}, async (t) => {
  const fixture = await behind(t, serveAll);
  await assertGrowth(fixture, 60, async () => {
    const sockets = Array.from({ length: 1000 }, fixture.connect);
    const request = 'GET / HTTP/1.1\r\nhost: test\r\n\r\n';
    for (const byte of request) {
      for (const socket of sockets) socket.write(byte);
      await sleep(10);
    }
    const answers = await Promise.all(
      sockets.map(async (socket) => String(((await once(socket, 'data')) as [Buffer])[0]).slice(0, 12)),
    );
    assert.deepEqual([...new Set(answers)], ['HTTP/1.1 200']);
  });
});

for (const how of ['end', 'reset'] as const)
  test(`an upstream that breaks off (${how}) after each byte of its answer`, {
    skip: proxyMissing,
    timeout,
  }, async (t) => {
    const fixture = await behind(t, (socket) => {
      socket.on('data', (chunk: Buffer) => {
        const cut = /^GET \/cut\/(\d+) /.exec(chunk.toString('latin1'))?.[1];
        if (cut === undefined) {
          socket.write(ok);
          return;
        }
        // An RST would overtake bytes that were not read yet: it waits for a moment.
        const stop = () => (how === 'end' ? socket.end() : socket.resetAndDestroy());
        socket.write(ok.slice(0, Number(cut)), () => (how === 'end' ? stop() : setTimeout(stop, 10)));
      });
    });
    const headEnd = ok.indexOf('\r\n\r\n') + 4;
    const wrong: string[] = [];
    await Promise.all(
      Array.from({ length: ok.length + 1 }, async (_, cut) => {
        const socket = fixture.connect();
        let answer = '';
        socket.on('data', (chunk: Buffer) => {
          answer += chunk.toString('latin1');
          if (answer.includes('hello, world\n') || answer.startsWith('HTTP/1.1 50')) socket.destroy();
        });
        socket.on('end', () => socket.destroy());
        socket.write(`GET /cut/${cut} HTTP/1.1\r\nhost: test\r\n\r\n`);
        await closed(socket);
        const body = answer.split('\r\n\r\n')[1] ?? '';
        const verdict =
          cut < headEnd
            ? answer.startsWith('HTTP/1.1 503 ') || answer.startsWith('HTTP/1.1 502 ')
            : answer.startsWith('HTTP/1.1 200 ') && body === ok.slice(headEnd, cut);
        if (!verdict) wrong.push(`cut after ${cut}: ${JSON.stringify(answer)}`);
      }),
    );
    assert.deepEqual(wrong, []);
    await assertAnswers(fixture);
  });

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

// GET http / with :authority "test".
const requestBlock = Buffer.from([0x82, 0x86, 0x84, 0x41, 4, ...Buffer.from('test')]);
const cancel = Buffer.from([0, 0, 0, 8]);

const floods: Record<string, (n: number) => Buffer> = {
  'rapid resets': (n) =>
    Buffer.concat([frame(1, 5, 2 * n + 1, requestBlock), frame(3, 0, 2 * n + 1, cancel)]),
  pings: () => frame(6, 0, 0, Buffer.alloc(8)),
  settings: () => frame(4, 0, 0, Buffer.from([0, 3, 0, 0, 0, 100])),
  'continuation frames': (n) =>
    n === 0 ? frame(1, 1, 1, requestBlock) : frame(9, 0, 1, Buffer.from([0, 1, 0x61, 1, 0x61])),
  'empty DATA frames': (n) =>
    n === 0
      ? frame(1, 4, 1, Buffer.from([0x83, 0x86, 0x84, 0x41, 4, ...Buffer.from('test')]))
      : frame(0, 0, 1),
  priorities: (n) => frame(2, 0, 2 * n + 1, Buffer.from([0, 0, 0, 0, 15])),
  'window updates': () => frame(8, 0, 0, Buffer.from([0, 0, 0, 1])),
};

const status200 = Buffer.from([0x88]);
const http2Answer = Buffer.concat([
  frame(4, 0, 0),
  frame(4, 1, 0),
  frame(1, 4, 1, status200),
  frame(0, 0, 1, Buffer.from('hello, ')),
  frame(0, 1, 1, Buffer.from('world')),
]);

for (const how of ['end', 'reset'] as const)
  test(`an HTTP/2 upstream that breaks off (${how}) after each byte of its answer`, {
    skip: proxyMissing,
    timeout,
  }, async (t) => {
    let cut = http2Answer.length;
    const yaml = forwardingYaml({
      http2Upstream: true,
      manager: 'delayed_close_timeout: 0.02s',
      cluster: 'connection_pool_per_downstream_connection: true',
    });
    const fixture = await behind(
      t,
      (socket) => {
        // The request is there with its HEADERS: behind the preface and what a client says at first.
        let isAnswered = false;
        socket.on('data', (chunk: Buffer) => {
          if (isAnswered || !hasHeaders(chunk)) return;
          isAnswered = true;
          const stop = () => (how === 'end' ? socket.end() : socket.resetAndDestroy());
          socket.write(http2Answer.subarray(0, cut), () => {
            if (cut < http2Answer.length) how === 'end' ? stop() : setTimeout(stop, 10);
          });
        });
      },
      yaml,
    );
    const headEnd = 9 + 9 + 9 + 1;
    const wrong: string[] = [];
    for (cut = 0; cut <= http2Answer.length; cut++) {
      const socket = fixture.connect();
      let answer = '';
      socket.on('data', (chunk: Buffer) => {
        answer += chunk.toString('latin1');
        if (answer.endsWith('0\r\n\r\n') || answer.startsWith('HTTP/1.1 50')) socket.destroy();
      });
      socket.on('end', () => socket.destroy());
      socket.write('GET / HTTP/1.1\r\nhost: test\r\n\r\n');
      await closed(socket);
      const body = answer.split('\r\n\r\n').slice(1).join('');
      const isWhole = answer.endsWith('0\r\n\r\n');
      const verdict =
        cut < headEnd
          ? answer.startsWith('HTTP/1.1 503 ')
          : answer.startsWith('HTTP/1.1 200 ') &&
            isWhole === (cut === http2Answer.length) &&
            body.includes('hello, ') === cut >= headEnd + 9 + 7;
      if (!verdict) wrong.push(`cut after ${cut}: ${JSON.stringify(answer)}`);
    }
    assert.deepEqual(wrong, []);
    cut = http2Answer.length;
    await assertAnswers(fixture);
  });

/** Whether a frame of type HEADERS is among what came. */
function hasHeaders(bytes: Buffer): boolean {
  let at = bytes.subarray(0, preface.length).equals(preface) ? preface.length : 0;
  for (; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3)) if (bytes[at + 3] === 1) return true;
  return false;
}

for (const [name, next] of Object.entries(floods))
  test(`HTTP/2 flood: ${name}`, { skip: proxyMissing, timeout }, async (t) => {
    const fixture = await behind(t, serveAll);
    await assertGrowth(fixture, 100, async () => {
      const socket = fixture.connect();
      socket.resume();
      socket.write(Buffer.concat([preface, frame(4, 0, 0)]));
      const end = closed(socket);
      const until = performance.now() + 4000;
      for (let n = 0; n < 200_000 && !socket.destroyed && performance.now() < until; ) {
        const batch: Buffer[] = [];
        for (let i = 0; i < 500; i++) batch.push(next(n++));
        if (!socket.write(Buffer.concat(batch)))
          await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), end, sleep(500)]);
      }
      await Promise.race([end, sleep(1500)]);
      assert.ok(socket.destroyed || socket.readableEnded, 'the flooding connection is still open');
      await assertAnswers(fixture);
    });
  });

test('random bytes on 500 connections', { skip: proxyMissing, timeout }, async (t) => {
  const fixture = await behind(t, serveAll);
  let state = 12345;
  const random = () => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return state >> 8;
  };
  await assertGrowth(fixture, 60, async () => {
    await Promise.all(
      Array.from({ length: 500 }, async () => {
        const socket = fixture.connect();
        socket.resume();
        socket.write(Buffer.from(Array.from({ length: 1 + (random() % 3000) }, () => random() & 255)));
        await sleep(200);
        socket.destroy();
      }),
    );
  });
});
