// Makes what checks hosts over the network. Loaded with the first cluster that has health checks, as it brings the codecs with it.
import type { Registry } from '#extension/registry.ts';
import type { WorkerServices } from '#extension/worker-services.ts';
import type { Scope } from '#stats/store.ts';
import type { ClusterConfig, HostConfig, LocalityConfig } from '../upstream/cluster-config.ts';
import type { TransportMatchCounts } from '../upstream/transport-matches.ts';
import { GrpcProbe, GrpcProbeShared } from './grpc-probe.ts';
import type { CheckShared } from './host-check.ts';
import { HttpProbe, HttpProbeShared } from './http-probe.ts';
import type { Probe, ProbeOwner } from './probe.ts';
import { ProbeConnections, ProbeTransports } from './probe-connections.ts';
import { TcpProbe } from './tcp-probe.ts';

/** Of one check. */
export type MakeProbe = (host: HostConfig, locality: LocalityConfig, owner: ProbeOwner) => Probe;

/** One for each of the cluster's checks. `scope`: of the cluster. */
export function startProbes(
  cluster: ClusterConfig,
  checks: readonly CheckShared[],
  scope: Scope,
  matches: TransportMatchCounts,
  registry: Registry,
  services: WorkerServices,
): MakeProbe[] {
  const transports = new ProbeTransports(cluster, scope, matches, registry, services);
  return checks.map((check): MakeProbe => {
    const { config } = check;
    const { probe } = config;
    const connections = (host: HostConfig, locality: LocalityConfig) =>
      new ProbeConnections(transports, config, host, locality);
    if (probe.kind === 'HTTP') {
      const shared = new HttpProbeShared(probe, check);
      return (host, locality, owner) => new HttpProbe(shared, connections(host, locality), owner);
    }
    if (probe.kind === 'GRPC') {
      const shared = new GrpcProbeShared(probe, check);
      return (host, locality, owner) => new GrpcProbe(shared, connections(host, locality), owner);
    }
    return (host, locality, owner) => new TcpProbe(probe, check, connections(host, locality), owner);
  });
}
