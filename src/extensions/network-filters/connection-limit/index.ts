import type { TimerWheel } from '#base/timer-wheel.ts';
import { type TimerOwner, WheelTimer } from '#base/timer-wheel.ts';
import { durationMs } from '#extension/message-fields.ts';
import {
  type DownstreamConnection,
  defineNetworkFilter,
  type NetworkFilter,
  NetworkFilterStatus,
} from '#extension/network-filter.ts';
import type { Runtime, RuntimeFlag } from '#extension/runtime.ts';
import { runtimeFlag } from '#extension/runtime-config.ts';
import { CloseType } from '#net/connection.ts';
import type { ConnectionLimit } from '#schema/messages/envoy/extensions/filters/network/connection_limit/v3.ts';
import type { Counter, Gauge } from '#stats/metric.ts';
import type { Scope } from '#stats/store.ts';

interface ConnectionLimitConfig {
  readonly statPrefix: string;
  readonly maxConnections: number;
  /** How long a refused connection waits for its end. */
  readonly delayMs: number;
  readonly enabled: RuntimeFlag;
  /** Connections by worker. */
  readonly connections: SharedArrayBuffer;
}

class ConnectionLimitStats {
  readonly limitedConnections: Counter;
  readonly activeConnections: Gauge;

  constructor(scope: Scope) {
    this.limitedConnections = scope.counter('limited_connections');
    this.activeConnections = scope.gauge('active_connections');
  }
}

const mostWorkers = 64;

function total(connections: Int32Array): number {
  let all = 0;
  for (let i = 0; i < connections.length; i++) all += Atomics.load(connections, i);
  return all;
}

/** What the connections of one worker share. */
interface Shared {
  readonly config: ConnectionLimitConfig;
  readonly stats: ConnectionLimitStats;
  readonly connections: Int32Array;
  readonly slot: number;
  readonly runtime: Runtime;
  readonly timers: TimerWheel;
}

/** Closes connections beyond a number of them. */
export const connectionLimit = defineNetworkFilter({
  kind: 'network_filter',
  name: 'envoy.filters.network.connection_limit',
  type: 'envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit',
  parse: (message: ConnectionLimit): ConnectionLimitConfig => ({
    statPrefix: message.stat_prefix,
    maxConnections: Number(message.max_connections ?? 0),
    delayMs: durationMs(message.delay, 0),
    enabled: runtimeFlag(message.runtime_enabled),
    connections: new SharedArrayBuffer(mostWorkers * Int32Array.BYTES_PER_ELEMENT),
  }),
  prepare(config, { stats, runtime, timers, workerIndex }) {
    const connections = new Int32Array(config.connections);
    const slot = workerIndex % mostWorkers;
    // Those of a worker that died are gone.
    Atomics.store(connections, slot, 0);
    const shared: Shared = {
      config,
      stats: stats.scope(`connection_limit.${config.statPrefix}`).stats(ConnectionLimitStats),
      connections,
      slot,
      runtime,
      timers,
    };
    return (downstream) => new ConnectionLimitFilter(shared, downstream);
  },
});

class ConnectionLimitFilter implements NetworkFilter, TimerOwner {
  readonly #shared: Shared;
  readonly #downstream: DownstreamConnection;
  #isCounted = false;
  #isRefused = false;
  #delay: WheelTimer | undefined = undefined;

  constructor(shared: Shared, downstream: DownstreamConnection) {
    this.#shared = shared;
    this.#downstream = downstream;
  }

  onNewConnection(): NetworkFilterStatus {
    const { config, stats, connections, slot, runtime, timers } = this.#shared;
    if (!runtime.flag(config.enabled)) return NetworkFilterStatus.Continue;
    stats.activeConnections.value++;
    this.#isCounted = true;
    Atomics.add(connections, slot, 1);
    if (total(connections) <= config.maxConnections) return NetworkFilterStatus.Continue;
    stats.limitedConnections.value++;
    this.#isRefused = true;
    if (config.delayMs > 0) {
      this.#delay = new WheelTimer(this);
      timers.start(this.#delay, config.delayMs);
    } else this.#close();
    return NetworkFilterStatus.StopIteration;
  }

  onData(): NetworkFilterStatus {
    return this.#isRefused ? NetworkFilterStatus.StopIteration : NetworkFilterStatus.Continue;
  }

  onTimeout(): void {
    this.#close();
  }

  onClose(): void {
    const { stats, connections, slot, timers } = this.#shared;
    if (this.#delay !== undefined) timers.cancel(this.#delay);
    if (!this.#isCounted) return;
    stats.activeConnections.value--;
    Atomics.sub(connections, slot, 1);
  }

  #close(): void {
    this.#downstream.close(CloseType.NoFlush, 'over_connection_limit');
  }
}
