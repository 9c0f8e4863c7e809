// The bytes a session has encoded in this turn of the event loop. They lie in a slab that all sessions of the thread share: a
// session takes a segment at its end, and as long as it is the last one there, it just grows. Handed-out bytes are never
// touched again; the slab goes when the last of them is written.
import type { ByteSink } from './codec.ts';

const slabBytes = 128 * 1024;
const segmentBytes = 512;

let slab = Buffer.allocUnsafeSlow(slabBytes);
let slabUsed = 0;
/** What a session without waiting bytes points to, so that an idle one does not keep a slab alive. */
const nothing = Buffer.alloc(0);

/*
 *  slab:  | A, handed over | B, handed over | A: start .. at ..... limit |  free  |
 *                                                                        ^ slabUsed
 */
export class H2Output {
  /** Where to encode: `bytes[at++] = ...` after `reserve`. */
  bytes: Buffer = nothing;
  at = 0;
  /** All bytes handed over so far. */
  handed = 0;
  /** Inside a write to the sink. A frame may be half out: a sink that flushes early must not get anything in between. */
  isPassing = false;
  #start = 0;
  #limit = 0;
  readonly #sink: ByteSink;

  constructor(sink: ByteSink) {
    this.#sink = sink;
  }

  /** Makes sure that `count` more bytes fit behind `at`. */
  reserve(count: number): void {
    if (this.#limit - this.at < count) this.#extend(count);
  }

  /** Hands over what was encoded, then `bytes` as they are. */
  pass(bytes: Buffer): void {
    const wasPassing = this.isPassing;
    this.isPassing = true;
    this.handOver();
    this.handed += bytes.length;
    this.#sink.write(bytes);
    this.isPassing = wasPassing;
  }

  handOver(): void {
    const { at } = this;
    const start = this.#start;
    if (at === start) return;
    this.handed += at - start;
    this.#start = at;
    const wasPassing = this.isPassing;
    this.isPassing = true;
    this.#sink.write(this.bytes.subarray(start, at));
    this.isPassing = wasPassing;
  }

  /** Hands over, and gives the rest of the segment back when nobody took another behind it. */
  finish(): void {
    this.handOver();
    if (this.bytes === slab && this.#limit === slabUsed) slabUsed = this.at;
    this.bytes = nothing;
    this.#start = 0;
    this.at = 0;
    this.#limit = 0;
  }

  #extend(count: number): void {
    const room = Math.max(count, segmentBytes);
    if (this.bytes === slab && this.#limit === slabUsed && this.at + room <= slabBytes) {
      slabUsed = this.at + room;
      this.#limit = slabUsed;
      return;
    }
    this.handOver();
    if (room > slabBytes / 4) {
      this.bytes = Buffer.allocUnsafeSlow(room);
      this.at = 0;
      this.#limit = room;
    } else {
      if (slabUsed + room > slabBytes) {
        slab = Buffer.allocUnsafeSlow(slabBytes);
        slabUsed = 0;
      }
      this.bytes = slab;
      this.at = slabUsed;
      slabUsed += room;
      this.#limit = slabUsed;
    }
    this.#start = this.at;
  }
}
