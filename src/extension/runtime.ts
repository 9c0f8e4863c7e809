// Runtime values as the request path sees them: a flat table by key, replaced as a whole when a layer changes.

/** `RuntimeFractionalPercent` as plain data. `runtimeKey` is empty when only the default counts. */
export interface RuntimeFraction {
  readonly numerator: number;
  /** 100, 10,000 or 1,000,000. */
  readonly denominator: number;
  readonly runtimeKey: string;
}

/** `RuntimeFeatureFlag` as plain data. */
export interface RuntimeFlag {
  readonly default: boolean;
  readonly runtimeKey: string;
}

/** The effective values of all layers: numbers, booleans and strings as the layers gave them. One object per thread. */
export class Runtime {
  values: ReadonlyMap<string, string | number | boolean> = new Map();

  /** An unsigned integer, or `fallback` when the key is absent or is none. */
  integer(key: string, fallback: number): number {
    if (key === '') return fallback;
    const value = this.values.get(key);
    if (typeof value === 'number') return value >= 0 ? Math.floor(value) : fallback;
    if (typeof value === 'string' && /^\d+$/.test(value)) return Number(value);
    return fallback;
  }

  boolean(key: string, fallback: boolean): boolean {
    if (key === '') return fallback;
    const value = this.values.get(key);
    if (typeof value === 'boolean') return value;
    if (value === 'true' || value === 1) return true;
    if (value === 'false' || value === 0) return false;
    return fallback;
  }

  flag(flag: RuntimeFlag): boolean {
    return this.boolean(flag.runtimeKey, flag.default);
  }

  /** True for the configured share of the random values (non-negative integers). A runtime value counts in percent of 100, as in Envoy. */
  enabled(fraction: RuntimeFraction, random: number): boolean {
    if (fraction.runtimeKey !== '') {
      const percent = this.integer(fraction.runtimeKey, -1);
      if (percent >= 0) return random % 100 < percent;
    }
    return random % fraction.denominator < fraction.numerator;
  }
}
