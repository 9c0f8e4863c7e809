// Compiled with everything else, run by nothing: what TypeScript has to refuse in a configuration, and what it has to accept. A line that
// wrongly passes makes its `@ts-expect-error` an error.
import { bootstrap, cluster, create, listener, message, packed } from 'chancery/schema';

export const accepted = bootstrap({
  static_resources: {
    listeners: [
      {
        name: 'http',
        address: { socket_address: { address: '::', port_value: 8080 } },
        filter_chains: [
          {
            filters: [
              {
                name: 'hcm',
                typed_config: {
                  '@type':
                    'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
                  stat_prefix: 'ingress',
                  codec_type: 'AUTO',
                  route_config: {
                    virtual_hosts: [
                      {
                        name: 'all',
                        domains: ['*'],
                        routes: [{ match: { prefix: '/' }, route: { cluster: 'web', timeout: '0.25s' } }],
                      },
                    ],
                  },
                  http_filters: [
                    {
                      name: 'router',
                      typed_config: packed('envoy.extensions.filters.http.router.v3.Router', {}),
                    },
                  ],
                },
              },
            ],
          },
        ],
      },
    ],
    clusters: [
      {
        name: 'web',
        connect_timeout: { seconds: 1, nanos: 0 },
        ring_hash_lb_config: { minimum_ring_size: 1024 },
        metadata: { filter_metadata: { 'envoy.lb': { canary: true, weights: [1, null] } } },
        transport_socket: undefined,
      },
    ],
  },
});

// @ts-expect-error a field that does not exist
cluster({ name: 'web', lb_polcy: 'MAGLEV' });
// @ts-expect-error a value that the enum does not have
cluster({ lb_policy: 'ROUND_ROBBIN' });
// @ts-expect-error two members of a oneof
cluster({ type: 'STATIC', cluster_type: { name: 'x' } });
// @ts-expect-error a duration without its unit
cluster({ connect_timeout: '5' });
// @ts-expect-error a single value where a list belongs
cluster({ health_checks: { timeout: '1s' } });
// @ts-expect-error text where a number belongs
listener({ address: { socket_address: { address: '::', port_value: '80' } } });
// @ts-expect-error a field of a message without fields
packed('envoy.extensions.upstreams.http.http.v3.HttpConnectionPoolProto', { x: 1 });

listener({
  filter_chains: [
    {
      filters: [
        {
          name: 'echo',
          typed_config: {
            '@type': 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
            // @ts-expect-error a field that this packed message does not have
            stat_prefx: 'x',
          },
        },
      ],
    },
  ],
});

listener({
  listener_filters: [
    {
      name: 'x',
      typed_config: {
        // @ts-expect-error a type that does not exist
        '@type': 'type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspecter',
      },
    },
  ],
});

// What is read has its defaults, and knows what may be absent.
const read = create('envoy.config.cluster.v3.Cluster', {});
export const name: string = read.name;
// @ts-expect-error may be absent
export const seconds: number = read.connect_timeout.seconds;
// @ts-expect-error a message that was read is not changed
read.name = 'x';
export const field = message('envoy.config.cluster.v3.Cluster').create().lb_policy satisfies string;
