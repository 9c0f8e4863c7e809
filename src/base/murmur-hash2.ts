// MurmurHash64A as libstdc++ hashes strings, which Envoy's ring can be made with.
import type { Uint64 } from './uint64.ts';

const high = 0xc6a4a793 | 0;
const low = 0x5bd1e995;
const seed = 0xc70f6907 | 0;

/** Of the text's bytes: it is latin1. */
export function murmurHash2(text: string, into: Uint64, word: Uint64): void {
  const { length } = text;
  const tail = length & ~7;
  into.set(0, length);
  into.multiply(high, low);
  into.xor(0, seed);
  for (let at = 0; at < tail; at += 8) {
    word.set(bytes(text, at + 4, 4), bytes(text, at, 4));
    word.multiply(high, low);
    word.xorShifted(47);
    word.multiply(high, low);
    into.xor(word.high, word.low);
    into.multiply(high, low);
  }
  if (length > tail) {
    into.xor(bytes(text, tail + 4, length - tail - 4), bytes(text, tail, length - tail));
    into.multiply(high, low);
  }
  into.xorShifted(47);
  into.multiply(high, low);
  into.xorShifted(47);
}

/** Little-endian, at most four. */
function bytes(text: string, at: number, count: number): number {
  let value = 0;
  for (let i = 0; i < count && i < 4; i++) value |= (text.charCodeAt(at + i) & 0xff) << (8 * i);
  return value;
}
