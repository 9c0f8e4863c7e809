import assert from 'node:assert/strict';
import { test } from 'node:test';
import { xxHash64 } from './xxhash64.ts';

// Printed by the reference implementation (xxhsum -H64).
const known: readonly (readonly [text: string, seed: bigint, hash: bigint])[] = [
  ['', 0n, 0xef46db3751d8e999n],
  ['a', 0n, 0xd24ec4f1a98c6e5bn],
  ['abc', 0n, 0x44bc2cf5ad770999n],
  ['Nobody inspects the spammish repetition', 0n, 0xfbcea83c8a378bf1n],
];

for (const [text, seed, hash] of known) {
  test(`hashes "${text}" with seed ${seed} as the reference does`, () => {
    assert.equal(xxHash64(text, seed), hash);
  });
}
