import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { ReadPlace } from '#base/read-buffers.ts';
import { Connection, type ConnectionOwner } from './connection.ts';

const nobody: ConnectionOwner = {
  onConnected() {},
  onData() {},
  onEnd() {},
  onClose() {},
  onAboveWriteBufferHighWatermark() {},
  onBelowWriteBufferLowWatermark() {},
};

function open(): { connection: Connection; writes: string[] } {
  const writes: string[] = [];
  const socket = new Duplex({
    read() {},
    write(chunk, _encoding, done) {
      writes.push(chunk.toString('latin1'));
      done();
    },
  });
  return { connection: new Connection(1, socket as Socket, nobody, 0, new ReadPlace()), writes };
}

test('what is written in one turn goes out at its end, in one piece', async () => {
  const { connection, writes } = open();
  connection.writeText('a');
  connection.write(Buffer.from('b'));
  assert.deepEqual(writes, []);
  await nextTurn();
  assert.deepEqual(writes, ['ab']);
});

test('a codec that collects frames is asked one turn later, once', async () => {
  const { connection, writes } = open();
  let frames = 'a';
  const codec = {
    flush() {
      connection.writeText(frames);
      frames = '';
    },
  };
  connection.flushLater(codec);
  await nextTurn();
  assert.deepEqual(writes, []);
  frames += 'b';
  connection.flushLater(codec);
  await nextTurn();
  assert.deepEqual(writes, ['ab']);
  frames = 'c';
  connection.flushLater(codec);
  await nextTurn();
  await nextTurn();
  assert.deepEqual(writes, ['ab', 'c']);
});
