import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  HeaderId,
  headerId,
  headerName,
  headerNames,
  joinedInRequests,
  joinedInResponses,
  nameBytes,
  recentName,
} from './header-names.ts';

function hashOf(bytes: Buffer): number {
  let hash = 0;
  for (const byte of bytes) hash = (Math.imul(hash, 31) + nameBytes[byte]!) | 0;
  return hash;
}

test('every known name has one id, whatever its case', () => {
  assert.equal(new Set(headerNames).size, headerNames.length);
  for (let id = 1; id < headerNames.length; id++) {
    const name = headerNames[id]!;
    assert.match(name, /^[a-z0-9-]+$/);
    for (const spelled of [name, name.toUpperCase()]) {
      const bytes = Buffer.from(`..${spelled}:`);
      assert.equal(headerId(bytes, 2, 2 + name.length, hashOf(Buffer.from(spelled))), id, spelled);
    }
    assert.equal(headerName(name.toUpperCase()), name);
  }
  assert.deepEqual(
    [
      HeaderId.Host,
      HeaderId.ContentLength,
      HeaderId.TransferEncoding,
      HeaderId.Connection,
      HeaderId.Upgrade,
    ].map((id) => headerNames[id]),
    ['host', 'content-length', 'transfer-encoding', 'connection', 'upgrade'],
  );
});

test('a name that only hashes like another is told apart', () => {
  // 'Aa' and 'BB' style collisions of a hash times 31, in lower case: b0 and aO differ by one and thirty-one.
  const known = Buffer.from('date');
  const colliding = Buffer.from(known);
  colliding[2] = known[2]! - 1;
  colliding[3] = known[3]! + 31;
  assert.equal(headerId(colliding, 0, 4, hashOf(known)), HeaderId.Unknown);
});

test('an unknown name seen lately is the same string again', () => {
  const bytes = Buffer.from('X-Custom-Name');
  const first = recentName(bytes, 0, bytes.length, hashOf(bytes));
  assert.equal(first, 'x-custom-name');
  assert.equal(recentName(Buffer.from('x-custom-NAME'), 0, bytes.length, hashOf(bytes)), first);
  // Another name in the same place of the table.
  assert.equal(recentName(Buffer.from('x-other'), 0, 7, hashOf(bytes)), 'x-other');
  assert.equal(recentName(bytes, 0, bytes.length, hashOf(bytes)), 'x-custom-name');
});

test('knows which headers are joined', () => {
  const id = (name: string) => headerNames.indexOf(name);
  assert.equal(joinedInRequests[id('user-agent')], 1);
  assert.equal(joinedInResponses[id('user-agent')], 0);
  assert.equal(joinedInRequests[id('cookie')], 0);
  assert.equal(joinedInResponses[id('set-cookie')], 0);
  assert.equal(joinedInResponses[id('vary')], 1);
  assert.equal(joinedInRequests[HeaderId.Unknown], 0);
});
