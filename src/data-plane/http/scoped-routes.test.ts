import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConfigError } from '#config/config-error.ts';
import { ParseContext } from '#config/parse-context.ts';
import { Registry } from '#extension/registry.ts';
import { Runtime } from '#extension/runtime.ts';
import type { StreamInfo } from '#extension/stream-info.ts';
import { HeaderMap } from '#http/header-map.ts';
import { create } from '#schema/create.ts';
import { StatsStore } from '#stats/store.ts';
import { compileScopedRoutes } from './scoped-routes-compile.ts';
import { parseScopedRoutes } from './scoped-routes-config.ts';

const type = 'envoy.extensions.filters.network.http_connection_manager.v3.ScopedRoutes';

function scope(name: string, ...key: string[]) {
  return {
    name,
    key: { fragments: key.map((string_key) => ({ string_key })) },
    route_configuration: {
      name,
      virtual_hosts: [
        { name, domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'c' }, name }] },
      ],
    },
  };
}

function parse(scopes: ReturnType<typeof scope>[], problems: ConfigError[]) {
  const message = create(type, {
    name: 's',
    scope_key_builder: {
      fragments: [
        {
          header_value_extractor: {
            name: 'X-Key',
            element_separator: ';',
            element: { separator: '=', key: 'vip' },
          },
        },
        { header_value_extractor: { name: 'x-i', element_separator: ',', index: 1 } },
      ],
    },
    scoped_route_configurations_list: { scoped_route_configurations: scopes },
  });
  return parseScopedRoutes(message, new ParseContext('', problems), new Registry([]));
}

/** As the real Envoy answered. */
const asked: [string[], string | undefined][] = [
  [['x-key', 'vip=1', 'x-i', 'q,x'], 'a'],
  [['x-key', 'a=3;vip=2', 'x-i', 'q,x'], 'b'],
  [['x-key', 'vip=1', 'x-i', 'x'], undefined],
  [['x-key', 'vip=9', 'x-i', 'q,x'], undefined],
  [['x-i', 'q,x'], undefined],
  [['x-key', 'vip', 'x-i', 'q,'], 'e'],
  [['x-key', 'vip=', 'x-i', 'q,'], 'e'],
  [['x-key', 'vip=1=2', 'x-i', 'q,x'], undefined],
  [['x-key', 'vip=1', 'x-i', 'q, x'], undefined],
  [['x-key', 'vip=1;vip=2', 'x-i', 'q,x'], 'a'],
];

test('headers choose the route table', () => {
  const problems: ConfigError[] = [];
  const data = parse([scope('a', '1', 'x'), scope('b', '2', 'x'), scope('e', '', '')], problems);
  assert.deepEqual(problems, []);
  const services = {
    runtime: new Runtime(),
    stats: new StatsStore().root,
    localCluster: '',
    registry: new Registry([]),
  };
  const table = compileScopedRoutes(structuredClone(data), services);
  const info = { connection: {} } as unknown as StreamInfo;
  for (const [list, expected] of asked) {
    const headers = new HeaderMap();
    headers.method = 'GET';
    headers.authority = 'x';
    headers.path = '/';
    headers.list.push(...list);
    assert.equal(table.route(headers, { random: 0, info })?.name, expected, list.join(' '));
  }
});

test('a key may be used once', () => {
  const problems: ConfigError[] = [];
  parse([scope('a', '1', 'x'), scope('b', '1', 'x')], problems);
  assert.deepEqual(
    problems.map((it) => it.message),
    ['scoped_route_configurations_list.scoped_route_configurations[1].key: scope key "1, x" is used twice'],
  );
});
