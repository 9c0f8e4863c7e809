// `upstream_rq_<code>`, `upstream_rq_<class>xx` and `upstream_rq_time` under the prefixes Envoy gives them. The metrics come into being
// with the first response of their kind, as they do in Envoy.
import type { Takings } from '#base/takings.ts';
import type { Counter, Histogram } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';

export class CodeStats {
  readonly #scope: Scope;
  readonly #codes: (Counter | undefined)[] = [];
  readonly #classes: (Counter | undefined)[] = [
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
  ];
  #completed: Counter | undefined = undefined;
  #time: Histogram | undefined = undefined;

  constructor(scope: Scope) {
    this.#scope = scope;
  }

  count(status: number): void {
    let code = this.#codes[status];
    if (code === undefined) {
      while (this.#codes.length <= status) this.#codes.push(undefined);
      code = this.#scope.counter(isKnown(status) ? `upstream_rq_${status}` : 'upstream_rq_unknown');
      this.#codes[status] = code;
    }
    code.value++;
    const of = (status / 100) | 0;
    if (isKnown(status)) this.#countClass(of);
    let completed = this.#completed;
    if (completed === undefined) {
      completed = this.#scope.counter('upstream_rq_completed');
      this.#completed = completed;
    }
    completed.value++;
  }

  #countClass(of: number): void {
    let group = this.#classes[of];
    if (group === undefined) {
      group = this.#scope.counter(`upstream_rq_${of}xx`);
      this.#classes[of] = group;
    }
    group.value++;
  }

  time(ms: number): void {
    let time = this.#time;
    if (time === undefined) {
      time = this.#scope.histogram('upstream_rq_time', 'milliseconds');
      this.#time = time;
    }
    time.record(ms);
  }
}

function isKnown(status: number): boolean {
  return status >= 100 && status < 600;
}

/** All of one cluster. Prefixes are opened when they are first used. */
export class ClusterCodeStats {
  readonly #all: CodeStats;
  readonly #scope: Scope;
  readonly #takings: Takings;
  readonly #ownZone: string;
  #external: CodeStats | undefined = undefined;
  #internal: CodeStats | undefined = undefined;
  #canary: CodeStats | undefined = undefined;
  #retry: CodeStats | undefined = undefined;
  readonly #zones = new Map<string, CodeStats>();
  readonly #others = new Map<string, ClusterCodeStats>();

  /** `scope`: that of the cluster. `ownZone`: of the node; empty: requests between zones are not counted. */
  constructor(scope: Scope, takings: Takings, ownZone: string) {
    this.#scope = scope;
    this.#takings = takings;
    this.#ownZone = ownZone;
    this.#all = new CodeStats(scope);
  }

  /** `zone`: the host's; empty for none. */
  count(status: number, isInternal: boolean, isCanary: boolean, zone: string): void {
    this.#all.count(status);
    (isInternal ? this.#ofInternal : this.#ofExternal).count(status);
    if (isCanary) this.#ofCanary.count(status);
    if (zone !== '' && this.#ownZone !== '') this.#between(zone).count(status);
  }

  time(ms: number, isInternal: boolean, isCanary: boolean, zone: string): void {
    this.#all.time(ms);
    (isInternal ? this.#ofInternal : this.#ofExternal).time(ms);
    if (isCanary) this.#ofCanary.time(ms);
    if (zone !== '' && this.#ownZone !== '') this.#between(zone).time(ms);
  }

  get #ofExternal(): CodeStats {
    return (this.#external ??= this.#open('external'));
  }

  get #ofInternal(): CodeStats {
    return (this.#internal ??= this.#open('internal'));
  }

  get #ofCanary(): CodeStats {
    return (this.#canary ??= this.#open('canary'));
  }

  #between(zone: string): CodeStats {
    let stats = this.#zones.get(zone);
    if (stats === undefined) {
      stats = this.#open(`zone.${this.#ownZone}.${zone}`);
      this.#zones.set(zone, stats);
    }
    return stats;
  }

  /** Responses that were retried. */
  get retry(): CodeStats {
    return (this.#retry ??= this.#open('retry'));
  }

  /** `x-envoy-upstream-alt-stat-name`. */
  named(name: string): ClusterCodeStats {
    let stats = this.#others.get(name);
    if (stats === undefined) {
      stats = this.#takings.collect(
        () => new ClusterCodeStats(this.#scope.scope(name), this.#takings, this.#ownZone),
      );
      this.#others.set(name, stats);
    }
    return stats;
  }

  #open(name: string): CodeStats {
    return this.#takings.collect(() => new CodeStats(this.#scope.scope(name)));
  }
}
