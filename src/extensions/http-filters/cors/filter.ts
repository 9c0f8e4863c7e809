// Cross-origin resource sharing: answers the preflight requests of allowed origins and marks the responses to their requests.
import { FilterStatus, type HttpFilter, type HttpStream } from '#extension/http-filter.ts';
import type { StringMatcher } from '#extension/matchers/string-matcher.ts';
import type { Runtime } from '#extension/runtime.ts';
import { HeaderMap } from '#http/header-map.ts';
import type { Counter } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';
import type { CorsConfig } from './config.ts';

/** The policy of a route with its matchers compiled. */
export interface CorsPolicy extends Omit<CorsConfig, 'allowOrigin'> {
  readonly allowOrigin: readonly StringMatcher[];
}

export class CorsStats {
  readonly originValid: Counter;
  readonly originInvalid: Counter;

  constructor(scope: Scope) {
    this.originValid = scope.counter('origin_valid');
    this.originInvalid = scope.counter('origin_invalid');
  }
}

export class CorsFilter implements HttpFilter {
  readonly #name: string;
  readonly #runtime: Runtime;
  readonly #stats: CorsStats;
  /** Set when the response is to be marked. */
  #policy: CorsPolicy | undefined = undefined;
  #origin = '';

  constructor(name: string, runtime: Runtime, stats: CorsStats) {
    this.#name = name;
    this.#runtime = runtime;
    this.#stats = stats;
  }

  decodeHeaders(stream: HttpStream, headers: HeaderMap): FilterStatus {
    const origin = headers.get('origin');
    if (origin === undefined || origin === '') return FilterStatus.Continue;
    // Redirects and direct responses have no policy.
    if (stream.route?.action !== 0) return FilterStatus.Continue;
    const policy = stream.routeConfig(this.#name) as CorsPolicy | undefined;
    if (policy === undefined) return FilterStatus.Continue;
    const isEnabled = policy.enabled === undefined || this.#runtime.enabled(policy.enabled, stream.random);
    const isShadow = policy.shadow !== undefined && this.#runtime.enabled(policy.shadow, stream.random);
    if (!isEnabled && !isShadow) return FilterStatus.Continue;

    const requestMethod =
      headers.method === 'OPTIONS' ? headers.get('access-control-request-method') : undefined;
    const isPreflight = requestMethod !== undefined && requestMethod !== '';
    if (!isAllowed(policy.allowOrigin, origin)) {
      this.#stats.originInvalid.value++;
      if (!isEnabled || !isPreflight || policy.forwardNotMatchingPreflights) return FilterStatus.Continue;
      stream.sendResponse(ok(), 'cors_response');
      return FilterStatus.StopIteration;
    }
    this.#stats.originValid.value++;
    if (!isEnabled) return FilterStatus.Continue;
    this.#policy = policy;
    this.#origin = origin;
    if (!isPreflight) return FilterStatus.Continue;

    const wantsPrivateNetwork = headers.get('access-control-request-private-network') === 'true';
    const answer = ok();
    answer.set('access-control-allow-origin', origin);
    if (policy.allowCredentials) answer.set('access-control-allow-credentials', 'true');
    if (policy.allowMethods !== '') answer.set('access-control-allow-methods', policy.allowMethods);
    if (policy.allowHeaders !== '') answer.set('access-control-allow-headers', policy.allowHeaders);
    if (policy.maxAge !== '') answer.set('access-control-max-age', policy.maxAge);
    if (wantsPrivateNetwork && policy.allowPrivateNetworkAccess)
      answer.set('access-control-allow-private-network', 'true');
    stream.sendResponse(answer, 'cors_response');
    return FilterStatus.StopIteration;
  }

  encodeHeaders(_stream: HttpStream, headers: HeaderMap): FilterStatus {
    const policy = this.#policy;
    if (policy === undefined) return FilterStatus.Continue;
    headers.set('access-control-allow-origin', this.#origin);
    if (policy.allowCredentials) headers.set('access-control-allow-credentials', 'true');
    if (policy.exposeHeaders !== '') headers.set('access-control-expose-headers', policy.exposeHeaders);
    return FilterStatus.Continue;
  }
}

function isAllowed(allowed: readonly StringMatcher[], origin: string): boolean {
  for (let i = 0; i < allowed.length; i++) {
    const matcher = allowed[i]!;
    if (matcher.matches('*') || matcher.matches(origin)) return true;
  }
  return false;
}

function ok(): HeaderMap {
  const headers = new HeaderMap();
  headers.status = 200;
  return headers;
}
