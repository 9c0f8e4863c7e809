// How the checks of one host open connections and speak on them.
import { systemClock } from '#base/clock.ts';
import type { TimerWheel } from '#base/timer-wheel.ts';
import type { FormatContext } from '#extension/formatter.ts';
import type { Registry } from '#extension/registry.ts';
import type { TransportOptions, UpstreamTransport } from '#extension/transport-socket.ts';
import type { WorkerServices } from '#extension/worker-services.ts';
import type { ClientCodec, ClientCodecOwner } from '#http/codec.ts';
import { H1ClientCodec } from '#http/h1-client-codec.ts';
import { H2Session } from '#http/h2-session.ts';
import type { Connection, ConnectionOwner } from '#net/connection.ts';
import type { Scope } from '#stats/store.ts';
import { http1Counts, http2Counts } from '../http/codec-stats.ts';
import type { ClusterConfig, HostConfig, LocalityConfig } from '../upstream/cluster-config.ts';
import { UpstreamHost } from '../upstream/host.ts';
import { transportOf } from '../upstream/matched-transport.ts';
import { clientContext, openConnection, prepareTransport } from '../upstream/open-connection.ts';
import type { TransportMatchCounts } from '../upstream/transport-matches.ts';
import type { HealthCheckConfig } from './health-check-config.ts';

/** What all checks of a cluster share. */
export class ProbeTransports {
  readonly config: ClusterConfig;
  readonly transport: UpstreamTransport;
  readonly scope: Scope;
  readonly matches: TransportMatchCounts;
  readonly timers: TimerWheel;

  /** `scope`: of the cluster. */
  constructor(
    config: ClusterConfig,
    scope: Scope,
    matches: TransportMatchCounts,
    registry: Registry,
    services: WorkerServices,
  ) {
    this.config = config;
    this.transport = prepareTransport(config, registry, services);
    this.scope = scope;
    this.matches = matches;
    this.timers = services.timers;
  }
}

export class ProbeConnections {
  readonly scheme: string;
  readonly #shared: ProbeTransports;
  readonly #check: HealthCheckConfig;
  readonly #config: HostConfig;
  readonly #host: UpstreamHost;
  readonly #options: TransportOptions | undefined;

  constructor(shared: ProbeTransports, check: HealthCheckConfig, host: HostConfig, locality: LocalityConfig) {
    const { transportSocketMatch: match, alpnProtocols } = check;
    this.#shared = shared;
    this.#check = check;
    const { isTls } = transportOf(shared.transport, new UpstreamHost(host, locality, locality.priority));
    this.scheme = isTls ? 'https' : 'http';
    this.#config =
      match === undefined ? host : { ...host, metadata: { 'envoy.transport_socket_match': match } };
    this.#host = new UpstreamHost(this.#config, locality, locality.priority);
    this.#options =
      alpnProtocols === undefined
        ? undefined
        : {
            serverName: '',
            applicationProtocols: alpnProtocols,
            subjectAltNames: [],
            proxied: undefined,
            shared: undefined,
            sharedKey: '',
          };
  }

  open(owner: ConnectionOwner): Connection {
    const { config, transport, matches } = this.#shared;
    const { healthCheck } = this.#config;
    const { ip, port } = this.#host;
    const place =
      healthCheck === undefined
        ? this.#host
        : { ip: healthCheck.address || ip, port: healthCheck.port || port };
    if (this.#check.transportSocketMatch !== undefined) matches.add(this.#config, 1);
    return openConnection(config, transport, this.#host, place, owner, [], this.#options);
  }

  newCodec(connection: Connection, owner: ClientCodecOwner, isHttp2: boolean): ClientCodec {
    const { config, scope, timers } = this.#shared;
    if (isHttp2) {
      const stats = http2Counts(scope.scope('http2'));
      return new H2Session(undefined, owner, connection, config.http.http2, stats, timers, systemClock);
    }
    const counts = http1Counts(scope.scope('http1'));
    return new H1ClientCodec(owner, connection, { ...config.http.http1, ignoresUpgrade: undefined, counts });
  }

  /** `configured`: by the check. */
  hostname(configured: string): string {
    return this.#config.healthCheck?.hostname || configured || this.#shared.config.name;
  }

  formatContext(isHttp2: boolean): FormatContext {
    const context = clientContext('127.0.0.1:0', this.#host);
    context.info.protocol = isHttp2 ? 'HTTP/2' : 'HTTP/1.1';
    return context;
  }
}
