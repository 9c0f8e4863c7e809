// Large reads come in memory that goes around: once a message's body is sent, all of its reads' memory has to be back.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chunkBytes, ReadPlace, written } from '#base/read-buffers.ts';
import { defaultHttp1Options } from './h1-options.ts';
import { Body, H1Parser } from './h1-parser.ts';

function bodiesOf(message: Buffer, body: Body): { bodies: Buffer[]; memory: ArrayBufferLike } {
  const bodies: Buffer[] = [];
  const place = new ReadPlace();
  place.moved();
  place.take(chunkBytes);
  // From the second read on the socket has memory of its own.
  const memory = place.moved()!;
  message.copy(memory);
  const parser = new H1Parser(
    true,
    {
      onMessageBegin() {},
      onHead: () => body,
      onBody: (data) => void bodies.push(data),
      onTrailers() {},
    },
    defaultHttp1Options,
  );
  const bytes = place.take(message.length);
  assert.equal(bytes.buffer, memory.buffer);
  assert.equal(parser.execute(bytes, 0), message.length);
  place.close();
  return { bodies, memory: memory.buffer };
}

/** Whether sockets that begin to read in bulk get `memory`. */
function isBack(memory: ArrayBufferLike): boolean {
  const places: ReadPlace[] = [];
  let isFound = false;
  for (let i = 0; i < 60 && !isFound; i++) {
    const place = new ReadPlace();
    place.moved();
    const copy = place.take(chunkBytes);
    isFound = copy.buffer === memory || place.moved()!.buffer === memory;
    places.push(place);
  }
  for (const it of places) it.close();
  return isFound;
}

function message(head: string, body: string): Buffer {
  return Buffer.from(`POST / HTTP/1.1\r\nhost: a\r\n${head}\r\n\r\n${body}`, 'latin1');
}

for (const [name, framed, kind] of [
  ['a length', message('content-length: 30000', 'x'.repeat(30_000)), Body.Length],
  [
    'one chunk',
    message('transfer-encoding: chunked', `7530\r\n${'x'.repeat(30_000)}\r\n0\r\n\r\n`),
    Body.Chunked,
  ],
  [
    'small chunks',
    message('transfer-encoding: chunked', `${`3e8\r\n${'x'.repeat(1000)}\r\n`.repeat(30)}0\r\n\r\n`),
    Body.Chunked,
  ],
  ['an upgrade', message('upgrade: x', 'x'.repeat(30_000)), Body.Raw],
] as const) {
  test(`the memory of a body with ${name} is read into again once it was sent`, () => {
    const { bodies, memory } = bodiesOf(framed, kind);
    assert.equal(Buffer.concat(bodies).length, 30_000);
    const copied = bodies.every((it) => it.buffer !== memory);
    if (!copied) assert.ok(!isBack(memory), 'not before');
    for (const it of bodies) written(it);
    assert.ok(isBack(memory), 'afterwards');
  });
}
