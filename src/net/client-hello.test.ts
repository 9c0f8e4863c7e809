import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { connect } from 'node:tls';
import { HelloStatus, inspectClientHello } from './client-hello.ts';

/** The first flight of a real client, as Node's OpenSSL sends it. */
async function realHello(servername: string, ALPNProtocols: string[]): Promise<Buffer> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const client = connect({ port, host: '127.0.0.1', servername, ALPNProtocols, rejectUnauthorized: false });
  client.on('error', () => client.destroy());
  const [socket] = await once(server, 'connection');
  const [bytes] = await once(socket, 'data');
  socket.destroy();
  client.destroy();
  server.close();
  return bytes;
}

test('reads server name and protocols of a real client, however the bytes are cut', async () => {
  const bytes = await realHello('API.example.com', ['h2', 'http/1.1']);
  for (let cut = 0; cut < bytes.length; cut++) {
    assert.equal(inspectClientHello(bytes.subarray(0, cut)).status, HelloStatus.NeedMore, `cut at ${cut}`);
  }
  const { status, hello, bytes: taken } = inspectClientHello(bytes);
  assert.equal(status, HelloStatus.Done);
  assert.equal(taken, bytes.length);
  assert.equal(hello!.serverName, 'api.example.com');
  assert.deepEqual(hello!.alpn, ['h2', 'http/1.1']);
  assert.match(hello!.ja3, /^[0-9a-f]{32}$/);
  assert.match(hello!.ja4, /^t13d\d{4}h2_[0-9a-f]{12}_[0-9a-f]{12}$/);
});

test('reads a hello that is spread over many records', async () => {
  const bytes = await realHello('many.example.com', ['h2']);
  const message = bytes.subarray(5);
  const records: Buffer[] = [];
  for (let at = 0; at < message.length; at += 7) {
    const part = message.subarray(at, at + 7);
    records.push(Buffer.from([22, 3, 1, 0, part.length]), part);
  }
  const { hello } = inspectClientHello(Buffer.concat(records));
  assert.equal(hello!.serverName, 'many.example.com');
});

test('tells plaintext from the header of a record, not earlier', () => {
  assert.equal(inspectClientHello(Buffer.from('GET')).status, HelloStatus.NeedMore);
  for (const bytes of [Buffer.from('GET /'), Buffer.from([22, 9, 1, 0, 4]), Buffer.from([22, 3, 1, 0, 2, 2])])
    assert.equal(
      inspectClientHello(bytes).status,
      bytes.length > 5 ? HelloStatus.NeedMore : HelloStatus.NotTls,
    );
  assert.equal(inspectClientHello(Buffer.from([22, 3, 1, 0, 4, 2, 0, 0, 0])).status, HelloStatus.NotTls);
});

test('takes a hello that is longer than any can be for none', () => {
  const start = Buffer.from([22, 3, 1, 0, 4, 1, 0, 0x80, 0]);
  assert.deepEqual(inspectClientHello(start), { status: HelloStatus.NotTls, bytes: 9 });
});

test('never throws on damaged bytes', async () => {
  const bytes = await realHello('x.example.com', ['h2']);
  let seed = 20261121;
  const random = (n: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % n;
  };
  for (let round = 0; round < 5000; round++) {
    const copy = Buffer.from(bytes);
    for (let i = random(8); i >= 0; i--) copy[random(copy.length)] = random(256);
    inspectClientHello(copy.subarray(0, random(copy.length + 1)));
  }
});

test('computes JA3 and JA4 of a published example', () => {
  // RFC 8448 3: the ClientHello of a simple 1-RTT handshake.
  const hello = Buffer.from(
    '010000c00303cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef6283024dece7000006130113031302010000910000000b0009000006736572766572ff01000100000a00140012001d0017001800190100010101020103010400230000003300260024001d002099381de560e4bd43d23d8e435a7dbafeb3c06e51c13cae4d5413691e529aaf2c002b0003020304000d0020001e040305030603020308040805080604010501060102010402050206020202002d00020101001c00024001',
    'hex',
  );
  const record = Buffer.concat([Buffer.from([22, 3, 1, hello.length >> 8, hello.length & 255]), hello]);
  const result = inspectClientHello(record).hello!;
  assert.equal(result.serverName, 'server');
  assert.match(result.ja4, /^t13d030900_[0-9a-f]{12}_[0-9a-f]{12}$/);
});
