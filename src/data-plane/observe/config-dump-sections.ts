// What `/config_dump` shows of the bootstrap and of everything static in it. Dynamic resources register their own sections.
import type { ConfigDumpSection } from '#admin/owners.ts';
import type { Bootstrap } from '#schema/messages/envoy/config/bootstrap/v3.ts';
import type { Node } from '#schema/messages/envoy/config/core/v3.ts';

interface Named {
  readonly name: string;
}

const prefix = 'type.googleapis.com/';

/** `node`: ours, as `/server_info` shows it. `acceptedMs`: the wall clock when the bootstrap was accepted. */
export function staticSections(bootstrap: Bootstrap, node: Node, acceptedMs: number): ConfigDumpSection[] {
  const last_updated = timestamp(acceptedMs);
  const { clusters = [], listeners = [], secrets = [] } = bootstrap.static_resources ?? {};
  const wrapped = (field: string, type: string, list: readonly Named[], matches: (name: string) => boolean) =>
    list
      .filter(({ name }) => matches(name))
      .map((it) => ({ [field]: { '@type': prefix + type, ...it }, last_updated }));

  return [
    {
      order: 0,
      type: 'envoy.admin.v3.BootstrapConfigDump',
      dump: () => ({ bootstrap: { ...bootstrap, node }, last_updated }),
    },
    {
      order: 10,
      type: 'envoy.admin.v3.ClustersConfigDump',
      dump: (matches) => ({
        static_clusters: wrapped(
          'cluster',
          'envoy.config.cluster.v3.Cluster',
          clusters.toSorted(byName),
          matches,
        ),
      }),
    },
    ...(hasConnectionManager(listeners)
      ? [
          { order: 50, type: 'envoy.admin.v3.ScopedRoutesConfigDump', dump: () => ({}) },
          {
            order: 60,
            type: 'envoy.admin.v3.RoutesConfigDump',
            dump: (matches: (name: string) => boolean) => ({
              static_route_configs: wrapped(
                'route_config',
                'envoy.config.route.v3.RouteConfiguration',
                inlineRouteConfigs(listeners),
                matches,
              ),
            }),
          },
        ]
      : []),
    {
      order: 70,
      type: 'envoy.admin.v3.SecretsConfigDump',
      dump: (matches) => ({
        static_secrets: secrets
          .filter(({ name }) => matches(name))
          .map((secret) => ({
            name: secret.name,
            last_updated,
            secret: { '@type': `${prefix}envoy.extensions.transport_sockets.tls.v3.Secret`, ...secret },
          })),
      }),
    },
  ];
}

/** `assignments`: envoy.config.endpoint.v3.ClusterLoadAssignment of every cluster, as it is now. */
export function endpointsSection(assignments: () => readonly object[]): ConfigDumpSection {
  return {
    order: 30,
    type: 'envoy.admin.v3.EndpointsConfigDump',
    isEndpoints: true,
    dump: (matches) => ({
      static_endpoint_configs: assignments()
        .filter((it) => matches((it as { readonly cluster_name: string }).cluster_name))
        .map((it) => ({
          endpoint_config: { '@type': `${prefix}envoy.config.endpoint.v3.ClusterLoadAssignment`, ...it },
        })),
    }),
  };
}

function byName(a: Named, b: Named): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

/** Without one nothing has to do with routes, and nothing is said of them. */
function hasConnectionManager(listeners: readonly object[]): boolean {
  let isFound = false;
  visitPacked(listeners, (type) => {
    isFound ||= type.endsWith('.HttpConnectionManager');
  });
  return isFound;
}

/** The `route_config` of every connection manager, however deep its filter chain stands. */
function inlineRouteConfigs(listeners: readonly object[]): Named[] {
  const found: Named[] = [];
  visitPacked(listeners, (type, value) => {
    if (!type.endsWith('.HttpConnectionManager')) return;
    const { route_config } = value as { readonly route_config?: Named };
    if (route_config !== undefined) found.push(route_config);
  });
  return found;
}

export function timestamp(ms: number): { readonly seconds: number; readonly nanos: number } {
  return { seconds: Math.floor(ms / 1000), nanos: (ms % 1000) * 1_000_000 };
}

/** Calls `visit` with every packed message below `value`. */
export function visitPacked(value: unknown, visit: (type: string, value: object) => void): void {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return;
  const type = (value as { readonly '@type'?: unknown })['@type'];
  if (typeof type === 'string') visit(type, value);
  for (const it of Array.isArray(value) ? value : Object.values(value)) visitPacked(it, visit);
}
