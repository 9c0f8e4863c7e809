// Active health checks beside the real Envoy: what checks send, what becomes of hosts by the answers, and what statistics, events, `/clusters`
// and `/config_dump` say of it.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2';
import { createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { missing } from '#testing/peers.ts';
import { expectSame, normalized, type Side } from './side-by-side.ts';
import { address, frontYaml, type, typed } from './side-by-side-configuration.ts';

const often = {
  timeout: '2s',
  interval: '0.1s',
  no_traffic_interval: '0.1s',
  unhealthy_threshold: 2,
  healthy_threshold: 2,
};

const events = (file: string) => [
  typed('extensions.health_check.event_sinks.file.v3.HealthCheckEventFileSink', { event_log_path: file }),
];

const endpoint = (port: number, own: object = {}) => ({ endpoint: { address: address(port), ...own } });

const cluster = (name: string, hosts: readonly object[], checks: readonly object[], own: object = {}) => ({
  name,
  connect_timeout: '1s',
  load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: hosts }] },
  health_checks: checks.map((it) => ({ ...often, event_logger: events(`${name}.log`), ...it })),
  ...own,
});

const http2 = {
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': type('extensions.upstreams.http.v3.HttpProtocolOptions'),
      explicit_http_config: { http2_protocol_options: {} },
    },
  },
};

const http = (own: object = {}) => ({ http_health_check: { path: '/check', ...own } });
const text = (it: string) => ({ text: Buffer.from(it).toString('hex') });
const added = (key: string, value: string) => ({ header: { key, value } });

/** Answers of hosts over HTTP/1 or plain TCP, by port. */
const answers: Readonly<Record<number, (socket: Socket) => void>> = {
  21201: (it) => it.write('HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nhello world'),
  21202: (it) => it.write('HTTP/1.1 503 Away\r\ncontent-length: 0\r\n\r\n'),
  21203: (it) => it.write('HTTP/1.1 429 Later\r\ncontent-length: 0\r\n\r\n'),
  21204: (it) => it.write('HTTP/1.1 200 OK\r\nx-envoy-degraded: yes\r\ncontent-length: 0\r\n\r\n'),
  21205: (it) =>
    it.write('HTTP/1.1 500 No\r\nx-envoy-immediate-health-check-fail: yes\r\ncontent-length: 0\r\n\r\n'),
  21206: (it) => it.end('HTTP/1.1 200 OK\r\n\r\nhello world'),
  21207: (it) => it.write('HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n'),
  21208: () => {},
  21209: (it) => it.destroy(),
  21210: (it) => it.write('this is not HTTP\r\n\r\n'),
  21211: (it) => {
    it.write('+PO');
    setImmediate(() => it.write('NG\r\n'));
  },
  21212: (it) =>
    it.write('HTTP/1.1 200 OK\r\nx-envoy-upstream-healthchecked-cluster: shop\r\ncontent-length: 0\r\n\r\n'),
};

const frame = (hex: string) =>
  Buffer.concat([Buffer.from([0, 0, 0, 0, hex.length / 2]), Buffer.from(hex, 'hex')]);

/** Of gRPC: ends the answer with its status. */
function answerCall(
  stream: ServerHttp2Stream,
  message: string,
  status = '0',
  contentType = 'application/grpc',
): void {
  stream.respond({ ':status': 200, 'content-type': contentType }, { waitForTrailers: true });
  stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': status }));
  stream.end(frame(message));
}

const calls: Readonly<Record<number, (stream: ServerHttp2Stream) => void>> = {
  21221: (it) => answerCall(it, '0801'),
  21222: (it) => answerCall(it, '0802'),
  21223: (it) => it.respond({ 'content-type': 'application/grpc', 'grpc-status': '12' }, { endStream: true }),
  21224: (it) => {
    it.respond({ ':status': 503 });
    it.end('away');
  },
  21225: (it) => answerCall(it, '0801', '0', 'text/plain'),
  21226: (it) => it.close(8),
  21227: (it) => answerCall(it, 'ffff'),
  21228: (it) => answerCall(it, '0801', '2'),
  21229: (it) => {
    it.respond({ ':status': 200 });
    it.end('hello');
  },
  21230: (it) => it.session?.goaway(2),
  21231: () => {},
};

const clusters = [
  cluster('plain', [endpoint(21201), endpoint(21202)], [http()]),
  cluster('named', [endpoint(21201)], [{ name: 'ready', ...http({ host: 'host.of.check' }) }]),
  cluster(
    'both',
    [endpoint(21201), endpoint(21202)],
    [
      { name: 'http', ...http() },
      { name: 'tcp', tcp_health_check: {} },
    ],
  ),
  cluster(
    'headers',
    [endpoint(21201, { hostname: 'one' })],
    [
      http({
        request_headers_to_add: [
          added('x-protocol', '%PROTOCOL%'),
          added('x-client', '%DOWNSTREAM_LOCAL_ADDRESS% %REQ(user-agent)% %UPSTREAM_METADATA(a:b)%'),
          { ...added('user-agent', 'mine'), append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' },
        ],
      }),
    ],
  ),
  cluster('without-agent', [endpoint(21201)], [http({ request_headers_to_remove: ['user-agent'] })]),
  cluster('payload', [endpoint(21201)], [http({ method: 'POST', send: text('abc') })]),
  cluster('head', [endpoint(21201)], [http({ method: 'OPTIONS' })]),
  cluster('once', [endpoint(21201)], [{ reuse_connection: false, ...http() }]),
  cluster('body', [endpoint(21201), endpoint(21206)], [http({ receive: [text('ll'), text('wor')] })]),
  cluster('other-body', [endpoint(21201)], [http({ receive: [text('wor'), text('ll')] })]),
  cluster('short-body', [endpoint(21201)], [http({ receive: [text('wo')], response_buffer_size: 6 })]),
  cluster('expected', [endpoint(21202)], [http({ expected_statuses: [{ start: 500, end: 504 }] })]),
  cluster('retriable', [endpoint(21203)], [http({ retriable_statuses: [{ start: 429, end: 430 }] })]),
  cluster('degraded', [endpoint(21204)], [http()]),
  cluster('immediate', [endpoint(21205)], [http()]),
  cluster(
    'immediate-of-two',
    [endpoint(21205)],
    [
      { name: 'a', ...http() },
      { name: 'b', tcp_health_check: {} },
    ],
  ),
  cluster('closes', [endpoint(21207)], [http()]),
  cluster('silent', [endpoint(21208)], [{ timeout: '0.2s', ...http() }]),
  cluster('broken', [endpoint(21209), endpoint(21210), endpoint(21299)], [http()]),
  cluster('service', [endpoint(21212)], [http({ service_name_matcher: { prefix: 'shop' } })]),
  cluster('other-service', [endpoint(21212)], [http({ service_name_matcher: { exact: 'bank' } })]),
  cluster(
    'elsewhere',
    [
      endpoint(21202, { health_check_config: { port_value: 21201, hostname: 'asked.otherwise' } }),
      endpoint(21209, { health_check_config: { address: address(21201) } }),
      endpoint(21208, { health_check_config: { disable_active_health_check: true } }),
    ],
    [http()],
  ),
  cluster('tcp', [endpoint(21208), endpoint(21299)], [{ tcp_health_check: {} }]),
  cluster(
    'tcp-says',
    [endpoint(21211)],
    [{ tcp_health_check: { send: text('PING'), receive: [text('PONG')] } }],
  ),
  cluster(
    'tcp-waits',
    [endpoint(21208)],
    [{ timeout: '0.2s', tcp_health_check: { send: text('PING'), receive: [text('PONG')] } }],
  ),
  cluster(
    'tcp-proxied',
    [endpoint(21211)],
    [
      {
        tcp_health_check: {
          send: text('PING'),
          receive: [text('PONG')],
          proxy_protocol_config: { version: 'V2' },
        },
      },
    ],
  ),
  cluster(
    'grpc',
    [21221, 21222, 21223, 21224, 21225, 21226, 21227, 21228, 21230, 21231].map((it) => endpoint(it)),
    [{ timeout: '0.5s', grpc_health_check: {} }],
    http2,
  ),
  cluster(
    'grpc-once',
    [endpoint(21221)],
    [
      {
        reuse_connection: false,
        grpc_health_check: {
          service_name: 'shop',
          authority: 'au.thority',
          initial_metadata: [added('x-protocol', '%PROTOCOL%')],
        },
      },
    ],
    http2,
  ),
  cluster('http2', [endpoint(21229)], [http({ codec_client_type: 'HTTP2' })]),
];

test('what checks send, and what comes of the answers', {
  skip: missing('envoy'),
  timeout: 90_000,
}, async (t) => {
  const yaml = JSON.stringify({ admin: { address: address(21001) }, static_resources: { clusters } });
  const ports = [...Object.keys(answers), ...Object.keys(calls)].map(Number);
  await expectSame(
    t,
    yaml,
    async (side) => {
      const seen = hosts.get(side.port)!;
      // Every host has been asked so often that it will not become another.
      const counts = clusters.flatMap(({ name, health_checks: checks, load_assignment: { endpoints } }) =>
        checks.map((check) => ({
          counter: `cluster.${name}.health_check.${'name' in check ? `name.${check.name}.` : ''}attempt`,
          hosts: endpoints[0]!.lb_endpoints.length,
        })),
      );
      await until(async () => {
        const { body } = await side.proxy.admin('/stats?filter=health_check.*attempt');
        const values = new Map(body.split('\n').map((line) => line.split(': ') as [string, string]));
        return counts.every(({ counter, hosts: n }) => Number(values.get(counter)) >= 4 * n);
      });
      const stats = (await side.stats('health_check|membership|total_match')).map((line) =>
        line.replace(/((?:attempt|success|failure|verify_cluster): )[1-9]\d*$/, '$1some'),
      );
      const dump = await side.proxy.admin('/config_dump?include_eds');
      const json = await side.proxy.admin('/clusters?format=json');
      const { body: metrics } = await side.proxy.admin('/stats/prometheus?filter=(both|named).health_check');
      const pages = {
        flags: withWrittenPort(side, (await side.proxy.admin('/clusters')).body).split('\n'),
        statuses: normalized(
          JSON.parse(json.body).cluster_statuses.map((it: { name: string; host_statuses: unknown[] }) => ({
            name: it.name,
            hosts: it.host_statuses.map((host) => (host as { health_status: unknown }).health_status),
          })),
          (it) => it,
        ),
        endpoints: normalized(
          JSON.parse(dump.body).configs.find((it: { '@type': string }) =>
            it['@type'].endsWith('EndpointsConfigDump'),
          ),
          (it) => withWrittenPort(side, it),
        ),
      };
      await side.stop();
      return {
        stats,
        metrics: metrics.replace(/ \d+$/gm, '').split('\n').sort(),
        pages: sortedByName(pages),
        events: clusters.map(({ name }) => eventsIn(side, `${name}.log`)),
        seen: [...seen].sort(),
      };
    },
    { ports, beforehand: (port) => startHosts(t, port) },
  );
});

test('a response fails its host, whose connections end', {
  skip: missing('envoy'),
  timeout: 60_000,
}, async (t) => {
  const check = { ...often, interval: '0.3s', ...http() };
  const up = cluster('up', [endpoint(21201)], [check], { common_lb_config: { healthy_panic_threshold: {} } });
  const filter = typed('extensions.filters.http.health_check.v3.HealthCheck', {
    pass_through_mode: false,
    cluster_min_healthy_percentages: { up: { value: 50 } },
    headers: [{ name: ':path', string_match: { exact: '/healthz' } }],
  });
  const routes = [{ match: { prefix: '/' }, route: { cluster: 'up' } }];
  const yaml = frontYaml(routes, [up], {}, {}, { filters: [filter] });
  let fails = '';
  await expectSame(
    t,
    yaml,
    async (side) => {
      fails = 'x-envoy-immediate-health-check-fail: yes\r\n';
      const first = await fetch(`http://127.0.0.1:${side.port(21000)}/`);
      fails = '';
      await until(async () => /failed_active_hc/.test((await flagsOf(side)).join()));
      const failed = {
        own: await ownHealth(side),
        flags: await flagsOf(side),
        stats: await side.stats(
          'up.(health_check.(passive|healthy)|membership|upstream_cx_(active|destroy))',
        ),
      };
      await until(async () => /::healthy/.test((await flagsOf(side)).join()));
      const own = await ownHealth(side);
      const answer = await untilAnswer(side, 200);
      await side.stop();
      return {
        first: [first.status, first.headers.get('x-envoy-immediate-health-check-fail')],
        failed,
        own,
        answer,
        events: eventsIn(side, 'up.log'),
      };
    },
    {
      beforehand: (port) =>
        listen(t, port(21201), (socket, request) => {
          const own = /^GET \/ /.test(request) ? fails : '';
          socket.write(`HTTP/1.1 200 OK\r\n${own}content-length: 0\r\n\r\n`);
        }),
    },
  );
});

test('endpoints change while checks run', { skip: missing('envoy'), timeout: 90_000 }, async (t) => {
  const source = { eds_config: { path_config_source: { path: './up.json' } } };
  const { load_assignment: _, ...up } = cluster(
    'up',
    [],
    [
      {
        interval: '0.05s',
        no_traffic_interval: '0.05s',
        unhealthy_threshold: 1,
        healthy_threshold: 1,
        ...http(),
      },
    ],
    {
      type: 'EDS',
      eds_cluster_config: source,
    },
  );
  const { event_logger: __, ...check } = up.health_checks[0]!;
  const ignoring = { ...up, name: 'ignoring', health_checks: [check], ignore_health_on_host_removal: true };
  const unchecked = {
    ...up,
    name: 'unchecked',
    health_checks: [check],
    common_lb_config: { ignore_new_hosts_until_first_hc: true },
  };
  const all = [up, ignoring, unchecked].map((it) => ({
    ...it,
    eds_cluster_config: { ...source, service_name: 'up' },
  }));
  const yaml = JSON.stringify({
    node: { id: 'it', cluster: 'here' },
    admin: { address: address(21001) },
    static_resources: { clusters: all },
  });
  const file = (...localities: readonly object[]) =>
    JSON.stringify({
      resources: [
        {
          '@type': type('config.endpoint.v3.ClusterLoadAssignment'),
          cluster_name: 'up',
          endpoints: localities,
        },
      ],
    });
  const locality = (hosts: readonly object[], own: object = {}) => ({ lb_endpoints: hosts, ...own });
  const region = { locality: { region: 'north' } };
  const first = endpoint(21201);
  const second = endpoint(21202);
  const checkedElsewhere = endpoint(21202, { health_check_config: { port_value: 21203 } });
  const uncheckedHost = endpoint(21202, { health_check_config: { disable_active_health_check: true } });
  const steps: readonly {
    readonly hosts?: string;
    readonly failing?: readonly number[];
  }[] = [
    {},
    { hosts: file(locality([first])) },
    { failing: [21202] },
    { hosts: file(locality([first, second])) },
    { failing: [] },
    { hosts: file(locality([first, second], region)) },
    {
      hosts: file(
        locality([first, { ...second, load_balancing_weight: 5, health_status: 'DEGRADED' }], region),
      ),
    },
    { hosts: file(locality([first, checkedElsewhere], region)) },
    { hosts: file(locality([first, uncheckedHost], region)) },
    { hosts: file(locality([uncheckedHost], region)) },
    { failing: [21201, 21203] },
  ];
  let failing: readonly number[] = [];
  await expectSame(
    t,
    yaml,
    async (side) => {
      failing = [];
      const seen: unknown[] = [];
      for (const { hosts: text, failing: next } of steps) {
        failing = next ?? failing;
        if (text !== undefined) side.put('up.json', text);
        seen.push(await settled(side));
      }
      return seen;
    },
    {
      files: { 'up.json': file(locality([first, second])) },
      ports: [21203],
      beforehand: async (port) => {
        failing = [];
        for (const written of [21201, 21202, 21203])
          await listen(t, port(written), (socket) => {
            const status = failing.includes(written) ? '500 No' : '200 OK';
            socket.write(`HTTP/1.1 ${status}\r\ncontent-length: 0\r\n\r\n`);
          });
      },
    },
  );
});

/** What each side's hosts saw: distinct requests. */
const hosts = new Map<(written: number) => number, Set<string>>();

async function startHosts(t: TestContext, port: (written: number) => number): Promise<void> {
  const seen = new Set<string>();
  hosts.set(port, seen);
  for (const [written, answer] of Object.entries(answers))
    await listen(t, port(Number(written)), (socket, request) => {
      // Pieces of TCP depend on the moment, requests over HTTP do not.
      if (/^[A-Z]+ \/|PING/.test(request)) seen.add(`${written} ${JSON.stringify(request)}`);
      answer(socket);
    });
  for (const [written, answer] of Object.entries(calls)) {
    const server = createHttp2Server();
    const sessions = new Set<{ destroy(): void }>();
    server.on('session', (it) => sessions.add(it));
    server.on('sessionError', () => {});
    server.on('stream', (stream, headers) => {
      const body: Buffer[] = [];
      stream.on('error', () => {});
      stream.on('data', (it: Buffer) => body.push(it));
      stream.on('end', () => {
        const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
        seen.add(`${written} ${lines.sort().join(', ')} ${Buffer.concat(body).toString('hex')}`);
        answer(stream as ServerHttp2Stream);
      });
    });
    server.listen(port(Number(written)), '127.0.0.1');
    await once(server, 'listening');
    t.after(() => {
      for (const it of sessions) it.destroy();
      server.close();
    });
  }
}

async function listen(
  t: TestContext,
  port: number,
  answer: (socket: Socket, request: string) => void,
): Promise<void> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', (bytes) => answer(socket, bytes.toString('latin1')));
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const it of sockets) it.destroy();
    server.close();
  });
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  const endMs = Date.now() + 20_000;
  while (!(await holds())) {
    assert.ok(Date.now() < endMs, 'it did not come to that');
    await sleep(20);
  }
}

/** What is said of hosts, once that stays the same over several rounds of checks. */
async function settled(side: Side): Promise<object> {
  const filter =
    'cluster.*(health_check.(healthy|degraded)|membership|update_(no_rebuild|success)|max_host_weight)';
  const look = async () => ({ flags: (await flagsOf(side)).sort(), stats: await side.stats(filter) });
  let last = await look();
  for (let same = 0; same < 12; same++) {
    await sleep(30);
    const next = await look();
    if (!isDeepStrictEqual(next, last)) same = 0;
    last = next;
  }
  return last;
}

/** Workers learn of a change within the merge window. */
async function untilAnswer(side: Side, status: number): Promise<number> {
  let last = 0;
  await until(async () => {
    const answer = await fetch(`http://127.0.0.1:${side.port(21000)}/`);
    last = answer.status;
    return last === status;
  });
  return last;
}

/** What the health_check filter answers. It knows of a change before load balancing does. */
async function ownHealth(side: Side): Promise<number> {
  return (await fetch(`http://127.0.0.1:${side.port(21000)}/healthz`)).status;
}

/** A line for each host, in the order of the page, which for clusters is any. */
async function flagsOf(side: Side): Promise<string[]> {
  const { body } = await side.proxy.admin('/clusters');
  const lines = body.split('\n').filter((line) => /::(?:health_flags|weight|region)::/.test(line));
  return lines.map((line) => withWrittenPort(side, line));
}

/** Without time, and each port as it is written; checks of several hosts end in any order. */
function eventsIn(side: Side, file: string): string[] {
  return side
    .lines(file)
    .filter((line) => line !== '')
    .map((line) => withWrittenPort(side, line.replace(/"timestamp":"[^"]*"/, '"timestamp":""')))
    .sort();
}

function withWrittenPort(side: Side, text: string): string {
  let written = text;
  for (const port of writtenPorts) written = written.replaceAll(String(side.port(port)), String(port));
  return written;
}

const writtenPorts = [
  ...new Set([21203, 21299, ...Object.keys(answers).map(Number), ...Object.keys(calls).map(Number)]),
];

function sortedByName<
  T extends { readonly flags: string[]; readonly statuses: unknown; readonly endpoints: unknown },
>(pages: T) {
  const byText = (list: unknown) =>
    (list as unknown[]).toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  const { static_endpoint_configs: endpoints } = pages.endpoints as { static_endpoint_configs: unknown[] };
  return { flags: pages.flags.toSorted(), statuses: byText(pages.statuses), endpoints: byText(endpoints) };
}
