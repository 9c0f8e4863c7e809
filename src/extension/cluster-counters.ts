// What a filter counts for the cluster that a request's route names: `cluster.<name>.ext_authz.ok`, and the answers it gives itself.
import type { Scope } from '#stats/store.ts';

export class ClusterCounters {
  readonly #stats: Scope;
  readonly #scopes = new Map<string, Scope>();

  /** `stats`: the scope without a prefix. */
  constructor(stats: Scope) {
    this.#stats = stats;
  }

  /** `cluster`: its name in statistics; empty when there is none, and nothing is counted. */
  count(cluster: string, name: string): void {
    if (cluster !== '') this.#scope(cluster).counter(name).value++;
  }

  /** An answer of the proxy's own, in the place of the cluster's: `upstream_rq_<code>` and so on. */
  countResponse(cluster: string, status: number): void {
    if (cluster === '') return;
    const scope = this.#scope(cluster);
    for (const prefix of ['', 'internal.']) {
      scope.counter(`${prefix}upstream_rq_${status}`).value++;
      scope.counter(`${prefix}upstream_rq_${(status / 100) | 0}xx`).value++;
      scope.counter(`${prefix}upstream_rq_completed`).value++;
    }
  }

  #scope(cluster: string): Scope {
    let scope = this.#scopes.get(cluster);
    if (scope === undefined) {
      scope = this.#stats.scope(`cluster.${cluster}`);
      this.#scopes.set(cluster, scope);
    }
    return scope;
  }
}
