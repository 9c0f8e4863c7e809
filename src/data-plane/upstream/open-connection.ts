// Connections to hosts of a cluster, through its transport socket: for pools in workers, for health checks on the main thread.
import type { Socket } from 'node:net';
import { addressText } from '#base/address-text.ts';
import { turnMs } from '#base/turn.ts';
import { AccessLogType, type FormatContext } from '#extension/formatter.ts';
import type { Host } from '#extension/load-balancer.ts';
import type { Configured, Registry } from '#extension/registry.ts';
import type {
  ObservedConnection,
  TransportOptions,
  UpstreamTransport,
  UpstreamTransportExtension,
} from '#extension/transport-socket.ts';
import type { WorkerServices } from '#extension/worker-services.ts';
import type { Connection, ConnectionOwner } from '#net/connection.ts';
import { dial } from '#net/dial.ts';
import { RequestInfo } from '../http/request-info.ts';
import { AcceptedConnectionInfo } from '../listener/accepted-connection.ts';
import type { ClusterConfig } from './cluster-config.ts';
import { MatchedTransport } from './matched-transport.ts';

export function prepareTransport(
  config: ClusterConfig,
  registry: Registry,
  services: WorkerServices,
): UpstreamTransport {
  const transportOf = ({ extension, config: socket }: Configured): UpstreamTransport =>
    registry
      .byName<UpstreamTransportExtension>('upstream_transport_socket', extension)!
      .prepare(socket as never, { ...services, registry, statPrefix: `cluster.${config.statName}.` });
  const own = transportOf(config.transportSocket);
  if (config.transportSocketMatches.length === 0) return own;
  const matches = config.transportSocketMatches.map(({ match, socket }) => ({
    match,
    transport: transportOf(socket),
  }));
  return new MatchedTransport(matches, own);
}

/** Where a host listens. */
interface Place {
  readonly ip: string;
  /** -1: `ip` is the path of a Unix socket. */
  readonly port: number;
}

/** `place`: the host's own, or where else it is checked. */
export function openConnection(
  config: ClusterConfig,
  transport: UpstreamTransport,
  host: Host,
  place: Place,
  owner: ConnectionOwner,
  alpn: readonly string[],
  options: TransportOptions | undefined,
): Connection {
  return dial(
    {
      address: place.ip,
      port: place.port,
      localAddress: config.bindAddress,
      keepAliveMs: config.keepAliveMs,
      bufferLimitBytes: config.bufferLimitBytes,
      greeting:
        transport.greeting === undefined
          ? undefined
          : (socket) => transport.greeting!(socket, host, options, () => ownContext(socket, host)),
      observe: transport.observe && ((connection) => transport.observe!(observed(connection, host), host)),
      wrap: transport.isTls ? (socket) => transport.wrap(socket, host, alpn, options) : undefined,
    },
    owner,
  );
}

/** A connection to a host as its own client, as formats see it. */
function ownContext({ localAddress, localPort }: Socket, host: Host): FormatContext {
  return clientContext(addressText(localAddress ?? '', localPort ?? -1), host);
}

/** `local`: whom the proxy says it is. */
export function clientContext(local: string, host: Host): FormatContext & { readonly info: RequestInfo } {
  const info = new RequestInfo(new AcceptedConnectionInfo(0, local, host.address, ''), turnMs());
  info.upstream.hostAddress = host.address;
  info.upstream.hostname = host.hostname;
  info.hostMetadata = host.metadata;
  return {
    info,
    requestHeaders: undefined,
    responseHeaders: undefined,
    responseTrailers: undefined,
    logType: AccessLogType.NotSet,
  };
}

function observed({ id, socket }: Connection, { address }: Host): ObservedConnection {
  const connection = { id, localAddress: '', remoteAddress: address };
  socket.once('connect', () => {
    const { localAddress, localPort = 0 } = socket;
    if (localAddress !== undefined) connection.localAddress = addressText(localAddress, localPort);
  });
  return connection;
}
