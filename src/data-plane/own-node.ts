// What this proxy says of itself to control planes and services, and on its admin pages.
import type { Registry } from '#extension/registry.ts';
import type { CommandLineOptions } from '#schema/messages/envoy/admin/v3.ts';
import type { Bootstrap } from '#schema/messages/envoy/config/bootstrap/v3.ts';
import type { Node } from '#schema/messages/envoy/config/core/v3.ts';
import { message } from '#schema/registry.ts';

/** Envoy's categories of the kinds of extensions. */
const categories: Readonly<Record<string, string>> = {
  http_filter: 'envoy.filters.http',
  network_filter: 'envoy.filters.network',
  listener_filter: 'envoy.filters.listener',
  udp_filter: 'envoy.filters.udp_listener',
  upstream_transport_socket: 'envoy.transport_sockets.upstream',
  downstream_transport_socket: 'envoy.transport_sockets.downstream',
  load_balancer: 'envoy.load_balancing_policies',
  access_logger: 'envoy.access_loggers',
  early_header_mutation: 'envoy.http.early_header_mutation',
  original_ip_detection: 'envoy.http.original_ip_detection',
  request_id: 'envoy.request_id',
  retry_host_predicate: 'envoy.retry_host_predicates',
  retry_priority: 'envoy.retry_priorities',
  internal_redirect_predicate: 'envoy.internal_redirect_predicates',
};

export function categoryOf(kind: string): string {
  return categories[kind] ?? kind;
}

/** A node, where the command line has no other names for it. */
export function namedNode(node: Node, options: CommandLineOptions): Node {
  const { service_node: id, service_cluster: cluster, service_zone: zone } = options;
  return Object.assign(message('envoy.config.core.v3.Node').create(), node, {
    ...(id !== '' && { id }),
    ...(cluster !== '' && { cluster }),
    ...(zone !== '' && {
      locality: Object.assign(message('envoy.config.core.v3.Locality').create(), node.locality, { zone }),
    }),
  });
}

/** The bootstrap's node, with what we are. */
export function describedNode({ node }: Bootstrap, registry: Registry, version: string): Node {
  const [revision = '', release = '', status = '', build = '', tls = ''] = version.split('/');
  const [major_number = 0, minor_number = 0, patch = 0] = release.split('.').map(Number);
  return Object.assign(message('envoy.config.core.v3.Node').create(), node, {
    user_agent_name: 'envoy',
    user_agent_build_version: {
      version: { major_number, minor_number, patch },
      metadata: {
        'revision.sha': revision,
        'revision.status': status,
        'build.type': build,
        'ssl.version': tls,
      },
    },
    extensions: extensionsOf(registry),
  });
}

export function extensionsOf(registry: Registry) {
  return registry.all.map(({ kind, name, type }) => ({
    name,
    category: categoryOf(kind),
    type_urls: typeof type === 'string' ? (type === '' ? [] : [type]) : type,
  }));
}
