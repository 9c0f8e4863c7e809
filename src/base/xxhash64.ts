// XXH64, which Envoy hashes with: of header values, addresses and keys, for load balancing.

const mask = (1n << 64n) - 1n;
const prime1 = 0x9e3779b185ebca87n;
const prime2 = 0xc2b2ae3d27d4eb4fn;
const prime3 = 0x165667b19e3779f9n;
const prime4 = 0x85ebca77c2b2ae63n;
const prime5 = 0x27d4eb2f165667c5n;

const rotate = (value: bigint, bits: bigint) => ((value << bits) | (value >> (64n - bits))) & mask;
const round = (state: bigint, input: bigint) =>
  (rotate((state + input * prime2) & mask, 31n) * prime1) & mask;
const merge = (hash: bigint, state: bigint) => ((hash ^ round(0n, state)) * prime1 + prime4) & mask;

/** Of the text's bytes in UTF-8. */
export function xxHash64(text: string, seed = 0n): bigint {
  const bytes = Buffer.from(text, 'utf8');
  const { length } = bytes;
  let at = 0;
  let hash: bigint;
  if (length >= 32) {
    const states = [(seed + prime1 + prime2) & mask, (seed + prime2) & mask, seed, (seed - prime1) & mask];
    for (; at + 32 <= length; at += 32) {
      for (let i = 0; i < 4; i++) states[i] = round(states[i]!, bytes.readBigUInt64LE(at + 8 * i));
    }
    const [a, b, c, d] = states as [bigint, bigint, bigint, bigint];
    hash = (rotate(a, 1n) + rotate(b, 7n) + rotate(c, 12n) + rotate(d, 18n)) & mask;
    for (const state of states) hash = merge(hash, state);
  } else hash = (seed + prime5) & mask;
  hash = (hash + BigInt(length)) & mask;
  for (; at + 8 <= length; at += 8)
    hash = (rotate(hash ^ round(0n, bytes.readBigUInt64LE(at)), 27n) * prime1 + prime4) & mask;
  if (at + 4 <= length) {
    const word = (BigInt(bytes.readUInt32LE(at)) * prime1) & mask;
    hash = (rotate(hash ^ word, 23n) * prime2 + prime3) & mask;
    at += 4;
  }
  for (; at < length; at++)
    hash = (rotate(hash ^ ((BigInt(bytes[at]!) * prime5) & mask), 11n) * prime1) & mask;
  hash = ((hash ^ (hash >> 33n)) * prime2) & mask;
  hash = ((hash ^ (hash >> 29n)) * prime3) & mask;
  return hash ^ (hash >> 32n);
}
