// Asks the service when a connection is accepted. Until it answers, later filters see nothing of the connection.
import { nextRandom } from '#base/random.ts';
import { utf8OfLatin1 } from '#base/utf8.ts';
import { addDynamicMetadata } from '#extension/dynamic-metadata.ts';
import { AccessLogType, type FormatContext, type Formatter } from '#extension/formatter.ts';
import type { MethodCallbacks, MethodClient } from '#extension/grpc-service.ts';
import {
  type DownstreamConnection,
  type NetworkFilter,
  NetworkFilterStatus,
} from '#extension/network-filter.ts';
import type { Runtime } from '#extension/runtime.ts';
import type { StreamInfo } from '#extension/stream-info.ts';
import type { GrpcStream } from '#grpc/client.ts';
import { CloseType } from '#net/connection.ts';
import type { RateLimitResponse } from '#schema/messages/envoy/service/ratelimit/v3.ts';
import type { Counter, Gauge } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';
import type { NetworkRateLimitConfig } from './index.ts';

export class NetworkRateLimitStats {
  readonly active: Gauge;
  readonly cxClosed: Counter;
  readonly error: Counter;
  readonly failureModeAllowed: Counter;
  readonly ok: Counter;
  readonly overLimit: Counter;
  readonly total: Counter;

  constructor(scope: Scope) {
    this.active = scope.gauge('active');
    this.cxClosed = scope.counter('cx_closed');
    this.error = scope.counter('error');
    this.failureModeAllowed = scope.counter('failure_mode_allowed');
    this.ok = scope.counter('ok');
    this.overLimit = scope.counter('over_limit');
    this.total = scope.counter('total');
  }
}

export interface NetworkRateLimitShared {
  readonly config: NetworkRateLimitConfig;
  readonly stats: NetworkRateLimitStats;
  readonly client: MethodClient<
    'envoy.service.ratelimit.v3.RateLimitRequest',
    'envoy.service.ratelimit.v3.RateLimitResponse'
  >;
  readonly runtime: Runtime;
  /** Key and formatter of the value in turn. */
  readonly descriptors: readonly (readonly (string | Formatter)[])[];
}

const enabledKey = 'ratelimit.tcp_filter_enabled';
const enforcingKey = 'ratelimit.tcp_filter_enforcing';

export class NetworkRateLimitFilter
  implements NetworkFilter, MethodCallbacks<RateLimitResponse>, FormatContext
{
  readonly requestHeaders = undefined;
  readonly responseHeaders = undefined;
  readonly responseTrailers = undefined;
  readonly logType: AccessLogType = AccessLogType.NotSet;
  readonly #shared: NetworkRateLimitShared;
  readonly #connection: DownstreamConnection;
  #isCalling = false;
  /** The answer came from inside the call. */
  #isStarting = false;
  #call: GrpcStream | undefined = undefined;

  constructor(shared: NetworkRateLimitShared, connection: DownstreamConnection) {
    this.#shared = shared;
    this.#connection = connection;
  }

  get info(): StreamInfo {
    return this.#connection.streamInfo;
  }

  onNewConnection(): NetworkFilterStatus {
    const { client, config, descriptors, runtime, stats } = this.#shared;
    if (!runtime.enabledPercent(enabledKey, 100, nextRandom())) return NetworkFilterStatus.Continue;
    this.#isCalling = true;
    stats.active.value++;
    stats.total.value++;
    this.#isStarting = true;
    this.#call = client.call(
      {
        domain: config.domain,
        descriptors: descriptors.map((it) => ({ entries: entriesOf(it, this) })),
      },
      this,
      this,
    );
    this.#isStarting = false;
    return this.#status;
  }

  onData(): NetworkFilterStatus {
    return this.#status;
  }

  get #status(): NetworkFilterStatus {
    return this.#isCalling ? NetworkFilterStatus.StopIteration : NetworkFilterStatus.Continue;
  }

  onClose(): void {
    if (!this.#isCalling) return;
    this.#isCalling = false;
    this.#call?.cancel();
    this.#shared.stats.active.value--;
  }

  onResponse(response: RateLimitResponse): void {
    const { runtime, stats } = this.#shared;
    this.#ended();
    const { dynamic_metadata: metadata } = response;
    if (metadata !== undefined && Object.keys(metadata).length > 0)
      addDynamicMetadata(this.info, 'envoy.filters.network.ratelimit', metadata);
    if (response.overall_code !== 'OVER_LIMIT') {
      stats.ok.value++;
      this.#continue();
      return;
    }
    stats.overLimit.value++;
    if (runtime.enabledPercent(enforcingKey, 100, nextRandom())) this.#close('ratelimit_close_over_limit');
    else this.#continue();
  }

  onFailure(): void {
    const { config, stats } = this.#shared;
    this.#ended();
    stats.error.value++;
    if (config.failureModeDeny) this.#close('ratelimit_error_failure_mode_connection_close');
    else {
      stats.failureModeAllowed.value++;
      this.#continue();
    }
  }

  #ended(): void {
    this.#isCalling = false;
    this.#shared.stats.active.value--;
  }

  #continue(): void {
    if (!this.#isStarting) this.#connection.continueReading(this);
  }

  #close(reason: string): void {
    this.#shared.stats.cxClosed.value++;
    this.#connection.close(CloseType.NoFlush, reason);
  }
}

function entriesOf(
  parts: readonly (string | Formatter)[],
  context: FormatContext,
): { key: string; value: string }[] {
  const entries: { key: string; value: string }[] = [];
  for (let i = 0; i < parts.length; i += 2)
    entries.push({
      key: parts[i] as string,
      value: utf8OfLatin1((parts[i + 1] as Formatter).format(context)),
    });
  return entries;
}
