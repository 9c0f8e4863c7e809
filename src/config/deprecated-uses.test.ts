// The numbers are those of Envoy 1.40 for the same configurations.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { frontProxyYaml } from '#testing/start-proxy.ts';
import { deprecatedUses } from './deprecated-uses.ts';
import { loadBootstrap } from './load.ts';

const matcher = { name: 'x', exact_match: 'y' };
const type = (name: string) => `type.googleapis.com/envoy.extensions.${name}`;
const log = {
  name: 'log',
  typed_config: { '@type': type('access_loggers.file.v3.FileAccessLog'), path: 'a.log', format: 'x' },
};
const options = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

interface Parts {
  readonly cluster?: object;
  readonly manager?: object;
  readonly match?: object;
  readonly route?: object;
  readonly admin?: object;
}

async function uses({ cluster, manager, match, route, admin }: Parts): Promise<number> {
  const bootstrap = JSON.parse(frontProxyYaml({ to: 1 }));
  const config = bootstrap.static_resources.listeners[0].filter_chains[0].filters[0].typed_config;
  const [own] = config.route_config.virtual_hosts[0].routes;
  Object.assign(bootstrap.static_resources.clusters[0], cluster);
  Object.assign(config, manager);
  Object.assign(own.match, match);
  Object.assign(own, route);
  Object.assign(bootstrap.admin, admin);
  return deprecatedUses((await loadBootstrap({ yaml: JSON.stringify(bootstrap) })).problems);
}

test('deprecated fields count by where they stand', async () => {
  assert.equal(await uses({}), 0);
  assert.equal(await uses({ cluster: { http2_protocol_options: {} } }), 0);
  assert.equal(await uses({ match: { headers: [matcher, matcher] } }), 4);
  assert.equal(await uses({ manager: { access_log: [log] } }), 1);
  const filter = { header_filter: { header: matcher } };
  assert.equal(await uses({ manager: { access_log: [{ ...log, filter }] } }), 3);
  const fault = { '@type': type('filters.http.fault.v3.HTTPFault'), headers: [matcher] };
  assert.equal(await uses({ route: { typed_per_filter_config: { fault } } }), 1);
  const http = {
    '@type': `type.googleapis.com/${options}`,
    explicit_http_config: { http_protocol_options: {} },
    retry_policy: { retriable_headers: [matcher] },
  };
  assert.equal(await uses({ cluster: { typed_extension_protocol_options: { [options]: http } } }), 1);
  assert.equal(await uses({ admin: { access_log_path: '/dev/null' } }), 1);
});
