import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { type DatagramReader, UdpSocket } from './udp-socket.ts';

interface Received {
  readonly text: string;
  readonly address: string;
  readonly port: number;
}

/** Keeps what comes, and hands it out one by one. */
class Collector implements DatagramReader {
  readonly #received: (Received | 'error')[] = [];
  #wake: (() => void) | undefined = undefined;

  onDatagram(bytes: Buffer, address: string, port: number): void {
    this.#add({ text: bytes.toString(), address, port });
  }

  onReceiveError(): void {
    this.#add('error');
  }

  async next(): Promise<Received | 'error'> {
    while (this.#received.length === 0)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    return this.#received.shift()!;
  }

  #add(it: Received | 'error'): void {
    this.#received.push(it);
    this.#wake?.();
  }
}

function bind(t: TestContext, address: string, reader: DatagramReader, port = 0, reusePort = false) {
  return new Promise<{ socket: UdpSocket; port: number }>((resolve, reject) =>
    UdpSocket.bind(
      { address, port, ipv4Compat: false, reusePort },
      reader,
      (socket, port) => {
        t.after(() => socket.close());
        resolve({ socket, port });
      },
      reject,
    ),
  );
}

for (const address of ['127.0.0.1', '::1']) {
  test(`carries datagrams both ways over ${address}, empty and large ones too`, async (t) => {
    const [server, client] = [new Collector(), new Collector()];
    const { socket, port } = await bind(t, address, server);
    const peer = UdpSocket.connect(address, port, client)!;
    t.after(() => peer.close());
    for (const text of ['hello', '', 'x'.repeat(60_000)]) {
      assert.ok(peer.send(Buffer.from(text)));
      const received = await server.next();
      assert.ok(received !== 'error');
      assert.equal(received.text, text);
      assert.deepEqual(
        { address: received.address, port: received.port },
        { address, port: peer.localName()!.port },
      );
      assert.ok(socket.sendTo(Buffer.from(`${text}!`), received.address, received.port));
      assert.deepEqual(await client.next(), { text: `${text}!`, address, port });
    }
  });
}

test('tells a connected socket that nobody listens', async (t) => {
  const gone = createSocket('udp4').bind(0, '127.0.0.1');
  await once(gone, 'listening');
  const { port } = gone.address();
  gone.close();
  await once(gone, 'close');
  const reader = new Collector();
  const socket = UdpSocket.connect('127.0.0.1', port, reader)!;
  t.after(() => socket.close());
  assert.ok(socket.send(Buffer.from('anybody?')));
  assert.equal(await reader.next(), 'error');
});

test('says when an address is taken, and shares it with reusePort', async (t) => {
  const { port } = await bind(t, '127.0.0.1', new Collector(), 0, true);
  await assert.rejects(bind(t, '127.0.0.1', new Collector(), port), { code: 'EADDRINUSE' });
  assert.equal((await bind(t, '127.0.0.1', new Collector(), port, true)).port, port);
});

test('sends nothing after it was closed, and reads nothing', async (t) => {
  const { socket, port } = await bind(t, '127.0.0.1', new Collector());
  socket.close();
  socket.close();
  assert.equal(socket.sendTo(Buffer.from('x'), '127.0.0.1', port), false);
  assert.equal(socket.localName(), undefined);
});

test('refuses a datagram that is too large for UDP', async (t) => {
  const { port } = await bind(t, '127.0.0.1', new Collector());
  const socket = UdpSocket.connect('127.0.0.1', port, new Collector())!;
  t.after(() => socket.close());
  assert.equal(socket.send(Buffer.alloc(65_536)), false);
});

test('knows the address that a peer would see', () => {
  assert.equal(UdpSocket.sourceAddress('127.0.0.1'), '127.0.0.1');
});
