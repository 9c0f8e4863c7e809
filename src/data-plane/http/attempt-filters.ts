// HTTP filters between router and upstream (`http_filters` of a cluster, `upstream_http_filters` of the router): each attempt passes
// them, and what they change in the request stays changed for the next one. Exists only where such filters are configured.
import { turnMs } from '#base/turn.ts';
import { AccessLogType } from '#extension/formatter.ts';
import type { AttemptStream, UpstreamHttpFilter } from '#extension/http-filter.ts';
import type { StreamInfo } from '#extension/stream-info.ts';
import type { HeaderMap } from '#http/header-map.ts';
import { AcceptedConnectionInfo } from '../listener/accepted-connection.ts';
import type { ClusterConfig } from '../upstream/cluster-config.ts';
import type { UpstreamHost } from '../upstream/host.ts';
import type { PooledConnection } from '../upstream/http-pool.ts';
import { disabledFilters } from './filter-plan.ts';
import { RequestInfo } from './request-info.ts';
import type { RouteEntry } from './route-entry.ts';

/** Prepared. The filters have no state: one instance each serves all. */
export interface UpstreamFilterPlan {
  readonly names: readonly string[];
  readonly filters: readonly UpstreamHttpFilter[];
  /** Off unless a route switches them on. */
  readonly disabled: readonly boolean[];
}

export class AttemptFilters implements AttemptStream {
  readonly #plan: UpstreamFilterPlan;
  readonly #request: AttemptStream;
  /** One bit per filter. */
  readonly #disabled: number;
  #hasRequest = false;
  responseHeaders: HeaderMap | undefined = undefined;
  responseTrailers: HeaderMap | undefined = undefined;

  constructor(plan: UpstreamFilterPlan, request: AttemptStream, route: RouteEntry | undefined) {
    this.#plan = plan;
    this.#request = request;
    this.#disabled = disabledFilters(plan, route);
  }

  get info(): StreamInfo {
    return this.#request.info;
  }

  get requestHeaders(): HeaderMap | undefined {
    return this.#request.requestHeaders;
  }

  get logType(): AccessLogType {
    return this.#request.logType;
  }

  routeConfigs(name: string): readonly unknown[] {
    return this.#request.routeConfigs(name);
  }

  /** As soon as a connection was asked for. The second time, when it is there, nothing is left to do. */
  decodeHeaders(headers: HeaderMap): void {
    if (this.#hasRequest) return;
    this.#hasRequest = true;
    const { filters } = this.#plan;
    for (let i = 0; i < filters.length; i++)
      if (this.#isEnabled(i)) filters[i]!.decodeHeaders?.(this, headers);
  }

  decodeTrailers(trailers: HeaderMap): void {
    const { filters } = this.#plan;
    for (let i = 0; i < filters.length; i++)
      if (this.#isEnabled(i)) filters[i]!.decodeTrailers?.(this, trailers);
  }

  encodeHeaders(headers: HeaderMap): void {
    this.responseHeaders = headers;
    const { filters } = this.#plan;
    for (let i = filters.length - 1; i >= 0; i--)
      if (this.#isEnabled(i)) filters[i]!.encodeHeaders?.(this, headers);
  }

  encodeTrailers(trailers: HeaderMap): void {
    this.responseTrailers = trailers;
    const { filters } = this.#plan;
    for (let i = filters.length - 1; i >= 0; i--)
      if (this.#isEnabled(i)) filters[i]!.encodeTrailers?.(this, trailers);
  }

  #isEnabled(i: number): boolean {
    return (this.#disabled & (1 << i)) === 0;
  }
}

/** What filters see of a request that no downstream has sent; `details`: from the attempt before. */
export class AsyncAttemptStream implements AttemptStream {
  readonly info: RequestInfo;
  readonly requestHeaders: HeaderMap;
  readonly responseHeaders = undefined;
  readonly responseTrailers = undefined;
  readonly logType = AccessLogType.NotSet;

  constructor(
    cluster: ClusterConfig,
    host: UpstreamHost,
    attempts: number,
    details: string,
    headers: HeaderMap,
  ) {
    this.requestHeaders = headers;
    const info = new RequestInfo(nobody, turnMs());
    this.info = info;
    info.protocol = 'HTTP/1.1';
    info.attemptCount = attempts;
    info.details = details;
    info.clusterMetadata = cluster.metadata;
    info.hostMetadata = host.metadata;
    const { upstream } = info;
    upstream.clusterName = cluster.name;
    upstream.clusterStatName = cluster.statName;
    upstream.hostAddress = host.address;
    upstream.hostname = host.hostname;
    upstream.detectedCloseType = 'Normal';
  }

  onPoolReady(connection: PooledConnection): void {
    const { upstream } = this.info;
    upstream.localAddress = connection.localAddress;
    upstream.connectionId = connection.id;
    upstream.protocol = connection.codec!.protocol;
    upstream.tls = connection.tls;
  }

  routeConfigs(): readonly unknown[] {
    return noConfigs;
  }
}

const nobody = new AcceptedConnectionInfo(0, '', '', '');
const noConfigs: readonly unknown[] = [];
