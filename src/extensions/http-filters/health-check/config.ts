// Plain configuration of the health_check filter.
import type { ParseContext } from '#config/parse-context.ts';
import type { HeaderMatcherData } from '#extension/matchers/matcher-config.ts';
import { parseHeaderMatcher } from '#extension/matchers/parse.ts';
import { durationMs } from '#extension/message-fields.ts';
import type { HealthCheck } from '#schema/messages/envoy/extensions/filters/http/health_check/v3.ts';

export interface HealthCheckConfig {
  /** Health checks go to the upstream; its answer is kept for `cacheMs`. */
  readonly passThrough: boolean;
  readonly cacheMs: number;
  /** Clusters that need this share (0 to 100) of usable hosts for a positive answer. */
  readonly minHealthyPercent: readonly { readonly cluster: string; readonly percent: number }[];
  /** What makes a request a health check; all have to match. */
  readonly headers: readonly HeaderMatcherData[];
}

export function parseHealthCheck(message: HealthCheck, at: ParseContext): HealthCheckConfig {
  const passThrough = message.pass_through_mode ?? false;
  const minHealthyPercent = Object.entries(message.cluster_min_healthy_percentages).map(
    ([cluster, percent]) => ({
      cluster,
      percent: Math.floor(percent.value),
    }),
  );
  if (!passThrough && message.cache_time !== undefined) {
    at.field('cache_time').fail('cache_time_ms must not be set when path_through_mode is disabled');
  }
  if (passThrough && minHealthyPercent.length > 0) {
    at.field('cluster_min_healthy_percentages').fail(
      'cluster_min_healthy_percentages must not be set when path_through_mode is enabled',
    );
  }
  return {
    passThrough,
    cacheMs: durationMs(message.cache_time, 0),
    minHealthyPercent,
    headers: message.headers.map((it, i) => parseHeaderMatcher(it, at.field('headers', i))),
  };
}
