// Asks a rate limit service about the descriptors of a request, and answers requests that are over a limit.
import { nextRandom } from '#base/random.ts';
import { latin1OfUtf8 } from '#base/utf8.ts';
import type { ClusterCounters } from '#extension/cluster-counters.ts';
import { addDynamicMetadata } from '#extension/dynamic-metadata.ts';
import type { MethodCallbacks, MethodClient } from '#extension/grpc-service.ts';
import type { HeaderMutations } from '#extension/header-mutations.ts';
import { FilterStatus, type HttpFilter, type HttpRoute, type HttpStream } from '#extension/http-filter.ts';
import type { RateLimitPolicy } from '#extension/rate-limit-descriptors.ts';
import { ResponseFlag } from '#extension/response-flag.ts';
import type { Runtime } from '#extension/runtime.ts';
import type { GrpcStream } from '#grpc/client.ts';
import type { HeaderMap } from '#http/header-map.ts';
import type { HeaderValue } from '#schema/messages/envoy/config/core/v3.ts';
import type { RateLimitDescriptorInit } from '#schema/messages/envoy/extensions/common/ratelimit/v3.ts';
import type { RateLimitResponse } from '#schema/messages/envoy/service/ratelimit/v3.ts';
import { descriptorMessage } from '../../ratelimit/descriptor-message.ts';
import type { RateLimitConfig, RateLimitRouteConfig } from './config.ts';
import { limitHeaders, tightest } from './limit-headers.ts';

export interface RateLimitShared {
  readonly name: string;
  readonly config: RateLimitConfig;
  readonly client: MethodClient<
    'envoy.service.ratelimit.v3.RateLimitRequest',
    'envoy.service.ratelimit.v3.RateLimitResponse'
  >;
  readonly clusters: ClusterCounters;
  /** `ratelimit.` or `ratelimit.<stat_prefix>.` */
  readonly clusterStatPrefix: string;
  readonly runtime: Runtime;
  /** The filter's own; empty: those of the route. */
  readonly policies: readonly RateLimitPolicy[];
  readonly responseHeaders: HeaderMutations | null;
}

/** What one level of `typed_per_filter_config` became. */
export interface RateLimitRoute {
  readonly config: RateLimitRouteConfig;
  readonly policies: readonly RateLimitPolicy[];
}

const State = { New: 0, Calling: 1, Done: 2 } as const;

/** Set by other filters: how many hits the request counts for. */
const hitsKey = 'envoy.ratelimit.hits_addend';

export class RateLimitFilter implements HttpFilter, MethodCallbacks<RateLimitResponse> {
  readonly #shared: RateLimitShared;
  #stream: HttpStream | undefined = undefined;
  #state: number = State.New;
  #call: GrpcStream | undefined = undefined;
  /** The answer came from inside the call. */
  #isStarting = false;
  /** What the answer adds to the response: [name, value, ...]. */
  #responseHeaders: readonly string[] = nothing;
  /** Of the request when it came in: its end counts under the same. */
  #route: HttpRoute | undefined = undefined;
  #own: RateLimitRoute | undefined = undefined;
  #cluster = '';
  /** Of each descriptor that was asked about. */
  #saysHeaders: readonly (boolean | undefined)[] = noOptions;

  constructor(shared: RateLimitShared) {
    this.#shared = shared;
  }

  decodeHeaders(stream: HttpStream, headers: HeaderMap): FilterStatus {
    const { config, name, runtime } = this.#shared;
    this.#stream = stream;
    if (!runtime.enabled(config.enabled, nextRandom())) return FilterStatus.Continue;
    const isInternal = headers.get('x-envoy-internal') === 'true';
    if (config.requestType === (isInternal ? 'external' : 'internal')) return FilterStatus.Continue;
    this.#route = stream.route;
    this.#cluster = stream.info.upstream.clusterStatName;
    this.#own = stream.routeConfig(name) as RateLimitRoute | undefined;
    const saysHeaders: (boolean | undefined)[] = [];
    const descriptors = this.#descriptors(stream, false, saysHeaders);
    if (descriptors.length === 0) return FilterStatus.Continue;
    this.#saysHeaders = saysHeaders;
    this.#state = State.Calling;
    this.#isStarting = true;
    this.#call = this.#ask(stream, descriptors, this);
    this.#isStarting = false;
    return this.#isWaiting ? FilterStatus.StopIteration : FilterStatus.Continue;
  }

  decodeData(): FilterStatus {
    return this.#isWaiting ? FilterStatus.StopAllAndWatermark : FilterStatus.Continue;
  }

  decodeTrailers(): FilterStatus {
    return this.#isWaiting ? FilterStatus.StopIteration : FilterStatus.Continue;
  }

  encodeHeaders(_stream: HttpStream, headers: HeaderMap): FilterStatus {
    this.#addResponseHeaders(headers, false);
    return FilterStatus.Continue;
  }

  onDestroy(stream: HttpStream): void {
    if (this.#isWaiting) this.#call?.cancel();
    else if (this.#stream !== undefined) {
      const descriptors = this.#descriptors(stream, true, []);
      if (descriptors.length > 0) this.#ask(stream, descriptors, nobody);
    }
    this.#state = State.Done;
    this.#stream = undefined;
  }

  get #isWaiting(): boolean {
    return this.#state === State.Calling;
  }

  // The question ------------------------------------------------------------------------------------------------------------

  #ask(
    stream: HttpStream,
    descriptors: readonly RateLimitDescriptorInit[],
    callbacks: MethodCallbacks<RateLimitResponse>,
  ): GrpcStream {
    const hits = Number(stream.info.filterState?.get(hitsKey)?.text ?? 0);
    return this.#shared.client.call(
      {
        domain: this.#own?.config.domain || this.#shared.config.domain,
        descriptors,
        hits_addend: Number.isInteger(hits) && hits > 0 && hits <= maxUint32 ? hits : 0,
      },
      stream,
      callbacks,
    );
  }

  /** `onStreamDone`: of the policies that count when the request has ended, else of the others. */
  #descriptors(
    stream: HttpStream,
    onStreamDone: boolean,
    saysHeaders: (boolean | undefined)[],
  ): RateLimitDescriptorInit[] {
    const route = this.#route;
    const own = this.#own;
    const { policies } = this.#shared;
    const found: RateLimitDescriptorInit[] = [];
    if (route === undefined || this.#cluster === '') return found;
    if (own !== undefined && own.policies.length > 0) {
      this.#add(found, stream, own.policies, true, onStreamDone, saysHeaders);
      return found;
    }
    if (policies.length > 0) {
      this.#add(found, stream, policies, true, onStreamDone, saysHeaders);
      return found;
    }
    this.#add(found, stream, route.rateLimits, false, onStreamDone, saysHeaders);
    const option = route.includeVirtualHostRateLimits
      ? 'include'
      : (own?.config.virtualHostLimits ?? 'override');
    if (option === 'include' || (option === 'override' && route.rateLimits.length === 0))
      this.#add(found, stream, route.virtualHost.rateLimits, false, onStreamDone, saysHeaders);
    return found;
  }

  /** `isOwn`: they stand in the filter's configuration, where there are no stages. */
  #add(
    to: RateLimitDescriptorInit[],
    stream: HttpStream,
    policies: readonly RateLimitPolicy[],
    isOwn: boolean,
    onStreamDone: boolean,
    saysHeaders: (boolean | undefined)[],
  ): void {
    const { config, runtime } = this.#shared;
    for (const policy of policies) {
      if ((!isOwn && policy.stage !== config.stage) || policy.applyOnStreamDone !== onStreamDone) continue;
      if (policy.disableKey !== '') {
        const key = `ratelimit.${policy.disableKey}.http_filter_enabled`;
        if (!runtime.enabledPercent(key, 100, nextRandom())) continue;
      }
      const descriptor = descriptorMessage(policy, stream, isOwn);
      if (descriptor === undefined) continue;
      to.push(descriptor);
      saysHeaders.push(policy.saysHeaders);
    }
  }

  // The answer --------------------------------------------------------------------------------------------------------------

  onResponse(response: RateLimitResponse): void {
    const stream = this.#stream!;
    const { clusters, config, runtime } = this.#shared;
    this.#state = State.Done;
    const { dynamic_metadata: metadata } = response;
    if (metadata !== undefined && Object.keys(metadata).length > 0)
      addDynamicMetadata(stream.info, config.metadataNamespace, metadata);
    const isOver = response.overall_code === 'OVER_LIMIT';
    this.#responseHeaders = this.#headersOf(response, isOver);
    if (!isOver) {
      this.#count('ok');
      this.#continue(stream, response);
      return;
    }
    this.#count('over_limit');
    clusters.countResponse(this.#cluster, config.status);
    if (!runtime.enabled(config.enforced, nextRandom())) {
      this.#continue(stream, response);
      return;
    }
    stream.info.flags |= 1 << ResponseFlag.RateLimited;
    const body = Buffer.from(response.raw_body).toString('latin1');
    const grpcStatus = config.asResourceExhausted ? 8 : -1;
    stream.sendLocalReply(config.status, body, 'request_rate_limited', grpcStatus, (answer) => {
      this.#addResponseHeaders(answer, true);
      this.#shared.responseHeaders?.apply(answer, stream);
    });
  }

  onFailure(): void {
    const stream = this.#stream!;
    const { config, runtime } = this.#shared;
    this.#state = State.Done;
    this.#count('error');
    const { failureModeDenyShare: share } = config;
    if (share === undefined ? !config.failureModeDeny : !runtime.enabled(share, nextRandom())) {
      this.#count('failure_mode_allowed');
      this.#continue(stream, undefined);
      return;
    }
    stream.info.flags |= 1 << ResponseFlag.RateLimitServiceError;
    stream.sendLocalReply(config.statusOnError, '', 'rate_limiter_error');
  }

  #headersOf(response: RateLimitResponse, isOver: boolean): string[] {
    const { config } = this.#shared;
    const headers = flat(response.response_headers_to_add);
    if (isOver && config.envoyRateLimitedHeader) headers.push('x-envoy-ratelimited', 'true');
    const { statuses } = response;
    headers.push(...limitHeaders(statuses, (i) => this.#saysHeaders[i] ?? config.xRateLimitHeaders));
    if (isOver && config.retryAfterHeader) {
      const seconds = statuses[tightest(statuses)]?.duration_until_reset?.seconds ?? 0;
      if (seconds > 0) headers.push('retry-after', String(seconds));
    }
    return headers;
  }

  #continue(stream: HttpStream, response: RateLimitResponse | undefined): void {
    if (this.#isStarting) return;
    const headers = response === undefined ? nothing : flat(response.request_headers_to_add);
    for (let i = 0; i < headers.length; i += 2) stream.requestHeaders.add(headers[i]!, headers[i + 1]!);
    if (headers.length > 0) stream.requestHeaders.isUnchecked = true;
    stream.continueDecoding(this);
  }

  /** Once: to the answer of our own, or to the upstream's. */
  #addResponseHeaders(headers: HeaderMap, isLocalReply: boolean): void {
    const list = this.#responseHeaders;
    if (list.length === 0) return;
    this.#responseHeaders = nothing;
    if (isLocalReply && list.includes('content-type')) headers.remove('content-type');
    for (let i = 0; i < list.length; i += 2) headers.add(list[i]!, list[i + 1]!);
  }

  #count(name: string): void {
    const { clusters, clusterStatPrefix } = this.#shared;
    clusters.count(this.#cluster, `${clusterStatPrefix}${name}`);
  }
}

const maxUint32 = 0xffffffff;

const nothing: readonly string[] = [];
const noOptions: readonly (boolean | undefined)[] = [];

/** What is counted when a request has ended has no consequences. */
const nobody: MethodCallbacks<RateLimitResponse> = { onResponse() {}, onFailure() {} };

function flat(headers: readonly HeaderValue[]): string[] {
  return headers.flatMap(({ key, value }) => [latin1OfUtf8(key).toLowerCase(), latin1OfUtf8(value)]);
}
