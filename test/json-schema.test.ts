// What an editor says about real configurations, with an independent validator for JSON Schema in the editor's place.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Validator } from '@cfworker/json-schema';
import { parse } from 'yaml';
import { jsonSchema, packableTypes } from '#schema/json-schema.ts';

const golden = new URL('golden/', import.meta.url);
const validator = new Validator(jsonSchema('envoy.config.bootstrap.v3.Bootstrap') as never, '7');

/** Where the document is wrong, or undefined. */
function mistake(document: unknown): string | undefined {
  return validator.validate(document).errors.at(-1)?.instanceLocation;
}

const read = (path: string) =>
  parse(readFileSync(new URL(path, golden), 'utf8'), { version: '1.1', merge: true, uniqueKeys: false });

test('accepts every recorded configuration outside of the collection of bad ones', () => {
  const paths = globSync('**/envoy.yaml', { cwd: golden }).filter((it) => !it.startsWith('07-cli'));
  assert.ok(paths.length > 10);
  for (const path of paths) assert.equal(mistake(read(path)), undefined, path);
});

const hcm = '#/static_resources/listeners/0/filter_chains/0/filters/0/typed_config';
const refused = {
  'unknown-field': `${hcm}/stat_prefixx`,
  'unknown-field-bootstrap': '#/foo',
  'port-too-large': '#/static_resources/listeners/0/address/socket_address/port_value',
  'missing-required-stat-prefix': hcm,
  'missing-rds-or-route-config': hcm,
  'missing-route-match': `${hcm}/route_config/virtual_hosts/0/routes/0`,
  'missing-cluster-name': '#/static_resources/clusters/0',
  'prefix-and-path': `${hcm}/route_config/virtual_hosts/0/routes/0/match`,
  'bad-enum': '#/static_resources/clusters/0/lb_policy',
  'bad-duration-no-unit': '#/static_resources/clusters/0/connect_timeout',
  'wrong-type-list-for-object': '#/static_resources/listeners',
};
for (const [name, place] of Object.entries(refused))
  test(`refuses ${name} in its place`, () => assert.equal(mistake(read(`07-cli/${name}/envoy.yaml`)), place));

for (const name of [
  'validate-ok',
  'validate-ok-with-warnings',
  'yaml-string-for-number',
  'yaml-anchor-merge',
])
  test(`accepts ${name}`, () => assert.equal(mistake(read(`07-cli/${name}/envoy.yaml`)), undefined));

const withFilter = (typed_config: object) => ({
  static_resources: { listeners: [{ filter_chains: [{ filters: [{ name: 'x', typed_config }] }] }] },
});
const url = 'type.googleapis.com/';

test('looks into packed messages by their type', () => {
  const proxy = `${url}envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy`;
  assert.equal(mistake(withFilter({ '@type': proxy, stat_prefix: 'x', cluster: 'y' })), undefined);
  assert.equal(
    mistake(withFilter({ '@type': proxy, statPrefix: 'x', cluster: 'y', idleTimeout: '1s' })),
    undefined,
  );
  assert.equal(mistake(withFilter({ '@type': proxy, stat_prefix: 'x', clustr: 'y' })), `${hcm}/clustr`);
  assert.equal(mistake(withFilter({ '@type': `${proxy}y` })), `${hcm}/@type`);
  assert.equal(mistake(withFilter({ stat_prefix: 'x' })), hcm);
});

test('takes a configuration that TypedStruct wraps, and well-known types', () => {
  assert.equal(
    mistake(withFilter({ '@type': `${url}xds.type.v3.TypedStruct`, type_url: 'a', value: { b: 1 } })),
    undefined,
  );
  assert.equal(mistake(withFilter({ '@type': `${url}google.protobuf.Duration`, value: '1s' })), undefined);
  assert.equal(mistake(withFilter({ '@type': `${url}google.protobuf.Duration`, value: 1 })), `${hcm}/value`);
});

test('offers what may be packed, not all that exists', () => {
  const names = packableTypes().map((it) => it.name);
  assert.ok(names.includes('envoy.extensions.filters.http.router.v3.Router'));
  assert.ok(names.includes('envoy.config.trace.v3.ZipkinConfig'));
  assert.ok(!names.includes('envoy.config.core.v3.Address'));
});

test('knows single resources, and no message that does not exist', () => {
  const cluster = new Validator(jsonSchema('envoy.config.cluster.v3.Cluster') as never, '7');
  assert.equal(cluster.validate({ name: 'web', connect_timeout: '1s' }).valid, true);
  assert.equal(cluster.validate({ name: 'web', connect_timeot: '1s' }).valid, false);
  assert.equal(jsonSchema('envoy.config.cluster.v3.Clusters'), undefined);
});
