// The open streams of a connection by id: open addressing in one array. Not a Map: a Map that lives long throws its table away every
// so many deletions, and each dead table, once promoted, keeps the next one and the streams it listed from young collections.
import type { H2Stream } from './h2-stream.ts';

export class StreamTable {
  /** A power of two, at most half full. */
  #slots: (H2Stream | undefined)[] = [];
  size = 0;

  get(id: number): H2Stream | undefined {
    const slots = this.#slots;
    if (slots.length === 0) return undefined;
    const mask = slots.length - 1;
    for (let at = (id >>> 1) & mask; ; at = (at + 1) & mask) {
      const stream = slots[at];
      if (stream === undefined || stream.id === id) return stream;
    }
  }

  /** Its id is new. */
  add(stream: H2Stream): void {
    if (++this.size * 2 > this.#slots.length) this.#grow();
    this.#insert(stream);
  }

  delete(id: number): void {
    const slots = this.#slots;
    if (slots.length === 0) return;
    const mask = slots.length - 1;
    let at = (id >>> 1) & mask;
    for (; ; at = (at + 1) & mask) {
      const stream = slots[at];
      if (stream === undefined) return;
      if (stream.id === id) break;
    }
    this.size--;
    // What stands behind it may have wanted this place, or one before: it moves up, so that no look-up stops short.
    for (let next = (at + 1) & mask; ; next = (next + 1) & mask) {
      const stream = slots[next];
      if (stream === undefined) break;
      const home = (stream.id >>> 1) & mask;
      const isBetween = at <= next ? at < home && home <= next : at < home || home <= next;
      if (isBetween) continue;
      slots[at] = stream;
      at = next;
    }
    slots[at] = undefined;
  }

  /** A copy, in the order of ids: streams may come and go while it is walked. */
  all(): H2Stream[] {
    const streams: H2Stream[] = [];
    for (const stream of this.#slots) if (stream !== undefined) streams.push(stream);
    return streams.sort((a, b) => a.id - b.id);
  }

  clear(): void {
    this.#slots = [];
    this.size = 0;
  }

  #insert(stream: H2Stream): void {
    const mask = this.#slots.length - 1;
    let at = (stream.id >>> 1) & mask;
    while (this.#slots[at] !== undefined) at = (at + 1) & mask;
    this.#slots[at] = stream;
  }

  #grow(): void {
    const before = this.#slots;
    this.#slots = new Array<H2Stream | undefined>(Math.max(16, before.length * 2)).fill(undefined);
    for (const stream of before) if (stream !== undefined) this.#insert(stream);
  }
}
