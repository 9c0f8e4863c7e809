// What the pages show of a histogram: quantiles and buckets of the last interval and of all time.
import { countsBelow, filledBuckets, quantiles, type Slots, sampleCount, sampleSum } from './buckets.ts';
import type { HistogramStat } from './merged.ts';
import { type HistogramUnit, percentScale } from './metric.ts';

export const supportedQuantiles: readonly number[] = [0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1];

export const defaultBuckets: readonly number[] = [
  0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000,
  3_600_000,
];

/** The bounds of the buckets by metric name: `histogram_bucket_settings`. */
export type BucketBounds = (name: string) => readonly number[];

export interface Bucket {
  readonly low: number;
  readonly width: number;
  readonly count: number;
}

/** One side of a histogram, of the interval or of all time. A percentage is given as a fraction. */
export class HistogramStatistics {
  readonly quantiles: readonly number[];
  readonly #slots: Slots;
  readonly #scale: number;

  constructor(slots: Slots, unit: HistogramUnit) {
    this.#slots = slots;
    this.#scale = unit === 'percent' ? percentScale : 1;
    this.quantiles = quantiles(slots, supportedQuantiles).map((it) => it / this.#scale);
  }

  get sampleCount(): number {
    return sampleCount(this.#slots);
  }

  get sampleSum(): number {
    return sampleSum(this.#slots) / this.#scale;
  }

  cumulativeBuckets(bounds: readonly number[]): number[] {
    return countsBelow(
      this.#slots,
      bounds.map((it) => it * this.#scale),
    );
  }

  disjointBuckets(bounds: readonly number[]): number[] {
    return this.cumulativeBuckets(bounds).map((count, i, all) => count - (all[i - 1] ?? 0));
  }

  detailedBuckets(): Bucket[] {
    return filledBuckets(this.#slots).map(({ low, width, count }) => ({
      low: low / this.#scale,
      width: width / this.#scale,
      count,
    }));
  }
}

export function statisticsOf({ interval, cumulative, unit }: HistogramStat): {
  readonly interval: HistogramStatistics;
  readonly cumulative: HistogramStatistics;
} {
  return {
    interval: new HistogramStatistics(interval, unit),
    cumulative: new HistogramStatistics(cumulative, unit),
  };
}
