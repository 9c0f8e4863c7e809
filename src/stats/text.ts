// `/stats` as text: one line per metric.
import {
  type BucketBounds,
  type HistogramStatistics,
  statisticsOf,
  supportedQuantiles,
} from './histogram-statistics.ts';
import type { HistogramStat, NumberStat, StatsReading } from './merged.ts';
import { integer, shortest, significant } from './numbers.ts';

/** How histograms are shown; `summary` is quantiles. */
export type HistogramView = 'summary' | 'cumulative' | 'disjoint' | 'detailed';

export function statsText(reading: StatsReading, view: HistogramView, bounds: BucketBounds): string {
  const lines: string[] = [];
  for (const { name, value } of reading.textReadouts) lines.push(`${name}: "${value}"\n`);
  for (const { name, value } of numbersByName(reading)) lines.push(`${name}: ${integer(value)}\n`);
  for (const { name, value } of reading.endpoints) lines.push(`${name}: ${integer(value)}\n`);
  for (const stat of reading.histograms) {
    lines.push(stat.used ? histogramText(stat, view, bounds) : `${stat.name}: No recorded values\n`);
  }
  return lines.join('');
}

/** Counters and gauges in one list. */
export function numbersByName({ counters, gauges }: StatsReading): NumberStat[] {
  return [...counters, ...gauges].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

/** `P50(interval,all time)` for each quantile. */
export function quantileSummary(stat: HistogramStat): string {
  const { interval, cumulative } = statisticsOf(stat);
  return supportedQuantiles
    .map((it, i) => `P${it * 100}(${shortest(interval.quantiles[i]!)},${shortest(cumulative.quantiles[i]!)})`)
    .join(' ');
}

function histogramText(stat: HistogramStat, view: HistogramView, bounds: BucketBounds): string {
  const { name } = stat;
  switch (view) {
    case 'summary':
      return `${name}: ${quantileSummary(stat)}\n`;
    case 'cumulative':
      return `${name}: ${bucketSummary(stat, bounds(name), (it, all) => it.cumulativeBuckets(all))}\n`;
    case 'disjoint':
      return `${name}: ${bucketSummary(stat, bounds(name), (it, all) => it.disjointBuckets(all))}\n`;
    case 'detailed': {
      const { interval, cumulative } = statisticsOf(stat);
      return `${name}:\n  totals=${detailed(cumulative)}\n  intervals=${detailed(interval)}\n  summary=${quantileSummary(stat)}\n`;
    }
  }
}

function bucketSummary(
  stat: HistogramStat,
  bounds: readonly number[],
  count: (side: HistogramStatistics, bounds: readonly number[]) => number[],
): string {
  const sides = statisticsOf(stat);
  const interval = count(sides.interval, bounds);
  const cumulative = count(sides.cumulative, bounds);
  return bounds.map((it, i) => `B${significant(it, 6)}(${interval[i]},${cumulative[i]})`).join(' ');
}

function detailed(side: HistogramStatistics): string {
  return side
    .detailedBuckets()
    .map(({ low, width, count }) => `${significant(low, 6)},${significant(width, 6)}:${count}`)
    .join(', ');
}
