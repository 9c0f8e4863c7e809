// A filter chain in a worker: what its connections share, and its end when an update has left it behind.

import { collectTakings } from '#base/takings.ts';
import type { NetworkFilterExtension, NetworkFilterFactory } from '#extension/network-filter.ts';
import type { DownstreamTransport, DownstreamTransportExtension } from '#extension/transport-socket.ts';
import type { DataPlaneFilterContext, WorkerContext } from '../worker-context.ts';
import { Drain } from './drain.ts';
import type { FilterChainConfig, ListenerConfig } from './listener-config.ts';

export class ActiveFilterChain {
  readonly config: FilterChainConfig;
  readonly factories: readonly NetworkFilterFactory[];
  readonly transport: DownstreamTransport;
  readonly drain = new Drain();
  /** Gives back what was taken for it. It has no connections any more. */
  readonly release: () => void;

  constructor(
    config: FilterChainConfig,
    listener: ListenerConfig,
    listenerStatPrefix: string,
    worker: WorkerContext,
  ) {
    const context: DataPlaneFilterContext = {
      ...worker.services,
      workerIndex: worker.index,
      name: '',
      registry: worker.registry,
      listenerName: listener.name,
      filterChainName: config.name,
      trafficDirection: listener.trafficDirection,
      listenerMetadata: listener.metadata,
      bufferLimitBytes: listener.bufferLimitBytes,
      worker,
      listenerStatPrefix,
    };
    const { value, release } = collectTakings(() => ({
      factories: config.filters.map((it) =>
        worker.registry
          .byName<NetworkFilterExtension>('network_filter', it.extension)!
          .prepare(it.config as never, { ...context, name: it.name } as DataPlaneFilterContext),
      ),
      transport: worker.registry
        .byName<DownstreamTransportExtension>(
          'downstream_transport_socket',
          config.transportSocket.extension,
        )!
        .prepare(config.transportSocket.config as never, {
          ...worker.services,
          registry: worker.registry,
          statPrefix: listenerStatPrefix,
        }),
    }));
    this.config = config;
    this.factories = value.factories;
    this.transport = value.transport;
    this.release = release;
  }
}
