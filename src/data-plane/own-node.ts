// What this proxy says of itself to control planes and services, and on its admin pages.
import type { Registry } from '#extension/registry.ts';
import type { Bootstrap } from '#schema/messages/envoy/config/bootstrap/v3.ts';
import type { Node } from '#schema/messages/envoy/config/core/v3.ts';
import { message } from '#schema/registry.ts';

/** Envoy's categories of the kinds of extensions. */
const categories: Readonly<Record<string, string>> = {
  http_filter: 'envoy.filters.http',
  network_filter: 'envoy.filters.network',
  listener_filter: 'envoy.filters.listener',
  udp_listener_filter: 'envoy.filters.udp_listener',
  upstream_transport_socket: 'envoy.transport_sockets.upstream',
  downstream_transport_socket: 'envoy.transport_sockets.downstream',
  load_balancer: 'envoy.load_balancing_policies',
  access_logger: 'envoy.access_loggers',
};

/** The bootstrap's node, with what we are. */
export function ownNode({ node }: Bootstrap, registry: Registry, version: string): Node {
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
    category: categories[kind] ?? kind,
    type_urls: typeof type === 'string' ? (type === '' ? [] : [type]) : type,
  }));
}
