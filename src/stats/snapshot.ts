// What a worker tells the main thread about its metrics: absolute values in flat arrays, and the names only when they changed.
import { Counter, Gauge, type GaugeMode, Histogram, type HistogramUnit, type TextReadout } from './metric.ts';
import type { StatsStore } from './store.ts';

/** The metrics of one scope, in the order of the values. */
export interface ScopeNames {
  readonly prefix: string;
  readonly counters: readonly string[];
  readonly gauges: readonly { readonly name: string; readonly mode: GaugeMode }[];
  /** A histogram that went and came again under its name has another id. */
  readonly histograms: readonly {
    readonly name: string;
    readonly unit: HistogramUnit;
    readonly id: number;
  }[];
  readonly textReadouts: readonly string[];
}

export interface StatsSnapshot {
  /** Absent: those of the snapshot before. */
  readonly scopes?: readonly ScopeNames[];
  /** Per scope its counters, then its gauges. NaN: never used. Transferable. */
  readonly values: Float64Array;
  /** Per histogram the number of slots, then `Histogram.counts`. Transferable. */
  readonly slots: Uint32Array;
  /** Null: never set. */
  readonly texts: readonly (string | null)[];
}

/** Takes the snapshots of one thread for one reader. */
export class SnapshotWriter {
  readonly #store: StatsStore;
  #version = -1;
  readonly #numbers: (Counter | Gauge)[] = [];
  readonly #histograms: Histogram[] = [];
  readonly #texts: TextReadout[] = [];
  readonly #ids = new WeakMap<Histogram, number>();
  #nextId = 0;

  constructor(store: StatsStore) {
    this.#store = store;
  }

  take(): StatsSnapshot {
    const scopes = this.#version === this.#store.version ? undefined : this.#collect();
    const numbers = this.#numbers;
    const values = new Float64Array(numbers.length);
    for (let i = 0; i < numbers.length; i++) {
      const metric = numbers[i]!;
      const used = metric instanceof Counter ? this.#store.isUsed(metric) : metric.used;
      values[i] = used ? metric.value : Number.NaN;
    }
    let length = 0;
    for (const { counts } of this.#histograms) length += 1 + counts.length;
    const slots = new Uint32Array(length);
    let at = 0;
    for (const { counts } of this.#histograms) {
      slots[at++] = counts.length;
      slots.set(counts, at);
      at += counts.length;
    }
    const texts = this.#texts.map(({ used, value }) => (used ? value : null));
    return scopes === undefined ? { values, slots, texts } : { scopes, values, slots, texts };
  }

  #collect(): ScopeNames[] {
    this.#version = this.#store.version;
    this.#numbers.length = this.#histograms.length = this.#texts.length = 0;
    const scopes: ScopeNames[] = [];
    for (const scope of this.#store.scopes()) {
      const counters: Counter[] = [];
      const gauges: Gauge[] = [];
      const histograms: Histogram[] = [];
      const textReadouts: string[] = [];
      for (const metric of scope.metrics()) {
        if (metric instanceof Counter) counters.push(metric);
        else if (metric instanceof Gauge) gauges.push(metric);
        else if (metric instanceof Histogram) histograms.push(metric);
        else {
          textReadouts.push(metric.name);
          this.#texts.push(metric);
        }
      }
      this.#numbers.push(...counters, ...gauges);
      this.#histograms.push(...histograms);
      scopes.push({
        prefix: scope.prefix,
        counters: orNone(counters.map(({ name }) => name)),
        gauges: orNone(gauges.map(({ name, mode }) => ({ name, mode }))),
        histograms: orNone(histograms.map((it) => ({ name: it.name, unit: it.unit, id: this.#id(it) }))),
        textReadouts: orNone(textReadouts),
      });
    }
    return scopes;
  }

  #id(histogram: Histogram): number {
    let id = this.#ids.get(histogram);
    if (id === undefined) {
      id = this.#nextId++;
      this.#ids.set(histogram, id);
    }
    return id;
  }
}

const none: never[] = [];

/** Most scopes have metrics of one kind, and there may be tens of thousands. */
function orNone<T>(list: T[]): readonly T[] {
  return list.length === 0 ? none : list;
}

/** What goes into the transfer list of `postMessage(snapshot, transfer)`. */
export function transferOf(snapshot: StatsSnapshot): ArrayBuffer[] {
  return [snapshot.values.buffer as ArrayBuffer, snapshot.slots.buffer as ArrayBuffer];
}
