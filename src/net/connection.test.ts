import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { CloseEvent, CloseType, Connection, type ConnectionOwner } from './connection.ts';

/** An accepted connection, its peer, and what the owner was told. */
async function pair(t: TestContext, bufferLimit = 0) {
  const server = createServer({ allowHalfOpen: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const peer = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  const [[socket]] = (await Promise.all([once(server, 'connection'), once(peer, 'connect')])) as [
    [Socket],
    unknown,
  ];
  const told: string[] = [];
  const owner: ConnectionOwner = {
    onConnected() {},
    onData: (bytes) => told.push(`data ${bytes.toString()}`),
    onEnd: () => told.push('end'),
    onClose: (event) => told.push(event === CloseEvent.Local ? 'closed here' : 'closed there'),
    onAboveWriteBufferHighWatermark: () => told.push('above'),
    onBelowWriteBufferLowWatermark: () => told.push('below'),
  };
  const connection = new Connection(1, socket, owner, bufferLimit, undefined);
  peer.on('error', () => {});
  t.after(() => {
    peer.destroy();
    socket.destroy();
    server.close();
  });
  const received: string[] = [];
  peer.on('data', (bytes: Buffer) => received.push(bytes.toString('latin1')));
  peer.on('end', () => received.push('FIN'));
  return { connection, peer, told, received };
}

async function until(isTrue: () => boolean): Promise<void> {
  for (let i = 0; i < 400 && !isTrue(); i++) await sleep(5);
  assert.ok(isTrue());
}

test('bytes in and out are counted', async (t) => {
  const { connection, peer, told, received } = await pair(t);
  peer.write('hello');
  await until(() => told.length > 0);
  connection.writeText('wor');
  connection.write(Buffer.from('ld'));
  await until(() => received.join('') === 'world');
  assert.deepEqual(told, ['data hello']);
  assert.deepEqual([connection.bytesReceived, connection.rxBytes.value], [5, 5]);
  assert.deepEqual([connection.bytesSent, connection.txBytes.value], [5, 5]);
});

test('texts and buffers of any size keep their order', async (t) => {
  const { connection, received } = await pair(t);
  const expected: string[] = [];
  for (const [i, length] of [1, 5000, 10, 4096, 300_000, 3].entries()) {
    const text = String(i).repeat(length);
    expected.push(text);
    if (i % 2 === 0) connection.write(Buffer.from(text));
    else connection.writeText(text);
  }
  await until(() => received.join('').length === expected.join('').length);
  assert.equal(received.join(''), expected.join(''));
});

test('reading is disabled as often as it is enabled', async (t) => {
  const { connection, peer, told } = await pair(t);
  connection.readDisable(true);
  connection.readDisable(true);
  peer.write('late');
  connection.readDisable(false);
  await sleep(30);
  assert.deepEqual(told, []);
  assert.equal(connection.isReadDisabled, true);
  connection.readDisable(false);
  await until(() => told.length > 0);
  assert.deepEqual(told, ['data late']);
});

test('what somebody else had read comes first, once reading is enabled', async (t) => {
  const { connection, peer, told } = await pair(t);
  connection.halfClose = true;
  connection.unread(Buffer.from('first'));
  peer.end('second');
  await sleep(20);
  assert.deepEqual(told, []);
  connection.readDisable(false);
  await until(() => told.length === 3);
  assert.deepEqual(told, ['data first', 'data second', 'end']);
});

test('what nobody wanted to read makes a close a reset', async (t) => {
  const { connection, peer } = await pair(t);
  connection.unread(Buffer.from('first'));
  connection.close(CloseType.NoFlush);
  const [error] = await once(peer, 'error');
  assert.equal(error.code, 'ECONNRESET');
});

test('FlushWrite sends what was written, then closes', async (t) => {
  const { connection, told, received } = await pair(t);
  connection.writeText('bye');
  connection.close(CloseType.FlushWrite);
  connection.writeText('too late');
  await until(() => told.length > 0 && received.includes('FIN'));
  assert.deepEqual(told, ['closed here']);
  assert.deepEqual(received, ['bye', 'FIN']);
});

test('NoFlush drops what was written', async (t) => {
  const { connection, told, received } = await pair(t);
  connection.writeText('bye');
  connection.close(CloseType.NoFlush);
  assert.deepEqual(told, ['closed here']);
  await until(() => received.includes('FIN'));
  assert.deepEqual(received, ['FIN']);
});

test('Abort resets', async (t) => {
  const { connection, peer, told } = await pair(t);
  const isReset = new Promise((resolve) => peer.on('close', resolve));
  connection.close(CloseType.Abort);
  assert.deepEqual(told, ['closed here']);
  assert.equal(await isReset, true);
});

test('FlushWriteAndDelay waits for the peer, who ends it', async (t) => {
  const { connection, peer, told, received } = await pair(t);
  connection.writeText('bye');
  connection.close(CloseType.FlushWriteAndDelay);
  await until(() => received.length > 0);
  peer.write('ignored');
  await sleep(20);
  assert.deepEqual(told, []);
  peer.end();
  await until(() => told.length > 0);
  assert.deepEqual(told, ['closed there']);
  assert.equal(connection.delayedCloseTimeouts.value, 0);
});

test('FlushWriteAndDelay waits for the delayed close timeout at most', async (t) => {
  const { connection, told, received } = await pair(t);
  connection.delayedCloseMs = 30;
  connection.close(CloseType.FlushWriteAndDelay);
  assert.deepEqual(told, []);
  await until(() => told.length > 0 && received.includes('FIN'));
  assert.deepEqual(told, ['closed here']);
  assert.equal(connection.hasCloseTimedOut, true);
  assert.equal(connection.delayedCloseTimeouts.value, 1);
});

test('a close that waits gives way to one that does not', async (t) => {
  const { connection, told } = await pair(t);
  connection.close(CloseType.FlushWriteAndDelay);
  connection.close(CloseType.FlushWrite);
  await nextTurn();
  assert.deepEqual(told, []);
  connection.close(CloseType.NoFlush);
  connection.close(CloseType.NoFlush);
  assert.deepEqual(told, ['closed here']);
});

test('the FIN of a peer closes, or ends one direction', async (t) => {
  const whole = await pair(t);
  whole.peer.end();
  await until(() => whole.told.length > 0);
  assert.deepEqual(whole.told, ['closed there']);

  const half = await pair(t);
  half.connection.halfClose = true;
  half.peer.end('last');
  await until(() => half.told.length === 2);
  assert.deepEqual(half.told, ['data last', 'end']);
  half.connection.writeText('answer');
  half.connection.end();
  await until(() => half.received.includes('FIN'));
  assert.deepEqual(half.received, ['answer', 'FIN']);
});

test('a slow peer takes the unsent bytes above the watermark and below again', async (t) => {
  const { connection, peer, told } = await pair(t, 100_000);
  peer.pause();
  const chunk = Buffer.alloc(262_144);
  for (let i = 0; i < 200 && !connection.isAboveHighWatermark; i++) {
    connection.write(chunk);
    await nextTurn();
  }
  assert.deepEqual(told, ['above']);
  assert.ok(connection.pendingBytes > 100_000);
  assert.equal(connection.txBuffered.value, connection.pendingBytes);
  peer.resume();
  await until(() => told.length === 2);
  assert.deepEqual(told, ['above', 'below']);
  await until(() => connection.pendingBytes === 0);
  assert.equal(connection.txBuffered.value, 0);
});

test('a socket that is closed knows nobody any more', async (t) => {
  const { connection, peer } = await pair(t);
  const { socket } = connection;
  assert.ok(socket.listenerCount('end') > 0);
  peer.end();
  await once(socket, 'close');
  assert.deepEqual(socket.eventNames(), []);
});
