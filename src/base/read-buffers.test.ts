import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chunkBytes, pin, readBuffer, take, written } from './read-buffers.ts';

function arrived(length: number, fill: number): Buffer {
  readBuffer.fill(fill, 0, length);
  return take(length);
}

test('what was taken does not change with the next read', () => {
  for (const length of [1, 8191, 8192, chunkBytes]) {
    const first = arrived(length, 1);
    const second = arrived(length, 2);
    assert.ok(first.every((it) => it === 1) && first.length === length);
    assert.ok(second.every((it) => it === 2));
    written(first);
    written(second);
  }
});

test('a chunk is read into again when all of it was written, in pieces or at once', () => {
  const first = arrived(chunkBytes, 1);
  written(first.subarray(0, 1000));
  assert.notEqual(arrived(chunkBytes, 2).buffer, first.buffer);
  written(first.subarray(1000));
  assert.equal(arrived(20_000, 3).buffer, first.buffer);
});

test('pinned bytes are left alone, however often they are written', () => {
  const kept = arrived(chunkBytes, 7);
  pin(kept);
  written(kept);
  written(kept);
  for (let i = 0; i < 70; i++) assert.notEqual(arrived(chunkBytes, 8).buffer, kept.buffer);
  assert.ok(kept.every((it) => it === 7));
});
