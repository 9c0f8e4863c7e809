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
  /** From the most specific level to the least: what one leaves open the next decides. Set when the response is to be marked. */
  #levels: readonly CorsPolicy[] = [];
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
    const levels = (stream.routeConfigs(this.#name) as readonly CorsPolicy[]).toReversed();
    const policy = levels[0];
    if (policy === undefined) return FilterStatus.Continue;
    const isEnabled = policy.enabled === undefined || this.#runtime.enabled(policy.enabled, stream.random);
    const isShadow = policy.shadow !== undefined && this.#runtime.enabled(policy.shadow, stream.random);
    if (!isEnabled && !isShadow) return FilterStatus.Continue;

    const requestMethod =
      headers.method === 'OPTIONS' ? headers.get('access-control-request-method') : undefined;
    const isPreflight = requestMethod !== undefined && requestMethod !== '';
    const allowed = levels.find((it) => it.allowOrigin.length > 0)?.allowOrigin ?? [];
    const isOriginAllowed = isAllowed(allowed, origin);
    if (isOriginAllowed) this.#stats.originValid.value++;
    else this.#stats.originInvalid.value++;
    if (!isEnabled) return FilterStatus.Continue;
    if (isOriginAllowed) {
      this.#levels = levels;
      this.#origin = origin;
    }
    if (!isPreflight) return FilterStatus.Continue;
    if (!isOriginAllowed && (firstSet(levels, 'forwardNotMatchingPreflights') ?? true))
      return FilterStatus.Continue;

    const answer = new HeaderMap();
    answer.status = 200;
    if (isOriginAllowed) answer.set('access-control-allow-origin', origin);
    if (firstSet(levels, 'allowCredentials')) answer.set('access-control-allow-credentials', 'true');
    const methods = firstText(levels, 'allowMethods');
    if (methods !== '') answer.set('access-control-allow-methods', methods === '*' ? requestMethod : methods);
    const names = firstText(levels, 'allowHeaders');
    const asked = headers.get('access-control-request-headers') ?? '';
    if (names !== '') answer.set('access-control-allow-headers', names === '*' ? asked : names);
    const maxAge = firstText(levels, 'maxAge');
    if (maxAge !== '') answer.set('access-control-max-age', maxAge);
    const wantsPrivateNetwork = headers.get('access-control-request-private-network') === 'true';
    if (wantsPrivateNetwork && firstSet(levels, 'allowPrivateNetworkAccess'))
      answer.set('access-control-allow-private-network', 'true');
    stream.sendResponse(answer, 'cors_response');
    return FilterStatus.StopIteration;
  }

  encodeHeaders(_stream: HttpStream, headers: HeaderMap): FilterStatus {
    const levels = this.#levels;
    if (levels.length === 0) return FilterStatus.Continue;
    headers.set('access-control-allow-origin', this.#origin);
    if (firstSet(levels, 'allowCredentials')) headers.set('access-control-allow-credentials', 'true');
    const exposed = firstText(levels, 'exposeHeaders');
    if (exposed !== '') headers.set('access-control-expose-headers', exposed);
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

function firstText(
  levels: readonly CorsPolicy[],
  field: 'allowMethods' | 'allowHeaders' | 'exposeHeaders' | 'maxAge',
): string {
  for (let i = 0; i < levels.length; i++) if (levels[i]![field] !== '') return levels[i]![field];
  return '';
}

function firstSet(
  levels: readonly CorsPolicy[],
  field: 'allowCredentials' | 'allowPrivateNetworkAccess' | 'forwardNotMatchingPreflights',
): boolean | undefined {
  for (let i = 0; i < levels.length; i++) if (levels[i]![field] !== undefined) return levels[i]![field];
  return undefined;
}
