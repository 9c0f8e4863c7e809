// `transport_socket_matches`: the first entry whose values the host's metadata has; else the cluster's own transport socket.
import { isDeepStrictEqual } from 'node:util';
import type { Counter } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';
import type { HostConfig, TransportSocketMatchConfig } from './cluster-config.ts';

/** Where hosts say what they are, for this purpose. */
const filter = 'envoy.transport_socket_match';

export function matchOf<M extends { readonly match: Readonly<Record<string, unknown>> }>(
  matches: readonly M[],
  metadata: HostConfig['metadata'],
): M | undefined {
  const own = metadata?.[filter];
  return matches.find(({ match }) =>
    Object.entries(match).every(([name, value]) => own !== undefined && isDeepStrictEqual(own[name], value)),
  );
}

/** `<name of the match>.total_match_count`: how often a host was made and took it, on the main thread. */
export class TransportMatchCounts {
  readonly #matches: readonly (Pick<TransportSocketMatchConfig, 'match'> & { readonly count: Counter })[];
  readonly #default: Counter;

  constructor(matches: readonly TransportSocketMatchConfig[], scope: Scope) {
    this.#default = scope.counter('default.total_match_count');
    this.#matches = matches.map(({ name, match }) => ({
      match,
      count: scope.counter(`${name}.total_match_count`),
    }));
  }

  add(host: HostConfig, made: number): void {
    (matchOf(this.#matches, host.metadata)?.count ?? this.#default).value += made;
  }
}
