// The end of the filter chain: from route to cluster to host to a stream on a connection, and the response back. Timeouts, retries,
// hedging and redirects are decided here; one `UpstreamRequest` is one attempt. Steps 6 and 9 of a request's way.

import { randomAfter } from '#base/random.ts';
import { pin } from '#base/read-buffers.ts';
import { type TimerOwner, WheelTimer } from '#base/timer-wheel.ts';
import { turnMs } from '#base/turn.ts';
import type { Uint64 } from '#base/uint64.ts';
import type { CookieSetter } from '#extension/hash-policy.ts';
import type { PickContext } from '#extension/load-balancer.ts';
import { ResponseFlag } from '#extension/response-flag.ts';
import type { RetryPriority } from '#extension/retry-priority.ts';
import type { StreamInfo } from '#extension/stream-info.ts';
import { addBytes, ByteMeter, noByteCounts } from '#http/byte-counts.ts';
import { ResetReason, type StreamEncoder } from '#http/codec.ts';
import type { HeaderMap } from '#http/header-map.ts';
import { isJoinedInResponses } from '#http/header-names.ts';
import { harmlessHeaderValue, headerProblem } from '#http/header-validity.ts';
import type { Counter } from '#stats/metric.ts';
import { type Cluster, rawPool } from '../upstream/cluster.ts';
import { UpstreamProtocol } from '../upstream/cluster-config.ts';
import type { UpstreamHost } from '../upstream/host.ts';
import type { HttpPool, PooledConnection } from '../upstream/http-pool.ts';
import { transportOptionsOf } from '../upstream/transport-options.ts';
import { AttemptFilters } from './attempt-filters.ts';
import { AttemptLog } from './attempt-log.ts';
import { askForOwnHost } from './auto-sni.ts';
import { countGrpcStatus } from './grpc-outcome.ts';
import { grpcTimeoutMs } from './grpc-timeout.ts';
import { headerNumber } from './header-number.ts';
import { canRedirectInternally, setUpRedirect } from './internal-redirect.ts';
import type { ManagerShared } from './manager-shared.ts';
import { nextUpstream } from './request-info.ts';
import { resetTexts } from './reset-text.ts';
import { hasOnlyWords, retryOnHeaders } from './retry-on.ts';
import { type RetryState, RetryVerdict, retryStateOf } from './retry-state.ts';
import { RouteActionKind, type RouteEntry } from './route-entry.ts';
import { clusterOf, finalizeRequestHeaders, finalizeResponseHeaders, setHost } from './route-rewrite.ts';
import { type RouteStats, virtualClusterOf } from './route-stats.ts';
import { Shadows } from './shadow.ts';
import type { Stream } from './stream.ts';
import { type AttemptOwner, isCanary, UpstreamRequest } from './upstream-request.ts';

const Timer = { Route: 0, Backoff: 1, MaxDuration: 2 } as const;

export class Router implements AttemptOwner, TimerOwner, PickContext, CookieSetter {
  readonly stream: Stream;
  readonly shared: ManagerShared;
  cluster: Cluster | undefined = undefined;
  route: RouteEntry | undefined = undefined;
  random: number;
  refusals = 0;
  retryPriority: RetryPriority | undefined = undefined;
  metadataMatch: Readonly<Record<string, unknown>> | undefined = undefined;
  requestHeaders: HeaderMap | undefined = undefined;
  requestTrailers: HeaderMap | undefined = undefined;
  requestEnded = false;
  /** Too much of it: it cannot be sent again. */
  hasLostBody = false;
  isDone = false;
  timeoutMs = 0;
  perTryTimeoutMs = 0;
  perTryIdleTimeoutMs = 0;
  /** The attempt that counts: the latest, or the one whose response is being passed on. */
  #attempt: UpstreamRequest | undefined = undefined;
  /** Attempts beside it, while hedging. */
  #others: UpstreamRequest[] | undefined = undefined;
  #retry: RetryState | undefined = undefined;
  #heldLogs: AttemptLog[] | undefined = undefined;
  #isRetryPending = false;
  /** While the cluster looks for a host. */
  #stopAwaiting: (() => void) | undefined = undefined;
  /** As the request asks; below 0: as the cluster says. */
  #maxDurationMs = -1;
  #isHedging = false;
  #hasResponse = false;
  #endsWithHeaders = false;
  /** Whether the host did well will be in the trailers. */
  #awaitsGrpcStatus = false;
  #shadows: Shadows | undefined = undefined;
  #has1xx = false;
  /** What hashing policies gave the client to come back with. */
  #cookies: string[] | undefined = undefined;
  /** The upstream gets only the headers until it has agreed to the upgrade, and the timeouts run until then. */
  #isWebSocket = false;
  /** The request body so far, kept while an attempt waits for its connection, or while a retry or a mirror may need it. */
  #body: Buffer[] | undefined = undefined;
  #bodyBytes = 0;
  #keepsBody = false;
  #isBodyFull = false;
  #isDownstreamBackedUp = false;
  #requestEndMs = 0;
  #altStatName = '';
  #isCanary = false;
  /** The virtual cluster and the route, where they count. */
  #groups: readonly RouteStats[] = noGroups;
  #timeoutStatus = 504;
  readonly #routeTimer: WheelTimer = new WheelTimer(this, Timer.Route);
  #otherTimers: WheelTimer[] | undefined = undefined;

  constructor(stream: Stream, shared: ManagerShared) {
    this.stream = stream;
    this.shared = shared;
    this.random = stream.random;
  }

  get streamInfo(): StreamInfo {
    return this.stream.info;
  }

  computeHash(into: Uint64): boolean {
    const policies = this.cluster!.hashPolicies ?? this.route!.hashPolicies;
    return policies !== undefined && policies.hash(this, this, into);
  }

  get addresses(): string {
    const { remoteAddress, localAddress } = this.stream.info.connection;
    return remoteAddress + localAddress;
  }

  setCookie(text: string): void {
    if (this.refusals === 0) (this.#cookies ??= []).push(text);
  }

  keepCookie(text: string): void {
    this.#cookies = [text];
  }

  // Request, from the stream ------------------------------------------------------------------------------------------------

  decodeHeaders(headers: HeaderMap, endStream: boolean): void {
    const { stream, shared } = this;
    const { info } = stream;
    shared.routerStats.rqTotal.value++;
    const route = stream.route;
    if (route === undefined) {
      shared.routerStats.noRoute.value++;
      info.flags |= 1 << ResponseFlag.NoRouteFound;
      stream.sendLocalReply(404, '', 'route_not_found');
      return;
    }
    if (route.action === RouteActionKind.Redirect || route.action === RouteActionKind.DirectResponse) {
      this.#answerDirectly(route, headers);
      return;
    }
    this.route = route;
    const cluster = shared.clusters.get(clusterOf(route, headers));
    if (cluster === undefined) {
      shared.routerStats.noCluster.value++;
      info.flags |= 1 << ResponseFlag.NoClusterFound;
      this.#reply(route.clusterNotFoundStatus, '', 'cluster_not_found');
      return;
    }
    this.cluster = cluster;
    info.upstream.clusterName = cluster.config.name;
    info.upstream.clusterStatName = cluster.config.statName;
    info.clusterMetadata = cluster.config.metadata;
    const asked = info.dynamicMetadata?.['envoy.lb'];
    this.metadataMatch = asked === undefined ? route.metadataMatch : { ...route.metadataMatch, ...asked };
    this.requestHeaders = headers;
    if (route.stats !== null || route.virtualHost.otherCluster !== null) this.#chooseGroups(route, headers);
    const { routerConfig } = shared.config;
    if (routerConfig.strictCheckHeaders.length > 0 && !this.#passesStrictCheck(headers)) return;
    info.attemptCount = 1;
    this.requestEnded = endStream;
    this.#endsWithHeaders = endStream;
    this.#readTimeouts(route, headers);
    if (route.virtualHost.includeRequestAttemptCount) headers.set('x-envoy-attempt-count', '1');
    finalizeRequestHeaders(route, headers, stream, !routerConfig.suppressEnvoyHeaders, stream.connectPort);
    const { autoSni } = cluster.config.http;
    if (autoSni !== undefined) askForOwnHost(autoSni, headers, info);
    this.#retry = retryStateOf(
      cluster.retryPolicy ?? route.retryPolicy,
      route.priority === 'high' ? 1 : 0,
      headers,
      cluster,
      this.#groups,
    );
    if (this.#retry !== undefined) this.retryPriority = this.#retry.priority;
    const alt = headers.get('x-envoy-upstream-alt-stat-name');
    if (alt !== undefined) {
      this.#altStatName = alt;
      headers.remove('x-envoy-upstream-alt-stat-name');
    }
    if (headers.get('x-envoy-upstream-rq-timeout-alt-response') !== undefined) {
      this.#timeoutStatus = 204;
      headers.remove('x-envoy-upstream-rq-timeout-alt-response');
    }
    this.#keepsBody = this.#retry?.isEnabled === true || route.internalRedirectPolicy !== null;
    this.#isWebSocket = stream.upgrade === 'websocket';
    if (shared.runtime.enabledPercent(cluster.maintenanceKey, 0, stream.random)) {
      cluster.stats.upstreamRqMaintenanceMode.value++;
      info.attemptCount = 0;
      info.flags |= 1 << ResponseFlag.UpstreamOverflow;
      this.#chargeAbort(undefined, 503);
      this.#reply(503, 'maintenance mode', 'maintenance_mode', !routerConfig.suppressEnvoyHeaders);
      return;
    }
    const first = this.#pickHost();
    if (first === undefined) this.#awaitHost();
    else this.#begin(first);
  }

  #begin(first: UpstreamHost): void {
    const route = this.route!;
    const early = this.#body;
    this.#setScheme();
    const cluster = this.cluster!;
    const mirrors = cluster.mirrorPolicies.length > 0 ? cluster.mirrorPolicies : route.mirrorPolicies;
    let mirrored = this.requestHeaders!;
    // What the attempt changes, by the host's name and by upstream filters, is not mirrored.
    const filters = cluster.upstreamFilters ?? this.shared.upstreamFilters;
    if (mirrors.length > 0 && (route.autoHostRewrite || filters !== null)) mirrored = mirrored.clone();
    this.#startAttempt(first, false);
    if (mirrors.length > 0 && !this.isDone) {
      this.#shadows = new Shadows(this.stream);
      this.#shadows.start(mirrors, this.timeoutMs, mirrored, this.#endsWithHeaders);
      if (early !== undefined)
        for (let i = 0; i < early.length; i++) this.#shadows.sendData(early[i]!, false);
      if (this.requestTrailers !== undefined) this.#shadows.sendTrailers(this.requestTrailers);
      else if (this.requestEnded && !this.#endsWithHeaders) this.#shadows.sendData(noBytes, true);
    }
    if (this.requestEnded) this.#onRequestComplete();
    else if (this.#isWebSocket) this.#startRouteTimer();
  }

  #setScheme(): void {
    const headers = this.requestHeaders!;
    if (this.shared.config.schemeMatchesUpstream)
      headers.scheme = this.cluster!.transport.isTls ? 'https' : 'http';
    else if (headers.scheme !== 'http' && headers.scheme !== 'https')
      headers.scheme = this.stream.manager.isTls ? 'https' : 'http';
  }

  decodeData(data: Buffer, endStream: boolean): void {
    if (this.isDone) return;
    if (this.#shadows !== undefined) this.#shadows.sendData(data, endStream);
    const attempt = this.#attempt;
    const isWaiting = attempt === undefined || attempt.isWaiting || attempt.isInHandshake;
    if (this.#keepsBody || isWaiting) {
      if (data.length > 0) {
        if (this.#keepsBody) pin(data);
        (this.#body ??= []).push(data);
        this.#bodyBytes += data.length;
      }
      if (this.#keepsBody && this.#bodyBytes > this.#keptLimit()) {
        this.cluster!.stats.retryOrShadowAbandoned.value++;
        this.#keepsBody = false;
        this.hasLostBody = true;
        this.#retry?.release();
        this.#retry = undefined;
        if (attempt === undefined) {
          this.#reply(
            507,
            'exceeded request buffer limit while retrying upstream',
            'request_payload_exceeded_retry_buffer_limit',
          );
          return;
        }
        if (!isWaiting) this.#body = undefined;
      }
    }
    if (!isWaiting) attempt.sendData(data, endStream);
    else if (
      !this.#isBodyFull &&
      this.stream.decoderBufferLimit > 0 &&
      this.#bodyBytes > this.stream.decoderBufferLimit
    ) {
      // No connection yet: the client waits until there is one.
      this.#isBodyFull = true;
      this.cluster!.stats.upstreamFlowControlBackedUpTotal.value++;
      this.stream.readDisable(true);
    }
    if (endStream) this.#onRequestComplete();
  }

  decodeTrailers(trailers: HeaderMap): void {
    if (this.isDone) return;
    this.requestTrailers = trailers;
    this.#shadows?.sendTrailers(trailers);
    const attempt = this.#attempt;
    if (attempt !== undefined && !attempt.isWaiting && !attempt.isInHandshake) attempt.sendTrailers(trailers);
    this.#onRequestComplete();
  }

  /** The stream is over, or answered by the proxy. `isLogged`: as far as anybody can see the request is logged before. */
  abandon(isLocalReply: boolean, isLogged = false): void {
    if (this.isDone) return;
    this.isDone = true;
    this.#stopAwaiting?.();
    this.#shadows?.end();
    const { timers } = this.shared;
    timers.cancel(this.#routeTimer);
    const others = this.#otherTimers;
    if (others !== undefined) for (let i = 0; i < others.length; i++) timers.cancel(others[i]!);
    this.#retry?.release();
    const attempt = this.#attempt;
    this.#attempt = undefined;
    const { upstream } = this.stream.info;
    if (isLogged && attempt !== undefined && upstream.bytes !== noByteCounts) {
      const bytes = new ByteMeter();
      addBytes(bytes, upstream.bytes);
      upstream.bytes = bytes;
    }
    if (this.shared.upstreamLogs !== null && !isLocalReply) this.#holdLogs(attempt);
    this.#resetOthers(undefined);
    attempt?.reset();
  }

  /** Attempts that end because the client has gone are logged behind the request. */
  #holdLogs(attempt: UpstreamRequest | undefined): void {
    const logs = (this.#heldLogs ??= []);
    const others = this.#others;
    if (others !== undefined) for (let i = 0; i < others.length; i++) keepLog(others[i]!, logs);
    if (attempt !== undefined) keepLog(attempt, logs);
  }

  /** The request has been logged. */
  onLogged(): void {
    const logs = this.#heldLogs;
    if (logs !== undefined) for (let i = 0; i < logs.length; i++) logs[i]!.onEnd();
  }

  onDownstreamBackedUp(isBackedUp: boolean): void {
    this.#isDownstreamBackedUp = isBackedUp;
    this.#attempt?.readDisable(isBackedUp);
  }

  dropBody(): void {
    this.#body = undefined;
  }

  #answerDirectly(route: RouteEntry, headers: HeaderMap): void {
    const { stream, shared } = this;
    shared.routerStats.rqDirectResponse.value++;
    const status = route.responseStatus;
    let location = '';
    if (route.redirect !== null)
      location = route.redirect.location(headers, stream, !shared.config.routerConfig.suppressEnvoyHeaders);
    else if (status === 201 || (status >= 300 && status < 400))
      location = `${headers.scheme}://${headers.authority}${headers.path}`;
    let body = route.directBody ?? '';
    if (route.directBodyFormat !== null) {
      stream.info.localReplyBody = body;
      body = route.directBodyFormat.format(stream);
      stream.info.localReplyBody = '';
    }
    stream.sendLocalReply(status, body, 'direct_response', -1, (response) => {
      if (location !== '') response.add('location', harmlessHeaderValue(location));
      finalizeResponseHeaders(route, response, stream);
      if (route.directContentType === '') return;
      response.remove('content-type');
      response.add('content-type', route.directContentType);
    });
  }

  #readTimeouts(route: RouteEntry, headers: HeaderMap): void {
    const { routerConfig } = this.shared.config;
    let total = route.timeoutMs;
    if (this.stream.isGrpc && route.maxGrpcTimeoutMs >= 0) {
      total = grpcTimeoutMs(headers.get('grpc-timeout')) ?? 0;
      if (route.grpcTimeoutOffsetMs > 0 && route.grpcTimeoutOffsetMs < total)
        total -= route.grpcTimeoutOffsetMs;
      if (route.maxGrpcTimeoutMs > 0 && (total === 0 || total > route.maxGrpcTimeoutMs))
        total = route.maxGrpcTimeoutMs;
    }
    // The timeouts of a cluster's policy do not count.
    const policy = route.retryPolicy;
    let perTry = policy === null ? 0 : policy.perTryTimeoutMs;
    this.perTryIdleTimeoutMs = policy === null ? 0 : policy.perTryIdleTimeoutMs;
    const expected = routerConfig.respectExpectedRqTimeout
      ? headers.get('x-envoy-expected-rq-timeout-ms')
      : undefined;
    if (expected !== undefined) total = integerOr(expected, total);
    else {
      const asked = headers.get('x-envoy-upstream-rq-timeout-ms');
      if (asked !== undefined) {
        total = integerOr(asked, total);
        headers.remove('x-envoy-upstream-rq-timeout-ms');
      }
    }
    const askedPerTry = headers.get('x-envoy-upstream-rq-per-try-timeout-ms');
    if (askedPerTry !== undefined) {
      perTry = integerOr(askedPerTry, perTry);
      headers.remove('x-envoy-upstream-rq-per-try-timeout-ms');
    }
    if (perTry >= total && total !== 0) perTry = 0;
    const duration = headers.get('x-envoy-upstream-stream-duration-ms');
    if (duration !== undefined) {
      this.#maxDurationMs = headerNumber(duration);
      headers.remove('x-envoy-upstream-stream-duration-ms');
    }
    this.#isHedging = route.hedgePolicy?.hedgeOnPerTryTimeout ?? false;
    const hedge = headers.get('x-envoy-hedge-on-per-try-timeout');
    if (hedge !== undefined) {
      if (hedge === 'true') this.#isHedging = true;
      else if (hedge === 'false') this.#isHedging = false;
      headers.remove('x-envoy-hedge-on-per-try-timeout');
    }
    this.timeoutMs = total;
    this.perTryTimeoutMs = perTry;
    this.#setTimeoutHeaders(headers, 0);
  }

  #setTimeoutHeaders(headers: HeaderMap, elapsedMs: number): void {
    const { timeoutMs, perTryTimeoutMs } = this;
    let expected = this.#isHedging || perTryTimeoutMs === 0 ? timeoutMs : perTryTimeoutMs;
    if (expected === 0) return;
    if (timeoutMs > 0) expected = elapsedMs >= timeoutMs ? 1 : Math.min(expected, timeoutMs - elapsedMs);
    if (!this.shared.config.routerConfig.suppressEnvoyHeaders)
      headers.set('x-envoy-expected-rq-timeout-ms', expected === 15_000 ? '15000' : String(expected));
    if (this.stream.isGrpc && this.route!.maxGrpcTimeoutMs >= 0) headers.set('grpc-timeout', `${expected}m`);
  }

  #passesStrictCheck(headers: HeaderMap): boolean {
    for (const name of this.shared.config.routerConfig.strictCheckHeaders) {
      const value = headers.get(name);
      if (value === undefined) continue;
      const words = retryOnHeaders[name];
      if (words === undefined ? headerNumber(value) >= 0 : hasOnlyWords(value, words)) continue;
      this.stream.info.flags |= 1 << ResponseFlag.InvalidEnvoyRequestHeaders;
      this.stream.sendLocalReply(
        400,
        `invalid header '${name}' with value '${value}'`,
        `request_headers_failed_strict_check{${name}}`,
      );
      return false;
    }
    return true;
  }

  /** All of the request is here: what counts from its end begins. */
  #onRequestComplete(): void {
    if (this.isDone) return;
    this.requestEnded = true;
    this.#requestEndMs = turnMs();
    this.#startRouteTimer();
    const attempt = this.#attempt;
    if (attempt !== undefined) this.#startAttemptTimers(attempt);
  }

  #startRouteTimer(): void {
    if (this.timeoutMs > 0) this.shared.timers.start(this.#routeTimer, this.timeoutMs);
  }

  #startAttemptTimers(attempt: UpstreamRequest): void {
    if (this.perTryTimeoutMs > 0 || this.perTryIdleTimeoutMs > 0)
      attempt.startTimers(this.perTryTimeoutMs, this.perTryIdleTimeoutMs);
  }

  /** Of a body that is kept for another attempt. */
  #keptLimit(): number {
    const own = this.route!.requestBodyBufferLimit;
    // Only the listener's 0 is no limit.
    return own >= 0 ? own : this.stream.decoderBufferLimit || Number.POSITIVE_INFINITY;
  }

  // Attempts ----------------------------------------------------------------------------------------------------------------

  #pickHost(): UpstreamHost | undefined {
    const cluster = this.cluster!;
    const retry = this.#retry;
    let host = cluster.pick(this);
    if (retry === undefined || host === undefined) return host;
    for (let i = 1; i < retry.maxHostSelections && retry.rejects(host); i++) {
      this.random = randomAfter(this.random);
      this.refusals = i;
      host = cluster.pick(this) ?? host;
    }
    this.refusals = 0;
    return host;
  }

  /** No host is there now. A cluster that looks for hosts tells when it has looked. */
  #awaitHost(): void {
    const wait = this.cluster!.awaitHost(this, (details) => this.#onHostSought(details));
    if (typeof wait !== 'string') this.#stopAwaiting = wait;
    else {
      this.cluster!.stats.upstreamCxNoneHealthy.value++;
      this.#noHealthyHost(wait);
    }
  }

  #onHostSought(details: string): void {
    this.#stopAwaiting = undefined;
    const host = this.#pickHost();
    if (host === undefined) this.#noHealthyHost(details);
    else if (this.stream.info.attemptCount > 1) this.#tryAgain(host);
    else this.#begin(host);
  }

  #startAttempt(host: UpstreamHost, isRetry: boolean): void {
    const { stream, shared } = this;
    const route = this.route!;
    const pool = this.#poolOf(host);
    if (pool === undefined) {
      this.#noHealthyHost('no_healthy_upstream');
      return;
    }
    const { info } = stream;
    if (isRetry) info.upstream = nextUpstream(info.upstream);
    const { upstream } = info;
    upstream.attempts++;
    upstream.startMs = turnMs();
    upstream.hostAddress = host.address;
    upstream.hostname = host.hostname;
    upstream.detectedCloseType = 'Normal';
    info.hostMetadata = host.metadata;
    this.#retry?.onHostTried(host);
    const attempt = new UpstreamRequest(this, host, pool, isRetry);
    attempt.upstream = upstream;
    if (shared.upstreamLogs !== null)
      attempt.log = new AttemptLog(
        shared.upstreamLogs,
        shared.timers,
        stream.info,
        this.requestHeaders!,
        host,
      );
    const filters = this.cluster!.upstreamFilters ?? shared.upstreamFilters;
    if (filters !== null) attempt.filters = new AttemptFilters(filters, stream, route);
    this.#attempt = attempt;
    attempt.start();
    if (attempt.filters !== undefined && !attempt.isOver) attempt.filters.decodeHeaders(this.requestHeaders!);
    if ((this.requestEnded || this.#isWebSocket) && !attempt.isOver) this.#startAttemptTimers(attempt);
  }

  #poolOf(host: UpstreamHost): HttpPool | undefined {
    const { info, manager } = this.stream;
    const cluster = this.cluster!;
    const route = this.route!;
    const { protocol } = cluster.config.http;
    let at: number = protocol;
    if (route.upgrades !== null && this.#endsTunnel()) at = rawPool;
    else if (protocol === UpstreamProtocol.Downstream) at = manager.protocol === 'HTTP/2' ? 1 : 0;
    return cluster.pool(
      host,
      at,
      route.priority === 'high' ? 1 : 0,
      transportOptionsOf(cluster.transport, info.connection, info.filterState, undefined),
      info.connection.id,
    );
  }

  /** The payload of a CONNECT, or a POST, goes upstream as it is. */
  #endsTunnel(): boolean {
    const upgrade = this.route!.upgrades!.get('connect');
    if (upgrade?.connect !== true) return false;
    return (
      this.stream.upgrade === 'connect' || (upgrade.allowsPost && this.requestHeaders!.method === 'POST')
    );
  }

  /** Says to the host whose payload follows. */
  #sendProxyHeader(encoder: StreamEncoder): void {
    const writer = this.route!.upgrades!.get('connect')?.proxyHeader;
    if (writer === undefined) return;
    const { remoteAddress, localAddress } = this.stream.info.connection;
    const proxied = { remote: remoteAddress, local: localAddress, tlvs: [] };
    encoder.encodeData(writer.write(proxied, proxied), false);
  }

  onPoolReady(attempt: UpstreamRequest, encoder: StreamEncoder, connection: PooledConnection): void {
    const upstream = attempt.upstream!;
    for (let i = 0; i < this.#groups.length; i++) this.#groups[i]!.rqTotal.value++;
    if (upstream.bytes !== noByteCounts) addBytes(encoder, upstream.bytes);
    upstream.bytes = encoder;
    upstream.connectionId = connection.id;
    upstream.localAddress = connection.localAddress;
    upstream.requestsOnConnection = connection.requests;
    upstream.connectStartMs = connection.connectStartMs;
    upstream.connectEndMs = connection.connectEndMs;
    upstream.protocol = attempt.pool.protocol === rawPool ? '' : connection.codec!.protocol;
    upstream.tls = connection.tls;
    upstream.filterState = attempt.pool.options?.shared;
    const nowMs = turnMs();
    upstream.poolReadyMs = nowMs;
    upstream.firstTxByteMs = nowMs;
    const { hostname } = attempt.host;
    if (this.route!.autoHostRewrite && hostname !== '') this.#takeHostOf(hostname);
    attempt.log?.onPoolReady(encoder, upstream);
    attempt.filters?.decodeHeaders(this.requestHeaders!);
    if (this.requestHeaders!.isUnchecked && !this.#canSend(attempt)) return;
    const maxMs =
      this.#maxDurationMs < 0 ? this.cluster!.config.http.maxStreamDurationMs : this.#maxDurationMs;
    if (maxMs > 0) attempt.startMaxDuration(maxMs);
    const body = this.#body;
    const trailers = this.requestTrailers;
    const hasBody = body !== undefined && body.length > 0;
    // What was told to have a body keeps its framing, however little came of it.
    const isEnd = this.requestEnded && !hasBody && trailers === undefined && this.#endsWithHeaders;
    attempt.requestSent = isEnd;
    if (isEnd) {
      upstream.lastTxByteMs = nowMs;
      if (attempt.log !== undefined) attempt.log.info.upstream.lastTxByteMs = nowMs;
    }
    if (attempt.pool.protocol === rawPool) this.#sendProxyHeader(encoder);
    encoder.encodeHeaders(this.requestHeaders!, isEnd);
    attempt.isInHandshake = this.#isWebSocket;
    if (!this.#isWebSocket) this.#sendBody(attempt);
    if (this.#isDownstreamBackedUp) attempt.readDisable(true);
  }

  #takeHostOf(hostname: string): void {
    setHost(
      this.requestHeaders!,
      hostname,
      this.route!.appendXForwardedHost,
      !this.shared.config.routerConfig.suppressEnvoyHeaders,
    );
  }

  /** Headers that a service told us to send, or that operators made of what the client escaped, may be none. */
  #canSend(attempt: UpstreamRequest): boolean {
    const problem = headerProblem(this.requestHeaders!);
    if (problem === '') return true;
    this.#attempt = undefined;
    attempt.reset();
    this.stream.info.flags |= 1 << ResponseFlag.DownstreamProtocolError;
    const details = `filter_removed_required_request_headers{${problem.replaceAll(' ', '_')}}`;
    this.#reply(503, problem, details);
    return false;
  }

  /** What of the request came before the attempt could take it. */
  #sendBody(attempt: UpstreamRequest): void {
    const body = this.#body;
    const trailers = this.requestTrailers;
    if (body !== undefined && body.length > 0) {
      const ends = this.requestEnded && trailers === undefined;
      for (let i = 0; i < body.length; i++) attempt.sendData(body[i]!, ends && i === body.length - 1);
      if (!this.#keepsBody) this.#body = undefined;
      if (this.#isBodyFull) {
        this.#isBodyFull = false;
        this.cluster!.stats.upstreamFlowControlDrainedTotal.value++;
        this.stream.readDisable(false);
      }
    } else if (this.requestEnded && !attempt.requestSent && trailers === undefined)
      attempt.sendData(noBytes, true);
    if (trailers !== undefined) attempt.sendTrailers(trailers);
  }

  onRequestSent(): void {
    this.stream.info.upstream.lastTxByteMs = turnMs();
  }

  onUpstreamBackedUp(isBackedUp: boolean): void {
    this.stream.readDisable(isBackedUp);
  }

  /** False when the upstream does not want to speak WebSocket, and its answer has been passed on without its body. */
  #acceptsWebSocket(attempt: UpstreamRequest, headers: HeaderMap): boolean {
    const { status } = headers;
    if (status >= 400) return true;
    if (status === 101 || attempt.connection!.codec!.protocol === 'HTTP/2') {
      attempt.isInHandshake = false;
      attempt.cancelTimers();
      this.shared.timers.cancel(this.#routeTimer);
      this.#sendBody(attempt);
      return true;
    }
    attempt.log?.onRefusedHandshake();
    this.stream.sendLocalReply(status, '', 'websocket_handshake_unsuccessful', -1, (reply) => {
      for (let i = 0; i < headers.list.length; i += 2) {
        const [name, value] = [headers.list[i]!, headers.list[i + 1]!];
        if (isJoinedInResponses(name) && reply.has(name)) reply.set(name, `${reply.get(name)},${value}`);
        else reply.add(name, value);
      }
    });
    return false;
  }

  /** Of 100, 102, 103 and 104 the first one counts, and goes on when `proxy_100_continue` asks for it, and nothing is tried again then. */
  on1xx(attempt: UpstreamRequest, headers: HeaderMap): void {
    const { status } = headers;
    if (status > 104) this.stream.info.upstream.firstRxByteMs = turnMs();
    if (this.#has1xx || status === 101 || status > 104) return;
    if (this.#countsCodes) this.#countCode(attempt.host, status, isCanary(attempt.host, headers));
    this.#has1xx = true;
    this.#retry?.release();
    this.#retry = undefined;
    this.stream.encode1xx(headers);
  }

  onHeaders(attempt: UpstreamRequest, headers: HeaderMap, endStream: boolean): void {
    const { stream, shared } = this;
    const { info } = stream;
    const cluster = this.cluster!;
    const route = this.route!;
    const { status } = headers;
    const nowMs = turnMs();
    attempt.upstream!.firstRxByteMs = nowMs;
    info.details = 'via_upstream';
    if (attempt.isInHandshake && !this.#acceptsWebSocket(attempt, headers)) return;
    const retry = this.#retry;
    if (retry !== undefined && attempt.isHedged) {
      // What was to be tried again has been.
      if (retry.wantsHeaders(headers) && this.#awaitsOther(attempt)) {
        attempt.host.rqError.value++;
        this.#drop(attempt, endStream);
        return;
      }
    } else if (retry !== undefined) {
      const verdict = retry.onHeaders(headers);
      if (verdict === RetryVerdict.Yes) {
        attempt.host.rqError.value++;
        cluster.codes.retry.count(status);
        this.#drop(attempt, endStream);
        this.#scheduleRetry();
        return;
      }
      this.#flagRefusedRetry(verdict);
      if (verdict !== RetryVerdict.No && this.#awaitsOther(attempt)) {
        attempt.host.rqError.value++;
        this.#drop(attempt, endStream);
        return;
      }
    }
    if (
      route.internalRedirectPolicy !== null &&
      canRedirectInternally(route.internalRedirectPolicy, status) &&
      setUpRedirect(this, route.internalRedirectPolicy, headers)
    ) {
      if (attempt.log !== undefined) keepLog(attempt, (this.#heldLogs ??= []));
      this.#drop(attempt, endStream);
      info.responseCode = status;
      info.details = 'internal_redirect';
      stream.responseHeaders = headers;
      stream.recreate(this.#body, this.requestTrailers);
      return;
    }
    // An earlier attempt may be the one that answers: then the latest is one of the others.
    const latest = this.#attempt;
    this.#attempt = attempt;
    this.#hasResponse = true;
    this.#resetOthers(attempt);
    if (latest !== undefined && latest !== attempt) latest.reset();
    if (info.upstream !== attempt.upstream) this.#tellOf(attempt);
    this.#chargeCode(attempt.host, status, headers, endStream);
    if (this.#requestEndMs !== 0 && !shared.config.routerConfig.suppressEnvoyHeaders) {
      const ms = Math.floor(nowMs - this.#requestEndMs);
      headers.set('x-envoy-upstream-service-time', ms < 10 ? digits[ms]! : String(ms));
    }
    const cookies = this.#cookies;
    if (cookies !== undefined)
      for (let i = 0; i < cookies.length; i++) headers.add('set-cookie', cookies[i]!);
    if (route.responseHeaderMutations !== null) {
      stream.responseHeaders = headers;
      info.responseCode = status;
      finalizeResponseHeaders(route, headers, stream);
    }
    if (route.virtualHost.includeAttemptCountInResponse)
      headers.set('x-envoy-attempt-count', String(info.attemptCount));
    if (endStream) this.#responseOver(attempt);
    stream.encodeHeaders(headers, endStream);
  }

  /** It is not the latest that answers. */
  #tellOf(attempt: UpstreamRequest): void {
    const { info } = this.stream;
    const upstream = attempt.upstream!;
    upstream.bytes = info.upstream.bytes;
    info.upstream = upstream;
    info.hostMetadata = attempt.host.metadata;
  }

  onData(attempt: UpstreamRequest, data: Buffer, endStream: boolean): void {
    if (endStream) {
      if (this.#awaitsGrpcStatus) attempt.host.rqError.value++;
      this.#responseOver(attempt);
      // The end of a body of HTTP/1 comes by itself, as in Envoy: over HTTP/2 that is a frame.
      if (
        data.length > 0 &&
        this.stream.manager.protocol === 'HTTP/2' &&
        attempt.connection!.codec!.protocol !== 'HTTP/2'
      ) {
        this.stream.encodeData(data, false);
        this.stream.encodeData(noBytes, true);
        return;
      }
    }
    this.stream.encodeData(data, endStream);
  }

  onTrailers(attempt: UpstreamRequest, trailers: HeaderMap): void {
    if (this.#awaitsGrpcStatus) countGrpcStatus(attempt.host, trailers);
    this.#responseOver(attempt);
    this.stream.encodeTrailers(trailers);
  }

  /** No stream came, or it broke. */
  onAttemptFailed(attempt: UpstreamRequest, reason: ResetReason, details: string): void {
    const { stream, shared } = this;
    const { info } = stream;
    if (attempt.log !== undefined) attempt.log.onFailure(flagOf(reason), details, attempt.isPlaced);
    attempt.finish();
    const wasLatest = this.#attempt === attempt;
    if (wasLatest) this.#attempt = undefined;
    else this.#forget(attempt);
    const upstream = attempt.upstream!;
    if (!attempt.isPlaced) {
      upstream.hostAddress = '';
      upstream.hostname = '';
    }
    if (attempt.encoder === undefined) upstream.poolReadyMs = turnMs();
    if (details !== '') upstream.transportFailureReason = details;
    if (this.#hasResponse) {
      if (!wasLatest) return;
      this.#chargeAbort(attempt.host, 0);
      info.flags |= 1 << flagOf(reason);
      stream.resetStream(
        `upstream_reset_after_response_started{${resetTexts[reason]!.replaceAll(' ', '_')}${details === '' ? '' : `|${details}`}}`,
      );
      return;
    }
    if (this.#shouldRetryReset(attempt, reason)) return;
    const status = reason === ResetReason.ProtocolError ? 502 : 503;
    const isOverflow = reason === ResetReason.Overflow;
    this.#chargeAbort(attempt.isPlaced ? attempt.host : undefined, status);
    if (this.#awaitsOther(attempt)) return;
    info.flags |= 1 << flagOf(reason);
    const text = resetTexts[reason]!;
    const started = this.#has1xx ? 'after' : 'before';
    this.#reply(
      status,
      `upstream connect error or disconnect/reset before headers. ${info.attemptCount > 1 ? 'retried and the latest ' : ''}reset reason: ${text}`,
      `upstream_reset_${started}_response_started{${text.replaceAll(' ', '_')}${details === '' ? '' : `|${details}`}}`,
      isOverflow && !shared.config.routerConfig.suppressEnvoyHeaders,
    );
  }

  /** Another attempt may still have an answer, or will be made. */
  #awaitsOther(attempt: UpstreamRequest): boolean {
    if (this.#isRetryPending || (this.#attempt !== undefined && this.#attempt !== attempt)) return true;
    const others = this.#others;
    if (others === undefined) return false;
    for (let i = 0; i < others.length; i++) if (others[i] !== attempt) return true;
    return false;
  }

  /** True when another attempt was started or will be. */
  #shouldRetryReset(attempt: UpstreamRequest, reason: ResetReason): boolean {
    const retry = this.#retry;
    if (retry === undefined || this.#hasResponse || attempt.isHedged) return false;
    const verdict = retry.onReset(reason, attempt.encoder !== undefined);
    if (verdict === RetryVerdict.Yes) {
      attempt.host.rqError.value++;
      this.#scheduleRetry();
      return true;
    }
    this.#flagRefusedRetry(verdict);
    return false;
  }

  #flagRefusedRetry(verdict: RetryVerdict): void {
    const { info } = this.stream;
    if (verdict === RetryVerdict.Overflow) info.flags |= 1 << ResponseFlag.UpstreamOverflow;
    else if (verdict === RetryVerdict.LimitExceeded)
      info.flags |= 1 << ResponseFlag.UpstreamRetryLimitExceeded;
  }

  #scheduleRetry(): void {
    this.#isRetryPending = true;
    this.#startTimer(Timer.Backoff, this.#retry!.backoffMs);
  }

  #doRetry(): void {
    if (this.isDone || this.#hasResponse) return;
    this.#isRetryPending = false;
    this.stream.info.attemptCount++;
    this.random = randomAfter(this.random);
    const host = this.#pickHost();
    if (host === undefined) this.#awaitHost();
    else this.#tryAgain(host);
  }

  #tryAgain(host: UpstreamHost): void {
    const { stream } = this;
    const headers = this.requestHeaders!;
    const vhost = this.route!.virtualHost;
    if (vhost.includeRequestAttemptCount)
      headers.set('x-envoy-attempt-count', String(stream.info.attemptCount));
    if (vhost.includeIsTimeoutRetryHeader)
      headers.set('x-envoy-is-timeout-retry', this.#isTimeoutRetry ? 'true' : 'false');
    const elapsedMs = this.#requestEndMs === 0 ? 0 : Math.floor(turnMs() - this.#requestEndMs);
    this.#setTimeoutHeaders(headers, elapsedMs);
    this.#startAttempt(host, true);
  }

  #isTimeoutRetry = false;

  #noHealthyHost(details: string): void {
    this.stream.info.flags |= 1 << ResponseFlag.NoHealthyUpstream;
    this.#chargeAbort(undefined, 503);
    this.#reply(503, 'no healthy upstream', details);
  }

  /** Lets go of an attempt whose response is not wanted. */
  #drop(attempt: UpstreamRequest, isComplete: boolean): void {
    if (isComplete && attempt.requestSent) attempt.finish();
    else attempt.reset();
    if (this.#attempt === attempt) this.#attempt = undefined;
    else this.#forget(attempt);
  }

  #forget(attempt: UpstreamRequest): void {
    const at = this.#others?.indexOf(attempt) ?? -1;
    if (at >= 0) this.#others!.splice(at, 1);
  }

  #resetOthers(except: UpstreamRequest | undefined): void {
    const others = this.#others;
    if (others === undefined) return;
    this.#others = undefined;
    for (let i = 0; i < others.length; i++) if (others[i] !== except) others[i]!.reset();
  }

  #responseOver(attempt: UpstreamRequest): void {
    this.shared.timers.cancel(this.#routeTimer);
    const cluster = this.cluster!;
    const { stream } = this;
    const nowMs = turnMs();
    attempt.upstream!.lastRxByteMs = nowMs;
    // An answer before the end of the request has no time.
    if (this.#countsCodes && this.#requestEndMs !== 0) {
      const ms = nowMs - this.#requestEndMs;
      const { zone } = attempt.host;
      cluster.codes.time(ms, stream.isInternal, this.#isCanary, zone);
      if (this.#altStatName !== '')
        cluster.codes.named(this.#altStatName).time(ms, stream.isInternal, this.#isCanary, zone);
      for (let i = 0; i < this.#groups.length; i++) this.#groups[i]!.codes.time(ms);
    }
    cluster.tracking?.onRequestOver(this.#requestEndMs, this.timeoutMs);
    if (attempt.requestSent) {
      attempt.finish();
      if (this.#attempt === attempt) this.#attempt = undefined;
    } else attempt.endLog();
  }

  // Timeouts ----------------------------------------------------------------------------------------------------------------

  #startTimer(id: number, delayMs: number): void {
    const timers = (this.#otherTimers ??= []);
    let timer = timers.find((it) => it.id === id);
    if (timer === undefined) {
      timer = new WheelTimer(this, id);
      timers.push(timer);
    }
    this.shared.timers.start(timer, delayMs);
  }

  onTimeout(id: number): void {
    if (this.isDone) return;
    if (id === Timer.Backoff) {
      this.#doRetry();
      return;
    }
    if (this.#attempt !== undefined) this.#chargeTimeout(this.#attempt);
    const others = this.#others;
    if (others !== undefined) for (let i = 0; i < others.length; i++) this.#chargeTimeout(others[i]!);
    const attempt = this.#attempt;
    this.#attempt = undefined;
    this.#resetOthers(undefined);
    attempt?.reset();
    this.#timedOut('response_timeout');
  }

  #chargeTimeout(attempt: UpstreamRequest): void {
    this.cluster!.stats.upstreamRqTimeout.value++;
    attempt.host.rqTimeout.value++;
    for (let i = 0; i < this.#groups.length; i++) this.#groups[i]!.rqTimeout.value++;
    if (attempt.hasHeaders) return;
    attempt.cutShort();
    this.#chargeAbort(attempt.host, this.#timeoutStatus);
  }

  onPerTryTimeout(attempt: UpstreamRequest): void {
    if (this.#isHedging) this.#hedge(attempt);
    else
      this.#attemptTimedOut(attempt, this.cluster!.stats.upstreamRqPerTryTimeout, 'upstream_per_try_timeout');
  }

  onPerTryIdleTimeout(attempt: UpstreamRequest): void {
    if (this.#isHedging) this.#hedge(attempt);
    else
      this.#attemptTimedOut(
        attempt,
        this.cluster!.stats.upstreamRqPerTryIdleTimeout,
        'upstream_per_try_idle_timeout',
      );
  }

  /** The attempt goes on, and another begins beside it. */
  #hedge(attempt: UpstreamRequest): void {
    const retry = this.#retry;
    if (retry === undefined || attempt.isHedged) return;
    const verdict = retry.onHedge();
    this.#flagRefusedRetry(verdict);
    if (verdict !== RetryVerdict.Yes) return;
    this.#isTimeoutRetry = true;
    attempt.isHedged = true;
    (this.#others ??= []).push(attempt);
    if (this.#attempt === attempt) this.#attempt = undefined;
    this.#scheduleRetry();
  }

  #attemptTimedOut(attempt: UpstreamRequest, counter: Counter, details: string): void {
    counter.value++;
    attempt.host.rqTimeout.value++;
    this.#isTimeoutRetry = true;
    this.#drop(attempt, false);
    if (this.#shouldRetryReset(attempt, ResetReason.LocalReset)) return;
    this.#chargeAbort(attempt.host, this.#timeoutStatus);
    this.#timedOut(details);
  }

  onUpstreamMaxDuration(attempt: UpstreamRequest): void {
    const { stream } = this;
    this.cluster!.stats.upstreamRqMaxDurationReached.value++;
    this.#drop(attempt, false);
    if (this.#shouldRetryReset(attempt, ResetReason.LocalReset)) return;
    stream.info.flags |= 1 << ResponseFlag.UpstreamMaxStreamDurationReached;
    this.#reply(
      stream.requestEnded ? 504 : 408,
      'upstream max stream duration reached',
      'upstream_max_stream_duration_reached',
    );
  }

  #timedOut(details: string): void {
    this.cluster!.tracking?.onRequestOver(this.#requestEndMs, this.timeoutMs);
    this.stream.info.flags |= 1 << ResponseFlag.UpstreamRequestTimeout;
    this.#reply(this.#timeoutStatus, this.#timeoutStatus === 504 ? 'upstream request timeout' : '', details);
  }

  #reply(status: number, body: string, details: string, isOverloaded = false): void {
    const { stream } = this;
    const route = this.route!;
    stream.sendLocalReply(status, body, details, -1, (headers) => {
      if (isOverloaded) markOverloaded(headers);
      if (stream.info.attemptCount > 0 && route.virtualHost.includeAttemptCountInResponse)
        headers.set('x-envoy-attempt-count', String(stream.info.attemptCount));
    });
  }

  #chooseGroups(route: RouteEntry, headers: HeaderMap): void {
    const groups: RouteStats[] = [];
    const cluster = virtualClusterOf(route, headers);
    if (cluster !== null) {
      if (cluster !== route.virtualHost.otherCluster) this.stream.info.virtualClusterName = cluster.name;
      groups.push(cluster.stats);
    }
    if (route.stats !== null) groups.push(route.stats);
    this.#groups = groups;
  }

  // Counting ----------------------------------------------------------------------------------------------------------------

  get #countsCodes(): boolean {
    return this.shared.config.routerConfig.dynamicStats && !this.stream.info.isHealthCheck;
  }

  #chargeCode(host: UpstreamHost, status: number, headers: HeaderMap, endStream: boolean): void {
    if (status < 500) {
      if (!this.stream.isGrpc) host.rqSuccess.value++;
      else if (endStream) countGrpcStatus(host, headers);
      else this.#awaitsGrpcStatus = true;
    }
    if (!this.#countsCodes) return;
    if (status >= 500) host.rqError.value++;
    this.#isCanary = isCanary(host, headers);
    this.#countCode(host, status, this.#isCanary);
  }

  #countCode(host: UpstreamHost | undefined, status: number, isCanary: boolean): void {
    const { codes } = this.cluster!;
    const { isInternal } = this.stream;
    const zone = host === undefined ? '' : host.zone;
    codes.count(status, isInternal, isCanary, zone);
    if (this.#altStatName !== '') codes.named(this.#altStatName).count(status, isInternal, isCanary, zone);
    for (let i = 0; i < this.#groups.length; i++) this.#groups[i]!.codes.count(status);
  }

  #chargeAbort(host: UpstreamHost | undefined, status: number): void {
    // A 1xx counts as the beginning of a response.
    if (this.#hasResponse || this.#has1xx) {
      if (!this.#awaitsGrpcStatus) return;
      if (host !== undefined) host.rqError.value++;
      this.shared.routerStats.rqResetAfterDownstreamResponseStarted.value++;
      return;
    }
    if (!this.#countsCodes) return;
    if (host !== undefined) host.rqError.value++;
    this.#countCode(host, status, host !== undefined && host.isCanary);
  }
}

const noBytes = Buffer.alloc(0);
const noGroups: readonly RouteStats[] = [];
const digits: readonly string[] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'];

function keepLog(attempt: UpstreamRequest, logs: AttemptLog[]): void {
  if (attempt.log !== undefined) logs.push(attempt.log);
  attempt.log = undefined;
}

function markOverloaded(headers: HeaderMap): void {
  headers.add('x-envoy-overloaded', 'true');
}

function integerOr(text: string, fallback: number): number {
  const number = headerNumber(text);
  return number < 0 ? fallback : number;
}

function flagOf(reason: ResetReason): ResponseFlag {
  switch (reason) {
    case ResetReason.LocalConnectionFailure:
    case ResetReason.RemoteConnectionFailure:
    case ResetReason.ConnectionTimeout:
      return ResponseFlag.UpstreamConnectionFailure;
    case ResetReason.ConnectionTermination:
      return ResponseFlag.UpstreamConnectionTermination;
    case ResetReason.LocalReset:
    case ResetReason.LocalRefusedStreamReset:
      return ResponseFlag.LocalReset;
    case ResetReason.Overflow:
      return ResponseFlag.UpstreamOverflow;
    case ResetReason.ProtocolError:
      return ResponseFlag.UpstreamProtocolError;
    case ResetReason.OverloadManager:
      return ResponseFlag.OverloadManager;
    default:
      return ResponseFlag.UpstreamRemoteReset;
  }
}
