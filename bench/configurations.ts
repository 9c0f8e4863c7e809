// The same service, written for each proxy: listen here, forward there.

export interface Service {
  readonly port: number;
  readonly adminPort: number;
  readonly upstreamPort: number;
  /** What clients speak on clear text, chosen by preface where the proxy can. */
  readonly tls?: { readonly certificate: string; readonly key: string; readonly alpn: 'h2' | 'http/1.1' };
  readonly upstream?: 'h1' | 'h2';
  /** Bytes as they are, whatever they mean: tcp_proxy. */
  readonly tcp?: boolean;
  readonly filters?: boolean;
  /** A log file, in the default format. */
  readonly accessLog?: string;
  /** So many prefix routes before the one that is used. */
  readonly routes?: number;
  readonly virtualHosts?: number;
  readonly clusters?: number;
  /** Also for datagrams. */
  readonly udp?: boolean;
}

/** For Envoy and chancery. */
export function envoyYaml(service: Service): string {
  const action = { cluster: 'up', timeout: '15s' };
  const routes = [];
  for (let i = 0; i < (service.routes ?? 0); i++)
    routes.push({ match: { prefix: `/service-${i}/api` }, route: action });
  routes.push({ match: { prefix: '/' }, route: action });
  const hosts = [];
  for (let i = 0; i < (service.virtualHosts ?? 0); i++)
    hosts.push({ name: `host-${i}`, domains: [`host-${i}.example.com`], routes });
  if (hosts.length === 0) hosts.push({ name: 'all', domains: ['*'], routes });
  const clusters = [cluster('up', service.upstreamPort, service.upstream === 'h2')];
  for (let i = 1; i < (service.clusters ?? 0); i++)
    clusters.push(cluster(`cluster-${i}`, service.upstreamPort, false));
  const manager = {
    '@type': type('filters.network.http_connection_manager.v3.HttpConnectionManager'),
    stat_prefix: 'ingress',
    codec_type: 'AUTO',
    route_config: { name: 'routes', virtual_hosts: hosts },
    http_filters: [
      ...(service.filters ? fiveFilters : []),
      { name: 'envoy.filters.http.router', typed_config: { '@type': type('filters.http.router.v3.Router') } },
    ],
    ...(service.accessLog ? { access_log: [fileLog(service.accessLog)] } : {}),
  };
  const tcp = {
    '@type': type('filters.network.tcp_proxy.v3.TcpProxy'),
    stat_prefix: 'ingress',
    cluster: 'up',
  };
  const chain = {
    filters: [
      service.tcp
        ? { name: 'envoy.filters.network.tcp_proxy', typed_config: tcp }
        : { name: 'envoy.filters.network.http_connection_manager', typed_config: manager },
    ],
    ...(service.tls ? { transport_socket: downstreamTls(service.tls) } : {}),
  };
  // JSON is YAML, and every proxy here reads it.
  return JSON.stringify(
    {
      admin: { address: address(service.adminPort) },
      static_resources: {
        listeners: [
          { name: 'listener', address: address(service.port), filter_chains: [chain] },
          ...(service.udp ? [udpListener(service.port)] : []),
        ],
        clusters,
      },
    },
    null,
    1,
  );
}

function udpListener(port: number) {
  const { socket_address } = address(port);
  return {
    name: 'udp',
    address: { socket_address: { ...socket_address, protocol: 'UDP' } },
    listener_filters: [
      {
        name: 'envoy.filters.udp_listener.udp_proxy',
        typed_config: {
          '@type': type('filters.udp.udp_proxy.v3.UdpProxyConfig'),
          stat_prefix: 'udp',
          cluster: 'up',
        },
      },
    ],
  };
}

const type = (name: string) => `type.googleapis.com/envoy.extensions.${name}`;
const address = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });

function cluster(name: string, port: number, http2: boolean) {
  return {
    name,
    type: 'STATIC',
    connect_timeout: '1s',
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: address(port) } }] }],
    },
    ...(http2
      ? {
          typed_extension_protocol_options: {
            'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
              '@type': type('upstreams.http.v3.HttpProtocolOptions'),
              explicit_http_config: { http2_protocol_options: {} },
            },
          },
        }
      : {}),
  };
}

function downstreamTls({ certificate, key, alpn }: NonNullable<Service['tls']>) {
  return {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': type('transport_sockets.tls.v3.DownstreamTlsContext'),
      common_tls_context: {
        alpn_protocols: alpn === 'h2' ? ['h2', 'http/1.1'] : ['http/1.1'],
        tls_certificates: [{ certificate_chain: { filename: certificate }, private_key: { filename: key } }],
      },
    },
  };
}

function fileLog(path: string) {
  return {
    name: 'envoy.access_loggers.file',
    typed_config: { '@type': type('access_loggers.file.v3.FileAccessLog'), path },
  };
}

/** Five filters that let every request pass. */
const fiveFilters = [
  { name: 'envoy.filters.http.cors', typed_config: { '@type': type('filters.http.cors.v3.Cors') } },
  {
    name: 'envoy.filters.http.fault',
    typed_config: {
      '@type': type('filters.http.fault.v3.HTTPFault'),
      abort: { http_status: 503, percentage: { numerator: 0, denominator: 'HUNDRED' } },
    },
  },
  {
    name: 'envoy.filters.http.header_mutation',
    typed_config: {
      '@type': type('filters.http.header_mutation.v3.HeaderMutation'),
      mutations: {
        request_mutations: [{ append: { header: { key: 'x-bench', value: '1' } } }],
        response_mutations: [{ remove: 'x-secret' }],
      },
    },
  },
  {
    name: 'envoy.filters.http.rbac',
    typed_config: {
      '@type': type('filters.http.rbac.v3.RBAC'),
      rules: {
        action: 'DENY',
        policies: {
          admin: {
            permissions: [{ url_path: { path: { prefix: '/admin' } } }],
            principals: [{ any: true }],
          },
        },
      },
    },
  },
  {
    name: 'envoy.filters.http.local_ratelimit',
    typed_config: {
      '@type': type('filters.http.local_ratelimit.v3.LocalRateLimit'),
      stat_prefix: 'limit',
      token_bucket: { max_tokens: 1_000_000, tokens_per_fill: 1_000_000, fill_interval: '0.1s' },
      filter_enabled: { default_value: { numerator: 100, denominator: 'HUNDRED' } },
      filter_enforced: { default_value: { numerator: 100, denominator: 'HUNDRED' } },
    },
  },
];

/** nginx as the proxy; undefined where it cannot do what is asked. */
export function nginxProxy(service: Service, clientSpeaksH2: boolean): string | undefined {
  if (
    service.tcp ||
    service.udp ||
    service.upstream === 'h2' ||
    service.filters ||
    service.routes ||
    service.virtualHosts ||
    service.clusters
  )
    return undefined;
  const listen = `listen 127.0.0.1:${service.port}${service.tls ? ' ssl' : ''}${clientSpeaksH2 ? ' http2' : ''} reuseport;`;
  const tls = service.tls
    ? `ssl_certificate ${service.tls.certificate}; ssl_certificate_key ${service.tls.key}; ssl_session_cache off;`
    : '';
  return nginxFrame(`
    upstream up { server 127.0.0.1:${service.upstreamPort}; keepalive 256; keepalive_requests 1000000000; }
    server {
      ${listen} ${tls}
      location / {
        proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";
        proxy_max_temp_file_size 0; proxy_request_buffering off;
      }
    }`);
}

/** haproxy as the proxy; undefined where it cannot do what is asked. */
export function haproxyProxy(service: Service, clientSpeaksH2: boolean): string | undefined {
  const { udp, filters, routes, virtualHosts, clusters } = service;
  if (udp || filters || routes || virtualHosts || clusters) return undefined;
  const pem = service.tls ? `ssl crt ${service.tls.certificate}.pem alpn ${service.tls.alpn}` : '';
  const proto = !service.tls && clientSpeaksH2 ? 'proto h2' : '';
  return `
global
  nbthread 1
  maxconn 8000
defaults
  mode ${service.tcp ? 'tcp' : 'http'}
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  ${service.tcp ? '' : 'http-reuse always'}
frontend f
  bind 127.0.0.1:${service.port} ${pem} ${proto}
  default_backend b
backend b
  server s 127.0.0.1:${service.upstreamPort} ${service.upstream === 'h2' ? 'proto h2' : ''}
`;
}

/** nginx as the upstream, from memory. */
export function nginxUpstream(port: number, http2: boolean, folder: string): string {
  return nginxFrame(`
    server {
      listen 127.0.0.1:${port}${http2 ? ' http2' : ''};
      default_type text/plain;
      location /big { root ${folder}; }
      # Answers once the whole body was read: a plain return would answer before.
      location /upload {
        client_body_buffer_size 2m; proxy_pass_request_body off; proxy_set_header Content-Length "";
        proxy_pass http://127.0.0.1:${port}/;
      }
      location / { return 200 "hello, world\\n"; }
    }`);
}

function nginxFrame(body: string): string {
  return `
daemon off; worker_processes 1; pid nginx.pid; error_log stderr crit;
events { worker_connections 16000; }
http {
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; client_max_body_size 0; sendfile on; tcp_nodelay on;
  client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
  ${body}
}
`;
}
