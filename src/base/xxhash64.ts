// XXH64, which Envoy hashes with: of header values, addresses and keys, for load balancing.
import { Uint64 } from './uint64.ts';

const p1h = 0x9e3779b1 | 0;
const p1l = 0x85ebca87 | 0;
const p2h = 0xc2b2ae3d | 0;
const p2l = 0x27d4eb4f;
const p3h = 0x165667b1;
const p3l = 0x9e3779f9 | 0;
const p4h = 0x85ebca77 | 0;
const p4l = 0xc2b2ae63 | 0;
const p5h = 0x27d4eb2f;
const p5l = 0x165667c5;

const lanes = [new Uint64(), new Uint64(), new Uint64(), new Uint64()] as const;
const word = new Uint64();
const sum = new Uint64();

/** Of the text's bytes: it is latin1. */
export function xxHash64(text: string, into: Uint64, seedLow = 0, seedHigh = 0): void {
  const { length } = text;
  let at = 0;
  if (length >= 32) {
    start(lanes[0], seedHigh, seedLow, (p1h + p2h) | 0, (p1l + p2l) | 0);
    start(lanes[1], seedHigh, seedLow, p2h, p2l);
    start(lanes[2], seedHigh, seedLow, 0, 0);
    start(lanes[3], seedHigh, seedLow, ~p1h, -p1l | 0);
    for (; at + 32 <= length; at += 32)
      for (let i = 0; i < 4; i++) round(lanes[i]!, bytes4(text, at + 8 * i + 4), bytes4(text, at + 8 * i));
    into.set(0, 0);
    addRotated(into, lanes[0], 1);
    addRotated(into, lanes[1], 7);
    addRotated(into, lanes[2], 12);
    addRotated(into, lanes[3], 18);
    for (let i = 0; i < 4; i++) {
      word.set(0, 0);
      round(word, lanes[i]!.high, lanes[i]!.low);
      into.xor(word.high, word.low);
      into.multiply(p1h, p1l);
      into.add(p4h, p4l);
    }
  } else start(into, seedHigh, seedLow, p5h, p5l);
  into.add(0, length);
  for (; at + 8 <= length; at += 8) {
    word.set(0, 0);
    round(word, bytes4(text, at + 4), bytes4(text, at));
    into.xor(word.high, word.low);
    into.rotateLeft(27);
    into.multiply(p1h, p1l);
    into.add(p4h, p4l);
  }
  if (at + 4 <= length) {
    word.set(0, bytes4(text, at));
    word.multiply(p1h, p1l);
    into.xor(word.high, word.low);
    into.rotateLeft(23);
    into.multiply(p2h, p2l);
    into.add(p3h, p3l);
    at += 4;
  }
  for (; at < length; at++) {
    word.set(0, text.charCodeAt(at) & 0xff);
    word.multiply(p5h, p5l);
    into.xor(word.high, word.low);
    into.rotateLeft(11);
    into.multiply(p1h, p1l);
  }
  into.xorShifted(33);
  into.multiply(p2h, p2l);
  into.xorShifted(29);
  into.multiply(p3h, p3l);
  into.xorShifted(32);
}

/** Of a text whose hash is wanted once in a while. */
export function xxHash64Of(text: string): Uint64 {
  const hash = new Uint64();
  xxHash64(text, hash);
  return hash;
}

function start(lane: Uint64, seedHigh: number, seedLow: number, high: number, low: number): void {
  lane.set(seedHigh, seedLow);
  lane.add(high, low);
}

function round(lane: Uint64, high: number, low: number): void {
  sum.set(high, low);
  sum.multiply(p2h, p2l);
  lane.add(sum.high, sum.low);
  lane.rotateLeft(31);
  lane.multiply(p1h, p1l);
}

function addRotated(into: Uint64, { high, low }: Uint64, bits: number): void {
  sum.set(high, low);
  sum.rotateLeft(bits);
  into.add(sum.high, sum.low);
}

/** Little-endian. */
function bytes4(text: string, at: number): number {
  return (
    (text.charCodeAt(at) & 0xff) |
    ((text.charCodeAt(at + 1) & 0xff) << 8) |
    ((text.charCodeAt(at + 2) & 0xff) << 16) |
    (text.charCodeAt(at + 3) << 24)
  );
}
