// What a preparation takes and has to give back when its result goes: references to scopes, watches, streams. Whoever hands such a thing out
// says so with `onRelease`; whoever prepares something that may go again collects it. Preparations do not wait, so one list per thread is
// enough.

let taken: (() => void)[] | undefined;

export interface Taken<T> {
  readonly value: T;
  /** Once. */
  release(): void;
}

export function collectTakings<T>(prepare: () => T): Taken<T> {
  const before = taken;
  const own: (() => void)[] = [];
  taken = own;
  try {
    const value = prepare();
    return {
      value,
      release() {
        for (const it of own.splice(0)) it();
      },
    };
  } finally {
    taken = before;
  }
}

/** Nobody collects at the start of a thread: what is taken then stays. */
export function onRelease(release: () => void): void {
  taken?.push(release);
}
