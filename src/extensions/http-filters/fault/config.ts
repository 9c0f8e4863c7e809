// Plain configuration of the fault filter.
import type { ParseContext } from '#config/parse-context.ts';
import type { HeaderMatcherData } from '#extension/matchers/matcher-config.ts';
import { parseHeaderMatcher } from '#extension/matchers/parse.ts';
import { durationMs } from '#extension/message-fields.ts';
import type { RuntimeFraction } from '#extension/runtime.ts';
import { fraction } from '#extension/runtime-config.ts';
import type { HTTPFault } from '#schema/messages/envoy/extensions/filters/http/fault/v3.ts';

export interface FaultConfig {
  /** Undefined: no delays. */
  readonly delay: DelayConfig | undefined;
  readonly abort: AbortConfig | undefined;
  readonly rateLimit: RateLimitConfig | undefined;
  /** Only requests to this cluster; empty: to any. */
  readonly upstreamCluster: string;
  readonly headers: readonly HeaderMatcherData[];
  /** Values of x-envoy-downstream-service-node; empty: any. */
  readonly downstreamNodes: readonly string[];
  readonly maxActiveFaults: number;
  readonly maxActiveFaultsRuntime: string;
  /** No extra counters for x-envoy-downstream-service-cluster. */
  readonly disableDownstreamClusterStats: boolean;
  /** Dynamic metadata that a fault leaves under the filter's name. */
  readonly metadata: Readonly<Record<string, unknown>> | undefined;
}

export interface DelayConfig {
  readonly fraction: RuntimeFraction;
  /** Undefined: x-envoy-fault-delay-request says how long. */
  readonly fixedMs: number | undefined;
  readonly durationRuntime: string;
}

export interface AbortConfig {
  readonly fraction: RuntimeFraction;
  /** 0 for each: not given. Both 0: the request's headers say. */
  readonly httpStatus: number;
  readonly grpcStatus: number;
  readonly byHeader: boolean;
  readonly httpStatusRuntime: string;
  readonly grpcStatusRuntime: string;
  readonly body: string;
}

export interface RateLimitConfig {
  readonly fraction: RuntimeFraction;
  /** KiB per second; undefined: x-envoy-fault-throughput-response says. */
  readonly fixedKbps: number | undefined;
}

export function parseFault(message: HTTPFault, at: ParseContext): FaultConfig {
  const { delay, abort, response_rate_limit: rateLimit } = message;
  return {
    delay: delay && {
      fraction: fraction(
        delay.percentage,
        message.delay_percent_runtime || 'fault.http.delay.fixed_delay_percent',
      ),
      fixedMs: delay.fixed_delay && durationMs(delay.fixed_delay, 0),
      durationRuntime: message.delay_duration_runtime || 'fault.http.delay.fixed_duration_ms',
    },
    abort: abort && {
      fraction: fraction(abort.percentage, message.abort_percent_runtime || 'fault.http.abort.abort_percent'),
      httpStatus: abort.http_status ?? 0,
      grpcStatus: abort.grpc_status ?? 0,
      byHeader: abort.header_abort !== undefined,
      httpStatusRuntime: message.abort_http_status_runtime || 'fault.http.abort.http_status',
      grpcStatusRuntime: message.abort_grpc_status_runtime || 'fault.http.abort.grpc_status',
      body: abort.response_body || 'fault filter abort',
    },
    rateLimit: rateLimit && {
      fraction: fraction(
        rateLimit.percentage,
        message.response_rate_limit_percent_runtime || 'fault.http.rate_limit.response_percent',
      ),
      fixedKbps: rateLimit.fixed_limit && Number(rateLimit.fixed_limit.limit_kbps),
    },
    upstreamCluster: message.upstream_cluster,
    headers: message.headers.map((it, i) => parseHeaderMatcher(it, at.field('headers', i))),
    downstreamNodes: message.downstream_nodes,
    maxActiveFaults: message.max_active_faults ?? Number.MAX_SAFE_INTEGER,
    maxActiveFaultsRuntime: message.max_active_faults_runtime || 'fault.http.max_active_faults',
    disableDownstreamClusterStats: message.disable_downstream_cluster_stats,
    metadata: message.filter_metadata,
  };
}
