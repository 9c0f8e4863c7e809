// HTTP filters that ask a service, through the real Envoy and through us: what the service is asked, what the upstream and the client
// get, what is counted and logged.
import { once } from 'node:events';
import { createServer, request as httpRequest, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import type { GrpcRecorder } from './grpc-recorder.ts';
import { expectSame, normalized, type Side } from './side-by-side.ts';

export const typeUrl = (name: string) => `type.googleapis.com/envoy.${name}`;

export interface HttpCase {
  /** Of the listener and of the filter's statistics; the service may answer by it (header x-case). */
  readonly name: string;
  /** The filter's configuration; undefined: `filters` are all there is. */
  readonly filters: readonly { readonly name: string; readonly typed_config: object }[];
  readonly route?: object;
  readonly virtualHost?: object;
  readonly manager?: object;
  readonly networkFilters?: readonly object[];
  readonly loggers?: readonly object[];
  readonly request?: {
    readonly method?: string;
    readonly path?: string;
    readonly headers?: Readonly<Record<string, string | string[]>>;
    readonly body?: string | readonly string[];
    readonly trailers?: Readonly<Record<string, string>>;
  };
  /** How often the request is sent; once unless said. */
  readonly times?: number;
  /** How often the service is asked, when that may be after the answer. */
  readonly calls?: number;
}

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: string;
}

export type HttpAnswer = {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly body?: string;
};

/** Keeps what it was asked. */
export class HttpRecorder {
  readonly requests: SeenRequest[] = [];
  readonly #server: Server;
  port = 0;

  constructor(answer: (request: SeenRequest) => HttpAnswer | 'never') {
    this.#server = createServer(async (incoming, response) => {
      const request = await seen(incoming);
      this.requests.push(request);
      const given = answer(request);
      if (given === 'never') return;
      response.writeHead(given.status, given.headers ?? {});
      response.end(given.body ?? '');
    });
    this.#server.keepAliveTimeout = 60_000;
  }

  async start(t: TestContext): Promise<this> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    this.port = (this.#server.address() as AddressInfo).port;
    t.after(() => {
      this.#server.closeAllConnections();
      this.#server.close();
    });
    return this;
  }
}

async function seen(incoming: IncomingMessage): Promise<SeenRequest> {
  incoming.setEncoding('latin1');
  let body = '';
  for await (const chunk of incoming) body += chunk;
  return {
    method: incoming.method!,
    path: incoming.url!,
    headers: joined(incoming.rawHeaders),
    body,
  };
}

function joined(raw: readonly string[]): Record<string, string> {
  const headers: Record<string, string> = {};
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!.toLowerCase();
    headers[name] = name in headers ? `${headers[name]} | ${raw[i + 1]}` : raw[i + 1]!;
  }
  return headers;
}

const address = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });

const logFormat =
  '%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %DYNAMIC_METADATA(envoy.filters.http.ext_authz)% %DYNAMIC_METADATA(envoy.filters.http.ratelimit)%\n';

function yamlOf(
  cases: readonly HttpCase[],
  ports: Readonly<Record<string, number>>,
  runtime: Readonly<Record<string, unknown>>,
): string {
  const cluster = (name: string, port: number) => ({
    name,
    connect_timeout: '2s',
    ...(name === 'service' && {
      typed_extension_protocol_options: {
        'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
          '@type': typeUrl('extensions.upstreams.http.v3.HttpProtocolOptions'),
          explicit_http_config: { http2_protocol_options: {} },
        },
      },
    }),
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: address(port) } }] }],
    },
    ...(name === 'upstream' && { metadata: { filter_metadata: { 'of.cluster': { a: 'of the cluster' } } } }),
  });
  return JSON.stringify({
    node: { id: 'id', cluster: 'local', metadata: { labels: { a: 'b', n: 1 } } },
    admin: { address: address(21001) },
    layered_runtime: {
      layers: [
        {
          name: 'static',
          static_layer: {
            off: false,
            on: true,
            ratelimit: { never: { http_filter_enabled: 0 } },
            ...runtime,
          },
        },
      ],
    },
    static_resources: {
      listeners: cases.map((it, i) => ({
        name: it.name,
        address: address(21100 + i),
        filter_chains: [
          {
            filters: [
              ...(it.networkFilters ?? []),
              {
                name: 'hcm',
                typed_config: {
                  '@type': typeUrl(
                    'extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
                  ),
                  stat_prefix: it.name,
                  generate_request_id: false,
                  access_log: [
                    ...(it.loggers ?? []),
                    {
                      name: 'file',
                      typed_config: {
                        '@type': typeUrl('extensions.access_loggers.file.v3.FileAccessLog'),
                        path: `${it.name}.log`,
                        log_format: { text_format_source: { inline_string: logFormat } },
                      },
                    },
                  ],
                  route_config: {
                    name: 'routes',
                    virtual_hosts: [
                      {
                        name: 'all',
                        domains: ['*'],
                        routes: [
                          {
                            match: { prefix: '/' },
                            route: { cluster: 'upstream' },
                            metadata: { filter_metadata: { 'of.route': { a: 'of the route' } } },
                            ...it.route,
                          },
                        ],
                        ...it.virtualHost,
                      },
                    ],
                  },
                  http_filters: [
                    ...it.filters,
                    {
                      name: 'router',
                      typed_config: { '@type': typeUrl('extensions.filters.http.router.v3.Router') },
                    },
                  ],
                  ...it.manager,
                },
              },
            ],
          },
        ],
      })),
      clusters: [
        ...Object.entries(ports).map(([name, port]) => cluster(name, port)),
        // Nobody listens there.
        cluster('refused', 21999),
      ],
    },
  });
}

async function ask(port: number, request: NonNullable<HttpCase['request']>): Promise<unknown> {
  const outgoing = httpRequest({
    host: '127.0.0.1',
    port,
    method: request.method ?? 'GET',
    path: request.path ?? '/',
    headers: { host: 'host.test', ...request.headers } as never,
    agent: false,
  });
  if (request.trailers !== undefined) outgoing.addTrailers(request.trailers);
  const parts = typeof request.body === 'string' ? [request.body] : (request.body ?? []);
  for (const part of parts) outgoing.write(part);
  outgoing.end();
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  let body = '';
  response.setEncoding('latin1');
  for await (const chunk of response) body += chunk;
  const headers = joined(response.rawHeaders);
  delete headers.date;
  return { status: response.statusCode, headers, body };
}

/** Times and ids that differ from run to run, and counts of bytes that depend on them. */
function fixed(text: string, key: string): string {
  if (/^(time_to_|duration|start_time)|wire_bytes|_headers_bytes$|^downstream_header_bytes_sent$/.test(key))
    return 'some';
  switch (key) {
    case 'id':
      return 'ID';
    case 'time':
    case 'date':
      return 'TIME';
    case 'x-ratelimit-reset':
    case 'retry-after':
      // Seconds pass on a busy machine.
      return String(Math.ceil(Number(text) / 10) * 10);
    case 'x-envoy-upstream-service-time':
    case 'ext_authz_duration':
      return '0';
    default:
      return text;
  }
}

export interface Services {
  readonly grpc?: GrpcRecorder<never, never>;
  readonly http?: HttpRecorder;
}

export interface Observed {
  readonly cases: readonly {
    readonly name: string;
    readonly answers: readonly { readonly status: number; readonly body: string }[];
  }[];
}

export async function compareHttp(
  t: TestContext,
  cases: readonly HttpCase[],
  services: Services,
  stats: string,
  runtime: Readonly<Record<string, unknown>> = {},
): Promise<Observed> {
  const upstream = await new HttpRecorder(() => ({
    status: 200,
    headers: { 'x-upstream': 'yes' },
    body: 'from upstream',
  })).start(t);
  await services.grpc?.start(t);
  await services.http?.start(t);
  const ports = {
    upstream: upstream.port,
    ...(services.grpc && { service: services.grpc.port }),
    ...(services.http && { http_service: services.http.port }),
  };
  const yaml = yamlOf(cases, ports, runtime);
  return expectSame(t, yaml, (side) => observe(side, cases, services, upstream, stats)) as never;
}

async function observe(
  side: Side,
  cases: readonly HttpCase[],
  { grpc, http }: Services,
  upstream: HttpRecorder,
  stats: string,
): Promise<unknown> {
  const observed: unknown[] = [];
  for (let i = 0; i < cases.length; i++) {
    const { name, request = {}, calls = 0, times = 1 } = cases[i]!;
    const port = side.port(21100 + i);
    if (grpc !== undefined) grpc.calls.length = 0;
    if (http !== undefined) http.requests.length = 0;
    upstream.requests.length = 0;
    const answers: unknown[] = [];
    for (let j = 0; j < times; j++) answers.push(await ask(port, request));
    if (grpc !== undefined) await grpc.untilCalled(calls);
    observed.push(
      normalized(
        { name, answers, calls: grpc?.calls ?? [], asked: http?.requests ?? [], upstream: upstream.requests },
        (text, key) =>
          key === 'port_value' ? (text === String(port) ? 'listener' : 'client') : fixed(text, key),
      ),
    );
  }
  const counted = await side.stats(stats);
  await side.stop();
  const logs = cases.map(
    ({ name }) =>
      `${name}: ${side
        .lines(`${name}.log`)
        .join('\n')
        .replace(/"ext_authz_duration":[\d.]+/, '"ext_authz_duration":0')}`,
  );
  return { cases: observed, stats: counted, logs };
}
