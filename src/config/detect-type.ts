// What a file holds that may be a bootstrap, a discovery response or a single resource.

import type { MessageType } from '#schema/descriptor.ts';
import { message as messageType } from '#schema/registry.ts';
import { type Tree, TreeMap } from './tree.ts';

export const bootstrapName: string = 'envoy.config.bootstrap.v3.Bootstrap';
export const discoveryResponseName: string = 'envoy.service.discovery.v3.DiscoveryResponse';
const anyName: string = 'google.protobuf.Any';

/** Resources that may stand alone in a file, most likely first. */
const resourceNames = [
  bootstrapName,
  discoveryResponseName,
  'envoy.config.bootstrap.v3.Bootstrap.StaticResources',
  'envoy.config.bootstrap.v3.Bootstrap.DynamicResources',
  'envoy.config.cluster.v3.Cluster',
  'envoy.config.listener.v3.Listener',
  'envoy.config.route.v3.RouteConfiguration',
  'envoy.config.endpoint.v3.ClusterLoadAssignment',
  'envoy.extensions.transport_sockets.tls.v3.Secret',
  'envoy.config.route.v3.ScopedRouteConfiguration',
  'envoy.config.route.v3.VirtualHost',
  'envoy.service.runtime.v3.Runtime',
  'envoy.config.core.v3.TypedExtensionConfig',
  'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
];

/** By its `@type`, or by whose fields fit best. */
export function detectType(tree: Tree): MessageType {
  const bootstrap = messageType(bootstrapName)!;
  if (!(tree instanceof TreeMap)) return bootstrap;
  // An Any: the reader says what is wrong with an unknown type.
  if (typeof tree.get('@type') === 'string') return messageType(anyName)!;
  let best = bootstrap;
  let bestScore = 0;
  for (const name of resourceNames) {
    const type = messageType(name)!;
    let score = 0;
    for (const key of tree.keys) if (type.field(key) ?? type.fieldByJsonName(key)) score++;
    if (score > bestScore) {
      best = type;
      bestScore = score;
    }
  }
  return best;
}
