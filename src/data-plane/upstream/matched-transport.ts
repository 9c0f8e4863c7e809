// `transport_socket_matches`: the first entry whose values the host's metadata has gives the transport socket, else the cluster's own.
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { isDeepStrictEqual } from 'node:util';
import type { FormatContext } from '#extension/formatter.ts';
import type { Host } from '#extension/load-balancer.ts';
import type { TlsInfo } from '#extension/stream-info.ts';
import type { ObservedConnection, TransportOptions, UpstreamTransport } from '#extension/transport-socket.ts';
import type { ConnectionObserver } from '#net/connection.ts';

/** Where hosts say what they are, for this purpose. */
const filter = 'envoy.transport_socket_match';

export interface TransportMatch {
  readonly match: Readonly<Record<string, unknown>>;
  readonly transport: UpstreamTransport;
}

export class MatchedTransport implements UpstreamTransport {
  readonly isTls = true;
  readonly #matches: readonly TransportMatch[];
  readonly #otherwise: UpstreamTransport;

  constructor(matches: readonly TransportMatch[], otherwise: UpstreamTransport) {
    this.#matches = matches;
    this.#otherwise = otherwise;
  }

  wrap(
    socket: Socket,
    host: Host,
    alpn: readonly string[],
    options: TransportOptions | undefined,
  ): Socket | TLSSocket {
    return this.#of(host).wrap(socket, host, alpn, options);
  }

  greeting(
    socket: Socket,
    host: Host,
    options: TransportOptions | undefined,
    own: () => FormatContext,
  ): Buffer {
    return this.#of(host).greeting?.(socket, host, options, own) ?? noBytes;
  }

  observe(connection: ObservedConnection, host: Host): ConnectionObserver | undefined {
    return this.#of(host).observe?.(connection, host);
  }

  poolKey(options: TransportOptions): string {
    const keys = [...this.#matches.map(({ transport }) => transport), this.#otherwise].map(
      (it) => it.poolKey?.(options) ?? '',
    );
    return keys.join('').length === 0 ? '' : keys.join('\n');
  }

  #of(host: Host): UpstreamTransport {
    const metadata = host.metadata?.[filter];
    return this.#matches.find((it) => isIn(it.match, metadata))?.transport ?? this.#otherwise;
  }

  tlsInfo(socket: Socket | TLSSocket): TlsInfo | undefined {
    for (const { transport } of this.#matches) {
      const info = transport.tlsInfo(socket);
      if (info !== undefined) return info;
    }
    return this.#otherwise.tlsInfo(socket);
  }
}

const noBytes = Buffer.alloc(0);

function isIn(
  match: Readonly<Record<string, unknown>>,
  metadata: Readonly<Record<string, unknown>> | undefined,
): boolean {
  return Object.entries(match).every(
    ([name, value]) => metadata !== undefined && isDeepStrictEqual(metadata[name], value),
  );
}
