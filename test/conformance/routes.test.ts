// Random route tables and requests through the real Envoy and through us: the same route, redirect, rewrite and header mutations.
// Every table is a listener of one configuration, so each proxy starts once. SEED=<n> repeats a run, TABLES=<n> makes it longer.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { freePorts } from '#testing/free-ports.ts';
import { missing } from '#testing/peers.ts';
import { type ProxyKind, startProxyProcess } from '#testing/proxy-process.ts';

const seed = Number(process.env.SEED ?? 1) >>> 0;
const tables = Number(process.env.TABLES ?? 12);
const requestsPerTable = 60;

let state = seed;
function random(below: number): number {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
}
const pick = <T>(list: readonly T[]): T => list[random(list.length)]!;
const chance = (percent: number): boolean => random(100) < percent;
const some = <T>(count: number, make: () => T): T[] => Array.from({ length: random(count + 1) }, make);

type Json = Record<string, unknown>;

const segments = ['a', 'ab', 'abc', 'B', 'x.y', 'a-b', '1', '22', 'api', 'ü'];
function path(): string {
  let text = '';
  for (let i = random(3); i >= 0; i--) text += `/${pick(segments)}`;
  return text + pick(['', '', '/']);
}

const regexes = [
  '/a.*',
  '/[a-c]+/.*',
  '(/api|/ab)/?',
  '/.*/1',
  '.*b',
  '/(?:a|B)(/\\d+)*',
  '(?i)/AB/.*',
  '/[^/]+',
  '/x\\.y.*',
];
const hosts = [
  'a.com',
  'www.a.com',
  'b.a.com',
  'c-b.a.com',
  'www.org',
  'www.a.org',
  'a.com:8080',
  'A.COM',
  '[::1]',
  '[::1]:80',
  'x',
];
const domains = ['a.com', '*.a.com', '*-b.a.com', 'www.*', 'www.a.*', 'a.com:8080', '[::1]', '*.com'];
const headerValues = ['1', '2', '10', '-5', 'abc', 'ABC', 'abc,1', '', '1,2'];
const headerNames = ['x-a', 'x-b', 'X-C'];

function stringMatch(): Json {
  const value = pick(['1', '10', 'abc', 'AB', 'c', '1,2']);
  const kind = pick(['exact', 'prefix', 'suffix', 'contains', 'safe_regex']);
  if (kind === 'safe_regex')
    return { safe_regex: { regex: pick(['[0-9]+', 'a.c', '(?i)abc', '.*,.*', '']) || '1' } };
  return { [kind]: value, ...(chance(30) ? { ignore_case: true } : {}) };
}

function headerMatcher(): Json {
  const name = pick([...headerNames, ':method', ':authority', 'host', ':path']);
  const matcher: Json = { name };
  const kind = random(6);
  if (kind === 0) matcher.present_match = chance(50);
  else if (kind === 1) matcher.range_match = { start: pick([-10, 0, 1]), end: pick([2, 10, 11]) };
  else if (kind === 2) matcher.exact_match = pick(headerValues) || 'x';
  else matcher.string_match = stringMatch();
  if (chance(25)) matcher.invert_match = true;
  if (chance(25)) matcher.treat_missing_header_as_empty = true;
  return matcher;
}

function match(): Json {
  const made: Json = {};
  const kind = random(8);
  if (kind < 3) made.prefix = chance(20) ? '/' : path();
  else if (kind < 5) made.path = path();
  else if (kind === 5) made.path_separated_prefix = path().replace(/\/$/, '');
  else if (kind === 6) made.safe_regex = { regex: pick(regexes) };
  else
    made.path_match_policy = {
      name: 'm',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig',
        path_template: pick(['/{a}/{b=**}', '/api/*/{c}', '/{a}', '/a/**']),
      },
    };
  if (kind < 6 && chance(25)) made.case_sensitive = false;
  if (chance(35)) made.headers = some(2, headerMatcher);
  if (chance(25))
    made.query_parameters = some(2, () => ({
      name: pick(['q', 'r', 'qq']),
      ...(chance(50) ? { present_match: chance(70) } : { string_match: stringMatch() }),
    }));
  if (chance(15))
    made.cookies = [
      {
        name: pick(['id', 'sid']),
        string_match: stringMatch(),
        ...(chance(40) ? { invert_match: true } : {}),
      },
    ];
  if (chance(5)) made.grpc = {};
  if (chance(5)) made.tls_context = pick([{ presented: false }, { presented: true }, { validated: false }]);
  return made;
}

function headersToAdd(): Json[] {
  return some(2, () => ({
    header: {
      key: pick(['x-a', 'x-new', 'x-level', 'X-Other']),
      value:
        pick([
          'v1',
          'v2',
          '%REQ(:PATH)%',
          '%REQ(x-a)%',
          'p-%REQ(x-none)%',
          '%%',
          '%PROTOCOL%',
          '%ROUTE_NAME%',
          '',
        ]) || 'v',
    },
    append_action: pick([
      'APPEND_IF_EXISTS_OR_ADD',
      'ADD_IF_ABSENT',
      'OVERWRITE_IF_EXISTS_OR_ADD',
      'OVERWRITE_IF_EXISTS',
    ]),
    ...(chance(30) ? { keep_empty_value: true } : {}),
  }));
}

function mutations(): Json {
  const made: Json = {};
  if (chance(30)) made.request_headers_to_add = headersToAdd();
  if (chance(20)) made.request_headers_to_remove = some(2, () => pick(['x-b', 'X-C', 'x-new']));
  if (chance(30)) made.response_headers_to_add = headersToAdd();
  if (chance(20)) made.response_headers_to_remove = some(2, () => pick(['x-up', 'x-level']));
  return made;
}

const substitutes = () => ({
  pattern: { regex: pick(['^/([^/]+)/(.*)$', 'a', '/b*', '(?i)ab', '^/(\\w+)']) },
  substitution: pick(['/x', '/r\\1', '\\0\\0', '\\\\']),
});

function route(name: string): Json {
  const made: Json = { name, match: match(), ...mutations() };
  const isTemplate = 'path_match_policy' in (made.match as Json);
  const kind = random(10);
  if (kind === 0) made.direct_response = { status: pick([200, 404, 503]), body: { inline_string: name } };
  else if (kind < 4) made.redirect = redirect(isTemplate);
  else made.route = action(isTemplate);
  return made;
}

function redirect(isTemplate: boolean): Json {
  const made: Json = {};
  if (chance(30)) made.https_redirect = true;
  else if (chance(20)) made.scheme_redirect = 'ftp';
  if (chance(30)) made.host_redirect = pick(['new.com', 'new.com:81']);
  if (chance(20)) made.port_redirect = pick([8443, 80, 443]);
  const kind = random(5);
  if (kind === 0) made.path_redirect = pick(['/p', '/p?z=1']);
  else if (kind === 1 && !isTemplate) made.prefix_rewrite = '/new';
  else if (kind === 2) made.regex_rewrite = substitutes();
  else if (kind === 3) made.path_rewrite = pick(['/f', '/f?%REQ(:METHOD)%', '%REQ(x-none)%', '/%PROTOCOL%']);
  if (chance(30)) made.strip_query = true;
  made.response_code = pick([
    'MOVED_PERMANENTLY',
    'FOUND',
    'SEE_OTHER',
    'TEMPORARY_REDIRECT',
    'PERMANENT_REDIRECT',
  ]);
  return made;
}

function action(isTemplate: boolean): Json {
  const made: Json = {};
  const kind = random(5);
  if (kind === 0) made.cluster_header = 'x-cluster';
  else if (kind === 1)
    made.weighted_clusters = {
      header_name: 'x-random',
      clusters: [
        { name: 'up', weight: 40, ...mutations() },
        { name: 'nowhere', weight: 20, ...mutations() },
        {
          name: 'up',
          weight: 40,
          ...mutations(),
          ...(chance(30) ? { host_rewrite_literal: 'weighted.com' } : {}),
        },
      ],
    };
  else made.cluster = pick(['up', 'up', 'up', 'nowhere']);
  if (chance(20)) made.cluster_not_found_response_code = pick(['NOT_FOUND', 'INTERNAL_SERVER_ERROR']);
  if (chance(25) && !isTemplate) made.prefix_rewrite = pick(['/', '/new', '/new/']);
  else if (chance(20)) made.regex_rewrite = substitutes();
  const host = random(7);
  if (host === 0) made.host_rewrite_literal = 'literal.com';
  else if (host === 3)
    made.host_rewrite = pick(['made-%REQ(x-a)%.com', '%REQ(x-b)%', '%PROTOCOL%', 'plain.com']);
  else if (host === 1) made.host_rewrite_header = 'x-a';
  else if (host === 2)
    made.host_rewrite_path_regex = { pattern: { regex: '^/([^/]+).*$' }, substitution: 'h-\\1' };
  if (chance(30)) made.append_x_forwarded_host = true;
  return made;
}

function table(name: string): Json {
  const chosen = domains.filter(() => chance(60));
  if (chance(80)) chosen.push('*');
  if (chosen.length === 0) chosen.push('a.com');
  return {
    name,
    ...mutations(),
    most_specific_header_mutations_wins: chance(50),
    ignore_port_in_host_matching: chance(30),
    ignore_path_parameters_in_path_matching: chance(30),
    validate_clusters: false,
    virtual_hosts: chosen.map((domain, i) => ({
      name: `${name}-${i}`,
      domains: [domain],
      require_tls: chance(8) ? pick(['EXTERNAL_ONLY', 'ALL']) : 'NONE',
      include_request_attempt_count: chance(20),
      ...mutations(),
      routes: Array.from({ length: 1 + random(12) }, (_, j) => route(`${name}-${i}-${j}`)),
    })),
  };
}

interface Asked {
  readonly table: number;
  readonly method: string;
  readonly path: string;
  readonly headers: readonly string[];
}

function ask(index: number): Asked {
  const query = chance(50)
    ? `?${some(3, () => `${pick(['q', 'r', 'qq', 's'])}${pick(['', '=1', '=abc', '=10'])}`).join('&')}`
    : '';
  const headers = ['host', pick(hosts)];
  for (let i = random(4); i > 0; i--) headers.push(pick(['x-a', 'x-b', 'x-c']), pick(headerValues));
  if (chance(70)) headers.push('x-cluster', pick(['up', 'up', 'none']));
  if (chance(70)) headers.push('x-random', String(random(1000)));
  else headers.push('x-random', '5');
  if (chance(30))
    headers.push('cookie', pick(['id=1', 'id=abc; sid=10', 'sid="1"', 'sid=; id=ABC', 'x=id=1']));
  if (chance(10))
    headers.push('content-type', pick(['application/grpc', 'application/grpc+json', 'application/grpcx']));
  const asked = encodeURI(path() + pick(['', '', ';p=1', ';p/a'])) + query;
  const method = pick(['GET', 'POST', 'DELETE']);
  if (method !== 'GET') headers.push('content-length', '0');
  return { table: index, method, path: asked, headers };
}

const manager = (config: Json, name: string) => ({
  name: 'envoy.filters.network.http_connection_manager',
  typed_config: {
    '@type':
      'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    stat_prefix: name,
    generate_request_id: false,
    route_config: config,
    http_filters: [
      {
        name: 'envoy.filters.http.router',
        typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
      },
    ],
  },
});

const address = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });

const agent = new Agent({ keepAlive: true });

/** The status and everything that the routes decide, one line each. */
function answerTo(port: number, asked: Asked): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const { method, path, headers } = asked;
    const sent = request({ host: '127.0.0.1', port, method, path, headers, agent }, (response) => {
      let body = '';
      response.setEncoding('latin1');
      response.on('data', (text) => {
        body += text;
      });
      response.on('end', () => {
        const lines = [`${response.statusCode}`];
        for (let i = 0; i < response.rawHeaders.length; i += 2) {
          const name = response.rawHeaders[i]!;
          if (name !== 'date' && name !== 'x-envoy-upstream-service-time')
            lines.push(`${name}: ${response.rawHeaders[i + 1]}`);
        }
        // The order of headers that nobody repeats does not matter.
        resolve([lines[0]!, ...lines.slice(1).sort(), ...body.split('\n')]);
      });
    });
    sent.on('error', reject);
    sent.end();
  });
}

test(`random routes, seed ${seed}`, { skip: missing('envoy'), timeout: 120_000 }, async (t) => {
  const upstream = createServer((request, response) => {
    const lines = [];
    for (let i = 0; i < request.rawHeaders.length; i += 2)
      lines.push(`> ${request.rawHeaders[i]}: ${request.rawHeaders[i + 1]}`);
    response.setHeader('x-up', '1');
    response.setHeader('x-level', 'upstream');
    response.end([`> ${request.method} ${request.url}`, ...lines.sort()].join('\n'));
  });
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    agent.destroy();
    upstream.close();
  });
  const upstreamPort = (upstream.address() as AddressInfo).port;

  const configs = Array.from({ length: tables }, (_, i) => table(`t${i}`));
  const requests = configs.flatMap((_, i) => Array.from({ length: requestsPerTable }, () => ask(i)));

  const start = async (kind: ProxyKind) => {
    const folder = mkdtempSync(join(tmpdir(), `routes-${kind}-`));
    t.after(() => rmSync(folder, { recursive: true }));
    const [adminPort, ...ports] = await freePorts(tables + 1);
    const bootstrap = {
      admin: { address: address(adminPort!) },
      static_resources: {
        listeners: configs.map((config, i) => ({
          name: `l${i}`,
          address: address(ports[i]!),
          filter_chains: [{ filters: [manager(config, `l${i}`)] }],
        })),
        clusters: [
          {
            name: 'up',
            connect_timeout: '1s',
            load_assignment: {
              cluster_name: 'up',
              endpoints: [{ lb_endpoints: [{ endpoint: { address: address(upstreamPort) } }] }],
            },
          },
        ],
      },
    };
    const proxy = await startProxyProcess({
      kind,
      folder,
      yaml: JSON.stringify(bootstrap),
      adminPort: adminPort!,
      ...(kind === 'chancery' ? { listenerPort: ports[ports.length - 1]! } : {}),
      arguments: [
        '--concurrency',
        '1',
        '-l',
        'warning',
        ...(kind === 'envoy' ? ['--use-dynamic-base-id'] : []),
      ],
    });
    t.after(() => proxy.stop());
    return ports;
  };
  const envoy = await start('envoy');
  const ours = await start('chancery');

  const differences: string[] = [];
  for (const asked of requests) {
    const [expected, actual] = await Promise.all([
      answerTo(envoy[asked.table]!, asked),
      answerTo(ours[asked.table]!, asked),
    ]);
    const hide = (lines: string[], port: number) => lines.join('\n').replaceAll(`:${port}`, ':PORT');
    const want = hide(expected, envoy[asked.table]!);
    const got = hide(actual, ours[asked.table]!);
    if (want !== got) differences.push(`${JSON.stringify(asked)}\n--- Envoy\n${want}\n--- chancery\n${got}`);
  }
  const first = differences[0] ?? '';
  const config =
    first === '' ? '' : JSON.stringify(configs[JSON.parse(first.slice(0, first.indexOf('\n'))).table]);
  assert.equal(
    differences.length,
    0,
    `${differences.length} of ${requests.length} answers differ (SEED=${seed}); the first:\n${first}\n${config}`,
  );
});
