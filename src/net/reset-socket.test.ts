import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, createServer, type ListenOptions, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import { certificatePath } from '#testing/certificates.ts';
import { resetSocket } from './reset-socket.ts';

/** How a client sees the end of a connection that the server resets. */
async function seen(
  t: TestContext,
  server: ReturnType<typeof createServer>,
  event: string,
  where: ListenOptions,
  open: (where: ListenOptions) => Socket,
) {
  server.on(event, (socket: Socket) => {
    socket.on('error', () => {});
    socket.once('data', () => resetSocket(socket));
  });
  server.listen(where);
  await once(server, 'listening');
  t.after(() => server.close());
  const address = server.address();
  const client = open(typeof address === 'string' ? { path: address } : { port: address!.port });
  let code = '';
  client.on('error', (error: NodeJS.ErrnoException) => {
    code = error.code ?? '';
  });
  client.write('x');
  client.resume();
  // Not `once`, which an error would reject.
  await new Promise((resolve) => client.on('close', resolve));
  return code;
}

const local = { port: 0, host: '127.0.0.1' };

test('a TCP connection', async (t) => {
  assert.equal(
    await seen(t, createServer(), 'connection', local, (to) => connect(to.port!, '127.0.0.1')),
    'ECONNRESET',
  );
});

test('a TLS connection is reset below', async (t) => {
  const server = createTlsServer({
    cert: readFileSync(certificatePath('server-ec')),
    key: readFileSync(certificatePath('server-ec-key')),
  });
  const open = (to: ListenOptions) =>
    connectTls({ port: to.port!, host: '127.0.0.1', rejectUnauthorized: false });
  assert.equal(await seen(t, server, 'secureConnection', local, open), 'ECONNRESET');
});

test('a Unix socket has no reset and is closed', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'reset-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 's');
  assert.equal(await seen(t, createServer(), 'connection', { path }, () => connect(path)), '');
});
