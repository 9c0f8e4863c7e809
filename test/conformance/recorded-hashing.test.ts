// The tables of test/golden/10-lb: which host Envoy chose for each of many keys. What is played is the configuration, from its text
// to the host: the keys of hosts have ports, which a proxy that runs could not have at will.
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ConfigError } from '#config/config-error.ts';
import { loadBootstrap } from '#config/load.ts';
import { ParseContext } from '#config/parse-context.ts';
import { HashBalancer } from '#data-plane/upstream/hash-balancer.ts';
import { UpstreamHost } from '#data-plane/upstream/host.ts';
import { hostSets } from '#data-plane/upstream/host-sets.ts';
import { parseCluster, parseLoadAssignment } from '#data-plane/upstream/parse-cluster.ts';
import { TableSizes } from '#data-plane/upstream/table-sizes.ts';
import { compileHashPolicies, parseHashPolicies } from '#extension/hash-policy-config.ts';
import type { HashingPolicy, LoadBalancerExtension } from '#extension/load-balancer.ts';
import { Registry } from '#extension/registry.ts';
import { Runtime } from '#extension/runtime.ts';
import type { StreamInfo } from '#extension/stream-info.ts';
import { extensions } from '#extensions/all.ts';
import { HeaderMap } from '#http/header-map.ts';
import type { Bootstrap } from '#schema/messages/envoy/config/bootstrap/v3.ts';
import type { Route } from '#schema/messages/envoy/config/route/v3.ts';
import type { HttpConnectionManager } from '#schema/messages/envoy/extensions/filters/network/http_connection_manager/v3.ts';
import { Counter } from '#stats/metric.ts';
import { StatsStore } from '#stats/store.ts';

const golden = join(import.meta.dirname, '../golden/10-lb');
const names: Readonly<Record<string, string>> = {
  version_v1: '127.0.0.11',
  version_v2: '127.0.0.12',
  service1: '127.0.0.13',
  'service-udp': '127.0.0.14',
  jaeger: '127.0.0.15',
};

const nobody = { addresses: '', setCookie: () => {} };

for (const folder of globSync('*', { cwd: golden }).sort()) {
  test(`plays ${folder}`, async () => {
    const problems: ConfigError[] = [];
    const at = new ParseContext('', problems);
    const registry = new Registry(extensions);
    const loaded = await loadBootstrap({ file: join(golden, folder, 'envoy.yaml') });
    const { listeners, clusters } = (loaded.bootstrap as unknown as Bootstrap).static_resources!;
    const message = clusters[0]!;
    const config = parseCluster(message, at, registry);
    const localities = parseLoadAssignment(message.load_assignment, at).map((it) => ({
      ...it,
      hosts: it.hosts.map((host) => ({
        ...host,
        hostname: host.hostname || host.address,
        address: names[host.address] ?? host.address,
      })),
    }));
    const extension = registry.byName<LoadBalancerExtension<never, unknown>>(
      'load_balancer',
      config.lbPolicy.extension,
    )!;
    const policy = extension.prepare(config.lbPolicy.config, undefined as never, { activeRequests: 0 });
    const balancer = new HashBalancer(
      policy as HashingPolicy,
      config,
      { lbHealthyPanic: new Counter('') },
      new Runtime(),
    );
    const sets = hostSets(
      localities.map((it) => ({
        config: it,
        hosts: it.hosts.map((host) => new UpstreamHost(host, undefined, it.priority)),
      })),
      config.overprovisioningFactor,
      () => false,
    );
    balancer.update(sets);
    const manager = listeners[0]!.filter_chains[0]!.filters[0]!
      .typed_config as unknown as HttpConnectionManager;
    const { routes } = manager.route_config!.virtual_hosts[0]!;
    assert.deepEqual(problems, []);

    const table = JSON.parse(readFileSync(join(golden, folder, 'table.json'), 'utf8')) as Recorded[];
    for (const recorded of table) {
      const { path, headers } = requestOf(folder, recorded);
      const route = routes.find(({ match }: Route) => path.startsWith(match!.prefix!))!;
      const policies = compileHashPolicies(parseHashPolicies(route.route!.hash_policy, at))!;
      const requestHeaders = new HeaderMap();
      requestHeaders.path = path;
      for (const [name, value] of headers) requestHeaders.add(name, value);
      const streamInfo = { remoteAddress: `${recorded[0]}:4711` } as StreamInfo;
      const found = balancer.pick({
        random: 0,
        metadataMatch: undefined,
        computeHash: (into) => policies.hash({ requestHeaders, streamInfo }, nobody, into),
      });
      assert.equal(found?.address, recorded.at(-1), JSON.stringify(recorded));
    }

    const sizes = join(golden, folder, 'stats-lb.txt');
    if (!existsSync(sizes)) return;
    const { root } = new StatsStore();
    new TableSizes(config, extension.gauges!, root.scope('cluster.up'), new Runtime()).update(localities);
    const lines = extension.gauges!.names.map(
      (it) => `cluster.up.${it}: ${root.scope('cluster.up').gauge(it).value}`,
    );
    assert.deepEqual(lines.sort(), readFileSync(sizes, 'utf8').trim().split('\n').sort());
  });
}

/** The values of a request, as each recording has them, and the host. */
type Recorded = readonly (string | readonly string[] | null)[];

function requestOf(
  folder: string,
  [first, second, third]: Recorded,
): {
  readonly path: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
} {
  switch (folder) {
    case 'ring-hash-source-ip':
      return { path: '/', headers: [] };
    case 'ring-hash-query-parameter':
      return { path: `/?k=${first}`, headers: [] };
    case 'ring-hash-header-regex-and-multi':
      return { path: first as string, headers: (second as string[]).map((it) => ['x-key', it]) };
    case 'ring-hash-two-policies':
      return {
        path: first as string,
        headers: [
          ['x-a', second],
          ['x-b', third],
        ].filter((it): it is [string, string] => it[1] !== null),
      };
    default:
      return { path: '/', headers: [['x-key', first as string]] };
  }
}
