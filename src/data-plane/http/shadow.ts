// Mirrored requests (`request_mirror_policies`): sent along with the request, their answers are read and thrown away.
import { pin } from '#base/read-buffers.ts';
import type { AsyncCallbacks } from '#http/async-client.ts';
import type { HeaderMap } from '#http/header-map.ts';
import { AsyncRequest } from './async-request.ts';
import type { MirrorPolicy } from './route-entry.ts';
import type { Stream } from './stream.ts';

/** The mirrors of one request, while it is being sent. */
export class Shadows implements AsyncCallbacks {
  readonly #stream: Stream;
  readonly #requests: AsyncRequest[] = [];
  #isComplete = false;

  constructor(stream: Stream) {
    this.#stream = stream;
  }

  start(policies: readonly MirrorPolicy[], timeoutMs: number, headers: HeaderMap, endStream: boolean): void {
    const stream = this.#stream;
    const { shared } = stream.manager;
    for (let i = 0; i < policies.length; i++) {
      const policy = policies[i]!;
      if (!shared.runtime.enabled(policy.fraction, stream.random)) continue;
      const name = policy.cluster !== '' ? policy.cluster : (headers.get(policy.clusterHeader) ?? '');
      const cluster = shared.clusters.get(name);
      if (cluster === undefined) continue;
      const options = {
        timeoutMs,
        retryPolicy: undefined,
        addsInternal: true,
        addsForwardedFor: true,
        addsExpectedTimeout: !shared.config.routerConfig.suppressEnvoyHeaders,
        countsCodes: shared.config.routerConfig.dynamicStats,
      };
      const filters = cluster.upstreamFilters ?? shared.upstreamFilters;
      const request = new AsyncRequest(shared.asyncClient, cluster, this, options, null, filters);
      this.#requests.push(request);
      request.sendHeaders(shadowHeaders(policy, headers, stream), endStream);
    }
    this.#isComplete = endStream;
  }

  sendData(data: Buffer, endStream: boolean): void {
    const requests = this.#requests;
    if (requests.length > 0) pin(data);
    this.#isComplete = endStream;
    for (let i = 0; i < requests.length; i++) requests[i]!.sendData(data, endStream);
  }

  sendTrailers(trailers: HeaderMap): void {
    const requests = this.#requests;
    this.#isComplete = true;
    for (let i = 0; i < requests.length; i++) requests[i]!.sendTrailers(trailers.clone());
  }

  /** The request is over. What was sent completely goes on alone. */
  end(): void {
    if (this.#isComplete) return;
    this.#isComplete = true;
    const requests = this.#requests;
    for (let i = 0; i < requests.length; i++) requests[i]!.reset();
  }

  // AsyncCallbacks ----------------------------------------------------------------------------------------------------------

  onHeaders(): void {}

  onData(): void {}

  onTrailers(): void {}

  onReset(): void {}

  onBackedUp(isBackedUp: boolean): void {
    this.#stream.readDisable(isBackedUp);
  }
}

function shadowHeaders(policy: MirrorPolicy, headers: HeaderMap, stream: Stream): HeaderMap {
  const copy = headers.clone();
  if (policy.hostRewrite !== '') copy.authority = policy.hostRewrite;
  else if (!policy.disableHostSuffix) copy.authority = shadowHost(copy.authority);
  if (policy.headerMutations !== null) policy.headerMutations.apply(copy, stream);
  return copy;
}

/** `a.com:80` becomes `a.com-shadow:80`. */
function shadowHost(host: string): string {
  const colon = host.lastIndexOf(':');
  return colon < 0 || host.endsWith(']')
    ? `${host}-shadow`
    : `${host.slice(0, colon)}-shadow${host.slice(colon)}`;
}
