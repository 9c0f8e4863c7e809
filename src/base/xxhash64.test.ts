import assert from 'node:assert/strict';
import { test } from 'node:test';
import { murmurHash2 } from './murmur-hash2.ts';
import { Uint64 } from './uint64.ts';
import { xxHash64 } from './xxhash64.ts';

// Printed by the reference implementation (xxhsum -H64), and by the published tables of its tests.
const known: readonly (readonly [text: string, seed: number, hash: string])[] = [
  ['', 0, 'ef46db3751d8e999'],
  ['a', 0, 'd24ec4f1a98c6e5b'],
  ['abc', 0, '44bc2cf5ad770999'],
  ['Nobody inspects the spammish repetition', 0, 'fbcea83c8a378bf1'],
];

for (const [text, seed, hash] of known) {
  test(`hashes "${text}" with seed ${seed} as the reference does`, () => {
    const found = new Uint64();
    xxHash64(text, found, seed);
    assert.equal(found.toHex(), hash);
  });
}

const mask = (1n << 64n) - 1n;

test('calculates with 64 bits', (t) => {
  const seed = Number(process.env.FUZZ_SEED ?? 20);
  t.diagnostic(`seed ${seed}`);
  let state = seed;
  const half = () => {
    state = (Math.imul(state, 1103515245) + 12345) | 0;
    return state ^ (state >>> 15);
  };
  const number = new Uint64();
  for (let i = 0; i < 2000; i++) {
    const [high, low] = [half(), half()];
    const other = new Uint64(high, low).toBigInt();
    number.set(half(), half());
    const before = number.toBigInt();
    const after = (change: () => void, expected: bigint) => {
      change();
      assert.equal(number.toBigInt(), expected & mask);
      number.set(Number(BigInt.asIntN(32, before >> 32n)), Number(BigInt.asIntN(32, before)));
    };
    after(() => number.add(high, low), before + other);
    after(() => number.multiply(high, low), before * other);
    after(() => number.xor(high, low), before ^ other);
    const bits = (i % 31) + 1;
    after(() => number.rotateLeft(bits), (before << BigInt(bits)) | (before >> BigInt(64 - bits)));
    const shift = (i % 63) + 1;
    after(() => number.xorShifted(shift), before ^ (before >> BigInt(shift)));
    for (const divisor of [100, 65537, 5000011, 0x100000000])
      assert.equal(number.modulo(divisor), Number(before % BigInt(divisor)));
  }
});

test('hashes as libstdc++ does', () => {
  const [hash, word] = [new Uint64(), new Uint64()];
  murmurHash2('', hash, word);
  const empty = hash.toHex();
  murmurHash2('127.0.0.1:21501_0', hash, word);
  assert.notEqual(hash.toHex(), empty);
});
