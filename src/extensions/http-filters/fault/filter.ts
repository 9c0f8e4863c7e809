// Delays, aborts and slows down requests on purpose, by share, by header, by cluster.
import type { TimerOwner, TimerWheel } from '#base/timer-wheel.ts';
import { WheelTimer } from '#base/timer-wheel.ts';
import { FilterStatus, type HttpFilter, type HttpStream } from '#extension/http-filter.ts';
import { allHeadersMatch, type HeaderMatcher } from '#extension/matchers/header-matcher.ts';
import { ResponseFlag } from '#extension/response-flag.ts';
import type { Runtime, RuntimeFraction } from '#extension/runtime.ts';
import type { HeaderMap } from '#http/header-map.ts';
import type { Counter, Gauge } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';
import type { FaultConfig } from './config.ts';
import { ResponseThrottle } from './response-throttle.ts';

/** One level of configuration with its matchers compiled. */
export interface FaultPolicy {
  readonly config: FaultConfig;
  readonly headers: readonly HeaderMatcher[];
}

export class FaultStats {
  readonly delaysInjected: Counter;
  readonly abortsInjected: Counter;
  readonly faultsOverflow: Counter;
  readonly responseRlInjected: Counter;
  readonly activeFaults: Gauge;
  readonly #scope: Scope;

  constructor(scope: Scope) {
    this.delaysInjected = scope.counter('delays_injected');
    this.abortsInjected = scope.counter('aborts_injected');
    this.faultsOverflow = scope.counter('faults_overflow');
    this.responseRlInjected = scope.counter('response_rl_injected');
    this.activeFaults = scope.gauge('active_faults');
    this.#scope = scope;
  }

  /** Counters per downstream cluster come into being with their first fault. */
  ofCluster(cluster: string, what: 'delays_injected' | 'aborts_injected'): Counter {
    return this.#scope.counter(`${cluster}.${what}`);
  }
}

export class FaultFilter implements HttpFilter, TimerOwner {
  readonly #name: string;
  readonly #policy: FaultPolicy;
  readonly #runtime: Runtime;
  readonly #stats: FaultStats;
  readonly #timers: TimerWheel;
  #stream: HttpStream | undefined = undefined;
  #here: FaultConfig | undefined = undefined;
  #downstreamCluster = '';
  #isActive = false;
  #delay: WheelTimer | null = null;
  #throttle: ResponseThrottle | null = null;

  constructor(name: string, policy: FaultPolicy, runtime: Runtime, stats: FaultStats, timers: TimerWheel) {
    this.#name = name;
    this.#policy = policy;
    this.#runtime = runtime;
    this.#stats = stats;
    this.#timers = timers;
  }

  decodeHeaders(stream: HttpStream, headers: HeaderMap): FilterStatus {
    const policy = (stream.routeConfig(this.#name) as FaultPolicy | undefined) ?? this.#policy;
    const config = policy.config;
    if (config.upstreamCluster !== '' && stream.route?.clusterName !== config.upstreamCluster)
      return FilterStatus.Continue;
    if (config.downstreamNodes.length > 0) {
      const node = headers.get('x-envoy-downstream-service-node');
      if (node === undefined || !config.downstreamNodes.includes(node)) return FilterStatus.Continue;
    }
    if (!allHeadersMatch(policy.headers, headers)) return FilterStatus.Continue;

    this.#stream = stream;
    this.#here = config;
    this.#downstreamCluster = headers.get('x-envoy-downstream-service-cluster') ?? '';
    this.#startThrottle(stream, config, headers);

    const delayMs = this.#delayMs(stream, config, headers);
    if (delayMs > 0 && this.#begin(config)) {
      this.#countDelay(stream);
      this.#delay = new WheelTimer(this);
      this.#timers.start(this.#delay, delayMs);
      return FilterStatus.StopIteration;
    }
    return this.#abort(stream, config, headers) ? FilterStatus.StopIteration : FilterStatus.Continue;
  }

  /** The delay is over. */
  onTimeout(): void {
    const stream = this.#stream!;
    this.#delay = null;
    if (!this.#abort(stream, this.#here!, stream.requestHeaders)) {
      this.#end();
      stream.continueDecoding(this);
    }
  }

  /** While the delay lasts the request waits in the buffer, and a large one holds its sender back. */
  decodeData(_stream: HttpStream): FilterStatus {
    return this.#delay === null ? FilterStatus.Continue : FilterStatus.StopAllAndWatermark;
  }

  decodeTrailers(): FilterStatus {
    return this.#delay === null ? FilterStatus.Continue : FilterStatus.StopIteration;
  }

  encodeData(_stream: HttpStream, data: Buffer, endStream: boolean): FilterStatus {
    if (this.#throttle === null) return FilterStatus.Continue;
    this.#throttle.add(data, endStream);
    return FilterStatus.StopNoBuffer;
  }

  encodeTrailers(): FilterStatus {
    if (this.#throttle === null || this.#throttle.isEmpty) return FilterStatus.Continue;
    this.#throttle.endWithTrailers();
    return FilterStatus.StopIteration;
  }

  onDestroy(): void {
    if (this.#delay !== null) this.#timers.cancel(this.#delay);
    this.#throttle?.cancel();
    this.#end();
    this.#delay = null;
    this.#stream = undefined;
  }

  #delayMs(stream: HttpStream, config: FaultConfig, headers: HeaderMap): number {
    const { delay } = config;
    if (delay === undefined) return 0;
    const byHeader = delay.fixedMs === undefined;
    if (byHeader) {
      const asked = naturalNumber(headers.get('x-envoy-fault-delay-request'));
      if (asked < 0) return 0;
      const share = byHeaderShare(delay.fraction, headers.get('x-envoy-fault-delay-request-percentage'));
      if (!this.#isEnabled(share, 'delay.fixed_delay_percent', stream)) return 0;
      return this.#number(delay.durationRuntime, 'delay.fixed_duration_ms', asked);
    }
    if (!this.#isEnabled(delay.fraction, 'delay.fixed_delay_percent', stream)) return 0;
    return this.#number(delay.durationRuntime, 'delay.fixed_duration_ms', delay.fixedMs!);
  }

  /** The runtime may say something else for the cluster that the client names. */
  #isEnabled(share: RuntimeFraction, what: string, stream: HttpStream): boolean {
    const cluster = this.#downstreamCluster;
    const own = cluster === '' ? share : { ...share, runtimeKey: `fault.http.${cluster}.${what}` };
    return this.#runtime.enabled(own, stream.random);
  }

  #number(key: string, what: string, fallback: number): number {
    const cluster = this.#downstreamCluster;
    return this.#runtime.integer(cluster === '' ? key : `fault.http.${cluster}.${what}`, fallback);
  }

  /** True when the request was answered here. */
  #abort(stream: HttpStream, config: FaultConfig, headers: HeaderMap): boolean {
    const { abort } = config;
    if (abort === undefined) return false;
    let status = abort.httpStatus;
    let grpcStatus = abort.grpcStatus;
    let share = abort.fraction;
    if (abort.byHeader) {
      const http = naturalNumber(headers.get('x-envoy-fault-abort-request'));
      status = http >= 200 && http < 600 ? http : 0;
      grpcStatus = naturalNumber(headers.get('x-envoy-fault-abort-grpc-request'));
      if (status === 0 && grpcStatus < 0) return false;
      share = byHeaderShare(share, headers.get('x-envoy-fault-abort-request-percentage'));
    }
    if (status !== 0) {
      status = this.#number(abort.httpStatusRuntime, 'abort.http_status', status);
      grpcStatus = -1;
    } else grpcStatus = this.#number(abort.grpcStatusRuntime, 'abort.grpc_status', grpcStatus);
    if (!this.#isEnabled(share, 'abort.abort_percent', stream)) return false;
    if (!this.#isActive && !this.#begin(config)) return false;
    this.#stats.abortsInjected.value++;
    this.#countForCluster('aborts_injected');
    stream.info.flags |= 1 << ResponseFlag.FaultInjected;
    this.#leaveMetadata(stream);
    stream.sendLocalReply(status === 0 ? 200 : status, abort.body, 'fault_filter_abort', grpcStatus);
    return true;
  }

  #startThrottle(stream: HttpStream, config: FaultConfig, headers: HeaderMap): void {
    const { rateLimit } = config;
    if (rateLimit === undefined) return;
    let kbps = rateLimit.fixedKbps ?? 0;
    let share = rateLimit.fraction;
    if (rateLimit.fixedKbps === undefined) {
      kbps = naturalNumber(headers.get('x-envoy-fault-throughput-response'));
      share = byHeaderShare(share, headers.get('x-envoy-fault-throughput-response-percentage'));
    }
    if (kbps <= 0 || !this.#runtime.enabled(share, stream.random) || !this.#begin(config)) return;
    this.#stats.responseRlInjected.value++;
    this.#throttle = new ResponseThrottle(stream, this, this.#timers, kbps * 1024);
  }

  #countDelay(stream: HttpStream): void {
    this.#stats.delaysInjected.value++;
    this.#countForCluster('delays_injected');
    stream.info.flags |= 1 << ResponseFlag.DelayInjected;
    this.#leaveMetadata(stream);
  }

  #countForCluster(what: 'aborts_injected' | 'delays_injected'): void {
    const cluster = this.#downstreamCluster;
    // A route cannot switch them on again.
    const isOff =
      this.#here!.disableDownstreamClusterStats || this.#policy.config.disableDownstreamClusterStats;
    if (cluster === '' || isOff) return;
    this.#stats.ofCluster(cluster, what).value++;
  }

  #leaveMetadata(stream: HttpStream): void {
    const metadata = this.#here?.metadata;
    if (metadata === undefined) return;
    stream.info.dynamicMetadata ??= {};
    stream.info.dynamicMetadata[this.#name] = { ...stream.info.dynamicMetadata[this.#name], ...metadata };
  }

  /** One fault per request counts as active, if there is room for it. */
  #begin(config: FaultConfig): boolean {
    if (this.#isActive) return true;
    const limit = this.#runtime.integer(config.maxActiveFaultsRuntime, config.maxActiveFaults);
    if (this.#stats.activeFaults.value >= limit) {
      this.#stats.faultsOverflow.value++;
      return false;
    }
    this.#isActive = true;
    this.#stats.activeFaults.value++;
    return true;
  }

  #end(): void {
    if (!this.#isActive || (this.#throttle !== null && !this.#throttle.isDone)) return;
    this.#isActive = false;
    this.#stats.activeFaults.value--;
  }
}

/** The header may lower the configured share, never raise it. */
function byHeaderShare(configured: RuntimeFraction, header: string | undefined): RuntimeFraction {
  const asked = naturalNumber(header);
  if (asked < 0) return configured;
  return { ...configured, numerator: Math.min(configured.numerator, asked) };
}

/** -1 when it is none. */
function naturalNumber(text: string | undefined): number {
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : -1;
}
