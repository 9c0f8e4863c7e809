// A proxy as a black box for a test: a configuration with ports 21xxx, rewritten to free ones; stopped with the test.
// PROXY=envoy runs the same test against the real Envoy, which proves the test.
import type { TestContext } from 'node:test';
import { freePorts } from '#testing/free-ports.ts';
import { missing } from '#testing/peers.ts';
import { type ProxyKind, type ProxyProcess, startProxyFor } from '#testing/proxy-process.ts';

export const proxyKind: ProxyKind = process.env.PROXY === 'envoy' ? 'envoy' : 'chancery';

/** For the `skip` of a test that runs against either. */
export const proxyMissing: string | false = proxyKind === 'envoy' && missing('envoy');

/** For either proxy: one worker, and access logs that are written soon. */
export const quickLogs: readonly string[] = [
  ...['--concurrency', '1', '--use-dynamic-base-id'],
  ...['--file-flush-interval-msec', '20', '-l', 'error'],
];

export interface BlackBox {
  readonly proxy: ProxyProcess;
  /** The port that stands for a port of the configuration. */
  readonly port: (written: number) => number;
}

/** Free ports for all ports 21xxx of a configuration and of other texts. Upstreams may listen on theirs before the proxy starts. */
export async function portsFor(yaml: string, others: readonly string[] = []): Promise<Ports> {
  const pattern = /(?<!\d)21\d{3}(?!\d)/g;
  const written = [...new Set([yaml, ...others].join(' ').match(pattern) ?? [])].map(Number);
  const free = await freePorts(written.length);
  const port = (it: number) => free[written.indexOf(it)]!;
  const rewrite = (text: string) => text.replace(pattern, (it) => String(port(Number(it))));
  return { yaml: rewrite(yaml), port, rewrite };
}

/** Puts `name` for a port, where that is a number of its own: its digits may stand inside other numbers, decimal or in hex. */
export function withoutPort(text: string, port: number, name: string): string {
  return text.replace(new RegExp(`(?<![\\da-f])${port}(?![\\da-f])`, 'g'), name);
}

export interface Ports {
  readonly yaml: string;
  readonly port: (written: number) => number;
  /** Of other texts with the same ports. */
  readonly rewrite: (text: string) => string;
}

export async function startBlackBox(
  t: TestContext,
  yaml: string,
  ports: { readonly admin: number; readonly listener: number },
  environment: Readonly<Record<string, string>> = {},
): Promise<ProxyProcess> {
  return startProxyFor(t, {
    kind: proxyKind,
    yaml,
    adminPort: ports.admin,
    listenerPort: ports.listener,
    arguments: ['--concurrency', '1', '--use-dynamic-base-id', '-l', 'error', '--drain-time-s', '1'],
    environment,
  });
}

/** One listener on 21000 that forwards everything to 21201, over HTTP/2 when asked. Admin on 21001. */
export function forwardingYaml(
  options: { http2Upstream?: boolean; manager?: string; cluster?: string; route?: string } = {},
): string {
  return `
admin: { address: { socket_address: { address: 127.0.0.1, port_value: 21001 } } }
static_resources:
  listeners:
    - name: listener
      address: { socket_address: { address: 127.0.0.1, port_value: 21000 } }
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: ingress
                ${options.manager ?? ''}
                route_config:
                  name: routes
                  virtual_hosts:
                    - name: all
                      domains: ['*']
                      routes: [{ match: { prefix: / }, route: { cluster: up, ${options.route ?? 'timeout: 0s'} } }]
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: { '@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
  clusters:
    - name: up
      type: STATIC
      connect_timeout: 2s
      ${options.cluster ?? ''}
      load_assignment:
        cluster_name: up
        endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 21201 } } } }] }]
      ${
        options.http2Upstream
          ? `typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          '@type': type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config: { http2_protocol_options: {} }`
          : ''
      }
`;
}
