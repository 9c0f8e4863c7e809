// Whether a failed or unwelcome attempt is repeated, and when. Exists only for requests whose route or headers ask for retries.
import { anyHeaderMatches, type HeaderMatcher } from '#extension/matchers/header-matcher.ts';
import type { RetryHostPredicate } from '#extension/retry-host-predicate.ts';
import type { RetryPriority } from '#extension/retry-priority.ts';
import { ResetReason } from '#http/codec.ts';
import type { HeaderMap } from '#http/header-map.ts';
import type { CircuitBreaker } from '../upstream/circuit-breaker.ts';
import type { Cluster } from '../upstream/cluster.ts';
import type { UpstreamHost } from '../upstream/host.ts';
import { headerNumber } from './header-number.ts';
import { parseRetryGrpcOnHeader, parseRetryOnHeader, RetryOn } from './retry-on.ts';
import type { RetryPolicy } from './route-entry.ts';
import type { RouteStats } from './route-stats.ts';

export const RetryVerdict = { No: 0, Yes: 1, Overflow: 2, LimitExceeded: 3 } as const;
export type RetryVerdict = (typeof RetryVerdict)[keyof typeof RetryVerdict];

const noCodes: readonly number[] = [];
const noMatchers: readonly HeaderMatcher[] = [];
const noPredicates: readonly RetryHostPredicate[] = [];

/** Undefined when nothing asks for retries. Takes the retry headers off the request. */
export function retryStateOf(
  policy: RetryPolicy | null,
  priority: 0 | 1,
  headers: HeaderMap,
  cluster: Cluster,
  groups: readonly RouteStats[],
): RetryState | undefined {
  const onHeader = headers.get('x-envoy-retry-on');
  const grpcHeader = headers.get('x-envoy-retry-grpc-on');
  const maxHeader = headers.get('x-envoy-max-retries');
  const codesHeader = headers.get('x-envoy-retriable-status-codes');
  const namesHeader = headers.get('x-envoy-retriable-header-names');
  let retryOn = policy === null ? 0 : policy.retryOn;
  let left = policy === null ? 1 : policy.numRetries;
  let codes = policy === null ? noCodes : policy.retriableStatusCodes;
  let names: readonly string[] | undefined;
  if (onHeader !== undefined) {
    retryOn |= parseRetryOnHeader(onHeader);
    headers.remove('x-envoy-retry-on');
  }
  if (grpcHeader !== undefined) {
    retryOn |= parseRetryGrpcOnHeader(grpcHeader);
    headers.remove('x-envoy-retry-grpc-on');
  }
  if (policy !== null && policy.retriableRequestHeaders.length > 0 && retryOn !== 0) {
    if (!anyHeaderMatches(policy.retriableRequestHeaders, headers)) retryOn = 0;
  }
  if (maxHeader !== undefined) {
    const max = headerNumber(maxHeader);
    if (retryOn !== 0 && max >= 0) left = max;
    headers.remove('x-envoy-max-retries');
  }
  if (codesHeader !== undefined) {
    const more: number[] = [];
    for (const text of codesHeader.split(',')) if (/^\s*\d{3}\s*$/.test(text)) more.push(Number(text));
    codes = [...codes, ...more];
    headers.remove('x-envoy-retriable-status-codes');
  }
  if (namesHeader !== undefined) {
    names = namesHeader.split(',').map((it) => it.trim().toLowerCase());
    headers.remove('x-envoy-retriable-header-names');
  }
  // Without a reason to try again it still counts the attempts of hedging.
  if (retryOn === 0 && onHeader === undefined && grpcHeader === undefined && !policy?.retryOn)
    return undefined;
  return new RetryState(policy, retryOn, left, codes, names, cluster, priority, groups);
}

export class RetryState {
  readonly #policy: RetryPolicy | null;
  /** Count what the cluster counts. */
  readonly #groups: readonly RouteStats[];
  readonly #retryOn: number;
  readonly #codes: readonly number[];
  readonly #names: readonly string[] | undefined;
  readonly #cluster: Cluster;
  readonly #breaker: CircuitBreaker;
  #left: number;
  /** Holds one of the breaker's retries until the retried attempt has ended. */
  #isHolding = false;
  #nextMs: number;
  readonly #maxMs: number;
  #backoffMs = 0;
  readonly #tried: UpstreamHost[] = [];
  readonly priority: RetryPriority | undefined;

  constructor(
    policy: RetryPolicy | null,
    retryOn: number,
    left: number,
    codes: readonly number[],
    names: readonly string[] | undefined,
    cluster: Cluster,
    priority: 0 | 1,
    groups: readonly RouteStats[],
  ) {
    this.#groups = groups;
    this.#policy = policy;
    this.priority = policy === null || policy.retryPriority === null ? undefined : policy.retryPriority();
    this.#retryOn = retryOn;
    this.#left = left;
    this.#codes = codes;
    this.#names = names;
    this.#cluster = cluster;
    this.#breaker = cluster.breakers[priority];
    this.#nextMs = policy === null ? 25 : policy.baseIntervalMs;
    this.#maxMs = policy === null ? 250 : policy.maxIntervalMs;
  }

  /** Any response or failure may make it try again. */
  get isEnabled(): boolean {
    return this.#retryOn !== 0;
  }

  /** How long to wait before the retry that was just granted. */
  get backoffMs(): number {
    return this.#backoffMs;
  }

  onHeaders(headers: HeaderMap): RetryVerdict {
    const wanted = this.wantsHeaders(headers);
    const verdict = this.#decide(wanted);
    if (verdict === RetryVerdict.Yes) this.#backoffMs = this.#limitedBackoff(headers);
    return verdict;
  }

  /** `requestSent`: some of the request has reached an upstream. */
  onReset(reason: ResetReason, requestSent: boolean): RetryVerdict {
    return this.#decide(this.#wantsReset(reason, requestSent));
  }

  /** A second attempt beside the first (`hedge_on_per_try_timeout`). */
  onHedge(): RetryVerdict {
    return this.#decide(true);
  }

  /** Gives the breaker's retry back. */
  release(): void {
    if (!this.#isHolding) return;
    this.#isHolding = false;
    this.#breaker.addRetries(-1);
  }

  onHostTried(host: UpstreamHost): void {
    this.#tried.push(host);
    this.priority?.onHostTried(host);
  }

  get maxHostSelections(): number {
    const policy = this.#policy;
    return policy === null || policy.hostPredicates.length === 0 ? 1 : policy.hostSelectionMaxAttempts + 1;
  }

  /** True when a predicate does not want this host for a retry. */
  rejects(host: UpstreamHost): boolean {
    const predicates = this.#policy === null ? noPredicates : this.#policy.hostPredicates;
    for (let i = 0; i < predicates.length; i++) {
      if (predicates[i]!.rejects(host, this.#tried)) return true;
    }
    return false;
  }

  #decide(wanted: boolean): RetryVerdict {
    const stats = this.#cluster.stats;
    const groups = this.#groups;
    if (this.#isHolding && !wanted) {
      stats.upstreamRqRetrySuccess.value++;
      for (let i = 0; i < groups.length; i++) groups[i]!.rqRetrySuccess.value++;
    }
    this.release();
    if (!wanted) return RetryVerdict.No;
    if (this.#left === 0) {
      stats.upstreamRqRetryLimitExceeded.value++;
      for (let i = 0; i < groups.length; i++) groups[i]!.rqRetryLimitExceeded.value++;
      return RetryVerdict.LimitExceeded;
    }
    this.#left--;
    if (!this.#breaker.allowsRetry) {
      stats.upstreamRqRetryOverflow.value++;
      for (let i = 0; i < groups.length; i++) groups[i]!.rqRetryOverflow.value++;
      return RetryVerdict.Overflow;
    }
    this.#isHolding = true;
    this.#breaker.addRetries(1);
    stats.upstreamRqRetry.value++;
    for (let i = 0; i < groups.length; i++) groups[i]!.rqRetry.value++;
    stats.upstreamRqRetryBackoffExponential.value++;
    const span = this.#nextMs;
    this.#nextMs = Math.min(span * 2, this.#maxMs);
    this.#backoffMs = Math.floor(Math.random() * span);
    return RetryVerdict.Yes;
  }

  /** `rate_limited_retry_back_off`: the upstream says when to come back. */
  #limitedBackoff(headers: HeaderMap): number {
    const resets = this.#policy === null ? [] : this.#policy.resetHeaders;
    for (const { name, format } of resets) {
      const value = headers.get(name);
      if (value === undefined || !/^\d+$/.test(value)) continue;
      const ms = format === 'SECONDS' ? Number(value) * 1000 : Number(value) * 1000 - Date.now();
      if (ms <= 0 || ms > this.#policy!.resetMaxIntervalMs) continue;
      const stats = this.#cluster.stats;
      stats.upstreamRqRetryBackoffExponential.value--;
      stats.upstreamRqRetryBackoffRatelimited.value++;
      return Math.floor(ms + Math.random() * ms * 0.5);
    }
    return this.#backoffMs;
  }

  wantsHeaders(headers: HeaderMap): boolean {
    const on = this.#retryOn;
    if (headers.has('x-envoy-ratelimited')) return (on & RetryOn['envoy-ratelimited']) !== 0;
    const { status } = headers;
    if ((on & RetryOn['5xx']) !== 0 && status >= 500) return true;
    if ((on & RetryOn['gateway-error']) !== 0 && status >= 502 && status <= 504) return true;
    if ((on & RetryOn['retriable-4xx']) !== 0 && status === 409) return true;
    if ((on & RetryOn['retriable-status-codes']) !== 0 && this.#codes.includes(status)) return true;
    if ((on & RetryOn['retriable-headers']) !== 0) {
      const matchers = this.#policy === null ? noMatchers : this.#policy.retriableHeaders;
      if (anyHeaderMatches(matchers, headers)) return true;
      const names = this.#names;
      if (names !== undefined) for (let i = 0; i < names.length; i++) if (headers.has(names[i]!)) return true;
    }
    switch (headers.get('grpc-status')) {
      case '1':
        return (on & RetryOn.cancelled) !== 0;
      case '4':
        return (on & RetryOn['deadline-exceeded']) !== 0;
      case '8':
        return (on & RetryOn['resource-exhausted']) !== 0;
      case '13':
        return (on & RetryOn.internal) !== 0;
      case '14':
        return (on & RetryOn.unavailable) !== 0;
    }
    return false;
  }

  #wantsReset(reason: ResetReason, requestSent: boolean): boolean {
    const on = this.#retryOn;
    if (reason === ResetReason.Overflow) return false;
    if (
      (on & RetryOn['connect-failure']) !== 0 &&
      (reason === ResetReason.LocalConnectionFailure ||
        reason === ResetReason.RemoteConnectionFailure ||
        reason === ResetReason.ConnectionTimeout)
    )
      return true;
    if ((on & (RetryOn.reset | RetryOn['5xx'] | RetryOn['gateway-error'])) !== 0) return true;
    if ((on & RetryOn['refused-stream']) !== 0 && reason === ResetReason.RemoteRefusedStreamReset)
      return true;
    return (on & RetryOn['reset-before-request']) !== 0 && !requestSent;
  }
}
