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

/** A value that is a `FractionalPercent`. */
export interface RuntimePercent {
  readonly numerator: number;
  readonly denominator: number;
}

/** What a layer says, as it is understood: a text that reads as a number is that number. */
export type RuntimeValue = string | number | boolean | RuntimePercent;

/** The effective values of all layers. One object per thread. */
export class Runtime {
  values: ReadonlyMap<string, RuntimeValue> = new Map();

  /** An unsigned integer, or `fallback` when the key is absent or is none. */
  integer(key: string, fallback: number): number {
    const value = this.double(key, fallback);
    return value >= 0 ? Math.floor(value) : fallback;
  }

  double(key: string, fallback: number): number {
    if (key === '') return fallback;
    const value = this.values.get(key);
    return typeof value === 'number' ? value : fallback;
  }

  boolean(key: string, fallback: boolean): boolean {
    if (key === '') return fallback;
    const value = this.values.get(key);
    if (typeof value === 'boolean') return value;
    return typeof value === 'number' && Number.isInteger(value) ? value !== 0 : fallback;
  }

  flag(flag: RuntimeFlag): boolean {
    return this.boolean(flag.runtimeKey, flag.default);
  }

  /** True for the configured share of the random values (non-negative integers). A plain number counts in percent of 100, as in Envoy. */
  enabled(fraction: RuntimeFraction, random: number): boolean {
    let share: RuntimePercent = fraction;
    if (fraction.runtimeKey !== '') {
      const value = this.values.get(fraction.runtimeKey);
      if (typeof value === 'object') share = value;
      else if (typeof value === 'number' && value >= 0) return random % 100 < Math.floor(value);
    }
    return random % share.denominator < share.numerator;
  }

  /** A key of which only whole percents count. */
  enabledPercent(key: string, fallback: number, random: number): boolean {
    return random % 100 < this.integer(key, fallback);
  }
}
