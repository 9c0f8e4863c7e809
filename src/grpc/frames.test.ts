import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FrameProblem, GrpcFrameReader, grpcFrame } from './frames.ts';

function readAll(reader: GrpcFrameReader): string[] {
  const found: string[] = [];
  for (let it = reader.next(); it !== undefined; it = reader.next()) found.push(it.toString());
  return found;
}

test('reads messages at every split point', () => {
  const bytes = Buffer.concat(['one', '', 'a longer one', 'x'].map((it) => grpcFrame(Buffer.from(it))));
  for (let first = 0; first <= bytes.length; first++) {
    for (let second = first; second <= bytes.length; second += 3) {
      const reader = new GrpcFrameReader();
      const found: string[] = [];
      for (const part of [bytes.subarray(0, first), bytes.subarray(first, second), bytes.subarray(second)]) {
        reader.push(part);
        found.push(...readAll(reader));
      }
      assert.deepEqual(found, ['one', '', 'a longer one', 'x'], `split at ${first} and ${second}`);
    }
  }
});

test('refuses a compressed message, but not an empty one', () => {
  const reader = new GrpcFrameReader();
  reader.push(Buffer.from([1, 0, 0, 0, 0]));
  assert.deepEqual(readAll(reader), ['']);
  reader.push(Buffer.from([1, 0, 0, 0, 1, 65]));
  assert.deepEqual(readAll(reader), []);
  assert.equal(reader.problem, FrameProblem.Compressed);
});

test('refuses a message that is too long before all of it is there', () => {
  const reader = new GrpcFrameReader(10);
  reader.push(grpcFrame(Buffer.alloc(10)));
  assert.equal(readAll(reader).length, 1);
  reader.push(grpcFrame(Buffer.alloc(11)).subarray(0, 6));
  assert.deepEqual(readAll(reader), []);
  assert.equal(reader.problem, FrameProblem.TooLong);
});
