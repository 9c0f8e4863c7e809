// What a text becomes before a schema looks at it: scalars, lists and maps that remember where they stood. Maps keep duplicate
// keys and their order; the offsets cost two integers per entry and make exact positions free.

/** A bigint is an integer too large for a double; a Uint8Array only comes from TypeScript objects. */
export type Tree = null | boolean | number | bigint | string | Uint8Array | TreeMap | TreeList;

export class TreeMap {
  readonly start: number;
  readonly keys: string[] = [];
  readonly values: Tree[] = [];
  readonly keyAt: number[] = [];
  readonly valueAt: number[] = [];
  /** Nodes in here with aliases written out, so that a small file cannot become a huge message. */
  weight = 1;

  constructor(start: number) {
    this.start = start;
  }

  /** The value of the last entry with this key, which is the one that counts. */
  get(key: string): Tree | undefined {
    const index = this.keys.lastIndexOf(key);
    return index < 0 ? undefined : this.values[index];
  }
}

export class TreeList {
  readonly start: number;
  readonly items: Tree[] = [];
  readonly itemAt: number[] = [];
  weight = 1;

  constructor(start: number) {
    this.start = start;
  }
}

/** A text that is not YAML or JSON at all; `at` is the offset of the character to point at. */
export class SyntaxProblem extends Error {
  override readonly name = 'SyntaxProblem';
  readonly at: number;
  readonly suggestion: string | undefined;
  /** Where Envoy sees it. */
  readonly envoyAt: number;

  constructor(problem: string, at: number, suggestion?: string, envoyAt = at) {
    super(problem);
    this.at = at;
    this.envoyAt = envoyAt;
    this.suggestion = suggestion;
  }
}

/** Nesting that the real Envoy's YAML reader refuses as well. */
export const maxDepth = 500;
