// `Cluster` -> everything that is made of it, for the main thread and for workers.
import type { ParseContext } from '#config/parse-context.ts';
import type { Registry } from '#extension/registry.ts';
import type { Cluster } from '#schema/messages/envoy/config/cluster/v3.ts';
import { parseHealthChecks } from '../health-check/health-check-config.ts';
import type { ClusterSource } from './managed-cluster.ts';
import { parseCluster } from './parse-cluster.ts';
import { parseDiscovery } from './parse-discovery.ts';
import type { AskedResolvers } from './parse-resolvers.ts';

/** `resolvers`: those of the bootstrap. */
export function parseClusterSource(
  message: Cluster,
  at: ParseContext,
  registry: Registry,
  resolvers: AskedResolvers,
): ClusterSource {
  return {
    message,
    config: parseCluster(message, at, registry),
    discovery: parseDiscovery(message, at, resolvers),
    healthChecks: parseHealthChecks(message, at),
  };
}
