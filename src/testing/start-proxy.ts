// A whole proxy inside the test's own process, from a bootstrap as users write it. Listeners may ask for port 0.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http';
import type { TestContext } from 'node:test';
import type { ConfigError } from '#config/config-error.ts';
import { loadBootstrap } from '#config/load.ts';
import { unnamedProcess } from '#data-plane/operator.ts';
import { loadRegistry, parseBootstrap, Server } from '#data-plane/server.ts';
import type { Bootstrap } from '#schema/messages/envoy/config/bootstrap/v3.ts';

export interface TestProxyOptions {
  /** Worker threads, or `inline` (the default): everything in this thread, so that a debugger sees it. */
  readonly workers?: number | 'inline';
  /** Modules that export `extensions`, beside the built-in ones: for those who write an extension. */
  readonly extensionModules?: readonly string[];
  /** Default: ten minutes, as on the command line. */
  readonly drainTimeMs?: number;
}

export interface TestAnswer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

export interface TestRequest {
  readonly method?: string;
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: string;
  /** The listener's name; the first one when absent. */
  readonly listener?: string;
}

export interface TestProxy {
  readonly server: Server;
  /** The port of a listener; of the first one without a name. */
  readonly port: (listener?: string) => number;
  /** One request on a connection of its own. Rejects when the connection is refused or breaks off. */
  readonly request: (path: string, request?: TestRequest) => Promise<TestAnswer>;
  readonly get: (path: string, headers?: OutgoingHttpHeaders) => Promise<TestAnswer>;
  /** The admin interface; the bootstrap must have one. */
  readonly admin: {
    readonly get: (path: string) => Promise<TestAnswer>;
    readonly post: (path: string) => Promise<TestAnswer>;
  };
  /** Stops it before the test ends. */
  readonly close: () => Promise<void>;
}

/** Fails with all problems when the configuration is refused. */
export async function startProxy(
  t: TestContext,
  yaml: string,
  options: TestProxyOptions = {},
): Promise<TestProxy> {
  const extensionModules = [import.meta.resolve('#extensions/all.ts'), ...(options.extensionModules ?? [])];
  const loaded = await loadBootstrap({ yaml });
  const problems: ConfigError[] = [...loaded.problems];
  const bootstrap = loaded.bootstrap as unknown as Bootstrap;
  const registry = await loadRegistry(extensionModules);
  const config = parseBootstrap(bootstrap, registry, problems);
  assert.deepEqual(
    problems.filter((it) => it.severity === 'error').map((it) => it.message),
    [],
  );
  const server = await Server.start(bootstrap, registry, config, {
    workers: options.workers ?? 'inline',
    extensionModules,
    ...(options.drainTimeMs !== undefined && {
      process: { ...unnamedProcess, drainTimeMs: options.drainTimeMs },
    }),
  });
  let closing: Promise<void> | undefined;
  const close = () => {
    closing ??= server.close();
    return closing;
  };
  t.after(close);

  const first = config.listeners[0]?.name ?? '';
  const port = (listener = first) => server.port(listener);
  const adminPort = () => {
    const address = server.operator.adminAddress();
    assert.ok(address, 'the bootstrap has no admin interface');
    return Number(address.slice(address.lastIndexOf(':') + 1));
  };
  return {
    server,
    port,
    request: (path, { listener, ...request } = {}) => ask(port(listener), path, request),
    get: (path, headers) => ask(port(), path, headers ? { headers } : {}),
    admin: {
      get: (path) => ask(adminPort(), path, {}),
      post: (path) => ask(adminPort(), path, { method: 'POST' }),
    },
    close,
  };
}

async function ask(
  port: number,
  path: string,
  { method = 'GET', headers = {}, body }: TestRequest,
): Promise<TestAnswer> {
  const request = httpRequest({ host: '127.0.0.1', port, path, method, headers, agent: false });
  request.end(body);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  let text = '';
  response.setEncoding('latin1');
  for await (const chunk of response) text += chunk;
  return { status: response.statusCode!, headers: response.headers, body: text };
}

/** One listener `front` and the admin interface, both on port 0; every request goes to that port of this machine. */
export function frontProxyYaml(options: {
  readonly to: number;
  readonly httpFilters?: readonly object[];
  readonly route?: object;
}): string {
  const address = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });
  const manager = {
    '@type':
      'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    stat_prefix: 'front',
    route_config: {
      name: 'routes',
      virtual_hosts: [
        {
          name: 'all',
          domains: ['*'],
          routes: [{ match: { prefix: '/' }, route: { cluster: 'upstream', ...options.route } }],
        },
      ],
    },
    http_filters: [
      ...(options.httpFilters ?? []),
      {
        name: 'envoy.filters.http.router',
        typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
      },
    ],
  };
  return JSON.stringify({
    admin: { address: address(0) },
    static_resources: {
      listeners: [
        {
          name: 'front',
          address: address(0),
          filter_chains: [
            { filters: [{ name: 'envoy.filters.network.http_connection_manager', typed_config: manager }] },
          ],
        },
      ],
      clusters: [
        {
          name: 'upstream',
          load_assignment: {
            cluster_name: 'upstream',
            endpoints: [{ lb_endpoints: [{ endpoint: { address: address(options.to) } }] }],
          },
        },
      ],
    },
  });
}
