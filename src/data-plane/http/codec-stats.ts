// What the codecs count: `http1.*` and `http2.*` for listeners, `cluster.<name>.http1.*` and so on for clusters.
import type { Http1Counts } from '#http/h1-options.ts';
import { type H2CodecStats, h2CounterNames, h2GaugeNames } from '#http/h2-stats.ts';
import type { Counter } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';

class Http1Stats {
  readonly droppedHeadersWithUnderscores: Counter;
  readonly metadataNotSupportedError: Counter;
  readonly requestsRejectedWithUnderscoresInHeaders: Counter;
  readonly responseFlood: Counter;

  constructor(scope: Scope) {
    this.droppedHeadersWithUnderscores = scope.counter('dropped_headers_with_underscores');
    this.metadataNotSupportedError = scope.counter('metadata_not_supported_error');
    this.requestsRejectedWithUnderscoresInHeaders = scope.counter(
      'requests_rejected_with_underscores_in_headers',
    );
    this.responseFlood = scope.counter('response_flood');
  }
}

/** `scope`: the one named `http1`. */
export function http1Counts(scope: Scope): Http1Counts {
  return scope.stats(Http1Stats);
}

class Http2Stats {
  readonly all: H2CodecStats;

  constructor(scope: Scope) {
    this.all = Object.fromEntries([
      ...h2CounterNames.map((name) => [name, scope.counter(name)]),
      ...h2GaugeNames.map((name) => [name, scope.gauge(name)]),
    ]) as H2CodecStats;
    // Listed, and empty, as in Envoy, which records them only under a runtime guard that is going to disappear.
    for (const name of ['cookie_count', 'cookie_size', 'header_count', 'header_list_size'])
      scope.histogram(name);
  }
}

/** `scope`: the one named `http2`. */
export function http2Counts(scope: Scope): H2CodecStats {
  return scope.stats(Http2Stats).all;
}
