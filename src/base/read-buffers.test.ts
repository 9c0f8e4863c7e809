import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chunkBytes, pin, ReadPlace, written } from './read-buffers.ts';

/** A socket that gets `length` bytes of `fill`. */
function openSocket() {
  const place = new ReadPlace();
  let memory = place.moved()!;
  return {
    place,
    get memory() {
      return memory;
    },
    read(length: number, fill: number): Buffer {
      memory.fill(fill, 0, length);
      const taken = place.take(length);
      memory = place.moved() ?? memory;
      return taken;
    },
  };
}

test('what was taken does not change with the next read', () => {
  const socket = openSocket();
  const other = openSocket();
  for (const length of [1, 8191, 8192, chunkBytes, chunkBytes, 16_384, 1]) {
    const first = socket.read(length, 1);
    const second = socket.read(length, 2);
    const third = other.read(length, 3);
    assert.ok(first.every((it) => it === 1) && first.length === length);
    assert.ok(second.every((it) => it === 2));
    assert.ok(third.every((it) => it === 3));
    written(first);
    written(second);
    written(third);
  }
});

test('a socket with large reads gets memory of its own, until it reads little', () => {
  const socket = openSocket();
  const shared = socket.memory;
  assert.equal(openSocket().memory, shared);
  socket.read(chunkBytes, 1);
  const own = socket.memory;
  assert.notEqual(own, shared);
  assert.equal(socket.read(20_000, 2).buffer, own.buffer, 'handed on without a copy');
  socket.read(100, 3);
  assert.equal(socket.memory, shared);
});

test('only so many sockets have memory of their own', () => {
  const shared = openSocket().memory;
  const sockets = Array.from({ length: 100 }, openSocket);
  for (const it of sockets) it.read(chunkBytes, 1);
  const owners = sockets.filter((it) => it.memory !== shared);
  assert.equal(owners.length, 64);
  for (const it of sockets) it.place.close();
  const late = openSocket();
  late.read(chunkBytes, 1);
  assert.notEqual(late.memory, shared);
  late.place.close();
});

test('a chunk is read into again when all of it was written, in pieces or at once', () => {
  const socket = openSocket();
  socket.read(chunkBytes, 1);
  const first = socket.read(chunkBytes, 1);
  written(first.subarray(0, 1000));
  socket.read(chunkBytes, 2);
  assert.notEqual(socket.memory.buffer, first.buffer);
  written(first.subarray(1000));
  socket.read(20_000, 3);
  assert.equal(socket.memory.buffer, first.buffer);
  socket.place.close();
});

test('pinned bytes are left alone, however often they are written', () => {
  const socket = openSocket();
  socket.read(chunkBytes, 7);
  const kept = socket.read(chunkBytes, 7);
  pin(kept);
  written(kept);
  written(kept);
  for (let i = 0; i < 70; i++) assert.notEqual(socket.read(chunkBytes, 8).buffer, kept.buffer);
  assert.ok(kept.every((it) => it === 7));
  socket.place.close();
});
