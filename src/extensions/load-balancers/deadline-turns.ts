// Hosts in turn, the earliest deadline first: how soon a host comes again depends on the weight that it has when it had its turn.
// The sequence is that of Envoy, from a random start.

/** Deadlines that are nearer to each other than this are the same, but for rounding. The host of the largest weight comes every 1. */
const rounding = 1e-6;
const farthest = 1e6;

export class DeadlineTurns {
  readonly #weightOf: (index: number) => number;
  readonly #largest: number;
  readonly #deadlines: Float64Array;
  /** Of equal deadlines the one that was set first counts. */
  readonly #order: Float64Array;
  #set = 0;

  constructor(count: number, weightOf: (index: number) => number) {
    this.#weightOf = weightOf;
    this.#deadlines = new Float64Array(count);
    this.#order = new Float64Array(count);
    let largest = 0;
    for (let i = 0; i < count; i++) largest = Math.max(largest, weightOf(i));
    this.#largest = largest;
    for (let i = 0; i < count; i++) this.#postpone(i);
    for (let i = Math.floor(Math.random() * count); i > 0; i--) this.next();
  }

  /** Hot. There is at least one. */
  next(): number {
    const deadlines = this.#deadlines;
    const order = this.#order;
    let first = 0;
    for (let i = 1; i < deadlines.length; i++) {
      const later = deadlines[i]! - deadlines[first]!;
      if (later < -rounding || (later < rounding && order[i]! < order[first]!)) first = i;
    }
    const now = deadlines[first]!;
    if (now > farthest) for (let i = 0; i < deadlines.length; i++) deadlines[i]! -= now;
    this.#postpone(first);
    return first;
  }

  #postpone(index: number): void {
    this.#deadlines[index]! += this.#largest / this.#weightOf(index);
    this.#order[index] = this.#set++;
  }
}
