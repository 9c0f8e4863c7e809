// Plain configuration of tcp_proxy -> what its sessions share.
import { prepareAccessLogs } from '#extension/access-logger.ts';
import { compileTlvs } from '#extension/proxy-protocol-config.ts';
import { RouterStats } from '../http/http-stats.ts';
import type { DataPlaneFilterContext } from '../worker-context.ts';
import type { TcpProxyShared } from './tcp-proxy.ts';
import type { TcpProxyConfig } from './tcp-proxy-config.ts';
import { TcpProxyStats } from './tcp-proxy-stats.ts';
import { compileTunnel } from './tunnel-config.ts';

export function prepareTcpProxy(config: TcpProxyConfig, context: DataPlaneFilterContext): TcpProxyShared {
  const scope = context.stats.scope(`tcp.${config.statPrefix}`);
  // Listed by Envoy where there is a tunnel; nothing counts there.
  if (config.tunnel !== undefined) scope.scope('tcpproxy_tunneling').stats(RouterStats);
  return {
    config,
    stats: scope.stats(TcpProxyStats),
    worker: context.worker,
    accessLogs: prepareAccessLogs(config.accessLogs, context.registry, context),
    proxyTlvs: compileTlvs(config.proxyTlvs),
    tunnel: config.tunnel && compileTunnel(config.tunnel),
  };
}
