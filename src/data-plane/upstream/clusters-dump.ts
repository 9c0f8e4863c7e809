// Clusters and their members as `/config_dump` shows them.
import type { ConfigDumpSection } from '#admin/owners.ts';
import { timestamp } from '../observe/config-dump-sections.ts';
import type { ManagedCluster } from './managed-cluster.ts';

const prefix = 'type.googleapis.com/';

/** `version`: of the last response of CDS. */
export function clustersSection(
  active: () => readonly ManagedCluster[],
  warming: () => readonly ManagedCluster[],
  version: () => string,
): ConfigDumpSection {
  return {
    order: 10,
    type: 'envoy.admin.v3.ClustersConfigDump',
    dump(matches) {
      const shown = (list: readonly ManagedCluster[], isStatic: boolean) =>
        list
          .filter((it) => it.isStatic === isStatic && matches(it.name))
          .toSorted(byName)
          .map((it) => ({
            ...(!isStatic && { version_info: it.version }),
            cluster: { '@type': `${prefix}envoy.config.cluster.v3.Cluster`, ...it.source.message },
            last_updated: timestamp(it.updatedMs),
          }));
      return {
        version_info: version(),
        static_clusters: shown(active(), true),
        dynamic_active_clusters: shown(active(), false),
        dynamic_warming_clusters: shown(warming(), false),
      };
    },
  };
}

/** `assignment`: envoy.config.endpoint.v3.ClusterLoadAssignment of a cluster, as it is now. */
export function endpointsSection(
  clusters: () => readonly ManagedCluster[],
  assignment: (cluster: ManagedCluster) => { readonly cluster_name: string },
): ConfigDumpSection {
  return {
    order: 30,
    type: 'envoy.admin.v3.EndpointsConfigDump',
    isEndpoints: true,
    dump(matches) {
      const shown = (isStatic: boolean) =>
        clusters()
          .filter((it) => it.isStatic === isStatic)
          .map(assignment)
          .filter((it) => matches(it.cluster_name))
          .map((it) => ({
            endpoint_config: { '@type': `${prefix}envoy.config.endpoint.v3.ClusterLoadAssignment`, ...it },
          }));
      return { static_endpoint_configs: shown(true), dynamic_endpoint_configs: shown(false) };
    },
  };
}

function byName(a: ManagedCluster, b: ManagedCluster): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}
