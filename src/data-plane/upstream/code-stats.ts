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
  readonly all: CodeStats;
  readonly #scope: Scope;
  readonly #takings: Takings;
  #external: CodeStats | undefined = undefined;
  #internal: CodeStats | undefined = undefined;
  #canary: CodeStats | undefined = undefined;
  #retry: CodeStats | undefined = undefined;
  readonly #others = new Map<string, CodeStats>();

  /** `scope`: that of the cluster. */
  constructor(scope: Scope, takings: Takings) {
    this.#scope = scope;
    this.#takings = takings;
    this.all = new CodeStats(scope);
  }

  get external(): CodeStats {
    return (this.#external ??= this.#open('external'));
  }

  get internal(): CodeStats {
    return (this.#internal ??= this.#open('internal'));
  }

  get canary(): CodeStats {
    return (this.#canary ??= this.#open('canary'));
  }

  /** Responses that were retried. */
  get retry(): CodeStats {
    return (this.#retry ??= this.#open('retry'));
  }

  /** `x-envoy-upstream-alt-stat-name`. */
  named(name: string): CodeStats {
    let stats = this.#others.get(name);
    if (stats === undefined) {
      stats = this.#open(name);
      this.#others.set(name, stats);
    }
    return stats;
  }

  #open(name: string): CodeStats {
    return this.#takings.collect(() => new CodeStats(this.#scope.scope(name)));
  }
}
