// Mirrored requests (`request_mirror_policies`): sent when the request is complete, their answers are read and thrown away.

import { type TimerOwner, WheelTimer } from '#base/timer-wheel.ts';
import { ResetReason, type StreamDecoder, type StreamEncoder } from '#http/codec.ts';
import type { HeaderMap } from '#http/header-map.ts';
import type { Cluster } from '../upstream/cluster.ts';
import { UpstreamProtocol } from '../upstream/cluster-config.ts';
import type { PoolClient } from '../upstream/http-pool.ts';
import type { MirrorPolicy, RouteEntry } from './route-entry.ts';
import type { Stream } from './stream.ts';

export function startShadows(
  stream: Stream,
  route: RouteEntry,
  headers: HeaderMap,
  body: readonly Buffer[] | undefined,
  trailers: HeaderMap | undefined,
): void {
  const policies = route.mirrorPolicies;
  const { shared } = stream.manager;
  for (let i = 0; i < policies.length; i++) {
    const policy = policies[i]!;
    if (!shared.runtime.enabled(policy.fraction, stream.random)) continue;
    const name = policy.cluster !== '' ? policy.cluster : (headers.get(policy.clusterHeader) ?? '');
    const cluster = shared.clusters.get(name);
    if (cluster === undefined) continue;
    new Shadow(stream, cluster, policy, headers, body, trailers).start(route.timeoutMs);
  }
}

class Shadow implements PoolClient, StreamDecoder, TimerOwner {
  readonly #stream: Stream;
  readonly #cluster: Cluster;
  readonly #headers: HeaderMap;
  readonly #body: readonly Buffer[];
  readonly #trailers: HeaderMap | undefined;
  readonly #timer = new WheelTimer(this);
  #encoder: StreamEncoder | undefined = undefined;
  #isOver = false;
  #isSent = false;

  constructor(
    stream: Stream,
    cluster: Cluster,
    policy: MirrorPolicy,
    headers: HeaderMap,
    body: readonly Buffer[] | undefined,
    trailers: HeaderMap | undefined,
  ) {
    this.#stream = stream;
    this.#cluster = cluster;
    this.#body = body === undefined ? [] : body.slice();
    this.#trailers = trailers?.clone();
    const copy = headers.clone();
    if (policy.hostRewrite !== '') copy.authority = policy.hostRewrite;
    else if (!policy.disableHostSuffix) copy.authority = shadowHost(copy.authority);
    const { shared } = stream.manager;
    // What the inner router of Envoy's asynchronous client adds: the request now comes from ourselves.
    copy.remove('x-envoy-internal');
    copy.add('x-envoy-internal', 'true');
    const own = shared.localAddress;
    const xff = copy.joined('x-forwarded-for');
    copy.remove('x-forwarded-for');
    copy.add('x-forwarded-for', xff === undefined ? own : `${xff},${own}`);
    if (policy.headerMutations !== null) policy.headerMutations.apply(copy, stream);
    this.#headers = copy;
  }

  start(timeoutMs: number): void {
    const { shared } = this.#stream.manager;
    const cluster = this.#cluster;
    shared.asyncRouterStats.rqTotal.value++;
    const host = cluster.pick(this.#stream.router);
    if (host === undefined) {
      cluster.stats.upstreamCxNoneHealthy.value++;
      return;
    }
    if (timeoutMs > 0) shared.timers.start(this.#timer, timeoutMs);
    const protocol = cluster.config.http.protocol;
    cluster.pool(host, protocol === UpstreamProtocol.Downstream ? 0 : protocol, 0).newStream(this);
  }

  onPoolReady(encoder: StreamEncoder): void {
    this.#encoder = encoder;
    const body = this.#body;
    const trailers = this.#trailers;
    encoder.encodeHeaders(this.#headers, body.length === 0 && trailers === undefined);
    for (let i = 0; i < body.length; i++)
      encoder.encodeData(body[i]!, i === body.length - 1 && trailers === undefined);
    if (trailers !== undefined) encoder.encodeTrailers(trailers);
    this.#isSent = true;
  }

  onPoolFailure(): void {
    this.#end();
  }

  decodeHeaders(headers: HeaderMap, endStream: boolean): void {
    const { codes } = this.#cluster;
    codes.all.count(headers.status);
    codes.internal.count(headers.status);
    if (endStream) this.#end();
  }

  decode1xx(): void {}

  decodeData(_data: Buffer, endStream: boolean): void {
    if (endStream) this.#end();
  }

  decodeTrailers(): void {
    this.#end();
  }

  onReset(): void {
    this.#end();
  }

  onAboveWriteBufferHighWatermark(): void {}

  onBelowWriteBufferLowWatermark(): void {}

  onTimeout(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#cluster.stats.upstreamRqTimeout.value++;
    this.#encoder?.reset(ResetReason.LocalReset);
  }

  #end(): void {
    this.#isOver = true;
    this.#stream.manager.shared.timers.cancel(this.#timer);
    if (!this.#isSent) this.#encoder?.reset(ResetReason.LocalReset);
  }
}

/** `a.com:80` becomes `a.com-shadow:80`. */
function shadowHost(host: string): string {
  const colon = host.lastIndexOf(':');
  return colon < 0 || host.endsWith(']')
    ? `${host}-shadow`
    : `${host.slice(0, colon)}-shadow${host.slice(colon)}`;
}
