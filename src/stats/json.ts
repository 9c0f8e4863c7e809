// `/stats?format=json`. Written as text: numbers have Envoy's notation, and the list can be long.
import {
  type BucketBounds,
  type HistogramStatistics,
  statisticsOf,
  supportedQuantiles,
} from './histogram-statistics.ts';
import type { HistogramStat, StatsReading } from './merged.ts';
import { integer, shortestJson } from './numbers.ts';
import { type HistogramView, numbersByName } from './text.ts';

export function statsJson(reading: StatsReading, view: HistogramView, bounds: BucketBounds): string {
  const entries: string[] = [];
  for (const { name, value } of reading.textReadouts) {
    entries.push(`{"name":${JSON.stringify(name)},"value":${JSON.stringify(value)}}`);
  }
  for (const { name, value } of [...numbersByName(reading), ...reading.endpoints]) {
    entries.push(`{"name":${JSON.stringify(name)},"value":${integer(value)}}`);
  }
  if (reading.histograms.length > 0)
    entries.push(`{"histograms":${histograms(reading.histograms, view, bounds)}}`);
  return `{"stats":[${entries.join(',')}]}`;
}

function histograms(stats: readonly HistogramStat[], view: HistogramView, bounds: BucketBounds): string {
  const all = (one: (stat: HistogramStat) => string) => `[${stats.map(one).join(',')}]`;
  const fractions = `[${supportedQuantiles.map((it) => it * 100).join(',')}]`;
  switch (view) {
    case 'summary':
      return `{"supported_quantiles":${fractions},"computed_quantiles":${all(
        (stat) => `{"name":${JSON.stringify(stat.name)},"values":${percentiles(stat)}}`,
      )}}`;
    case 'cumulative':
      return all((stat) =>
        buckets(stat, bounds(stat.name), (side, limits) => side.cumulativeBuckets(limits)),
      );
    case 'disjoint':
      return all((stat) => buckets(stat, bounds(stat.name), (side, limits) => side.disjointBuckets(limits)));
    case 'detailed':
      return `{"supported_percentiles":${fractions},"details":${all((stat) => {
        const { interval, cumulative } = statisticsOf(stat);
        return `{"name":${JSON.stringify(stat.name)},"totals":${detailed(cumulative)},"intervals":${detailed(interval)},"percentiles":${percentiles(stat)}}`;
      })}}`;
  }
}

function percentiles(stat: HistogramStat): string {
  const { interval, cumulative } = statisticsOf(stat);
  const values = supportedQuantiles.map(
    (_, i) =>
      `{"cumulative":${shortestJson(cumulative.quantiles[i]!)},"interval":${shortestJson(interval.quantiles[i]!)}}`,
  );
  return `[${values.join(',')}]`;
}

function buckets(
  stat: HistogramStat,
  bounds: readonly number[],
  count: (side: HistogramStatistics, bounds: readonly number[]) => number[],
): string {
  const sides = statisticsOf(stat);
  const interval = count(sides.interval, bounds);
  const cumulative = count(sides.cumulative, bounds);
  const list = bounds.map(
    (it, i) => `{"upper_bound":${shortestJson(it)},"interval":${interval[i]},"cumulative":${cumulative[i]}}`,
  );
  return `{"name":${JSON.stringify(stat.name)},"buckets":[${list.join(',')}]}`;
}

function detailed(side: HistogramStatistics): string {
  const list = side
    .detailedBuckets()
    .map(
      ({ low, width, count }) =>
        `{"lower_bound":${shortestJson(low)},"width":${shortestJson(width)},"count":${count}}`,
    );
  return `[${list.join(',')}]`;
}
