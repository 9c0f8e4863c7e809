// Asks a service whether a request may go on, and does to it what the answer says.
import { utf8OfLatin1 } from '#base/utf8.ts';
import type { ClusterCounters } from '#extension/cluster-counters.ts';
import { addDynamicMetadata } from '#extension/dynamic-metadata.ts';
import { HeaderOperation, type HeaderRules } from '#extension/header-mutation-rules.ts';
import { AppendAction } from '#extension/header-mutations.ts';
import { FilterStatus, type HttpFilter, type HttpStream } from '#extension/http-filter.ts';
import type { StringMatcher } from '#extension/matchers/string-matcher.ts';
import type { MetadataMatcher } from '#extension/matchers/value-matcher.ts';
import { ResponseFlag } from '#extension/response-flag.ts';
import type { Runtime } from '#extension/runtime.ts';
import type { HeaderMap } from '#http/header-map.ts';
import { isHeaderName } from '#http/header-validity.ts';
import type {
  AttributeContext_HttpRequestInit,
  CheckRequestInit,
} from '#schema/messages/envoy/service/auth/v3.ts';
import type { Counter } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';
import { destinationPeer, metadataContext, sourcePeer, tlsSession } from '../../ext-authz/check-request.ts';
import type { BodyConfig, ExtAuthzConfig, ExtAuthzRouteConfig } from './config.ts';
import { applyChanges, areValid, removeHeaders, replaceHeaders } from './header-changes.ts';
import { changedQuery } from './query.ts';
import { type Checker, type HeaderChange, Outcome, type PendingCheck, type Verdict } from './verdict.ts';

export class ExtAuthzStats {
  readonly denied: Counter;
  readonly disabled: Counter;
  readonly error: Counter;
  readonly failureModeAllowed: Counter;
  readonly ignoredDynamicMetadata: Counter;
  readonly invalid: Counter;
  readonly ok: Counter;
  readonly requestHeaderLimitsReached: Counter;

  constructor(scope: Scope) {
    this.denied = scope.counter('denied');
    this.disabled = scope.counter('disabled');
    this.error = scope.counter('error');
    this.failureModeAllowed = scope.counter('failure_mode_allowed');
    this.ignoredDynamicMetadata = scope.counter('ignored_dynamic_metadata');
    this.invalid = scope.counter('invalid');
    this.ok = scope.counter('ok');
    this.requestHeaderLimitsReached = scope.counter('request_header_limits_reached');
    for (const name of [
      'filter_state_name_collision',
      'omitted_response_headers',
      'response_header_limits_reached',
      'shadow_denied',
      'shadow_error',
    ])
      scope.counter(name);
  }
}

/** What one level of `typed_per_filter_config` became. */
export interface ExtAuthzRoute {
  readonly config: ExtAuthzRouteConfig;
  readonly checker: Checker | undefined;
}

export interface ExtAuthzShared {
  readonly name: string;
  readonly config: ExtAuthzConfig;
  readonly checker: Checker;
  readonly stats: ExtAuthzStats;
  readonly clusters: ClusterCounters;
  /** `ext_authz.` or `ext_authz.<stat_prefix>.` */
  readonly clusterStatPrefix: string;
  readonly runtime: Runtime;
  readonly requestHeaderRules: HeaderRules | undefined;
  readonly enabledMetadata: MetadataMatcher | undefined;
  readonly labels: Readonly<Record<string, string>>;
  /** Undefined: all. */
  readonly allowed: readonly StringMatcher[] | undefined;
  readonly disallowed: readonly StringMatcher[];
}

const State = { New: 0, Buffering: 1, Calling: 2, Done: 3 } as const;

const metadataName = 'envoy.filters.http.ext_authz';
const partialBody = 'x-envoy-auth-partial-body';

export class ExtAuthzFilter implements HttpFilter {
  readonly #shared: ExtAuthzShared;
  #stream: HttpStream | undefined = undefined;
  #state: number = State.New;
  #body: BodyConfig | undefined = undefined;
  #call: PendingCheck | undefined = undefined;
  /** The verdict came from inside the call. */
  #isStarting = false;
  #startMs = 0;
  #cluster = '';
  #responseHeaders: readonly HeaderChange[] = noChanges;

  constructor(shared: ExtAuthzShared) {
    this.#shared = shared;
  }

  decodeHeaders(stream: HttpStream, headers: HeaderMap, endStream: boolean): FilterStatus {
    const { config, name, stats } = this.#shared;
    if (stream.route === undefined) return FilterStatus.Continue;
    const own = stream.routeConfig(name) as ExtAuthzRoute | undefined;
    if (own?.config.disabled) return FilterStatus.Continue;
    this.#stream = stream;
    if (!this.#isEnabled(stream)) {
      stats.disabled.value++;
      const { runtimeKey, fallback } = config.denyAtDisable;
      if (!this.#shared.runtime.boolean(runtimeKey, fallback)) return FilterStatus.Continue;
      this.#reply(stream, config.statusOnError, '', 'ext_authz_error', noChanges);
      return FilterStatus.StopIteration;
    }
    const body = own?.config.body ?? config.body;
    if (body !== undefined && !own?.config.disableBodyBuffering && !endStream && !isWebSocket(headers)) {
      this.#body = body;
      this.#state = State.Buffering;
      if (!body.allowPartial) stream.decoderBufferLimit = body.maxBytes;
      return FilterStatus.StopIteration;
    }
    this.#check(stream, undefined);
    return this.#isWaiting ? FilterStatus.StopAllAndWatermark : FilterStatus.Continue;
  }

  decodeData(stream: HttpStream, data: Buffer, endStream: boolean): FilterStatus {
    if (this.#state === State.Buffering) {
      const held = stream.bufferedRequestBody ?? noBuffers;
      const { allowPartial, maxBytes } = this.#body!;
      const bytes = byteLength(held) + data.length;
      // More than it may be is left to the stream to hold, which refuses it.
      if (allowPartial ? !endStream && bytes < maxBytes : !endStream || bytes > maxBytes)
        return FilterStatus.StopIteration;
      this.#check(stream, [...held, data]);
    }
    return this.#isWaiting ? FilterStatus.StopAllAndWatermark : FilterStatus.Continue;
  }

  decodeTrailers(stream: HttpStream): FilterStatus {
    if (this.#state === State.Buffering) this.#check(stream, stream.bufferedRequestBody ?? noBuffers);
    return this.#isWaiting ? FilterStatus.StopIteration : FilterStatus.Continue;
  }

  encodeHeaders(stream: HttpStream, headers: HeaderMap): FilterStatus {
    if (this.#responseHeaders.length > 0) applyChanges(headers, this.#responseHeaders, stream);
    return FilterStatus.Continue;
  }

  onDestroy(): void {
    if (this.#isWaiting) this.#call?.cancel();
    this.#state = State.Done;
    this.#stream = undefined;
  }

  get #isWaiting(): boolean {
    return this.#state === State.Calling;
  }

  #isEnabled(stream: HttpStream): boolean {
    const { config, enabledMetadata, runtime } = this.#shared;
    if (config.enabled !== undefined && !runtime.enabled(config.enabled, stream.random)) return false;
    return enabledMetadata === undefined || enabledMetadata.matches(stream.info.dynamicMetadata);
  }

  // The question ------------------------------------------------------------------------------------------------------------

  #check(stream: HttpStream, body: readonly Buffer[] | undefined): void {
    const { name, checker } = this.#shared;
    const own = stream.routeConfig(name) as ExtAuthzRoute | undefined;
    this.#state = State.Calling;
    this.#startMs = performance.now();
    this.#cluster = stream.info.upstream.clusterStatName;
    this.#isStarting = true;
    this.#call = (own?.checker ?? checker).check(this.#request(stream, body), stream, (verdict) =>
      this.#onVerdict(verdict),
    );
    this.#isStarting = false;
  }

  #request(stream: HttpStream, body: readonly Buffer[] | undefined): CheckRequestInit {
    const { config, labels, name } = this.#shared;
    const { info, requestHeaders: headers } = stream;
    const { connection } = info;
    const service = utf8OfLatin1(headers.get('x-envoy-downstream-service-cluster') ?? '');
    const contextExtensions: Record<string, string> = {};
    for (const it of stream.routeConfigs(name))
      Object.assign(contextExtensions, (it as ExtAuthzRoute).config.contextExtensions);
    const seconds = Math.floor(info.startTime / 1000);
    return {
      attributes: {
        source: sourcePeer(connection, service, config.includePeerCertificate),
        destination: destinationPeer(connection, '', labels),
        request: {
          time: { seconds, nanos: Math.floor((info.startTime - seconds * 1000) * 1e6) },
          http: this.#http(stream, headers, body),
        },
        context_extensions: contextExtensions,
        metadata_context: metadataContext(
          config.metadataNamespaces,
          info.dynamicMetadata,
          connection.dynamicMetadata,
        ),
        route_metadata_context: metadataContext(config.routeMetadataNamespaces, info.routeMetadata),
        tls_session: config.includeTlsSession ? tlsSession(connection) : undefined,
      },
    };
  }

  #http(
    stream: HttpStream,
    headers: HeaderMap,
    body: readonly Buffer[] | undefined,
  ): AttributeContext_HttpRequestInit {
    const { config } = this.#shared;
    const sent = this.#sentHeaders(headers);
    let text: string | undefined;
    let raw: Buffer | undefined;
    if (body !== undefined) {
      const { maxBytes } = this.#body!;
      const all = Buffer.concat(body);
      const bytes = all.subarray(0, maxBytes);
      if (config.service!.kind === 'http' || config.body?.packAsBytes) raw = bytes;
      else text = utf8OfLatin1(bytes.toString('latin1'));
      sent.push(partialBody, bytes.length < all.length ? 'true' : 'false');
    }
    return {
      id: String(stream.random),
      method: utf8OfLatin1(headers.method),
      path: utf8OfLatin1(headers.path),
      host: utf8OfLatin1(headers.authority),
      scheme: utf8OfLatin1(headers.scheme),
      size: stream.info.bytesReceived,
      protocol: stream.info.protocol,
      body: text,
      raw_body: raw,
      ...(config.encodeRawHeaders
        ? { header_map: { headers: rawHeaders(sent) } }
        : { headers: mergedHeaders(sent) }),
    };
  }

  /** [name, value, ...], pseudo-headers first. */
  #sentHeaders(headers: HeaderMap): string[] {
    const sent: string[] = [];
    this.#send(sent, ':authority', headers.authority);
    this.#send(sent, ':path', headers.path);
    this.#send(sent, ':method', headers.method);
    this.#send(sent, ':scheme', headers.scheme);
    const { list } = headers;
    for (let i = 0; i < list.length; i += 2) this.#send(sent, list[i]!, list[i + 1]!);
    return sent;
  }

  #send(to: string[], name: string, value: string): void {
    const { allowed, disallowed } = this.#shared;
    if ((value === '' && name.startsWith(':')) || name === partialBody) return;
    if (matches(disallowed, name) || (allowed !== undefined && !matches(allowed, name))) return;
    to.push(name, value);
  }

  // The verdict -------------------------------------------------------------------------------------------------------------

  #onVerdict(verdict: Verdict): void {
    const stream = this.#stream;
    if (stream === undefined || this.#state === State.Done) return;
    const { config } = this.#shared;
    this.#state = State.Done;
    if (verdict.sawInvalidAction && config.validateMutations) {
      this.#reject(stream);
      return;
    }
    this.#takeMetadata(stream, verdict);
    if (verdict.outcome === Outcome.Allowed) this.#allow(stream, verdict);
    else if (verdict.outcome === Outcome.Denied) this.#deny(stream, verdict);
    else this.#onError(stream, verdict);
  }

  #takeMetadata(stream: HttpStream, { metadata, outcome }: Verdict): void {
    const { config, stats } = this.#shared;
    if (metadata === undefined || Object.keys(metadata).length === 0) return;
    if (!config.ingestsMetadata) {
      stats.ignoredDynamicMetadata.value++;
      return;
    }
    const ms = Math.floor(performance.now() - this.#startMs);
    addDynamicMetadata(
      stream.info,
      metadataName,
      outcome === Outcome.Allowed ? { ...metadata, ext_authz_duration: ms } : metadata,
    );
  }

  #allow(stream: HttpStream, verdict: Verdict): void {
    const { config, stats } = this.#shared;
    const { queryToRemove, queryToSet, requestHeaders, responseHeaders } = verdict;
    const isValid =
      !config.validateMutations ||
      (areValid(requestHeaders) && areValid(responseHeaders) && queryToSet.every(isEncoded));
    const headersToRemove = config.validateMutations
      ? verdict.headersToRemove.filter(isHeaderName)
      : verdict.headersToRemove;
    const changes = requestHeaders.filter((it) => this.#mayChange(it));
    const removals = headersToRemove.filter((it) => this.#mayRemove(it));
    const wasRefused = changes.length < requestHeaders.length || removals.length < headersToRemove.length;
    if (!isValid || (wasRefused && this.#shared.requestHeaderRules!.disallowIsError)) {
      this.#reject(stream);
      return;
    }
    if (config.clearRouteCache && this.#affectsRoute(verdict)) stream.clearRouteCache();
    const headers = stream.requestHeaders;
    const wroteHeaders = applyChanges(headers, changes, stream);
    if (wroteHeaders) headers.isUnchecked = true;
    const removedHeaders = removeHeaders(headers, removals);
    const changesQuery = queryToSet.length > 0 || queryToRemove.length > 0;
    if (changesQuery) headers.path = changedQuery(headers.path, queryToSet, queryToRemove);
    if ((wroteHeaders || removedHeaders || changesQuery) && stream.requestHeadersExceedLimits()) {
      stats.requestHeaderLimitsReached.value++;
      this.#reject(stream);
      return;
    }
    this.#responseHeaders = responseHeaders;
    this.#count('ok');
    stats.ok.value++;
    this.#continue(stream);
  }

  #mayChange({ name, value, action, joins }: HeaderChange): boolean {
    const appends = joins || action === AppendAction.AppendIfExistsOrAdd;
    const operation = appends ? HeaderOperation.Append : HeaderOperation.Set;
    return this.#shared.requestHeaderRules?.allows(operation, name, value) ?? true;
  }

  #mayRemove(name: string): boolean {
    return this.#shared.requestHeaderRules?.allows(HeaderOperation.Remove, name, '') ?? true;
  }

  /** Asked of what the service said, whatever of it the rules leave. */
  #affectsRoute({ headersToRemove, queryToRemove, queryToSet, requestHeaders }: Verdict): boolean {
    const { clearRouteCacheHeaders: listed } = this.#shared.config;
    const counts = (name: string) => listed.length === 0 || listed.includes(name);
    return (
      queryToSet.length > 0 ||
      queryToRemove.length > 0 ||
      headersToRemove.some(counts) ||
      requestHeaders.some((it) => counts(it.name))
    );
  }

  #deny(stream: HttpStream, verdict: Verdict): void {
    const { clusters, config, stats } = this.#shared;
    stats.denied.value++;
    this.#count('denied');
    if (config.chargeClusterResponseStats) clusters.countResponse(this.#cluster, verdict.status);
    if (config.validateMutations && !areValid(verdict.localHeaders)) {
      this.#reject(stream);
      return;
    }
    const max = config.maxDeniedBodyBytes;
    const body = max > 0 ? verdict.body.slice(0, max) : verdict.body;
    this.#reply(stream, verdict.status, body, 'ext_authz_denied', verdict.localHeaders);
  }

  #onError(stream: HttpStream, verdict: Verdict): void {
    const { config, stats } = this.#shared;
    this.#count('error');
    stats.error.value++;
    if (!config.failureModeAllow) {
      const status = verdict.status === 0 ? config.statusOnError : verdict.status;
      this.#reply(stream, status, verdict.body, 'ext_authz_error', verdict.localHeaders);
      return;
    }
    stats.failureModeAllowed.value++;
    this.#count('failure_mode_allowed');
    if (config.failureModeAllowHeaderAdd)
      stream.requestHeaders.add('x-envoy-auth-failure-mode-allowed', 'true');
    this.#continue(stream);
  }

  #reject(stream: HttpStream): void {
    this.#count('invalid');
    this.#shared.stats.invalid.value++;
    this.#reply(stream, 500, '', 'ext_authz_invalid', noChanges);
  }

  #reply(
    stream: HttpStream,
    status: number,
    body: string,
    details: string,
    headers: readonly HeaderChange[],
  ): void {
    this.#state = State.Done;
    stream.info.flags |= 1 << ResponseFlag.UnauthorizedExternalService;
    stream.sendLocalReply(status, body, details, -1, (answer) => replaceHeaders(answer, headers));
  }

  #continue(stream: HttpStream): void {
    if (!this.#isStarting) stream.continueDecoding(this);
  }

  #count(name: string): void {
    const { clusters, clusterStatPrefix } = this.#shared;
    clusters.count(this.#cluster, `${clusterStatPrefix}${name}`);
  }
}

const noChanges: readonly HeaderChange[] = [];
const noBuffers: readonly Buffer[] = [];

function isWebSocket(headers: HeaderMap): boolean {
  return headers.get('upgrade')?.toLowerCase() === 'websocket';
}

function byteLength(buffers: readonly Buffer[]): number {
  let bytes = 0;
  for (let i = 0; i < buffers.length; i++) bytes += buffers[i]!.length;
  return bytes;
}

function matches(matchers: readonly StringMatcher[], name: string): boolean {
  for (let i = 0; i < matchers.length; i++) if (matchers[i]!.matches(name)) return true;
  return false;
}

function mergedHeaders(list: readonly string[]): Record<string, string> {
  const merged: Record<string, string> = {};
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i]!;
    const value = utf8OfLatin1(list[i + 1]!);
    merged[name] = Object.hasOwn(merged, name) ? `${merged[name]},${value}` : value;
  }
  return merged;
}

function rawHeaders(list: readonly string[]): { key: string; raw_value: Buffer }[] {
  const headers: { key: string; raw_value: Buffer }[] = [];
  for (let i = 0; i < list.length; i += 2)
    headers.push({ key: list[i]!, raw_value: Buffer.from(list[i + 1]!, 'latin1') });
  return headers;
}

function isEncoded({ key, value }: { readonly key: string; readonly value: string }): boolean {
  return /^[A-Za-z0-9\-._~%+]*$/.test(key) && /^[A-Za-z0-9\-._~%+]*$/.test(value);
}
