import type { ParseContext } from '#config/parse-context.ts';
import type { Registry } from '#extension/registry.ts';
import {
  type DownstreamTransport,
  type DownstreamTransportExtension,
  defineDownstreamTransport,
  defineUpstreamTransport,
  type ObservedConnection,
  type TransportSocketContext,
  type UpstreamTransport,
  type UpstreamTransportExtension,
} from '#extension/transport-socket.ts';
import type { Tap } from '#schema/messages/envoy/extensions/transport_sockets/tap/v3.ts';
import { parseTap, type TapConfig } from './config.ts';
import { SocketTap, TapStats } from './socket-tap.ts';

// Writes what passes another transport socket to files.
const name = 'envoy.transport_sockets.tap';
const type = 'envoy.extensions.transport_sockets.tap.v3.Tap';

export const downstreamTap = defineDownstreamTransport({
  kind: 'downstream_transport_socket',
  name,
  type,
  parse: (message: Tap, at: ParseContext, registry: Registry) =>
    parseTap('downstream_transport_socket', message, at, registry),
  prepare(config, context): DownstreamTransport {
    const inner = context.registry
      .byName<DownstreamTransportExtension>('downstream_transport_socket', config.inner!.extension)!
      .prepare(config.inner!.config as never, context);
    return {
      protocol: inner.protocol,
      wrap: (socket, first) => inner.wrap(socket, first),
      tlsInfo: (socket) => inner.tlsInfo(socket),
      observe: tapper(config, context),
    };
  },
});

export const upstreamTap = defineUpstreamTransport({
  kind: 'upstream_transport_socket',
  name,
  type,
  parse: (message: Tap, at: ParseContext, registry: Registry) =>
    parseTap('upstream_transport_socket', message, at, registry),
  prepare(config, context): UpstreamTransport {
    const inner = context.registry
      .byName<UpstreamTransportExtension>('upstream_transport_socket', config.inner!.extension)!
      .prepare(config.inner!.config as never, context);
    return {
      isTls: inner.isTls,
      ...(inner.greeting && { greeting: inner.greeting.bind(inner) }),
      ...(inner.poolKey && { poolKey: inner.poolKey.bind(inner) }),
      wrap: (socket, host, alpn, options) => inner.wrap(socket, host, alpn, options),
      tlsInfo: (socket) => inner.tlsInfo(socket),
      observe: tapper(config, context),
    };
  },
});

/** Who is tapped gets one of its own. */
function tapper(config: TapConfig, context: TransportSocketContext) {
  const prefix = config.statsPrefix === '' ? '' : `.${config.statsPrefix}`;
  const stats = context.stats.scope(`transport.tap${prefix}`).stats(TapStats);
  const { sampling, matches } = config;
  return (connection: ObservedConnection): SocketTap | undefined => {
    if (sampling !== undefined && !context.runtime.enabled(sampling, Math.floor(Math.random() * 2 ** 31))) {
      stats.cxSampledOut.value++;
      return undefined;
    }
    return matches ? new SocketTap(config, stats, connection) : undefined;
  };
}
