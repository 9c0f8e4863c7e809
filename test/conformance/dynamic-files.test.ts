// CDS, EDS and RDS by file, the same changes through Envoy and through us: where requests go, what `/config_dump` and the statistics say.
import { createServer, type ServerResponse } from 'node:http';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { missing } from '#testing/peers.ts';
import { expectSame, normalized, type Side } from './side-by-side.ts';

const skip = missing('envoy');
const tcp = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });
const type = (name: string) => `type.googleapis.com/envoy.${name}`;
const file = (path: string) => ({ path_config_source: { path } });
const response = (version: string, ...resources: readonly object[]) =>
  JSON.stringify({ version_info: version, resources });

const endpoints = (ports: readonly number[]) =>
  ports.map((port) => ({ lb_endpoints: [{ endpoint: { address: tcp(port) } }] }));

const fixed = (name: string, port: number, more: object = {}) => ({
  '@type': type('config.cluster.v3.Cluster'),
  name,
  load_assignment: { cluster_name: name, endpoints: endpoints([port]) },
  ...more,
});

const discovered = (name: string, more: object = {}) => ({
  '@type': type('config.cluster.v3.Cluster'),
  name,
  type: 'EDS',
  eds_cluster_config: { eds_config: file('./eds.yaml') },
  ...more,
});

const assignment = (name: string, ...ports: readonly number[]) => ({
  '@type': type('config.endpoint.v3.ClusterLoadAssignment'),
  cluster_name: name,
  endpoints: endpoints(ports),
});

const routes = (name: string, byPrefix: Record<string, string>, more: object = {}) => ({
  '@type': type('config.route.v3.RouteConfiguration'),
  name,
  virtual_hosts: [
    {
      name: 'v',
      domains: ['*'],
      routes: Object.entries(byPrefix).map(([prefix, cluster]) => ({
        match: { prefix },
        route: { cluster },
      })),
    },
  ],
  ...more,
});

const listener = {
  '@type': type('config.listener.v3.Listener'),
  name: 'l',
  address: tcp(21000),
  filter_chains: [
    {
      filters: [
        {
          name: 'envoy.filters.network.http_connection_manager',
          typed_config: {
            '@type': type('extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'),
            stat_prefix: 'in',
            rds: { route_config_name: 'r', config_source: file('./rds.yaml') },
            http_filters: [
              {
                name: 'envoy.filters.http.router',
                typed_config: { '@type': type('extensions.filters.http.router.v3.Router') },
              },
            ],
          },
        },
      ],
    },
  ],
};

const { '@type': _, ...inBootstrap } = fixed('fixed', 21200);
const bootstrap = JSON.stringify({
  node: { id: 'n', cluster: 'c' },
  admin: { address: tcp(21001) },
  dynamic_resources: { lds_config: file('./lds.yaml'), cds_config: file('./cds.yaml') },
  static_resources: { clusters: [inBootstrap] },
});

/** Upstreams that say their number, at the ports behind 21200. /held waits until somebody lets it go. */
async function upstreams(t: TestContext, side: Side): Promise<ServerResponse[]> {
  const held: ServerResponse[] = [];
  for (const i of [0, 1, 2]) {
    const server = createServer((request, answer) => {
      if (request.url === '/held') held.push(answer);
      else answer.end(`u${i}`);
    });
    server.listen(side.port(21200 + i), '127.0.0.1');
    t.after(() => {
      server.close();
      server.closeAllConnections();
    });
  }
  return held;
}

async function ask(side: Side, path: string): Promise<string> {
  const answer = await fetch(`http://127.0.0.1:${side.port(21000)}${path}`, {
    headers: { connection: 'close' },
  });
  return `${answer.status} ${answer.status === 200 ? await answer.text() : ''}`;
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(10);
}

async function sum(side: Side, stats: string): Promise<number> {
  const lines = await side.stats(stats);
  return lines.reduce((total, line) => total + Number(line.split(': ')[1]), 0);
}

const subscriptions: Record<string, string> = {
  'cds.yaml': 'cluster_manager.cds',
  'lds.yaml': 'listener_manager.lds',
  'eds.yaml': 'cluster.e',
  'rds.yaml': 'http.in.rds.r',
};

async function put(side: Side, name: string, text: string): Promise<void> {
  const looked = `^${subscriptions[name]}.update_(success|rejected|failure)$`;
  const before = await sum(side, looked);
  side.put(name, text);
  await until(async () => (await sum(side, looked)) > before);
  await until(async () => (await sum(side, '^cluster_manager.warming_clusters$')) === 0);
}

async function seen(side: Side): Promise<unknown> {
  const { configs } = JSON.parse((await side.proxy.admin('/config_dump?include_eds')).body);
  const sections = configs.filter((it: { '@type': string }) =>
    /(Clusters|Endpoints|Routes)/.test(it['@type']),
  );
  const stats = await side.stats(
    '^(cluster_manager|http.in.rds|listener_manager.lds|cluster.e.(update|member|version|assign|init))',
  );
  const several = stats.includes('cluster.e.membership_total: 2');
  return {
    dump: normalized(sections, (text, key) => (/^(last_updated|port_value)$/.test(key) ? '<any>' : text)),
    stats: stats.filter((it) => !/(_time|_time_ms|_duration|version): /.test(it)),
    clusters: (await side.proxy.admin('/clusters')).body
      .split('\n')
      .filter((it) => /added_via_api|eds_service_name/.test(it))
      .sort(),
    // Which of two it begins with is chance.
    answers: [
      await ask(side, '/a'),
      (await ask(side, '/e')).slice(0, several ? 4 : 6),
      await ask(side, '/x'),
    ],
  };
}

test('clusters, members and routes come from files and change', { skip }, async (t) => {
  const good = {
    cds: response('1', fixed('a', 21200), discovered('e')),
    eds: response('1', assignment('e', 21201)),
    rds: response('1', routes('r', { '/e': 'e', '/a': 'a', '/held': 'a', '/': 'gone' })),
  };
  const changed = discovered('e', { connect_timeout: '2s' });
  const steps: readonly (readonly [name: string, text: string])[] = [
    ['cds.yaml', response('2', fixed('a', 21201), discovered('e'), fixed('n', 21202), fixed('fixed', 21202))],
    ['rds.yaml', response('2', routes('r', { '/e': 'e', '/a': 'n', '/': 'a' }))],
    ['eds.yaml', response('2', assignment('e', 21202))],
    ['eds.yaml', response('3', assignment('x', 21202))],
    ['eds.yaml', response('4')],
    ['eds.yaml', response('5', assignment('e'))],
    ['eds.yaml', response('6', assignment('e', 21200), assignment('x', 21201))],
    ['eds.yaml', response('7', assignment('e', 21200, 21201))],
    ['eds.yaml', response('8', assignment('e', 21200, 21201))],
    ['eds.yaml', response('9', assignment('e', 21200))],
    ['cds.yaml', response('3', fixed('a', 21201), changed, fixed('n', 21202))],
    ['cds.yaml', response('4', fixed('', 21201), changed)],
    ['cds.yaml', response('5', fixed('a', 21201), fixed('a', 21202), changed)],
    [
      'cds.yaml',
      response(
        '6',
        fixed('bad', 21201, { lb_policy: 'CLUSTER_PROVIDED' }),
        fixed('ok', 21200),
        changed,
        fixed('bad2', 21201, { lb_policy: 'CLUSTER_PROVIDED' }),
      ),
    ],
    ['rds.yaml', response('3', routes('other', { '/': 'a' }))],
    ['rds.yaml', response('4')],
    ['rds.yaml', response('5', routes('r', { '/': 'ok' }), routes('r2', { '/': 'n' }))],
    ['rds.yaml', response('6', routes('r', { '/': 'nope' }, { validate_clusters: true }))],
    ['rds.yaml', '{'],
    ['rds.yaml', response('8', routes('r', { '/': 'ok' }))],
    ['rds.yaml', response('9', routes('r', { '/': 'ok' }))],
  ];
  await expectSame(
    t,
    bootstrap,
    async (side) => {
      const held = await upstreams(t, side);
      const all: unknown[] = [await seen(side)];
      // Begun with the first cluster "a", ended long after it is replaced.
      const early = ask(side, '/held');
      await until(() => held.length > 0);
      for (const [name, text] of steps) {
        await put(side, name, text);
        all.push(await seen(side));
        if (all.length === 3) {
          held[0]!.end('late');
          all.push(await early);
        }
      }
      const log = side.proxy.output
        .split('\n')
        .flatMap((it) => /[ce]ds: .*|rds: .*|cm init: .*/.exec(it)?.[0] ?? []);
      return { all, log: log.sort() };
    },
    {
      files: {
        'cds.yaml': good.cds,
        'eds.yaml': good.eds,
        'rds.yaml': good.rds,
        'lds.yaml': response('1', listener),
      },
      ports: [21201, 21202],
      logLevel: 'info',
    },
  );
});
