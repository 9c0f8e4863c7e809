// The transport of a cluster with `transport_socket_matches`.
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { FormatContext } from '#extension/formatter.ts';
import type { Host } from '#extension/load-balancer.ts';
import type { TlsInfo } from '#extension/stream-info.ts';
import type { ObservedConnection, TransportOptions, UpstreamTransport } from '#extension/transport-socket.ts';
import type { ConnectionObserver } from '#net/connection.ts';
import { matchOf } from './transport-matches.ts';

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
    return this.of(host).wrap(socket, host, alpn, options);
  }

  greeting(
    socket: Socket,
    host: Host,
    options: TransportOptions | undefined,
    own: () => FormatContext,
  ): Buffer {
    return this.of(host).greeting?.(socket, host, options, own) ?? noBytes;
  }

  observe(connection: ObservedConnection, host: Host): ConnectionObserver | undefined {
    return this.of(host).observe?.(connection, host);
  }

  poolKey(options: TransportOptions): string {
    const keys = [...this.#matches.map(({ transport }) => transport), this.#otherwise].map(
      (it) => it.poolKey?.(options) ?? '',
    );
    return keys.join('').length === 0 ? '' : keys.join('\n');
  }

  /** Undefined: of no host in particular. */
  of(host: Host | undefined): UpstreamTransport {
    return (host && matchOf(this.#matches, host.metadata)?.transport) ?? this.#otherwise;
  }

  tlsInfo(socket: Socket | TLSSocket): TlsInfo | undefined {
    for (const { transport } of this.#matches) {
      const info = transport.tlsInfo(socket);
      if (info !== undefined) return info;
    }
    return this.#otherwise.tlsInfo(socket);
  }
}

/** The one that a host, or any that no match knows, has. */
export function transportOf(transport: UpstreamTransport, host: Host | undefined): UpstreamTransport {
  return transport instanceof MatchedTransport ? transport.of(host) : transport;
}

const noBytes = Buffer.alloc(0);
