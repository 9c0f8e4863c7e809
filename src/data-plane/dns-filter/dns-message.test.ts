import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mulberry32 } from '#testing/mulberry32.ts';
import { QueryVerdict, RecordType, ResponseCode, readQuery, writeResponse } from './dns-message.ts';

/** One question about `name`, whose text is cut at dots. */
function question(name: string, type: number = RecordType.A): Buffer {
  const labels = name
    .split('.')
    .map((it) => Buffer.concat([Buffer.from([it.length]), Buffer.from(it, 'latin1')]));
  return Buffer.concat([
    Buffer.from([0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
    ...labels,
    Buffer.from([0, type >> 8, type & 255, 0, 1]),
  ]);
}

test('reads a question', () => {
  assert.deepEqual(readQuery(question('www.example.com', 28)), {
    verdict: QueryVerdict.Fine,
    id: 0x1234,
    flags: 0x100,
    hasAdditional: false,
    name: 'www.example.com',
    type: 28,
  });
});

test('escapes what does not stand for itself', () => {
  const bytes = question('a\u0000b;.\u00ffc');
  assert.equal(readQuery(bytes).name, 'a\\000b\\;.\\255c');
});

test('a query that is cut off anywhere is told from a whole one', () => {
  const whole = question('www.example.com');
  for (let length = 0; length < whole.length; length++) {
    const expected = length < 12 ? QueryVerdict.Underflow : QueryVerdict.Unreadable;
    assert.equal(readQuery(whole.subarray(0, length)).verdict, expected, `${length} bytes`);
  }
});

test('a name may point back, and never in a circle', () => {
  const pointed = (bytes: readonly number[]) =>
    readQuery(Buffer.from([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...bytes, 0, 1, 0, 1]));
  assert.equal(pointed([3, 119, 119, 119, 0xc0, 2]).name, 'www.\\000');
  for (const circle of [
    [0xc0, 12],
    [3, 119, 119, 119, 0xc0, 12],
    [0xc0, 40],
    [0x40, 1],
    [0x80, 1, 0],
  ])
    assert.equal(pointed(circle).verdict, QueryVerdict.Unreadable);
});

test('answers as many records as fit', () => {
  const answer = (name: string, count: number) =>
    writeResponse(
      readQuery(question(name)),
      false,
      Array.from({ length: count }, (_, i) => ({
        kind: 'address' as const,
        name,
        type: RecordType.A,
        ttl: 60,
        address: Uint8Array.of(10, 0, 0, i),
      })),
      [],
      0.5,
    ).bytes;
  assert.equal(answer('a.b', 20).readUInt16BE(6), 8);
  const long = answer(`${'x'.repeat(60)}.${'y'.repeat(60)}`, 20);
  assert.ok(long.length <= 512 + 12);
  assert.equal(long.readUInt16BE(6), 2);
});

test('random bytes are answered, and are never the end (seed 7)', () => {
  const next = mulberry32(7);
  const random = () => next() / 2 ** 32;
  const byte = () => Math.floor(random() * 256);
  for (let round = 0; round < 20_000; round++) {
    const bytes =
      round % 2 === 0
        ? Buffer.from(Array.from({ length: Math.floor(random() * 80) }, byte))
        : question('www.example.com');
    if (round % 2 === 1) for (let i = 0; i < 3; i++) bytes[Math.floor(random() * bytes.length)] = byte();
    const query = readQuery(bytes);
    const { bytes: response, code } = writeResponse(query, true, [], [], 0);
    assert.ok(response.length >= 12 && response.length <= 12 + 257 + 4);
    assert.equal(response.readUInt16BE(2) & 0x8080, 0x8080);
    assert.equal(
      code === ResponseCode.FormatError,
      response.readUInt16BE(4) === 0 && code !== ResponseCode.NotImplemented,
    );
  }
});
