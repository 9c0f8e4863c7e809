// Clusters that find their hosts by DNS, beside the real Envoy, with a name server that changes its mind.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, get } from 'node:http';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type NameServer, nameServer } from '#testing/name-server.ts';
import { missing } from '#testing/peers.ts';
import { withoutPort } from './black-box.ts';
import { expectSame, type Side } from './side-by-side.ts';
import { frontYaml, type } from './side-by-side-configuration.ts';

const nameServerAddress = { socket_address: { address: '127.0.0.1', port_value: 21053 } };
const cares = {
  typed_dns_resolver_config: {
    name: 'envoy.network.dns_resolver.cares',
    typed_config: {
      '@type': type('extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig'),
      resolvers: [nameServerAddress],
      dns_resolver_options: { no_default_search_domain: true },
    },
  },
};

interface DnsCluster {
  readonly names: readonly string[];
  readonly weights?: readonly number[];
  readonly fields?: object;
}

const strict = { type: 'STRICT_DNS', dns_refresh_rate: '0.3s' };
const logical = { type: 'LOGICAL_DNS', dns_refresh_rate: '0.3s' };
const v4 = { dns_lookup_family: 'V4_ONLY' };
const typed = (fields: object) => ({
  cluster_type: {
    name: 'envoy.cluster.dns',
    typed_config: {
      '@type': type('extensions.clusters.dns.v3.DnsCluster'),
      dns_refresh_rate: '0.3s',
      ...cares,
      ...fields,
    },
  },
});

const clusters: Readonly<Record<string, DnsCluster>> = {
  two: { names: ['two.test'], fields: { ...strict, ...v4 } },
  'logical-two': { names: ['two.test'], fields: { ...logical, ...v4 } },
  several: { names: ['two.test', 'one.test', '127.0.0.9'], weights: [1, 3, 1], fields: { ...strict, ...v4 } },
  grows: { names: ['grows.test'], fields: { ...strict, ...v4 } },
  'logical-grows': { names: ['grows.test'], fields: { ...logical, ...v4 } },
  turns: { names: ['turns.test'], fields: { ...strict, ...v4 } },
  'logical-turns': { names: ['turns.test'], fields: { ...logical, ...v4 } },
  goes: { names: ['goes.test'], fields: { ...strict, ...v4 } },
  'logical-goes': { names: ['goes.test'], fields: { ...logical, ...v4 } },
  comes: { names: ['comes.test'], fields: { ...strict, ...v4 } },
  'logical-comes': { names: ['comes.test'], fields: { ...logical, ...v4 } },
  breaks: { names: ['breaks.test'], fields: { ...strict, ...v4 } },
  'logical-breaks': { names: ['breaks.test'], fields: { ...logical, ...v4 } },
  never: { names: ['never.test'], fields: { ...strict, ...v4 } },
  'logical-never': { names: ['never.test'], fields: { ...logical, ...v4 } },
  fails: { names: ['fails.test'], fields: { ...strict, ...v4 } },
  'fails-slowly': {
    names: ['fails.test'],
    fields: {
      ...strict,
      ...v4,
      dns_failure_refresh_rate: { base_interval: '0.1s', max_interval: '0.2s' },
    },
  },
  'long-lived': { names: ['long.test'], fields: { ...strict, ...v4, respect_dns_ttl: true } },
  'not-lived': { names: ['zero.test'], fields: { ...strict, ...v4, respect_dns_ttl: true } },
  auto: { names: ['dual.test'], fields: strict },
  all: { names: ['dual.test'], fields: { ...strict, dns_lookup_family: 'ALL' } },
  preferred: { names: ['six.test'], fields: { ...strict, dns_lookup_family: 'V4_PREFERRED' } },
  six: { names: ['dual.test'], fields: { ...strict, dns_lookup_family: 'V6_ONLY' } },
  'four-of-six': { names: ['six.test'], fields: { ...strict, ...v4 } },
  'logical-auto': { names: ['dual.test'], fields: logical },
  'typed-strict': { names: ['two.test'], fields: typed({ dns_lookup_family: 'V4_ONLY' }) },
  'typed-logical': {
    names: ['two.test'],
    fields: typed({ dns_lookup_family: 'V4_ONLY', all_addresses_in_single_endpoint: true }),
  },
  'by-resolution-config': {
    names: ['two.test'],
    fields: {
      ...strict,
      ...v4,
      dns_resolution_config: {
        resolvers: [nameServerAddress],
        dns_resolver_options: { no_default_search_domain: true },
      },
    },
  },
};

test('clusters follow DNS as in Envoy', { skip: missing('envoy'), timeout: 90_000 }, async (t) => {
  let server: NameServer | undefined;
  const beforehand = async (port: (written: number) => number) => {
    const options = { port: port(21053), ttlSeconds: 1, ttls: { 'long.test': 600, 'zero.test': 0 } };
    server = await nameServer(t, { ...names }, options);
  };
  const observe = async (side: Side) => {
    const { table, asked } = server!;
    await upstream(t, side);
    await sleep(800);
    const before = await view(side);
    table['grows.test'] = ['127.0.0.3', '127.0.0.4'];
    table['turns.test'] = ['127.0.0.2', '127.0.0.1'];
    table['comes.test'] = ['127.0.0.6'];
    delete table['goes.test'];
    table['breaks.test'] = 'fails';
    await sleep(1000);
    const answers: Record<string, unknown> = {};
    for (const name of Object.keys(clusters)) answers[name] = await answer(side, name);
    return { before, after: await view(side), asked: [...new Set(asked)].sort(), answers };
  };
  const seen = await expectSame(t, yaml(), observe, { beforehand });
  assert.equal(seen.answers['logical-goes'], 200);
  assert.equal(seen.answers.goes, 503);
});

test('names that need no server', { skip: missing('envoy'), timeout: 60_000 }, async (t) => {
  const at = (address: string) => ({ endpoint: { address: { socket_address: { address, port_value: 7 } } } });
  const assigned = (name: string, endpoints: readonly (readonly string[])[]) => ({
    name,
    load_assignment: {
      cluster_name: name,
      endpoints: endpoints.map((it, priority) => ({ priority, lb_endpoints: it.map(at) })),
    },
  });
  const families = ['AUTO', 'V4_ONLY', 'V6_ONLY', 'V4_PREFERRED', 'ALL'] as const;
  const yaml = frontYaml(
    [],
    [
      ...families.map((family) => ({
        ...assigned(`strict ${family}`, [['localhost']]),
        ...{ type: 'STRICT_DNS', dns_lookup_family: family },
      })),
      { ...assigned('logical', [['x.localhost']]), type: 'LOGICAL_DNS' },
      { ...assigned('several', [['127.0.0.1', '127.0.0.2'], ['localhost']]), type: 'STRICT_DNS' },
    ],
  );
  await expectSame(t, yaml, async (side) => {
    const dump = '/config_dump?resource=static_endpoint_configs&include_eds';
    const names = (await side.proxy.admin('/clusters')).body
      .split('\n')
      .filter((it) => /::hostname::/.test(it));
    const { configs } = JSON.parse((await side.proxy.admin(dump)).body) as { configs: object[] };
    const stats = await side.stats('^cluster_manager|membership|update_success');
    return { names: names.sort(), configs: configs.map((it) => JSON.stringify(it)).sort(), stats };
  });
});

const names = {
  'two.test': ['127.0.0.1', '127.0.0.2'],
  'one.test': ['127.0.0.5'],
  'grows.test': ['127.0.0.3'],
  'turns.test': ['127.0.0.1', '127.0.0.2'],
  'goes.test': ['127.0.0.1'],
  'breaks.test': ['127.0.0.1'],
  'long.test': ['127.0.0.1'],
  'zero.test': ['127.0.0.1'],
  'dual.test': ['127.0.0.1', '::1'],
  'six.test': ['::1'],
  'fails.test': 'fails',
} as const;

function yaml(): string {
  const routes = Object.keys(clusters).map((name) => ({
    match: { path: `/${name}` },
    route: { cluster: name },
  }));
  return frontYaml(
    routes,
    Object.entries(clusters).map(([name, { names, weights = [], fields }]) => ({
      name,
      ...(fields !== undefined &&
        !('cluster_type' in fields) &&
        !('dns_resolution_config' in fields) &&
        cares),
      ...fields,
      wait_for_warm_on_init: false,
      load_assignment: {
        cluster_name: name,
        endpoints: [
          {
            lb_endpoints: names.map((it, i) => ({
              endpoint: { address: { socket_address: { address: it, port_value: 21201 } } },
              load_balancing_weight: weights[i] ?? 1,
            })),
          },
        ],
      },
    })),
  );
}

/** Members, and what is counted: how often is a matter of moments, whether at all is not. */
async function view(side: Side): Promise<Record<string, string[]>> {
  const seen: Record<string, string[]> = {};
  for (const name of Object.keys(clusters)) {
    const { body } = await side.proxy.admin(`/clusters?filter=^${name}$`);
    const members = body.split('\n').filter((line) => /::(hostname|weight|priority)::/.test(line));
    const stats = await side.stats(`^cluster[.]${name}[.](update_|membership|.*total_match)`);
    seen[name] = [
      ...members.sort(),
      ...stats.map((it) => it.replace(/(update_\w+|count): [1-9]\d*$/, '$1: some')),
    ].map((line) => withoutPort(line, side.port(21201), '⟨upstream⟩'));
  }
  return seen;
}

async function upstream(t: TestContext, side: Side): Promise<void> {
  const server = createServer((_request, response) => response.end());
  server.listen(side.port(21201), '::');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
}

async function answer(side: Side, name: string): Promise<number> {
  const request = get({ host: '127.0.0.1', port: side.port(21000), path: `/${name}`, agent: false });
  const [response] = await once(request, 'response');
  response.resume();
  return response.statusCode;
}
