// One of several equal values: parts of a configuration that are the same in thousands of clusters are kept once, and reach the
// other threads once when they are posted together.
import { isDeepStrictEqual } from 'node:util';

export class Alike {
  readonly #kept: unknown[] = [];
  readonly #limit: number;
  #oldest = 0;

  /** Forgets all but the last `limit` different ones. */
  constructor(limit = 16) {
    this.#limit = limit;
  }

  /** An equal one that was here before, or `value`. Nobody may change it any more. */
  of<T>(value: T): T {
    const kept = this.#kept;
    for (let i = 0; i < kept.length; i++) if (isDeepStrictEqual(kept[i], value)) return kept[i] as T;
    if (kept.length < this.#limit) kept.push(value);
    else {
      kept[this.#oldest] = value;
      this.#oldest = (this.#oldest + 1) % this.#limit;
    }
    return value;
  }
}
