import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import { connect, createSecureContext, TLSSocket } from 'node:tls';
import { ReadPlace } from '#base/read-buffers.ts';
import { certificatePath } from '#testing/certificates.ts';
import { readByCall } from './read-by-call.ts';

test('reads an accepted TLS socket by call, and stops while it is paused', async (t) => {
  const secureContext = createSecureContext({
    cert: readFileSync(certificatePath('server-ec')),
    key: readFileSync(certificatePath('server-ec-key')),
  });
  let received = '';
  let wake = () => {};
  const server = createServer((raw) => {
    const socket = new TLSSocket(raw, { isServer: true, secureContext });
    socket.on('data', () => assert.fail('not by events'));
    const isByCall = readByCall(socket, new ReadPlace(), () => ({
      received(bytes) {
        received += bytes.toString('latin1');
        socket.pause();
        wake();
        setImmediate(() => socket.resume());
      },
    }));
    assert.ok(isByCall);
    socket.on('end', () => socket.end());
  });
  t.after(() => server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect({ port: (server.address() as AddressInfo).port, rejectUnauthorized: false });
  const text = 'x'.repeat(200_000);
  client.write(text);
  while (received.length < text.length)
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  client.end();
  await once(client, 'close');
  assert.equal(received, text);
});
