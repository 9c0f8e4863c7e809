// Metrics in the text format of Prometheus: names without their tags, grouped, the tags as labels.
import { type BucketBounds, statisticsOf, supportedQuantiles } from './histogram-statistics.ts';
import type { HistogramStat, StatsReading } from './merged.ts';
import { integer, shortest, significant } from './numbers.ts';
import type { Tag, TagExtractor, TaggedName } from './tags.ts';

export interface PrometheusOptions {
  /** Buckets of all time, or quantiles of the last interval. */
  readonly histograms: 'buckets' | 'summary';
  /** Show text readouts, as gauges of value 0 with the text in the label `text_value`. */
  readonly textReadouts: boolean;
}

export function statsPrometheus(
  reading: StatsReading,
  extractor: TagExtractor,
  bounds: BucketBounds,
  { histograms, textReadouts }: PrometheusOptions,
): string {
  const lines: string[] = [];
  const write = <T extends { readonly name: string }>(
    stats: readonly T[],
    type: string,
    print: (stat: T, name: string, labels: string) => void,
    extract: (stat: T) => TaggedName = ({ name }) => extractor.extract(name),
  ) => {
    for (const [name, group] of grouped(stats, extract)) {
      const full = `envoy_${sanitize(name)}`;
      lines.push(`# TYPE ${full} ${type}\n`);
      for (const { stat, tags } of group) print(stat, full, labelsOf(tags));
    }
  };
  const number = ({ value }: { readonly value: number }, name: string, labels: string) => {
    lines.push(`${name}{${labels}} ${integer(value)}\n`);
  };

  write(reading.counters, 'counter', number);
  write(reading.gauges, 'gauge', number);
  if (textReadouts) {
    write(reading.textReadouts, 'gauge', ({ value }, name, labels) => {
      const all = labels === '' ? '' : `${labels},`;
      lines.push(`${name}{${all}text_value="${escaped(value)}"} 0\n`);
    });
  }
  if (histograms === 'buckets') {
    write(reading.histograms, 'histogram', (stat, name, labels) => {
      lines.push(bucketLines(stat, name, labels, bounds(stat.name)));
    });
  } else {
    write(reading.histograms, 'summary', (stat, name, labels) => {
      lines.push(summaryLines(stat, name, labels));
    });
  }
  for (const isCounter of [true, false]) {
    const stats = reading.endpoints.filter((it) => it.isCounter === isCounter);
    write(stats, isCounter ? 'counter' : 'gauge', number, ({ taggedName, tags }) => ({
      name: taggedName,
      tags: [...extractor.fixed, ...tags],
    }));
  }
  return lines.join('');
}

interface Labelled<T> {
  readonly stat: T;
  readonly tags: readonly Tag[];
}

/** Groups by name without tags; groups and their members in the order of their segments. */
function grouped<T extends { readonly name: string }>(
  stats: readonly T[],
  extract: (stat: T) => TaggedName,
): [name: string, group: Labelled<T>[]][] {
  const groups = new Map<string, Labelled<T>[]>();
  for (const stat of stats) {
    const { name, tags } = extract(stat);
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [{ stat, tags }]);
    else group.push({ stat, tags });
  }
  for (const group of groups.values()) sortBySegments(group, ({ stat }) => stat.name);
  return sortBySegments([...groups], ([name]) => name);
}

/** Sorts in place as if a dot came before every other character. */
function sortBySegments<T>(list: T[], nameOf: (it: T) => string): T[] {
  const keys = new Map(list.map((it) => [it, nameOf(it).replaceAll('.', '\0')]));
  return list.sort((a, b) => {
    const left = keys.get(a)!;
    const right = keys.get(b)!;
    return left < right ? -1 : left > right ? 1 : 0;
  });
}

function bucketLines(stat: HistogramStat, name: string, labels: string, bounds: readonly number[]): string {
  const { cumulative } = statisticsOf(stat);
  const before = labels === '' ? '' : `${labels},`;
  const counts = cumulative.cumulativeBuckets(bounds);
  const total = cumulative.sampleCount;
  let lines = '';
  bounds.forEach((bound, i) => {
    lines += `${name}_bucket{${before}le="${significant(bound, 32)}"} ${counts[i]}\n`;
  });
  lines += `${name}_bucket{${before}le="+Inf"} ${total}\n`;
  return `${lines}${name}_sum{${labels}} ${significant(cumulative.sampleSum, 32)}\n${name}_count{${labels}} ${total}\n`;
}

function summaryLines(stat: HistogramStat, name: string, labels: string): string {
  const { interval } = statisticsOf(stat);
  const before = labels === '' ? '' : `${labels},`;
  let lines = '';
  supportedQuantiles.forEach((fraction, i) => {
    lines += `${name}{${before}quantile="${shortest(fraction)}"} ${significant(interval.quantiles[i]!, 32)}\n`;
  });
  return `${lines}${name}_sum{${labels}} ${significant(interval.sampleSum, 32)}\n${name}_count{${labels}} ${interval.sampleCount}\n`;
}

function labelsOf(tags: readonly Tag[]): string {
  return tags.map(({ name, value }) => `${sanitize(name)}="${escaped(value)}"`).join(',');
}

function sanitize(name: string): string {
  return name.replace(/[^a-zA-Z0-9_]/g, '_');
}

function escaped(value: string): string {
  return value.replace(/[\\"\n]/g, (it) => (it === '\n' ? '\\n' : `\\${it}`));
}
