// The statistics of the process as its users see them: the main thread's own metrics and the last snapshot of every worker
// added up by name. Counters and gauges are summed when read; histograms are merged by `flush`, as in Envoy, into what came
// since the flush before and all there ever was.
import type { EndpointStat } from './endpoint-stats.ts';
import { Counter, Gauge, type GaugeMode, Histogram, type HistogramUnit } from './metric.ts';
import type { ScopeNames, StatsSnapshot } from './snapshot.ts';
import { SnapshotWriter } from './snapshot.ts';
import type { StatsStore } from './store.ts';

export interface NumberStat {
  readonly name: string;
  readonly value: number;
  readonly used: boolean;
}

export interface GaugeStat extends NumberStat {
  readonly mode: GaugeMode;
}

export interface TextStat {
  readonly name: string;
  readonly value: string;
  readonly used: boolean;
}

export interface HistogramStat {
  readonly name: string;
  readonly unit: HistogramUnit;
  /** False until a value was merged. */
  readonly used: boolean;
  /** Counts per slot of `Histogram`: of the last flush interval, and of all time. */
  readonly interval: Float64Array;
  readonly cumulative: Float64Array;
}

/** What of the statistics is wanted. */
export interface Wanted {
  readonly usedOnly?: boolean;
  readonly accepts?: (name: string) => boolean;
}

/** Each list in order of its names. */
export interface StatsReading {
  readonly counters: readonly NumberStat[];
  readonly gauges: readonly GaugeStat[];
  readonly textReadouts: readonly TextStat[];
  readonly histograms: readonly HistogramStat[];
  /** In order of clusters and hosts. */
  readonly endpoints: readonly EndpointStat[];
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

interface Source {
  scopes: readonly ScopeNames[];
  values: Float64Array;
  slots: Uint32Array;
  texts: readonly (string | null)[];
  /** `Histogram.counts` as of the last flush, by the histogram's id in its snapshots. */
  flushed: Map<number, Uint32Array>;
}

interface Retired {
  /** The main thread has the scope too: when it lets go of it, a cluster was removed, and this goes with it. */
  readonly endsWithScope: boolean;
  readonly counters: Map<string, number>;
}

export class MergedStats {
  readonly #store: StatsStore;
  readonly #own: SnapshotWriter;
  readonly #ownSource = emptySource();
  readonly #workers = new Map<number, Source>();
  /** What workers that are gone had counted, by scope prefix. */
  readonly #retired = new Map<string, Retired>();
  #histograms = new Map<string, Mutable<HistogramStat>>();

  constructor(store: StatsStore) {
    this.#store = store;
    this.#own = new SnapshotWriter(store);
  }

  /** The latest snapshot of a worker. Snapshots of one worker arrive in the order they were taken. */
  update(worker: number, snapshot: StatsSnapshot): void {
    let source = this.#workers.get(worker);
    if (source === undefined) {
      source = emptySource();
      this.#workers.set(worker, source);
    }
    replace(source, snapshot);
  }

  /** The worker is gone for good. What it counted stays, what it measured goes. */
  retire(worker: number): void {
    const source = this.#workers.get(worker);
    if (source === undefined) return;
    this.#flushSource(source);
    this.#workers.delete(worker);
    let at = 0;
    for (const { prefix, counters, gauges } of source.scopes) {
      for (const name of counters) {
        const value = source.values[at++]!;
        if (Number.isNaN(value)) continue;
        let kept = this.#retired.get(prefix);
        if (kept === undefined) {
          kept = { endsWithScope: this.#store.hasScope(prefix), counters: new Map() };
          this.#retired.set(prefix, kept);
        }
        kept.counters.set(name, (kept.counters.get(name) ?? 0) + value);
      }
      at += gauges.length;
    }
  }

  /** Resets the main thread's counters and what is kept of retired workers. The workers reset their own when told. */
  resetCounters(): void {
    this.#store.resetCounters();
    for (const { counters } of this.#retired.values()) {
      for (const name of counters.keys()) counters.set(name, 0);
    }
    for (const source of this.#workers.values()) {
      let at = 0;
      for (const { counters, gauges } of source.scopes) {
        for (let i = 0; i < counters.length; i++, at++) source.values[at]! *= 0;
        at += gauges.length;
      }
    }
  }

  /** Starts a new interval of every histogram. Runs every `stats_flush_interval`, after the workers were asked. */
  flush(): void {
    replace(this.#ownSource, this.#own.take());
    const previous = this.#histograms;
    this.#histograms = new Map();
    const sources = [this.#ownSource, ...this.#workers.values()];
    for (const { scopes } of sources) {
      for (const { prefix, histograms } of scopes) {
        for (const { name, unit } of histograms) {
          const full = prefix + name;
          const merged: Mutable<HistogramStat> = previous.get(full) ?? emptyHistogram(full, unit);
          merged.interval = new Float64Array(merged.cumulative.length);
          this.#histograms.set(full, merged);
        }
      }
    }
    for (const source of sources) this.#flushSource(source);
  }

  /** Everything, or what `wanted` leaves of it. */
  read(
    { usedOnly = false, accepts = () => true }: Wanted = {},
    endpoints: readonly EndpointStat[] = [],
  ): StatsReading {
    const counters = new Map<string, Mutable<NumberStat>>();
    const gauges = new Map<string, Mutable<GaugeStat>>();
    const textReadouts = new Map<string, Mutable<TextStat>>();
    const histograms = new Map<string, HistogramStat>(this.#histograms);

    for (const [name, { used }] of histograms)
      if ((usedOnly && !used) || !accepts(name)) histograms.delete(name);

    const count = (name: string, value: number) => {
      if (usedOnly && Number.isNaN(value)) return;
      const known = counters.get(name);
      if (known === undefined) {
        if (accepts(name)) counters.set(name, { name, value: value || 0, used: !Number.isNaN(value) });
      } else if (!Number.isNaN(value)) {
        known.value += value;
        known.used = true;
      }
    };
    const gauge = (name: string, mode: GaugeMode, value: number) => {
      if (usedOnly && Number.isNaN(value)) return;
      const known = gauges.get(name);
      if (known === undefined) {
        if (accepts(name)) gauges.set(name, { name, mode, value: value || 0, used: !Number.isNaN(value) });
      } else if (!Number.isNaN(value)) {
        known.value = mode === 'never_import' ? Math.max(known.value, value) : known.value + value;
        known.used = true;
      }
    };

    const text = (name: string, value: string | null) => {
      if ((usedOnly && value === null) || textReadouts.get(name)?.used || !accepts(name)) return;
      textReadouts.set(name, { name, value: value ?? '', used: value !== null });
    };
    const listed = new Set<string>();
    const histogram = (name: string, unit: HistogramUnit) => {
      listed.add(name);
      if (!usedOnly && !histograms.has(name) && accepts(name))
        histograms.set(name, emptyHistogram(name, unit));
    };

    replace(this.#ownSource, this.#own.take());
    for (const { scopes, values, texts } of [this.#ownSource, ...this.#workers.values()]) {
      let at = 0;
      let textAt = 0;
      for (const scope of scopes) {
        for (const name of scope.counters) count(scope.prefix + name, values[at++]!);
        for (const { name, mode } of scope.gauges) gauge(scope.prefix + name, mode, values[at++]!);
        for (const name of scope.textReadouts) text(scope.prefix + name, texts[textAt++] ?? null);
        for (const { name, unit } of scope.histograms) histogram(scope.prefix + name, unit);
      }
    }
    if (!usedOnly) {
      for (const scope of this.#store.scopes()) {
        for (const metric of scope.declared()) {
          const full = scope.prefix + metric.name;
          if (!this.#store.accepts(full)) continue;
          if (metric instanceof Counter) count(full, Number.NaN);
          else if (metric instanceof Gauge) gauge(full, metric.mode, Number.NaN);
          else if (metric instanceof Histogram) histogram(full, metric.unit);
          else text(full, null);
        }
      }
    }
    for (const [prefix, { endsWithScope, counters: kept }] of this.#retired) {
      if (endsWithScope && !this.#store.hasScope(prefix)) this.#retired.delete(prefix);
      else for (const [name, value] of kept) count(prefix + name, value);
    }
    // What is gone since they were merged last.
    for (const name of histograms.keys()) if (!listed.has(name)) histograms.delete(name);
    return {
      counters: byName(counters),
      gauges: byName(gauges),
      textReadouts: byName(textReadouts),
      histograms: byName(histograms),
      endpoints: endpoints.filter(({ name }) => accepts(name)),
    };
  }

  /** Adds what `source` recorded since it was last flushed to the merged histograms. */
  #flushSource(source: Source): void {
    const flushedBefore = source.flushed;
    source.flushed = new Map();
    let at = 0;
    for (const { prefix, histograms } of source.scopes) {
      for (const { name, unit, id } of histograms) {
        const full = prefix + name;
        const length = source.slots[at++]!;
        const counts = source.slots.subarray(at, at + length);
        at += length;
        let merged = this.#histograms.get(full);
        if (merged === undefined) {
          merged = emptyHistogram(full, unit);
          this.#histograms.set(full, merged);
        }
        if (length > merged.cumulative.length) {
          merged.interval = grown(merged.interval, length);
          merged.cumulative = grown(merged.cumulative, length);
        }
        const flushed = flushedBefore.get(id);
        for (let slot = 0; slot < length; slot++) {
          const added = (counts[slot]! - (flushed?.[slot] ?? 0)) >>> 0;
          if (added === 0) continue;
          merged.used = true;
          merged.interval[slot]! += added;
          merged.cumulative[slot]! += added;
        }
        source.flushed.set(id, counts);
      }
    }
  }
}

function emptySource(): Source {
  return { scopes: [], values: new Float64Array(), slots: new Uint32Array(), texts: [], flushed: new Map() };
}

function replace(source: Source, { scopes, values, slots, texts }: StatsSnapshot): void {
  if (scopes !== undefined) source.scopes = scopes;
  source.values = values;
  source.slots = slots;
  source.texts = texts;
}

function emptyHistogram(name: string, unit: HistogramUnit): HistogramStat {
  return { name, unit, used: false, interval: new Float64Array(), cumulative: new Float64Array() };
}

function grown(slots: Float64Array, length: number): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(length);
  larger.set(slots);
  return larger;
}

/** Ordered by code unit: how Envoy orders names. */
function byName<T extends { readonly name: string }>(stats: Map<string, T>): T[] {
  return [...stats.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}
