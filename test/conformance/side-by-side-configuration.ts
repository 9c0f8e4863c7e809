// The parts that configurations of side-by-side tests are made of.

export const type = (name: string) => `type.googleapis.com/envoy.${name}`;

export const address = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });

/** An extension by the type of its configuration. */
export const typed = (name: string, config: object = {}) => ({
  name: 'it',
  typed_config: { '@type': type(name), ...config },
});

/** One of the `policies` of a load balancing policy. */
export const typedPolicy = (name: string, message: string, config: object = {}) => ({
  typed_extension_config: {
    name,
    typed_config: { '@type': type(`extensions.load_balancing_policies.${name}.v3.${message}`), ...config },
  },
});

/** Of a cluster. */
export const loadBalancing = (name: string, message: string, config: object = {}) => ({
  load_balancing_policy: { policies: [typedPolicy(name, message, config)] },
});

/** A connection manager without filters but `filters` and the router. */
export const connectionManager = (config: object, filters: readonly object[] = [], router: object = {}) =>
  typed('extensions.filters.network.http_connection_manager.v3.HttpConnectionManager', {
    stat_prefix: 'edge',
    ...config,
    http_filters: [...filters, typed('extensions.filters.http.router.v3.Router', router)],
  });

/** Access loggers that write lines of a format into a file of the proxy's folder. */
export const accessLog = (path: string, format: string) => [
  typed('extensions.access_loggers.file.v3.FileAccessLog', {
    path,
    log_format: { text_format_source: { inline_string: `${format}\n` } },
  }),
];

export const endpoint = (cluster: string, port: number) => ({
  cluster_name: cluster,
  endpoints: [{ lb_endpoints: [{ endpoint: { address: address(port) } }] }],
});

/** What of a front listener is rarely said. */
export interface FrontParts {
  /** In front of the router. */
  readonly filters?: readonly object[];
  readonly router?: object;
  /** Beside its routes. */
  readonly virtualHost?: object;
}

/** A bootstrap with one listener on port 21000 that has `routes`. */
export function frontYaml(
  routes: readonly object[],
  clusters: readonly object[],
  top: object = {},
  manager: object = {},
  { filters = [], router = {}, virtualHost = {} }: FrontParts = {},
): string {
  const virtual_hosts = [{ name: 'all', domains: ['*'], ...virtualHost, routes }];
  const chain = connectionManager({ ...manager, route_config: { virtual_hosts } }, filters, router);
  return JSON.stringify({
    admin: { address: address(21001) },
    ...top,
    static_resources: {
      listeners: [{ name: 'front', address: address(21000), filter_chains: [{ filters: [chain] }] }],
      clusters,
    },
  });
}
