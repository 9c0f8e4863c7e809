// The metrics of one thread, by scope. A scope is a name prefix that somebody owns: it goes, with its metrics, when the last
// owner releases it. Names are put together only when somebody reads them.
import { onRelease } from '#base/takings.ts';
import { Counter, Gauge, type GaugeMode, Histogram, type HistogramUnit, TextReadout } from './metric.ts';

export type Metric = Counter | Gauge | Histogram | TextReadout;

/**
 * A class whose constructor takes each of its metrics from the scope it is given, and does nothing else:
 *
 *     class RouterStats {
 *       readonly rqTotal: Counter;
 *       constructor(scope: Scope) {
 *         this.rqTotal = scope.counter('rq_total');
 *       }
 *     }
 */
export type StatsClass<T> = new (scope: Scope) => T;

export class StatsStore {
  /** The metrics without a prefix. */
  readonly root: Scope;
  /** Changes whenever a metric or a scope comes or goes. */
  version = 0;
  readonly #scopes = new Map<string, Scope>();
  readonly #accepts: (name: string) => boolean;
  /** Counters that are used although they are zero. */
  readonly #usedAtZero = new WeakSet<Counter>();

  /** `accepts`: false for a metric (full name) that `stats_matcher` wants neither counted nor listed. */
  constructor(accepts: (name: string) => boolean = () => true) {
    this.#accepts = accepts;
    this.root = this.scope('');
  }

  /** A reference to the scope named `name` (no final dot), for whoever must `release()` it, or collects what is taken (`takings.ts`). */
  scope(name: string): Scope {
    const prefix = name === '' ? '' : `${sanitizeStatName(name)}.`;
    let scope = this.#scopes.get(prefix);
    if (scope === undefined) {
      scope = new Scope(this, prefix);
      this.#scopes.set(prefix, scope);
      this.version++;
    }
    const taken = scope;
    taken.references++;
    onRelease(() => taken.release());
    return taken;
  }

  scopes(): Iterable<Scope> {
    return this.#scopes.values();
  }

  hasScope(prefix: string): boolean {
    return this.#scopes.has(prefix);
  }

  /** Sets every counter back to zero, as POST /reset_counters does. */
  resetCounters(): void {
    for (const scope of this.#scopes.values()) {
      for (const metric of scope.metrics()) {
        if (!(metric instanceof Counter) || metric.value === 0) continue;
        metric.value = 0;
        // Envoy goes on listing what was used before.
        this.#usedAtZero.add(metric);
      }
    }
  }

  isUsed(counter: Counter): boolean {
    return counter.value !== 0 || this.#usedAtZero.has(counter);
  }

  /** As if nothing had been added to it. */
  markUsed(counter: Counter): void {
    this.#usedAtZero.add(counter);
  }

  /** For `Scope`. */
  accepts(name: string): boolean {
    return this.#accepts(name);
  }

  /** For `Scope`. */
  remove(scope: Scope): void {
    this.#scopes.delete(scope.prefix);
    this.version++;
  }
}

export class Scope {
  readonly store: StatsStore;
  /** Empty, or ends with a dot: `cluster.web.`. */
  readonly prefix: string;
  references = 0;
  // Made when needed: most scopes of a large configuration only declare.
  #metrics: Map<string, Metric> | undefined = undefined;
  #stats: Map<StatsClass<unknown>, unknown> | undefined = undefined;
  #declared: StatsClass<unknown>[] | undefined = undefined;

  constructor(store: StatsStore, prefix: string) {
    this.store = store;
    this.prefix = prefix;
  }

  counter(name: string): Counter {
    return this.#metric(Counter, name, () => new Counter(name));
  }

  gauge(name: string, mode: GaugeMode = 'accumulate'): Gauge {
    return this.#metric(Gauge, name, () => new Gauge(name, mode));
  }

  histogram(name: string, unit: HistogramUnit = 'unspecified'): Histogram {
    return this.#metric(Histogram, name, () => new Histogram(name, unit));
  }

  textReadout(name: string): TextReadout {
    return this.#metric(TextReadout, name, () => new TextReadout(name));
  }

  /** The metrics of `stats` in this scope: one instance however often it is asked for. */
  stats<T>(stats: StatsClass<T>): T {
    this.#stats ??= new Map();
    let instance = this.#stats.get(stats) as T | undefined;
    if (instance === undefined) {
      instance = new stats(this);
      this.#stats.set(stats, instance);
    }
    return instance;
  }

  /**
   * Lists the metrics of `stats` as unused zeros without creating them. A thread that shows a cluster but does not use it
   * (the main thread, or a worker before the first request) keeps one pointer instead of a hundred objects.
   */
  declare(stats: StatsClass<unknown>): void {
    // An array that grows by itself would take room for sixteen more.
    if (this.#declared === undefined) this.#declared = [stats];
    else if (!this.#declared.includes(stats)) this.#declared = [...this.#declared, stats];
    this.store.version++;
  }

  /** A reference to the scope `name` below this one. */
  scope(name: string): Scope {
    return this.store.scope(`${this.prefix}${name}`);
  }

  /** Gives one reference back. After the last one the metrics go on counting for whoever holds them, but are not listed. */
  release(): void {
    if (--this.references === 0) this.store.remove(this);
  }

  metrics(): Iterable<Metric> {
    return this.#metrics?.values() ?? [];
  }

  /** What is declared and not created, as samples to read names and kinds from: their values are never used. */
  *declared(): Iterable<Metric> {
    for (const stats of this.#declared ?? []) {
      for (const metric of samples(stats)) if (!this.#metrics?.has(metric.name)) yield metric;
    }
  }

  #metric<T extends Metric>(kind: abstract new (...args: never) => T, name: string, create: () => T): T {
    this.#metrics ??= new Map();
    let key = name;
    let known = this.#metrics.get(key);
    if (known !== undefined && !(known instanceof kind)) {
      // Two kinds under one name live side by side, as in Envoy.
      key = `${name}\0${kind.name}`;
      known = this.#metrics.get(key);
    }
    if (known !== undefined) return known as T;
    const metric = create();
    if (this.store.accepts(this.prefix + name)) {
      this.#metrics.set(key, metric);
      this.store.version++;
    }
    return metric;
  }
}

/** What Envoy's users expect of a name with a colon in it: `listener.127.0.0.1_80.`. */
export function sanitizeStatName(name: string): string {
  return name.replace(/:\/\/|:\/|[:\0]/g, '_').replace(/^\.|\.$/g, '');
}

const samplesByClass = new WeakMap<StatsClass<unknown>, readonly Metric[]>();

function samples(stats: StatsClass<unknown>): readonly Metric[] {
  let metrics = samplesByClass.get(stats);
  if (metrics === undefined) {
    const { root } = new StatsStore();
    new stats(root);
    metrics = [...root.metrics()];
    samplesByClass.set(stats, metrics);
  }
  return metrics;
}
