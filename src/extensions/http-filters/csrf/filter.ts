// Refuses requests that change something when they come from a page of another site: the host of the origin header (or of the
// referer) has to be the host that was asked, or one of the additional origins.

import { FilterStatus, type HttpFilter, type HttpStream } from '#extension/http-filter.ts';
import type { StringMatcher } from '#extension/matchers/string-matcher.ts';
import type { Runtime, RuntimeFraction } from '#extension/runtime.ts';
import type { HeaderMap } from '#http/header-map.ts';
import type { Counter } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';

/** One level of configuration with its matchers compiled. */
export interface CsrfPolicy {
  readonly enabled: RuntimeFraction;
  readonly shadow: RuntimeFraction | undefined;
  readonly additionalOrigins: readonly StringMatcher[];
}

export class CsrfStats {
  readonly missingSourceOrigin: Counter;
  readonly requestInvalid: Counter;
  readonly requestValid: Counter;

  constructor(scope: Scope) {
    this.missingSourceOrigin = scope.counter('missing_source_origin');
    this.requestInvalid = scope.counter('request_invalid');
    this.requestValid = scope.counter('request_valid');
  }
}

/** Without state per request: one instance serves all. */
export class CsrfFilter implements HttpFilter {
  readonly #policy: CsrfPolicy;
  readonly #name: string;
  readonly #runtime: Runtime;
  readonly #stats: CsrfStats;

  constructor(policy: CsrfPolicy, name: string, runtime: Runtime, stats: CsrfStats) {
    this.#policy = policy;
    this.#name = name;
    this.#runtime = runtime;
    this.#stats = stats;
  }

  decodeHeaders(stream: HttpStream, headers: HeaderMap): FilterStatus {
    if (!changesSomething(headers.method)) return FilterStatus.Continue;
    const policy = (stream.routeConfig(this.#name) as CsrfPolicy | undefined) ?? this.#policy;
    const isEnabled = this.#runtime.enabled(policy.enabled, stream.random);
    const isShadow = policy.shadow !== undefined && this.#runtime.enabled(policy.shadow, stream.random);
    if (!isEnabled && !isShadow) return FilterStatus.Continue;

    const source = sourceOrigin(headers);
    if (source === '') this.#stats.missingSourceOrigin.value++;
    else if (isAllowed(source, headers.authority, policy.additionalOrigins)) {
      this.#stats.requestValid.value++;
      return FilterStatus.Continue;
    } else this.#stats.requestInvalid.value++;
    if (!isEnabled) return FilterStatus.Continue;
    stream.sendLocalReply(403, 'Invalid origin', 'csrf_origin_mismatch');
    return FilterStatus.StopIteration;
  }
}

function changesSomething(method: string): boolean {
  return method === 'POST' || method === 'PUT' || method === 'DELETE' || method === 'PATCH';
}

function isAllowed(source: string, target: string, additional: readonly StringMatcher[]): boolean {
  if (source === target) return true;
  for (let i = 0; i < additional.length; i++) if (additional[i]!.matches(source)) return true;
  return false;
}

/** Host and port of the origin, which may be none, else of the referer, else nothing. */
function sourceOrigin(headers: HeaderMap): string {
  const origin = headers.get('origin');
  if (origin === 'null') return '';
  if (origin !== undefined && origin !== '') return hostAndPort(origin);
  const referer = headers.get('referer');
  return referer === undefined ? '' : hostAndPort(referer);
}

/** What is no absolute URL is taken as it is. */
function hostAndPort(url: string): string {
  const scheme = url.indexOf('://');
  if (scheme < 0) return url;
  const start = scheme + 3;
  let end = start;
  for (; end < url.length; end++) {
    const c = url.charCodeAt(end);
    // `/`, `?` or `#`
    if (c === 0x2f || c === 0x3f || c === 0x23) break;
  }
  return end === start ? url : url.slice(start, end);
}
