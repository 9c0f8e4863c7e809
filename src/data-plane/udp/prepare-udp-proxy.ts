// From plain configuration to a udp_proxy of one listener in one worker, and its access logs.
import { randomUUID } from 'node:crypto';
import { addressText } from '#base/address-text.ts';
import type { Uint64 } from '#base/uint64.ts';
import { latin1OfUtf8 } from '#base/utf8.ts';
import { xxHash64, xxHash64Of } from '#base/xxhash64.ts';
import { type AccessLogger, prepareAccessLogs } from '#extension/access-logger.ts';
import { AccessLogType } from '#extension/formatter.ts';
import type { MatchInput } from '#extension/matchers/matcher-tree.ts';
import { compileMatcherTree } from '#extension/matchers/matcher-tree-compile.ts';
import { ResponseFlag } from '#extension/response-flag.ts';
import type { UdpFilterContext } from '#extension/udp-filter.ts';
import { RequestInfo } from '../http/request-info.ts';
import { AcceptedConnectionInfo } from '../listener/accepted-connection.ts';
import type { Cluster } from '../upstream/cluster.ts';
import type { WorkerContext } from '../worker-context.ts';
import {
  DestinationIp,
  DestinationPort,
  SourceIp,
  SourcePort,
  type UdpAddresses,
  type UdpLogs,
  UdpProxy,
} from './udp-proxy.ts';
import type { UdpHashPolicy, UdpInput, UdpProxyConfig } from './udp-proxy-config.ts';
import { UdpClusterStats, UdpProxyStats } from './udp-proxy-stats.ts';
import type { UdpSession } from './udp-session.ts';

/** What udp_proxy prepares with: more than the contract offers. */
export interface DataPlaneUdpContext extends UdpFilterContext {
  readonly worker: WorkerContext;
}

export function prepareUdpProxy(config: UdpProxyConfig, context: DataPlaneUdpContext): UdpProxy {
  const { worker } = context;
  const stats = context.stats.scope(`udp.${config.statPrefix}`).stats(UdpProxyStats);
  const known = new WeakMap<Cluster, UdpClusterStats>();
  const clusterStats = (cluster: Cluster) => {
    let found = known.get(cluster);
    if (found === undefined) {
      found = context.stats.scope(`cluster.${cluster.config.statName}.udp`).stats(UdpClusterStats);
      known.set(cluster, found);
    }
    return found;
  };
  // Listed from the start.
  for (const name of config.clusters) {
    const cluster = worker.clusters.get(name);
    if (cluster !== undefined) clusterStats(cluster);
  }
  return new UdpProxy({
    config,
    stats,
    clusters: worker.clusters,
    timers: context.timers,
    matcher:
      typeof config.route === 'string'
        ? undefined
        : compileMatcherTree(config.route, {
            runtime: context.runtime,
            input,
            action: (cluster: string) => cluster,
          }),
    hash: config.hashPolicy && hashOf(config.hashPolicy),
    logs: new UdpAccessLogs(config, stats, context),
    clusterStats,
  });
}

function input(data: UdpInput): MatchInput<UdpAddresses> {
  switch (data) {
    case 'source_ip':
      return new SourceIp();
    case 'source_port':
      return new SourcePort();
    case 'destination_ip':
      return new DestinationIp();
    case 'destination_port':
      return new DestinationPort();
  }
}

function hashOf(policy: UdpHashPolicy): (address: string, into: Uint64) => void {
  if (policy.kind === 'source_ip') return xxHash64;
  const { high, low } = xxHash64Of(latin1OfUtf8(policy.key));
  return (_address, into) => into.set(high, low);
}

const noHeaders = { requestHeaders: undefined, responseHeaders: undefined, responseTrailers: undefined };

/** `access_log` and `proxy_access_log`. What they say is put together when a line is due. */
class UdpAccessLogs implements UdpLogs {
  readonly #session: readonly AccessLogger[];
  readonly #proxy: readonly AccessLogger[];
  readonly #stats: UdpProxyStats;
  readonly #context: UdpFilterContext;
  readonly #startMs = performance.now();

  constructor(config: UdpProxyConfig, stats: UdpProxyStats, context: UdpFilterContext) {
    this.#session = prepareAccessLogs(config.accessLogs, context.registry, context);
    this.#proxy = prepareAccessLogs(config.proxyAccessLogs, context.registry, context);
    this.#stats = stats;
    this.#context = context;
  }

  sessionEnded(session: UdpSession, isRefused: boolean): void {
    this.#log(session, isRefused, AccessLogType.UdpSessionEnd);
  }

  sessionLasts(session: UdpSession): void {
    this.#log(session, false, AccessLogType.UdpPeriodic);
  }

  proxyEnded(received: number): void {
    if (this.#proxy.length === 0) return;
    const stats = this.#stats;
    const { listenerName } = this.#context;
    const info = new RequestInfo(new AcceptedConnectionInfo(0, '', '', listenerName), this.#startMs);
    info.bytesReceived = received;
    info.bytesSent = stats.downstreamSessTxBytes.value;
    info.endMs = performance.now();
    info.dynamicMetadata = {
      'udp.proxy.proxy': {
        bytes_received: stats.downstreamSessRxBytes.value,
        bytes_sent: stats.downstreamSessTxBytes.value,
        datagrams_received: stats.downstreamSessRxDatagrams.value,
        datagrams_sent: stats.downstreamSessTxDatagrams.value,
        errors_received: stats.downstreamSessRxErrors.value,
        errors_sent: stats.downstreamSessTxErrors.value,
        idle_timeout: stats.idleTimeout.value,
        no_route: stats.downstreamSessNoRoute.value,
        session_total: stats.downstreamSessTotal.value,
      },
    };
    for (const it of this.#proxy) it.log({ ...noHeaders, info, logType: AccessLogType.NotSet });
  }

  #log(session: UdpSession, isRefused: boolean, logType: AccessLogType): void {
    if (this.#session.length === 0) return;
    const { listenerName } = this.#context;
    const { address, port, listener, cluster, host } = session;
    const local = addressText(listener.localIp(address), listener.localPort);
    const remote = addressText(address, port);
    const info = new RequestInfo(
      new AcceptedConnectionInfo(session.id, local, remote, listenerName),
      session.startMs,
    );
    if (session.streamId === '') session.streamId = randomUUID();
    info.requestId = session.streamId;
    info.bytesReceived = session.rxBytes;
    info.bytesSent = session.txBytes;
    info.endMs = performance.now();
    info.dynamicMetadata = {
      'udp.proxy.session': {
        bytes_received: session.rxBytes,
        bytes_sent: session.txBytes,
        cluster_name: cluster.config.name,
        datagrams_received: session.rxDatagrams,
        datagrams_sent: session.txDatagrams,
        errors_sent: session.txErrors,
      },
    };
    if (isRefused) info.flags |= 1 << ResponseFlag.UpstreamOverflow;
    else {
      const { upstream } = info;
      upstream.hostAddress = host.address;
      upstream.hostname = host.hostname;
      upstream.hostsAttempted = [host.address];
      upstream.detectedCloseType = 'Normal';
      const own = session.socket?.localName();
      if (own !== undefined) upstream.localAddress = addressText(own.address, own.port);
    }
    for (const it of this.#session) it.log({ ...noHeaders, info, logType });
  }
}
