// What a preparation takes and has to give back when its result goes: references to scopes, watches, streams. Whoever hands such a thing out
// says so with `onRelease`; whoever prepares something that may go again collects it. Preparations do not wait, so one list per thread is
// enough.

let current: Takings | undefined;

export interface Taken<T> {
  readonly value: T;
  /** Once. */
  release(): void;
}

export class Takings {
  #releases: (() => void)[] = [];
  #isReleased = false;

  /** Collects what more is taken, also later. What is taken after the release is given back at once. */
  collect<T>(prepare: () => T): T {
    const before = current;
    current = this;
    try {
      return prepare();
    } finally {
      current = before;
      if (this.#isReleased) this.#giveBack();
      // Without the room it has to grow: there is one for each cluster.
      else this.#releases = this.#releases.slice();
    }
  }

  release(): void {
    this.#isReleased = true;
    this.#giveBack();
  }

  /** For `onRelease`. */
  add(release: () => void): void {
    this.#releases.push(release);
  }

  #giveBack(): void {
    for (const it of this.#releases.splice(0)) it();
  }
}

/** `prepare` gets what it may collect later takings with. */
export function collectTakings<T>(prepare: (takings: Takings) => T): Taken<T> {
  const takings = new Takings();
  return { value: takings.collect(() => prepare(takings)), release: () => takings.release() };
}

/** Nobody collects at the start of a thread: what is taken then stays. */
export function onRelease(release: () => void): void {
  current?.add(release);
}
